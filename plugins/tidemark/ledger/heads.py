"""Heads: what is live for an asset's partition in an environment, and the numbered changes that made it so."""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.registry import chunks
from tidemark.ledger.schema import asset, change, code_version, gap, head_log, materialization, touch

PROD = "prod"

Missing = frozenset[tuple[str, str]]
FINAL: Missing = frozenset()


class Head(NamedTuple):
    """What is live for one partition.

    Attributes:
        materialization: id of the materialization.
        action_key: its action key, 32 bytes.
        data_version: its logical content, 32 bytes.
        code_version: id of its code version; None for a delivery.
        missing: what it was made without, as (asset, partition key); empty: final.

    """

    materialization: int
    action_key: bytes
    data_version: bytes
    code_version: int | None
    missing: Missing


@dataclass(frozen=True)
class Move:
    """One change of a head: to a materialization, to nothing (None), or of its marks alone.

    Attributes:
        asset_id: whose head moves.
        partition_id: whose head moves.
        before: the materialization that is live now, or None.
        materialization: the one that will be.
        missing: what it is provisional for.
        reason: why, in words.

    """

    asset_id: int
    partition_id: int
    before: int | None
    materialization: int | None
    missing: Missing
    reason: str


class Touch(NamedTuple):
    """What a change that moves no head is about: a partition (None: all) of an asset, in an environment (None: all)."""

    environment: str | None
    asset_id: int
    partition_id: int | None


def new_change(connection: sa.Connection, *, run: str, actor: str, touches: Iterable[Touch] = ()) -> int:
    """Number a change; the number is this transaction's, and larger than any that is visible.

    Args:
        connection: a transaction that writes.
        run: the run that changes something.
        actor: who started it.
        touches: what the change is about, as far as it does not move that head.

    """
    take_turn(connection, Turn.HEADS)
    values = {"at": datetime.now(UTC), "run": run, "actor": actor}
    seq = int(connection.execute(sa.insert(change).values(**values).returning(change.c.seq)).scalar_one())
    rows = [{"seq": seq, "position": place, **each._asdict()} for place, each in enumerate(touches)]
    if rows:
        connection.execute(sa.insert(touch), rows)
    return seq


def newest_change(connection: sa.Connection) -> int:
    """Return the number of the newest change, 0 before the first."""
    return int(connection.execute(_NEWEST).scalar_one())


_NEWEST = sa.select(sa.func.coalesce(sa.func.max(change.c.seq), 0))


class Changed(NamedTuple):
    """What one change is about: a head that moved, or what a person or an observation has said of a partition."""

    seq: int
    run: str
    environment: str | None
    asset_id: int
    partition_id: int | None


def changes_since(connection: sa.Connection, seq: int) -> list[Changed]:
    """Return what every change after one was about, in order."""
    rows = [Changed(*row) for query in _SINCE for row in connection.execute(query, {"since": seq})]
    return sorted(rows, key=lambda each: each.seq)


def _since(about: sa.Table, seq: "sa.Column[int]") -> sa.Select[Any]:
    columns = (change.c.seq, change.c.run, about.c.environment, about.c.asset_id, about.c.partition_id)
    return sa.select(*columns).join(about, seq == change.c.seq).where(change.c.seq > sa.bindparam("since"))


_SINCE = (_since(head_log, head_log.c.from_seq), _since(touch, touch.c.seq))


def changed_since(
    connection: sa.Connection, seq: int, own: Container[int], concerns: Callable[[Changed], bool]
) -> bool:
    """Return whether somebody else has changed something since a change that concerns the asker.

    Args:
        connection: a transaction; where nobody else may change anything after the answer, one that has its turn.
        seq: number of the newest change that the asker knows.
        own: numbers of the asker's own changes.
        concerns: whether it matters to the asker what a change was about.

    """
    if newest_change(connection) == seq:
        return False
    return any(each.seq not in own and concerns(each) for each in changes_since(connection, seq))


def current(
    connection: sa.Connection, environment: str, asset_id: int, first: int | None = None, last: int | None = None
) -> dict[int, Head]:
    """Return the live heads of an asset by partition id; a branch falls back to ``prod`` for what it did not change.

    If asked, those of a range of ids, in which both ends are.

    Marks alone are no such change: they are the branch's, and the materialization follows ``prod``.
    """
    found: dict[int, Head] = {}
    between = {"first": first, "last": last} if first is not None else {}
    for name in dict.fromkeys((PROD, environment)):
        rows = connection.execute(_live(bool(between)), {"environment": name, "asset_id": asset_id, **between}).all()
        for partition_id, made, action_key, data_version, code, missing, follows in rows:
            if follows and (partition_id not in found or found[partition_id].materialization != made):
                continue  # prod has moved on, with marks of its own
            if made is None:
                found.pop(partition_id, None)
            else:
                marks = _marks(missing) if missing else FINAL
                found[partition_id] = Head(made, bytes(action_key), bytes(data_version), code, marks)
    return found


