"""Rule 8: which partitions exist, which are expected, which wait and why."""

import pytest

from tests.scenario import Shop
from tidemark.catalog import load_catalog
from tidemark.errors import UsageError
from tidemark.inspecting import status_of
from tidemark.reading import query, read
from tidemark.running.run import prepare, run_batch

DAYS = [f"2025-01-{day:02d}" for day in range(1, 15)]  # the 1st is a Wednesday; the 4th, 5th, 11th, 12th a weekend

LINES = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS%s)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()
"""


# -- sources


def test_a_source_partition_exists_if_it_was_delivered(shop: Shop) -> None:
    """Without a calendar nothing is missing: what was not delivered does not exist."""
    shop.define(LINES % "")
    shop.deliver_days("orders", DAYS[0], DAYS[4])
    shop.run()
    assert shop.ran == {"lines": [DAYS[0], DAYS[4]]}
    assert shop.counts("lines") == {"computed": 2}
    assert "does not exist" in shop.explain("lines", DAYS[2])["state"]
    assert "neither delivered nor expected" in shop.explain("orders", DAYS[2])["why"]


def test_a_source_partition_exists_if_it_is_expected(shop: Shop) -> None:
    """From the first delivery on, on the days that the calendar says; the others do not exist, which is final."""
    shop.define(LINES % ', expected=Calendar("MON-FRI", closed=["2025-01-06"])')
    shop.deliver_days("orders", DAYS[1], DAYS[8])
    shop.run()
    assert shop.ran == {"lines": [DAYS[1], DAYS[8]]}
    waiting = [day for day in DAYS[:9] if shop.explain("lines", day)["state"] == "waiting"]
    assert waiting == [DAYS[2], DAYS[6], DAYS[7]]
    assert shop.counts("lines") == {"computed": 2, "waiting": 3}


def test_a_delivery_on_a_day_that_is_not_expected_counts_all_the_same(shop: Shop) -> None:
    """Saturday's file is read like any other."""
    shop.define(LINES % ', expected=Calendar("MON-FRI")')
    shop.deliver_days("orders", DAYS[2], DAYS[3])
    shop.now("2025-01-05 06:00")
    shop.run()
    assert shop.ran == {"lines": [DAYS[2], DAYS[3]]}


def test_a_declared_start_comes_before_the_first_delivery(shop: Shop) -> None:
    """What is expected from then on is missing, though nothing was ever delivered."""
    shop.define((LINES % ', expected=Calendar("MON-SUN")').replace("DAYS", 'Daily(start="2025-01-07")'))
    shop.run()
    assert shop.counts("lines") == {"waiting": 3}
    shop.deliver_days("orders", "2025-01-09")
    shop.run()
    assert shop.ran == {"lines": ["2025-01-09"]}
    assert shop.counts("lines") == {"computed": 1, "waiting": 2}


def test_without_any_delivery_there_is_nothing(shop: Shop) -> None:
    """A shop before its first day runs, and is well."""
    shop.define(LINES % ', expected=Calendar("MON-SUN")')
    assert shop.run().ok
    assert shop.counts("lines") == {}
    assert shop.verdict is not None
    assert shop.verdict.summary == "shop: there is nothing to compute yet"


# -- due times

DUE = """
    orders = source("orders", files="orders/{partition}.txt", partitions=Daily(tz="Europe/London"),
                    expected=Calendar("MON-SUN"), due="1 day 02:00 Europe/London")
    rates = source("rates", files="rates/{partition}.txt", partitions=Daily(tz="Europe/London"),
                   expected=Calendar("MON-SUN"), due="1 day 04:00 Europe/Berlin")

    @asset(partitions=Daily(tz="Europe/London"), inputs={"rates": last_known(days=3)})
    def prices(orders: bytes, rates: bytes) -> str:
        return f"{orders.decode()} at {rates.decode()}"
"""


