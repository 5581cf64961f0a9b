"""Claims about calendars of expected deliveries, due times and durations."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tidemark.calendars import Calendar, Due, parse_duration
from tidemark.errors import DefinitionError
from tidemark.hashing import digest

SHOP = Calendar("SUN-FRI", holidays="GB-ENG", closed=["12-24..01-03", "easter"])
TARGET = Calendar("MON-FRI", holidays="ECB")
LONDON = ZoneInfo("Europe/London")


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(step) for step in range((last - first).days + 1)]


@pytest.mark.parametrize(("source", "calendar"), [("orders", SHOP), ("fx_rates", TARGET)])
def test_the_calendars_of_the_reference_product_fit_seven_months_of_real_deliveries(
    real_deliveries: Path, source: str, calendar: Calendar
) -> None:
    """Every expected day has a file, and every file's day is expected."""
    delivered = {date.fromisoformat(file.stem) for file in (real_deliveries / source).glob("*.csv")}
    period = days(date(2010, 12, 1), date(2011, 6, 30))
    assert {day for day in period if calendar.expects(day)} == delivered.intersection(period)
    assert len(delivered.intersection(period)) > 140


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MON-SUN", "0123456"),
        ("MON-FRI", "01234"),
        ("SUN-FRI", "012346"),
        ("SAT-SUN", "56"),
        ("WED", "2"),
        ("MON,WED-THU, SUN", "0236"),
    ],
)
def test_weekday_ranges_wrap_over_the_end_of_the_week(text: str, expected: str) -> None:
    """Monday 2011-01-03 to Sunday 2011-01-09."""
    week = days(date(2011, 1, 3), date(2011, 1, 9))
    assert "".join(str(day.weekday()) for day in week if Calendar(text).expects(day)) == expected


def test_holidays_are_those_of_the_country_or_market_and_of_no_other() -> None:
    """St Andrew's Day is off in Scotland alone, the spring bank holiday in England but not for TARGET."""
    st_andrew, spring = date(2010, 11, 30), date(2011, 5, 30)
    assert not Calendar(holidays="GB-SCT").expects(st_andrew)
    assert Calendar(holidays="GB-ENG").expects(st_andrew)
    assert Calendar(holidays="GB").expects(st_andrew)
    assert not Calendar(holidays="GB-ENG").expects(spring)
    assert Calendar(holidays="ECB").expects(spring)


@pytest.mark.parametrize(
    ("closed", "off", "on"),
    [
        ("12-24..01-03", ["2010-12-24", "2010-12-31", "2011-01-01", "2011-01-03"], ["2010-12-23", "2011-01-04"]),
        ("07-04..07-06", ["2011-07-04", "2012-07-06"], ["2011-07-03", "2011-07-07"]),
        ("12-24", ["2010-12-24", "2015-12-24"], ["2010-12-23", "2010-12-25"]),
        ("02-29", ["2012-02-29"], ["2011-02-28", "2011-03-01"]),
        ("2011-04-29", ["2011-04-29"], ["2012-04-29"]),
        ("2010-12-31..2011-01-02", ["2010-12-31", "2011-01-02"], ["2010-12-30", "2011-01-03", "2011-12-31"]),
        ("easter", ["2011-04-22", "2011-04-24", "2011-04-25", "2013-03-29"], ["2011-04-21", "2011-04-26"]),
    ],
)
def test_closed_days_may_be_yearly_once_or_easter(closed: str, off: list[str], on: list[str]) -> None:
    """Both ends of a range are included; a yearly one may go over the turn of the year."""
    calendar = Calendar(closed=[closed])
    assert [day for day in off if calendar.expects(date.fromisoformat(day))] == []
    assert [day for day in on if not calendar.expects(date.fromisoformat(day))] == []


