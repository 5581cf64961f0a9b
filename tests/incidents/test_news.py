"""What a run has brought that nobody is woken for: told once, in few lines, and only if there is something."""

from typing import Any

import pytest

from tests.gates import rule
from tests.scenario import Shop, on_both_ledgers
from tidemark import Accuracy, Daily, Static
from tidemark.definitions import asset
from tidemark.errors import DefinitionError, UsageError
from tidemark.incidents.information import MOST
from tidemark.incidents.news import tell_accuracy, tell_information
from tidemark.incidents.topics import Topic
from tidemark.ledger import notices
from tidemark.pipelines import pipeline

SHOP = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, gate="orders", expected=Calendar(),
                    due="1 day 02:00 UTC", schema={"v": float})

    @asset(partitions=DAYS, inputs={"orders": trailing(days=3)})
    def trend(orders: pl.DataFrame) -> str:
        return str(orders["v"].mean())

    @asset(partitions=DAYS, inputs={"orders": trailing(days=2)}, gate="error")
    def error(orders: pl.DataFrame) -> pl.DataFrame:
        return orders.select(pl.col("v").sum())
"""
DAYS = [f"2025-01-0{day}" for day in range(4, 10)]


def told(shop: Shop, topic: Topic | None = None) -> list[notices.Notice]:
    """What those who have subscribed are told, oldest first."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        found = [each for each in notices.unrouted(connection, 1000) if each.kind == notices.INFORMATION]
    return [each for each in found if topic in (None, each.topic)]


def said(shop: Shop) -> list[tuple[str, list[str]]]:
    return [(each.payload["title"], each.payload["lines"]) for each in told(shop)]


def ran(shop: Shop, **options: Any) -> list[Topic]:
    """Run, and tell what it has brought, as the verdict's task does; a second look tells nothing."""
    shop.run(**options)
    run = f"run {shop._runs}"
    with shop.deployment() as deployment:
        news = tell_information(deployment, shop.pipelines["shop"], run)
        assert tell_information(deployment, shop.pipelines["shop"], run) == []
    return news


def opened(shop: Shop, *, most: float = 100, text: str = SHOP) -> None:
    """A shop in which one day's orders, of three, have not come."""
    between = rule("expect_column_values_to_be_between", "warning", column="v", max_value=most)
    shop.suite("orders", between)
    shop.suite("error", rule("expect_column_values_to_be_between", "critical", column="v", max_value=1e9))
    shop.define(text)
    shop.now("2025-01-08T06:00")
    for day in DAYS[:4]:
        if day != DAYS[2]:
            shop.deliver("orders", day, "v\n1\n")


# -- repaired


@on_both_ledgers
def test_a_late_file_that_makes_results_final_is_told_once_however_many_they_are(shop: Shop) -> None:
    """In one notice of a run, with the number and the span for each asset."""
    opened(shop)
    assert ran(shop) == []
    assert shop.provisional("trend")
    shop.deliver("orders", DAYS[2], "v\n3\n")
    assert ran(shop) == [Topic.REPAIRED]
    span = f"2 partitions, {DAYS[2]} .. {DAYS[3]}"
    assert said(shop) == [("shop: 4 provisional results are final now", [f"trend: {span}", f"error: {span}"])]
    counted = {"asset": "trend", "count": 2, "first": DAYS[2], "last": DAYS[3]}
    assert told(shop)[0].payload["repaired"][0] == counted
    assert ran(shop) == []


def test_marks_that_clear_without_a_computation_are_repaired_too(shop: Shop) -> None:
    """The late file leaves the result as it was: nothing below runs, and yet people may rely on it now."""
    opened(shop)
    shop.edit('str(orders["v"].mean())', '"the same"')
    ran(shop)
    shop.deliver("orders", DAYS[2], "v\n3\n")
    assert ran(shop) == [Topic.REPAIRED]


def test_what_a_person_settles_is_no_repair(shop: Shop) -> None:
    opened(shop)
    ran(shop)
    shop.declare_absent("orders", DAYS[2])
    assert ran(shop) == []


# -- outliers


def test_what_a_gate_has_flagged_and_is_live_is_told_once_for_each_version(shop: Shop) -> None:
    opened(shop)
    ran(shop)
    shop.deliver("orders", DAYS[3], "v\n101\n")
    assert ran(shop) == [Topic.OUTLIERS]
    ((title, lines),) = said(shop)
    assert title == "shop: 1 result is live and flagged by a gate"
    assert lines[0].startswith(f"orders {DAYS[3]}: orders.v: 1 of 1 values fails")
    shop.deliver("orders", DAYS[3], "v\n1\n")
    ran(shop)
    shop.deliver("orders", DAYS[3], "v\n101\n")
    ran(shop)
    assert len(told(shop, Topic.OUTLIERS)) == 1, "it was live before"
    shop.deliver("orders", DAYS[3], "v\n102\n")
    assert ran(shop) == [Topic.OUTLIERS]


