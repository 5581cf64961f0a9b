"""Materializations: what was computed or delivered, from what, and whether it passed its gate. Written once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import chunks, insert_new
from tidemark.ledger.schema import Digest, asset, gate_result, materialization, materialization_input, partition

DELIVERED = "delivered"
COMPUTED = "computed"
FAILED = "failed"
DIED = "died"  # failed by killing the workers that computed it

# The types that a source may declare, by the names under which a delivery keeps them.
_TYPES: dict[str, type] = {each.__name__: each for each in (str, int, float, bool, date, datetime, Decimal)}


@dataclass(frozen=True)
class InputRecord:
    """What one parameter read: members as (partition key, data version or None for ABSENT, materialization or None)."""

    parameter: str
    asset_id: int
    mapping: str
    digest: bytes
    members: tuple[tuple[str, bytes | None, int | None], ...]


@dataclass(frozen=True)
class Record:
    """A materialization to be written down; sizes in bytes, time in seconds; a failure with the suite it was under.

    ``declared`` is the schema that a delivery was read with: it decides what its content is, as much as its file does.
    """

    asset_id: int
    partition_id: int
    status: str
    action_key: bytes
    code_version: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    data_version: bytes | None = None
    schema_digest: bytes | None = None
    blob: str | None = None
    format: str | None = None
    declared: Mapping[str, type] | None = None
    rows: int | None = None
    size: int | None = None
    seconds: float | None = None
    error: str | None = None
    suite_digest: bytes | None = None
    inputs: tuple[InputRecord, ...] = ()


def write(
    connection: sa.Connection,
    records: Sequence[Record],
    *,
    environment: str,
    run: str,
    actor: str,
    image: str | None = None,
    bundle: str | None = None,
    provisional_ids: Sequence[int] = (),
) -> list[int]:
    """Write materializations down with their inputs and return their ids, in order.

    Args:
        connection: a writing connection.
        records: the materializations.
        environment: in which they were made.
        run: the run that made them.
        actor: who started it.
        image: the container image in which they were made, if that is known.
        bundle: the DAG bundle that the definitions are of, with its version, if that is known.
        provisional_ids: the numbers, one a record, by which records of the same group name each other as inputs.

    """
    if not records:
        return []
    now = datetime.now(UTC)
    rows = [
        {
            "asset_id": each.asset_id,
            "partition_id": each.partition_id,
            "status": each.status,
            "action_key": each.action_key,
            "code_version_id": each.code_version,
            "parameters": each.parameters,
            "data_version": each.data_version,
            "schema_digest": each.schema_digest,
            "blob": each.blob,
            "format": each.format,
            "declared": None if each.declared is None else {name: of.__name__ for name, of in each.declared.items()},
            "rows": each.rows,
            "bytes": each.size,
            "seconds": each.seconds,
            "environment": environment,
            "run": run,
            "actor": actor,
            "error": each.error,
            "suite_digest": each.suite_digest,
            "image": image,
            "bundle": bundle,
            "created_at": now,
        }
        for each in records
    ]
    statement = sa.insert(materialization).returning(materialization.c.id, sort_by_parameter_order=True)
    ids = [int(row[0]) for row in connection.execute(statement, rows)]
    real = dict(zip(provisional_ids, ids, strict=False))
    inputs = [
        {
            "materialization_id": made,
            "position": position,
            "parameter": read.parameter,
            "asset_id": read.asset_id,
            "mapping": read.mapping,
            "members_digest": read.digest,
            "members": [
                # A number of this group whose record was not written down has no id.
                [key, version.hex() if version else None, source if source is None or source >= 0 else real.get(source)]
                for key, version, source in read.members
            ],
        }
        for made, each in zip(ids, records, strict=True)
        for position, read in enumerate(each.inputs)
    ]
    if inputs:
        connection.execute(sa.insert(materialization_input), inputs)
    return ids


class Known(NamedTuple):
    """What is known of an action key.

    Attributes:
        materialization: its newest result, or None.
        data_version: of that result.
        blob: of that result; it may be gone.
        failures: how often it has failed here since.
        error: how it failed last.
        died: whether it has failed by killing the workers that computed it.
        last_failure: id of the newest failure's record, 0 if there is none.

    """

    materialization: int | None
    data_version: bytes | None
    blob: str | None
    failures: int
    error: str | None
    died: bool = False
    last_failure: int = 0


UNKNOWN = Known(None, None, None, 0, None)


def known(
    connection: sa.Connection,
    asset_id: int,
    *,
    environment: str,
    suite: bytes | None,
    partition_ids: Iterable[int],
    image: str | None = None,
) -> dict[tuple[int, bytes], Known]:
    """Return what is known of the action keys of some partitions of an asset, by (partition id, action key).

    The result that was recorded for a key is the one that stays, whoever made it: there is another only where its data
    is gone. Failures count where they happened and under the suite that is in force: elsewhere, or under another, the
    key has not been tried. So do results of an asset with an image that were made without it, as on a laptop: the image
    stands in their key for packages that they have not met.
    """
    found: dict[tuple[int, bytes], Known] = {}
    for some in chunks(partition_ids):
        asked = {"asset_id": asset_id, "environment": environment, "suite": suite, "image": image, "some": some}
        rows = connection.execute(_KNOWN, asked)
        for partition_id, action_key, made, status, version, blob, error in rows:
            before = found.get((partition_id, action_key), UNKNOWN)
            if status in (FAILED, DIED):
                died = before.died or status == DIED
                failed = before._replace(failures=before.failures + 1, error=error, died=died, last_failure=made)
                found[partition_id, action_key] = failed
            else:
                found[partition_id, action_key] = Known(made, version, blob, 0, None)
    return found


# Whether a result is one of its key for an environment, and for an asset with an image.
_COUNTS = sa.or_(
    sa.bindparam("image", type_=sa.Text).is_(None),
    materialization.c.image == sa.bindparam("image", type_=sa.Text),
    materialization.c.environment == sa.bindparam("environment"),
)

# Built once: see heads.
_KNOWN = (
    sa.select(
        materialization.c.partition_id,
        materialization.c.action_key,
        materialization.c.id,
        materialization.c.status,
        materialization.c.data_version,
        materialization.c.blob,
        materialization.c.error,
    )
    .where(
        materialization.c.asset_id == sa.bindparam("asset_id"),
        materialization.c.partition_id.in_(sa.bindparam("some", expanding=True)),
        sa.or_(
            sa.and_(materialization.c.status.not_in((FAILED, DIED)), _COUNTS),
            sa.and_(
                materialization.c.environment == sa.bindparam("environment"),
                materialization.c.suite_digest.is_not_distinct_from(sa.bindparam("suite", type_=Digest)),
            ),
        ),
    )
    .order_by(materialization.c.id)
)

_NEWEST = sa.select(sa.func.coalesce(sa.func.max(materialization.c.id), 0))


def newest(connection: sa.Connection) -> int:
    """Return the id of the newest materialization, 0 before the first."""
    return int(connection.execute(_NEWEST).scalar_one())


def other_results(
    connection: sa.Connection, results: Iterable[Record], *, environment: str, image: str | None = None
) -> list[str]:
    """Return where the data is of results that differ from these and count for the same action keys: see `known`."""
    versions = {(each.partition_id, each.action_key): each.data_version for each in results}
    found: list[str] = []
    for some in chunks({key for _, key in versions}):
        query = sa.select(
            materialization.c.partition_id,
            materialization.c.action_key,
            materialization.c.data_version,
            materialization.c.blob,
        ).where(
            materialization.c.partition_id.in_({number for number, _ in versions}),
            materialization.c.action_key.in_(some),
            materialization.c.status == COMPUTED,
            _COUNTS,
        )
        found += [
            blob
            for number, key, version, blob in connection.execute(query, {"environment": environment, "image": image})
            if versions.get((number, key), version) != version
        ]
    return found


class Stored(NamedTuple):
    """Where the data of a materialization is in the store, and what it takes to read it.

    Attributes:
        blob: its address.
        format: what is stored there.
        declared: the schema that a delivery was accepted with, whatever its source declares by now; None if none was.

    """

    blob: str
    format: str
    declared: dict[str, type] | None = None


class Made(NamedTuple):
    """A materialization as it was written down."""

    id: int
    asset: str
    partition: str
    status: str
    action_key: bytes
    code_version: int | None
    parameters: dict[str, Any]
    data_version: bytes | None
    blob: str | None
    format: str | None
    declared: dict[str, str] | None
    rows: int | None
    size: int | None
    seconds: float | None
    environment: str
    run: str
    actor: str
    error: str | None
    created_at: datetime
    image: str | None
    bundle: str | None

    @property
    def stored(self) -> Stored:
        """Where its data is; it must have some."""
        assert self.blob is not None
        assert self.format is not None
        return _stored(self.blob, self.format, self.declared)


def _stored(blob: str, form: str, declared: dict[str, str] | None) -> Stored:
    return Stored(blob, form, None if declared is None else {name: _TYPES[of] for name, of in declared.items()})


_MADE = (
    sa.select(
        materialization.c.id,
        asset.c.name,
        partition.c.key,
        materialization.c.status,
        materialization.c.action_key,
        materialization.c.code_version_id,
        materialization.c.parameters,
        materialization.c.data_version,
        materialization.c.blob,
        materialization.c.format,
        materialization.c.declared,
        materialization.c.rows,
        materialization.c.bytes,
        materialization.c.seconds,
        materialization.c.environment,
        materialization.c.run,
        materialization.c.actor,
        materialization.c.error,
        materialization.c.created_at,
        materialization.c.image,
        materialization.c.bundle,
    )
    .join(asset, asset.c.id == materialization.c.asset_id)
    .join(partition, partition.c.id == materialization.c.partition_id)
)


def made(connection: sa.Connection, ids: Iterable[int]) -> dict[int, Made]:
    """Return materializations by id."""
    found: dict[int, Made] = {}
    for some in chunks(sorted(set(ids))):
        for row in connection.execute(_MADE.where(materialization.c.id.in_(some))):
            found[row[0]] = Made._make(row)
    return found


def stored_from(connection: sa.Connection, asset_id: int, number: int, limit: int = 500) -> dict[int, Stored]:
    """Return where the data of a materialization is, and of those written next after it.

    Neighbours in time are written one after the other, and who reads one soon reads the next.
    """
    query = (
        sa.select(materialization.c.id, materialization.c.blob, materialization.c.format, materialization.c.declared)
        .where(
            materialization.c.asset_id == asset_id,
            materialization.c.id >= number,
            materialization.c.format.is_not(None),
        )
        .order_by(materialization.c.id)
        .limit(limit)
    )
    return {number: _stored(*kept) for number, *kept in connection.execute(query)}


def made_for(connection: sa.Connection, asset_id: int, partition_id: int) -> list[Made]:
    """Return all materializations of one partition, oldest first."""
    query = _MADE.where(materialization.c.asset_id == asset_id, materialization.c.partition_id == partition_id)
    return [Made._make(row) for row in connection.execute(query.order_by(materialization.c.id))]


def inputs_of(connection: sa.Connection, ids: Iterable[int]) -> dict[int, list[InputRecord]]:
    """Return what materializations read, by their ids, in the order of the parameters."""
    found: dict[int, list[InputRecord]] = {}
    for some in chunks(sorted(set(ids))):
        query = (
            sa.select(materialization_input)
            .where(materialization_input.c.materialization_id.in_(some))
            .order_by(materialization_input.c.materialization_id, materialization_input.c.position)
        )
        for row in connection.execute(query):
            members = tuple((key, bytes.fromhex(v) if v else None, source) for key, v, source in row.members)
            read = InputRecord(row.parameter, row.asset_id, row.mapping, row.members_digest, members)
            found.setdefault(row.materialization_id, []).append(read)
    return found


def gate_outcomes(connection: sa.Connection, suite_digest: bytes) -> dict[bytes, str]:
    """Return the outcome of a suite by data version."""
    query = sa.select(gate_result.c.data_version, gate_result.c.outcome).where(
        gate_result.c.suite_digest == suite_digest
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def gate_details(connection: sa.Connection, suite_digest: bytes, data_version: bytes) -> dict[str, Any] | None:
    """Return the whole result of a suite for a data version, or None if it was not checked."""
    query = sa.select(gate_result.c.result).where(
        gate_result.c.suite_digest == suite_digest, gate_result.c.data_version == data_version
    )
    return connection.execute(query).scalar()


def write_gate_result(
    connection: sa.Connection,
    suite: str,
    suite_digest: bytes,
    data_version: bytes,
    outcome: str,
    result: dict[str, Any],
) -> None:
    """Write down what a suite said of a data version; what was said first stays."""
    row = {
        "suite_digest": suite_digest,
        "data_version": data_version,
        "suite": suite,
        "outcome": outcome,
        "result": result,
        "checked_at": datetime.now(UTC),
    }
    connection.execute(insert_new(connection, gate_result), [row])


def mark_nondeterministic(connection: sa.Connection, asset_id: int) -> None:
    """Remember that an asset gave different results for one action key."""
    connection.execute(sa.update(asset).where(asset.c.id == asset_id).values(nondeterministic=True))


def parameters_of(connection: sa.Connection, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return with which parameters materializations were computed, by id."""
    query = sa.select(materialization.c.id, materialization.c.parameters)
    found: dict[int, dict[str, Any]] = {}
    for some in chunks(sorted(set(ids))):
        found.update((number, kept) for number, kept in connection.execute(query.where(materialization.c.id.in_(some))))
    return found


# How many computations of an asset its mean cost is taken over.
_SAMPLE = 100


def mean_seconds(connection: sa.Connection, asset_ids: Iterable[int]) -> dict[int, float]:
    """Return the mean seconds that a partition of each asset has taken, over its newest partitions."""
    means = {number: connection.execute(_mean(), {"asset_id": number}).scalar() for number in asset_ids}
    return {number: float(mean) for number, mean in means.items() if mean is not None}


@cache
def _mean() -> sa.Select[Any]:
    columns = materialization.c
    newest = (
        sa.select(columns.seconds)
        .where(columns.asset_id == sa.bindparam("asset_id"), columns.seconds.is_not(None))
        .order_by(columns.partition_id.desc())
        .limit(_SAMPLE)
        .subquery()
    )
    return sa.select(sa.func.avg(newest.c.seconds))
