"""The outbox of notices: what people must be told, by which channel, and whether that came to pass.

Invariants: a notice is written in one transaction with what it tells of, so that neither is there without the other.
Who is told is decided later, once, by who sends; from then on each channel has a delivery of its own, which stays
pending until it was sent, dropped, or taken over by another channel. A notice with a unique key is written once.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import insert_new
from tidemark.ledger.schema import delivery, notice

OPENED, UPDATED, RESOLVED = "opened", "updated", "resolved"
"""The kinds of notices about an incident."""

INFORMATION = "information"
REPORT = "report"

SENT, DROPPED, FELL_BACK = "sent", "dropped", "fell back"
"""What becomes of a delivery."""


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


class Delivery(NamedTuple):
    """One notice on its way through one channel.

    Attributes:
        id: its number.
        notice: what is told.
        channel: the channel's name.
        attempts: how often that failed.
        problem: what the newest failed attempt came up with.

    """

    id: int
    notice: Notice
    channel: str
    attempts: int
    problem: str | None


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


def unrouted(connection: sa.Connection, limit: int) -> list[Notice]:
    """Return the oldest notices of which nobody has decided yet who is told."""
    query = sa.select(*_COLUMNS).where(notice.c.routed_at.is_(None)).order_by(notice.c.id).limit(limit)
    return [Notice(*row) for row in connection.execute(query)]


def route(connection: sa.Connection, notice_id: int, channels: list[str], at: datetime) -> None:
    """Decide who is told: each of these channels, from an instant on."""
    connection.execute(sa.update(notice).where(notice.c.id == notice_id).values(routed_at=datetime.now(UTC)))
    rows = [{"notice_id": notice_id, "channel": each, "attempts": 0, "next_at": at} for each in channels]
    if rows:
        connection.execute(insert_new(connection, delivery), rows)


def pending(connection: sa.Connection, *, due: datetime | None = None) -> list[Delivery]:
    """Return the deliveries that are neither sent nor given up, oldest notice first; of these only what is due."""
    query = (
        sa.select(delivery.c.id, delivery.c.channel, delivery.c.attempts, delivery.c.problem, *_COLUMNS)
        .join(notice, notice.c.id == delivery.c.notice_id)
        .where(delivery.c.done_at.is_(None))
        .order_by(notice.c.id, delivery.c.id)
    )
    if due is not None:
        query = query.where(delivery.c.next_at <= due)
    return [
        Delivery(number, Notice(*rest), channel, attempts, problem)
        for number, channel, attempts, problem, *rest in connection.execute(query)
    ]


def finish(connection: sa.Connection, delivery_id: int, outcome: str) -> None:
    """Note that a delivery was sent, dropped, or that another channel has taken it over."""
    values = {"done_at": datetime.now(UTC), "outcome": outcome}
    connection.execute(sa.update(delivery).where(delivery.c.id == delivery_id).values(**values))


def postpone(connection: sa.Connection, delivery_id: int, until: datetime, problem: str) -> None:
    """Note that an attempt has failed, and when the next one is due."""
    values = {"attempts": delivery.c.attempts + 1, "next_at": until, "problem": problem}
    connection.execute(sa.update(delivery).where(delivery.c.id == delivery_id).values(**values))


def wait(connection: sa.Connection, delivery_id: int, until: datetime) -> None:
    """Note that a delivery is not tried before an instant, without anything having failed."""
    connection.execute(sa.update(delivery).where(delivery.c.id == delivery_id).values(next_at=until))


def last_sent(connection: sa.Connection, incident: int, channel: str) -> datetime | None:
    """Return when a channel was last told of an incident; None: never."""
    query = (
        sa.select(sa.func.max(delivery.c.done_at))
        .join(notice, notice.c.id == delivery.c.notice_id)
        .where(notice.c.incident_id == incident, delivery.c.channel == channel, delivery.c.outcome == SENT)
    )
    return connection.execute(query).scalar()


def told_channels(connection: sa.Connection, incident: int) -> list[str]:
    """Return the channels that were told of an incident, or are about to be."""
    query = (
        sa.select(delivery.c.channel)
        .join(notice, notice.c.id == delivery.c.notice_id)
        .where(notice.c.incident_id == incident, delivery.c.outcome.is_distinct_from(DROPPED))
        .distinct()
    )
    return sorted(connection.execute(query).scalars())
