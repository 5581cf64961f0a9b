"""Rule 13, the cost of knowing: a plan looks only at what changed since the last one, and never goes blind for it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import tidemark.running.run
import tidemark.verdict
from tests.gates import rule
from tests.scenario import Shop
from tidemark.changes import settle
from tidemark.ledger import plans
from tidemark.ledger.schema import materialization
from tidemark.plan import Plan
from tidemark.running.run import prepare, run_batch
from tidemark.survey import Selection

FIRST = datetime(2025, 1, 1, tzinfo=UTC)

SHOP = """
    orders = source("orders", files="orders/{partition}", partitions=DAYS)
    rates = source("rates", files="rates/{partition}", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders.partition("#")[0]

    @asset(partitions=DAYS)
    def sums(lines: str) -> str:
        return lines

    @asset(partitions=DAYS)
    def priced(lines: str, rates: str) -> str:
        return lines + rates

    @asset(partitions=DAYS, inputs={"chain": previous()})
    def chain(priced: str, chain: str | None) -> str:
        return priced[-1:]
"""
FRAMES = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": str})

    @asset(partitions=DAYS, inputs={"orders": trailing(days=365)})
    def year(orders: pl.DataFrame) -> str:
        return str(len(orders))
"""


def day(number: int) -> str:
    return (FIRST + timedelta(number)).date().isoformat()


def judged(plan: Plan) -> dict[str, list[str]]:
    """What a plan had to look at, by asset."""
    return {asset: [each.key for each in some] for asset, some in plan.judgements.items() if some}


@pytest.fixture
def settled(shop: Shop) -> Shop:
    """Thirty days that were computed, and a plan after them."""
    shop.define(SHOP)
    for number in range(30):
        shop.deliver_days("orders", day(number))
        shop.deliver_days("rates", day(number))
    shop.as_of = FIRST + timedelta(30, hours=6)
    shop.run()
    return shop


def planned(shop: Shop) -> Plan:
    plan = shop.planned()
    whole = shop.planned(verify=True)
    assert {(each.asset, each.key) for each in plan.items} == {(each.asset, each.key) for each in whole.items}
    assert plan.gaps == whole.gaps
    return plan


def test_a_plan_with_nothing_to_do_looks_at_no_partition(settled: Shop) -> None:
    """Not even at what the run before has just made."""
    plan = planned(settled)
    assert not plan.whole
    assert judged(plan) == {}


def test_a_corrected_file_costs_what_it_touches(settled: Shop) -> None:
    settled.deliver("orders", day(10), "other\n")
    plan = planned(settled)
    assert not plan.whole
    # All days after it read their own past.
    after = [day(number) for number in range(10, 30)]
    assert judged(plan) == {"lines": [day(10)], "sums": [day(10)], "priced": [day(10)], "chain": after}


def test_what_comes_out_equal_is_looked_at_and_nothing_below(settled: Shop) -> None:
    """The plan cannot know; the next one looks at nothing again."""
    settled.deliver("orders", day(10), f"orders {day(10)}\n# the same\n")
    settled.run()
    assert settled.ran == {"lines": [day(10)]}
    assert judged(planned(settled)) == {}


def test_a_touched_file_costs_nothing(settled: Shop) -> None:
    settled.deliver("orders", day(10), f"orders {day(10)}\n", age=60)
    assert judged(planned(settled)) == {}


def test_a_day_that_ends_costs_a_partition_of_each_asset(settled: Shop) -> None:
    settled.deliver_days("orders", day(30))
    settled.deliver_days("rates", day(30))
    settled.as_of += timedelta(1)
    plan = planned(settled)
    assert not plan.whole
    assert judged(plan) == {asset: [day(30)] for asset in ("lines", "sums", "priced", "chain")}


def test_a_late_day_in_a_window_of_a_year_costs_the_windows_that_hold_it(shop: Shop) -> None:
    """At no width a change is overlooked, and none outside of its reach is looked at."""
    shop.define(FRAMES)
    keys = [day(number) for number in range(400)]
    for key in keys:
        shop.deliver("orders", key, "v\na\n")
    shop.as_of = FIRST + timedelta(400, hours=6)
    shop.run()
    assert judged(planned(shop)) == {}
    shop.deliver("orders", keys[20], "v\na\nb\n")
    assert judged(planned(shop)) == {"year": keys[20:385]}
    shop.run()
    assert shop.ran == {"year": keys[20:385]}


def test_an_edit_of_the_definitions_is_a_reason_to_look_at_everything(settled: Shop) -> None:
    settled.edit("return lines + rates", "return rates + lines")
    plan = planned(settled)
    assert plan.whole
    assert {each.asset for each in plan.items} == {"priced", "chain"}


def test_a_file_from_before_all_others_is_a_reason_to_look_at_everything(settled: Shop) -> None:
    settled.deliver_days("orders", day(-1))
    assert planned(settled).whole


def test_what_a_run_could_not_finish_is_looked_at_again(settled: Shop) -> None:
    settled.breaks("lines", day(3))
    settled.deliver("orders", day(3), "other\n")
    settled.run()
    plan = planned(settled)
    assert not plan.whole
    assert day(3) in judged(plan)["lines"]


def test_a_run_in_lanes_is_settled_by_its_verdict(settled: Shop) -> None:
    """Each worker knows only of its own lane: who judges them all knows that nothing else has changed."""
    settled.deliver("orders", day(29), "other\n")
    settled.run(lanes=True)
    assert settled.ran["lines"] == [day(29)]
    assert judged(planned(settled)) == {}


def test_a_plan_says_when_the_clock_alone_changes_something(settled: Shop) -> None:
    """Without files for the running day its end changes nothing; with them it does."""

    def wakes_at() -> datetime | None:
        settled.run()
        with settled.deployment() as deployment, deployment.ledger.read() as connection:
            newest = plans.newest(connection, "prod", "shop")
        assert newest is not None
        return newest.wakes_at

    midnight, later = FIRST + timedelta(31), wakes_at()
    assert later is None or later > midnight + timedelta(30)  # so far it has looked ahead
    settled.deliver_days("orders", day(30))
    settled.deliver_days("rates", day(30))
    assert wakes_at() == midnight


def test_what_was_changed_behind_our_back_is_found_by_looking_at_everything(settled: Shop) -> None:
    """No change was numbered, so that only a verification can find it: that is what it is for."""
    made = settled.made("lines", day(10))[-1]
    with settled.deployment() as deployment, deployment.ledger.write() as connection:
        mine = sa.update(materialization).where(materialization.c.id == made.id)
        connection.execute(mine.values(data_version=b"x" * 32))
    assert settled.planned().items == ()
    found = {(each.asset, each.key) for each in settled.planned(verify=True).items}
    assert {("sums", day(10)), ("priced", day(10))} <= found


ONE = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders.upper()
"""

GATED = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS, gate="lines")
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders
"""

THREE = ["2025-01-05", "2025-01-06", "2025-01-07"]
LATER = Selection(first=datetime(2025, 1, 6, tzinfo=UTC))


@pytest.fixture
def running(shop: Shop) -> Shop:
    """Three days of orders that have run."""
    shop.define(ONE)
    shop.deliver_days("orders", *THREE)
    shop.run()
    return shop


# -- what was not asked for


def test_what_a_selection_has_left_out_is_computed_by_the_next_plan(running: Shop) -> None:
    """It has a head, and nothing has changed since: that it was left is kept beside its mark."""
    running.deliver("orders", THREE[0], "corrected")
    running.run(selection=LATER)
    assert running.ran == {}
    assert running.provisional("lines") == {THREE[0]: {f"lines {THREE[0]}"}}
    running.run()
    assert running.ran == {"lines": [THREE[0]]}
    assert running.provisional("lines") == {}


def test_a_changed_suite_sees_the_heads_that_a_selection_has_left_out(shop: Shop) -> None:
    """Each is checked by the first plan that asks for it."""
    shop.suite("lines", rule("expect_column_values_to_not_be_null", column="v"))
    shop.define(GATED)
    for number, key in enumerate(THREE):
        shop.deliver("orders", key, f"v\n{number}\n")
    shop.run()
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="v", value_set=[1, 2]))
    shop.run(selection=LATER)
    assert shop.outcomes("lines").keys() == {*THREE[1:]}
    shop.run()
    assert shop.outcomes("lines").keys() == {THREE[0]}
    assert "stays live, flagged" in shop.details("lines")[THREE[0]]
    shop.run()
    assert shop.outcomes("lines") == {}


