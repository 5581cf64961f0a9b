"""The outbox: what was published and must still be told to the outside; written in one transaction with the heads."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import chunks
from tidemark.ledger.schema import asset, outbox, partition


class Event(NamedTuple):
    """One published partition.

    Attributes:
        id: the event's number.
        asset: the asset's name.
        partition: the partition's key.
        state: final or provisional.
        reason: why it was published, in words.
        data_version: its content, 32 bytes.

    """

    id: int
    asset: str
    partition: str
    state: str
    reason: str
    data_version: bytes


def write(
    connection: sa.Connection,
    environment: str,
    published: Iterable[tuple[int, int, str, str, bytes]],
    seq: int,
) -> None:
    """Write events down: (asset id, partition id, state, reason, data version) each."""
    rows = [
        {
            "asset_id": asset_id,
            "partition_id": partition_id,
            "environment": environment,
            "state": state,
            "reason": reason,
            "data_version": data_version,
            "seq": seq,
        }
        for asset_id, partition_id, state, reason, data_version in published
    ]
    if rows:
        connection.execute(sa.insert(outbox), rows)


def unsent(connection: sa.Connection, environment: str, assets: Iterable[str], limit: int) -> list[Event]:
    """Return the oldest events of some assets that were not sent yet."""
    query = (
        sa.select(outbox.c.id, asset.c.name, partition.c.key, outbox.c.state, outbox.c.reason, outbox.c.data_version)
        .join(asset, asset.c.id == outbox.c.asset_id)
        .join(partition, partition.c.id == outbox.c.partition_id)
        .where(outbox.c.environment == environment, asset.c.name.in_(list(assets)), outbox.c.sent_at.is_(None))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [Event(*row) for row in connection.execute(query)]


def mark_sent(connection: sa.Connection, ids: Iterable[int]) -> None:
    """Remember that events were sent."""
    for some in chunks(ids):
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(some)).values(sent_at=datetime.now(UTC)))
