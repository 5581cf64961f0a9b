"""Claims about what differs between two tables, two texts, or two of what nobody can read."""

from collections import Counter
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.difference import Difference, compare_sizes, compare_tables, compare_texts
from tidemark.errors import MASK


def compare(
    before: dict[str, Any] | pl.DataFrame,
    after: dict[str, Any] | pl.DataFrame,
    *key: str,
    pii: frozenset[str] = frozenset(),
    limit: int = 20,
) -> Difference:
    return compare_tables(pl.DataFrame(before), pl.DataFrame(after), key, pii=pii, limit=limit)


def sums(found: Difference) -> tuple[int, int, int]:
    return found.added, found.removed, found.changed


def test_rows_are_matched_by_their_key() -> None:
    found = compare(
        {"k": [1, 2, 3], "v": [1, 1, 1], "w": [0, 0, 0]}, {"k": [2, 3, 4], "v": [1, 2, 1], "w": [0] * 3}, "k"
    )
    assert (sums(found), found.by, found.cells) == ((1, 1, 1), ("k",), {"v": 1})
    assert found.added_rows == ({"k": 4, "v": 1, "w": 0},)
    assert found.removed_rows == ({"k": 1, "v": 1, "w": 0},)
    assert found.changed_rows == (({"k": 3}, {"v": (1, 2)}),)


def test_a_value_that_is_missing_is_equal_to_one_that_is_missing() -> None:
    """And not a number to not a number; also in the key."""
    nan = float("nan")
    same = {"k": ["a", None], "v": [None, nan]}
    assert sums(compare(same, same, "k")) == (0, 0, 0)
    found = compare(same, {"k": ["a", None], "v": [nan, None]}, "k")
    assert (sums(found), found.cells) == ((0, 0, 2), {"v": 2})


def test_without_a_key_rows_are_counted_as_they_are() -> None:
    found = compare({"v": [1, 1, 2, None]}, {"v": [1, 2, 2, 2, None]})
    assert (sums(found), found.by) == ((2, 1, 0), ())
    assert found.added_rows == ({"v": 2}, {"v": 2})
    assert found.removed_rows == ({"v": 1},)