def test_what_is_not_yet_due_is_waited_for(shop: Shop) -> None:
    """Before its due time a file is awaited, not missing; from then on it is missing, and a substitute is used."""
    shop.define(DUE)
    shop.deliver_days("orders", DAYS[0], DAYS[1])
    shop.deliver_days("rates", DAYS[0])
    shop.now("2025-01-03 02:59")  # 03:59 in Berlin
    shop.run()
    assert shop.heads("prices").keys() == {DAYS[0]}
    account = shop.explain("prices", DAYS[1])
    assert (account["state"], account["why"]) == ("waiting", "rates is not due before 2025-01-03 03:00 UTC")
    assert shop.explain("rates", DAYS[1])["state"] == "not yet due"
    shop.now("2025-01-03 03:00")
    shop.run()
    assert shop.ran == {"prices": [DAYS[1]]}
    assert shop.provisional("prices") == {DAYS[1]: {f"rates {DAYS[1]}"}}
    assert shop.explain("rates", DAYS[1])["state"] == "missing"
    assert shop.state() == shop.rebuilt().state()


def test_a_period_ends_in_the_zone_of_its_grain(shop: Shop) -> None:
    """A day of London in summer ends an hour before a day of UTC."""
    shop.define((LINES % "").replace("DAYS", 'Daily(tz="Europe/London")'))
    shop.deliver_days("orders", "2025-07-01")
    shop.now("2025-07-01 22:59:59")
    shop.run()
    assert shop.ran == {}
    shop.now("2025-07-01 23:00")
    shop.run()
    assert shop.ran == {"lines": ["2025-07-01"]}


def test_a_due_time_that_does_not_exist_moves_forward(shop: Shop) -> None:
    """On the night in which 02:00 to 03:00 is left out in Berlin, what is due at 02:30 is due at 03:30 local time."""
    shop.define(
        (LINES % ', expected=Calendar("MON-SUN"), due="1 day 02:30 Europe/Berlin"').replace(
            "DAYS", 'Daily(tz="Europe/Berlin", start="2025-03-29")'
        )
    )
    shop.now("2025-03-30T03:29+02:00")
    shop.run()
    assert shop.explain("orders", "2025-03-29")["state"] == "not yet due"
    shop.now("2025-03-30T03:30+02:00")
    shop.run()
    assert shop.explain("orders", "2025-03-29")["state"] == "missing"


def test_an_early_delivery_that_is_taken_back_leaves_nothing(shop: Shop) -> None:
    """Delivered before it is due, used, and withdrawn again: the partition waits as if nothing had been."""
    shop.define(DUE)
    shop.deliver_days("orders", DAYS[0], DAYS[1])
    shop.deliver_days("rates", DAYS[0], DAYS[1])
    shop.now("2025-01-03 02:59")
    shop.run()
    assert shop.heads("prices").keys() == {DAYS[0], DAYS[1]}
    shop.withdraw("rates", DAYS[1])
    shop.run()
    assert shop.heads("prices").keys() == {DAYS[0]}
    assert shop.state() == shop.rebuilt().state()


# -- assets


def test_an_asset_partition_exists_once_its_period_has_ended(shop: Shop) -> None:
    """Not a moment before, though its file is there."""
    shop.define(LINES % "")
    shop.deliver_days("orders", DAYS[0], DAYS[1])
    shop.now("2025-01-02 23:59:59")
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]]}
    shop.now("2025-01-03 00:00")
    shop.run()
    assert shop.ran == {"lines": [DAYS[1]]}


def test_an_asset_begins_with_the_latest_of_its_inputs(shop: Shop) -> None:
    """Orders since the 1st and rates since the 5th: prices since the 5th; nothing before is missing."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
        def prices(orders: bytes, rates: bytes) -> str:
            return f"{orders.decode()} at {rates.decode()}"
    """)
    shop.deliver_days("orders", *DAYS[:8])
    shop.deliver_days("rates", *DAYS[4:8])
    shop.run()
    assert shop.ran == {"prices": DAYS[4:8]}
    assert shop.counts("prices") == {"computed": 4}


def test_an_asset_may_begin_later_by_its_own_start(shop: Shop) -> None:
    """``start=`` of the asset itself, later than its inputs'."""
    shop.define((LINES % "").replace("@asset(partitions=DAYS", '@asset(partitions=Daily(start="2025-01-06")'))
    shop.deliver_days("orders", *DAYS[:8])
    shop.run()
    assert shop.ran == {"lines": DAYS[5:8]}


