"""Claims about drift: what its measures are, what they make of odd data, and that noise is not taken for it."""

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from tidemark import drift as module
from tidemark.drift import BINS, QUANTILES, Limit, drift, over, profile_digest, training_profile

Draw = Callable[[np.random.Generator, int], Any]

DRAWS: dict[str, Draw] = {
    "normal": lambda rng, rows: rng.normal(0, 1, rows),
    "skewed": lambda rng, rows: rng.lognormal(2.7, 0.5, rows),
    "mostly zero": lambda rng, rows: np.where(rng.random(rows) < 0.7, 0.0, rng.exponential(1, rows)),
    "counts": lambda rng, rows: rng.poisson(1.5, rows),
    "a third is missing": lambda rng, rows: np.where(rng.random(rows) < 0.3, np.nan, rng.normal(0, 1, rows)),
}


def frame(*values: Any) -> pl.DataFrame:
    return pl.DataFrame({"a": list(values)}, schema={"a": pl.Float64})


def compared(trained: pl.DataFrame, now: pl.DataFrame) -> dict[str, Any]:
    return drift(training_profile(trained, ["a"]), now).row(0, named=True)


def ranked(values: Any) -> list[float]:
    """What is missing comes first."""
    return sorted(-math.inf if each is None or not math.isfinite(each) else float(each) for each in values)


# --- the measures


def test_the_index_of_ten_values_is_the_one_computed_by_hand() -> None:
    """Each of 1 to 10 is a bin. Ten ones: 0.9 ln 10 for theirs, and 0.05 ln 2 for each of the nine others."""
    found = compared(frame(*range(1, 11)), frame(*[1] * 10))
    assert found["psi"] == pytest.approx(0.9 * math.log(10) + 9 * 0.05 * math.log(2), abs=1e-6)
    assert found["noise"] == pytest.approx(9 * (1 / 10 + 1 / 10))
    assert found["ks"] == pytest.approx(0.9)
    assert (found["rows"], found["missing"]) == (10, 0)


def test_half_a_row_stands_for_none_on_either_side() -> None:
    """Of 300 sevens none was an eight: 50 of 80 are now. The quantiles are fewer than the rows, and 300 counts."""
    found = compared(frame(*[7] * 300), frame(*[7] * 30, *[8] * 50))
    wanted = (30 / 80 - 1) * math.log(30 / 80) + (50 / 80 - 0.5 / 300) * math.log(50 / 80 / (0.5 / 300))
    assert found["psi"] == pytest.approx(wanted, abs=1e-6)
    assert found["noise"] == 0


def test_what_is_as_it_was_has_not_drifted() -> None:
    found = compared(frame(*range(100)), frame(*range(100)))
    assert (found["psi"], found["ks"], found["p_value"]) == (0, 0, 1)


def index_by_loops(trained: list[float], now: list[float]) -> float:
    """The population stability index once more, without an array: trained are at most as many values as are kept."""
    there = [each for each in trained if each > -math.inf]
    ends = sorted({there[math.ceil(len(there) * tenth / BINS) - 1] for tenth in range(1, BINS)})
    if ends[0] == there[0]:
        ends.insert(0, math.nextafter(there[0], -math.inf))
    ends = [-math.inf, *ends, math.inf]
    total = 0.0
    for below, end in zip([None, *ends], ends, strict=False):
        shares = []
        for values in (trained, now):
            inside = [each for each in values if each <= end and (below is None or each > below)]
            shares.append(len(inside) / len(values))
        if any(shares):
            then, today = (max(share, 0.5 / len(of)) for share, of in zip(shares, (trained, now), strict=True))
            total += (today - then) * math.log(today / then)
    return total


def distance_by_loops(trained: list[float], now: list[float]) -> float:
    """What is missing comes first and, if that is further, last."""

    def furthest(one: list[float], other: list[float]) -> float:
        steps = one + other
        return max(abs(bisect_right(one, each) / len(one) - bisect_right(other, each) / len(other)) for each in steps)

    last = (sorted(math.inf if each == -math.inf else each for each in values) for values in (trained, now))
    return max(furthest(trained, now), furthest(*last))


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_both_measures_are_those_of_another_implementation(kind: str, shift: float) -> None:
    rng = np.random.default_rng(1)
    for rows in (7, 40, 300):
        trained, now = DRAWS[kind](rng, QUANTILES), DRAWS[kind](rng, rows) + shift
        found = compared(frame(*trained), frame(*now))
        assert found["psi"] == pytest.approx(index_by_loops(ranked(trained), ranked(now)), abs=2e-6)
        assert found["ks"] == pytest.approx(distance_by_loops(ranked(trained), ranked(now)), abs=2e-6)