def test_rows_that_only_changed_places_are_told_so() -> None:
    found = compare({"v": [1, 2]}, {"v": [2, 1]})
    assert (sums(found), found.note) == ((0, 0, 0), "the rows are the same, in another order")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"v": [1]}, {"k": [1], "v": [1]}, "not both versions have the key's column k"),
        ({"k": [1, 1], "v": [1, 2]}, {"k": [1, 2], "v": [1, 2]}, "k is no key of both versions"),
        ({"k": [1], "v": [1]}, {"k": [[1]], "v": [1]}, "not both versions have the key's column k, or of one type"),
    ],
)
def test_data_from_before_the_key_was_declared_is_compared_by_whole_rows(
    before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    found = compare(before, after, "k")
    assert found.by == ()
    assert f"compared by whole rows: {said}" in found.note


def test_columns_that_came_went_or_changed_their_type_are_named() -> None:
    """Values are compared in a type that holds both; a column that only one version has makes no row another one."""
    before = {"k": [1, 2], "v": [1, 2], "old": ["x", "y"]}
    found = compare(before, {"k": [1, 2], "v": [1.0, 2.5], "new": [True, True]}, "k")
    assert found.columns == (("v", "Int64", "Float64"), ("old", "String", None), ("new", None, "Boolean"))
    assert (sums(found), found.changed_rows) == ((0, 0, 1), (({"k": 2}, {"v": (2.0, 2.5)}),))
    assert sums(compare({"v": [1], "old": [1]}, {"v": [1]})) == (0, 0, 0)


def test_tables_without_a_common_column_have_no_common_row() -> None:
    assert sums(compare({"a": [1, 2]}, {"b": [1]})) == (1, 2, 0)


def test_values_of_personal_columns_are_nowhere() -> None:
    """That they changed is told; also where they are the key; what is missing stays missing."""
    before = {"k": ["ann", "bob"], "v": ["x", "y"], "n": [1, 1]}
    after = {"k": ["bob", "cid"], "v": ["z", None], "n": [1, 1]}
    found = compare(before, after, "k", pii=frozenset({"k", "v"}))
    assert found.changed_rows == (({"k": MASK}, {"v": (MASK, MASK)}),)
    assert found.added_rows == ({"k": MASK, "v": None, "n": 1},)
    assert found.removed_rows == ({"k": MASK, "v": MASK, "n": 1},)


def test_everything_is_counted_and_the_first_are_shown() -> None:
    found = compare({"k": range(50), "v": [0] * 50}, {"k": range(10, 60), "v": [1] * 50}, "k", limit=3)
    assert sums(found) == (10, 10, 40)
    assert [row["k"] for row in found.added_rows] == [50, 51, 52]
    assert [row["k"] for row in found.removed_rows] == [0, 1, 2]
    assert [key["k"] for key, _ in found.changed_rows] == [10, 11, 12]
    bag = compare({"v": [1] * 50}, {"v": [2] * 50}, limit=3)
    assert (sums(bag), len(bag.added_rows), len(bag.removed_rows)) == ((50, 50, 0), 3, 3)


def test_names_of_columns_are_no_matter() -> None:
    """Not even those that a join would make itself."""
    names = ["a", "b", "k0", "b0", "a0", "d0", "len", "v_right", "na", "c0"]
    before = {name: [1, 2] for name in names}
    after = before | {"d0": [1, 3]}
    assert (sums(compare(before, after, "a", "b")), compare(before, after, "a").cells) == ((0, 0, 1), {"d0": 1})
    assert sums(compare(before, after)) == (1, 1, 0)


def test_every_kind_of_value_is_compared() -> None:
    rows = {"k": [1, 2], "l": [[1], None], "s": [{"x": 1}, {"x": None}], "b": [b"a", b""], "d": [date(2025, 1, 5)] * 2}
    after = rows | {"l": [[1], [2]]}
    assert compare(rows, after, "k").cells == {"l": 1}
    assert sums(compare(rows, after)) == (1, 1, 0)


_ROWS = st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 2)), max_size=12)


def _table(rows: list[tuple[int, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"k": pl.Int64, "v": pl.Int64}, orient="row")


@given(_ROWS, _ROWS)
def test_whole_rows_differ_as_bags_do(
    before: list[tuple[int, int | None]], after: list[tuple[int, int | None]]
) -> None:
    """What is shown, too, is just what the bags differ in."""
    found = compare(_table(before), _table(after))
    added, removed = Counter(after) - Counter(before), Counter(before) - Counter(after)
    assert sums(found) == (added.total(), removed.total(), 0)
    assert Counter((row["k"], row["v"]) for row in found.added_rows) == added
    assert Counter((row["k"], row["v"]) for row in found.removed_rows) == removed


@given(_ROWS, _ROWS)
def test_keyed_rows_differ_as_dictionaries_do(
    before: list[tuple[int, int | None]], after: list[tuple[int, int | None]]
) -> None:
    old, new = dict(before), dict(after)
    found = compare(_table([*old.items()]), _table([*new.items()]), "k")
    changed = {key for key in old.keys() & new.keys() if old[key] != new[key]}
    assert sums(found) == (len(new.keys() - old.keys()), len(old.keys() - new.keys()), len(changed))
    assert {key["k"] for key, _ in found.changed_rows} == changed


def test_texts_are_compared_by_lines() -> None:
    found = compare_texts("a\nb\nc\n", "a\nB\nc\nd\n", limit=20)
    assert (found.kind, found.before, found.after, found.added, found.removed) == ("lines", 3, 4, 2, 1)
    assert found.lines == ("@@ -1,3 +1,4 @@", " a", "-b", "+B", " c", "+d")
    assert compare_texts("a\n", "b\n", limit=2).lines == ("@@ -1 +1 @@", "-a")
    assert compare_texts("a\n", "a", limit=2).note == "the lines are the same; how they end is not"


def test_what_nobody_can_read_is_told_by_its_size() -> None:
    found = compare_sizes(3, 5)
    assert (found.kind, found.before, found.after) == ("bytes", 3, 5)
