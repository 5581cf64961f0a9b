"""Counts over the whole ledger, all environments at once: what is watched from outside, in one statement a kind.

A branch is counted by the rows of its own: what it still takes from ``prod`` is counted there.
"""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.ledger.records import COMPUTED, DELIVERED
from tidemark.ledger.schema import (
    asset,
    change,
    gap,
    gate_result,
    head_log,
    heartbeat,
    hold,
    incident,
    materialization,
    observation,
    partition,
    plan,
)
from tidemark.ledger.sources import REJECTED


class State(NamedTuple):
    """How far the ledger has grown: as long as this stays, so does what is counted over its history."""

    change: int
    materialization: int
    observation: int
    plan: int


def state(connection: sa.Connection) -> State:
    """Return how far the ledger has grown; looks at the ends of four indexes and at nothing else."""
    columns = (change.c.seq, materialization.c.id, observation.c.id, plan.c.id)
    newest = (sa.select(sa.func.coalesce(sa.func.max(each), 0)) for each in columns)
    return State(*(int(connection.execute(query).scalar_one()) for query in newest))


class Live(NamedTuple):
    """The heads of one asset in one environment.

    Attributes:
        environment: whose heads.
        asset: id of the asset.
        final: how many are final.
        provisional: how many are provisional.
        newest: id of the newest live partition, None where nothing is live.
        moved: number of the change that moved one of them last.
        marked: number of the change since which the oldest provisional one is as it is; None where none is.

    """

    environment: str
    asset: int
    final: int
    provisional: int
    newest: int | None
    moved: int | None
    marked: int | None


def live(connection: sa.Connection) -> list[Live]:
    """Count the heads by environment and asset."""
    columns = head_log.c
    there = columns.materialization_id.is_not(None)
    provisional = sa.func.count(columns.missing)
    query = (
        sa.select(
            columns.environment,
            columns.asset_id,
            sa.func.count(columns.materialization_id) - provisional,
            provisional,
            sa.func.max(sa.case((there, columns.partition_id))),
            sa.func.max(sa.case((there, columns.from_seq))),
            sa.func.min(sa.case((columns.missing.is_not(None), columns.from_seq))),
        )
        .where(columns.to_seq.is_(None))
        .group_by(columns.environment, columns.asset_id)
    )
    return [Live(*row) for row in connection.execute(query)]


def periods_of(connection: sa.Connection, partition_ids: set[int]) -> dict[int, tuple[datetime, datetime]]:
    """Return when the periods of some partitions begin and end; those without a period are left out."""
    columns = partition.c
    query = sa.select(columns.id, columns.starts_at, columns.ends_at).where(
        columns.id.in_(partition_ids), columns.starts_at.is_not(None), columns.ends_at.is_not(None)
    )
    return {number: (starts, ends) for number, starts, ends in connection.execute(query)}


def moments_of(connection: sa.Connection, changes: set[int]) -> dict[int, datetime]:
    """Return when some changes were made."""
    query = sa.select(change.c.seq, change.c.at).where(change.c.seq.in_(changes))
    return {seq: at for seq, at in connection.execute(query)}


class Batches(NamedTuple):
    """What was computed of one asset in one environment, ever.

    Attributes:
        environment: where.
        asset: id of the asset.
        batches: in how many runs.
        partitions: how many partitions came out.
        failures: how many computations failed, or killed their workers.
        seconds: what all of them took.

    """

    environment: str
    asset: int
    batches: int
    partitions: int
    failures: int
    seconds: float


def batches(connection: sa.Connection) -> list[Batches]:
    """Count what was computed, by environment and asset."""
    columns = materialization.c
    computed = sa.func.count(sa.case((columns.status == COMPUTED, 1)))
    query = (
        sa.select(
            columns.environment,
            columns.asset_id,
            sa.func.count(columns.run.distinct()),
            computed,
            sa.func.count() - computed,
            sa.func.coalesce(sa.func.sum(columns.seconds), 0.0),
        )
        .where(columns.status != DELIVERED)
        .group_by(columns.environment, columns.asset_id)
    )
    return [Batches(*row) for row in connection.execute(query)]


