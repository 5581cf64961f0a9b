"""Rule 7: what is missing travels beside the data, never in it: marks come and go by ledger writes alone."""

import pytest

from tests.scenario import Shop

PRICES = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

    @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
    def prices(orders: bytes, rates: bytes) -> str:
        return f"{orders.decode()} at {rates.decode()}"

    @asset(partitions=DAYS)
    def listed(prices: str) -> str:
        return prices.upper()
"""

DAYS = [f"2025-01-{day:02d}" for day in range(1, 10)]


@pytest.fixture
def priced(shop: Shop) -> Shop:
    """Nine days of orders and rates, but for the rates of the 4th, which are late."""
    shop.define(PRICES)
    for key in DAYS:
        shop.deliver("orders", key, "tea")
        shop.deliver("rates", key, "1.2")
    shop.withdraw("rates", DAYS[3])
    shop.run()
    return shop


def test_a_missing_input_marks_what_is_made_without_it(priced: Shop) -> None:
    """At every depth, and nothing else; what is live is usable all the same."""
    late = {DAYS[3]: {f"rates {DAYS[3]}"}}
    assert priced.provisional("prices") == late
    assert priced.provisional("listed") == late
    assert priced.heads("listed")[DAYS[3]] == "TEA AT 1.2"
    assert priced.counts("listed") == {"computed": 9, "provisional": 1}


def test_a_late_input_that_changes_the_content_repairs_what_depends_on_it(priced: Shop) -> None:
    """That day's price and what reads it, and no other."""
    priced.deliver("rates", DAYS[3], "1.3")
    priced.run()
    assert priced.ran == {"prices": [DAYS[3]], "listed": [DAYS[3]]}
    assert priced.heads("listed")[DAYS[3]] == "TEA AT 1.3"
    assert priced.provisional("prices") == priced.provisional("listed") == {}
    assert priced.state() == priced.rebuilt().state()


def test_a_late_input_that_changes_nothing_clears_marks_below_without_a_run(priced: Shop) -> None:
    """The day's price is computed once more and comes out equal: nothing below runs, and all marks clear."""
    priced.deliver("rates", DAYS[3], "1.2")
    priced.run()
    assert priced.ran == {"prices": [DAYS[3]]}
    assert priced.provisional("prices") == priced.provisional("listed") == {}
    assert priced.state() == priced.rebuilt().state()


def test_marks_clear_with_workers_of_their_own_too(priced: Shop) -> None:
    """Each asset's worker writes the marks of its own partitions."""
    priced.deliver("rates", DAYS[3], "1.2")
    priced.run(lanes=True)
    assert priced.ran == {"prices": [DAYS[3]]}
    assert priced.provisional("prices") == priced.provisional("listed") == {}


def test_completeness_is_in_no_digest(priced: Shop) -> None:
    """A provisional head and a final one of the same content are one materialization."""
    before = priced.explain("listed", DAYS[3])
    assert before["provisional_for"] == [f"rates {DAYS[3]}"]
    priced.declare_absent("rates", DAYS[3])
    after = priced.explain("listed", DAYS[3])
    assert after["provisional_for"] == []
    assert after["live"] == before["live"]


def test_a_declaration_clears_marks_and_runs_nothing(priced: Shop) -> None:
    """At once, and for good."""
    assert priced.declare_absent("rates", DAYS[3]) == (True, 2)
    assert priced.provisional("prices") == priced.provisional("listed") == {}
    priced.run()
    assert priced.ran == {}
    assert priced.provisional("prices") == priced.provisional("listed") == {}
    assert priced.declare_absent("rates", DAYS[3]) == (False, 0)


def test_a_declared_absence_and_a_missing_file_are_the_same_key(shop: Shop) -> None:
    """Whether a person has spoken changes no key: both are ABSENT."""
    shop.define(PRICES)
    for key in DAYS[:4]:
        shop.deliver("orders", key, "tea")
    for key in DAYS[:3]:
        shop.deliver("rates", key, "1.2")
    shop.run()
    before = shop.action_key("prices", DAYS[3])
    shop.declare_absent("rates", DAYS[3])
    shop.run()
    assert shop.action_key("prices", DAYS[3]) == before


def test_what_comes_after_a_declaration_all_the_same_is_used(priced: Shop) -> None:
    """A person who was wrong costs nothing but a run."""
    priced.declare_absent("rates", DAYS[3])
    priced.deliver("rates", DAYS[3], "1.3")
    priced.run()
    assert priced.ran == {"prices": [DAYS[3]], "listed": [DAYS[3]]}


def test_a_late_input_of_long_ago_touches_nothing_else(priced: Shop) -> None:
    """Marks of other days stay what they are."""
    priced.withdraw("rates", DAYS[7])
    priced.run()
    assert priced.provisional("listed") == {day: {f"rates {day}"} for day in (DAYS[3], DAYS[7])}
    priced.deliver("rates", DAYS[3], "1.2")
    priced.run()
    assert priced.provisional("listed") == {DAYS[7]: {f"rates {DAYS[7]}"}}
    assert priced.state() == priced.rebuilt().state()


CHAIN = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

    @asset(partitions=DAYS, inputs={"total": previous()}, closes_after="3 days")
    def total(orders: bytes | None, total: str | None) -> str:
        return str(int(orders or 0) + int(total or 0))