def test_no_rates_on_a_sunday_is_final(shop: Shop) -> None:
    """What does not exist is absent for its readers, and no mark."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-FRI"))

        @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
        def prices(orders: bytes, rates: bytes) -> str:
            return rates.decode()
    """)
    shop.deliver_days("orders", *DAYS[1:6])
    shop.deliver_days("rates", DAYS[1], DAYS[2], DAYS[5])
    shop.now("2025-01-07 06:00")
    shop.run()
    assert shop.heads("prices")[DAYS[4]] == f"rates {DAYS[2]}\n"
    assert shop.provisional("prices") == {}


def test_no_orders_on_a_saturday_makes_no_partition(shop: Shop) -> None:
    """Nor below: each `same` input must exist, at every depth."""
    shop.define(
        LINES % ', expected=Calendar("SUN-FRI")'
        + """
    @asset(partitions=DAYS)
    def loud(lines: str) -> str:
        return lines.upper()
    """
    )
    shop.deliver_days("orders", DAYS[1], DAYS[2], DAYS[4], DAYS[5])
    shop.now("2025-01-07 06:00")
    shop.run()
    assert shop.ran["loud"] == [DAYS[1], DAYS[2], DAYS[4], DAYS[5]]
    assert shop.counts("loud") == {"computed": 4}


def test_an_asset_that_nothing_gives_a_start_is_a_definition_error(shop: Shop) -> None:
    """It would never be computed, without a word; with a start of its own it is."""
    text = """
        @asset(partitions=Daily())
        def day(partition: Partition) -> str:
            return partition.key
    """
    with pytest.raises(
        AssertionError, match=r"day\(\): it reads nothing .*: say so, as in Daily\(start='2011-01-05'\)"
    ):
        shop.define(text)
    shop.define(text.replace("Daily()", "Daily(start='2025-01-08')"))
    shop.run()
    assert shop.heads("day") == {"2025-01-08": "2025-01-08", "2025-01-09": "2025-01-09"}


# -- last known

KNOWN = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

    @asset(partitions=DAYS, inputs={"rates": last_known(days=2)})
    def prices(orders: bytes, rates: bytes) -> str:
        return rates.decode()
"""


@pytest.fixture
def known(shop: Shop) -> Shop:
    """Orders of the first eight days, and rates of the first two."""
    shop.define(KNOWN)
    shop.deliver_days("orders", *DAYS[:8])
    shop.deliver_days("rates", *DAYS[:2])
    shop.now("2025-01-09 06:00")
    shop.run()
    return shop


def test_last_known_is_provisional_for_all_that_is_missing_in_between(known: Shop) -> None:
    """Each expected day from the substitute to the reader's own."""
    assert known.heads("prices")[DAYS[3]] == f"rates {DAYS[1]}\n"
    assert known.provisional("prices") == {
        DAYS[2]: {f"rates {DAYS[2]}"},
        DAYS[3]: {f"rates {DAYS[2]}", f"rates {DAYS[3]}"},
    }


def test_last_known_looks_back_no_further_than_it_may(known: Shop) -> None:
    """Beyond its limit there is no substitute: the partition waits, and says for what."""
    assert known.heads("prices").keys() == {*DAYS[:4]}
    account = known.explain("prices", DAYS[4])
    assert account["state"] == "waiting"
    assert account["why"] == f"rates is absent: rates {DAYS[2]}, rates {DAYS[3]}, rates {DAYS[4]} is missing"


def test_last_known_is_final_once_all_in_between_came_or_were_declared(known: Shop) -> None:
    """One came, one will not: the substitute is then the newer one, and final."""
    known.deliver_days("rates", DAYS[2])
    known.declare_absent("rates", DAYS[3])
    known.run()
    assert known.heads("prices")[DAYS[3]] == f"rates {DAYS[2]}\n"
    assert DAYS[3] not in known.provisional("prices")


def test_what_is_older_than_the_substitute_does_not_matter(known: Shop) -> None:
    """A late file from before the substitute runs its own day alone."""
    known.deliver_days("rates", DAYS[4])
    known.run()
    assert known.ran == {"prices": DAYS[4:7]}
    known.deliver_days("rates", DAYS[3])
    known.run()
    assert known.ran == {"prices": [DAYS[3]]}
    assert known.provisional("prices").keys() == {DAYS[2], DAYS[5], DAYS[6]}
    assert known.state() == known.rebuilt().state()


# -- what may be absent

