"""Digests of content: equal for equal content and, as far as SHA-256 goes, for nothing else.

Invariants: a table's version is taken from its canonical form (`tidemark.frames.canonical`), so that engine, encoding,
chunking, slicing and what lies hidden under a null do not matter; its columns' names, their logical types, every value
and the order of rows and columns do. Rows are hashed as Arrow buffers, each with its length before it, never as Python
objects.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tidemark.frames.canonical import AnyArray, AnyType, canonical, entries_of, list_lengths, one_chunk
from tidemark.hashing import digest

_Numbers: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]
_Update: TypeAlias = Callable[[Any], None]

_NAMES: dict[AnyType, str] = {
    pa.null(): "null",
    pa.bool_(): "bool",
    pa.int8(): "int8",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.uint8(): "uint8",
    pa.uint16(): "uint16",
    pa.uint32(): "uint32",
    pa.uint64(): "uint64",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.date32(): "date",
    pa.large_string(): "text",
    pa.large_binary(): "binary",
}


def data_version(table: pa.Table) -> bytes:
    """The version of a table's content, in the order of its rows: 32 bytes.

    Raises:
        UnsupportedColumn: a column has a type that cannot be stored.

    """
    return canonical_version(canonical(table))


def canonical_version(table: pa.Table) -> bytes:
    """`data_version` of a table that is in canonical form already."""
    columns = tuple(column_digest(one_chunk(column)) for column in table.columns)
    return digest("table", _schema(table.schema), table.num_rows, columns)


def version_in_pieces(schema: pa.Schema, rows: int, pieces: Callable[[str], Iterator[AnyArray]]) -> bytes:
    """`data_version` of a canonical table that is never in memory as a whole: no column of it is nested.

    Args:
        schema: its columns.
        rows: how many rows it has.
        pieces: yields a column's values, piece after piece; is asked several times for each column.

    """
    columns = []
    for field in schema:
        hasher = hashlib.sha256()
        _feed_in_pieces(field.type, rows, lambda name=field.name: pieces(name), hasher.update)  # type: ignore[misc]
        columns.append(hasher.digest())
    return digest("table", _schema(schema), rows, tuple(columns))


def schema_digest(schema: pa.Schema) -> bytes:
    """The version of a canonical table's columns: names, order and logical types; 32 bytes."""
    return digest("schema", _schema(schema))


def text_version(text: str) -> bytes:
    """The version of a text: 32 bytes."""
    return digest("text", text)


def bytes_version(payload: bytes | Path) -> bytes:
    """The version of raw bytes, or of a file's: 32 bytes. A file is read piece by piece."""
    if isinstance(payload, bytes):
        return digest("bytes", hashlib.sha256(payload).digest())
    with payload.open("rb") as file:
        return digest("bytes", hashlib.file_digest(file, "sha256").digest())


def logical_type(of: AnyType) -> tuple[object, ...]:
    """What a canonical type means, for digests and messages: its name first, then what it is made of.

    The unit of an instant is not part of it: it follows from the values.
    """
    if of in _NAMES:
        return (_NAMES[of],)
    if pt.is_timestamp(of):
        return ("timestamp", of.tz)
    if pt.is_duration(of) or pt.is_time(of):
        return ("duration" if pt.is_duration(of) else "time",)
    if pt.is_decimal(of):
        return ("decimal", of.scale)
    if pt.is_struct(of):
        return ("struct", tuple((field.name, logical_type(field.type)) for field in of))
    if pt.is_map(of):
        return ("map", logical_type(of.key_type), logical_type(of.item_type))
    return ("list", logical_type(of.value_type))


def column_digest(array: AnyArray) -> bytes:
    """The digest of one canonical column's values, without its name and type: 32 bytes."""
    hasher = hashlib.sha256()
    _feed(array, hasher.update)
    return hasher.digest()


def _schema(schema: pa.Schema) -> tuple[tuple[object, ...], ...]:
    return tuple((field.name, *logical_type(field.type)) for field in schema)