"""


@pytest.fixture
def chained(shop: Shop) -> Shop:
    """A running total, of which the orders of the 2nd are missing, as of the morning of the 5th."""
    shop.define(CHAIN)
    shop.now("2025-01-05 06:00")
    for key in (DAYS[0], DAYS[2], DAYS[3]):
        shop.deliver("orders", key, "1")
    shop.run()
    assert shop.heads("total") == {DAYS[0]: "1", DAYS[1]: "1", DAYS[2]: "2", DAYS[3]: "3"}
    return shop


def test_a_mark_travels_along_a_chain(chained: Shop) -> None:
    """What was made from what was made without it was made without it, too."""
    lacking = {f"orders {DAYS[1]}"}
    assert chained.provisional("total") == dict.fromkeys(DAYS[1:4], lacking)


def test_a_late_input_repairs_the_chain_from_there_on(chained: Shop) -> None:
    """In the order of time, and not what came before."""
    chained.deliver("orders", DAYS[1], "5")
    chained.run()
    assert chained.ran == {"total": DAYS[1:4]}
    assert chained.heads("total")[DAYS[3]] == "8"
    assert chained.provisional("total") == {}
    assert chained.state() == chained.rebuilt().state()


def test_a_mark_travels_from_open_partitions_only(chained: Shop) -> None:
    """Once the 2nd is closed it counts as final for its readers, and keeps its own mark for the record."""
    for key in DAYS[4:6]:
        chained.deliver("orders", key, "1")
    # The 2nd ended as the 3rd began: three days later it is still open, and a second later it is not.
    chained.now("2025-01-06 00:00")
    chained.run()
    assert chained.provisional("total").keys() == {*DAYS[1:5]}
    chained.now("2025-01-06 00:00:01")
    chained.run()
    assert chained.provisional("total") == {DAYS[1]: {f"orders {DAYS[1]}"}}
    assert chained.ran == {}


def test_a_late_input_does_not_reopen_what_is_closed(chained: Shop) -> None:
    """A file for the 2nd that comes after it closed runs nothing; explain says what it would have been."""
    for key in DAYS[4:8]:
        chained.deliver("orders", key, "1")
    chained.now("2025-01-09 06:00")
    chained.run()
    before = chained.heads("total")
    chained.deliver("orders", DAYS[1], "5")
    chained.run()
    assert chained.ran == {}
    assert chained.heads("total") == before
    account = chained.explain("total", DAYS[1])
    assert account["state"] == "closed"
    assert account["why"] == (f"closed: its period ended too long ago; else it would run: orders {DAYS[1]} arrived")
    assert chained.provisional("total") == {DAYS[1]: {f"orders {DAYS[1]}"}}


def test_a_person_may_run_what_is_closed(chained: Shop) -> None:
    """Only a person; and what is open and reads it follows."""
    for key in DAYS[4:8]:
        chained.deliver("orders", key, "1")
    chained.now("2025-01-09 06:00")
    chained.run()
    chained.deliver("orders", DAYS[1], "5")
    chained.run()
    chained.force("total", DAYS[1])
    assert chained.ran == {"total": [DAYS[1]]}
    assert chained.heads("total")[DAYS[1]] == "6"
    assert chained.heads("total")[DAYS[2]] == "2"
    assert chained.provisional("total") == {}


def test_what_was_never_computed_is_computed_once_however_old(chained: Shop) -> None:
    """Closed is what has a head: a first result may come late, and is closed from then on."""
    for key in DAYS[4:8]:
        chained.deliver("orders", key, "1")
    chained.now("2025-01-09 06:00")
    chained.environment = "replay"
    chained.breaks("total", DAYS[1])
    fresh = chained.rebuilt()
    assert fresh.heads("total")[DAYS[1]] == "1"
    fresh.run()
    assert fresh.ran == {}


def test_a_closed_partition_outlives_what_it_was_made_from(chained: Shop) -> None:
    """A sender who clears old files away takes nothing from the past that is closed."""
    chained.deliver("orders", DAYS[1], "5")
    for key in DAYS[4:8]:
        chained.deliver("orders", key, "1")
    chained.now("2025-01-09 06:00")
    chained.run()
    before = chained.heads("total")
    chained.withdraw("orders", DAYS[0])
    chained.run()
    assert chained.ran == {}
    assert chained.heads("total") == before


def test_a_window_reads_a_mark_from_open_members_only(shop: Shop) -> None:
    """A window that holds a provisional member is provisional until that member is closed."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, expected=Calendar("MON-SUN"))
        notes = source("notes", files="notes/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

        @asset(partitions=DAYS, closes_after="2 days")
        def lines(orders: pl.DataFrame, notes: bytes | None) -> pl.DataFrame:
            return orders

        @asset(partitions=DAYS, inputs={"lines": trailing(days=3)})
        def recent(lines: pl.DataFrame) -> str:
            return str(lines.height)
    """)
    shop.now("2025-01-05 06:00")
    for key in DAYS[:4]:
        shop.deliver("orders", key, "k\n1\n")
        shop.deliver("notes", key, "n")
    shop.withdraw("notes", DAYS[2])
    shop.run()
    lacking = {f"notes {DAYS[2]}"}
    assert shop.provisional("lines") == {DAYS[2]: lacking}
    assert shop.provisional("recent") == {DAYS[2]: lacking, DAYS[3]: lacking}
    shop.deliver("orders", DAYS[4], "k\n1\n")
    shop.deliver("notes", DAYS[4], "n")
    shop.now("2025-01-06 06:00")
    shop.run()
    assert shop.provisional("lines") == {DAYS[2]: lacking}
    assert shop.provisional("recent") == {}
    assert shop.ran == {"lines": [DAYS[4]], "recent": [DAYS[4]]}


def test_marks_are_written_down_with_their_history(priced: Shop) -> None:
    """One can tell when a head was provisional, and since when it is not."""
    priced.declare_absent("rates", DAYS[3])
    entries = priced.history("listed", DAYS[3])
    assert [entry["provisional_for"] for entry in entries] == [[f"rates {DAYS[3]}"], []]
    assert entries[0]["version"] == entries[1]["version"]
    assert [entry["live"] for entry in entries] == [False, True]
