"""Rule 13: a plan looks only at what has changed since the last one, and finds all that a full verification finds."""

from datetime import UTC, datetime
from typing import Any

import pytest

import tidemark.running.run
import tidemark.verdict
from tests.gates import rule
from tests.scenario import Shop
from tidemark.changes import settle
from tidemark.ledger import plans
from tidemark.running.run import prepare, run_batch
from tidemark.survey import Selection

SHOP = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders.upper()
"""

DAYS = ["2025-01-05", "2025-01-06", "2025-01-07"]
LATER = Selection(first=datetime(2025, 1, 6, tzinfo=UTC))


@pytest.fixture
def running(shop: Shop) -> Shop:
    """Three days of orders that have run."""
    shop.define(SHOP)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    return shop


# -- what was not asked for


def test_what_a_selection_has_left_out_is_computed_by_the_next_plan(running: Shop) -> None:
    """It has a head, and nothing has changed since: that it was left is kept beside its mark."""
    running.deliver("orders", DAYS[0], "corrected")
    running.run(selection=LATER)
    assert running.ran == {}
    assert running.provisional("lines") == {DAYS[0]: {f"lines {DAYS[0]}"}}
    running.run()
    assert running.ran == {"lines": [DAYS[0]]}
    assert running.provisional("lines") == {}


def test_a_changed_suite_sees_the_heads_that_a_selection_has_left_out(shop: Shop) -> None:
    """Each is checked by the first plan that asks for it."""
    shop.suite("lines", rule("expect_column_values_to_not_be_null", column="v"))
    shop.define(
        """
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=DAYS, gate="lines")
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders
        """
    )
    for number, key in enumerate(DAYS):
        shop.deliver("orders", key, f"v\n{number}\n")
    shop.run()
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="v", value_set=[1, 2]))
    shop.run(selection=LATER)
    assert shop.outcomes("lines").keys() == {*DAYS[1:]}
    shop.run()
    assert shop.outcomes("lines").keys() == {DAYS[0]}
    assert "stays live, flagged" in shop.details("lines")[DAYS[0]]
    shop.run()
    assert shop.outcomes("lines") == {}


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
    shop.deliver("orders", DAYS[0], "v\n1\n")
    shop.run()
    shop.hold("lines", DAYS[0])
    shop.deliver("orders", DAYS[0], "malformed")
    shop.force("lines", DAYS[0])
    assert shop.ran == {}
    assert shop.provisional("lines") == {DAYS[0]: {f"orders {DAYS[0]}"}}


# -- definitions


def test_an_assets_own_start_is_part_of_its_definition(running: Shop) -> None:
    """What lies before it goes, and comes back without running."""
    running.edit("@asset(partitions=DAYS)", f'@asset(partitions=Daily(start="{DAYS[1]}"))')
    running.run()
    assert running.heads("lines").keys() == {*DAYS[1:]}
    running.edit(f'@asset(partitions=Daily(start="{DAYS[1]}"))', "@asset(partitions=DAYS)")
    running.run()
    assert running.heads("lines").keys() == {*DAYS}
    assert running.ran == {}


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
    shop.define(SHOP)
    shop.deliver_days("orders", *DAYS)
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
