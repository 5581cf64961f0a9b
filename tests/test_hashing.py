"""Claims about digests of typed values: what is equal, what differs, and that no two values share an encoding."""

import hashlib
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping, Set
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.hashing import DIGEST_SIZE, canonical, digest

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
)
keys = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.binary(max_size=3))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        st.frozensets(keys, max_size=3),
    ),
    max_leaves=8,
)


def shape(value: Any) -> Any:
    """What must decide the encoding: every type and every representation, and of sequences and mappings what is in."""
    if isinstance(value, (list, tuple)):
        return ("sequence", [shape(item) for item in value])
    if isinstance(value, Mapping):
        return ("mapping", sorted((repr(shape(key)), repr(shape(item))) for key, item in value.items()))
    if isinstance(value, Set):
        return ("set", sorted(repr(shape(item)) for item in value))
    return (type(value).__name__, repr(value))


@given(values, values)
def test_two_values_share_an_encoding_only_if_they_are_the_same(one: object, other: object) -> None:
    assert (canonical(one) == canonical(other)) == (shape(one) == shape(other))


@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_where_one_part_ends_and_the_next_begins_counts(one: list[object], other: list[object]) -> None:
    assert (digest(*one) == digest(*other)) == (shape(one) == shape(other))


@pytest.mark.parametrize(
    "apart",
    [
        [1, 1.0, True, "1", b"1", Decimal(1), [1], {1}, {1: None}],
        [0, 0.0, -0.0, False, None, "", b"", [], {}, frozenset()],
        [Decimal("1.0"), Decimal("1.00")],
        [["ab", "c"], ["a", "bc"], ["abc"], [["ab"], "c"]],
        [date(2011, 1, 5), datetime(2011, 1, 5), datetime(2011, 1, 5, tzinfo=UTC), "2011-01-05"],
        [float("nan"), "nan", None],
        [{"a": 1, "b": 2}, {"a": 2, "b": 1}, [("a", 1), ("b", 2)]],
        [timedelta(1), timedelta(hours=24, microseconds=1), 86400.0],
        ["é", "e\u0301"],
    ],
)
def test_values_that_look_alike_have_digests_of_their_own(apart: list[object]) -> None:
    for one, other in combinations(apart, 2):
        assert digest(one) != digest(other), (one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], (1, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, OrderedDict(a=1)),
        ({3, 1, 2}, frozenset([2, 3, 1])),
        (float("nan"), -float("nan")),
    ],
)
def test_how_a_value_is_held_does_not_count(one: object, other: object) -> None:
    assert digest(one) == digest(other)


def test_a_digest_is_the_same_in_every_process() -> None:
    """Python's own hashes of text differ from process to process; sets come in another order there."""
    script = "from tidemark.hashing import digest; print(digest({'a', 'b', 'c'}, {'x': 1.5}, None).hex())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert digests == {digest({"a", "b", "c"}, {"x": 1.5}, None).hex()}


def test_the_encoding_stays_what_it_was_when_the_first_ledgers_were_written() -> None:
    """A ledger outlives a release: another encoding would run everything again."""
    value = ["orders", 1, {"recent_days": 7, "rate": 0.05}, None, b"\x00", date(2011, 1, 5)]
    assert digest(value).hex() == "451537d326a583d93fc41287ee3c81a6d12d1e714432a8423935e7979491fc12"
    assert canonical(("a", 1)) == b"Q" + bytes([0] * 7 + [20]) + b"S" + bytes([0] * 7 + [1]) + b"a" + (
        b"I" + bytes([0] * 7 + [1]) + b"1"
    )


def test_a_digest_is_sha256_over_the_encoding() -> None:
    assert digest("a", 1) == hashlib.sha256(canonical(("a", 1))).digest()
    assert len(digest()) == DIGEST_SIZE == 32


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    ONE = 1


@pytest.mark.parametrize("value", [object(), Colour.RED, Level.ONE, UTC, range(3), [object()], {"a": object()}])
def test_what_has_no_encoding_is_refused_and_never_taken_for_its_text(value: object) -> None:
    """An enumeration's member is not the text that it holds."""
    with pytest.raises(TypeError, match="cannot digest"):
        canonical(value)
