"""Claims about candidates: how they are judged, what that means for a promotion, and that nothing is judged twice."""

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.gates import rule
from tests.models.selling import (
    GATED,
    LIMITS,
    SALES,
    WEEK_1,
    WEEK_2,
    begin,
    due,
    learn_anew,
    metric,
    next_week,
    presented,
    problems,
    promoted,
    rolled_back,
    states,
)
from tests.scenario import Shop, on_both_ledgers
from tidemark import models
from tidemark.catalog import load_catalog
from tidemark.errors import DefinitionError, Refused, Unavailable, UsageError
from tidemark.ledger.schema import validation
from tidemark.models.presenting import plain, present
from tidemark.validation import Limit, Validation, at_least, at_most

HELD = r"^demand [0-9a-f]{12} \(trained for 2025-01-\d\d\) "


def validations(shop: Shop) -> int:
    """How many validations the ledger has."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(validation)).scalar_one())


def edit_metric(shop: Shop, expression: str) -> None:
    """Let the metric ``off_by`` be something else."""
    shop.edit('"off_by": rows.select(off.mean()).item()', expression)


# -- limits and the champion


def test_a_first_candidate_is_judged_by_values_alone(shop: Shop) -> None:
    begin(shop)
    made = presented(shop)
    assert made.passed
    assert (made.registered, made.challenge.champion, made.challenge.rival) == (None, None, None)
    # 101 on average less 5 a price, one up and one down by two: the line that was learned is one unit below.
    assert metric(made)["candidate"] == pytest.approx(1.829, abs=0.001)
    assert (metric(made)["champion"], metric(made)["bound"]) == (None, 20)
    assert "**Champion** none: it would be the first" in made.page
    assert made.challenge.report["rows"] == 42
    assert promoted(shop).before is None


def test_a_candidate_is_held_against_the_champion_on_the_same_rows(shop: Shop) -> None:
    begin(shop)
    presented(shop)
    promoted(shop)
    next_week(shop)
    made = presented(shop)
    assert made.passed
    assert made.challenge.rival is not None
    assert made.challenge.scored is not None
    both = (made.challenge.scored.predictions, made.challenge.rival.predictions)
    assert both[0].select("price", "actual").equals(both[1].select("price", "actual"))
    said = metric(made)
    assert said["candidate"] < said["champion"]
    assert said["bound"] == pytest.approx(1.5 * said["champion"])
    assert metric(made, "worst")["bound"] is None, "what has no limit is only shown"
    assert made.page.index("**off\\_by** (business)") < made.page.index("| worst |")
    assert promoted(shop).before is not None


def test_a_candidate_that_breaks_a_value_does_not_pass(shop: Shop) -> None:
    begin(shop, SALES.replace("at_most(20", "at_most(1.5"))
    made = presented(shop)
    assert problems(made) == ["off_by is 1.829, and may be at most 1.5"]
    assert states(shop) == {WEEK_1: models.INVALID}
    assert not due(shop), "what did not pass is not tried again"
    with pytest.raises(Refused, match=HELD + r"did not pass its validation: off_by is 1.829, and may be at most 1.5$"):
        promoted(shop)


def test_a_candidate_that_is_much_worse_than_the_champion_does_not_pass(shop: Shop) -> None:
    begin(shop)
    presented(shop)
    promoted(shop)
    learn_anew(shop, base=110)
    made = presented(shop)
    said = metric(made)
    assert said["candidate"] == pytest.approx(9)
    assert said["candidate"] < 20, "by its value alone it would have passed"
    assert problems(made) == ["off_by is 9, and may be at most 2.743"]
    with shop.deployment() as deployment:
        found = [(each.made.partition, each.state) for each in models.versions(deployment, "demand")]
    assert found == [(WEEK_1, models.INVALID), (WEEK_1, models.CHAMPION)]
    with pytest.raises(Refused, match=r"did not pass its validation: off_by is 9, and may be at most 2\.743"):
        promoted(shop)


@pytest.mark.parametrize(
    ("limit", "champion", "bound"),
    [
        (at_most(10), None, 10),
        (at_most(10), 3.0, 10),
        (at_most(10, worse_by=0.1), 20.0, 10),
        (at_most(10, worse_by=0.1), 5.0, 5.5),
        (at_most(None, worse_by=0.1), None, None),
        (at_most(None, worse_by=0.0), 5.0, 5.0),
        (at_most(None, worse_by=0.1), -5.0, -4.5),
        (at_least(0.5, worse_by=0.1), 0.4, 0.5),
        (at_least(0.5, worse_by=0.1), 0.9, 0.81),
        (at_least(None, worse_by=0.1), -2.0, -2.2),
        (at_least(None, worse_by=0.1), 0.0, 0.0),
    ],
)
def test_of_value_and_champion_the_stricter_bound_counts(
    limit: Limit, champion: float | None, bound: float | None
) -> None:
    """Worse is worse where a metric is below zero, too."""
    found = limit.bound(champion)
    assert found == (bound if bound is None else pytest.approx(bound))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("at_least(1)", None),
        ("at_least(3)", "off_by is 1.829, and may be at least 3"),
        ("at_most(1.829)", "off_by is 1.829, and may be at most 1.829"),
        ("at_most(None, worse_by=0.0)", None),
    ],
)
def test_a_limit_is_a_limit_in_its_own_direction(shop: Shop, limit: str, said: str | None) -> None:
    """One that counts only beside a champion passes where there is none. The third is 1.82857 and a bit."""
    begin(shop, SALES.replace(LIMITS, f'limits={{"off_by": {limit}}},').replace(".mean())", ".mean() + 0.0005)"))
    assert problems(presented(shop)) == ([] if said is None else [said])


def test_a_champion_that_cannot_be_asked_is_told_and_does_not_count(shop: Shop) -> None:
    """It was fitted on another column; the candidate is judged by values only."""
    begin(shop)
    presented(shop)
    promoted(shop)
    shop.edit('.select("price").to_pandas()', '.select(cost="price").to_pandas()')
    shop.run()
    made = presented(shop)
    assert made.passed
    note = made.challenge.report["note"]
    assert note.startswith("the champion could not be asked: demand ")
    assert "ValueError: The feature names should match those that were passed during fit" in note
    assert "\n" not in note
    assert f"- {plain(note)}" in made.page
    assert (metric(made)["champion"], metric(made)["bound"], made.challenge.rival) == (None, 20, None)
    assert promoted(shop).before is not None


# -- what comes out of a scientist's functions


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "return rows.select(",
            "raise RuntimeError('no\\nsuch thing')\n        return rows.select(",
            "RuntimeError: no",
        ),
        ("return rows.select(", "raise SystemExit(3)\n        return rows.select(", "SystemExit: 3"),
        (
            "predicted=pl.Series(said))",
            "predicted=pl.Series(said)).to_dicts()",
            "predictions= returned list: return a polars DataFrame",
        ),
        (
            "predicted=pl.Series(said))",
            "predicted=pl.Series(said)).lazy()",
            "predictions= returned LazyFrame: return a polars DataFrame",
        ),
        (
            "predicted=pl.Series(said))",
            "predicted=pl.Series(said)).clear()",
            "predictions= returned no row: there is no held-out time to judge by",
        ),
        ("return {", "return [] and {", "AttributeError: 'list' object has no attribute 'items'"),
        ("return {", "return {'x': 'much', ", "ValueError: could not convert string to float: 'much'"),
        ("return {", "return {'x': None, ", "TypeError: float() argument must be"),
        ("return {", "rows['nowhere']\n        return {", "ColumnNotFoundError"),
    ],
    ids=["raises", "leaves", "dicts", "lazy", "no rows", "no metrics", "text", "nothing", "polars"],
)
def test_functions_that_go_wrong_are_told_in_a_line_and_the_candidate_does_not_pass(
    shop: Shop, before: str, after: str, said: str
) -> None:
    assert before in SALES
    begin(shop, SALES.replace(before, after))
    made = presented(shop)
    (problem,) = problems(made)
    assert re.match(r"demand [0-9a-f]{12} \(trained for 2025-01-13\): ", problem)
    assert said in problem
    assert "\n" not in problem
    assert made.challenge.report["metrics"] == {}
    assert f"- {plain(problem)}" in made.page
    with pytest.raises(Refused, match="did not pass its validation"):
        promoted(shop)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ('"other": 1.0', "off_by is not among the metrics: there are other, worst"),
        ('"off_by": float("nan")', "off_by is nan, which is no number to compare"),
        ('"off_by": float("inf")', "off_by is inf, which is no number to compare"),
        ('"off_by": 1.0, "shown": float("-inf")', "shown is -inf, which is no number to compare"),
    ],
)
def test_a_metric_that_is_no_number_does_not_pass(shop: Shop, expression: str, said: str) -> None:
    """Neither does one that has no limit."""
    begin(shop)
    edit_metric(shop, expression)
    made = presented(shop)
    assert problems(made) == [said]
    for each in made.challenge.report["metrics"].values():
        assert each["candidate"] is None or math.isfinite(each["candidate"]), "a report is JSON, which has no NaN"


def test_a_business_metric_that_is_none_of_the_metrics_does_not_pass(shop: Shop) -> None:
    """A slip of the pen would hide from the approver the number that he understands."""
    begin(shop, SALES.replace('business="off_by"', 'business="of_by"'))
    assert problems(presented(shop)) == ["of_by is not among the metrics: there are off_by, worst"]


def test_a_metric_of_the_champion_that_is_no_number_does_not_count(shop: Shop) -> None:
    begin(shop)
    presented(shop)
    promoted(shop)
    next_week(shop)
    edit_metric(shop, '"off_by": float("nan") if rows["predicted"].mean() < 83 else 1.0')
    made = presented(shop)
    assert made.challenge.rival is not None
    assert math.isnan(made.challenge.rival.metrics["off_by"])
    assert (problems(made), metric(made)["champion"], metric(made)["bound"]) == ([], None, 20)


# -- the gate


def bound_of_predictions(highest: float, severity: str = "critical") -> dict[str, Any]:
    return rule("expect_column_values_to_be_between", severity, column="predicted", max_value=highest)


def test_predictions_that_the_gate_blocks_do_not_pass(shop: Shop) -> None:
    shop.suite("said", bound_of_predictions(90))
    begin(shop, GATED)
    made = presented(shop)
    (problem,) = problems(made)
    assert problem.startswith("the predictions did not pass the gate 'said': critical: ")
    assert "predicted" in problem
    assert "The gate `said` blocked the predictions (42 rows)." in made.page
    assert made.challenge.report["gate"]["outcome"] == "blocked"
    assert metric(made)["candidate"] < 20, "its metrics are good, and shown"
    with pytest.raises(Refused, match="did not pass its validation: the predictions did not pass the gate 'said'"):
        promoted(shop)


def test_a_warning_of_the_gate_is_shown_and_stops_nothing(shop: Shop) -> None:
    shop.suite("said", bound_of_predictions(90, "warning"))
    begin(shop, GATED)
    made = presented(shop)
    assert made.passed
    assert made.challenge.report["gate"]["outcome"] == "flagged"
    assert "- warning: " in made.page
    assert promoted(shop).trained == WEEK_1


def test_predictions_that_pass_the_gate_are_told_to(shop: Shop) -> None:
    shop.suite("said", bound_of_predictions(1000))
    begin(shop, GATED)
    made = presented(shop)
    assert made.passed
    assert "The gate `said` passed the predictions (42 rows)." in made.page


# -- when it has to be done again


def new_limit(shop: Shop) -> None:
    shop.edit("at_most(20", "at_most(19")


def new_suite(shop: Shop) -> None:
    shop.suite("said", bound_of_predictions(2000))


def new_metrics(shop: Shop) -> None:
    edit_metric(shop, '"off_by": rows.select(off.median()).item()')


def new_predictions(shop: Shop) -> None:
    shop.edit("pl.Series(said))", "pl.Series(said)).head(6)")


@pytest.mark.parametrize("change", [new_limit, new_suite, new_metrics, new_predictions])
def test_who_is_judged_otherwise_is_judged_again(shop: Shop, change: Callable[[Shop], None]) -> None:
    shop.suite("said", bound_of_predictions(1000))
    begin(shop, GATED)
    presented(shop)
    assert not due(shop)
    change(shop)
    assert due(shop)
    with pytest.raises(Refused, match=HELD + "was not yet held against how it is to be judged: 'tidemark run shop'"):
        promoted(shop)
    shop.run()
    assert shop.ran == {}, "it is judged, and not trained"
    presented(shop)
    assert not due(shop)
    assert promoted(shop).trained == WEEK_1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("decide_within=timedelta(days=6)", "decide_within=timedelta(days=1)"),
        ("def scores(", "# a remark\ndef scores("),
        ('"off_by": rows.select(off.mean()).item()', '"off_by": (rows.select(off.mean()).item())'),
    ],
)
def test_what_changes_no_judgement_asks_for_none(shop: Shop, before: str, after: str) -> None:
    """How long people have, and what only looks otherwise."""
    text = SALES.replace("from tidemark import", "from datetime import timedelta\n\n    from tidemark import")
    begin(shop, text.replace('business="off_by",', 'business="off_by", decide_within=timedelta(days=6),'))
    presented(shop)
    shop.edit(before, after)
    assert not due(shop)
    assert promoted(shop).trained == WEEK_1


@on_both_ledgers
def test_another_champion_is_another_judgement(shop: Shop) -> None:
    """A rollback, too: the candidate was never held against the one that is in force again."""
    begin(shop)
    presented(shop)
    promoted(shop)
    next_week(shop)
    with pytest.raises(Refused, match=HELD + rf"was not yet held against demand [0-9a-f]{{12}} \(trained for {WEEK_1}"):
        promoted(shop)
    assert presented(shop).challenge.champion is not None
    rolled_back(shop)
    assert due(shop)
    with pytest.raises(Refused, match="was not yet held against how it is to be judged"):
        promoted(shop)
    assert presented(shop).challenge.champion is None
    promoted(shop)
    assert states(shop) == {WEEK_1: models.ROLLED_BACK, WEEK_2: models.CHAMPION}


def test_nobody_is_promoted_who_was_not_validated(shop: Shop) -> None:
    begin(shop)
    with pytest.raises(
        Refused,
        match=HELD + r"was not yet held against how it is to be judged: 'tidemark run shop' does that$",
    ):
        promoted(shop)


def nothing_to_present(shop: Shop) -> bool:
    with shop.deployment() as deployment:
        return present(deployment, shop.pipelines["shop"], "demand", run="run", actor="tester") is None


def test_what_was_decided_is_not_judged_again(shop: Shop) -> None:
    """Whether it was promoted or rejected; who asks all the same gets nothing to ask a person."""
    begin(shop)
    presented(shop)
    promoted(shop)
    assert not due(shop)
    assert nothing_to_present(shop)
    next_week(shop)
    presented(shop)
    with shop.deployment() as deployment:
        models.reject(deployment, "demand", None, why="too steep", actor="ann")
    assert not due(shop)
    assert nothing_to_present(shop)
    shop.edit("at_most(20", "at_most(1")
    assert not due(shop), "a new limit judges candidates, not decisions"
    assert validations(shop) == 2


def test_what_would_be_trained_otherwise_by_now_is_not_judged(shop: Shop) -> None:
    begin(shop)
    shop.edit("slope: float = 1.0", "slope: float = 1.1")
    with pytest.raises(Refused, match=HELD + r"is stale: .*slope.*; the next run of shop trains it anew$"):
        presented(shop)
    assert validations(shop) == 0


@on_both_ledgers
def test_the_same_training_elsewhere_comes_to_the_same_report(shop: Shop) -> None:
    """Equal action keys mean equal metrics, in a home that knows nothing of the other and by force."""
    begin(shop)
    here = presented(shop)
    elsewhere = shop.rebuilt()
    elsewhere.more = shop.more
    there = presented(elsewhere)
    assert shop.action_key("demand", WEEK_1) == elsewhere.action_key("demand", WEEK_1)
    assert (here.version, here.challenge.report) == (there.version, there.challenge.report)
    shop.force("demand", WEEK_1)
    assert shop.called("demand", WEEK_1) == 2
    again = presented(shop)
    assert again.challenge.report == here.challenge.report


# -- definitions


def problem_of(shop: Shop, before: str, after: str) -> str:
    """What is said of a file that is edited like this."""
    shop.define(SALES)
    file = shop.dags / "shop.py"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    shop.forget_modules()
    (said,) = load_catalog(shop.dags).problems.values()
    return said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "sales: pl.DataFrame, partition: Partition) -> pl.DataFrame",
            "sale: pl.DataFrame, partition: Partition) -> pl.DataFrame",
            "held_out() reads 'sale', which the model does not: name what it reads as the model does",
        ),
        (
            'def held_out(model: "BaseEstimator", sales: pl.DataFrame, partition: Partition)',
            "def held_out()",
            "held_out() has no parameter: the first receives the fitted model",
        ),
        ("at_most(20, worse_by=0.5)", "at_most(None)", "the limit of 'off_by' bounds nothing: write at_most(1.0), or"),
        ("at_most(20, worse_by=0.5)", "at_most(float('nan'))", "the limit of 'off_by' bounds nothing"),
        ("at_most(20, worse_by=0.5)", "at_least(float('-inf'))", "the limit of 'off_by' bounds nothing"),
        ("at_most(20, worse_by=0.5)", "at_most(1, worse_by=-0.1)", "the limit of 'off_by' bounds nothing"),
        ("at_most(20, worse_by=0.5)", "20", "the limit of 'off_by' bounds nothing"),
        ("at_most(20, worse_by=0.5)", "at_most('20')", "the limit of 'off_by' bounds nothing"),
        ('business="off_by"', 'gate="nowhere"', "nowhere.json"),
    ],
)
def test_a_validation_that_cannot_be_names_file_and_mend(shop: Shop, before: str, after: str, said: str) -> None:
    problem = problem_of(shop, before, after)
    assert said in problem
    assert re.search(r"shop\.py.*demand", problem), problem


def test_a_suite_that_is_gone_when_it_is_needed_is_told(shop: Shop) -> None:
    shop.suite("said", bound_of_predictions(1000))
    begin(shop, GATED)
    (shop.home / "expectations" / "said.json").unlink()
    with pytest.raises(DefinitionError, match=r"said\.json"):
        presented(shop)


def test_nothing_awaits_a_decision_before_the_first_training(shop: Shop) -> None:
    shop.more = {"TIDEMARK_APPROVERS": "ann", "TIDEMARK_FOUR_EYES": "off"}
    shop.define(SALES)
    shop.run()
    assert not due(shop, registered=True)
    with pytest.raises(UsageError, match="has no candidate: nothing was trained yet"):
        promoted(shop)


def test_who_decides_has_six_days_before_the_next_week_s_candidate_comes() -> None:
    """Unless the model says otherwise."""
    assert Validation(predictions=print, metrics=dict).decide_within == timedelta(days=6)


# -- what a scientist's functions do to what they are given, and what data may not do to the page


def test_the_champion_is_asked_about_the_same_rows_whatever_was_done_to_them(shop: Shop) -> None:
    """What the candidate was given is read anew."""
    spoiling = SALES.replace(
        "        said = model.predict",
        "        sales.insert_column(0, pl.lit(1).alias('seen'))\n        said = model.predict",
    )
    assert spoiling != SALES
    begin(shop, spoiling)
    presented(shop)
    promoted(shop)
    next_week(shop)
    report = presented(shop).challenge.report
    assert report["note"] == ""
    assert report["metrics"]["off_by"]["champion"] is not None


def test_data_cannot_write_the_page(shop: Shop) -> None:
    """A column's name, a message or a commit is told as text: no heading, no picture, no row of a table."""
    evil = "x | 9 |\n\n# Approved\n![p](http://evil/p.png) <img src=x>"
    raising = SALES.replace("        off = (pl", f"        raise ValueError({evil!r})\n        off = (pl")
    assert raising != SALES
    begin(shop, raising)
    page = presented(shop).page
    assert "Approved" in page
    assert "\n#" not in page
    assert "![p]" not in page
    assert re.search(r"(?<!\\)<img", page) is None
    assert " | 9 |" not in page


