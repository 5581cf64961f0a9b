"""From a delivered file to the table that a gate checks, and to the version of its content.

Invariants: a file is read whole or refused with a `DeliveryError` that names the file and, where known, line, column
and mend. The version of a CSV file is taken from its header, its text cells in the order delivered, and the declared
schema: byte order mark, line ends and quoting are not content, nor is compression. Other files are bytes.
"""

import difflib
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from tidemark.errors import DeliveryError
from tidemark.frames.canonical import AnyArray, AnyType, UnsupportedColumn, canonical, one_chunk
from tidemark.frames.content import bytes_version, canonical_version, column_digest
from tidemark.frames.csv_cells import line_of_row, other_delimiter, read_cells
from tidemark.frames.csv_types import typed
from tidemark.hashing import digest

# By the end of a file's name; whatever else arrives is bytes.
_FORMATS = {".csv": "csv", ".csv.gz": "csv.gz", ".parquet": "parquet"}
TABULAR = frozenset(_FORMATS.values())
_COLUMNS_SHOWN = 20


@dataclass(frozen=True)
class Delivery:
    """A delivered file, read: its table if it is one, the version of its content, its rows and its format.

    ``format`` is "csv", "csv.gz", "parquet" or "bytes": with it a `Part` of the same bytes is read again. ``line_of``
    says on which line of a CSV file a row, from 0, begins.
    """

    table: pa.Table | None
    data_version: bytes
    rows: int | None
    format: str
    line_of: Callable[[int], int] | None = field(default=None, compare=False)


def read_delivery(
    payload: bytes,
    *,
    name: str,
    schema: Mapping[str, type] | None,
    newline_at_end: bool = True,
    hidden: Collection[str] = (),
) -> Delivery:
    """Read a delivered file; the end of its ``name`` says what it is: .csv, .csv.gz, .parquet, or any bytes.

    ``schema`` declares columns by type (str, int, float, bool, date, datetime, Decimal); columns that it does not name
    are kept, in a CSV as text. Without one, a CSV's types are inferred over the whole file. A CSV without rows is
    valid here. No message shows a cell of a ``hidden`` column.

    Raises:
        DeliveryError: the file is not what its name and schema say, or its last line has no end and that is not
            allowed by ``newline_at_end=False``.

    """
    form = next((form for ending, form in _FORMATS.items() if name.lower().endswith(ending)), "bytes")
    if form == "bytes":
        return Delivery(None, bytes_version(payload), None, form)
    if form == "parquet":
        table = _read_parquet(payload, schema, name)
        return Delivery(table, canonical_version(table), table.num_rows, form)
    content = _unzipped(payload, name) if form == "csv.gz" else payload
    cells, table = _read_csv(content, schema, name, newline_at_end, hidden)
    return Delivery(table, _cells_version(cells, schema), table.num_rows, form, lambda row: line_of_row(content, row))


def read_table(payload: bytes, form: str, schema: Mapping[str, type] | None, *, name: str) -> pa.Table:
    """The table of a delivery that was read before with just this schema, in canonical form, without its version.

    Raises:
        DeliveryError: it does not fit the schema.

    """
    if form == "parquet":
        return _read_parquet(payload, schema, name)
    content = _unzipped(payload, name) if form == "csv.gz" else payload
    return _read_csv(content, schema, name, newline_at_end=False)[1]


def _read_csv(
    content: bytes,
    schema: Mapping[str, type] | None,
    name: str,
    newline_at_end: bool,
    hidden: Collection[str] = (),
) -> tuple[pa.Table, pa.Table]:
    cells = read_cells(content, name=name, newline_at_end=newline_at_end)
    _check_declared(cells.column_names, schema, name)
    table = typed(cells, schema, name=name, line_of=lambda row: line_of_row(content, row), hidden=hidden)
    return cells, canonical(table)


def _unzipped(payload: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(payload)
    except (OSError, EOFError, zlib.error) as error:
        raise DeliveryError(
            f"{name}: cannot be unzipped: {error}. The file is cut off or not gzip; deliver it again."
        ) from error


def _cells_version(cells: pa.Table, schema: Mapping[str, type] | None) -> bytes:
    declared = None if schema is None else {column: of.__name__ for column, of in schema.items()}
    columns = tuple(column_digest(one_chunk(column)) for column in cells.columns)
    return digest("csv", tuple(cells.column_names), declared, cells.num_rows, columns)


def _check_declared(columns: Sequence[str], schema: Mapping[str, type] | None, name: str) -> None:
    missing = [column for column in schema or () if column not in columns]
    if not missing:
        return
    shown = ", ".join(map(repr, columns[:_COLUMNS_SHOWN])) + (", ..." if len(columns) > _COLUMNS_SHOWN else "")
    by_folded = {column.strip().casefold(): column for column in columns}
    close = difflib.get_close_matches(missing[0].casefold(), by_folded, n=1)
    delimiter = other_delimiter(list(columns))
    if delimiter:
        hint = f"It looks separated by {delimiter}: deliver it with commas."
    elif close:
        hint = f"Did you mean {by_folded[close[0]]!r}?"
    else:
        hint = "Deliver a file with all columns, or correct the declared schema."
    raise DeliveryError(f"{name}: column{'s' * (len(missing) > 1)} {_listed(missing)} missing; found {shown}. {hint}")


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names))} {'are' if len(names) > 1 else 'is'}"


def _read_parquet(payload: bytes, schema: Mapping[str, type] | None, name: str) -> pa.Table:
    try:
        table = pq.ParquetFile(pa.BufferReader(payload)).read()
    except (pa.ArrowException, OSError) as error:
        raise DeliveryError(f"{name}: not a whole Parquet file: {error}. Deliver it again.") from error
    twice = [column for column, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DeliveryError(f"{name}: several columns are named {twice[0]!r}. Rename or drop one.")
    _check_declared(table.column_names, schema, name)
    try:
        table = canonical(table)
    except UnsupportedColumn as error:
        raise DeliveryError(f"{name}: {error}.") from error
    for index, (column, stored) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if schema is not None and column in schema:
            table = table.set_column(index, column, _as_declared(stored, schema[column], name, column))
    return table


def _as_declared(column: AnyArray, of: type, name: str, title: str) -> AnyArray:
    fits, target = _PARQUET[of]
    if fits(column.type):
        return column
    convertible = pt.is_null(column.type) or (of in (int, float, Decimal) and pt.is_integer(column.type))
    try:
        if convertible or (of is float and pt.is_floating(column.type)):
            return column.cast(target)
    except pa.ArrowInvalid as error:
        raise DeliveryError(f"{name}: column {title!r}: a value does not fit {of.__name__}: {error}.") from error
    raise DeliveryError(
        f"{name}: column {title!r} is {column.type}, but {of.__name__} is declared. "
        "Deliver a corrected file, or declare the type that the column has."
    )


_PARQUET: dict[type, tuple[Callable[[AnyType], bool], AnyType]] = {
    str: (pt.is_large_string, pa.large_string()),
    int: (pt.is_int64, pa.int64()),
    float: (pt.is_float64, pa.float64()),
    bool: (pt.is_boolean, pa.bool_()),
    date: (pt.is_date32, pa.date32()),
    datetime: (pt.is_timestamp, pa.timestamp("us")),
    Decimal: (pt.is_decimal, pa.decimal128(38, 0)),
}