@pytest.mark.parametrize("kind", DRAWS)
def test_quantiles_stand_for_the_rows_they_were_taken_from(kind: str) -> None:
    """The distance is less than 0.003 from that to all 5000 rows, and never looks less probable by chance."""
    rng = np.random.default_rng(2)
    trained = DRAWS[kind](rng, 5000)
    for shift in (0.0, 0.2, 1.0):
        now = DRAWS[kind](rng, 80) + shift
        found = compared(frame(*trained), frame(*now))
        ranks = [(ranked(now), ranked(trained)), (np.nan_to_num(now, nan=np.inf), np.nan_to_num(trained, nan=np.inf))]
        whole = max((ks_2samp(*both, method="asymp") for both in ranks), key=lambda each: each.statistic)
        assert found["ks"] == pytest.approx(whole.statistic, abs=0.003)
        assert found["p_value"] >= round(whole.pvalue, 6)


# --- profiles


@pytest.mark.parametrize("kind", DRAWS)
def test_a_profile_is_small_and_the_same_in_whatever_order_rows_come(kind: str) -> None:
    values = DRAWS[kind](np.random.default_rng(3), 1000)
    made = training_profile(frame(*values), ["a"])
    assert made == training_profile(frame(*values[::-1]), ["a"])
    assert made["a"]["count"] == 1000
    assert len(made["a"]["quantiles"]) == QUANTILES
    known = {None if not math.isfinite(each) else float(each) for each in values}
    assert set(made["a"]["quantiles"]) <= known


def test_a_profile_is_told_from_another_by_its_digest() -> None:
    one, same, other = (training_profile(frame(*values), ["a"]) for values in ([1, 2], [2, 1], [1, 3]))
    assert profile_digest(one) == profile_digest(same) != profile_digest(other)


def test_there_is_no_profile_of_nothing() -> None:
    with pytest.raises(ValueError, match="there are no rows"):
        training_profile(frame(), ["a"])


# --- odd data