# -- definitions


def _prepared(shop: Shop, run: str) -> int:
    with shop.deployment() as deployment:
        return prepare(deployment, shop.pipelines["shop"], as_of=shop.as_of, run=run, actor="tester").plan_id


def _work_off(shop: Shop, plan_id: int, run: str) -> None:
    with shop.deployment() as deployment:
        run_batch(deployment, shop.pipelines["shop"], plan_id, 0, "lines", run=run, actor="tester")


def _verdict(shop: Shop, plan_id: int, run: str) -> None:
    with shop.deployment() as deployment:
        tidemark.verdict.verdict(deployment, shop.pipelines["shop"], plan_id, run=run)


STRICT, LAX = (rule("expect_column_values_to_be_in_set", column="v", value_set=values) for values in ([1], [1, 9]))


@pytest.mark.parametrize("before_the_verdict", [True, False])
def test_code_that_was_edited_while_a_run_worked_and_taken_back_is_noticed(
    running: Shop, before_the_verdict: bool
) -> None:
    """The definitions are those of the last plan again, and what is live was made by others."""
    running.deliver("orders", THREE[0], "corrected")
    prepared = _prepared(running, "other")
    running.edit("orders.upper()", "orders.lower()")
    _work_off(running, prepared, "other")
    if not before_the_verdict:
        _verdict(running, prepared, "other")
    running.edit("orders.lower()", "orders.upper()")
    if before_the_verdict:
        _verdict(running, prepared, "other")
    assert running.heads("lines")[THREE[0]] == "corrected"
    running.run()
    assert running.ran == {"lines": [THREE[0]]}
    assert running.heads("lines")[THREE[0]] == "CORRECTED"


