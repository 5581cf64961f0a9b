"""Plans as they were made, and what became of each of their items."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.errors import UsageError
from tidemark.ledger.schema import asset, partition, plan, plan_item

# With these words an item's detail begins that a run has left to one as of a later instant.
LEFT = "left to a later run"


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
    settled: int | None
    wakes_at: datetime | None
    definitions: bytes
    context: Mapping[str, Any]
    seconds: float | None = None


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
    wakes_at: datetime | None,
    definitions: bytes,
    context: Mapping[str, Any],
    items: Iterable[tuple[int, int, int, str, str, bool]],
    seconds: float | None = None,
) -> int:
    """Write a plan down with its items (asset id, partition id, lane, certainty, reason, forced); returns its id.

    ``seconds`` is how long looking and deciding took, where somebody has measured it.
    """
    values = {
        "environment": environment,
        "pipeline": pipeline,
        "as_of": as_of,
        "made_at": datetime.now(UTC),
        "run": run,
        "actor": actor,
        "seq": seq,
        "wakes_at": wakes_at,
        "definitions": definitions,
        "context": dict(context),
        "seconds": seconds,
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


def since(connection: sa.Connection, environment: str, pipeline: str, instant: datetime) -> Iterator[StoredPlan]:
    """Yield the plans of a pipeline that were made at an instant or later, newest first."""
    one = newest(connection, environment, pipeline)
    while one is not None and one.made_at >= instant:
        yield one
        one = newest(connection, environment, pipeline, before=one.id)


def first_made_at(connection: sa.Connection, environment: str, pipeline: str) -> datetime | None:
    """Return when the first plan of a pipeline was made; None: there is none."""
    query = sa.select(plan.c.made_at).where(plan.c.environment == environment, plan.c.pipeline == pipeline)
    found: datetime | None = connection.execute(query.order_by(plan.c.id).limit(1)).scalar()
    return found


def is_whole(plan: StoredPlan) -> bool:
    """Return whether a plan was asked for all partitions, and not for those of some time only."""
    return not (plan.context["first"] or plan.context["last"])


def places(connection: sa.Connection, plan_id: int, *, left_over: bool) -> list[tuple[int, int]]:
    """Return the items of a plan as (asset id, partition id): all, or those that nobody has brought to a result."""
    query = sa.select(plan_item.c.asset_id, plan_item.c.partition_id).where(plan_item.c.plan_id == plan_id)
    if left_over:
        query = query.where(plan_item.c.outcome.is_(None))
    return [(asset_id, number) for asset_id, number in connection.execute(query)]


def is_done(connection: sa.Connection, plan: StoredPlan) -> bool:
    """Return whether a plan was worked off, whatever it came to."""
    return plan.settled is not None or not places(connection, plan.id, left_over=True)


def settle(connection: sa.Connection, plan_id: int, seq: int) -> None:
    """Note that a plan is worked off, and that up to a change heads and gaps are what readers see."""
    connection.execute(sa.update(plan).where(plan.c.id == plan_id).values(settled=seq))


def newest_as_of(connection: sa.Connection, environment: str) -> datetime | None:
    """Return the latest instant that a plan of an environment took for now."""
    found: datetime | None = connection.execute(_NEWEST_AS_OF, {"environment": environment}).scalar()
    return found


def later_as_of(connection: sa.Connection, environment: str, pipeline: str, as_of: datetime) -> datetime | None:
    """Return the latest instant, later than one, that a pipeline's plans took for now, if any, however they came."""
    asked = {"environment": environment, "pipeline": pipeline, "as_of": as_of}
    found: datetime | None = connection.execute(_LATER_AS_OF, asked).scalar()
    return found


def was_left(connection: sa.Connection, plan_id: int) -> bool:
    """Return whether something of a plan was left to a run that takes a later instant for now."""
    query = sa.select(plan_item.c.plan_id).where(plan_item.c.plan_id == plan_id, plan_item.c.detail.startswith(LEFT))
    return connection.execute(query.limit(1)).first() is not None


# Built once: see heads.
_NEWEST_AS_OF = sa.select(sa.func.max(plan.c.as_of)).where(plan.c.environment == sa.bindparam("environment"))
_LATER_AS_OF = sa.select(sa.func.max(plan.c.as_of)).where(
    plan.c.environment == sa.bindparam("environment"),
    plan.c.pipeline == sa.bindparam("pipeline"),
    plan.c.as_of > sa.bindparam("as_of"),
)


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
        connection.execute(_OUTCOME, rows)


_OUTCOME = (
    sa.update(plan_item)
    .where(
        plan_item.c.plan_id == sa.bindparam("b_plan"),
        plan_item.c.asset_id == sa.bindparam("b_asset"),
        plan_item.c.partition_id == sa.bindparam("b_partition"),
    )
    .values(outcome=sa.bindparam("outcome"), detail=sa.bindparam("detail"))
)
