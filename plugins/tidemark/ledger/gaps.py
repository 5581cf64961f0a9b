"""Gaps: what a pipeline knows of partitions that their heads do not say all about.

Invariant: up to the change at which a pipeline's newest plan is settled, head and gap together are what the readers of
each partition see, but for what that plan left to be done: a partition without either does not exist; without a gap, a
head is what it says. Whoever shows a partition to its readers in another way writes its gap in the same transaction.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.heads import FINAL, Missing
from tidemark.ledger.registry import chunks, upsert
from tidemark.ledger.schema import asset, gap


class Gap(NamedTuple):
    """What readers of a partition lack.

    Attributes:
        missing: what is missing, at any depth, as (asset, partition key).
        undue: when what it waits for is due, or None.
        failed: its newest computation failed, or its newest delivery was rejected.
        again: the next plan has to judge it again, whatever has changed.

    """

    missing: Missing = FINAL
    undue: datetime | None = None
    failed: bool = False
    again: bool = False

    @property
    def left(self) -> bool:
        """Whether it is still to be computed, shown to its gate or marked, and nobody has asked for it."""
        return self.again and not self.failed


def read(
    connection: sa.Connection,
    environment: str,
    pipeline: str,
    asset_id: int,
    first: int | None = None,
    last: int | None = None,
) -> dict[int, Gap]:
    """Return the gaps of an asset by partition id; if asked, of a range of ids."""
    asked: dict[str, Any] = {"environment": environment, "pipeline": pipeline, "asset_id": asset_id}
    if first is not None:
        asked |= {"first": first, "last": last}
    rows = connection.execute(_kept(first is not None), asked)
    return {number: Gap(_marks(missing), *rest) for number, missing, *rest in rows}


def assets_with(connection: sa.Connection, environment: str, pipeline: str) -> frozenset[int]:
    """Return the assets of which a pipeline keeps any gap."""
    any_kept = sa.exists().where(
        gap.c.environment == environment, gap.c.pipeline == pipeline, gap.c.asset_id == asset.c.id
    )
    return frozenset(connection.execute(sa.select(asset.c.id).where(any_kept)).scalars())


@cache
def _kept(ranged: bool) -> sa.Select[Any]:
    columns = gap.c
    query = sa.select(columns.partition_id, columns.missing, columns.undue, columns.failed, columns.again).where(
        columns.environment == sa.bindparam("environment"),
        columns.pipeline == sa.bindparam("pipeline"),
        columns.asset_id == sa.bindparam("asset_id"),
    )
    return query.where(columns.partition_id.between(sa.bindparam("first"), sa.bindparam("last"))) if ranged else query


def open_ones(connection: sa.Connection, environment: str, pipeline: str, as_of: datetime) -> list[tuple[int, int]]:
    """Return the partitions that the next plan judges again by themselves, or as due: (asset id, partition id)."""
    mine = (gap.c.environment == environment, gap.c.pipeline == pipeline)
    columns = sa.select(gap.c.asset_id, gap.c.partition_id)
    found: list[tuple[int, int]] = []
    for wanted in (gap.c.again, gap.c.undue <= as_of):
        found += [(asset_id, number) for asset_id, number in connection.execute(columns.where(*mine, wanted))]
    return found


def undue_ones(
    connection: sa.Connection, environment: str, pipeline: str, as_of: datetime
) -> list[tuple[int, int, datetime]]:
    """Return what is waited for and due after as-of: (asset id, partition id, when)."""
    query = sa.select(gap.c.asset_id, gap.c.partition_id, gap.c.undue).where(
        gap.c.environment == environment, gap.c.pipeline == pipeline, gap.c.undue > as_of
    )
    return [(asset_id, number, undue) for asset_id, number, undue in connection.execute(query)]


def write(
    connection: sa.Connection,
    environment: str,
    pipeline: str,
    asset_id: int,
    gaps: Mapping[int, Gap | None],
) -> None:
    """Write down the gaps of some partitions of an asset by id; None: there is none any more."""
    gone = [number for number, each in gaps.items() if each is None]
    for some in chunks(gone):
        connection.execute(
            sa.delete(gap).where(
                gap.c.environment == environment,
                gap.c.pipeline == pipeline,
                gap.c.asset_id == asset_id,
                gap.c.partition_id.in_(some),
            )
        )
    rows = [
        {
            "environment": environment,
            "pipeline": pipeline,
            "asset_id": asset_id,
            "partition_id": number,
            "missing": sorted(map(list, each.missing)) or None,
            "undue": each.undue,
            "failed": each.failed,
            "again": each.again,
        }
        for number, each in gaps.items()
        if each is not None
    ]
    if rows:
        connection.execute(upsert(connection, gap), rows)


def forget(connection: sa.Connection, environment: str, pipeline: str, asset_ids: Iterable[int]) -> None:
    """Delete what a pipeline kept of all assets but these: of what it has given up."""
    connection.execute(
        sa.delete(gap).where(
            gap.c.environment == environment, gap.c.pipeline == pipeline, gap.c.asset_id.not_in(list(asset_ids))
        )
    )


def _marks(missing: list[list[str]] | None) -> Missing:
    return frozenset((asset, key) for asset, key in missing) if missing else FINAL
