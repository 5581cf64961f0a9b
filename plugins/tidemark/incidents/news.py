"""What a run has brought that nobody is woken for: repairs, outliers, and how accurate models are.

Invariant: of one run, and of one pair of partitions, each topic is told once, however often somebody looks.
"""

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.assets import Pipeline
from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.facts import read_heads, register, suites_of
from tidemark.gate import Outcome, Severity
from tidemark.incidents.information import MOST, counted, inform
from tidemark.incidents.topics import Topic
from tidemark.ledger import plans, registry
from tidemark.ledger.schema import asset, change, gate_result, head_log, materialization, partition, plan
from tidemark.validation import Accuracy

log = logging.getLogger(__name__)


def tell_information(deployment: Deployment, pipeline: Pipeline, run: str) -> list[Topic]:
    """Tell all that a run has brought and that nobody is woken for; returns the topics of which there is news.

    Args:
        deployment: where.
        pipeline: the definitions.
        run: name of the run, which has ended.

    Raises:
        Unavailable: the ledger or the store cannot be used.

    """
    tellers = ((Topic.REPAIRED, tell_repaired), (Topic.OUTLIERS, tell_outliers), (Topic.ACCURACY, tell_accuracy))
    news = []
    for topic, tell in tellers:
        try:
            if tell(deployment, pipeline, run):
                news.append(topic)
        except UsageError as problem:  # what is only good to know fails no run
            log.warning("%s: nobody is told of %s: %s", pipeline.name, topic.said, problem)
    return news


class _Moved(NamedTuple):
    """A head that a run has moved and that still is as the run has left it."""

    asset: str
    asset_id: int
    partition: str
    partition_id: int
    seq: int  # of the first change by the run
    data_version: bytes


# How a head stands after a run, and how it stood before.
_AFTER, _BEFORE = head_log.alias("after"), head_log.alias("before")


def tell_repaired(deployment: Deployment, pipeline: Pipeline, run: str) -> bool:
    """Tell which provisional results a run has made final; returns whether there is such news.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    with deployment.ledger.read() as connection:
        settled = _AFTER.c.missing.is_(None) & _BEFORE.c.missing.is_not(None)
        moved = _moved(connection, deployment.environment, pipeline, run, settled)
    repaired: dict[str, list[str]] = {}
    for each in moved:
        repaired.setdefault(each.asset, []).append(each.partition)
    if not repaired:
        return False
    total = sum(map(len, repaired.values()))
    counts = [
        {"asset": name, "count": len(keys), "first": keys[0], "last": keys[-1]} for name, keys in repaired.items()
    ]
    with deployment.ledger.write() as connection:
        return inform(
            connection,
            deployment.environment,
            Topic.REPAIRED,
            title=f"{pipeline.name}: {counted(total, 'provisional result is', 'provisional results are')} final now",
            lines=[f"{name}: {_span(keys)}" for name, keys in repaired.items()],
            pipeline=pipeline.name,
            owner=pipeline.owner or "",
            unique_key=f"repaired {deployment.environment} {pipeline.name} {run}",
            run=run,
            repaired=counts,
        )


def tell_outliers(deployment: Deployment, pipeline: Pipeline, run: str) -> bool:
    """Tell which results of a run are live though their gate has flagged them; returns whether there is such news.

    A version of a partition is told of when it becomes live for the first time.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    suites = suites_of(deployment, pipeline)
    if not suites:
        return False
    with deployment.ledger.read() as connection:
        moved = _moved(connection, deployment.environment, pipeline, run, asset.c.name.in_(suites) & _FLAGGED)
        warned = {name: _warnings(connection, suite, moved, name) for name, suite in suites.items()}
        flagged = [
            (each, warned[each.asset][each.data_version])
            for each in moved
            if each.data_version in warned.get(each.asset, ()) and not _was_live(connection, deployment, each)
        ]
    if not flagged:
        return False
    with deployment.ledger.write() as connection:
        return inform(
            connection,
            deployment.environment,
            Topic.OUTLIERS,
            title=f"{pipeline.name}: {counted(len(flagged), 'result is', 'results are')} live and flagged by a gate",
            lines=[f"{each.asset} {each.partition}: {why}" for each, why in flagged],
            pipeline=pipeline.name,
            owner=pipeline.owner or "",
            unique_key=f"outliers {deployment.environment} {pipeline.name} {run}",
            run=run,
            flagged=[{"asset": each.asset, "partition": each.partition, "why": why} for each, why in flagged[:MOST]],
        )


