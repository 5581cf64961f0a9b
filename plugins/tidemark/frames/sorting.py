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
_DUPLICATES_LOOKED_AT = 1000


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


def check_key_names(schema: pa.Schema, key: Sequence[str], where: str) -> None:
    """Check that the columns of a key exist and hold plain values.

    Raises:
        OutputError: one does not.

    """
    where = f"{where} has key={list(key)}, but"
    missing = [name for name in key if name not in schema.names]
    if missing:
        raise OutputError(f"{where} returned no column {missing[0]!r}; it returned {schema.names}.")
    for name in key:
        of = schema.field(name).type
        if pt.is_nested(of):
            raise OutputError(f"{where} column {name!r} holds {of}: a key needs plain values.")


class KeyWatch:
    """Checks the key of a sorted table that passes by in pieces, in order.

    Args:
        key: the columns.
        where: whose it is, for messages.
        pii: columns of which no message shows a value.

    """

    def __init__(self, key: Sequence[str], where: str, pii: frozenset[str] = frozenset()) -> None:
        self._key, self._where, self._pii = list(key), where, pii
        self._rows = self._repeated = 0
        self._last: pa.Table | None = None
        self._examples: list[dict[str, object]] = []
        self._empty: dict[str, tuple[int, dict[str, object]]] = {}

    def see(self, piece: pa.Table) -> None:
        """Take the next piece into account."""
        keys = piece.select(self._key)
        for name in self._key:
            empty: AnyArray = pc.is_null(keys.column(name), nan_is_null=True)
            rows = pc.sum(empty).as_py() or 0
            if rows:
                first = keys.slice(pc.index(empty, True).as_py(), 1).to_pylist()[0]
                before = self._empty.get(name, (0, first))
                self._empty[name] = (before[0] + rows, before[1])
        joined = keys if self._last is None else pa.concat_tables([self._last, keys]).combine_chunks()
        same = _same_as_before(joined)
        repeated = pc.sum(same).as_py() or 0
        if repeated and len(self._examples) < _DUPLICATES_LOOKED_AT:
            self._examples += joined.slice(1).filter(same).slice(0, _DUPLICATES_LOOKED_AT).to_pylist()
        self._repeated += repeated
        self._rows += keys.num_rows
        self._last = keys.slice(keys.num_rows - 1) if keys.num_rows else self._last

    def check(self) -> None:
        """Check what passed by.

        Raises:
            OutputError: a key is empty, or there twice.

        """
        for name, (rows, first) in self._empty.items():
            raise _empty_key(self._key, name, rows, self._rows, _masked(first, self._pii), self._where)
        if self._repeated:
            raise _twice(self._key, self._repeated, self._rows, self._examples, self._where, self._pii)


def _empty_key(key: Sequence[str], name: str, rows: int, of: int, first: dict[str, object], where: str) -> OutputError:
    return OutputError(
        f"{where} has key={list(key)}, but column {name!r} is empty in {rows} of {of} rows, the first of them {first}. "
        "Fill it, drop these rows, or choose another key."
    )


def _check_key_columns(table: pa.Table, key: Sequence[str], where: str, pii: frozenset[str]) -> None:
    check_key_names(table.schema, key, where)
    for name in key:
        column = one_chunk(table.column(name))
        empty: AnyArray = pc.is_null(column, nan_is_null=True)
        rows = pc.sum(empty).as_py()
        if rows:
            first = table.select(key).slice(pc.index(empty, True).as_py(), 1).to_pylist()[0]
            first = _masked(first, pii)
            raise _empty_key(key, name, rows, table.num_rows, first, where)


def _order(table: pa.Table, columns: Sequence[str]) -> AnyArray:
    by = pa.table({str(number): _sortable(table.column(name)) for number, name in enumerate(columns)})
    nulls_last: list[Any] = [(name, "ascending", "at_end") for name in by.column_names]
    return pc.sort_indices(by, sort_keys=nulls_last)


def _sortable(column: AnyArray) -> AnyArray:
    # Arrow does not order lists and structs. Any total order will do, as long as it follows from the values.
    return pa.array([repr(value) for value in column.to_pylist()]) if pt.is_nested(column.type) else column


def _check_unique(keys: pa.Table, where: str, pii: frozenset[str]) -> None:
    """Check that no row of a sorted table of keys equals the one before it."""
    same = _same_as_before(keys)
    repeated = pc.sum(same).as_py()
    if repeated:
        rows = keys.slice(1).filter(same).slice(0, _DUPLICATES_LOOKED_AT).to_pylist()
        raise _twice(keys.column_names, repeated, keys.num_rows, rows, where, pii)


def _same_as_before(keys: pa.Table) -> AnyArray:
    """Whether each row but the first equals the one before it."""
    same: AnyArray = True
    for column in keys.columns:
        same = pc.and_(pc.equal(column.slice(1), column.slice(0, max(len(column) - 1, 0))), same)
    return same


def _twice(
    key: Sequence[str], repeated: int, of: int, rows: list[dict[str, object]], where: str, pii: frozenset[str]
) -> OutputError:
    rows = [_masked(row, pii) for row in rows]
    values = list(dict.fromkeys(", ".join(map(str, row.values())) for row in rows))
    more = "; ..." if len(values) > _DUPLICATES_SHOWN else ""
    return OutputError(
        f"{where} has key={list(key)}, but {repeated} of its {of} rows repeat the key of another: "
        f"{'; '.join(values[:_DUPLICATES_SHOWN])}{more}. Aggregate them, or choose another key."
    )


def _masked(row: dict[str, object], pii: frozenset[str]) -> dict[str, object]:
    return {name: "***" if name in pii else value for name, value in row.items()}