OPTIONAL = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    notes = source("notes", files="notes/{partition}.txt", partitions=DAYS%s)

    @asset(partitions=DAYS)
    def noted(orders: bytes, notes: bytes | None) -> str:
        return repr(notes)
"""


def test_an_optional_input_neither_delays_nor_decides(shop: Shop) -> None:
    """It starts later and has gaps; the asset has neither."""
    shop.define(OPTIONAL % "")
    shop.deliver_days("orders", *DAYS[:4])
    shop.deliver_days("notes", DAYS[2])
    shop.run()
    assert shop.ran == {"noted": DAYS[:4]}
    assert shop.heads("noted")[DAYS[0]] == "None"
    assert shop.provisional("noted") == {}


def test_an_optional_input_that_is_missing_makes_provisional(shop: Shop) -> None:
    """It may be absent, but was expected: the result is there, and bears the mark."""
    shop.define(OPTIONAL % ', expected=Calendar("MON-SUN")')
    shop.deliver_days("orders", *DAYS[:4])
    shop.deliver_days("notes", DAYS[0], DAYS[1], DAYS[3])
    shop.run()
    assert shop.heads("noted")[DAYS[2]] == "None"
    assert shop.provisional("noted") == {DAYS[2]: {f"notes {DAYS[2]}"}}


def test_an_asset_of_optional_inputs_alone_begins_with_the_first_of_them(shop: Shop) -> None:
    """There is something to say from the first of them on."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        notes = source("notes", files="notes/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def said(orders: bytes | None, notes: bytes | None) -> str:
            return repr((orders, notes))
    """)
    shop.deliver("orders", DAYS[3], "o")
    shop.deliver("notes", DAYS[1], "n")
    shop.now("2025-01-05 06:00")
    shop.run()
    assert shop.heads("said") == {
        DAYS[1]: "(None, b'n')",
        DAYS[2]: "(None, None)",
        DAYS[3]: "(b'o', None)",
    }


def test_any_other_absent_input_makes_the_partition_wait(shop: Shop) -> None:
    """With the reason; and once it comes, the partition runs."""
    shop.define(LINES % ', expected=Calendar("MON-SUN")')
    shop.deliver_days("orders", DAYS[0], DAYS[2])
    shop.now("2025-01-04 06:00")
    verdict = shop.run()
    assert verdict.ok
    assert shop.counts("lines") == {"computed": 2, "waiting": 1}
    assert shop.explain("lines", DAYS[1])["why"] == f"orders is absent: orders {DAYS[1]} is missing"
    shop.deliver_days("orders", DAYS[1])
    shop.run()
    assert shop.ran == {"lines": [DAYS[1]]}


def test_what_waits_says_so_at_every_depth(shop: Shop) -> None:
    """The reason names what is missing at the bottom, not what lies between."""
    shop.define(
        LINES % ', expected=Calendar("MON-SUN")'
        + """
    @asset(partitions=DAYS)
    def loud(lines: str) -> str:
        return lines.upper()
    """
    )
    shop.deliver_days("orders", DAYS[0], DAYS[2])
    shop.now("2025-01-04 06:00")
    shop.run()
    assert shop.explain("loud", DAYS[1])["why"] == f"lines is absent: orders {DAYS[1]} is missing"


def test_a_declared_absence_waits_for_nothing(shop: Shop) -> None:
    """The partition still cannot be computed, and says that nobody waits for the file."""
    shop.define(LINES % ', expected=Calendar("MON-SUN")')
    shop.deliver_days("orders", DAYS[0], DAYS[2])
    shop.now("2025-01-04 06:00")
    shop.run()
    shop.declare_absent("orders", DAYS[1])
    assert "declared absent" in shop.explain("lines", DAYS[1])["why"]


# -- previous


PREVIOUS = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS%s)

    @asset(partitions=DAYS, inputs={"total": previous()})
    def total(orders: bytes, total: str | None) -> str:
        return f"{total or ''}{orders.decode()}"
"""


def test_previous_reads_the_newest_earlier_partition_that_exists(shop: Shop) -> None:
    """Over a weekend without orders, Monday reads Friday; and the first partition reads nothing."""
    shop.define(PREVIOUS % "")
    for key, text in ((DAYS[1], "a"), (DAYS[2], "b"), (DAYS[5], "c")):
        shop.deliver("orders", key, text)
    shop.run()
    assert shop.heads("total") == {DAYS[1]: "a", DAYS[2]: "ab", DAYS[5]: "abc"}


