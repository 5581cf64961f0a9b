"""What people did: holds, and the audit log, chained by digests so that no entry can be changed unseen."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tidemark.hashing import digest
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.schema import audit_log, hold

_FIRST = b"\x00" * 32


def holds(connection: sa.Connection, environment: str) -> dict[int, dict[int | None, str]]:
    """Return why assets, or partitions of them, are held: by asset id, then partition id (None: the whole asset)."""
    query = sa.select(hold.c.asset_id, hold.c.partition_id, hold.c.why, hold.c.actor).where(
        hold.c.environment == environment, hold.c.released_at.is_(None)
    )
    found: dict[int, dict[int | None, str]] = {}
    for asset_id, partition_id, why, actor in connection.execute(query):
        found.setdefault(asset_id, {})[partition_id] = f"{why} ({actor})"
    return found


def place_hold(
    connection: sa.Connection, environment: str, asset_id: int, partition_id: int | None, *, why: str, actor: str
) -> bool:
    """Stop re-execution of an asset, or of one partition; returns whether that is news."""
    take_turn(connection, Turn.HEADS)
    if partition_id in holds(connection, environment).get(asset_id, {}):
        return False
    values = {
        "environment": environment,
        "asset_id": asset_id,
        "partition_id": partition_id,
        "why": why,
        "actor": actor,
        "held_at": datetime.now(UTC),
    }
    connection.execute(sa.insert(hold).values(**values))
    return True


def release_hold(connection: sa.Connection, environment: str, asset_id: int, partition_id: int | None) -> bool:
    """Lift the hold of an asset as a whole, or of one partition, and no other; returns whether there was one."""
    statement = sa.update(hold).where(
        hold.c.environment == environment,
        hold.c.asset_id == asset_id,
        hold.c.partition_id == partition_id if partition_id is not None else hold.c.partition_id.is_(None),
        hold.c.released_at.is_(None),
    )
    return bool(connection.execute(statement.values(released_at=datetime.now(UTC))).rowcount)


def _entry_digest(before: bytes, seq: int, at: datetime, actor: str, act: str, detail: Mapping[str, Any]) -> bytes:
    return digest("audit", before, seq, at.astimezone(UTC).isoformat(), actor, act, _typed(detail))


def _typed(value: Any) -> Any:
    """Return JSON values as what they are after a round trip through the database: mappings and lists of scalars."""
    if isinstance(value, Mapping):
        return {str(key): _typed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_typed(item) for item in value]
    return value


def write_audit(connection: sa.Connection, *, actor: str, act: str, detail: Mapping[str, Any]) -> int:
    """Append an entry, chained to the one before, and return its number."""
    take_turn(connection, Turn.AUDIT)
    last = connection.execute(
        sa.select(audit_log.c.seq, audit_log.c.digest).order_by(audit_log.c.seq.desc()).limit(1)
    ).first()
    seq, before = (last.seq + 1, last.digest) if last else (1, _FIRST)
    at = datetime.now(UTC)
    values = {
        "seq": seq,
        "at": at,
        "actor": actor,
        "act": act,
        "detail": _typed(detail),
        "digest": _entry_digest(before, seq, at, actor, act, detail),
    }
    connection.execute(sa.insert(audit_log).values(**values))
    return seq


def first_broken_entry(connection: sa.Connection) -> int | None:
    """Return the number of the first audit entry that was changed, or whose predecessor is gone; None if all hold."""
    before, expected = _FIRST, 1
    for row in connection.execute(sa.select(audit_log).order_by(audit_log.c.seq)):
        wanted = _entry_digest(before, row.seq, row.at, row.actor, row.act, row.detail)
        if row.seq != expected or row.digest != wanted:
            return int(row.seq)
        before, expected = row.digest, expected + 1
    return None
