"""Between the frames of each engine and the canonical table: the only code that knows how the engines differ.

Invariants: nothing of a frame is dropped or changed in silence on the way in (an index, a name that is no text, Python
objects); on the way out no integer becomes a float. Each engine is imported only where a frame of it is at hand.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.types as pt

from tidemark.errors import OutputError
from tidemark.frames.annotations import Kind
from tidemark.frames.canonical import AnyArray, AnyType, UnsupportedColumn, canonical

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl


def to_table(frame: object, kind: Kind, where: str) -> pa.Table:
    """Bring a frame of any engine, as the asset ``where`` returned it, into canonical form.

    Raises:
        OutputError: it cannot be stored, or could not be computed.

    """
    try:
        table = _TO_TABLE[kind](frame, where)
        _check_names(table.column_names, where)
        return canonical(table)
    except UnsupportedColumn as error:
        raise OutputError(f"{where} returned a frame that cannot be stored: {error}.") from error


def from_table(table: pa.Table, kind: Kind) -> object:
    """Hand a canonical table over as a frame of any engine."""
    return _FROM_TABLE[kind](table)


def _check_names(names: Sequence[object], where: str) -> None:
    if not names:
        raise OutputError(f"{where} returned a frame without columns. Name them: an empty frame keeps its columns.")
    unnamed = [column for column in names if not isinstance(column, str)]
    if unnamed:
        raise OutputError(f"{where} returned a frame whose column {unnamed[0]!r} is not named by text. Rename it.")
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise OutputError(f"{where} returned a frame with several columns named {twice[0]!r}. Rename or drop one.")


def _from_pandas(frame: "pd.DataFrame", where: str) -> pa.Table:
    import pandas as pd

    # An unnamed index of integers is what filtering, sorting and dropping duplicates leave of a count of rows, on the
    # days on which they do anything: refused, it would fail on some days only.
    named = [name for name in frame.index.names if name is not None]
    if named or not pd.api.types.is_integer_dtype(frame.index):
        index = f"the index {', '.join(map(repr, named))}" if named else f"an index of {frame.index.dtype}"
        raise OutputError(
            f"{where} returned a pandas frame with {index}, and an index is not stored. "
            "Call .reset_index() to make it a column, or .reset_index(drop=True) to do without it."
        )
    _check_names(list(frame.columns), where)
    try:
        with warnings.catch_warnings():  # pyarrow's use of pandas is not for the asset's author to mend
            warnings.filterwarnings("ignore", "Series.values returning", category=DeprecationWarning)
            return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise OutputError(f"{where} returned a pandas frame that cannot be stored: {_said(error)}.") from error


def _from_polars(frame: "pl.DataFrame", where: str) -> pa.Table:
    import polars as pl

    objects = [column for column, of in frame.schema.items() if of == pl.Object]
    if objects:  # their conversion does not fail: it gives memory addresses
        raise OutputError(f"{where} returned a frame whose column {objects[0]!r} holds Python objects. Cast it.")
    try:
        return frame.to_arrow()
    except (pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise OutputError(f"{where} returned a polars frame that cannot be stored: {_said(error)}.") from error


def _from_lazy(frame: "pl.LazyFrame", where: str) -> pa.Table:
    import polars as pl

    try:
        collected = frame.collect()
    except pl.exceptions.PolarsError as error:
        raise OutputError(f"{where} returned a LazyFrame that failed when it was collected: {error}") from error
    return _from_polars(collected, where)


def _from_duckdb(relation: "duckdb.DuckDBPyRelation", where: str) -> pa.Table:
    import duckdb

    try:
        table: pa.Table = relation.to_arrow_table()
    except duckdb.Error as error:
        raise OutputError(f"{where} returned a relation that failed when it was computed: {error}") from error
    return table.cast(pa.schema([(field.name, _in_utc(field.type)) for field in table.schema]))


def _in_utc(of: AnyType) -> AnyType:
    # DuckDB labels every instant with the zone of the machine that it runs on.
    if pt.is_timestamp(of) and of.tz is not None:
        return pa.timestamp(of.unit, "UTC")
    if pt.is_list(of):
        return pa.list_(_in_utc(of.value_type))
    if pt.is_struct(of):
        return pa.struct([(field.name, _in_utc(field.type)) for field in of])
    return of


def _said(error: Exception) -> str:
    """What an exception says, where it says it in several arguments."""
    return "; ".join(str(argument) for argument in error.args)


def as_polars(table: pa.Table) -> "pl.DataFrame":
    """A canonical table as a polars frame, sharing its memory."""
    import polars as pl

    return cast("pl.DataFrame", pl.from_arrow(table))


def _as_pandas(table: pa.Table) -> "pd.DataFrame":
    import pandas as pd

    frame = table.to_pandas()
    column: AnyArray
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and (pt.is_integer(column.type) or pt.is_boolean(column.type)):
            # Named like Arrow's, but for the capitals: Int64, UInt8.
            nullable = "boolean" if pt.is_boolean(column.type) else str(column.type).replace("i", "I").replace("u", "U")
            frame[name] = column.to_pandas(types_mapper={column.type: pd.api.types.pandas_dtype(nullable)}.get)
    return frame


def _as_duckdb(table: pa.Table) -> "duckdb.DuckDBPyRelation":
    import duckdb

    return duckdb.from_arrow(table)


_FROM_TABLE: dict[Kind, Callable[[pa.Table], object]] = {
    Kind.PANDAS: _as_pandas,
    Kind.POLARS: as_polars,
    Kind.LAZY: lambda table: as_polars(table).lazy(),
    Kind.ARROW: lambda table: table,
    Kind.DUCKDB: _as_duckdb,
}

_TO_TABLE: dict[Kind, Callable[..., pa.Table]] = {
    Kind.PANDAS: _from_pandas,
    Kind.POLARS: _from_polars,
    Kind.LAZY: _from_lazy,
    Kind.DUCKDB: _from_duckdb,
    Kind.ARROW: lambda table, where: table,
}