def _marks(missing: str | list[list[str]]) -> Missing:
    """Return what a head lacks from JSON as the driver gives it: SQLite's as text, PostgreSQL's read already."""
    read = json.loads(missing) if isinstance(missing, str) else missing
    return frozenset((asset, key) for asset, key in read)


# Statements that every run makes many times over are built once: building one costs more than SQLite takes for it.
@cache
def _live(ranged: bool) -> sa.Select[Any]:
    columns = head_log.c
    query = (
        sa.select(
            columns.partition_id,
            columns.materialization_id,
            # Taken as the driver gives them: a million calls to convert what needs no conversion are a second.
            sa.type_coerce(materialization.c.action_key, sa.types.NullType()),
            sa.type_coerce(materialization.c.data_version, sa.types.NullType()),
            materialization.c.code_version_id,
            sa.type_coerce(columns.missing, sa.types.NullType()),
            sa.type_coerce(columns.follows, sa.types.NullType()),
        )
        .select_from(head_log.outerjoin(materialization, columns.materialization_id == materialization.c.id))
        .where(
            columns.environment == sa.bindparam("environment"),
            columns.asset_id == sa.bindparam("asset_id"),
            columns.to_seq.is_(None),
        )
    )
    return query.where(columns.partition_id.between(sa.bindparam("first"), sa.bindparam("last"))) if ranged else query


def live_ids(
    connection: sa.Connection,
    asset_id: int,
    partition_ids: Container[int],
    first: int | None = None,
    last: int | None = None,
) -> dict[int, int | None]:
    """Return which materialization is live in ``prod`` for each of some partitions of an asset, None where none is.

    Args:
        connection: a transaction.
        asset_id: the asset.
        partition_ids: the partitions.
        first: the least of them, if what is read is to be limited.
        last: the greatest.

    """
    columns = head_log.c
    query = sa.select(columns.partition_id, columns.materialization_id).where(
        columns.environment == PROD, columns.asset_id == asset_id, columns.to_seq.is_(None)
    )
    if first is not None:
        query = query.where(columns.partition_id.between(first, last))
    return {number: made for number, made in connection.execute(query).all() if number in partition_ids}


def counted(connection: sa.Connection, environment: str, asset_id: int) -> tuple[int, int]:
    """Return how many partitions of an asset are live, and how many of these are provisional."""
    if environment != PROD:  # what a branch has changed stands before what prod has
        live = current(connection, environment, asset_id).values()
        return len(live), sum(bool(head.missing) for head in live)
    columns = head_log.c
    query = sa.select(sa.func.count(columns.materialization_id), sa.func.count(columns.missing)).where(
        columns.environment == environment, columns.asset_id == asset_id, columns.to_seq.is_(None)
    )
    row = connection.execute(query).one()
    return int(row[0]), int(row[1])


def ends(connection: sa.Connection, environment: str, pipeline: str, asset_id: int) -> tuple[int, int] | None:
    """Return the least and the greatest id of an asset's partitions with a head or a gap; None where there are none."""
    found: list[int] = []
    for name in dict.fromkeys((PROD, environment)):
        live = (head_log.c.environment == name, head_log.c.asset_id == asset_id, head_log.c.to_seq.is_(None))
        found += _ends(connection, head_log.c.partition_id, live)
    lacking = (gap.c.environment == environment, gap.c.pipeline == pipeline, gap.c.asset_id == asset_id)
    found += _ends(connection, gap.c.partition_id, lacking)
    return (min(found), max(found)) if found else None


def _ends(connection: sa.Connection, column: "sa.Column[int]", where: tuple[sa.ColumnElement[bool], ...]) -> list[int]:
    # Two queries: only then SQLite looks at both ends of the index and nowhere else.
    asked = (sa.select(each(column)).where(*where) for each in (sa.func.min, sa.func.max))
    return [number for query in asked if (number := connection.execute(query).scalar()) is not None]


def current_ids(
    connection: sa.Connection, environment: str, asset_id: int, partition_ids: Iterable[int]
) -> dict[int, int | None]:
    """Return the materialization that is live for each of some partitions, by what this environment itself has."""
    found: dict[int, int | None] = {}
    for some in chunks(partition_ids):
        query = sa.select(head_log.c.partition_id, head_log.c.materialization_id).where(
            head_log.c.environment == environment,
            head_log.c.asset_id == asset_id,
            head_log.c.to_seq.is_(None),
            head_log.c.follows.is_(False),
            head_log.c.partition_id.in_(some),
        )
        found.update((row.partition_id, row.materialization_id) for row in connection.execute(query))
    return found


