"""Claims about the clock: when it alone changes something, as each plan says, and that nothing does before."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tests.properties.worlds import differences
from tests.scenario import Shop
from tidemark.plan import Plan
from tidemark.survey import clock

MOMENT = timedelta.resolution


def at(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wakes_at(shop: Shop, now: str, pipeline: str = "shop") -> datetime | None:
    """Run at an instant, and return when that plan says that the clock alone changes something."""
    shop.now(now)
    shop.run(pipeline)
    assert shop.plan is not None
    return shop.plan.wakes_at


def deliver(shop: Shop, source: str, *keys: str) -> None:
    """Deliver a table of its own for each key."""
    for key in keys:
        shop.deliver(source, key, f"v\n{source} {key}\n")


# -- a period that ends

HOURS = """
    clicks = source("clicks", files="clicks/{partition}.csv", partitions=Hourly())

    @asset(partitions=Hourly())
    def counted(clicks: bytes) -> str:
        return clicks.decode()
"""


def test_a_delivery_before_its_hour_has_ended_waits_for_that(shop: Shop) -> None:
    """Its reader exists from then on: nobody delivers anything then, so only the clock can say so."""
    shop.define(HOURS)
    deliver(shop, "clicks", "2025-01-10T05")
    deliver(shop, "clicks", "2025-01-10T06")
    assert wakes_at(shop, "2025-01-10 06:20") == at("2025-01-10 07:00")
    assert shop.ran == {"counted": ["2025-01-10T05"]}
    wakes_at(shop, "2025-01-10 07:00")
    assert shop.ran == {"counted": ["2025-01-10T06"]}


def test_hours_that_nobody_expects_wake_nobody(shop: Shop) -> None:
    """They come with their deliveries; one looks again once the hours have passed that were looked at."""
    shop.define(HOURS)
    deliver(shop, "clicks", "2025-01-10T05")
    woken = wakes_at(shop, "2025-01-10 06:20")
    assert woken == at("2025-01-10 07:00") + clock._AHEAD * timedelta(hours=1)


def test_a_delivery_far_ahead_is_waited_for_though_others_are_not(shop: Shop) -> None:
    """The hours between are none of a reader's that needs the same hour."""
    shop.define(HOURS)
    deliver(shop, "clicks", "2025-01-10T05")
    deliver(shop, "clicks", "2025-01-11T11")
    assert wakes_at(shop, "2025-01-10 06:20") == at("2025-01-11 12:00")


def test_days_of_a_zone_end_at_its_midnight(shop: Shop) -> None:
    """A window has a day whatever was delivered for it; in summer London is an hour ahead."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=Daily(tz="Europe/London"))

        @asset(partitions=Daily(tz="Europe/London"), inputs={"orders": trailing(days=3)})
        def lately(orders: pl.DataFrame) -> pl.DataFrame:
            return orders.select("v")
    """)
    deliver(shop, "orders", "2025-07-01")
    assert wakes_at(shop, "2025-07-02 06:00") == at("2025-07-02 23:00")


def test_hours_that_make_up_a_day_wake_its_reader_once_a_day(shop: Shop) -> None:
    """Each of them changes nothing for it."""
    shop.define("""
        clicks = source("clicks", files="clicks/{partition}.csv", partitions=Hourly())

        @asset(partitions=Daily(), inputs={"clicks": parts()})
        def of_day(clicks: pl.DataFrame) -> pl.DataFrame:
            return clicks.select("v")
    """)
    deliver(shop, "clicks", "2025-01-10T00")
    assert wakes_at(shop, "2025-01-10 06:20") == at("2025-01-11 00:00")


# -- what is expected, and due

DUE = """
    rates = source("rates", files="rates/{partition}.csv", partitions=Daily(tz="Europe/Berlin"),
                   expected=Calendar("MON-FRI"), due="16:30 Europe/Berlin")

    @asset(partitions=Daily(tz="Europe/Berlin"))
    def checked(rates: bytes) -> str:
        return rates.decode()
"""


def test_a_delivery_is_due(shop: Shop) -> None:
    """From then on it is missing, and its readers are told so."""
    shop.define(DUE)
    deliver(shop, "rates", "2025-01-09")
    assert wakes_at(shop, "2025-01-10 08:00") == at("2025-01-10 15:30")