@pytest.mark.parametrize("odd", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_missing(odd: float | None) -> None:
    made = training_profile(frame(1, 2, 3, odd), ["a"])["a"]
    assert made == {"count": 4, "missing": 0.25, "quantiles": [None, 1, 2, 3]}
    assert compared(frame(1, 2, 3, 4), frame(1, odd, odd, 4))["missing"] == 0.5


def test_a_feature_that_vanishes_has_drifted() -> None:
    rng = np.random.default_rng(4)
    profile = training_profile(frame(*rng.normal(size=500)), ["a"])
    values = rng.normal(size=80)
    assert over(drift(profile, frame(*values))) == []
    assert over(drift(profile, frame(*np.where(rng.random(80) < 0.4, np.nan, values)))) == ["a"]
    assert over(drift(profile, frame(*[None] * 80))) == ["a"]


def test_more_that_is_missing_does_not_hide_that_the_others_have_grown() -> None:
    """Nor that they have shrunk: half is missing where nothing was, and the others are beyond all that there were."""
    profile = training_profile(frame(*range(300)), ["a"])
    for beyond in (500, -500):
        found = drift(profile, frame(*[None] * 40, *[beyond] * 40))
        assert found["ks"].item() == 1
        assert over(found) == ["a"]


def test_a_feature_that_was_always_missing_drifts_when_it_comes() -> None:
    profile = training_profile(frame(*[None] * 300), ["a"])
    assert over(drift(profile, frame(*[None] * 80))) == []
    assert over(drift(profile, frame(*range(80)))) == ["a"]


@pytest.mark.parametrize("other", [6.0, 8.0])
def test_a_constant_drifts_when_something_else_comes_from_whichever_side(other: float) -> None:
    profile = training_profile(frame(*[7.0] * 300), ["a"])
    same = drift(profile, frame(*[7.0] * 80)).row(0, named=True)
    assert (same["psi"], same["ks"]) == (0, 0)
    assert over(drift(profile, frame(*[7.0] * 30, *[other] * 50))) == ["a"]


def test_no_rows_are_no_drift() -> None:
    found = drift(training_profile(frame(1, 2), ["a"]), frame())
    assert found.row(0) == ("a", None, None, None, None, 0, None)
    assert over(found) == []


def test_without_a_profile_the_table_is_empty_and_has_its_columns() -> None:
    empty = drift({}, frame(1))
    assert empty.schema == drift(training_profile(frame(1), ["a"]), frame(1)).schema
    assert empty.is_empty()


def test_one_row_is_never_drift() -> None:
    """Whatever it is, and however few were learned from: one says nothing."""
    for known in ([1.0], [1.0] * 500):
        assert over(drift(training_profile(frame(*known), ["a"]), frame(9))) == []
    assert compared(frame(1), frame(9))["p_value"] == 1


def test_integers_are_numbers() -> None:
    whole = pl.DataFrame({"a": [1, 2, 3]}, schema={"a": pl.UInt32})
    assert training_profile(whole, ["a"]) == training_profile(frame(1, 2, 3), ["a"])


# --- limits


def measured(**values: float) -> pl.DataFrame:
    row = {"feature": "a", "psi": 0.0, "noise": 0.0, "ks": 0.0, "p_value": 0.0, "rows": 80, "missing": 0.0, **values}
    return pl.DataFrame([row])


@pytest.mark.parametrize(
    ("values", "limit", "is_over"),
    [
        ({"psi": 0.3}, Limit(psi=0.25), True),
        ({"psi": 0.2}, Limit(psi=0.25), False),
        ({"psi": 0.3, "noise": 0.1}, Limit(psi=0.25), False),
        ({"psi": 0.3, "p_value": 0.01}, Limit(psi=0.25), False),
        ({"psi": 0.3, "p_value": 0.01}, Limit(psi=0.25, p_value=0.05), True),
        ({"psi": 9.0, "ks": 0.9}, Limit(psi=None), False),
        ({"psi": 0.0, "ks": 0.3}, Limit(psi=0.25, ks=0.2), True),
        ({"psi": 0.0, "ks": 0.1}, Limit(psi=0.25, ks=0.2), False),
        ({"psi": 0.0, "ks": 0.3, "p_value": 0.01}, Limit(ks=0.2), False),
    ],
)
def test_over_is_what_is_beyond_a_limit_and_improbable(values: dict[str, float], limit: Limit, is_over: bool) -> None:
    assert over(measured(**values), {"a": limit}) == (["a"] if is_over else [])
    assert over(measured(**values), {"b": Limit(psi=None)}, limit) == (["a"] if is_over else [])


# --- noise


@pytest.mark.parametrize("rows", [30, 80])
@pytest.mark.parametrize("kind", DRAWS)
def test_noise_is_never_over(kind: str, rows: int) -> None:
    """Two hundred days from the distribution that was learned."""
    rng = np.random.default_rng(5)
    profile = training_profile(frame(*DRAWS[kind](rng, 960)), ["a"])
    assert [over(drift(profile, frame(*DRAWS[kind](rng, rows)))) for _ in range(200)] == [[]] * 200


@pytest.mark.parametrize("kind", DRAWS)
def test_a_shift_by_one_and_a_half_deviations_is_always_over(kind: str) -> None:
    """Two hundred days of eighty rows."""
    rng = np.random.default_rng(7)
    profile = training_profile(frame(*DRAWS[kind](rng, 960)), ["a"])
    shift = 1.5 * np.nanstd(DRAWS[kind](rng, 10_000))
    assert [over(drift(profile, frame(*(DRAWS[kind](rng, 80) + shift)))) for _ in range(200)] == [["a"]] * 200


@pytest.mark.parametrize("share", [1.3, 0.7])
def test_a_third_more_or_less_of_what_varies_by_half_that_is_always_over(share: float) -> None:
    rng = np.random.default_rng(8)
    profile = training_profile(frame(*rng.lognormal(0, 0.15, 960)), ["a"])
    assert [over(drift(profile, frame(*(rng.lognormal(0, 0.15, 80) * share)))) for _ in range(200)] == [["a"]] * 200


def test_the_index_alone_takes_noise_for_drift() -> None:
    """Why a limit considers rows: of thirty rows as of old, most days have an index over 0.25."""
    rng = np.random.default_rng(6)
    profile = training_profile(frame(*rng.normal(size=960)), ["a"])
    tables = pl.concat(drift(profile, frame(*rng.normal(size=30))) for _ in range(200))
    assert (tables["psi"] > module.DEFAULT.psi).sum() > 100
    assert tables["psi"].mean() == pytest.approx(tables["noise"][0], rel=0.2)


def test_with_the_index_alone_corrected_some_noise_is_left_for_the_test_to_catch() -> None:
    rng = np.random.default_rng(6)
    profile = training_profile(frame(*rng.normal(size=960)), ["a"])
    tables = [drift(profile, frame(*rng.normal(size=30))) for _ in range(200)]
    assert sum(bool(over(each, default=Limit(p_value=1.1))) for each in tables) > 5