# By whatever suite: which one counts is looked at for the few that are left.
_FLAGGED = (
    sa.select(gate_result.c.data_version)
    .where(gate_result.c.data_version == materialization.c.data_version, gate_result.c.outcome == Outcome.FLAGGED.value)
    .exists()
)


def _moved(
    connection: sa.Connection, environment: str, pipeline: Pipeline, run: str, which: sa.ColumnElement[bool]
) -> list[_Moved]:
    """Return those heads that a run has moved of which something is so, by asset and in time order."""
    since = _before(connection, environment, pipeline, run)
    if since is None:
        return []
    mine = sa.select(change.c.seq).where(change.c.seq > since, change.c.run == run).subquery()
    first = (
        sa.select(head_log.c.asset_id, head_log.c.partition_id, sa.func.min(head_log.c.from_seq).label("seq"))
        .join(mine, mine.c.seq == head_log.c.from_seq)
        .where(head_log.c.environment == environment)
        .group_by(head_log.c.asset_id, head_log.c.partition_id)
        .subquery()
    )
    names = (asset.c.name, asset.c.id, partition.c.key, partition.c.id)
    query = (
        sa.select(*names, first.c.seq, materialization.c.data_version)
        .select_from(first)
        .join(_AFTER, _of(_AFTER, environment, first) & _AFTER.c.to_seq.is_(None))
        .join(mine, mine.c.seq == _AFTER.c.from_seq)
        .join(asset, asset.c.id == first.c.asset_id)
        .join(partition, partition.c.id == first.c.partition_id)
        .join(materialization, materialization.c.id == _AFTER.c.materialization_id)
        .outerjoin(_BEFORE, _of(_BEFORE, environment, first) & (_BEFORE.c.to_seq == first.c.seq))
        .where(asset.c.pipeline == pipeline.name, which)
        .order_by(asset.c.id, partition.c.id)
    )
    return [_Moved(*row) for row in connection.execute(query)]


def _of(heads_: sa.FromClause, environment: str, first: sa.FromClause) -> sa.ColumnElement[bool]:
    columns = heads_.c
    return sa.and_(
        columns.environment == environment,
        columns.asset_id == first.c.asset_id,
        columns.partition_id == first.c.partition_id,
    )


def _before(connection: sa.Connection, environment: str, pipeline: Pipeline, run: str) -> int | None:
    """Return a change that came before all of a run, so that not all changes there are need be looked at.

    None: the run made no plan.
    """
    columns = plan.c
    mine = (columns.environment == environment, columns.pipeline == pipeline.name)
    number = connection.execute(sa.select(sa.func.min(columns.id)).where(*mine, columns.run == run)).scalar()
    if number is None:
        return None
    earlier = plans.newest(connection, environment, pipeline.name, before=number)
    return earlier.seq if earlier else 0


def _warnings(connection: sa.Connection, suite: bytes, moved: Sequence[_Moved], asset: str) -> dict[bytes, str]:
    """Return of an asset's versions that its suite has flagged what the first warning says."""
    found = {}
    for some in registry.chunks({each.data_version for each in moved if each.asset == asset}):
        query = sa.select(gate_result.c.data_version, gate_result.c.result).where(
            gate_result.c.suite_digest == suite,
            gate_result.c.data_version.in_(some),
            gate_result.c.outcome == Outcome.FLAGGED.value,
        )
        for version, result in connection.execute(query):
            said = [each["message"] for each in result["failures"] if each["severity"] == Severity.WARNING]
            found[version] = said[0] + (f" (and {len(said) - 1} more)" if len(said) > 1 else "")
    return found


