"""The one form that a table has in the store, whatever engine and encoding it came from.

Invariants: tables of equal content have equal canonical forms, and a canonical form is its own. Content is the columns'
names and order, their logical types and their values; it is not the encoding. Hence:

- Text is ``large_string``, binary ``large_binary``, a list of any sort ``large_list``; dictionaries (a Categorical, an
  Enum, a pandas category) and run-end encoding are dissolved into their values.
- Integers and floats keep their width. There is one NaN, and one zero: engines disagree about the sign of ``-0.0``.
- A timestamp, time or duration is in microseconds if no value is lost by it, else in nanoseconds: equal instants are
  equal, whatever the unit. A time zone is content: it decides what hour and day a reader sees. UTC has one name.
- A decimal keeps its scale; its precision is 38. ``date64`` is a date.
- One chunk a column, every column nullable, no metadata.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

# Arrow has a class for the arrays of each type, and for many types; which it is shows at run time only.
AnyArray: TypeAlias = Any
AnyType: TypeAlias = Any

_PLAIN = frozenset(
    {
        pa.null(),
        pa.bool_(),
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.date32(), pa.large_string(), pa.large_binary()),
    }
)
_NAMES_OF_UTC = ("Etc/UTC", "+00:00", "Z")
_PRECISION = 38


class UnsupportedColumn(ValueError):
    """A column that has no canonical form; the message names it, and says why."""


def canonical(table: pa.Table) -> pa.Table:
    """Bring a table into its canonical form: same names, rows and order; cheap if it is there already.

    Raises:
        UnsupportedColumn: a column's type, or a value in it, cannot be stored.

    """
    arrays = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            arrays.append(canonical_array(one_chunk(column)))
        except (pa.ArrowException, UnsupportedColumn) as error:
            raise UnsupportedColumn(f"column {name!r} of type {column.type}: {error}") from error
    fields = [pa.field(name, array.type) for name, array in zip(table.column_names, arrays, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def canonical_array(array: AnyArray) -> AnyArray:
    """Bring one array into its canonical form.

    Raises:
        UnsupportedColumn: its type cannot be stored.
        pyarrow.ArrowInvalid: a value in it cannot.

    """
    if array.type in _PLAIN:
        return array
    for applies, rule in _RULES:
        if applies(array.type):
            return rule(array)
    raise UnsupportedColumn(
        "such a type cannot be stored; cast it to numbers, text, dates, or lists or structs of them"
    )


def one_chunk(column: AnyArray) -> AnyArray:
    """The column as a single array, copied only if it is in several."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def list_lengths(array: AnyArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How many values each list of an array holds in ``array.flatten()``; a null list holds none."""
    lengths: AnyArray = pc.list_value_length(array)
    return np.asarray(lengths.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False))


def entries_of(array: AnyArray) -> AnyArray:
    """A map array as a list array of (key, value) structs."""
    entry = pa.struct([pa.field("key", array.type.key_type, nullable=False), pa.field("value", array.type.item_type)])
    return array.cast(pa.list_(entry))


def _floats(array: AnyArray) -> AnyArray:
    array = pc.add(array, pa.scalar(0, array.type))  # -0.0 + 0 is 0.0
    is_nan = pc.is_nan(array)
    return pc.if_else(is_nan, pa.scalar(float("nan"), array.type), array) if pc.any(is_nan).as_py() else array


def _temporal(array: AnyArray) -> AnyArray:
    micro = _in_unit(array.type, "us")
    if array.type.unit != "ns":
        return array.cast(micro)
    try:
        return array.cast(micro)
    except pa.ArrowInvalid:  # it has values between two microseconds
        return array.cast(_in_unit(array.type, "ns"))


def _in_unit(of: AnyType, unit: Any) -> AnyType:
    if pt.is_timestamp(of):
        return pa.timestamp(unit, "UTC" if of.tz in _NAMES_OF_UTC else of.tz)
    return pa.duration(unit) if pt.is_duration(of) else pa.time64(unit)


def _list(array: AnyArray) -> AnyArray:
    # What lies hidden under a null list is dropped: `flatten` leaves it out, and its length counts as none.
    ends = np.cumsum(list_lengths(array), dtype=np.int64)
    offsets = pa.array(np.concatenate([np.zeros(1, np.int64), ends]))
    values = canonical_array(array.flatten())
    of = pa.large_list(pa.field("element", values.type))
    return pa.LargeListArray.from_arrays(offsets, values, type=of, mask=array.is_null())


def _map(array: AnyArray) -> AnyArray:
    entries = _list(entries_of(array))
    keys, items = entries.values.field(0), entries.values.field(1)
    return pa.MapArray.from_arrays(entries.offsets.cast(pa.int32()), keys, items, mask=array.is_null())


def _struct(array: AnyArray) -> AnyArray:
    names = [field.name for field in array.type]
    if not names or len(set(names)) < len(names):
        raise UnsupportedColumn("a struct needs fields, each with a name of its own")
    children = [canonical_array(child) for child in array.flatten()]
    fields = [pa.field(name, child.type) for name, child in zip(names, children, strict=True)]
    return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())


def _is_text(of: AnyType) -> bool:
    return pt.is_string(of) or pt.is_string_view(of)


def _is_binary(of: AnyType) -> bool:
    return pt.is_binary(of) or pt.is_fixed_size_binary(of) or pt.is_binary_view(of)


def _is_list(of: AnyType) -> bool:
    is_view = pt.is_list_view(of) or pt.is_large_list_view(of)
    return is_view or pt.is_list(of) or pt.is_large_list(of) or pt.is_fixed_size_list(of)


_RULES: tuple[tuple[Callable[[AnyType], bool], Callable[[AnyArray], AnyArray]], ...] = (
    (pt.is_dictionary, lambda array: canonical_array(array.dictionary_decode())),
    (pt.is_run_end_encoded, lambda array: canonical_array(pc.call_function("run_end_decode", [array]))),
    (_is_text, lambda array: array.cast(pa.large_string())),
    (_is_binary, lambda array: array.cast(pa.large_binary())),
    (pt.is_date64, lambda array: array.cast(pa.date32())),
    (pt.is_float32, _floats),
    (pt.is_float64, _floats),
    (pt.is_timestamp, _temporal),
    (pt.is_duration, _temporal),
    (pt.is_time, _temporal),
    (pt.is_decimal, lambda array: array.cast(pa.decimal128(_PRECISION, max(array.type.scale, 0)))),
    (_is_list, _list),
    (pt.is_map, _map),
    (pt.is_struct, _struct),
)
