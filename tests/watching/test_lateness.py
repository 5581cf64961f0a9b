"""A source is late when it is expected, due, not there, and read by somebody: no sooner, and no longer."""

import pytest

from tests.incidents.story import notices_of, open_incidents
from tests.scenario import Shop, on_both_ledgers
from tests.watching.watched import look_for_late_ones
from tidemark.incidents.conditions import Detail
from tidemark.interventions import declare_absent

SHOP = """
    rates = source("rates", files="rates/{partition}.csv", partitions=Daily(tz="Europe/London"), owner="treasury",
                   expected=Calendar("MON-FRI"), due="16:30 Europe/Berlin")

    @asset(partitions=Daily(tz="Europe/London"), inputs={"rates": last_known(days=7)})
    def prices(rates: str) -> str:
        return rates
"""
# 2025-01-06 is a Monday.
BEFORE, AFTER = "2025-01-08T15:29", "2025-01-08T15:31"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop that knows its rates up to Tuesday, as of Wednesday morning."""
    shop.define(SHOP)
    shop.deliver_days("rates", "2025-01-06", "2025-01-07")
    shop.now("2025-01-08T06:00")
    shop.run()
    return shop


@on_both_ledgers
def test_a_source_is_late_from_its_due_time_until_it_comes(shop: Shop) -> None:
    """Nothing before; one alert then, however often one looks; one all-clear when a plan has seen the file."""
    shop.define(SHOP)
    shop.deliver_days("rates", "2025-01-06", "2025-01-07")
    shop.now("2025-01-08T06:00")
    shop.run()
    assert look_for_late_ones(shop, BEFORE) == []
    assert look_for_late_ones(shop, AFTER) == ["incident 1 opened (source_late): rates 2025-01-08: is late"]
    assert look_for_late_ones(shop, AFTER) == []
    one = open_incidents(shop)["rates source_late"]
    detail = Detail.from_json(one.detail)
    assert (one.pipeline, one.owner, one.severity, one.happened) == ("shop", "treasury", "warning", 1)
    assert detail.why == "rates/2025-01-08.csv was due 2025-01-08 15:30 UTC and is not in the landing zone"
    assert detail.instead == "the newest delivery is that of 2025-01-07"
    assert [each.asset for each in detail.reach] == ["prices"]
    shop.deliver_days("rates", "2025-01-08")
    shop.now("2025-01-08T16:00")
    shop.run()
    assert look_for_late_ones(shop, "2025-01-08T16:00") == [
        "incident 1 resolved (source_late): rates 2025-01-08: is late"
    ]
    assert notices_of(shop) == ["opened source_late", "resolved source_late"]


def test_a_file_that_no_plan_has_seen_yet_is_not_late(opened: Shop) -> None:
    """A pipeline that runs in the morning alone finds it then."""
    opened.deliver_days("rates", "2025-01-08")
    assert look_for_late_ones(opened, AFTER) == []


def test_more_days_are_one_incident_that_grows(opened: Shop) -> None:
    """The second day is an update, and a part that a plan has seen leaves the rest."""
    look_for_late_ones(opened, AFTER)
    assert look_for_late_ones(opened, "2025-01-09T15:31") == [
        "incident 1 updated (source_late): rates 2025-01-09 and 1 more: is late"
    ]
    opened.deliver_days("rates", "2025-01-08")
    opened.now("2025-01-09T06:00")
    opened.run()
    assert look_for_late_ones(opened, "2025-01-09T15:31") == []
    assert open_incidents(opened)["rates source_late"].detail["partitions"] == ["2025-01-09"]


def test_a_file_of_the_right_name_is_no_all_clear_before_a_plan_has_seen_it(opened: Shop) -> None:
    """It may be taken away again: that is one incident, and not two."""
    look_for_late_ones(opened, AFTER)
    opened.deliver_days("rates", "2025-01-08")
    assert look_for_late_ones(opened, AFTER) == []
    detail = open_incidents(opened)["rates source_late"].detail
    assert detail["why"] == (
        "rates/2025-01-08.csv was due 2025-01-08 15:30 UTC and is there, but no run has looked at it yet"
    )
    (opened.landing / "rates" / "2025-01-08.csv").unlink()
    assert look_for_late_ones(opened, AFTER) == []
    assert notices_of(opened) == ["opened source_late"]


def test_what_was_declared_absent_is_not_late(opened: Shop) -> None:
    """A declaration is the all-clear."""
    look_for_late_ones(opened, AFTER)
    with opened.deployment() as deployment:
        pipeline = opened.pipelines["shop"]
        declare_absent(deployment, pipeline, "rates", "2025-01-08", why="a day off", actor="tester")
    assert look_for_late_ones(opened, AFTER) == ["incident 1 resolved (source_late): rates 2025-01-08: is late"]


def test_what_was_delivered_and_rejected_is_not_late(opened: Shop) -> None:
    """It is another incident: of what came, not of what did not."""
    opened.deliver("rates", "2025-01-08", b"\xff\xfe\x00")
    opened.now("2025-01-08T16:00")
    opened.run()
    assert opened.verdict is not None
    assert [each.what for each in opened.verdict.troubles] == ["rejected"]
    (opened.landing / "rates" / "2025-01-08.csv").rename(opened.landing / "rates" / "2025-01-08.bad")
    assert look_for_late_ones(opened, AFTER) == []


def test_a_day_that_the_calendar_leaves_out_is_never_late(opened: Shop) -> None:
    """No rates on a weekend."""
    opened.deliver_days("rates", "2025-01-08", "2025-01-09", "2025-01-10")
    assert look_for_late_ones(opened, "2025-01-13T15:29") == []


UNREAD = """
    rates = source("rates", files="rates/{partition}.csv", partitions=DAYS, expected=Calendar(), due="1 day 02:00")
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders
"""


def test_what_nobody_reads_is_late_for_nobody(shop: Shop) -> None:
    """It is announced when somebody needs it: here from the edit on that reads it."""
    shop.define(UNREAD)
    shop.deliver_days("rates", "2025-01-06")
    shop.deliver_days("orders", "2025-01-06")
    shop.now("2025-01-07T06:00")
    shop.run()
    assert look_for_late_ones(shop, "2025-01-08T02:01") == []
    shop.edit("def lines(orders: str) -> str:", "def lines(orders: str, rates: str | None) -> str:")
    shop.run()
    assert look_for_late_ones(shop, "2025-01-08T02:01") == [
        "incident 1 opened (source_late): rates 2025-01-07: is late"
    ]
    shop.define(UNREAD.replace("def lines", "def others"))
    shop.run()
    look_for_late_ones(shop, "2025-01-08T02:01")
    assert open_incidents(shop) == {}, "who has read it is no longer there"


def test_a_due_time_that_the_clock_skips_moves_forward(shop: Shop) -> None:
    """On 30 March 2025 there was no half past one in London: due was half past two there, half past one in UTC."""
    shop.define("""
        rates = source("rates", files="rates/{partition}.csv", partitions=Daily(tz="Europe/London"),
                       expected=Calendar(), due="1 day 01:30 Europe/London")

        @asset(partitions=Daily(tz="Europe/London"))
        def prices(rates: str) -> str:
            return rates
    """)
    shop.deliver_days("rates", "2025-03-28")
    shop.now("2025-03-29T06:00")
    shop.run()
    assert look_for_late_ones(shop, "2025-03-30T01:29") == []
    assert look_for_late_ones(shop, "2025-03-30T01:31") == [
        "incident 1 opened (source_late): rates 2025-03-29: is late"
    ]


def test_where_time_stands_still_nothing_becomes_late(opened: Shop) -> None:
    """TIDEMARK_AS_OF, or the newest plan's instant if that is later, is what the watch takes for now too."""
    from tidemark.watching.lateness import late_sources

    opened.more["TIDEMARK_AS_OF"] = "2025-01-07T06:00Z"
    with opened.deployment() as deployment:
        assert late_sources(deployment).conditions == ()
    opened.now("2025-01-08T16:00")
    opened.run()
    with opened.deployment() as deployment:
        assert [each.partitions for each in late_sources(deployment).conditions] == [("2025-01-08",)]


def test_without_a_start_a_source_is_expected_from_its_first_file_on(shop: Shop) -> None:
    """Before it there is nothing to be late."""
    shop.define(SHOP)
    shop.now("2025-01-08T16:00")
    shop.run()
    assert look_for_late_ones(shop, AFTER) == []
