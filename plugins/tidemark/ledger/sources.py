"""Observations: what was seen in the landing zone, and what people declared absent."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.heads import PROD
from tidemark.ledger.registry import chunks
from tidemark.ledger.schema import declaration, observation

ACCEPTED = "accepted"
REJECTED = "rejected"
WITHDRAWN = "withdrawn"


class Observation(NamedTuple):
    """What was seen of one source partition at one time.

    Attributes:
        partition_id: the source's partition.
        outcome: accepted, rejected or withdrawn.
        token: the stat token of the file that was seen.
        settled: an equal token means equal content from now on.
        declaration: digest of what decides how the file is read.
        data_version: its content, or None when it could not be read or is gone.
        suite_digest: the suite that decided, or None.
        materialization: the delivery that was written down.
        problem: why it was rejected.
        id: its number among all observations, which rises; None before it was written down.
        environment: whose it is; None before it was written down.

    """

    partition_id: int
    outcome: str
    token: str | None
    settled: bool
    declaration: bytes
    data_version: bytes | None = None
    suite_digest: bytes | None = None
    materialization: int | None = None
    problem: str | None = None
    id: int | None = None
    environment: str | None = None


class Seen(NamedTuple):
    """The newest observation of a partition, and the newest delivery that was accepted and not withdrawn since."""

    newest: Observation
    accepted: Observation | None


def said(
    connection: sa.Connection, environment: str, asset_id: int, partition_ids: Iterable[int] | None = None
) -> dict[int, tuple[str, str | None]]:
    """Return the newest observation of a source's partitions, as (outcome, problem) by id; if asked, of some only."""
    columns = observation.c
    found: dict[int, tuple[str, str | None]] = {}
    for name in dict.fromkeys((PROD, environment)):
        newest = (
            sa.select(sa.func.max(columns.id).label("id"))
            .where(columns.environment == name, columns.asset_id == asset_id)
            .group_by(columns.partition_id)
        )
        for some in [None] if partition_ids is None else chunks(partition_ids):
            wanted = (newest if some is None else newest.where(columns.partition_id.in_(some))).subquery()
            query = sa.select(columns.partition_id, columns.outcome, columns.problem)
            for number, *rest in connection.execute(query.join(wanted, wanted.c.id == columns.id)):
                found[number] = tuple(rest)
    return found


def seen(
    connection: sa.Connection, environment: str, asset_id: int, partition_ids: Iterable[int] | None = None
) -> dict[int, Seen]:
    """Return what is known of a source's partitions, by partition id; what a branch has not seen is as in ``prod``.

    If asked, of some partitions only.

    Of what ``prod`` has accepted nothing stands in a branch that has rejected that very content.
    """
    newest: dict[int, Observation] = {}
    standing: dict[int, Observation] = {}
    asked = [None] if partition_ids is None else list(chunks(partition_ids))
    for name, some in product(dict.fromkeys((PROD, environment)), asked):
        given = {"environment": name, "asset_id": asset_id} | ({} if some is None else {"partition_ids": some})
        given |= {} if name == environment else {"branch": environment}
        query = _newest_and_standing(branch=name != environment, some=some is not None)
        for *fields, last, stands in connection.execute(query, given).all():
            each = Observation._make(fields)
            if each.id == last:
                newest[each.partition_id] = each
            if each.id == stands:
                standing[each.partition_id] = each
    found: dict[int, Seen] = {}
    for partition_id, each in newest.items():
        last = standing.get(partition_id)
        found[partition_id] = Seen(each, last if last is not None and last.outcome == ACCEPTED else None)
    return found


_SEEN = [observation.c["materialization_id" if name == "materialization" else name] for name in Observation._fields]


# Built once for each form: building it costs more than SQLite takes for it.
@cache
def _newest_and_standing(*, branch: bool, some: bool) -> sa.Select[Any]:
    """Select an environment's newest observation of each partition, and its newest that is no rejection.

    For a branch, what it has rejected is none either; some: of some partitions only.
    """
    columns = observation.c
    stands: sa.ColumnElement[bool] = columns.outcome != REJECTED
    if branch:
        own = observation.alias()
        stands &= ~sa.exists().where(
            own.c.environment == sa.bindparam("branch"),
            own.c.asset_id == columns.asset_id,
            own.c.partition_id == columns.partition_id,
            own.c.outcome == REJECTED,
            own.c.data_version == columns.data_version,
        )
    numbered = sa.select(
        columns.id,
        sa.func.max(columns.id).over(partition_by=columns.partition_id).label("newest"),
        sa.func.max(sa.case((stands, columns.id))).over(partition_by=columns.partition_id).label("standing"),
    ).where(columns.environment == sa.bindparam("environment"), columns.asset_id == sa.bindparam("asset_id"))
    if some:
        numbered = numbered.where(columns.partition_id.in_(sa.bindparam("partition_ids", expanding=True)))
    newest = numbered.subquery()
    return (
        sa.select(*_SEEN, newest.c.newest, newest.c.standing)
        .join(newest, newest.c.id == columns.id)
        .where(sa.or_(columns.id == newest.c.newest, columns.id == newest.c.standing))
    )