def test_a_delivery_that_came_before_it_was_due_is_not_waited_for(shop: Shop) -> None:
    """Also where the plan before had still waited for it: what comes next is the end of its day."""
    shop.define(DUE)
    deliver(shop, "rates", "2025-01-09")
    wakes_at(shop, "2025-01-10 08:00")
    deliver(shop, "rates", "2025-01-10")
    assert wakes_at(shop, "2025-01-10 14:00") == at("2025-01-10 23:00")


def test_a_delivery_becomes_expected_as_its_period_begins(shop: Shop) -> None:
    """On a Saturday that is Monday's, at Berlin's midnight; the days of a weekend, and of the past, go unnoticed."""
    shop.define(DUE)
    deliver(shop, "rates", "2024-09-02", "2025-01-09", "2025-01-10")
    assert wakes_at(shop, "2025-01-11 12:00") == at("2025-01-12 23:00")


def test_a_source_that_has_never_delivered_is_not_expected(shop: Shop) -> None:
    """Its first file begins it, and the clock alone brings none."""
    shop.define(DUE)
    assert wakes_at(shop, "2025-01-10 08:00") is None


def test_a_source_with_a_start_is_expected_from_then_on(shop: Shop) -> None:
    """Though it has never delivered, and that is far ahead."""
    shop.define(DUE.replace('tz="Europe/Berlin")', 'start="2026-01-08")').replace(" Europe/Berlin", ""))
    assert wakes_at(shop, "2025-01-10 08:00") == at("2026-01-08 00:00")


def test_what_another_pipeline_expects_is_known_to_its_readers(shop: Shop) -> None:
    """They have a clock of their own."""
    shop.define(DUE)
    deliver(shop, "rates", "2025-01-09", "2025-01-10")
    wakes_at(shop, "2025-01-11 12:00")
    shop.define(
        """
        @asset(partitions=Daily(tz="Europe/Berlin"), inputs={"rates": ref("rates", same())})
        def read(rates: bytes) -> str:
            return rates.decode()
        """,
        name="other",
    )
    assert wakes_at(shop, "2025-01-11 12:00", "other") == at("2025-01-12 23:00")


# -- a partition that is closed

CLOSING = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)
    rates = source("rates", files="rates/{partition}.csv", partitions=DAYS, expected=Calendar())

    @asset(partitions=DAYS, inputs={"rates": last_known(days=3)}, closes_after="36 hours")
    def prices(orders: bytes, rates: bytes) -> str:
        return (orders + rates).decode()
"""


def test_a_provisional_partition_is_closed_just_after_its_time(shop: Shop) -> None:
    """The instant itself is the last at which it is open: from the next on it counts as final for its readers."""
    shop.define(CLOSING)
    deliver(shop, "orders", "2025-01-07", "2025-01-08")
    deliver(shop, "rates", "2025-01-07")
    closing = at("2025-01-10 12:00")
    assert wakes_at(shop, "2025-01-10 06:00") == closing + MOMENT
    assert shop.provisional("prices") == {"2025-01-08": {"rates 2025-01-08"}}
    assert wakes_at(shop, "2025-01-10 12:00") == closing + MOMENT
    assert wakes_at(shop, "2025-01-10 12:00:00.000001") == at("2025-01-11 00:00")


def test_what_is_final_and_in_order_is_closed_unnoticed(shop: Shop) -> None:
    """Its readers see the same before and after."""
    shop.define(CLOSING)
    deliver(shop, "orders", "2025-01-07", "2025-01-08")
    deliver(shop, "rates", "2025-01-07", "2025-01-08")
    assert wakes_at(shop, "2025-01-10 06:00") == at("2025-01-10 12:00") + MOMENT, "nobody knows how they come out"
    assert wakes_at(shop, "2025-01-10 06:00") == at("2025-01-11 00:00")


def test_what_fails_in_the_run_that_follows_is_closed_in_time_too(shop: Shop) -> None:
    """The plan cannot know yet how its items come out: each of them may turn out provisional or fail."""
    shop.define(CLOSING)
    deliver(shop, "orders", "2025-01-08")
    deliver(shop, "rates", "2025-01-08")
    wakes_at(shop, "2025-01-10 06:00")
    shop.deliver("orders", "2025-01-08", "v\ncorrected\n")
    shop.breaks("prices", "2025-01-08")
    assert wakes_at(shop, "2025-01-10 07:00") == at("2025-01-10 12:00") + MOMENT
    assert shop.provisional("prices") == {"2025-01-08": {"prices 2025-01-08"}}


# -- what is not of time

TOTALS = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)
    shops = source("shops", files="shops/{partition}.csv", partitions=Static(["uk", "eu"]))
    notes = source("notes", files="notes.csv", partitions=Unpartitioned())

    @asset(partitions=Static(["uk", "eu"]))
    def named(shops: bytes) -> str:
        return shops.decode()

    @asset(partitions=Unpartitioned())
    def noted(notes: bytes) -> str:
        return notes.decode()
"""
TOTAL = """
    @asset(inputs={"orders": parts()})
    def total(orders: pl.DataFrame) -> pl.DataFrame:
        return orders.select("v")
"""


