"""The gate: severity decides, people are told what is wrong, and nobody is shown what is not theirs to see."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from tests.gates import GOOD, PII, SUITES, fx_rates, order_lines, orders, rule, with_cell, write_suite
from tidemark.errors import DefinitionError
from tidemark.gate import Failure, Gate, GateResult, Outcome, Severity, suite_digest

ABOVE_ZERO = {"column": "price", "min_value": 0, "strict_min": True}
CHEAP = {"column": "price", "max_value": 10}
HIDDEN = "•••"


def check(folder: Path, table: pa.Table, *rules: dict[str, object], pii: frozenset[str] = frozenset()) -> GateResult:
    write_suite(folder, *rules)
    return Gate(folder, None).check("prices", table, label="prices 2011-01-05", pii=pii)


def prices(*values: object) -> pa.Table:
    return pa.table({"code": [f"c{n}" for n in range(len(values))], "price": pa.array(values, pa.float64())})


def only(result: GateResult) -> Failure:
    (failure,) = result.failures
    return failure


# --- the outcome


@pytest.mark.parametrize(
    ("severities", "outcome"),
    [
        (["critical"], Outcome.BLOCKED),
        (["warning"], Outcome.FLAGGED),
        (["info"], Outcome.PASSED),
        (["info", "warning"], Outcome.FLAGGED),
        (["warning", "info", "critical"], Outcome.BLOCKED),
    ],
)
def test_the_worst_severity_decides(tmp_path: Path, severities: list[str], outcome: Outcome) -> None:
    """Critical blocks, warning flags, info is only recorded; each failure is kept, the worst first."""
    limits = enumerate(severities, start=20)
    rules = [rule("expect_column_max_to_be_between", name, column="price", max_value=n) for n, name in limits]
    result = check(tmp_path, prices(99.0), *rules)
    assert (result.outcome, result.checked) == (outcome, len(severities))
    order = ["critical", "warning", "info"]
    assert [failure.severity for failure in result.failures] == sorted(severities, key=order.index)


def test_an_expectation_without_severity_is_critical(tmp_path: Path) -> None:
    """As in Great Expectations."""
    result = check(tmp_path, prices(-1.0), {"type": "expect_column_values_to_be_between", "kwargs": ABOVE_ZERO})
    assert only(result).severity is Severity.CRITICAL


def test_a_share_may_be_wrong_where_the_suite_says_so(tmp_path: Path) -> None:
    """``mostly`` is Great Expectations' own."""
    mostly = rule("expect_column_values_to_be_between", **ABOVE_ZERO, mostly=0.75)
    assert check(tmp_path, prices(1.0, 2.0, 3.0, -1.0), mostly).outcome is Outcome.PASSED
    failure = only(check(tmp_path, prices(1.0, 2.0, -3.0, -1.0), mostly))
    assert (failure.unexpected_count, failure.unexpected_percent) == (2, 50.0)
    assert failure.message.startswith(
        "prices.price: 2 of 4 values (50 %) fail: values must be greater than 0.0, at least 75 %"
    )


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_nan_is_missing_as_null_is(tmp_path: Path, missing: float | None) -> None:
    """Where a value must be there, NaN is none."""
    failure = only(check(tmp_path, prices(1.0, missing), rule("expect_column_values_to_not_be_null", column="price")))
    assert failure.unexpected_count == 1


# --- what is told


def test_rows_at_fault_are_shown_whole_and_numbered(tmp_path: Path) -> None:
    """As people count: the first is row 1."""
    failure = only(
        check(tmp_path, prices(1.0, -2.0, 3.0, -4.5), rule("expect_column_values_to_be_between", **ABOVE_ZERO))
    )
    assert failure == Failure(
        expectation="expect_column_values_to_be_between",
        column="price",
        severity=Severity.CRITICAL,
        message="prices.price: 2 of 4 values (50 %) fail: values must be greater than 0.0"
        "; e.g. -2.0 in row 2; -4.5 in row 4",
        unexpected_count=2,
        unexpected_percent=50.0,
        sample=({"row_number": 2, "code": "c1", "price": -2.0}, {"row_number": 4, "code": "c3", "price": -4.5}),
    )


def test_a_sample_is_of_ten_rows_at_most(tmp_path: Path) -> None:
    """And the count is of all."""
    failure = only(check(tmp_path, prices(*[-1.0] * 500), rule("expect_column_values_to_be_between", **ABOVE_ZERO)))
    assert (failure.unexpected_count, len(failure.sample)) == (500, 10)
    assert [row["row_number"] for row in failure.sample] == list(range(1, 11))


