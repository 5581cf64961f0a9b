"""Holds and restores: what a person stopped stays as it is, and what was brought back stays until it is let go."""

import pytest

from tests.scenario import Shop
from tidemark import interventions
from tidemark.errors import UsageError
from tidemark.ledger import events
from tidemark.running.run import prepare, run_batch

SHOP = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()

    @asset(partitions=DAYS)
    def loud(lines: str) -> str:
        return lines.upper()
"""

DAYS = ["2025-01-05", "2025-01-06"]


@pytest.fixture
def running(shop: Shop) -> Shop:
    """Two days that have run."""
    shop.define(SHOP)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    return shop


def _restore(shop: Shop, version: str) -> None:
    with shop.deployment() as deployment:
        interventions.restore(
            deployment, shop.pipelines["shop"], "lines", DAYS[0], version[:12], why="it was right", actor="ada"
        )


def test_what_is_held_is_not_run_again(running: Shop) -> None:
    """Neither for new code nor for a corrected file; its readers read what is live, and explain says what would be."""
    running.hold("lines")
    running.edit("return orders.decode()", "return orders.decode() + '!'")
    running.deliver("orders", DAYS[0], "corrected")
    before = running.heads("loud")
    assert running.run().ok
    assert running.ran == {}
    assert running.counts("lines") == {"unchanged": 2}
    assert running.heads("loud") == before
    account = running.explain("lines", DAYS[0])
    assert account["state"] == "held"
    assert account["why"] == (f"held: under review (tester); else it would run: code changed, orders {DAYS[0]} changed")


def test_what_is_let_go_runs(running: Shop) -> None:
    """As if it had never been held."""
    running.hold("lines")
    running.deliver("orders", DAYS[0], "corrected")
    running.run()
    running.release("lines")
    running.run()
    assert running.ran == {"lines": [DAYS[0]], "loud": [DAYS[0]]}
    assert running.state() == running.rebuilt().state()


def test_one_partition_can_be_held(running: Shop) -> None:
    """The others follow their inputs."""
    running.hold("lines", DAYS[0])
    running.edit("return orders.decode()", "return orders.decode() + '!'")
    running.run()
    assert running.ran == {"lines": [DAYS[1]], "loud": [DAYS[1]]}


def test_the_hold_of_a_key_that_its_definition_has_lost_can_be_lifted(shop: Shop) -> None:
    """By that key, which the ledger still knows; a key that never was is refused."""
    shop.define("""
        lands = source("lands", files="lands/{partition}.txt", partitions=Static(["a", "b"]))

        @asset(partitions=Static(["a", "b"]))
        def land(lands: bytes) -> str:
            return lands.decode().upper()
    """)
    shop.deliver_days("lands", "a", "b")
    shop.run()
    shop.hold("land", "b")
    shop.declare_absent("lands", "b")
    shop.edit('Static(["a", "b"])', 'Static(["a"])')
    shop.release("land", "b")
    assert shop.withdraw_declaration("lands", "b")[0]
    with pytest.raises(UsageError, match="'c'"):
        shop.release("land", "c")
    shop.edit('Static(["a"])', 'Static(["a", "b"])')
    shop.deliver("lands", "b", "corrected")
    shop.run()
    assert shop.ran == {"land": ["b"]}


def test_a_first_result_is_held_back_too(running: Shop) -> None:
    """A new day of a held asset is not computed, and what reads it waits for it."""
    running.hold("lines")
    running.deliver_days("orders", "2025-01-07")
    running.run()
    assert running.ran == {}
    assert running.explain("lines", "2025-01-07")["state"] == "held"
    assert running.explain("loud", "2025-01-07")["why"] == "lines is absent: lines 2025-01-07 is missing"


def test_what_is_held_outlives_what_it_was_made_from(running: Shop) -> None:
    """A withdrawn file takes no head that a person keeps, until it is let go."""
    running.hold("lines", DAYS[0])
    running.withdraw("orders", DAYS[0])
    running.run()
    assert running.heads("lines").keys() == running.heads("loud").keys() == {*DAYS}
    running.release("lines")  # another hold, which nobody has placed
    running.run()
    assert running.heads("lines").keys() == {*DAYS}
    running.release("lines", DAYS[0])
    running.run()
    assert running.heads("lines").keys() == running.heads("loud").keys() == {DAYS[1]}
    assert running.state() == running.rebuilt().state()


def test_what_is_held_keeps_its_marks_for_its_readers(shop: Shop) -> None:
    """It was made without the rates: that they have come since does not complete it, nor what is made from it."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

        @asset(partitions=DAYS)
        def priced(orders: bytes, rates: bytes | None) -> str:
            return f"{orders.decode()} {rates}"

        @asset(partitions=DAYS)
        def loud(priced: str) -> str:
            return priced.upper()
    """)
    shop.deliver_days("orders", *DAYS)
    shop.deliver_days("rates", DAYS[0])
    shop.now("2025-01-07 06:00")
    shop.run()
    mark = {DAYS[1]: {f"rates {DAYS[1]}"}}
    assert shop.provisional("loud") == mark
    shop.hold("priced")
    shop.deliver_days("rates", DAYS[1])
    shop.edit("priced.upper()", "priced.title()")
    shop.run()
    assert shop.ran == {"loud": DAYS}
    assert shop.provisional("priced") == shop.provisional("loud") == mark
    shop.release("priced")
    shop.run()
    assert shop.provisional("priced") == shop.provisional("loud") == {}
    assert shop.state() == shop.rebuilt().state()


def test_a_hold_comes_in_time_for_workers_that_have_not_begun(running: Shop) -> None:
    """The plan was made before; each worker looks at the holds as it starts."""
    running.deliver("orders", DAYS[0], "corrected")
    pipeline = running.pipelines["shop"]
    with running.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=running.as_of, run="late", actor="tester")
        running.hold("lines")
        for asset in ("lines", "loud"):
            report = run_batch(deployment, pipeline, prepared.plan_id, 0, asset, run="late", actor="tester")
            assert report.counted() == {"unchanged": 1}
    assert running.heads("lines")[DAYS[0]] == f"orders {DAYS[0]}\n"


def test_a_restored_head_is_live_and_held(running: Shop) -> None:
    """What reads it follows; no run moves it away, before somebody lets it go."""
    first = running.versions("lines")[DAYS[0]]
    running.deliver("orders", DAYS[0], "corrected")
    running.run()
    _restore(running, first)
    running.run()
    assert running.ran == {}
    assert running.heads("lines")[DAYS[0]] == f"orders {DAYS[0]}\n"
    assert running.heads("loud")[DAYS[0]] == f"ORDERS {DAYS[0]}\n"
    running.deliver("orders", DAYS[0], "corrected again")
    running.run()
    assert running.heads("lines")[DAYS[0]] == f"orders {DAYS[0]}\n"
    running.release("lines", DAYS[0])
    running.run()
    assert running.heads("loud")[DAYS[0]] == "CORRECTED AGAIN"
    assert running.state() == running.rebuilt().state()
    assert [entry["by"] for entry in running.history("lines", DAYS[0])] == ["tester", "tester", "ada", "tester"]


def test_a_restored_head_that_is_let_go_comes_back_without_a_run(running: Shop) -> None:
    """What was live before it was computed before."""
    first = running.versions("lines")[DAYS[0]]
    running.deliver("orders", DAYS[0], "corrected")
    running.run()
    _restore(running, first)
    running.run()
    running.release("lines", DAYS[0])
    running.run()
    assert running.ran == {}
    assert running.heads("loud")[DAYS[0]] == "CORRECTED"


def test_a_restored_head_lacks_what_it_lacked(shop: Shop) -> None:
    """That it is live again makes it no more complete; and its readers are told."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

        @asset(partitions=DAYS)
        def lines(orders: bytes, rates: bytes | None) -> str:
            return f"{orders.decode()} {rates}"

        @asset(partitions=DAYS)
        def loud(lines: str) -> str:
            return lines.upper()
    """)
    shop.deliver_days("orders", DAYS[0])
    shop.now("2025-01-06 06:00")
    shop.deliver_days("rates", "2025-01-04")
    shop.run()
    first = shop.versions("lines")[DAYS[0]]
    shop.deliver_days("rates", DAYS[0])
    shop.run()
    assert shop.provisional("lines") == {}
    _restore(shop, first)
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        told = events.unsent(connection, "prod", ["lines"], limit=100)[-1]
    assert (told.state, told.reason, told.data_version.hex()) == ("provisional", "restored: it was right", first)
    shop.run()
    mark = {DAYS[0]: {f"rates {DAYS[0]}"}}
    assert shop.provisional("lines") == shop.provisional("loud") == mark


def test_the_mark_of_a_held_head_goes_in_the_run_that_completes_it(shop: Shop) -> None:
    """Held it is not computed, but what it reads comes out as it was, so it is complete."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

        @asset(partitions=DAYS)
        def lines(orders: bytes, rates: bytes | None) -> str:
            return orders.decode()

        @asset(partitions=DAYS)
        def loud(lines: str) -> str:
            return lines.upper()
    """)
    shop.deliver_days("orders", DAYS[0])
    shop.deliver_days("rates", "2025-01-04")
    shop.now("2025-01-06 06:00")
    shop.run()
    mark = {DAYS[0]: {f"rates {DAYS[0]}"}}
    assert shop.provisional("loud") == mark
    shop.hold("loud")
    shop.deliver_days("rates", DAYS[0])
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]]}
    assert shop.provisional("loud") == {}
    assert shop.planned().items == ()
