"""Differences between two versions of one partition's data: rows by key, whole rows, lines of a text, or sizes.

Invariants: what is counted is all there is, what is shown is a bounded part of it; a value of a column with personal
data is nowhere in it. Rows are compared by joins: only those that are shown are gone through one by one.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidemark.errors import MASK

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Difference:
    """What differs between two versions.

    Attributes:
        kind: what was compared: rows, lines or bytes.
        before: how many of these the earlier version has.
        after: how many the later one has.
        added: how many the later one has that the earlier one has not.
        removed: the other way round.
        changed: rows with the same key and other values.
        by: the key by which rows were matched; empty where whole rows were compared.
        note: what else is to be said, such as why they were not matched by the key.
        columns: columns that came, went or have another type: name, type before, type after; None: not there.
        cells: in how many rows with the same key each column changed, for those that did.
        added_rows: the first of them, masked.
        removed_rows: the first of them, masked.
        changed_rows: the first of them: key, and for each column that changed its values before and after; masked.
        lines: the first lines of a text's unified diff.

    """

    kind: str
    before: int
    after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    by: tuple[str, ...] = ()
    note: str = ""
    columns: tuple[tuple[str, str | None, str | None], ...] = ()
    cells: dict[str, int] = field(default_factory=dict)
    added_rows: tuple[dict[str, Any], ...] = ()
    removed_rows: tuple[dict[str, Any], ...] = ()
    changed_rows: tuple[tuple[dict[str, Any], dict[str, tuple[Any, Any]]], ...] = ()
    lines: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as stable data."""
        return {
            "kind": self.kind,
            "by": list(self.by),
            "note": self.note,
            "totals": {
                "before": self.before,
                "after": self.after,
                "added": self.added,
                "removed": self.removed,
                "changed": self.changed,
            },
            "columns": [{"column": name, "before": old, "after": new} for name, old, new in self.columns],
            "cells": self.cells,
            "added": list(self.added_rows),
            "removed": list(self.removed_rows),
            "changed": [
                {"key": key, "values": {name: {"before": old, "after": new} for name, (old, new) in values.items()}}
                for key, values in self.changed_rows
            ],
            "lines": list(self.lines),
        }


# -- what is no table


def compare_texts(before: str, after: str, *, limit: int) -> Difference:
    """Compare two texts line by line."""
    old, new = before.splitlines(), after.splitlines()
    lines = list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]  # without the names of files that there are not
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    note = "" if lines or before == after else "the lines are the same; how they end is not"
    return Difference("lines", len(old), len(new), added, removed, note=note, lines=tuple(lines[:limit]))


def compare_sizes(before: int, after: int, note: str = "") -> Difference:
    """Compare what nobody can read: by how many bytes it is."""
    return Difference("bytes", before, after, note=note)


# -- tables


def compare_tables(
    before: "pl.DataFrame", after: "pl.DataFrame", key: Sequence[str], *, pii: frozenset[str], limit: int
) -> Difference:
    """Compare two tables: by their key, or where there is none, or none that fits both, by whole rows.

    Args:
        before: the earlier one.
        after: the later one.
        key: columns that identify a row; none: rows have no identity, and are counted as they are.
        pii: columns whose values nobody is to see.
        limit: how many rows of each sort are shown.

    """
    old, new = _aligned(before, after)
    unfit = _unfit(old, new, key)
    if not old.columns:  # with no column in common every row is another one
        rows = _Rows(_numbers(after.height), _numbers(before.height))
    else:
        rows = _by_key(old, new, list(key)) if key and not unfit else _by_rows(old, new)
    changed = () if rows.changed is None else _pairs(rows.changed.head(limit), list(key), old.columns, pii)
    return Difference(
        "rows",
        before.height,
        after.height,
        len(rows.added),
        len(rows.removed),
        0 if rows.changed is None else rows.changed.height,
        tuple(key) if key and not unfit else (),
        unfit or _order(before, after, rows),
        tuple(_columns(before, after, set(old.columns))),
        rows.cells,
        tuple(_shown(after[rows.added.head(limit)], pii)),
        tuple(_shown(before[rows.removed.head(limit)], pii)),
        tuple(changed),
    )


@dataclass(frozen=True)
class _Rows:
    """Numbers of the rows that were added and removed, and those that changed, side by side (see :func:`_by_key`)."""

    added: "pl.Series"
    removed: "pl.Series"
    changed: "pl.DataFrame | None" = None
    cells: dict[str, int] = field(default_factory=dict)


def _aligned(before: "pl.DataFrame", after: "pl.DataFrame") -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """Return the columns that both tables have, in types in which they can be compared; others are left out."""
    import polars as pl

    types: dict[str, Any] = {}
    for name in (name for name in after.columns if name in before.columns):
        try:
            both = pl.concat([each.select(name).clear() for each in (before, after)], how="vertical_relaxed")
        except pl.exceptions.PolarsError:
            continue  # a number and a list, say
        types[name] = both.schema[name]
    fitting = [pl.col(name).cast(kind) for name, kind in types.items()]
    return before.select(fitting), after.select(fitting)


