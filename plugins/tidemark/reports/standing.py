"""What the ledger says of a report now: whether it is final, which models are in force, and how good these are.

The ledger alone is asked, and no pipeline file: a page of the UI must not import what scientists have written.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

import sqlalchemy as sa

from tidemark.assets import model_of
from tidemark.calendars import Due
from tidemark.deployment import Deployment
from tidemark.errors import UsageError, close
from tidemark.explain import short
from tidemark.facts import Names, read_heads
from tidemark.ledger import heads, incidents, records, registry, sources, validations
from tidemark.ledger.incidents import Incident
from tidemark.ledger.registry import Registered
from tidemark.models.known import Reign, reigns
from tidemark.partitions import TimeGrain

_WORST_FIRST = ("critical", "warning", "info")
MOST_LACKING = 3
"""Partitions of one asset that are named among what is lacking."""


@dataclass(frozen=True)
class Metric:
    """How good a model was when it was judged: one number, and whether it is the one that the business goes by."""

    name: str
    value: float | None
    business: bool


@dataclass(frozen=True)
class InForce:
    """A model that a report is made with.

    Attributes:
        model: its name.
        version: the first characters of the version in force in the report's period; None: there was none.
        trained: the partition that it was trained for.
        since: the first instant at which it is in force.
        by: who promoted it.
        metrics: how it came out when it was judged last; empty: nobody judged it.

    """

    model: str
    version: str | None = None
    trained: str = ""
    since: datetime | None = None
    by: str = ""
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True)
class Standing:
    """What the ledger says of one partition of a report.

    Attributes:
        asset: the report's asset.
        partition: its key.
        pipeline: whose it is.
        owner: who is asked about it, or None.
        version: the first characters of its data version.
        made_at: when it was computed.
        lacks: what it was made without, in sentences; empty: it is final.
        models: those that it reads the champion of.
        incidents: what is wrong now with its pipeline, with those that it is made from at any depth, or with the
            deployment as a whole; the worst and oldest first.
        unseen: how many more of them who asks may not see.

    """

    asset: str
    partition: str
    pipeline: str
    owner: str | None
    version: str
    made_at: datetime
    lacks: tuple[str, ...]
    models: tuple[InForce, ...]
    incidents: tuple[Incident, ...] = ()
    unseen: int = 0

    @property
    def is_final(self) -> bool:
        """Whether nothing is lacking."""
        return not self.lacks


def registered_report(connection: sa.Connection, asset: str) -> Registered:
    """Return a report as the ledger knows it.

    Raises:
        UsageError: there is no such report.

    """
    known = {each.name: each for each in registered_reports(connection)}
    if asset not in known:
        raise UsageError(f"there is no report {asset!r}{close(asset, known)}")
    return known[asset]


def registered_reports(connection: sa.Connection) -> list[Registered]:
    """Return every asset of which its pipeline says that it is a report, by name."""
    known = registry.assets(connection)
    return [each for _, each in sorted(known.items()) if each.definition.get("report") and not each.is_given_up]


def standing(deployment: Deployment, asset: str, partition: str) -> Standing:
    """Return what the ledger says of a partition of a report.

    Raises:
        UsageError: there is no such report, the key is none, or nothing is live for it.

    """
    with deployment.ledger.read() as connection:
        registered = registered_report(connection, asset)
        ordinal = registered.grain.ordinal(partition)
        head = read_heads(connection, deployment, _names(connection, registered), asset, ordinal).get(ordinal)
        if head is None:
            raise UsageError(f"there is no {asset} of {partition}: 'tidemark explain {asset} {partition}' says why")
        made = records.made(connection, [head.materialization])[head.materialization]
        lacks = tuple(_lacks(connection, deployment, head.missing, (asset, partition)))
        known = registry.assets(connection)
        open_ones = incidents.open_ones(connection, deployment.environment)
    behind = _pipelines_behind(known, asset)
    concerned = [each for each in open_ones if each.pipeline in (*behind, "")]
    names = (model_of(upstream) for upstream, _ in registered.definition["inputs"])
    models = tuple(_in_force(deployment, known, name, registered, ordinal) for name in names if name)
    owner = registered.definition["owner"]
    return Standing(
        asset,
        partition,
        registered.pipeline,
        owner,
        short(head.data_version),
        made.created_at,
        lacks,
        models,
        tuple(sorted(concerned, key=lambda each: (_WORST_FIRST.index(each.severity), each.id))),
    )


def seen_by(said: Standing, sees: Callable[[str], bool]) -> Standing:
    """Return what the ledger says of a report to somebody who may not see every pipeline that it is made from."""
    shown = tuple(each for each in said.incidents if not each.pipeline or sees(each.pipeline))
    return replace(said, incidents=shown, unseen=len(said.incidents) - len(shown))


def _pipelines_behind(known: dict[str, Registered], asset: str) -> set[str]:
    """Return the pipelines of an asset and of all that it is made from, models that it reads the champion of too."""
    waiting, seen = [asset], {asset}
    while waiting:
        name = waiting.pop()
        reads = known[name].definition.get("inputs", ()) if name in known else ()
        new = {model_of(upstream) or upstream for upstream, _ in reads} - seen
        seen |= new
        waiting += new
    return {known[name].pipeline for name in seen if name in known}


def _names(connection: sa.Connection, registered: Registered) -> Names:
    ids = registry.scheme_ids(connection, [registered.grain])
    return Names({registered.name: registered.id}, {registered.name: registered.grain}, ids)


def _lacks(
    connection: sa.Connection, deployment: Deployment, missing: heads.Missing, own: tuple[str, str]
) -> Iterator[str]:
    """Yield what is lacking and why, a sentence for all partitions of an asset that lack for one reason."""
    if own in missing:
        yield "It could not be made anew: these are the figures from before"
    known = registry.assets(connection)
    told = [(name, _why(connection, deployment, known.get(name), name, key), key) for name, key in missing - {own}]
    for (name, why), some in groupby(sorted(told), key=lambda each: each[:2]):
        yield f"{name} {_listed(key for _, _, key in some)} {why}"


def _listed(keys: Iterable[str]) -> str:
    every = list(keys)
    more = f" and {len(every) - MOST_LACKING} more" if len(every) > MOST_LACKING else ""
    return ", ".join(every[:MOST_LACKING]) + more


def _why(connection: sa.Connection, deployment: Deployment, lacking: Registered | None, name: str, key: str) -> str:
    """Say why a partition is lacking, to readers who are not on call: whoever is gets the rest by ``explain``."""
    number = _names(connection, lacking).met(name, key) if lacking is not None else None
    if lacking is None or number is None:
        return "is gone"
    if lacking.kind == "source":
        said = sources.said(connection, deployment.environment, lacking.id, [number])
        outcome, _ = said.get(number, ("", None))
        if outcome == sources.REJECTED:
            return "was delivered and did not pass its checks"
        return f"was due at {_due(lacking, key)} and has not come"
    made = records.made_for(connection, lacking.id, number)
    if made and made[-1].status in (records.FAILED, records.DIED):
        return "could not be computed"
    return "is still to be computed, or did not pass its checks"


def _due(source: Registered, key: str) -> str:
    grain, due = source.grain, source.definition.get("due")
    if not isinstance(grain, TimeGrain):
        return "some time"
    ordinal = grain.ordinal(key)
    at = Due.from_json(due).at(grain.begins(ordinal).astimezone(grain.zone)) if due else grain.ends(ordinal)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _in_force(
    deployment: Deployment, known: dict[str, Registered], model: str, reader: Registered, ordinal: int
) -> InForce:
    """Return the champion that is in force in a partition of who reads it, as the ledger has it now."""
    if model not in known or not known[model].definition.get("model"):
        return InForce(model)
    assert isinstance(reader.grain, TimeGrain)
    # As the mapping has it: the newest whose first hour is over by the end of the reader's period.
    last = reader.grain.ends(ordinal) - timedelta(hours=1)
    reign = next((each for each in reversed(reigns(deployment, model)) if each.begins <= last), None)
    if reign is None:
        return InForce(model)
    return InForce(
        model, short(reign.version), reign.trained, reign.begins, reign.decision.actor, _metrics(deployment, reign)
    )


def _metrics(deployment: Deployment, reign: Reign) -> tuple[Metric, ...]:
    with deployment.ledger.read() as connection:
        said = validations.newest(connection, reign.decision.candidate)
    if said is None:
        return ()
    business = said.report["business"]
    found = (Metric(name, each["candidate"], name == business) for name, each in said.report["metrics"].items())
    return tuple(sorted(found, key=lambda each: (not each.business, each.name)))


def live_partitions(connection: sa.Connection, deployment: Deployment, report: Registered) -> dict[str, bool]:
    """Return whether each live partition of a report is final, by key, the newest first."""
    live = read_heads(connection, deployment, _names(connection, report), report.name)
    return {report.grain.key(ordinal): not head.missing for ordinal, head in sorted(live.items(), reverse=True)}
