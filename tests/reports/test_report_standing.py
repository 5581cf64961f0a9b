"""Claims about what the ledger adds to a report when it is shown: it is true then, and changes no figure."""

import pytest

from tests.incidents.story import told
from tests.reports.reporting import BEFORE, DAY, open_for_business, rendered
from tests.scenario import Shop
from tidemark.errors import UsageError
from tidemark.ledger import notices
from tidemark.reports import announce, days_of, reports

BAD = "k,v\na\n"


def test_a_report_of_which_nothing_is_missing_is_final(shop: Shop) -> None:
    report = rendered(open_for_business(shop))
    assert report.standing.is_final
    assert "Final: nothing that it is made from is missing." in report.text
    assert "provisional" not in report.subject + report.text.lower()


def test_a_provisional_report_says_what_has_not_come_and_is_final_once_it_has(shop: Shop) -> None:
    """With the same figures: the mark is no part of them."""
    open_for_business(shop, days=(DAY,))
    shop.now("2025-01-08T06:00")
    shop.deliver("orders", "2025-01-07", "k,v\na,1\n")
    shop.edit('expected=Calendar("MON-SUN")', 'expected=Calendar("MON-SUN"), due="20:00"')
    shop.run()
    shop.deliver("orders", "2025-01-09", "k,v\na,1\n")
    shop.now("2025-01-10T06:00")
    shop.run()
    before = rendered(shop, "2025-01-09")
    version = shop.versions("takings")["2025-01-09"]
    assert before.subject.endswith("[provisional]")
    assert before.standing.lacks == ("orders 2025-01-08 was due at 2025-01-08 20:00 UTC and has not come",)
    for said in (before.text, before.body):
        assert "Provisional" in said
        assert "2025-01-08 20:00 UTC" in said

    shop.deliver("orders", "2025-01-08", "k,v\na,1\n")
    shop.run()
    after = rendered(shop, "2025-01-09")
    assert after.standing.is_final
    assert shop.versions("takings")["2025-01-09"] == version
    assert after.pictures == before.pictures


def test_a_rejected_delivery_is_told_without_its_content(shop: Shop) -> None:
    open_for_business(shop)
    shop.deliver("orders", BEFORE, BAD)
    shop.run()
    (said,) = rendered(shop).standing.lacks
    assert said == f"orders {BEFORE} was delivered and did not pass its checks"


def test_a_step_that_failed_is_told(shop: Shop) -> None:
    open_for_business(shop)
    shop.breaks("lines", BEFORE)
    shop.deliver("orders", BEFORE, "k,v\na,2\n")
    shop.run()
    assert f"lines {BEFORE} could not be computed" in rendered(shop).standing.lacks


def test_a_report_that_could_not_be_made_anew_says_so(shop: Shop) -> None:
    """The last good one is shown, and nobody takes it for news."""
    open_for_business(shop)
    shop.breaks("takings", DAY)
    shop.deliver("orders", DAY, "k,v\na,2\n")
    shop.run()
    assert rendered(shop).standing.lacks == ("It could not be made anew: these are the figures from before",)


def test_many_that_are_missing_are_one_sentence() -> None:
    from tidemark.reports.standing import _listed

    assert _listed("abc") == "a, b, c"
    assert _listed("abcde") == "a, b, c and 2 more"


def test_open_incidents_are_told_and_change_no_figure(shop: Shop) -> None:
    """They come and go with the report standing as it is: nothing runs, and the stored text is the same."""
    open_for_business(shop)
    quiet, version = rendered(shop), shop.versions("takings")[DAY]
    assert "Open incidents\n==============\n\nNone.\n" in quiet.text
    shop.deliver("orders", "2025-01-04", BAD)
    assert told(shop)
    loud = rendered(shop)
    (incident,) = loud.standing.incidents
    assert (incident.asset, incident.pipeline) == ("orders", "shop")
    for said in (" ".join(loud.text.split()), loud.body):
        assert incident.severity in said
        assert f"{incident.opened_at:%Y-%m-%d %H:%M} UTC" in said
    assert shop.versions("takings")[DAY] == version
    assert loud.subject == quiet.subject
    assert loud.pictures == quiet.pictures

    shop.deliver("orders", "2025-01-04", "k,v\na,1\n")
    told(shop)
    assert rendered(shop).standing.incidents == ()