def stands_within(connection: sa.Connection, environment: str, asset_id: int, first: int, last: int) -> bool:
    """Return whether a file of a range of partition ids, ends included, was there when it was last looked at."""
    columns = observation.c
    newest = (
        sa.select(sa.func.max(columns.id))
        .where(columns.environment == environment, columns.asset_id == asset_id)
        .where(columns.partition_id.between(first, last))
        .group_by(columns.partition_id)
    )
    query = sa.select(columns.id).where(columns.id.in_(newest), columns.outcome != WITHDRAWN).limit(1)
    return connection.execute(query).first() is not None


def newest(connection: sa.Connection, environment: str, asset_id: int, partition_ids: Iterable[int]) -> dict[int, int]:
    """Return the id of an environment's own newest observation of some partitions; nobody adds one before this ends."""
    take_turn(connection, Turn.OBSERVATIONS)
    found: dict[int, int] = {}
    for some in chunks(partition_ids):
        query = (
            sa.select(observation.c.partition_id, sa.func.max(observation.c.id))
            .where(
                observation.c.environment == environment,
                observation.c.asset_id == asset_id,
                observation.c.partition_id.in_(some),
            )
            .group_by(observation.c.partition_id)
        )
        found.update((partition_id, number) for partition_id, number in connection.execute(query))
    return found


def newest_id(connection: sa.Connection) -> int:
    """Return the id of the newest observation of all, 0 before the first."""
    return int(connection.execute(_NEWEST_ID).scalar_one())


_NEWEST_ID = sa.select(sa.func.coalesce(sa.func.max(observation.c.id), 0))


def write(connection: sa.Connection, environment: str, asset_id: int, observations: Iterable[Observation]) -> None:
    """Write observations of an environment down."""
    now = datetime.now(UTC)
    rows = [
        {
            "environment": environment,
            "asset_id": asset_id,
            "partition_id": each.partition_id,
            "seen_at": now,
            "outcome": each.outcome,
            "token": each.token,
            "settled": each.settled,
            "declaration": each.declaration,
            "data_version": each.data_version,
            "suite_digest": each.suite_digest,
            "materialization_id": each.materialization,
            "problem": each.problem,
        }
        for each in observations
    ]
    if rows:
        connection.execute(sa.insert(observation), rows)


def declared_absent(connection: sa.Connection, asset_id: int) -> dict[int, datetime]:
    """Return when partitions of a source were declared absent by a person, by partition id."""
    query = sa.select(declaration.c.partition_id, declaration.c.declared_at).where(
        declaration.c.asset_id == asset_id, declaration.c.withdrawn_at.is_(None)
    )
    return {partition_id: declared_at for partition_id, declared_at in connection.execute(query)}


def rejected_since(connection: sa.Connection, asset_id: int, newest: Observation) -> datetime:
    """Return when a delivery that is rejected was first seen; that it was seen again since is no news."""
    columns = observation.c
    own = sa.and_(
        columns.environment == newest.environment,
        columns.asset_id == asset_id,
        columns.partition_id == newest.partition_id,
    )
    other = sa.or_(columns.outcome != REJECTED, columns.materialization_id != newest.materialization)
    before = sa.select(sa.func.coalesce(sa.func.max(columns.id), 0)).where(own, other).scalar_subquery()
    query = sa.select(columns.seen_at).where(own, columns.id > before).order_by(columns.id).limit(1)
    since: datetime = connection.execute(query).scalar_one()
    return since


def declared(connection: sa.Connection, asset_id: int, partition_id: int) -> str | None:
    """Return why, and by whom, a partition was declared absent; None if it was not."""
    query = sa.select(declaration.c.why, declaration.c.actor).where(
        declaration.c.asset_id == asset_id,
        declaration.c.partition_id == partition_id,
        declaration.c.withdrawn_at.is_(None),
    )
    row = connection.execute(query).first()
    return f"{row.why} ({row.actor})" if row else None


def declare_absent(connection: sa.Connection, asset_id: int, partition_id: int, *, why: str, actor: str) -> bool:
    """Declare that a delivery will not come; returns whether that is news."""
    take_turn(connection, Turn.HEADS)
    if partition_id in declared_absent(connection, asset_id):
        return False
    values = {
        "asset_id": asset_id,
        "partition_id": partition_id,
        "why": why,
        "actor": actor,
        "declared_at": datetime.now(UTC),
    }
    connection.execute(sa.insert(declaration).values(**values))
    return True


def withdraw_declaration(connection: sa.Connection, asset_id: int, partition_id: int) -> bool:
    """Take back the declaration that a delivery will not come; returns whether there was one."""
    statement = sa.update(declaration).where(
        declaration.c.asset_id == asset_id,
        declaration.c.partition_id == partition_id,
        declaration.c.withdrawn_at.is_(None),
    )
    return bool(connection.execute(statement.values(withdrawn_at=datetime.now(UTC))).rowcount)
