"""Plans as they were made, and what became of each of their items."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.errors import UsageError
from tidemark.ledger.schema import asset, partition, plan, plan_item


@dataclass(frozen=True)
class StoredPlan:
    """What a plan was made from."""

    id: int
    environment: str
    pipeline: str
    as_of: datetime
    made_at: datetime
    run: str
    actor: str
    seq: int
    definitions: bytes
    context: Mapping[str, Any]


class StoredItem(NamedTuple):
    """One item of a plan, and what became of it; an outcome of None means that no worker ever reached it."""

    asset: str
    partition: str
    lane: int
    certainty: str
    reason: str
    forced: bool
    outcome: str | None
    detail: str | None


def write(
    connection: sa.Connection,
    *,
    environment: str,
    pipeline: str,
    as_of: datetime,
    run: str,
    actor: str,
    seq: int,
    definitions: bytes,
    context: Mapping[str, Any],
    items: Iterable[tuple[int, int, int, str, str, bool]],
) -> int:
    """Write a plan down with its items (asset id, partition id, lane, certainty, reason, forced); returns its id."""
    values = {
        "environment": environment,
        "pipeline": pipeline,
        "as_of": as_of,
        "made_at": datetime.now(UTC),
        "run": run,
        "actor": actor,
        "seq": seq,
        "definitions": definitions,
        "context": dict(context),
    }
    plan_id = int(connection.execute(sa.insert(plan).values(**values).returning(plan.c.id)).scalar_one())
    names = ("asset_id", "partition_id", "lane", "certainty", "reason", "forced")
    rows = [{"plan_id": plan_id, **dict(zip(names, item, strict=True))} for item in items]
    if rows:
        connection.execute(sa.insert(plan_item), rows)
    return plan_id


def read(connection: sa.Connection, plan_id: int) -> StoredPlan:
    """Return a plan.

    Raises:
        UsageError: when there is none of that number.

    """
    row = connection.execute(sa.select(plan).where(plan.c.id == plan_id)).first()
    if row is None:
        raise UsageError(f"the ledger holds no plan {plan_id}")
    return StoredPlan(*row)


def newest(
    connection: sa.Connection, environment: str, pipeline: str, *, before: int | None = None
) -> StoredPlan | None:
    """Return the newest plan of a pipeline, or the newest before one of them; None where there is none."""
    query = sa.select(plan).where(plan.c.environment == environment, plan.c.pipeline == pipeline)
    if before is not None:
        query = query.where(plan.c.id < before)
    row = connection.execute(query.order_by(plan.c.id.desc()).limit(1)).first()
    return StoredPlan(*row) if row else None


def newest_as_of(connection: sa.Connection, environment: str, pipeline: str | None = None) -> datetime | None:
    """Return the latest instant that a plan of an environment, or of one pipeline there, took for now."""
    query = sa.select(sa.func.max(plan.c.as_of)).where(plan.c.environment == environment)
    if pipeline is not None:
        query = query.where(plan.c.pipeline == pipeline)
    return connection.execute(query).scalar()


def items(
    connection: sa.Connection,
    plan_id: int,
    *,
    asset_id: int | None = None,
    lane: int | None = None,
    forced: bool = False,
) -> list[StoredItem]:
    """Return the items of a plan; if asked, those of one asset, of one lane, or that a person forced."""
    query = (
        sa.select(
            asset.c.name,
            partition.c.key,
            plan_item.c.lane,
            plan_item.c.certainty,
            plan_item.c.reason,
            plan_item.c.forced,
            plan_item.c.outcome,
            plan_item.c.detail,
        )
        .join(asset, asset.c.id == plan_item.c.asset_id)
        .join(partition, partition.c.id == plan_item.c.partition_id)
        .where(plan_item.c.plan_id == plan_id)
        .order_by(plan_item.c.asset_id, partition.c.starts_at, partition.c.id)
    )
    if asset_id is not None:
        query = query.where(plan_item.c.asset_id == asset_id)
    if lane is not None:
        query = query.where(plan_item.c.lane == lane)
    if forced:
        query = query.where(plan_item.c.forced)
    return [StoredItem(*row) for row in connection.execute(query)]


def write_outcomes(
    connection: sa.Connection, plan_id: int, outcomes: Iterable[tuple[int, int, str, str | None]]
) -> None:
    """Write down what became of items: (asset id, partition id, outcome, detail) each."""
    rows = [
        {"b_plan": plan_id, "b_asset": asset_id, "b_partition": partition_id, "outcome": outcome, "detail": detail}
        for asset_id, partition_id, outcome, detail in outcomes
    ]
    if rows:
        connection.execute(
            sa.update(plan_item)
            .where(
                plan_item.c.plan_id == sa.bindparam("b_plan"),
                plan_item.c.asset_id == sa.bindparam("b_asset"),
                plan_item.c.partition_id == sa.bindparam("b_partition"),
            )
            .values(outcome=sa.bindparam("outcome"), detail=sa.bindparam("detail")),
            rows,
        )
