"""The union of several partitions' tables: which columns it has, of which types, and how each member is made to fit.

Invariant: no value is changed to fit. Types have a common one if it holds every value of both; whether these values
survive is checked by the cast. Where there is none, the window is refused, naming column and partitions.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from tidemark.errors import UsageError
from tidemark.frames.canonical import AnyType
from tidemark.frames.content import logical_type

PARTITION = "partition"
_PARTITIONS_SHOWN = 3


def union_schema(members: Sequence[tuple[str, pa.Schema]], name: str) -> pa.Schema:
    """The columns of the members of input ``name``, given as (partition, canonical schema), by first appearance.

    Raises:
        UsageError: types conflict, or a member has a column of the name that the partitions' own column takes.

    """
    types: dict[str, AnyType] = {}
    for partition, schema in members:
        if PARTITION in schema.names:
            raise UsageError(
                f"input {name!r}, {partition}: it has a column {PARTITION!r} of its own, and a window "
                "adds one of that name. Rename it where it is made."
            )
        for field in schema:
            before = types.setdefault(field.name, field.type)
            both = common_type(before, field.type)
            if both is None:
                raise _conflict(field.name, members, name)
            types[field.name] = both
    return pa.schema(types.items())


def conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """A member with the columns of the union: null where it has none, cast where the union's type is wider.

    Raises:
        UsageError: a value does not survive the cast; ``where`` names input and partition.

    """
    if table.schema == schema:
        return table
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowInvalid as error:
            raise UsageError(
                f"{where}: column {field.name!r} is {shown(column.type)} here and becomes {shown(field.type)} "
                f"in its window, which not every value survives: {error}. Give it one type in all partitions."
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def common_type(one: AnyType, other: AnyType) -> AnyType | None:
    """The canonical type that holds the values of both, None if there is none. Columns of nulls go with anything."""
    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if _is_number(one) and _is_number(other):
        return pa.from_numpy_dtype(np.promote_types(one.to_pandas_dtype(), other.to_pandas_dtype()))
    if pt.is_decimal(one) and pt.is_decimal(other):
        return pa.decimal128(38, max(one.scale, other.scale))
    if pt.is_nested(one) and pt.is_nested(other):
        return _common_nested(one, other)
    if logical_type(one) == logical_type(other):  # they differ in the unit alone
        return one if one.unit == "ns" else other
    return None


def shown(of: AnyType) -> str:
    """A canonical type for people."""
    name, *details = logical_type(of)
    return f"{name} {tuple(details)}" if any(details) else str(name)


def _common_nested(one: AnyType, other: AnyType) -> AnyType | None:
    if pt.is_large_list(one) and pt.is_large_list(other):
        of = common_type(one.value_type, other.value_type)
        return None if of is None else pa.large_list(pa.field("element", of))
    if pt.is_struct(one) and pt.is_struct(other) and one.names == other.names:
        types: dict[str, AnyType] = {
            left.name: common_type(left.type, right.type) for left, right in zip(one, other, strict=True)
        }
        return None if None in types.values() else pa.struct(types)
    return None


def _is_number(of: AnyType) -> bool:
    return pt.is_integer(of) or pt.is_floating(of)


def _conflict(column: str, members: Sequence[tuple[str, pa.Schema]], name: str) -> UsageError:
    having: dict[str, list[str]] = {}
    for partition, schema in members:
        if column in schema.names:
            having.setdefault(shown(schema.field(column).type), []).append(partition)
    each = "; ".join(
        f"{of} in {', '.join(partitions[:_PARTITIONS_SHOWN])}"
        + (f" and {more} more" if (more := len(partitions) - _PARTITIONS_SHOWN) > 0 else "")
        for of, partitions in having.items()
    )
    return UsageError(
        f"input {name!r}: column {column!r} has conflicting types: {each}. "
        "Give it one type where it is made, or declare it in the source's schema."
    )
