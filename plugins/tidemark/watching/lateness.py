"""Late sources: what is expected, is due by now, was not delivered, and is read by somebody.

From the definitions as they were registered: no DAG file is loaded, so that a broken one hides nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import sqlalchemy as sa

from tidemark.assets import Source
from tidemark.calendars import Calendar, Due
from tidemark.deployment import Deployment
from tidemark.facts import Names, absent_of
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.incidents.reach import reach_of
from tidemark.ledger import heads, incidents, plans, registry, sources
from tidemark.ledger.registry import Registered
from tidemark.partitions import TimeGrain
from tidemark.survey.sources import due_of
from tidemark.watching.checks import Found, of_cause


def late_sources(deployment: Deployment, now: datetime | None = None) -> Found:
    """Find every source that is late.

    Args:
        deployment: where.
        now: the instant that is taken for now; by default the clock, or where ``TIDEMARK_AS_OF`` lets time stand still
            the later of that and the newest plan's.

    Raises:
        Unavailable: the ledger cannot be used, or the landing zone cannot be asked for what is not in the ledger yet.

    """
    with deployment.ledger.read() as connection:
        known = registry.assets(connection)
        instant = now or _instant(connection, deployment)
        read = _read_ones(known)
        judged = (_late_of(connection, deployment, each, instant) for each in known.values() if each.name in read)
        late = [each for each in judged if each is not None]
        opened = incidents.open_ones(connection, deployment.environment)
    told = {one.asset: one.detail["partitions"] for one in opened if one.cause == CauseClass.SOURCE_LATE}
    left = [_left(deployment, each, told.get(each.registered.name, ())) for each in late]
    with deployment.ledger.read() as connection:
        conditions = tuple(_condition(connection, deployment.environment, known, each) for each in left if each.keys)
    return Found(conditions, of_cause(CauseClass.SOURCE_LATE))


@dataclass(frozen=True)
class _Late:
    """A source, and which of its partitions are late.

    Attributes:
        registered: as the ledger knows it.
        keys: of which partitions nothing is known though they are due, oldest first.
        newest: the newest partition that was delivered, or None.
        there: of which there is a file that no plan has seen.

    """

    registered: Registered
    keys: tuple[str, ...]
    newest: str | None
    there: frozenset[str] = frozenset()

    @property
    def source(self) -> Source:
        """The source, as far as it was registered."""
        return _source_of(self.registered)


def _instant(connection: sa.Connection, deployment: Deployment) -> datetime:
    standing = deployment.settings.as_of
    if standing is None:
        return datetime.now(UTC)
    newest = plans.newest_as_of(connection, deployment.environment)
    return max(standing, newest) if newest is not None else standing


def _read_ones(known: Mapping[str, Registered]) -> frozenset[str]:
    """Return the names of everything that somebody reads."""
    readers = (each for each in known.values() if not each.is_given_up)
    return frozenset(upstream for each in readers for upstream, _ in each.definition.get("inputs", ()))


def _late_of(connection: sa.Connection, deployment: Deployment, registered: Registered, now: datetime) -> _Late | None:
    """Return which partitions of a source are expected and due, and not known of; None: none are."""
    grain, environment, name = registered.grain, deployment.environment, registered.name
    if registered.kind != "source" or registered.is_given_up or not registered.definition["expected"]:
        return None
    ids = registry.scheme_ids(connection, [grain])
    if not isinstance(grain, TimeGrain) or grain.scheme not in ids:
        return None
    source, names = _source_of(registered), Names({name: registered.id}, {name: grain}, ids)
    first = _first_of(connection, environment, registered, names)
    if first is None:  # it is expected from its first file on, and there is none
        return None
    every = range(first, grain.containing(now) + 1)
    live = _live(connection, environment, registered, names, every)
    lacking = [each for each in every if each not in live and source.expects(each)]
    due = [each for each in lacking if (at := due_of(source, each)) is not None and at <= now]
    if not due:
        return None
    absent = absent_of(connection, environment, names, name)
    said = sources.said(connection, environment, registered.id, [names.id_at(name, each) for each in due])
    rejected = {each for each, (what, _) in names.by_ordinal(name, said).items() if what == sources.REJECTED}
    keys = tuple(grain.key(each) for each in due if each not in absent and each not in rejected)
    return _Late(registered, keys, grain.key(max(live)) if live else None) if keys else None


def _first_of(connection: sa.Connection, environment: str, registered: Registered, names: Names) -> int | None:
    """Return the partition from which on a source is expected; None: nothing was ever seen of it."""
    if isinstance(registered.grain, TimeGrain) and registered.grain.first is not None:
        return registered.grain.first
    ends = heads.ends(connection, environment, registered.pipeline, registered.id)
    return names.ordinal(registered.name, ends[0]) if ends else None


def _live(
    connection: sa.Connection, environment: str, registered: Registered, names: Names, ordinals: range
) -> Collection[int]:
    """Return which partitions of a source are live."""
    name = registered.name
    if environment != heads.PROD:
        return names.by_ordinal(name, heads.current(connection, environment, registered.id))
    ids = range(names.id_at(name, ordinals.start), names.id_at(name, ordinals.stop))
    found = heads.live_ids(connection, registered.id, ids)
    return names.by_ordinal(name, {number: None for number, made in found.items() if made is not None})


def _source_of(registered: Registered) -> Source:
    told = registered.definition
    expected = Calendar.from_json(told["expected"]) if told["expected"] else None
    due = Due.from_json(told["due"]) if told["due"] else None
    return Source(registered.name, told["files"], registered.grain, expected=expected, due=due)


def _left(deployment: Deployment, late: _Late, told: Collection[str]) -> _Late:
    """Leave out what is not told yet and has a file: the next plan finds it, and a run that is not due is not late.

    What is told stays so until a plan has seen the file: it may be the wrong one, or be taken away again.
    """
    source = late.source
    names = {file.name for file in deployment.landing.files(source.folder)}
    there = frozenset(key for key in late.keys if source.file_of(key) in names)
    return replace(late, keys=tuple(key for key in late.keys if key not in there or key in told), there=there)


def _condition(connection: sa.Connection, environment: str, known: Mapping[str, Registered], late: _Late) -> Condition:
    source, registered, newest = late.source, late.registered, late.keys[-1]
    due = due_of(source, registered.grain.ordinal(newest))
    others = f" and {len(late.keys) - 1} more" if len(late.keys) > 1 else ""
    where = "is there, but no run has looked at it yet" if newest in late.there else "is not in the landing zone"
    delivered = (
        f"the newest delivery is that of {late.newest}" if late.newest else "nothing: nothing was ever delivered"
    )
    return Condition(
        CauseClass.SOURCE_LATE,
        registered.pipeline,
        source.name,
        f"{source.name} {newest}{others}: {CauseClass.SOURCE_LATE.said.title}",
        why=f"{source.file_of(newest)} was due {due:%Y-%m-%d %H:%M} UTC and {where}",
        partitions=late.keys,
        instead=delivered,
        reach=reach_of(connection, environment, source.name, late.keys, known),
        owner=registered.definition.get("owner") or "",
        happened=0,
    )