def test_incidents_of_what_a_report_is_not_made_from_are_not_its_own(shop: Shop) -> None:
    open_for_business(shop)
    shop.define(
        """
        others = source("others", files="others/{partition}.csv", partitions=Daily())

        @asset(partitions=Daily())
        def apart(others: pl.DataFrame) -> pl.DataFrame:
            return others
        """,
        "apart",
    )
    shop.deliver("others", DAY, BAD)
    assert told(shop, "apart")
    assert rendered(shop).standing.incidents == ()


def test_only_what_a_pipeline_names_is_a_report(shop: Shop) -> None:
    open_for_business(shop)
    with shop.deployment() as deployment:
        assert reports(deployment) == {"takings": "shop"}
        assert days_of(deployment, "takings") == {DAY: True, BEFORE: True}
        with pytest.raises(UsageError, match="there is no report 'lines'"):
            days_of(deployment, "lines")


@pytest.mark.parametrize("day", ["2025-01-02", "2030-01-01"])
def test_a_day_without_a_report_is_said(shop: Shop, day: str) -> None:
    open_for_business(shop)
    with pytest.raises(UsageError, match=f"there is no takings of {day}: 'tidemark explain takings {day}' says why"):
        rendered(shop, day)


# --- the outbox


def announced(shop: Shop) -> list[str]:
    with shop.deployment() as deployment:
        return announce(deployment, "takings")


def test_the_newest_report_is_announced_once_however_often_it_is_made(shop: Shop) -> None:
    open_for_business(shop)
    assert announced(shop) == [DAY]
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        (notice,) = [each for each in notices.unrouted(connection, 100) if each.kind == notices.REPORT]
    assert notice.payload == {"asset": "takings", "partition": DAY}
    assert (notice.topic, notice.pipeline, notice.owner) == ("takings", "shop", "sales")
    shop.force("takings", DAY)
    assert announced(shop) == []


def test_a_repaired_older_day_is_announced_to_nobody(shop: Shop) -> None:
    open_for_business(shop)
    announced(shop)
    shop.force("takings", BEFORE)
    assert announced(shop) == []


def reported_on(shop: Shop, now: str, *days: str) -> list[str]:
    """What is announced when some days' orders have come by an instant."""
    for day in days:
        shop.deliver("orders", day, "k,v\na,1\n")
    shop.now(now)
    shop.run()
    return announced(shop)


def open_by_the_day(shop: Shop) -> None:
    """A shop whose report of a day waits for that day's orders, and of which the first was announced."""
    open_for_business(shop)
    shop.edit('inputs={"lines": trailing(days=2)}, ', "")
    shop.edit('"pl.DataFrame | None"', "pl.DataFrame")
    shop.run()
    assert announced(shop) == [DAY]


def test_a_day_that_came_too_late_for_its_run_is_announced_with_the_next(shop: Shop) -> None:
    open_by_the_day(shop)
    assert reported_on(shop, "2025-01-08T06:00") == []
    assert reported_on(shop, "2025-01-09T06:00", "2025-01-07", "2025-01-08") == ["2025-01-07", "2025-01-08"]
    assert announced(shop) == []


def test_a_day_that_came_after_the_next_one_is_announced_too(shop: Shop) -> None:
    open_by_the_day(shop)
    assert reported_on(shop, "2025-01-09T06:00", "2025-01-08") == ["2025-01-08"]
    assert reported_on(shop, "2025-01-09T08:00", "2025-01-07") == ["2025-01-07"]


def test_of_many_new_days_the_last_three_are_announced(shop: Shop) -> None:
    """Who fills in a week, or was away for one, gets three mails and not seven."""
    open_for_business(shop)
    announced(shop)
    days = [f"2025-01-{day:02}" for day in range(7, 13)]
    assert reported_on(shop, "2025-01-13T06:00", *days) == days[-3:]
    assert announced(shop) == []


def test_a_branch_announces_nothing(shop: Shop) -> None:
    open_for_business(shop)
    shop.environment = "trial"
    assert announced(shop) == []
