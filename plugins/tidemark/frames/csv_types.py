"""From the text cells of a CSV file to typed columns: as declared, or as the whole file shows.

Invariants: a declared type takes only its own plain notation, so that no cell is read as what its sender did not write
(no hexadecimal numbers, no guessed date formats, no trimmed blanks); an inferred type loses nothing: codes with leading
zeros and numbers too long for 64 bits stay text. An empty cell is null in every type.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import MAXYEAR, MINYEAR, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from tidemark.errors import MASK, DeliveryError
from tidemark.frames.canonical import AnyArray, one_chunk

_CELL_SHOWN = 40
_SAMPLE = 50
_Convert = Callable[[AnyArray], AnyArray]


def typed(
    cells: pa.Table,
    schema: Mapping[str, type] | None,
    *,
    name: str,
    line_of: Callable[[int], int],
    hidden: Collection[str] = (),
) -> pa.Table:
    """Convert text columns to the types that the schema declares for them, or to inferred ones if there is no schema.

    Columns that the schema does not name stay text. Timestamps that all have a zone offset come out in UTC; a Decimal
    has as many decimals as its longest cell.

    Raises:
        DeliveryError: a cell is not of its column's declared type; names line (``line_of`` its row), column and cell,
            unless the column is one of those of which no cell is to be seen (``hidden``).

    """
    columns = {}
    for column in cells.column_names:
        text = one_chunk(cells.column(column))
        if schema is None:
            columns[column] = _inferred(text)
        elif column in schema:
            columns[column] = _declared(text, schema[column], name, column, line_of, hide=column in hidden)
        else:
            columns[column] = text
    return pa.table(columns)


def _declared(
    text: AnyArray, of: type, name: str, column: str, line_of: Callable[[int], int], *, hide: bool
) -> AnyArray:
    convert, notation = _CONVERTERS[of]
    try:
        return convert(text)
    except pa.ArrowInvalid as error:
        row = _first_bad(text, convert)
        cell = MASK if hide else text[row].as_py()
        shown = cell if len(cell) <= _CELL_SHOWN else cell[:_CELL_SHOWN] + "..."
        wrong = "does not go with the cells above it as" if _converts(text[row : row + 1], convert) else "is not"
        raise DeliveryError(
            f"{name}: line {line_of(row)}, column {column!r}: {shown!r} {wrong} {of.__name__} ({notation}). "
            "Deliver a corrected file, or declare the type that the column has."
        ) from error


def _first_bad(text: AnyArray, convert: _Convert) -> int:
    """The row of the first cell that keeps a column from being converted, by halving."""
    good, bad = 0, len(text)  # so many cells convert; so many do not
    while bad - good > 1:
        middle = (good + bad) // 2
        if _converts(text[:middle], convert):
            good = middle
        else:
            bad = middle
    return bad - 1


def _converts(text: AnyArray, convert: _Convert) -> bool:
    try:
        convert(text)
    except pa.ArrowInvalid:
        return False
    return True


def _inferred(text: AnyArray) -> AnyArray:
    if text.null_count == len(text):
        return pa.nulls(len(text))
    for pattern, convert in _INFERENCES:
        # The first cells nearly always tell what a column is not, for the price of the first cells.
        if not (_all_match(text[:_SAMPLE], pattern) and _all_match(text, pattern)):
            continue
        try:
            return convert(text)
        except pa.ArrowInvalid:
            continue
    return text


def _all_match(text: AnyArray, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(text, pattern), min_count=0).as_py()


def _integers(text: AnyArray) -> AnyArray:
    if any(pc.any(pc.match_substring(text, mark)).as_py() for mark in "xX"):
        raise pa.ArrowInvalid("hexadecimal, which Arrow would take")
    return text.cast(pa.int64())


def _whole(text: AnyArray) -> AnyArray:
    try:
        return text.cast(pa.int64())
    except pa.ArrowInvalid:  # an identifier of more digits than a number holds
        return text


def _timestamps(text: AnyArray) -> AnyArray:
    # The first cell says whether they have zone offsets: a whole column that fails to convert takes a long time to.
    first = pc.index(text.is_valid(), True).as_py()
    naive = first < 0 or _converts(text[first : first + 1], _as(pa.timestamp("us")))
    return _in_calendar(text.cast(pa.timestamp("us", None if naive else "UTC")))


def _dates(text: AnyArray) -> AnyArray:
    return _in_calendar(text.cast(pa.date32()))


def _in_calendar(column: AnyArray) -> AnyArray:
    years: AnyArray = pc.year(column)
    first, last = pc.min(years).as_py(), pc.max(years).as_py()
    if first is not None and (first < MINYEAR or last > MAXYEAR):
        raise pa.ArrowInvalid("a year that Python has no date for")
    return column


def _decimals(text: AnyArray) -> AnyArray:
    if not _all_match(text, r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$"):
        raise pa.ArrowInvalid("not plain decimal notation")
    decimals: AnyArray = pc.binary_length(pc.replace_substring_regex(text, r"^[^.]*\.?", ""))
    longest: AnyArray = pc.max(decimals)
    return text.cast(pa.decimal128(38, min(longest.as_py() or 0, 38)))


def _as(to: pa.DataType) -> _Convert:
    return lambda text: text.cast(to)


_CONVERTERS: dict[type, tuple[_Convert, str]] = {
    str: (lambda text: text, "any text"),
    int: (_integers, "digits, of at most 64 bits"),
    float: (_as(pa.float64()), "digits with a point"),
    bool: (_as(pa.bool_()), "true, false, 1 or 0"),
    date: (_dates, "YYYY-MM-DD"),
    datetime: (_timestamps, "YYYY-MM-DD HH:MM:SS, to the microsecond; a zone offset in all cells or in none"),
    Decimal: (_decimals, "digits with a point, at most 38"),
}
# What all cells must look like to be tried as a type: trying is slow where it fails.
_INFERENCES: tuple[tuple[str, _Convert], ...] = (
    ("^-?(0|[1-9][0-9]*)$", _whole),
    (r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$", _as(pa.float64())),
    ("^(true|false|True|False|TRUE|FALSE)$", _as(pa.bool_())),
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", _dates),
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:", _timestamps),
)
