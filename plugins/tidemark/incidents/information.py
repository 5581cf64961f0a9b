"""What people are told though nothing is wrong: who has subscribed to its topic hears of it, and nobody is woken.

Invariant: of one run, of one pair of partitions and of one Monday each topic is told at most once, however often and in
whatever process somebody looks.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.assets import Pipeline
from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.facts import read_heads, register, suites_of
from tidemark.frames import load
from tidemark.gate import Outcome, Severity
from tidemark.incidents import accounts
from tidemark.incidents.handling import shown
from tidemark.incidents.topics import Topic
from tidemark.ledger import notices, plans, registry
from tidemark.ledger.schema import asset, change, gate_result, head_log, materialization, partition, plan
from tidemark.reading import live_parts
from tidemark.validation import Accuracy

log = logging.getLogger(__name__)

MOST = 20
"""Of what is told in one notice, the first lines are said; all of it is counted."""

MONDAY = time(8, tzinfo=UTC)
"""From when on each Monday the silences are listed."""


def inform(
    connection: sa.Connection,
    environment: str,
    topic: Topic,
    *,
    title: str,
    lines: Iterable[str],
    pipeline: str = "",
    owner: str = "",
    unique_key: str | None = None,
    **data: Any,
) -> bool:
    """Write down what those who have subscribed to a topic are to be told, in the transaction of what it tells of.

    Args:
        connection: a transaction that writes.
        environment: where it happened.
        topic: what it is about.
        title: it in one line.
        lines: the rest of it; the first :data:`MOST` are kept.
        pipeline: whose, or empty.
        owner: who owns it, or empty.
        unique_key: by which it is told only once; None: what it tells of can only happen once.
        data: the same for programs, JSON-ready.

    Returns:
        Whether it is news.

    """
    every = list(lines)
    more = [f"... and {len(every) - MOST} more"] if len(every) > MOST else []
    return notices.write(
        connection,
        environment,
        kind=notices.INFORMATION,
        topic=topic.value,
        severity="info",
        payload={"title": title, "lines": every[:MOST] + more, **data},
        pipeline=pipeline,
        owner=owner,
        unique_key=unique_key,
    )


# -- after a run


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
    """A head that a run has moved and that still is as the run has left it, and how it stood before."""

    asset: str
    asset_id: int
    partition: str
    partition_id: int
    seq: int  # of the first change by the run
    data_version: bytes
    final: bool
    was_provisional: bool


def tell_repaired(deployment: Deployment, pipeline: Pipeline, run: str) -> bool:
    """Tell which provisional results a run has made final; returns whether there is such news.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    with deployment.ledger.read() as connection:
        moved = _moved(connection, deployment.environment, pipeline, run)
    repaired: dict[str, list[str]] = {}
    for each in moved:
        if each.final and each.was_provisional:
            repaired.setdefault(each.asset, []).append(each.partition)
    if not repaired:
        return False
    total = sum(map(len, repaired.values()))
    counted = [
        {"asset": name, "count": len(keys), "first": keys[0], "last": keys[-1]} for name, keys in repaired.items()
    ]
    with deployment.ledger.write() as connection:
        return inform(
            connection,
            deployment.environment,
            Topic.REPAIRED,
            title=f"{pipeline.name}: {_counted(total, 'provisional result is', 'provisional results are')} final now",
            lines=[f"{name}: {_span(keys)}" for name, keys in repaired.items()],
            pipeline=pipeline.name,
            owner=pipeline.owner or "",
            unique_key=f"repaired {deployment.environment} {pipeline.name} {run}",
            run=run,
            repaired=counted,
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
        moved = _moved(connection, deployment.environment, pipeline, run)
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
            title=f"{pipeline.name}: {_counted(len(flagged), 'result is', 'results are')} live and flagged by a gate",
            lines=[f"{each.asset} {each.partition}: {why}" for each, why in flagged],
            pipeline=pipeline.name,
            owner=pipeline.owner or "",
            unique_key=f"outliers {deployment.environment} {pipeline.name} {run}",
            run=run,
            flagged=[{"asset": each.asset, "partition": each.partition, "why": why} for each, why in flagged[:MOST]],
        )