def test_a_sample_is_json_whatever_the_types(tmp_path: Path) -> None:
    """Dates, decimals, bytes, lists, NaN and a long text, each as something to read."""
    table = pa.table(
        {
            "price": [-1.0],
            "at": pa.array([datetime(2011, 1, 5, 9, 11)], pa.timestamp("us")),
            "day": pa.array([14979], pa.date32()),
            "exact": [Decimal("1.50")],
            "raw": [b"\x00\xff"],
            "parts": [[1, None]],
            "odd": [float("nan")],
            "long": ["x" * 1000],
            "flag": [True],
        }
    )
    (row,) = only(check(tmp_path, table, rule("expect_column_values_to_be_between", **ABOVE_ZERO))).sample
    assert json.loads(json.dumps(row, allow_nan=False)) == {
        "row_number": 1,
        "price": -1.0,
        "at": "2011-01-05 09:11:00",
        "day": "2011-01-05",
        "exact": "1.50",
        "raw": "00ff",
        "parts": [1, None],
        "odd": "NaN",
        "long": "x" * 197 + "...",
        "flag": True,
    }


def test_a_missing_column_is_told_once(tmp_path: Path) -> None:
    """Not once for every rule about it; by the worst of them."""
    rules = [
        rule("expect_column_values_to_not_be_null", "warning", column="cost"),
        rule("expect_column_values_to_be_between", "critical", column="cost", min_value=0),
        rule("expect_column_mean_to_be_between", "info", column="cost", min_value=0),
    ]
    result = check(tmp_path, prices(1.0), *rules)
    failure = only(result)
    assert (result.checked, failure.severity) == (3, Severity.CRITICAL)
    assert failure.message == "prices.cost: column cost is missing; the table has code, price"


def test_a_wrong_type_is_told_in_words(tmp_path: Path) -> None:
    """What the column is, and why its rules cannot be evaluated; once."""
    rules = [
        rule("expect_column_values_to_be_of_type", column="code", type_="float64"),
        rule("expect_column_values_to_be_between", column="code", min_value=0),
        rule("expect_column_values_to_be_between", column="code", max_value=9),
    ]
    result = check(tmp_path, prices(1.0), *rules)
    assert [failure.message for failure in result.failures] == [
        "prices.code: values must be of type float64; observed str",
        "prices.code: cannot be checked: code is of type string; "
        "Column values, min_value, and max_value must either be None or of the same type.",
    ]
    assert result.outcome is Outcome.BLOCKED


def test_what_cannot_be_evaluated_fails_at_its_severity(tmp_path: Path) -> None:
    """Also where the library itself raises."""
    other = rule("expect_table_row_count_to_equal_other_table", "warning", other_table_name="other")
    result = check(tmp_path, prices(1.0), other)
    assert (result.outcome, only(result).column) == (Outcome.FLAGGED, None)
    assert only(result).message.startswith("prices: cannot be checked: ")


def test_several_columns_are_named_together(tmp_path: Path) -> None:
    """With the values of each row in their order."""
    table = pa.table({"code": ["a", "b", "a"], "currency": ["GBP", "GBP", "GBP"], "price": [1.0, 2.0, 3.0]})
    failure = only(
        check(tmp_path, table, rule("expect_compound_columns_to_be_unique", column_list=["code", "currency"]))
    )
    assert failure.column is None
    assert failure.message.startswith("prices (code, currency): 2 of 3 values (66.7 %) fail: ")
    assert failure.message.endswith("e.g. a, GBP in row 1; a, GBP in row 3")


def test_an_authors_words_are_used(tmp_path: Path) -> None:
    """A description says what the rule is for better than its arguments do."""
    described = {**rule("expect_column_values_to_be_between", **ABOVE_ZERO), "description": "nothing is free"}
    assert "fails: nothing is free; e.g. 0.0 in row 1" in only(check(tmp_path, prices(0.0, 1.0), described)).message


# --- masking


def test_masked_columns_are_masked_in_rows_and_messages() -> None:
    """Values of a masked column are nowhere in a result; what is missing stays visible as missing."""
    table = with_cell(with_cell(orders(), "Quantity", 3, None), "Quantity", 59, None)
    result = Gate(SUITES, None).check("orders", table, label="orders", pii=PII["orders"])
    failure = only(result)
    assert [row["CustomerID"] for row in failure.sample] == [HIDDEN, None]
    assert "13003" not in json.dumps(result.to_json())


