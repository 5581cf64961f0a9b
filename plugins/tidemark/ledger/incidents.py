"""Incidents as the ledger keeps them: what is wrong, what became of it, and what keeps it quiet.

Invariant: of one cause class of one asset of one pipeline, at most one incident of an environment is open; the tables
themselves see to it. Who opens, updates or resolves one holds the turn of incidents while looking at what is open.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.errors import UsageError
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.schema import incident, incident_event, silence

ACKNOWLEDGED, SILENCED, HEARD = "acknowledged", "silenced", "silence lifted"
"""What becomes of an incident by people, beside being resolved."""


class Incident(NamedTuple):
    """One open problem, or one that was.

    Attributes:
        id: its number.
        environment: where.
        pipeline: whose; empty: of the deployment as a whole.
        asset: of which asset or source; empty: of the pipeline as a whole.
        cause: the cause class.
        severity: critical, warning or info.
        owner: who owns what failed, or empty.
        summary: it in one sentence.
        detail: the rest, as :class:`tidemark.incidents.Detail` reads it.
        happened: how often it has happened.
        opened_at: since when.
        updated_at: when it last happened or grew.
        acknowledged_at: when somebody took it on; None: nobody has.
        resolved_at: when it was over; None: it is not.

    """

    id: int
    environment: str
    pipeline: str
    asset: str
    cause: str
    severity: str
    owner: str
    summary: str
    detail: dict[str, Any]
    happened: int
    opened_at: datetime
    updated_at: datetime
    acknowledged_at: datetime | None
    resolved_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.resolved_at is None

    @property
    def key(self) -> tuple[str, str, str]:
        """By what it is known while it is open."""
        return (self.pipeline, self.asset, self.cause)


class Event(NamedTuple):
    """What became of an incident at one time: opened, updated, acknowledged, silenced, resolved; by whom, in words."""

    at: datetime
    what: str
    actor: str
    said: str


class Silence(NamedTuple):
    """What keeps incidents quiet for a while.

    Attributes:
        id: its number.
        pipeline: whose incidents; empty: of all.
        asset: of which asset; empty: of all.
        cause: of which cause class; empty: of all.
        why: the person's reason.
        actor: who.
        begins_at: since when.
        ends_at: until when.
        lifted_at: when somebody ended it before; None: nobody has.

    """

    id: int
    pipeline: str
    asset: str
    cause: str
    why: str
    actor: str
    begins_at: datetime
    ends_at: datetime
    lifted_at: datetime | None

    def covers(self, one: Incident, now: datetime) -> bool:
        """Return whether it keeps an incident quiet at an instant."""
        wanted = zip((self.pipeline, self.asset, self.cause), one.key, strict=True)
        return self.is_live(now) and all(asked in ("", said) for asked, said in wanted)

    def is_live(self, now: datetime) -> bool:
        """Return whether it counts at an instant."""
        return self.lifted_at is None and self.begins_at <= now < self.ends_at


def take_incidents(connection: sa.Connection) -> None:
    """Wait until nobody else opens, updates or resolves incidents, and keep it so until the transaction ends."""
    take_turn(connection, Turn.INCIDENTS)


def open_ones(connection: sa.Connection, environment: str) -> list[Incident]:
    """Return the open incidents of an environment, oldest first."""
    return some(connection, environment, only_open=True)


def some(connection: sa.Connection, environment: str, *, only_open: bool, limit: int | None = None) -> list[Incident]:
    """Return incidents of an environment: the open ones oldest first, or all of them, newest first."""
    columns = incident.c
    query = sa.select(incident).where(columns.environment == environment)
    if only_open:
        query = query.where(columns.resolved_at.is_(None)).order_by(columns.id)
    else:
        query = query.order_by(columns.id.desc()).limit(limit)
    return [Incident(*row) for row in connection.execute(query)]


def read(connection: sa.Connection, number: int) -> Incident:
    """Return an incident.

    Raises:
        UsageError: there is none of this number.

    """
    row = connection.execute(sa.select(incident).where(incident.c.id == number)).first()
    if row is None:
        raise UsageError(f"there is no incident {number}: 'tidemark incident list --all' shows them")
    return Incident(*row)


def ever(connection: sa.Connection, environment: str) -> set[tuple[str, str, str]]:
    """Return the keys of all incidents that an environment has, or had: pipeline, asset and cause class."""
    columns = incident.c
    query = sa.select(columns.pipeline, columns.asset, columns.cause).where(columns.environment == environment)
    return {(row.pipeline, row.asset, row.cause) for row in connection.execute(query.distinct())}


def write(connection: sa.Connection, environment: str, values: Mapping[str, Any]) -> int:
    """Write a new incident down and return its number."""
    now = datetime.now(UTC)
    row = {"environment": environment, **values, "opened_at": now, "updated_at": now}
    return int(connection.execute(sa.insert(incident).values(**row).returning(incident.c.id)).scalar_one())


def change(connection: sa.Connection, number: int, **values: Any) -> None:
    """Change what an incident says."""
    connection.execute(sa.update(incident).where(incident.c.id == number).values(**values))


def write_event(connection: sa.Connection, number: int, what: str, *, actor: str, said: str) -> None:
    """Note what became of an incident."""
    row = {"incident_id": number, "at": datetime.now(UTC), "what": what, "actor": actor, "said": said}
    connection.execute(sa.insert(incident_event).values(**row))


def events(connection: sa.Connection, number: int) -> list[Event]:
    """Return what became of an incident, oldest first."""
    columns = incident_event.c
    query = (
        sa.select(columns.at, columns.what, columns.actor, columns.said)
        .where(columns.incident_id == number)
        .order_by(columns.id)
    )
    return [Event(*row) for row in connection.execute(query)]


# -- silences


def silences(connection: sa.Connection, environment: str, now: datetime) -> list[Silence]:
    """Return the silences that count at an instant, the first to end first."""
    columns = silence.c
    query = (
        sa.select(
            columns.id,
            columns.pipeline,
            columns.asset,
            columns.cause,
            columns.why,
            columns.actor,
            columns.begins_at,
            columns.ends_at,
            columns.lifted_at,
        )
        .where(columns.environment == environment, columns.lifted_at.is_(None), columns.ends_at > now)
        .order_by(columns.ends_at, columns.id)
    )
    return [Silence(*row) for row in connection.execute(query)]


def silencing(one: Incident, all_of_them: Iterable[Silence], now: datetime) -> Silence | None:
    """Return what keeps an incident quiet at an instant the longest; None: nothing does."""
    return max((each for each in all_of_them if each.covers(one, now)), key=lambda each: each.ends_at, default=None)


def write_silence(connection: sa.Connection, environment: str, values: Mapping[str, Any]) -> int:
    """Write a silence down and return its number."""
    row = {"environment": environment, **values}
    return int(connection.execute(sa.insert(silence).values(**row).returning(silence.c.id)).scalar_one())


def lift_silence(connection: sa.Connection, number: int, at: datetime) -> None:
    """End a silence before its time."""
    connection.execute(sa.update(silence).where(silence.c.id == number).values(lifted_at=at))