def move(connection: sa.Connection, environment: str, moves: Iterable[Move], seq: int) -> list[Move]:
    """Move heads under one change, by compare-and-swap; returns the moves that were made.

    A move is left out where another head than the expected one is live by now.
    """
    wanted = list(moves)
    by_asset: dict[int, list[int]] = {}
    for each in wanted:
        by_asset.setdefault(each.asset_id, []).append(each.partition_id)
    live = {asset: current_ids(connection, environment, asset, parts) for asset, parts in by_asset.items()}
    # A branch has no row of its own for what it still takes from prod.
    rows = [each for each in wanted if live[each.asset_id].get(each.partition_id, each.before) == each.before]
    if not rows:
        return []
    made: dict[int, list[int]] = {}
    for each in rows:
        made.setdefault(each.asset_id, []).append(each.partition_id)
    for asset_id, partition_ids in made.items():
        for some in chunks(partition_ids):
            connection.execute(
                sa.update(head_log)
                .where(
                    head_log.c.environment == environment,
                    head_log.c.asset_id == asset_id,
                    head_log.c.partition_id.in_(some),
                    head_log.c.to_seq.is_(None),
                )
                .values(to_seq=seq)
            )
    connection.execute(
        sa.insert(head_log),
        [
            {
                "environment": environment,
                "asset_id": each.asset_id,
                "partition_id": each.partition_id,
                "materialization_id": each.materialization,
                "missing": sorted(map(list, each.missing)) if each.missing else None,
                "follows": _follows(environment, each, live[each.asset_id]),
                "reason": each.reason,
                "from_seq": seq,
            }
            for each in rows
        ],
    )
    return rows


def newest_marks(
    connection: sa.Connection, environment: str, asset_id: int, partition_id: int, materialization_id: int
) -> Missing:
    """Return what a materialization was provisional for when it was last live; final if it never was."""
    query = (
        sa.select(head_log.c.missing)
        .where(
            head_log.c.environment.in_([PROD, environment]),
            head_log.c.asset_id == asset_id,
            head_log.c.partition_id == partition_id,
            head_log.c.materialization_id == materialization_id,
        )
        .order_by(head_log.c.from_seq.desc(), head_log.c.id.desc())
        .limit(1)
    )
    missing = connection.execute(query).scalar()
    return frozenset((asset, key) for asset, key in missing) if missing else FINAL


def _follows(environment: str, move: Move, own: Mapping[int, int | None]) -> bool:
    """Return whether a move only marks what a branch takes from ``prod``."""
    marks = move.materialization is not None and move.materialization == move.before
    return marks and environment != PROD and move.partition_id not in own


class HistoryEntry(NamedTuple):
    """One head that was or is live, newest last."""

    seq: int
    at: datetime
    until_seq: int | None
    materialization: int | None
    data_version: bytes | None
    missing: Missing
    reason: str
    run: str
    actor: str


def history(connection: sa.Connection, environment: str, asset_id: int, partition_id: int) -> list[HistoryEntry]:
    """Return every head that a partition has had in an environment, oldest first."""
    query = (
        sa.select(
            head_log.c.from_seq,
            change.c.at,
            head_log.c.to_seq,
            head_log.c.materialization_id,
            materialization.c.data_version,
            head_log.c.missing,
            head_log.c.reason,
            change.c.run,
            change.c.actor,
        )
        .select_from(
            head_log.join(change, change.c.seq == head_log.c.from_seq).outerjoin(
                materialization, head_log.c.materialization_id == materialization.c.id
            )
        )
        .where(
            head_log.c.environment == environment,
            head_log.c.asset_id == asset_id,
            head_log.c.partition_id == partition_id,
        )
        .order_by(head_log.c.from_seq, head_log.c.id)
    )
    return [
        HistoryEntry(*row[:5], frozenset((asset, key) for asset, key in row[5] or ()), *row[6:])
        for row in connection.execute(query)
    ]


def moved_since(connection: sa.Connection, environment: str, asset_ids: Iterable[int], seq: int) -> set[int]:
    """Return which of some assets have had a head moved after a change, as an environment sees them."""
    query = sa.select(head_log.c.asset_id).where(
        head_log.c.environment.in_([PROD, environment]),
        head_log.c.asset_id.in_(list(asset_ids)),
        head_log.c.from_seq > seq,
    )
    return set(connection.execute(query.distinct()).scalars())


class LiveCode(NamedTuple):
    """The code behind the newest live result of an asset: with which Python and which distributions it was made."""

    asset: str
    python: str
    distributions: dict[str, str]


def live_codes(connection: sa.Connection, environment: str) -> list[LiveCode]:
    """Return the code behind the newest live result of each asset, in an environment or where it falls back to prod.

    Args:
        connection: a transaction.
        environment: the named set of heads.

    """
    found: dict[str, LiveCode] = {}
    for name in dict.fromkeys((PROD, environment)):
        newest = (
            sa.select(sa.func.max(head_log.c.materialization_id).label("id"))
            .select_from(head_log.join(materialization, head_log.c.materialization_id == materialization.c.id))
            .where(
                head_log.c.environment == name,
                head_log.c.to_seq.is_(None),
                materialization.c.code_version_id.is_not(None),
            )
            .group_by(head_log.c.asset_id)
            .subquery()
        )
        query = sa.select(asset.c.name, code_version.c.python, code_version.c.distributions).select_from(
            newest.join(materialization, materialization.c.id == newest.c.id)
            .join(asset, asset.c.id == materialization.c.asset_id)
            .join(code_version, code_version.c.id == materialization.c.code_version_id)
        )
        for row in connection.execute(query):
            found[row.name] = LiveCode(row.name, row.python, {name: version for name, version in row.distributions})
    return sorted(found.values())