@pytest.mark.parametrize(
    "about",
    [
        rule("expect_column_values_to_match_regex", column="customer_id", regex="^x"),
        rule("expect_column_values_to_be_unique", column="customer_id"),
        rule("expect_column_values_to_be_in_set", column="customer_id", value_set=["x"]),
        rule("expect_column_distinct_values_to_be_in_set", column="customer_id", value_set=["x"]),
        rule("expect_column_most_common_value_to_be_in_set", column="customer_id", value_set=["x"]),
        rule("expect_column_values_to_be_between", column="customer_id", max_value=3),
        rule("expect_column_values_to_be_dateutil_parseable", column="customer_id"),
        rule("expect_column_max_to_be_between", column="customer_id", max_value="0"),
        rule("expect_column_min_to_be_between", column="customer_id", min_value="2000-01-01T00:00:00"),
        rule("expect_compound_columns_to_be_unique", column_list=["customer_id", "country"]),
        rule("expect_column_pair_values_to_be_equal", column_A="customer_id", column_B="country"),
    ],
    ids=lambda about: about["type"],
)
def test_no_rule_about_a_masked_column_tells_its_values(tmp_path: Path, about: dict[str, object]) -> None:
    """Whether it fails on rows, on a statistic or by an exception: not in the result, not in Data Docs."""
    secret = "alice@example.org"
    table = order_lines()
    at = table.column_names.index("customer_id")
    table = table.set_column(at, "customer_id", pa.array([secret] * len(table)))
    write_suite(tmp_path, about)
    gate = Gate(tmp_path, tmp_path / "docs")
    result = gate.check("prices", table, label="lines", pii=PII["order_lines"])
    gate.finish()
    assert result.outcome is Outcome.BLOCKED
    assert "alice" not in json.dumps(result.to_json())
    pages = [page.read_text() for page in tmp_path.rglob("*.html")]
    assert pages
    assert not [page for page in pages if "alice" in page]


def test_nothing_is_masked_without_reason(tmp_path: Path) -> None:
    """The same rule about another column shows its values."""
    table = pa.table({"customer_id": ["alice"], "country": ["UK"]})
    about = rule("expect_column_values_to_match_regex", column="country", regex="^x")
    assert "UK in row 1" in only(check(tmp_path, table, about, pii=PII["order_lines"])).message


# --- results and suites


def test_a_result_survives_json() -> None:
    """What is stored is what was said."""
    bad = with_cell(with_cell(fx_rates(), "eur_rate", 0, float("nan")), "currency", 1, None)
    result = Gate(SUITES, None).check("fx_rates", bad, label="fx")
    assert len(result.failures) > 1
    assert GateResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result


@pytest.mark.parametrize("suite", GOOD)
def test_a_result_names_the_rules_it_follows_from(suite: str) -> None:
    """By the digest that planning computes."""
    result = Gate(SUITES, None).check(suite, GOOD[suite](), label=suite)
    assert (result.suite, result.suite_digest) == (suite, suite_digest(SUITES / f"{suite}.json"))


def test_an_edited_suite_counts_at_once(tmp_path: Path) -> None:
    """One gate, a suite that changes between two checks, back and forth."""
    gate, table = Gate(tmp_path, None), prices(20.0)
    outcomes = []
    for limits in (CHEAP, ABOVE_ZERO, CHEAP):
        write_suite(tmp_path, rule("expect_column_values_to_be_between", **limits))
        outcomes.append(gate.check("prices", table, label="x").outcome)
    assert outcomes == [Outcome.BLOCKED, Outcome.PASSED, Outcome.BLOCKED]


def test_a_suite_that_went_missing_or_bad_is_a_definition_error(tmp_path: Path) -> None:
    """At the check, with the words that it would have got when definitions were loaded."""
    gate = Gate(tmp_path, None)
    with pytest.raises(DefinitionError, match=r"there is no suite .*prices\.json"):
        gate.check("prices", prices(1.0), label="x")
    (tmp_path / "prices.json").write_text("{")
    with pytest.raises(DefinitionError, match=r"prices\.json, line 1, column 2: not JSON"):
        gate.check("prices", prices(1.0), label="x")