def test_a_datetime_is_asked_for_its_calendar_day() -> None:
    """A datetime never equals a date, so a holiday would be missed in silence."""
    assert not TARGET.expects(datetime(2011, 4, 22, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("SUN-FRY",), {}, "'SUN-FRY' is no weekday"),
        (("",), {}, "write 'MON-FRI'"),
        ((), {"closed": ["13-01"]}, r"closed=\['13-01'\]"),
        ((), {"closed": ["12-24..2011-01-03"]}, "write every year's '12-24'"),
        ((), {"closed": ["2011-01-03..2010-12-24"]}, "swap the two dates"),
        ((), {"closed": ["Easter Monday"]}, "'easter'"),
        ((), {"closed": "easter"}, r"closed=\['easter'\]"),
        ((), {"holidays": "Great Britain"}, "'GB-ENG'"),
    ],
)
def test_a_calendar_that_cannot_be_read_is_refused_where_it_is_written(
    arguments: tuple[str, ...], options: dict[str, list[str]], said: str
) -> None:
    """The message holds what was written and how to mend it."""
    with pytest.raises(DefinitionError, match=said):
        Calendar(*arguments, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["QQ", "GB-XYZ", "NOSUCH"])
def test_holidays_that_the_package_does_not_know_are_a_definition_error(name: str) -> None:
    """Found out at the first question."""
    with pytest.raises(DefinitionError, match=f"'{name}'.*does not know it.*'GB-ENG'"):
        Calendar(holidays=name).expects(date(2011, 1, 5))


def test_equal_calendars_are_equal_values_and_any_difference_changes_the_digest() -> None:
    """A calendar is hashable, and its canonical form can be digested."""
    same = Calendar("SUN-FRI", holidays="GB-ENG", closed=("12-24..01-03", "easter"))
    assert (same, hash(same), digest(same.canonical())) == (SHOP, hash(SHOP), digest(SHOP.canonical()))
    others = [
        Calendar("MON-FRI", holidays="GB-ENG", closed=["12-24..01-03", "easter"]),
        Calendar("SUN-FRI", holidays="GB", closed=["12-24..01-03", "easter"]),
        Calendar("SUN-FRI", holidays="GB-ENG", closed=["12-24..01-03"]),
        Calendar("SUN-FRI", closed=["12-24..01-03", "easter"]),
    ]
    assert len({digest(calendar.canonical()) for calendar in [SHOP, *others]}) == 5


def test_defining_a_calendar_does_not_import_the_holidays_package() -> None:
    """The DAG processor and every worker read definitions; only a plan asks questions."""
    code = (
        "import sys; from tidemark.calendars import Calendar, Due\n"
        "Calendar('SUN-FRI', holidays='GB-ENG', closed=['easter']).canonical(); Due.parse('16:30 Europe/Berlin')\n"
        "print([name for name in ('holidays', 'dateutil') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("1 day 02:00 Europe/London", date(2011, 1, 5), "2011-01-06T02:00+00:00"),
        ("1 day 02:00 Europe/London", date(2011, 6, 5), "2011-06-06T01:00+00:00"),
        ("16:30 Europe/Berlin", date(2011, 1, 5), "2011-01-05T15:30+00:00"),
        ("90 minutes", datetime(2011, 1, 5, 6, tzinfo=UTC), "2011-01-05T07:30+00:00"),
        ("2 days", date(2011, 1, 5), "2011-01-07T00:00+00:00"),
        ("1 week 1 day 6 hours", date(2011, 1, 5), "2011-01-13T06:00+00:00"),
        ("2 days Europe/London", date(2011, 6, 5), "2011-06-06T23:00+00:00"),
    ],
)
def test_a_due_time_is_counted_from_the_start_of_the_period_in_its_zone(text: str, start: date, expected: str) -> None:
    """A date stands for its midnight in the due's zone."""
    assert Due.parse(text).at(start) == datetime.fromisoformat(expected)
    assert Due.parse(text).at(start).tzinfo is UTC


def test_a_local_time_that_does_not_exist_moves_forward() -> None:
    """London's clocks went from 01:00 to 02:00 on 2011-03-27: 01:30 became 02:30."""
    due = Due.parse("01:30 Europe/London").at(date(2011, 3, 27))
    assert due.astimezone(LONDON).replace(tzinfo=None) == datetime(2011, 3, 27, 2, 30)


def test_of_a_local_time_that_comes_twice_the_first_counts() -> None:
    """London's clocks went from 02:00 back to 01:00 on 2011-10-30."""
    assert Due.parse("01:30 Europe/London").at(date(2011, 10, 30)) == datetime(2011, 10, 30, 0, 30, tzinfo=UTC)


