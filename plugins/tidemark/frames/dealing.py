"""From the parts of an input to a frame of Dask or Spark, whose workers read them side by side.

Invariants: one partition for each row group of the stored files, in the stored order; every column has a type that
holds all its values, nulls and NaN apart, and what an engine has no type for is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from tidemark.errors import UsageError
from tidemark.frames import clusters
from tidemark.frames.annotations import Kind
from tidemark.frames.canonical import AnyType
from tidemark.frames.content import logical_type
from tidemark.frames.members import Member
from tidemark.frames.onworkers import fitted, packed, read_piece
from tidemark.frames.windows import PARTITION

# Rows of a piece of what is no stored file of ours, such as a delivered CSV.
_PIECE = 1 << 20


@dataclass(frozen=True)
class _Piece:
    """What one task reads: a row group of a file that it sees, or the rows themselves, packed."""

    place: str
    group: int
    partition: str | None
    where: str
    payload: bytes | None = None


def dealt(members: Sequence[Member], columns: pa.Schema, kind: Kind, *, windowed: bool, name: str) -> object:
    """Hand input ``name`` over as a frame of Dask or Spark with the given columns, and ``partition`` if windowed.

    Raises:
        UsageError: the engine has no type for a column.
        Unavailable: there is no cluster, or what it needs is not installed.

    """
    if windowed:
        columns = columns.append(pa.field(PARTITION, pa.large_string()))
    return (_dask if kind is Kind.DASK else _spark)(members, columns, windowed, name)


def _dask(members: Sequence[Member], columns: pa.Schema, windowed: bool, name: str) -> object:
    remote = clusters.dask_address() is not None
    clusters.dask_client()
    import dask.dataframe as dd
    import pandas as pd

    clusters.carry_whole()
    schema = columns.serialize().to_pybytes()

    # A local function: plain pickle refuses it, and Dask then takes cloudpickle for all of the graph, which carries the
    # functions of a DAG file whole.
    def read(piece: Any) -> Any:
        import pandas as pd
        import pyarrow as pa

        place, group, partition, where, payload = piece
        if payload is not None:
            table = pa.ipc.open_stream(payload).read_all()
        else:
            table = read_piece(place, group, schema, partition, where)
        return table.to_pandas(types_mapper=pd.ArrowDtype)

    pieces = list(_pieces(members, columns, windowed, remote)) or [_empty(columns)]
    told = [(each.place, each.group, each.partition, each.where, each.payload) for each in pieces]
    meta = columns.empty_table().to_pandas(types_mapper=pd.ArrowDtype)
    return dd.from_map(read, told, meta=meta, enforce_metadata=False, label=name)


def _spark(members: Sequence[Member], columns: pa.Schema, windowed: bool, name: str) -> object:
    theirs = pa.schema([(field.name, _as_in_spark(field.type, f"input {name!r}", field.name)) for field in columns])
    session = clusters.spark_session()
    clusters.carry_whole()
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(theirs, prefer_timestamp_ntz=True)
    remote = clusters.spark_address() is not None
    if remote and any(member.stored_schema is None for member in members):
        return _spark_from_here(session, members, theirs, schema, windowed)
    pieces = [
        (each.place, each.group, each.partition, each.where) for each in _pieces(members, columns, windowed, remote)
    ]
    if not pieces:
        return session.createDataFrame([], schema)
    told = theirs.serialize().to_pybytes()

    def read(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                place, group, partition, where = pieces[number]
                yield from read_piece(place, group, told, partition, where).to_batches(max_chunksize=1 << 16)

    return session.range(0, len(pieces), 1, len(pieces)).mapInArrow(read, schema)


def _spark_from_here(session: Any, members: Sequence[Member], theirs: pa.Schema, schema: Any, windowed: bool) -> object:
    """Send the rows themselves: a server elsewhere does not see the files of this machine."""
    frames = [
        session.createDataFrame(
            fitted(member.table, theirs, member.partition if windowed else None, member.where), schema
        )
        for member in members
    ]
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.union(frame)
    return whole


def _pieces(members: Sequence[Member], columns: pa.Schema, windowed: bool, remote: bool) -> Iterator[_Piece]:
    for member in members:
        partition = member.partition if windowed else None
        if member.stored_schema is not None:
            path = member.part.path
            place = (member.part.remote if remote else None) or str(path)
            for group in range(pq.read_metadata(path).num_row_groups):
                yield _Piece(place, group, partition, member.where)
        elif remote:
            table = fitted(member.table, columns, partition, member.where)
            for start in range(0, table.num_rows, _PIECE):
                yield _Piece("", 0, partition, member.where, packed(table.slice(start, _PIECE)))
        else:
            path = clusters.scratch() / "part.parquet"
            pq.write_table(member.table, path, compression="lz4")
            for group in range(pq.read_metadata(path).num_row_groups):
                yield _Piece(str(path), group, partition, member.where)


def _empty(columns: pa.Schema) -> _Piece:
    return _Piece("", 0, None, "", packed(columns.empty_table()))


def _as_in_spark(of: AnyType, where: str, column: str) -> AnyType:
    """Return the Arrow type in which Spark takes the values of a canonical type."""
    why = next((why for applies, why in _REFUSED if applies(of)), None)
    if why is not None:
        shown = " ".join(map(str, filter(None, logical_type(of))))
        raise UsageError(f"{where}: column {column!r} holds {shown}, and Spark {why} before it, or use Dask.")
    if pt.is_large_list(of):
        return pa.list_(_as_in_spark(of.value_type, where, column))
    if pt.is_struct(of):
        return pa.struct([(field.name, _as_in_spark(field.type, where, column)) for field in of])
    if pt.is_map(of):
        key, item = _as_in_spark(of.key_type, where, column), _as_in_spark(of.item_type, where, column)
        return pa.map_(key, item)
    return of


_REFUSED: tuple[tuple[Callable[[AnyType], bool], str], ...] = (
    (pt.is_unsigned_integer, "has no unsigned integers: cast it to a signed one in the asset"),
    (pt.is_time, "would not keep a time of day as it is: make it text or a number in the asset"),
    (
        lambda of: pt.is_timestamp(of) and of.tz not in (None, "UTC"),
        "keeps the instant and not the time zone: convert it to UTC in the asset",
    ),
    (
        lambda of: (pt.is_timestamp(of) or pt.is_duration(of)) and of.unit == "ns",
        "keeps microseconds and not nanoseconds: round it in the asset",
    ),
)
