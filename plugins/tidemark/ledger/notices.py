"""The outbox of notices: what people must be told, by which channel, and whether that came to pass.

Invariants: a notice is written in one transaction with what it tells of, so that neither is there without the other.
Who is told is decided later, once, by who sends; from then on each channel has a delivery of its own, which stays
pending until it was sent or dropped, of an incident also while another channel has taken it over. A notice with a
unique key is written once. Who decides or claims holds the turn of notices; a delivery that is claimed is due for
nobody else until its claim runs out, so that what a process was about to send when it died is sent by another.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.registry import insert_new
from tidemark.ledger.schema import delivery, notice

OPENED, UPDATED, RESOLVED = "opened", "updated", "resolved"
"""The kinds of notices about an incident."""

INFORMATION = "information"
REPORT = "report"

SENT, DROPPED, FELL_BACK = "sent", "dropped", "fell back"
"""What becomes of a delivery. One that fell back is done only if nobody needs its own channel any more."""


class Notice(NamedTuple):
    """What people must be told.

    Attributes:
        id: its number, which rises.
        environment: where it happened.
        kind: opened, updated or resolved, of an incident; else information or report.
        topic: the cause class of an incident; else what it is about.
        incident: the incident's number, or None.
        unique_key: by which it is told only once, or None.
        severity: critical, warning or info.
        pipeline: whose, or empty.
        owner: the owner, or empty.
        payload: what is said, JSON-ready; an incident's says only what its own row does not.
        at: when it was written.

    """

    id: int
    environment: str
    kind: str
    topic: str
    incident: int | None
    unique_key: str | None
    severity: str
    pipeline: str
    owner: str
    payload: dict[str, Any]
    at: datetime

    @property
    def is_information(self) -> bool:
        """Whether nothing is wrong, or nothing that anybody must see to: so is an incident of severity info."""
        return self.incident is None or self.severity == "info"


class Delivery(NamedTuple):
    """One notice on its way through one channel.

    Attributes:
        id: its number.
        notice: what is told.
        channel: the channel's name.
        attempts: how often that failed.
        next_at: when it is tried next, or its claim runs out.
        problem: what the newest failed attempt came up with.
        fell_back: whether another channel tells it too, because this one has failed.

    """

    id: int
    notice: Notice
    channel: str
    attempts: int
    next_at: datetime
    problem: str | None
    fell_back: bool


class Told(NamedTuple):
    """What a channel was last told of an incident, and when."""

    at: datetime
    severity: str


def write(
    connection: sa.Connection,
    environment: str,
    *,
    kind: str,
    topic: str,
    severity: str,
    payload: Mapping[str, Any],
    pipeline: str = "",
    owner: str = "",
    incident: int | None = None,
    unique_key: str | None = None,
) -> bool:
    """Write a notice down, in the transaction of what it tells of; returns False if its unique key was used before."""
    row = {
        "environment": environment,
        "kind": kind,
        "topic": topic,
        "incident_id": incident,
        "unique_key": unique_key,
        "severity": severity,
        "pipeline": pipeline,
        "owner": owner,
        "payload": dict(payload),
        "at": datetime.now(UTC),
    }
    return bool(connection.execute(insert_new(connection, notice).values(**row)).rowcount)


_COLUMNS = (
    notice.c.id,
    notice.c.environment,
    notice.c.kind,
    notice.c.topic,
    notice.c.incident_id,
    notice.c.unique_key,
    notice.c.severity,
    notice.c.pipeline,
    notice.c.owner,
    notice.c.payload,
    notice.c.at,
)


def reported(connection: sa.Connection, environment: str, asset: str) -> set[str]:
    """Return which partitions of a report were ever announced."""
    query = sa.select(notice.c.payload).where(
        notice.c.environment == environment, notice.c.kind == REPORT, notice.c.topic == asset
    )
    return {payload["partition"] for payload in connection.execute(query).scalars()}


def take_notices(connection: sa.Connection) -> None:
    """Wait until nobody else decides who is told or claims deliveries, and keep it so until the transaction ends."""
    take_turn(connection, Turn.NOTICES)


def unrouted(connection: sa.Connection, limit: int | None = None, *, environment: str | None = None) -> list[Notice]:
    """Return the oldest notices, of one environment or all, of which nobody has decided yet who is told."""
    query = sa.select(*_COLUMNS).where(notice.c.routed_at.is_(None)).order_by(notice.c.id).limit(limit)
    if environment is not None:
        query = query.where(notice.c.environment == environment)
    return [Notice(*row) for row in connection.execute(query)]


def route(connection: sa.Connection, notice_id: int, channels: list[str], at: datetime) -> None:
    """Decide who is told: each of these channels, from an instant on."""
    connection.execute(sa.update(notice).where(notice.c.id == notice_id).values(routed_at=at))
    hand_to(connection, notice_id, channels, at)


def hand_to(connection: sa.Connection, notice_id: int, channels: list[str], at: datetime) -> None:
    """Let more channels tell a notice, from an instant on; one that does already goes on as it did."""
    rows = [{"notice_id": notice_id, "channel": each, "attempts": 0, "next_at": at} for each in channels]
    if rows:
        connection.execute(insert_new(connection, delivery), rows)


def pending(connection: sa.Connection, environment: str) -> list[Delivery]:
    """Return the deliveries of an environment that are neither sent nor given up, oldest notice first."""
    columns = delivery.c
    fell_back = sa.func.coalesce(columns.outcome == FELL_BACK, sa.false())
    query = (
        sa.select(columns.id, columns.channel, columns.attempts, columns.next_at, columns.problem, fell_back, *_COLUMNS)
        .join(notice, notice.c.id == columns.notice_id)
        .where(columns.done_at.is_(None), notice.c.environment == environment)
        .order_by(notice.c.id, columns.id)
    )
    return [
        Delivery(number, Notice(*rest), channel, attempts, next_at, problem, bool(fallen))
        for number, channel, attempts, next_at, problem, fallen, *rest in connection.execute(query)
    ]


def finish(connection: sa.Connection, delivery_id: int, outcome: str, at: datetime) -> None:
    """Note that a delivery was sent, dropped, or that another channel has taken it over; nobody can undo that."""
    statement = sa.update(delivery).where(delivery.c.id == delivery_id, delivery.c.done_at.is_(None))
    connection.execute(statement.values(done_at=at, outcome=outcome))


def fall_back(connection: sa.Connection, delivery_id: int, channel: str, at: datetime) -> None:
    """Let another channel tell what one delivery could not, from an instant on; the delivery itself stays pending."""
    own = sa.update(delivery).where(delivery.c.id == delivery_id).values(outcome=FELL_BACK)
    number = connection.execute(own.returning(delivery.c.notice_id)).scalar_one()
    hand_to(connection, number, [channel], at)


def postpone(connection: sa.Connection, delivery_id: int, until: datetime, problem: str) -> None:
    """Note that an attempt has failed, and when the next one is due."""
    values = {"attempts": delivery.c.attempts + 1, "next_at": until, "problem": problem}
    connection.execute(sa.update(delivery).where(delivery.c.id == delivery_id).values(**values))


def wait(connection: sa.Connection, delivery_id: int, until: datetime) -> None:
    """Note that a delivery is not tried before an instant, without anything having failed: it waits, or is claimed."""
    connection.execute(sa.update(delivery).where(delivery.c.id == delivery_id).values(next_at=until))


def last_told(connection: sa.Connection, incident: int, channel: str) -> Told | None:
    """Return what a channel was last told of an incident; None: nothing yet."""
    query = (
        sa.select(delivery.c.done_at, notice.c.severity)
        .join(notice, notice.c.id == delivery.c.notice_id)
        .where(notice.c.incident_id == incident, delivery.c.channel == channel, delivery.c.outcome == SENT)
        .order_by(delivery.c.done_at.desc(), notice.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return Told(*row) if row else None


def told_channels(connection: sa.Connection, incident: int) -> dict[str, str]:
    """Return the channels that were told of an incident, are about to be, or may have been, with the newest severity.

    An attempt that has failed may have arrived all the same: only its answer was lost.
    """
    query = (
        sa.select(delivery.c.channel, notice.c.severity)
        .join(notice, notice.c.id == delivery.c.notice_id)
        .where(
            notice.c.incident_id == incident,
            sa.or_(delivery.c.done_at.is_(None), delivery.c.outcome == SENT, delivery.c.attempts > 0),
        )
        .order_by(notice.c.id)
    )
    return dict(tuple(row) for row in connection.execute(query))


class Sending(NamedTuple):
    """What became of a notice in one channel.

    Attributes:
        kind: of the notice.
        at: when the notice was written.
        routed: whether it was decided who is told.
        channel: the channel's name; None: nobody is told, or that is not decided yet.
        outcome: sent, dropped or fell back; None: still to be sent.
        done_at: when that was; None: this channel still tries.
        attempts: how often it failed.
        problem: what the newest failed attempt came up with.

    """

    kind: str
    at: datetime
    routed: bool
    channel: str | None
    outcome: str | None
    done_at: datetime | None
    attempts: int
    problem: str | None


def sendings(connection: sa.Connection, incident: int) -> list[Sending]:
    """Return what became of all notices of an incident in each channel, oldest first."""
    query = (
        sa.select(
            notice.c.kind,
            notice.c.at,
            notice.c.routed_at,
            delivery.c.channel,
            delivery.c.outcome,
            delivery.c.done_at,
            delivery.c.attempts,
            delivery.c.problem,
        )
        .select_from(notice.outerjoin(delivery, delivery.c.notice_id == notice.c.id))
        .where(notice.c.incident_id == incident)
        .order_by(notice.c.id, delivery.c.id)
    )
    return [
        Sending(kind, at, routed is not None, channel, outcome, done, attempts or 0, problem)
        for kind, at, routed, channel, outcome, done, attempts, problem in connection.execute(query)
    ]


def is_written(connection: sa.Connection, unique_key: str) -> bool:
    """Return whether what is told only once was told, or is about to be."""
    return connection.execute(sa.select(notice.c.id).where(notice.c.unique_key == unique_key)).first() is not None