def test_days_are_as_long_as_the_zone_has_them_and_hours_are_real() -> None:
    """The day of the spring change lasts 23 hours."""
    start = datetime(2011, 3, 27, tzinfo=LONDON)
    assert Due.parse("1 day").at(start) == datetime(2011, 3, 27, 23, tzinfo=UTC)
    assert Due.parse("24 hours").at(start) == datetime(2011, 3, 28, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("grain_zone", "text", "expected"),
    [
        ("Europe/London", "16:30 Europe/Berlin", "2011-01-05T15:30+00:00"),
        ("Europe/London", "00:30 Europe/Berlin", "2011-01-05T23:30+00:00"),
        ("Europe/Berlin", "16:30 America/New_York", "2011-01-05T21:30+00:00"),
        ("America/New_York", "02:00 Asia/Tokyo", "2011-01-05T17:00+00:00"),
    ],
)
def test_no_delivery_is_due_before_its_period_starts(grain_zone: str, text: str, expected: str) -> None:
    """Where the zones of grain and due differ, the time of day is the first one at or after the start."""
    start = datetime(2011, 1, 5, tzinfo=ZoneInfo(grain_zone))
    assert Due.parse(text).at(start) == datetime.fromisoformat(expected)


def test_a_start_without_a_zone_is_no_instant() -> None:
    """The machine's own zone must not decide when something is due."""
    with pytest.raises(ValueError, match="has no zone"):
        Due.parse("16:30 Europe/Berlin").at(datetime(2011, 1, 5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write '16:30 Europe/Berlin'"),
        ("Europe/Berlin", "write '16:30 Europe/Berlin'"),
        ("25:00 Europe/Berlin", "'25:00' is no time of day"),
        ("2:00", "'2:00' is no time of day"),
        ("16:30 Berlin", "'Berlin' is no time zone"),
        ("3 hours 16:30", "write '16:30 Europe/Berlin'"),
        ("1 day 2 days", "write '16:30 Europe/Berlin'"),
        ("soon", "'soon' is no time zone|write"),
    ],
)
def test_a_due_time_that_cannot_be_read_is_refused(text: str, said: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(DefinitionError, match=said):
        Due.parse(text)


def test_equal_due_times_are_equal_values_and_any_difference_changes_the_digest() -> None:
    """Due times are hashable, and their canonical form can be digested."""
    texts = [
        "16:30 Europe/Berlin",
        "16:31 Europe/Berlin",
        "16:30 Europe/Paris",
        "1 day 16:30 Europe/Berlin",
        "90 minutes",
    ]
    assert Due.parse("1 week") == Due.parse("7 days")
    assert len({digest(Due.parse(text).canonical()) for text in texts}) == len({Due.parse(text) for text in texts}) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("35 days", timedelta(35)),
        ("36 hours", timedelta(hours=36)),
        ("1 day 12 hours", timedelta(hours=36)),
        ("1 week", timedelta(7)),
        ("90 minutes", timedelta(minutes=90)),
    ],
)
def test_a_duration_is_whole_numbers_of_units(text: str, expected: timedelta) -> None:
    """Singular and plural, alone or together."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "35", "35 dayz", "-1 days", "1.5 days", "0 days", "1 day 1 day", "2 days ago"])
def test_a_duration_that_cannot_be_read_or_is_nothing_is_refused(text: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(DefinitionError, match=r"is no duration: write .*'35 days'"):
        parse_duration(text)


@pytest.mark.parametrize(
    "calendar",
    [Calendar(), Calendar("SUN-FRI", holidays="GB-ENG", closed=["12-24..01-03", "2011-04-29", "easter"])],
)
def test_a_calendar_is_read_back_as_it_was_kept(calendar: Calendar) -> None:
    assert Calendar.from_json(json.loads(json.dumps(calendar.to_json()))) == calendar


@pytest.mark.parametrize("text", ["16:30 Europe/Berlin", "1 day 02:00", "90 minutes", "2 days", "1 week 12 hours"])
def test_a_due_rule_is_read_back_as_it_was_kept(text: str) -> None:
    due = Due.parse(text)
    assert Due.from_json(json.loads(json.dumps(due.to_json()))) == due