def _was_live(connection: sa.Connection, deployment: Deployment, each: _Moved) -> bool:
    """Whether what a run has made live was so before in this environment."""
    query = (
        sa.select(head_log.c.id)
        .join(materialization, materialization.c.id == head_log.c.materialization_id)
        .where(
            head_log.c.environment == deployment.environment,
            head_log.c.asset_id == each.asset_id,
            head_log.c.partition_id == each.partition_id,
            head_log.c.from_seq < each.seq,
            materialization.c.data_version == each.data_version,
        )
    )
    return connection.execute(query).first() is not None


# -- how accurate models are


def tell_accuracy(deployment: Deployment, pipeline: Pipeline, run: str) -> bool:
    """Tell where a model's accuracy is better or worse than in the partition before; returns whether there is news.

    Only the newest partition is looked at, if the run has moved it: a run that makes years anew tells of its last day.

    Raises:
        UsageError: an asset that says how accurate a model is has no such column, or no number there.
        Unavailable: the ledger or the store cannot be used.

    """
    if not pipeline.accuracy:
        return False
    with deployment.ledger.read() as connection:
        watched = asset.c.name.in_(pipeline.accuracy)
        found = _moved(connection, deployment.environment, pipeline, run, watched)
    moved = {(each.asset, each.partition) for each in found}
    told = False
    for name, accuracy in pipeline.accuracy.items():
        if any(each == name for each, _ in moved):
            pair = _newest(deployment, pipeline, name)
            if len(pair) == 2 and (name, pair[1][0]) in moved:
                told |= _tell_change(deployment, pipeline, name, accuracy, pair)
    return told


def _newest(deployment: Deployment, pipeline: Pipeline, name: str) -> list[tuple[str, bytes]]:
    """Return the last two partitions that are live, in time order, each with its data version."""
    names = register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        live = read_heads(connection, deployment, names, name)
    return [(names.grains[name].key(ordinal), live[ordinal].data_version) for ordinal in sorted(live)[-2:]]


def _tell_change(
    deployment: Deployment, pipeline: Pipeline, name: str, accuracy: Accuracy, pair: Sequence[tuple[str, bytes]]
) -> bool:
    (before, _), (now, _) = pair
    was = _value(deployment, name, before, accuracy.column)
    is_ = _value(deployment, name, now, accuracy.column)
    if was is None or is_ is None or not accuracy.is_news(was, is_):
        return False
    better = (is_ < was) == accuracy.less_is_better
    versions = " ".join(version.hex()[:16] for _, version in pair)
    with deployment.ledger.write() as connection:
        return inform(
            connection,
            deployment.environment,
            Topic.ACCURACY,
            title=f"{name} {now}: accuracy is {'up' if better else 'down'}",
            lines=[
                f"{accuracy.column} is {is_:.4g}, and was {was:.4g} in {before}; "
                f"{'less' if accuracy.less_is_better else 'more'} is better"
            ],
            pipeline=pipeline.name,
            owner=pipeline[name].owner or pipeline.owner or "",
            unique_key=f"accuracy {deployment.environment} {name} {now} {versions}",
            asset=name,
            column=accuracy.column,
            before={"partition": before, "value": was},
            now={"partition": now, "value": is_},
            better=better,
        )


def _value(deployment: Deployment, name: str, key: str, column: str) -> float | None:
    """Return the one number of a column of a partition; None: there is none, or no row.

    Raises:
        UsageError: there is no such column, or it holds no number, or there are several rows.

    """
    import polars as pl

    from tidemark.frames import load
    from tidemark.reading import live_parts

    frame = load(live_parts(deployment, name, key), pl.DataFrame, windowed=False, name=name)
    assert isinstance(frame, pl.DataFrame)
    if column not in frame.columns or frame.height > 1 or not (frame[column].dtype.is_numeric() or frame.is_empty()):
        raise UsageError(
            f"{name} {key} does not say how accurate a model is: it has to have one row with a number {column!r}"
        )
    value = None if frame.is_empty() else frame[column][0]
    return float(value) if value is not None and math.isfinite(value) else None


def _span(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{len(keys)} partitions, {keys[0]} .. {keys[-1]}"
