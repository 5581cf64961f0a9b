"""Evaluation: the same verdicts as Great Expectations' own, and nothing that stays behind."""

import gc
import json
import logging
import socket
import warnings
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.gates import BLOCKED, FLAGGED, GOOD, SUITES, Spoil, rule, write_suite
from tidemark.errors import DefinitionError
from tidemark.evaluation import Evaluator, quiet, to_frame
from tidemark.suites import Suite, read_suite

CONDITION = {"type": "comparison", "column": {"name": "kind"}, "operator": "==", "parameter": "a"}
NUMBERED = {"type": "comparison", "column": {"name": "n"}, "operator": "==", "parameter": 1}
TEXTED = {"type": "comparison", "column": {"name": "n"}, "operator": "==", "parameter": "1"}
# One of each family, with both verdicts where it has two.
ZOO = [
    rule("expect_column_to_exist", column="kind"),
    rule("expect_column_to_exist", column="gone"),
    rule("expect_column_values_to_be_null", column="empty"),
    rule("expect_column_values_to_be_in_set", column="kind", value_set=["a", "b"], mostly=0.9),
    rule("expect_column_values_to_be_in_set", column="kind", value_set=["a"], row_condition=CONDITION),
    rule("expect_column_values_to_be_between", column="n", max_value=0, row_condition=NUMBERED),
    rule("expect_column_values_to_be_between", column="n", max_value=0, row_condition=TEXTED),
    rule("expect_column_values_to_be_between", column="n", min_value=2, row_condition=CONDITION),
    rule("expect_column_values_to_be_in_type_list", column="n", type_list=["int64", "float64"]),
    rule("expect_column_values_to_be_of_type", column="mixed", type_="Decimal"),
    rule("expect_column_type_to_be", column="kind", type_="str"),
    rule("expect_column_values_to_be_increasing", column="n"),
    rule("expect_column_value_lengths_to_equal", column="kind", value=1),
    rule("expect_column_value_z_scores_to_be_less_than", column="x", threshold=2, double_sided=True),
    rule("expect_column_pair_values_a_to_be_greater_than_b", column_A="x", column_B="n"),
    rule("expect_column_pair_values_to_be_equal", column_A="n", column_B="n"),
    rule("expect_compound_columns_to_be_unique", column_list=["kind", "n"]),
    rule("expect_select_column_values_to_be_unique_within_record", column_list=["n", "x"], row_condition=CONDITION),
    rule("expect_multicolumn_sum_to_equal", column_list=["n", "x"], sum_total=3),
    rule("expect_column_mean_to_be_between", column="x", min_value=0, max_value=1),
    rule("expect_column_median_to_be_between", column="x", min_value=0, max_value=100),
    rule("expect_column_stdev_to_be_between", column="x", max_value=1, row_condition=CONDITION),
    rule("expect_column_sum_to_be_between", column="n", min_value=1),
    rule("expect_column_unique_value_count_to_be_between", column="kind", max_value=2),
    rule("expect_column_proportion_of_unique_values_to_be_between", column="n", min_value=1),
    rule("expect_column_most_common_value_to_be_in_set", column="kind", value_set=["a"]),
    rule("expect_column_distinct_values_to_be_in_set", column="kind", value_set=["a"]),
    rule("expect_column_quantile_values_to_be_between", column="x",
         quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 9]]}),
    rule("expect_column_kl_divergence_to_be_less_than", column="kind", threshold=0.1,
         partition_object={"values": ["a", "b", "c"], "weights": [0.5, 0.3, 0.2]}),
    rule("expect_table_column_count_to_equal", value=6),
    rule("expect_table_columns_to_match_ordered_list", column_list=["kind", "n"]),
]  # fmt: skip
# Some have no verdict: the column is missing, or the library cannot look at data frames for it.
HOPELESS = [
    rule("expect_column_values_to_not_be_null", column="gone"),
    rule("expect_column_values_to_be_between", column="kind", max_value=3),
    rule("expect_table_row_count_to_equal_other_table", other_table_name="other"),
    rule("unexpected_rows_expectation", unexpected_rows_query="SELECT * FROM {batch}"),
]