def test_previous_is_absent_where_the_partition_before_waits(shop: Shop) -> None:
    """It exists, but has nothing yet: its reader does without, provisionally, rather than look further back."""
    shop.define(PREVIOUS % ', expected=Calendar("MON-SUN")')
    for key, text in ((DAYS[0], "a"), (DAYS[2], "c")):
        shop.deliver("orders", key, text)
    shop.now("2025-01-04 06:00")
    shop.run()
    assert shop.heads("total") == {DAYS[0]: "a", DAYS[2]: "c"}
    assert shop.provisional("total") == {DAYS[2]: {f"orders {DAYS[1]}"}}
    shop.deliver("orders", DAYS[1], "b")
    shop.run()
    assert shop.ran == {"total": [DAYS[1], DAYS[2]]}
    assert shop.heads("total")[DAYS[2]] == "abc"
    assert shop.state() == shop.rebuilt().state()


def test_an_earlier_partition_that_comes_into_being_without_a_result_changes_nothing(shop: Shop) -> None:
    """The chain's first had nothing before it, and still gets nothing."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": str})

        @asset(partitions=DAYS, inputs={"total": previous()})
        def total(orders: pl.DataFrame, total: str | None) -> str:
            return f"{total} {orders['v'].to_list()}"
    """)
    shop.deliver("orders", DAYS[1], "v\n1\n")
    shop.run()
    before = shop.heads("total")
    shop.deliver("orders", DAYS[0], "w\n1\n")
    shop.run()
    assert shop.ran == {}
    assert shop.heads("total") == before
    assert shop.explain("total", DAYS[0])["state"] == "waiting"


def test_a_partition_that_comes_into_being_in_the_middle_joins_the_chain(shop: Shop) -> None:
    """A file for a day that nobody expected: what comes after it reads it from now on."""
    shop.define(PREVIOUS % "")
    for key, text in ((DAYS[1], "a"), (DAYS[3], "c")):
        shop.deliver("orders", key, text)
    shop.run()
    shop.deliver("orders", DAYS[2], "b")
    shop.run()
    assert shop.ran == {"total": [DAYS[2], DAYS[3]]}
    assert shop.heads("total")[DAYS[3]] == "abc"
    shop.withdraw("orders", DAYS[2])
    shop.run()
    assert shop.ran == {}
    assert shop.heads("total") == {DAYS[1]: "a", DAYS[3]: "ac"}
    assert shop.state() == shop.rebuilt().state()


# -- windows

WINDOW = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS%s)

    @asset(partitions=DAYS, inputs={"orders": trailing(days=3%s)})
    def recent(orders: pl.DataFrame) -> str:
        return "".join(orders["k"].to_list())