def _columns(
    before: "pl.DataFrame", after: "pl.DataFrame", compared: set[str]
) -> list[tuple[str, str | None, str | None]]:
    found = []
    for name in dict.fromkeys([*before.columns, *after.columns]):
        old, new = before.schema.get(name), after.schema.get(name)
        if old != new:
            found.append((name, str(old) if old is not None else None, str(new) if new is not None else None))
    return found


def _unfit(old: "pl.DataFrame", new: "pl.DataFrame", key: Sequence[str]) -> str:
    """Return why rows cannot be matched by a key, though there is one; the data may be from before it was declared."""
    lacking = [name for name in key if name not in old.columns]
    if lacking:
        return f"compared by whole rows: not both versions have the key's column {', '.join(lacking)}, or of one type"
    if key and any(each.select(key).is_duplicated().any() for each in (old, new)):
        return f"compared by whole rows: {', '.join(key)} is no key of both versions"
    return ""


def _order(before: "pl.DataFrame", after: "pl.DataFrame", rows: _Rows) -> str:
    """Say that rows only changed places, where that is all."""
    quiet = not (len(rows.added) or len(rows.removed) or rows.cells)
    same = before.schema == after.schema
    return "the rows are the same, in another order" if quiet and same and not before.equals(after) else ""


def _by_key(old: "pl.DataFrame", new: "pl.DataFrame", key: list[str]) -> _Rows:
    """Match rows by their key.

    The changed ones have the key's columns as ``k0``, ``k1``, ..., and of each column of the tables, by its number, the
    values before and after as ``b`` and ``a``, and whether they differ as ``d``.
    """
    import polars as pl

    keys = [f"k{place}" for place in range(len(key))]

    def named(table: "pl.DataFrame", letter: str) -> "pl.DataFrame":
        return table.select(
            *(pl.col(name).alias(to) for name, to in zip(key, keys, strict=True)),
            *(pl.col(name).alias(f"{letter}{place}") for place, name in enumerate(table.columns)),
        ).with_row_index(letter)

    before, after = named(old, "b"), named(new, "a")
    differs = [
        pl.col(f"b{place}").ne_missing(pl.col(f"a{place}")).alias(f"d{place}") for place in range(len(old.columns))
    ]
    both = before.join(after, on=keys, how="inner", nulls_equal=True).with_columns(differs)
    changed = both.filter(pl.any_horizontal(pl.col(f"d{place}") for place in range(len(old.columns)))).sort("a")
    counts = changed.select(pl.col(f"d{place}").sum() for place in range(len(old.columns))).row(0)
    cells = {name: count for name, count in zip(old.columns, counts, strict=True) if count}
    removed = before.join(after, on=keys, how="anti", nulls_equal=True)["b"].sort()
    added = after.join(before, on=keys, how="anti", nulls_equal=True)["a"].sort()
    return _Rows(added, removed, changed, cells)


def _by_rows(old: "pl.DataFrame", new: "pl.DataFrame") -> _Rows:
    """Compare two tables as bags of rows: one that is there twice and was there once was added once."""
    import polars as pl

    names = [f"c{place}" for place in range(len(old.columns))]

    def counted(table: "pl.DataFrame", letter: str) -> "pl.DataFrame":
        numbered = table.rename(dict(zip(table.columns, names, strict=True))).with_row_index(letter)
        return numbered.group_by(names).agg(pl.col(letter).min(), pl.len().cast(pl.Int64).alias(f"n{letter}"))

    both = counted(old, "b").join(counted(new, "a"), on=names, how="full", nulls_equal=True, coalesce=True)
    more = pl.col("na").fill_null(0) - pl.col("nb").fill_null(0)
    added = both.filter(more > 0).sort("a").select(pl.col("a").repeat_by(more).explode())["a"]
    removed = both.filter(more < 0).sort("b").select(pl.col("b").repeat_by(-more).explode())["b"]
    return _Rows(added, removed)


def _numbers(height: int) -> "pl.Series":
    import polars as pl

    return pl.int_range(height, eager=True)


def _shown(rows: "pl.DataFrame", pii: frozenset[str]) -> list[dict[str, Any]]:
    return [{name: _masked(name, value, pii) for name, value in row.items()} for row in rows.to_dicts()]


def _pairs(
    changed: "pl.DataFrame", key: list[str], columns: list[str], pii: frozenset[str]
) -> list[tuple[dict[str, Any], dict[str, tuple[Any, Any]]]]:
    """Return the key of each changed row, and its values before and after where they differ."""
    found = []
    for row in changed.to_dicts():
        identity = {name: _masked(name, row[f"k{place}"], pii) for place, name in enumerate(key)}
        values = {
            name: (_masked(name, row[f"b{place}"], pii), _masked(name, row[f"a{place}"], pii))
            for place, name in enumerate(columns)
            if row[f"d{place}"]
        }
        found.append((identity, values))
    return found


def _masked(name: str, value: Any, pii: frozenset[str]) -> Any:
    return MASK if name in pii and value is not None else value