def _moved(connection: sa.Connection, environment: str, pipeline: Pipeline, run: str) -> list[_Moved]:
    """Return the heads that a run has moved, by asset and in time order."""
    since = _before(connection, environment, pipeline, run)
    if since is None:
        return []
    after, before = head_log.alias("after"), head_log.alias("before")
    mine = sa.select(change.c.seq).where(change.c.seq > since, change.c.run == run).subquery()
    first = (
        sa.select(head_log.c.asset_id, head_log.c.partition_id, sa.func.min(head_log.c.from_seq).label("seq"))
        .join(mine, mine.c.seq == head_log.c.from_seq)
        .where(head_log.c.environment == environment)
        .group_by(head_log.c.asset_id, head_log.c.partition_id)
        .subquery()
    )
    query = (
        sa.select(
            asset.c.name,
            asset.c.id,
            partition.c.key,
            partition.c.id,
            first.c.seq,
            materialization.c.data_version,
            after.c.missing.is_(None),
            before.c.missing.is_not(None),
        )
        .select_from(first)
        .join(after, _of(after, environment, first) & after.c.to_seq.is_(None))
        .join(mine, mine.c.seq == after.c.from_seq)
        .join(asset, asset.c.id == first.c.asset_id)
        .join(partition, partition.c.id == first.c.partition_id)
        .join(materialization, materialization.c.id == after.c.materialization_id)
        .outerjoin(before, _of(before, environment, first) & (before.c.to_seq == first.c.seq))
        .where(asset.c.pipeline == pipeline.name)
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
        moved = {(each.asset, each.partition) for each in _moved(connection, deployment.environment, pipeline, run)}
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

    frame = load(live_parts(deployment, name, key), pl.DataFrame, windowed=False, name=name)
    assert isinstance(frame, pl.DataFrame)
    if column not in frame.columns or frame.height > 1 or not (frame[column].dtype.is_numeric() or frame.is_empty()):
        raise UsageError(
            f"{name} {key} does not say how accurate a model is: it has to have one row with a number {column!r}"
        )
    value = None if frame.is_empty() else frame[column][0]
    return float(value) if value is not None and math.isfinite(value) else None


# -- each Monday


def list_silences(deployment: Deployment, now: datetime) -> bool:
    """List the silences that are in force, once each Monday from 08:00 UTC on; returns whether this call did.

    Who looks for the first time on a later day of the week makes up for it. What was silenced since that Monday is for
    the next one: who did it knows.

    Args:
        deployment: where.
        now: the instant of the look.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    instant = now.astimezone(UTC)
    monday = datetime.combine(instant.date() - timedelta(days=instant.weekday()), MONDAY)
    if instant < monday:
        return False
    year, week, _ = instant.isocalendar()
    key = f"silences {deployment.environment} {year}-W{week:02}"
    with deployment.ledger.read() as connection:
        if notices.is_written(connection, key):
            return False
    found = [each for each in accounts.silences(deployment, instant) if each["begins_at"] <= monday]
    if not found:
        return False
    with deployment.ledger.write() as connection:
        return inform(
            connection,
            deployment.environment,
            Topic.SILENCES,
            title=_counted(len(found), "silence is", "silences are") + " in force",
            lines=[_silence_line(each) for each in found],
            unique_key=key,
            silences=[
                {**each, **{name: each[name].isoformat() for name in ("begins_at", "ends_at")}} for each in found
            ],
        )


def _silence_line(each: Mapping[str, Any]) -> str:
    return f"{each['number']}: {each['what']}, until {shown(each['ends_at'])}, by {each['by']}: {each['why']}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _span(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{len(keys)} partitions, {keys[0]} .. {keys[-1]}"