"""


def test_a_window_uses_the_members_that_exist(shop: Shop) -> None:
    """The first windows are short, and gaps that nobody expects are final."""
    shop.define(WINDOW % ("", ""))
    for key, text in ((DAYS[0], "a"), (DAYS[1], "b"), (DAYS[3], "d")):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-06 06:00")
    shop.run()
    assert shop.heads("recent") == {DAYS[0]: "a", DAYS[1]: "ab", DAYS[2]: "ab", DAYS[3]: "bd", DAYS[4]: "d"}
    assert shop.provisional("recent") == {}


def test_a_missing_member_makes_a_window_provisional(shop: Shop) -> None:
    """For as long as it is in reach."""
    shop.define(WINDOW % (', expected=Calendar("MON-SUN")', ""))
    for key, text in zip(DAYS[:6], "abcdef", strict=True):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.withdraw("orders", DAYS[2])
    shop.now("2025-01-07 06:00")
    shop.run()
    assert shop.heads("recent")[DAYS[4]] == "de"
    assert shop.provisional("recent") == {day: {f"orders {DAYS[2]}"} for day in DAYS[2:5]}


def test_an_empty_window_waits(shop: Shop) -> None:
    """Nothing at all in reach is nothing to compute from, whether it is missing or does not exist."""
    shop.define(WINDOW % (', expected=Calendar("MON-FRI")', ""))
    shop.deliver("orders", DAYS[0], "k\na\n")
    shop.run()
    assert shop.heads("recent").keys() == {DAYS[0], DAYS[1], DAYS[2]}
    assert shop.explain("recent", DAYS[4])["why"] == (f"orders is absent: orders {DAYS[2]} is missing")
    shop.define(WINDOW % ("", ""))
    shop.run()
    assert shop.explain("recent", DAYS[4])["state"] == "waiting"
    assert "any partition in reach was not delivered" in shop.explain("recent", DAYS[4])["why"]


def test_an_optional_window_may_be_empty(shop: Shop) -> None:
    """It arrives as None."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        notes = source("notes", files="notes/{partition}.csv", partitions=DAYS)

        @asset(partitions=DAYS, inputs={"notes": trailing(days=2)})
        def noted(orders: bytes, notes: pl.DataFrame | None) -> str:
            return "-" if notes is None else str(notes.height)
    """)
    shop.deliver_days("orders", *DAYS[:4])
    shop.deliver("notes", DAYS[1], "k\n1\n")
    shop.run()
    assert shop.heads("noted") == {DAYS[0]: "-", DAYS[1]: "1", DAYS[2]: "1", DAYS[3]: "-"}


def test_a_member_that_is_not_yet_due_makes_a_window_wait(shop: Shop) -> None:
    """The other members are there; they wait for it until it is due."""
    shop.define(WINDOW % (', expected=Calendar("MON-SUN"), due="1 day 12:00 UTC"', ""))
    for key, text in zip(DAYS[:2], "ab", strict=True):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-04 11:59")
    shop.run()
    assert shop.heads("recent") == {DAYS[0]: "a", DAYS[1]: "ab"}
    assert "orders is not due before 2025-01-04 12:00" in shop.explain("recent", DAYS[2])["why"]
    shop.now("2025-01-04 12:00")
    shop.run()
    assert shop.heads("recent")[DAYS[2]] == "ab"
    assert shop.provisional("recent") == {DAYS[2]: {f"orders {DAYS[2]}"}}


def test_an_early_window_does_not_wait(shop: Shop) -> None:
    """With ``early=True`` it is computed without the member that is not due, and again with it."""
    shop.define(WINDOW % (', expected=Calendar("MON-SUN"), due="1 day 12:00 UTC"', ", early=True"))
    for key, text in zip(DAYS[:2], "ab", strict=True):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-04 06:00")
    shop.run()
    assert shop.heads("recent")[DAYS[2]] == "ab"
    assert shop.provisional("recent") == {}
    shop.deliver("orders", DAYS[2], "k\nc\n")
    shop.run()
    assert shop.ran == {"recent": [DAYS[2]]}
    assert shop.heads("recent")[DAYS[2]] == "abc"


def test_a_window_over_nothing_new_is_the_same_key(shop: Shop) -> None:
    """Only members with data are in the key: that an empty day is expected from now on runs nothing."""
    shop.define(WINDOW % ("", ""))
    for key, text in ((DAYS[0], "a"), (DAYS[2], "c")):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-04 06:00")
    shop.run()
    shop.edit("partitions=DAYS)", 'partitions=DAYS, expected=Calendar("MON-SUN"))')
    shop.run()
    assert shop.ran == {}
    assert shop.provisional("recent") == {day: {f"orders {DAYS[1]}"} for day in DAYS[1:3]}


# -- grains


def test_parts_of_a_coarser_period(shop: Shop) -> None:
    """A month is computed once it has ended, from the days that exist."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=Monthly(), inputs={"orders": parts()})
        def month(orders: pl.DataFrame) -> str:
            return "".join(orders["k"].to_list())
    """)
    shop.deliver("orders", "2025-01-01", "k\na\n")
    shop.deliver("orders", "2025-01-31", "k\nb\n")
    shop.deliver("orders", "2025-02-01", "k\nc\n")
    shop.now("2025-01-31 23:00")
    shop.run()
    assert shop.ran == {}
    shop.now("2025-02-02 06:00")
    shop.run()
    assert shop.heads("month") == {"2025-01": "ab"}
    shop.deliver("orders", "2025-01-15", "k\nx\n")
    shop.run()
    assert shop.heads("month") == {"2025-01": "axb"}


def test_a_coarse_period_begins_with_its_first_day(shop: Shop) -> None:
    """A month whose first days were before the first delivery is not one of the asset's."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=Weekly(), inputs={"orders": parts()})
        def week(orders: pl.DataFrame) -> str:
            return "".join(orders["k"].to_list())
    """)
    for key, text in ((DAYS[2], "a"), (DAYS[5], "b"), (DAYS[7], "c")):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-13 06:00")
    shop.run()
    assert shop.heads("week") == {"2025-01-06": "bc"}


def test_static_partitions_and_one_of_all(shop: Shop) -> None:
    """Countries of a fixed list, and one partition that is read by each of them."""
    shop.define("""
        LANDS = Static(["uk", "fr"])
        orders = source("orders", files="orders/{partition}.txt", partitions=LANDS)
        names = source("names", files="names.txt")

        @asset(partitions=LANDS, inputs={"names": latest()})
        def named(orders: bytes, names: bytes, partition: Partition) -> str:
            return f"{partition}: {orders.decode()} {names.decode()}"

        @asset()
        def title(names: bytes) -> str:
            return names.decode().title()
    """)
    shop.deliver("orders", "uk", "tea")
    shop.deliver("names", "all", "of all")
    shop.run()
    assert shop.heads("named") == {"uk": "uk: tea of all"}
    assert shop.heads("title") == {"all": "Of All"}
    shop.deliver("orders", "fr", "wine")
    shop.run()
    assert shop.ran == {"named": ["fr"]}
    assert shop.state() == shop.rebuilt().state()


@pytest.fixture
def lands(shop: Shop) -> Shop:
    """Three countries that were delivered and have run; then one is taken out of the definition."""
    shop.define("""
        LANDS = Static(["uk", "fr", "de"])
        orders = source("orders", files="orders/{partition}.csv", partitions=LANDS)

        @asset(partitions=LANDS)
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders

        @asset(inputs={"lines": parts()})
        def total(lines: pl.DataFrame) -> str:
            return str(sorted(lines["k"]))
    """)
    for number, key in enumerate(["uk", "fr", "de"]):
        shop.deliver("orders", key, f"k\n{number}\n")
    shop.run()
    return shop


def _read_all(shop: Shop, asset: str) -> list[tuple[str, int]]:
    """Return what SQL and Python say of an asset, which must be the same."""
    with shop.deployment() as deployment:
        found = read(asset, deployment=deployment).select("partition", "k").rows()
        assert query(deployment, f"SELECT partition, k FROM {asset} ORDER BY k").fetchall() == found
    return list(found)


def test_a_static_key_that_is_taken_out_has_no_head(lands: Shop) -> None:
    """A clean rebuild would have none: what reads all keys is computed without it."""
    lands.edit('"uk", "fr", "de"', '"uk", "de"')
    lands.run()
    assert lands.ran == {"total": ["all"]}
    assert lands.heads("total") == {"all": "[0, 2]"}
    assert lands.heads("lines").keys() == lands.heads("orders").keys() == {"uk", "de"}
    assert lands.state() == lands.rebuilt().state()
    lands.run()
    assert len(lands.history("lines", "fr")) == len(lands.history("orders", "fr")) == 2
    assert not lands.history("lines", "fr")[-1]["version"]
    assert lands.history("lines", "fr")[-1]["reason"] == "its key was taken out of the definition"


def test_a_static_key_that_comes_back_is_restored(lands: Shop) -> None:
    """What was computed for it is known: nothing runs."""
    before = lands.state()
    lands.edit('"uk", "fr", "de"', '"uk", "de"')
    lands.run()
    lands.edit('"uk", "de"', '"uk", "fr", "de"')
    lands.run()
    assert lands.ran == {}
    assert lands.counts("lines") == {"unchanged": 2, "restored": 1}
    assert lands.state() == before == lands.rebuilt().state()


def test_a_static_key_that_is_taken_out_disturbs_no_reader(lands: Shop) -> None:
    """Neither before a plan has seen it, nor while its head is held."""
    lands.hold("lines", "fr")
    lands.edit('"uk", "fr", "de"', '"uk", "de"')
    for ready in (lambda: None, lands.run):
        with lands.deployment() as deployment:
            status = status_of(deployment, load_catalog(lands.dags))
            assert status["problems"] == {}
        ready()
        assert _read_all(lands, "lines") == [("uk", 0), ("de", 2)]
        assert _read_all(lands, "orders") == [("uk", 0), ("de", 2)]
        assert lands.history("lines", "fr")[-1]["live"]
        assert lands.explain("lines", "uk")["state"] == "fresh"
    assert lands.heads("total") == {"all": "[0, 2]"}
    lands.edit('"uk", "de"', '"uk", "fr", "de"')
    lands.run()
    assert lands.ran == {}
    assert _read_all(lands, "lines") == [("uk", 0), ("fr", 1), ("de", 2)]
    with pytest.raises(UsageError, match="'es' is none of the static partitions: uk, fr, de"):
        lands.history("lines", "es")


def test_a_static_key_that_is_taken_out_after_the_plan_is_left(lands: Shop) -> None:
    """A worker that loads the edited definition does the rest of its batch."""
    for key in ("uk", "fr"):
        lands.deliver("orders", key, "k\n7\n")
    with lands.deployment() as deployment:
        prepared = prepare(deployment, lands.pipelines["shop"], as_of=lands.as_of, run="run", actor="tester")
        lands.edit('"uk", "fr", "de"', '"uk", "de"')
        pipeline = lands.pipelines["shop"]
        report = run_batch(deployment, pipeline, prepared.plan_id, 0, "lines", run="run", actor="tester")
    assert report.counted() == {"computed": 1, "unchanged": 1}
    assert lands.called("lines", "uk") == 2


def test_all_days_into_one(shop: Shop) -> None:
    """An asset without partitions reads every day that has ended."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(inputs={"orders": parts()})
        def everything(orders: pl.DataFrame) -> str:
            return "".join(orders["k"].to_list())
    """)
    for key, text in zip(DAYS[:3], "abc", strict=True):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-03 12:00")
    shop.run()
    assert shop.heads("everything") == {"all": "ab"}
    shop.now("2025-01-04 00:00")
    shop.run()
    assert shop.heads("everything") == {"all": "abc"}


@pytest.mark.parametrize("mapping", ["parts()", "latest()"])
def test_what_is_not_due_yet_is_no_matter_to_what_has_no_time(shop: Shop, mapping: str) -> None:
    """There is always a day that is not due: an asset without partitions goes by those that are."""
    shop.define(f"""
        orders = source("orders", files="orders/{{partition}}.csv", partitions=DAYS,
                        expected=Calendar("MON-SUN"), due="1 day 12:00 UTC")

        @asset(inputs={{"orders": {mapping}}})
        def everything(orders: pl.DataFrame) -> str:
            return "".join(orders["k"].to_list())
    """)
    for key, text in zip(DAYS[:2], "ab", strict=True):
        shop.deliver("orders", key, f"k\n{text}\n")
    shop.now("2025-01-03 18:00")
    shop.run()
    before = shop.state()
    shop.now("2025-01-04 00:30")
    shop.run()
    assert shop.ran == {}
    assert shop.state() == before == shop.rebuilt().state()
    shop.now("2025-01-04 12:00")
    shop.run()
    assert shop.ran == {}
    assert shop.provisional("everything") == {"all": {f"orders {DAYS[2]}"}}
    assert shop.state() == shop.rebuilt().state()


# -- other pipelines


OTHER = """
    @asset(partitions=DAYS, inputs={"lines": ref("lines")})
    def loud(lines: str) -> str:
        return lines.upper()
"""


def test_another_pipelines_asset_is_read_by_what_is_live(shop: Shop) -> None:
    """Its marks come along, and it moves what reads it when that pipeline runs next."""
    shop.define(LINES % "")
    shop.define(OTHER, name="other")
    shop.deliver_days("orders", DAYS[0], DAYS[1])
    shop.run()
    shop.run("other")
    assert shop.ran == {"loud": [DAYS[0], DAYS[1]]}
    shop.deliver("orders", DAYS[0], "corrected")
    shop.run("other")
    assert shop.ran == {}
    shop.run()
    shop.run("other")
    assert shop.ran == {"loud": [DAYS[0]]}
    shop.withdraw("orders", DAYS[1])
    shop.run()
    shop.run("other")
    assert shop.heads("loud") == {DAYS[0]: "CORRECTED"}