@pytest.mark.parametrize("before_the_verdict", [True, False])
def test_a_suite_that_was_edited_while_a_run_worked_and_taken_back_is_noticed(
    shop: Shop, before_the_verdict: bool
) -> None:
    """What the other suite has let pass is checked by this one, and flagged."""
    shop.suite("lines", STRICT)
    shop.define(GATED)
    shop.deliver("orders", THREE[0], "v\n1\n")
    shop.run()
    shop.deliver("orders", THREE[0], "v\n9\n")
    prepared = _prepared(shop, "other")
    shop.suite("lines", LAX)
    _work_off(shop, prepared, "other")
    if not before_the_verdict:
        _verdict(shop, prepared, "other")
    shop.suite("lines", STRICT)
    if before_the_verdict:
        _verdict(shop, prepared, "other")
    assert shop.heads("lines") == {THREE[0]: [{"v": 9}]}
    shop.run()
    assert "stays live, flagged" in shop.details("lines")[THREE[0]]


def test_other_holidays_are_noticed_by_who_reads_a_source_of_another_pipeline(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of the package that knows them: the calendar is registered by its region's name."""
    shop.define(
        """
        orders = source("orders", files="orders/{partition}", partitions=DAYS, expected=Calendar(holidays="GB-ENG"))

        @asset(partitions=DAYS)
        def lines(orders: str) -> str:
            return orders
        """
    )
    shop.deliver_days("orders", THREE[0], THREE[2])
    shop.define(
        """
        @asset(partitions=DAYS, inputs={"orders": ref("orders", last_known(days=1))})
        def counted(orders: str) -> str:
            return orders
        """,
        name="other",
    )
    for name in ("shop", "other"):
        shop.run(name)
    missing = shop.provisional("counted").keys()
    assert THREE[1] in missing
    monkeypatch.setattr("tidemark.calendars._holidays_version", lambda: "another")
    days = "tidemark.calendars._public_holidays"
    monkeypatch.setattr(days, lambda name, year: {*map(date.fromisoformat, missing)})
    for name in ("shop", "other"):
        shop.run(name)
    assert shop.provisional("counted") == {}


def test_an_assets_own_start_is_part_of_its_definition(running: Shop) -> None:
    """What lies before it goes, and comes back without running."""
    running.edit("@asset(partitions=DAYS)", f'@asset(partitions=Daily(start="{THREE[1]}"))')
    running.run()
    assert running.heads("lines").keys() == {*THREE[1:]}
    running.edit(f'@asset(partitions=Daily(start="{THREE[1]}"))', "@asset(partitions=DAYS)")
    running.run()
    assert running.heads("lines").keys() == {*THREE}
    assert running.ran == {}


@pytest.mark.parametrize("lanes", [False, True])
def test_what_was_left_is_marked_anew_when_its_inputs_came_out_as_they_were(shop: Shop, lanes: bool) -> None:
    """It was provisional while they were computed; nobody but the next plan takes that back."""
    shop.define(
        """
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": str})

        @asset(partitions=DAYS)
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders.head(1)

        @asset(partitions=DAYS, inputs={"lines": trailing(days=3)})
        def sums(lines: pl.DataFrame) -> str:
            return str(len(lines))
        """
    )
    for key in THREE:
        shop.deliver("orders", key, f"v\n{key}\n")
    shop.run()
    shop.deliver("orders", THREE[0], f"v\n{THREE[0]}\nmore\n")
    shop.run(selection=Selection(last=datetime(2025, 1, 6, tzinfo=UTC)), lanes=lanes)
    assert shop.ran == {"lines": [THREE[0]]}
    assert shop.provisional("sums") == {THREE[2]: {f"sums {THREE[2]}"}}
    shop.run(lanes=lanes)
    assert shop.ran == shop.provisional("sums") == {}


def test_what_is_asked_for_in_vain_gets_its_marks_all_the_same(shop: Shop) -> None:
    """It is held, and just what it would be computed to: what it lacks is said by the plan that forces it."""
    shop.define(
        """
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": int})

        @asset(partitions=DAYS)
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders
        """
    )
    shop.deliver("orders", THREE[0], "v\n1\n")
    shop.run()
    shop.hold("lines", THREE[0])
    shop.deliver("orders", THREE[0], "malformed")
    shop.force("lines", THREE[0])
    assert shop.ran == {}
    assert shop.provisional("lines") == {THREE[0]: {f"orders {THREE[0]}"}}


# -- what others do meanwhile


def test_a_static_key_that_another_run_meets_first_is_not_overlooked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down after a run has learned of all keys, and before that run plans."""
    shop.define(
        """
        prices = source("prices", files="prices/{partition}.csv", partitions=Static(["uk", "eu"]))

        @asset(partitions=Static(["uk", "eu"]))
        def listed(prices: pl.DataFrame) -> pl.DataFrame:
            return prices
        """
    )
    shop.define(
        """
        @asset(partitions=Unpartitioned(), inputs={"prices": ref("prices", parts())})
        def everywhere(prices: pl.DataFrame) -> pl.DataFrame:
            return prices
        """,
        name="other",
    )
    shop.deliver("prices", "uk", "v\n1\n")
    shop.run()
    shop.run("other")
    shop.deliver("prices", "eu", "v\n2\n")
    observe, first = tidemark.running.run.observe, shop.twin()

    def observing(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(tidemark.running.run, "observe", observe)
        first.run()
        return observe(*given, **options)

    monkeypatch.setattr(tidemark.running.run, "observe", observing)
    shop.run("other")
    shop.run("other")
    assert {row["partition"] for row in shop.content("everywhere", "all")} == {"uk", "eu"}


def test_a_verdict_does_not_settle_what_its_run_writes_down_after_it_has_looked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker that Airflow has given up, and that lives on: the plan stays to be looked at."""
    shop.define(ONE)
    shop.deliver_days("orders", *THREE)
    definition = shop.pipelines["shop"]
    with shop.deployment() as deployment:
        prepared = prepare(deployment, definition, as_of=shop.as_of, run="one", actor="tester")

        def work() -> None:
            run_batch(deployment, definition, prepared.plan_id, 0, "lines", run="one", actor="tester")

        def settling(*given: Any) -> bool:
            work()
            return settle(*given)

        def settled() -> int | None:
            with deployment.ledger.read() as connection:
                return plans.read(connection, prepared.plan_id).settled

        with monkeypatch.context() as patch:
            patch.setattr(tidemark.verdict, "settle", settling)
            tidemark.verdict.verdict(deployment, definition, prepared.plan_id, run="one")
        assert settled() is None
        tidemark.verdict.verdict(deployment, definition, prepared.plan_id, run="one")
        assert settled() is not None