def _feed(array: AnyArray, update: _Update) -> None:
    if pt.is_map(array.type):
        array = entries_of(array)
    _frame(update, len(array).to_bytes(8, "big"))
    _frame(update, _validity(array) if array.null_count else np.empty(0, np.uint8))
    if pt.is_null(array.type):
        return
    if pt.is_struct(array.type):
        for child in array.flatten():
            _feed(child, update)
    elif pt.is_list(array.type) or pt.is_large_list(array.type):
        _feed_lengths(list_lengths(array), update)
        _feed(array.flatten(), update)
    elif pt.is_large_string(array.type) or pt.is_large_binary(array.type):
        _feed_text(array, update)
    else:
        _feed_numbers(array, update)


def _feed_in_pieces(of: AnyType, rows: int, pieces: Callable[[], Iterator[AnyArray]], update: _Update) -> None:
    """Feed what `_feed` feeds of the whole column: each of its parts by a pass of its own."""
    _frame(update, rows.to_bytes(8, "big"))
    nulls = sum(piece.null_count for piece in pieces())
    _announce(update, rows if nulls else 0)
    if nulls:
        for piece in pieces():
            update(_validity(piece))
    if pt.is_null(of):
        return
    if not (pt.is_large_string(of) or pt.is_large_binary(of)):
        _frame(update, getattr(of, "unit", "").encode())
        _announce(update, rows * (1 if pt.is_boolean(of) else of.bit_width // 8))
        for piece in pieces():
            update(_numbers(piece))
        return
    longest, size = 0, 0
    for piece in pieces():
        lengths, data = _text(piece)
        longest, size = max(longest, int(lengths.max(initial=0))), size + data.nbytes
    width = np.min_scalar_type(longest)
    _announce(update, rows * width.itemsize)
    for piece in pieces():
        update(np.ascontiguousarray(_text(piece)[0].astype(width)))
    _announce(update, size)
    for piece in pieces():
        update(_text(piece)[1])


def _feed_text(array: AnyArray, update: _Update) -> None:
    lengths, data = _text(array)
    _feed_lengths(lengths, update)
    _frame(update, data)


def _text(array: AnyArray) -> tuple[_Numbers, _Numbers]:
    """The length of each text, and the bytes of all."""
    if array.null_count:  # bytes may lie hidden under a null: this drops them
        array = pc.fill_null(array, "" if pt.is_large_string(array.type) else b"")
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int64)[array.offset : array.offset + len(array) + 1]
    return np.diff(offsets), np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]


def _feed_lengths(lengths: _Numbers, update: _Update) -> None:
    # In the narrowest width that holds them all, which their number and size tell: most texts are short.
    _frame(update, lengths.astype(np.min_scalar_type(lengths.max(initial=0))))


def _validity(array: AnyArray) -> _Numbers:
    valid: _Numbers = array.is_valid().cast(pa.uint8()).to_numpy()
    return valid


def _feed_numbers(array: AnyArray, update: _Update) -> None:
    # A unit is not in the logical type, and 1,001 of one is not 1,001 of another.
    _frame(update, getattr(array.type, "unit", "").encode())
    _frame(update, _numbers(array))


def _numbers(array: AnyArray) -> _Numbers:
    """The bytes of numbers, zero where there is none."""
    if pt.is_boolean(array.type):
        array = array.cast(pa.uint8())
    width = array.type.bit_width // 8
    stored = np.frombuffer(array.buffers()[1], np.uint8)
    values = stored[array.offset * width : (array.offset + len(array)) * width]
    if array.null_count:  # any number may lie hidden under a null
        values = values.copy()
        values.reshape(-1, width)[_validity(array) == 0] = 0
    return values


def _announce(update: _Update, size: int) -> None:
    update(size.to_bytes(8, "big"))


def _frame(update: _Update, payload: bytes | _Numbers) -> None:
    size = len(payload) if isinstance(payload, bytes) else payload.nbytes
    _announce(update, size)
    update(payload)