class Plans(NamedTuple):
    """The plans of one pipeline in one environment.

    Attributes:
        environment: where.
        pipeline: whose.
        timed: of how many it is known what they took: the oldest were made before that was kept.
        seconds: what those took.
        last: when the newest was made.

    """

    environment: str
    pipeline: str
    timed: int
    seconds: float
    last: datetime


def plans(connection: sa.Connection) -> list[Plans]:
    """Count the plans by environment and pipeline."""
    columns = plan.c
    query = sa.select(
        columns.environment,
        columns.pipeline,
        sa.func.count(columns.seconds),
        sa.func.coalesce(sa.func.sum(columns.seconds), 0.0),
        sa.func.max(columns.made_at),
    ).group_by(columns.environment, columns.pipeline)
    return [Plans(*row) for row in connection.execute(query)]


def gate_failures(connection: sa.Connection) -> list[tuple[str, str, str, int]]:
    """Count what gates have said other than that data passed: (environment, suite, outcome, how many contents).

    What a gate says is of content and knows no environment: it is counted where that content was made or delivered.
    """
    columns, made = gate_result.c, materialization.c
    each = (
        sa.select(made.environment, columns.suite, columns.outcome, columns.suite_digest, columns.data_version)
        .join(materialization, made.data_version == columns.data_version)
        .where(columns.outcome != "passed")
        .distinct()
        .subquery()
    )
    place = (each.c.environment, each.c.suite, each.c.outcome)
    query = sa.select(*place, sa.func.count()).group_by(*place)
    return [(environment, suite, outcome, count) for environment, suite, outcome, count in connection.execute(query)]


def rejections(connection: sa.Connection) -> list[tuple[str, int, int]]:
    """Count deliveries that were rejected: (environment, asset id, how many)."""
    return _by_asset(connection, observation, observation.c.outcome == REJECTED)


def failed(connection: sa.Connection) -> list[tuple[str, int, int]]:
    """Count partitions whose newest computation failed, or newest delivery was rejected, likewise."""
    return _by_asset(connection, gap, gap.c.failed)


def held(connection: sa.Connection) -> list[tuple[str, int, int]]:
    """Count holds that nobody has lifted, of partitions and of whole assets, likewise."""
    return _by_asset(connection, hold, hold.c.released_at.is_(None))


def _by_asset(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> list[tuple[str, int, int]]:
    environment, number = table.c.environment, table.c.asset_id
    query = sa.select(environment, number, sa.func.count()).where(where).group_by(environment, number)
    return [(name, asset_id, count) for name, asset_id, count in connection.execute(query)]


def open_incidents(connection: sa.Connection) -> list[tuple[str, str, str, int]]:
    """Count open incidents: (environment, cause class, severity, how many)."""
    columns = incident.c
    query = (
        sa.select(columns.environment, columns.cause, columns.severity, sa.func.count())
        .where(columns.resolved_at.is_(None))
        .group_by(columns.environment, columns.cause, columns.severity)
    )
    return [(environment, cause, severity, count) for environment, cause, severity, count in connection.execute(query)]


def heartbeats(connection: sa.Connection) -> dict[str, datetime]:
    """Return when each of those that should show signs of life last did: who has left (holder: None) need not."""
    query = sa.select(heartbeat.c.name, heartbeat.c.at, heartbeat.c.detail)
    return {name: at for name, at, detail in connection.execute(query) if detail.get("holder", name) is not None}


class Member(NamedTuple):
    """What the ledger knows of a source or an asset."""

    name: str
    pipeline: str
    kind: str
    gate: str | None
    given_up: bool


def members(connection: sa.Connection) -> dict[int, Member]:
    """Return all sources and assets by id."""
    query = sa.select(asset.c.id, asset.c.name, asset.c.pipeline, asset.c.kind, asset.c.definition)
    return {
        number: Member(name, pipeline, kind, definition.get("gate"), bool(definition.get("given_up")))
        for number, name, pipeline, kind, definition in connection.execute(query)
    }
