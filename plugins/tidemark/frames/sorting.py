"""The order in which an output's rows are stored, and the key that they are sorted by.

Invariants: the order follows from the rows' values alone, whatever order they came in; a key tells every row from every
other: its columns exist, hold plain values, and are never null or NaN.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tidemark.errors import OutputError
from tidemark.frames.canonical import AnyArray, one_chunk

_DUPLICATES_SHOWN = 3


def arranged(
    table: pa.Table, key: Sequence[str] | None, ordered: bool, where: str, pii: frozenset[str] = frozenset()
) -> pa.Table:
    """Check a canonical table's key, if it has one, and sort it by that, else by all columns, unless it is ``ordered``.

    NaN comes after the numbers, null last.

    Raises:
        OutputError: a key column is missing, nested, or empty in some row; or rows share a key.

    """
    if key is not None:
        _check_key_columns(table, key, where, pii)
    elif ordered:
        return table
    order = _order(table, key or table.column_names)
    if key is not None:
        _check_unique(table.select(key).take(order), where, pii)
    in_order = bool((order.to_numpy() == np.arange(len(order))).all())
    return table if ordered or in_order else table.take(order)


def _check_key_columns(table: pa.Table, key: Sequence[str], where: str, pii: frozenset[str]) -> None:
    where = f"{where} has key={list(key)}, but"
    missing = [name for name in key if name not in table.column_names]
    if missing:
        raise OutputError(f"{where} returned no column {missing[0]!r}; it returned {table.column_names}.")
    for name in key:
        column = one_chunk(table.column(name))
        if pt.is_nested(column.type):
            raise OutputError(f"{where} column {name!r} holds {column.type}: a key needs plain values.")
        empty: AnyArray = pc.is_null(column, nan_is_null=True)
        rows = pc.sum(empty).as_py()
        if rows:
            first = table.select(key).slice(pc.index(empty, True).as_py(), 1).to_pylist()[0]
            first = _masked(first, pii)
            raise OutputError(
                f"{where} column {name!r} is empty in {rows} of {table.num_rows} rows, the first of them {first}. "
                "Fill it, drop these rows, or choose another key."
            )


def _order(table: pa.Table, columns: Sequence[str]) -> AnyArray:
    by = pa.table({str(number): _sortable(table.column(name)) for number, name in enumerate(columns)})
    nulls_last: list[Any] = [(name, "ascending", "at_end") for name in by.column_names]
    return pc.sort_indices(by, sort_keys=nulls_last)


def _sortable(column: AnyArray) -> AnyArray:
    # Arrow does not order lists and structs. Any total order will do, as long as it follows from the values.
    return pa.array([repr(value) for value in column.to_pylist()]) if pt.is_nested(column.type) else column


def _check_unique(keys: pa.Table, where: str, pii: frozenset[str]) -> None:
    """Check that no row of a sorted table of keys equals the one before it."""
    same: AnyArray = True
    for column in keys.columns:
        same = pc.and_(pc.equal(column.slice(1), column.slice(0, max(len(column) - 1, 0))), same)
    repeated = pc.sum(same).as_py()
    if not repeated:
        return
    rows = keys.slice(1).filter(same).slice(0, 1000).to_pylist()
    rows = [_masked(row, pii) for row in rows]
    values = list(dict.fromkeys(", ".join(map(str, row.values())) for row in rows))
    more = "; ..." if len(values) > _DUPLICATES_SHOWN else ""
    raise OutputError(
        f"{where} has key={keys.column_names}, but {repeated} of its {keys.num_rows} rows repeat the key of another: "
        f"{'; '.join(values[:_DUPLICATES_SHOWN])}{more}. Aggregate them, or choose another key."
    )


def _masked(row: dict[str, object], pii: frozenset[str]) -> dict[str, object]:
    return {name: "***" if name in pii else value for name, value in row.items()}