def test_many_of_them_are_one_notice_that_counts_all_and_names_some(shop: Shop) -> None:
    opened(shop, most=0)
    shop.now("2025-02-20T06:00")
    for number in range(30):
        shop.deliver("orders", f"2025-01-{number + 1:02}", f"v\n{number + 1}\n")
    assert ran(shop) == [Topic.OUTLIERS]
    ((title, lines),) = said(shop)
    assert title == "shop: 30 results are live and flagged by a gate"
    assert (len(lines), lines[-1]) == (MOST + 1, "... and 10 more")


# -- accuracy


def watching(shop: Shop, watched: str = 'accuracy={"error": Accuracy("v")}') -> None:
    opened(shop)
    shop.deliver("orders", DAYS[2], "v\n1\n")
    text = (shop.dags / "shop.py").read_text()
    assert text.endswith("])\n")
    (shop.dags / "shop.py").write_text(f"from tidemark import Accuracy\n{text[:-2]}, {watched})\n")
    shop.load()


def test_a_model_that_is_further_off_than_the_day_before_is_told(shop: Shop) -> None:
    watching(shop)
    assert ran(shop) == []  # the same as the day before, however many days are new
    shop.now("2025-01-09T06:00")
    shop.deliver("orders", DAYS[4], "v\n1.1\n")  # 2.1 after 2: within a tenth
    assert ran(shop) == []
    shop.now("2025-01-10T06:00")
    shop.deliver("orders", DAYS[5], "v\n3\n")
    assert ran(shop) == [Topic.ACCURACY]
    assert said(shop) == [
        (f"error {DAYS[5]}: accuracy is down", [f"v is 4.1, and was 2.1 in {DAYS[4]}; less is better"])
    ]
    assert told(shop)[0].payload["better"] is False
    shop.force("error", DAYS[5])
    with shop.deployment() as deployment:
        assert not tell_accuracy(deployment, shop.pipelines["shop"], f"run {shop._runs}")
    shop.deliver("orders", DAYS[5], "v\n0.1\n")
    assert ran(shop) == [Topic.ACCURACY]
    assert said(shop)[-1][0] == f"error {DAYS[5]}: accuracy is up"


def test_of_a_score_more_is_better(shop: Shop) -> None:
    watching(shop, 'accuracy={"error": Accuracy("v", less_is_better=False, change=0.5)}')
    shop.deliver("orders", DAYS[3], "v\n9\n")
    assert ran(shop) == [Topic.ACCURACY]
    assert said(shop) == [(f"error {DAYS[3]}: accuracy is up", [f"v is 10, and was 2 in {DAYS[2]}; more is better"])]


def test_a_table_that_does_not_say_how_accurate_a_model_is_fails_no_run(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    watching(shop, 'accuracy={"error": Accuracy("w")}')
    assert ran(shop) == []
    assert f"error {DAYS[2]} does not say how accurate a model is: it has to have one row with a number 'w'" in (
        caplog.text
    )
    with shop.deployment() as deployment, pytest.raises(UsageError, match="one row with a number 'w'"):
        tell_accuracy(deployment, shop.pipelines["shop"], f"run {shop._runs}")


@pytest.mark.parametrize(
    ("accuracy", "message"),
    [
        ({"score": Accuracy("off")}, "is no asset of it: did you mean 'scores'?"),
        ({"scores": Accuracy("")}, "write Accuracy"),
        ({"scores": Accuracy("off", change=0)}, "a change above 0"),
        ({"scores": "off"}, "write Accuracy"),
        ({"shops": Accuracy("off")}, "it has no partitions of time"),
    ],
)
def test_what_cannot_say_how_accurate_a_model_is_is_refused_at_import(accuracy: Any, message: str) -> None:
    @asset(partitions=Daily(start="2025-01-01"))
    def scores() -> str:
        return ""

    @asset(partitions=Static(["north", "south"]))
    def shops() -> str:
        return ""

    with pytest.raises(DefinitionError, match="pipeline: pipeline") as problem:
        pipeline("watching", [scores, shops], accuracy=accuracy)
    assert message in str(problem.value)
