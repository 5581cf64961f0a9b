"""Heartbeats: when a process was last alive, and what it keeps in mind until it looks again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.registry import upsert
from tidemark.ledger.schema import heartbeat


class Beat(NamedTuple):
    """The newest sign of life under a name.

    Attributes:
        at: when it was given.
        detail: what was left with it, JSON-ready.

    """

    at: datetime
    detail: dict[str, Any]


def read(connection: sa.Connection, name: str) -> Beat | None:
    """Return the newest sign of life under a name; None: there never was one."""
    row = connection.execute(sa.select(heartbeat.c.at, heartbeat.c.detail).where(heartbeat.c.name == name)).first()
    return Beat(*row) if row else None


def write(connection: sa.Connection, name: str, detail: Mapping[str, Any], *, at: datetime | None = None) -> None:
    """Give a sign of life under a name, of now or of an instant."""
    row = {"name": name, "at": at or datetime.now(UTC), "detail": dict(detail)}
    connection.execute(upsert(connection, heartbeat).values(**row))


def remember(connection: sa.Connection, name: str, what: str, kept: Any) -> None:
    """Keep something in mind, JSON-ready, beside the newest sign of life under a name, which it is not itself."""
    take_heartbeats(connection)
    found = read(connection, name)
    write(connection, name, {**(found.detail if found else {}), what: kept}, at=found.at if found else None)


def take_heartbeats(connection: sa.Connection) -> None:
    """Wait until nobody else changes what is under a name, and keep it so until the transaction ends."""
    take_turn(connection, Turn.WATCH)