def test_without_time_the_clock_changes_nothing(shop: Shop) -> None:
    """Never: also where somebody delivers a source of time that nobody reads."""
    shop.define(TOTALS)
    deliver(shop, "orders", "2025-01-09", "2025-01-10")
    deliver(shop, "shops", "uk", "eu")
    assert wakes_at(shop, "2025-01-10 06:00") is None


def test_a_total_sees_a_day_that_was_delivered_before_it_ended(shop: Shop) -> None:
    """A reader that is not of time reads what has ended."""
    shop.define(TOTALS + TOTAL)
    deliver(shop, "orders", "2025-01-09", "2025-01-10")
    assert wakes_at(shop, "2025-01-10 06:00") == at("2025-01-11 00:00")


# -- nothing changes before


@dataclass(frozen=True)
class Story:
    """A pipeline, and what is delivered to it when.

    Attributes:
        text: the definitions.
        begins: when it is first run.
        ends: when it is looked at no longer.
        delivered: (instant, source, key), in time order.
        needless: when it is woken though a full verification finds nothing new.
        breaks: (asset, key) that fails.

    """

    text: str
    begins: str
    ends: str
    delivered: list[tuple[str, str, str]]
    needless: list[str] = field(default_factory=list)
    breaks: list[tuple[str, str]] = field(default_factory=list)


STORIES = {
    "hourly": Story(
        HOURS
        + """
    @asset(partitions=Hourly(), inputs={"clicks": trailing(hours=3)})
    def lately(clicks: pl.DataFrame) -> pl.DataFrame:
        return clicks.select("v")
        """,
        "2025-01-10 04:10",
        "2025-01-10 12:00",
        [
            ("2025-01-10 04:10", "clicks", "2025-01-10T03"),
            ("2025-01-10 05:20", "clicks", "2025-01-10T05"),
            ("2025-01-10 09:00", "clicks", "2025-01-10T10"),
        ],
    ),
    "hourly, with a calendar": Story(
        """
    clicks = source("clicks", files="clicks/{partition}.csv", partitions=Hourly(), expected=Calendar("MON-FRI"),
                    due="90 minutes")

    @asset(partitions=Hourly(), inputs={"clicks": last_known(hours=2)}, closes_after="4 hours")
    def counted(clicks: pl.DataFrame) -> pl.DataFrame:
        return clicks

    @asset(partitions=Hourly(), inputs={"counted": trailing(hours=3)}, closes_after="2 hours")
    def lately(counted: pl.DataFrame) -> pl.DataFrame:
        return counted.select("v")
        """,
        "2025-01-10 18:10",
        "2025-01-11 06:00",
        [
            ("2025-01-10 18:10", "clicks", "2025-01-10T17"),
            ("2025-01-10 19:20", "clicks", "2025-01-10T19"),
            ("2025-01-10 21:40", "clicks", "2025-01-10T20"),
        ],
        # Hours that nobody reads are closed while they are provisional: their marks stay.
        needless=["2025-01-10 21:00:00.000001", "2025-01-11 00:00:00.000001", "2025-01-11 01:00:00.000001"],
        breaks=[("lately", "2025-01-10T19")],
    ),
    "daily": Story(
        """
    orders = source("orders", files="orders/{partition}.csv", partitions=Daily(tz="Europe/London"),
                    expected=Calendar("SUN-FRI", closed=["01-08"]), due="1 day 02:00 Europe/London")
    rates = source("rates", files="rates/{partition}.csv", partitions=Daily(tz="Europe/London"),
                   expected=Calendar("MON-FRI"), due="16:30 Europe/Berlin")

    @asset(partitions=Daily(tz="Europe/London"))
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=Daily(tz="Europe/London"), inputs={"base": previous(), "lines": trailing(days=3)},
           closes_after="40 hours")
    def base(lines: pl.DataFrame, base: pl.DataFrame | None) -> pl.DataFrame:
        return lines.select("v")

    @asset(partitions=Daily(tz="Europe/London"), inputs={"rates": last_known(days=3)}, closes_after="2 days")
    def prices(base: pl.DataFrame, rates: bytes) -> pl.DataFrame:
        return base
        """,
        "2025-01-05 12:00",
        "2025-01-12 06:00",
        [
            ("2025-01-05 12:00", "orders", "2025-01-03"),
            ("2025-01-05 12:00", "rates", "2025-01-03"),
            ("2025-01-06 01:00", "orders", "2025-01-05"),
            ("2025-01-06 16:00", "rates", "2025-01-06"),
            ("2025-01-07 01:30", "orders", "2025-01-06"),
            ("2025-01-08 09:00", "orders", "2025-01-07"),
            ("2025-01-09 17:00", "rates", "2025-01-09"),
            ("2025-01-09 17:00", "rates", "2025-01-10"),
        ],
        # Likewise, of prices.
        needless=["2025-01-10 00:00:00.000001", "2025-01-11 00:00:00.000001"],
        breaks=[("prices", "2025-01-06")],
    ),
    "weekly": Story(
        """
    orders = source("orders", files="orders/{partition}.csv", partitions=Daily(tz="America/New_York"),
                    expected=Calendar("MON-SAT"), due="2 days")
    plans = source("plans", files="plans/{partition}.csv", partitions=Weekly(tz="America/New_York"))

    @asset(partitions=Weekly(tz="America/New_York"), inputs={"orders": parts(early=True)}, closes_after="3 days")
    def weeks(orders: pl.DataFrame, plans: bytes) -> pl.DataFrame:
        return orders.select("v")

    @asset(inputs={"orders": latest(), "weeks": parts()})
    def overview(orders: bytes, weeks: pl.DataFrame) -> pl.DataFrame:
        return weeks.select("v")
        """,
        "2025-02-24 12:00",
        "2025-03-20 00:00",
        [
            ("2025-02-24 12:00", "orders", "2025-02-20"),
            ("2025-02-24 12:00", "plans", "2025-02-17"),
            ("2025-02-24 12:00", "plans", "2025-03-03"),
            ("2025-03-04 12:00", "orders", "2025-03-04"),
            ("2025-03-08 12:00", "orders", "2025-03-07"),
        ],
        # A Saturday ends of which nothing was delivered, and nothing is due yet; the Sunday is not expected.
        needless=["2025-03-09 05:00"],
    ),
}