def zoo_table(rows: int = 30) -> pa.Table:
    return pa.table(
        {
            "kind": ["abc"[n % 3] for n in range(rows)],
            "n": pa.array([n % 9 for n in range(rows - 1)] + [None]),
            "x": [float(n) for n in range(rows - 1)] + [float("nan")],
            "empty": pa.nulls(rows, pa.string()),
            "mixed": [Decimal(n) for n in range(rows)],
            "flag": [n % 2 == 0 for n in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    with quiet():
        return Evaluator()


def suite_of(folder: Path, *rules: dict[str, Any], name: str = "prices") -> Suite:
    return read_suite(write_suite(folder, *rules, name=name))


def ours(evaluator: Evaluator, suite: Suite, table: pa.Table) -> Counter[tuple[str, str, bool]]:
    """How often a verdict was reached, by type and arguments of the rule."""
    with quiet():
        verdicts = evaluator.evaluate(suite, table)
    assert [verdict.rule for verdict in verdicts] == list(suite.rules)
    return Counter((each.rule.type, json.dumps(each.rule.kwargs, sort_keys=True), each.passed) for each in verdicts)


def theirs(suite: Suite, table: pa.Table) -> Counter[tuple[str, str, bool]]:
    """The same by the library's public interface, each rule from the file's own words."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("tests").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": to_frame(table)})
    found: Counter[tuple[str, str, bool]] = Counter()
    for each in suite.rules:
        one = gx.ExpectationSuite("tests", [{"type": each.type, "kwargs": dict(each.kwargs)}])
        passed = bool(batch.validate(one).success)
        found[each.type, json.dumps(each.kwargs, sort_keys=True), passed] += 1
    return found


@pytest.mark.parametrize("suite", GOOD)
def test_verdicts_on_good_tables_are_the_librarys_own(evaluator: Evaluator, suite: str) -> None:
    """Rule by rule, the public interface says the same."""
    read = read_suite(SUITES / f"{suite}.json")
    assert ours(evaluator, read, GOOD[suite]()) == theirs(read, GOOD[suite]())


@pytest.mark.parametrize(
    ("suite", "what", "spoil", "said"),
    [pytest.param(*each, id=f"{each[0]}: {each[1]}") for each in [*BLOCKED[::4], *FLAGGED[::3]]],
)
def test_verdicts_on_spoilt_tables_are_the_librarys_own(
    evaluator: Evaluator, suite: str, what: str, spoil: Spoil, said: str
) -> None:
    """Rule by rule, the public interface says the same; also where rules cannot be evaluated."""
    read = read_suite(SUITES / f"{suite}.json")
    table = spoil(GOOD[suite]())
    assert ours(evaluator, read, table) == theirs(read, table)


@pytest.mark.parametrize("rows", [0, 1, 30])
def test_verdicts_of_all_sorts_of_rules_are_the_librarys_own(evaluator: Evaluator, tmp_path: Path, rows: int) -> None:
    """Maps, pairs, statistics, distributions, tables; on no row, one, and many."""
    suite, table = suite_of(tmp_path, *ZOO, name="zoo"), zoo_table().slice(0, rows)
    assert ours(evaluator, suite, table) == theirs(suite, table)


def test_a_rule_without_a_verdict_has_failed_and_spoils_no_other(evaluator: Evaluator, tmp_path: Path) -> None:
    """What cannot be evaluated says why; the others' verdicts are as they would be without it."""
    alone, together = suite_of(tmp_path, *ZOO, name="zoo"), suite_of(tmp_path, *HOPELESS, *ZOO)
    assert ours(evaluator, together, zoo_table()) - ours(evaluator, alone, zoo_table()) == Counter(
        (each["type"], json.dumps(each["kwargs"], sort_keys=True), False) for each in HOPELESS
    )
    with quiet():
        assert all(verdict.raised for verdict in evaluator.evaluate(together, zoo_table())[: len(HOPELESS)])


@pytest.mark.parametrize("suite", GOOD)
def test_what_passes_is_judged_once(evaluator: Evaluator, suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The validator, which is slow, is not asked about a table that passes."""
    monkeypatch.delattr(Evaluator, "_validate")
    with quiet():
        assert all(each.passed for each in evaluator.evaluate(read_suite(SUITES / f"{suite}.json"), GOOD[suite]()))


def test_a_suite_sees_each_table_and_not_the_one_before(evaluator: Evaluator, tmp_path: Path) -> None:
    """A kept plan holds no result, no filtered rows and no row of an earlier table."""
    negative = rule("expect_column_values_to_be_between", column="n", min_value=0, row_condition=CONDITION)
    suite = suite_of(tmp_path, negative, rule("expect_column_sum_to_be_between", column="n", max_value=10))
    seen = []
    for numbers in ([1, 2], [-1, 2], [1, 20], [1, 2]):
        table = pa.table({"kind": ["a", "b"], "n": numbers})
        with quiet():
            seen.append([verdict.passed for verdict in evaluator.evaluate(suite, table)])
    assert seen == [[True, True], [False, True], [True, False], [True, True]]


def test_a_changed_suite_is_laid_out_anew(evaluator: Evaluator, tmp_path: Path) -> None:
    """Under the same name, for the same columns."""
    table = pa.table({"n": [5]})
    for limit, passed in ((9, True), (1, False)):
        suite = suite_of(tmp_path, rule("expect_column_values_to_be_between", column="n", max_value=limit))
        with quiet():
            assert [verdict.passed for verdict in evaluator.evaluate(suite, table)] == [passed]


def test_changed_columns_are_laid_out_anew(evaluator: Evaluator, tmp_path: Path) -> None:
    """A type is looked at when the plan is made: a plan for one is not used for another."""
    suite = suite_of(tmp_path, rule("expect_column_values_to_be_of_type", column="n", type_="int64"))
    seen = []
    for values in ([1], [1.5], ["a"], [Decimal(1)], [1]):
        with quiet():
            seen.append(evaluator.evaluate(suite, pa.table({"n": values}))[0].passed)
    assert seen == [True, False, False, False, True]


def test_rows_at_fault_are_found_by_position(evaluator: Evaluator, tmp_path: Path) -> None:
    """Counted in the table, not in the rows that a condition leaves."""
    suite = suite_of(
        tmp_path, rule("expect_column_values_to_be_between", column="n", max_value=4, row_condition=CONDITION)
    )
    table = pa.table({"kind": ["b", "b", "a", "b", "a"], "n": [9, 9, 9, 9, 9]})
    with quiet():
        (verdict,) = evaluator.evaluate(suite, table)
    assert verdict.details["unexpected_index_list"] == [2, 4]


def test_wrong_arguments_are_a_definition_error(evaluator: Evaluator, tmp_path: Path) -> None:
    """Great Expectations' words, with the file and the number of the expectation."""
    fine = rule("expect_column_to_exist", column="n")
    suite = suite_of(tmp_path, fine, rule("expect_column_values_to_be_between", colum="n", max_value=4))
    with (
        quiet(),
        pytest.raises(DefinitionError, match=r"prices\.json, expectation 2 .*colum; extra fields not permitted"),
    ):
        evaluator.evaluate(suite, pa.table({"n": [1]}))


def test_an_evaluation_leaves_nothing_behind(evaluator: Evaluator, tmp_path: Path) -> None:
    """After many evaluations, good and bad, there are as many objects as after a few, and no row of a table."""
    below = rule("expect_column_values_to_be_between", column="n", max_value=4, row_condition=CONDITION)
    suite = suite_of(tmp_path, below, rule("expect_column_sum_to_be_between", column="n", min_value=0))

    def objects_after(times: int) -> int:
        for turn in range(times):
            evaluator.evaluate(suite, pa.table({"kind": ["a"], "n": [turn % 9]}))
        gc.collect()
        return len(gc.get_objects())

    with quiet():
        before = objects_after(10)
        assert objects_after(100) - before < 50
    assert len(evaluator._engine.batch_manager.active_batch_data.dataframe) == 0


def test_the_library_is_silent(
    evaluator: Evaluator, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """No progress bar, no log record where all is logged, no warning; whatever fails."""
    caplog.set_level(logging.DEBUG)
    suite = suite_of(tmp_path, *HOPELESS, *ZOO)
    with warnings.catch_warnings(record=True) as warned, quiet():
        warnings.simplefilter("always")
        evaluator.evaluate(suite, zoo_table())
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("great_expectations")]
    assert not [str(each.message) for each in warned if "great_expectations" in each.filename]


def test_loading_the_library_leaves_warnings_to_python() -> None:
    """It redirects every warning of the process to its log when it is imported; that is undone."""
    shown = warnings.showwarning
    with quiet():
        logging.captureWarnings(True)
    assert warnings.showwarning is shown


def test_an_evaluation_uses_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither making an evaluator nor using it opens a connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("the gate tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with quiet():
        (verdict,) = Evaluator().evaluate(
            suite_of(tmp_path, rule("expect_column_to_exist", column="n")), pa.table({"n": [1]})
        )
    assert verdict.passed


def test_frames_keep_types_beside_missing_values() -> None:
    """Whole numbers do not become floats, booleans no objects, dates no objects; text is text."""
    table = pa.table(
        {
            "whole": pa.array([1, None], pa.int64()),
            "small": pa.array([1, None], pa.uint8()),
            "flag": pa.array([True, None]),
            "day": pa.array([0, None], pa.date32()),
            "text": pa.array(["a", None], pa.large_string()),
            "full": pa.array([2**53 + 1, 1], pa.int64()),
        }
    )
    frame = to_frame(table)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "whole": "Int64",
        "small": "UInt8",
        "flag": "boolean",
        "day": "datetime64[ms]",
        "text": "str",
        "full": "int64",
    }
    assert frame["full"][0] == 2**53 + 1