def test_a_candidate_that_did_not_pass_does_not_pass_by_not_being_judged(shop: Shop) -> None:
    """Taking validation= out of the file changes nothing about what is known of it."""
    begin(shop, SALES.replace("at_most(20", "at_most(0.001"))
    assert not presented(shop).passed
    unjudged = re.sub(r"validation=Validation\(.*?\n        \),\n", "", SALES, flags=re.DOTALL)
    assert "validation" not in unjudged.partition("@model")[2]
    shop.define(unjudged)
    with pytest.raises(Refused, match="did not pass its validation: off_by is"):
        promoted(shop)


def test_an_approval_is_of_what_the_approver_was_shown(shop: Shop) -> None:
    """Judged anew since, with the same outcome, it has to be asked for anew."""
    begin(shop)
    shown = presented(shop).challenge.validation
    again = presented(shop).challenge.validation
    assert shown != again

    def promote(validation: int | None) -> models.Promoted:
        with shop.deployment() as deployment:
            return models.promote(
                deployment,
                shop.pipelines["shop"],
                "demand",
                None,
                first=None,
                why="so",
                actor="ann",
                validation=validation,
            )

    with pytest.raises(Refused, match="was judged anew since this was asked"):
        promote(shown)
    promote(again)


def test_what_has_no_room_says_nothing_about_the_model(shop: Shop) -> None:
    """It is worth another try, and is written down nowhere."""
    begin(shop, SALES.replace("        off = (pl", "        raise MemoryError()\n        off = (pl"))
    with pytest.raises(Unavailable, match="could not be asked: MemoryError"):
        presented(shop)
    assert due(shop)
    shop.define(SALES)
    assert presented(shop).passed


def test_personal_data_of_predictions_is_masked(shop: Shop) -> None:
    shop.suite("said", rule("expect_column_values_to_be_between", column="actual", min_value=0, max_value=1))
    begin(shop, GATED.replace('gate="said",', 'gate="said", pii=["actual"],'))
    made = presented(shop)
    (failure,) = made.challenge.report["gate"]["failures"]
    open_ = presented_without_mask(shop)
    assert re.search(r"\b\d{2,3}\.0\b", open_)
    assert not re.search(r"\b\d{2,3}\.0\b", failure)


def presented_without_mask(shop: Shop) -> str:
    shop.define(GATED)
    with shop.deployment() as deployment:
        made = present(deployment, shop.pipelines["shop"], "demand", again=True, run="run", actor="tester")
    assert made is not None
    (failure,) = made.challenge.report["gate"]["failures"]
    return str(failure)