def _lookouts(first: datetime, end: datetime) -> set[datetime]:
    """Return instants after the first and before the end: the very next, the very last, and one between."""
    return {first + MOMENT, first + (end - first) / 2, end - MOMENT} - {first, end}


def _full(shop: Shop, instant: datetime) -> Plan:
    shop.as_of = instant
    return shop.planned(verify=True)


def told(shop: Shop, story: Story) -> tuple[int, list[datetime]]:
    """Play a story: run at each delivery and whenever the clock wakes; hold against full verifications between.

    A plan that nothing runs for knows best when the clock changes something: nothing does before. The plan before,
    whose items may have come out in any way, wakes then or earlier.

    Returns:
        How often the clock has woken it, and at which instants a full verification had nothing to say then.

    """
    shop.define(story.text)
    for place in story.breaks:
        shop.breaks(*place)
    now, end, waiting = at(story.begins), at(story.ends), list(story.delivered)
    woken: int = 0
    needless: list[datetime] = []
    while now < end:
        while waiting and at(waiting[0][0]) <= now:
            _, source, key = waiting.pop(0)
            deliver(shop, source, key)
        shop.as_of = now
        shop.run()
        assert shop.plan is not None
        settled = _full(shop, now)
        wakes, changes = shop.plan.wakes_at, shop.planned().wakes_at
        assert wakes is not None
        assert changes is not None
        assert now < wakes <= changes
        until = min(changes, at(waiting[0][0]) if waiting else end)
        for instant in _lookouts(now, until):
            assert differences(_full(shop, instant), settled) == [], f"at {instant}, after {now} and before {changes}"
        if until == changes and not differences(_full(shop, changes), settled):
            needless.append(changes)
        woken += wakes <= until
        now = min(wakes, until)
    return woken, needless


@pytest.mark.parametrize("name", STORIES)
def test_the_clock_changes_nothing_before_a_plan_wakes(shop: Shop, name: str) -> None:
    """At no instant before has a full verification anything to say; at that instant it has, but for what is named."""
    woken, needless = told(shop, STORIES[name])
    assert woken > 5
    assert needless == [at(each) for each in STORIES[name].needless]
