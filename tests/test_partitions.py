"""Claims about grains: keys, ordinals, and when periods begin and end."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import DefinitionError, UsageError
from tidemark.partitions import (
    Daily,
    Grain,
    Hourly,
    Monthly,
    Partition,
    Static,
    TimeGrain,
    Unpartitioned,
    Weekly,
    clock_reaches,
    grain_of,
)

LONDON = ZoneInfo("Europe/London")
TIME_GRAINS: list[type[TimeGrain]] = [Hourly, Daily, Weekly, Monthly]

# Clocks that are set at midnight, by half an hour, over a whole day, or not at all.
ZONES = [
    "UTC",
    "Europe/London",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Gaza",
]

zones = st.sampled_from(ZONES)
grains = st.one_of(st.just(Hourly()), *(st.builds(kind, tz=zones) for kind in (Daily, Weekly, Monthly)))
instants = st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


def at(text: str, zone: str = "Europe/London") -> datetime:
    """A wall-clock time in a zone, as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def hours_of(grain: TimeGrain, key: str) -> float:
    """How long a period is."""
    ordinal = grain.ordinal(key)
    return (grain.ends(ordinal) - grain.begins(ordinal)) / timedelta(hours=1)


# -- keys


@pytest.mark.parametrize(
    ("grain", "keys"),
    [
        (Hourly(), ["2010-12-31T23", "2011-01-01T00", "2011-01-01T01"]),
        (Daily(), ["2011-02-28", "2011-03-01"]),
        (Daily(), ["2012-02-28", "2012-02-29", "2012-03-01"]),
        (Daily(), ["2010-12-31", "2011-01-01"]),
        (Weekly(), ["2010-12-20", "2010-12-27", "2011-01-03"]),
        (Weekly(), ["2020-12-28", "2021-01-04"]),
        (Monthly(), ["2010-11", "2010-12", "2011-01"]),
        (Daily(), ["1969-12-31", "1970-01-01"]),
        (Weekly(), ["1969-12-22", "1969-12-29", "1970-01-05"]),
        (Monthly(), ["1969-12", "1970-01"]),
    ],
)
def test_neighbours_in_time_have_neighbouring_ordinals(grain: TimeGrain, keys: list[str]) -> None:
    """Over the turn of a day, a month, a leap year, a year, and 1970."""
    ordinals = [grain.ordinal(key) for key in keys]
    assert [later - earlier for earlier, later in pairwise(ordinals)] == [1] * (len(keys) - 1)
    assert [grain.key(ordinal) for ordinal in ordinals] == keys


@pytest.mark.parametrize(
    ("grain", "key"),
    [(Hourly(), "0002-01-01T00"), (Daily(), "9998-12-31"), (Weekly(), "0101-01-03"), (Monthly(), "0002-12")],
)
def test_years_far_away_have_four_digits_too(grain: TimeGrain, key: str) -> None:
    assert grain.key(grain.ordinal(key)) == key


@given(grains, instants)
def test_a_key_and_its_ordinal_stand_for_each_other(grain: TimeGrain, instant: datetime) -> None:
    ordinal = grain.containing(instant)
    assert grain.ordinal(grain.key(ordinal)) == ordinal


@pytest.mark.parametrize("grain", [Hourly(), Daily(), Weekly(), Monthly()])
@given(key=st.one_of(st.from_regex(r"\d{4}-\d\d(-\d\d(T\d\d)?)?", fullmatch=True), st.text(max_size=14)))
def test_a_text_is_a_key_in_one_spelling_or_refused(grain: TimeGrain, key: str) -> None:
    """Whatever a sender calls a file: its key comes back as it was, or nothing is made of it."""
    try:
        ordinal = grain.ordinal(key)
    except UsageError:
        return
    assert grain.key(ordinal) == key
    assert grain.begins(ordinal) <= grain.ends(ordinal)


@pytest.mark.parametrize(
    ("grain", "key", "hint"),
    [
        (Hourly(), "2011-01-05", "2011-01-05T06"),
        (Hourly(), "2011-01-05T24", "2011-01-05T06"),
        (Daily(), "2011-1-5", "2011-01-05"),
        (Daily(), "2011-02-29", "day is out of range"),
        (Daily(), "2011-01-05T06", "2011-01-05"),
        (Daily(), "05.01.2011", "2011-01-05"),
        (Daily(), "../etc/passwd", "2011-01-05"),
        (Daily(), "2011-01-05\n", "2011-01-05"),
        (Daily(), "٢٠١١-٠١-٠٥", "2011-01-05"),
        (Daily(), "0000-01-01", "2011-01-05"),
        (Daily(tz="Asia/Tokyo"), "0001-01-01", "2011-01-05"),
        (Daily(tz="America/New_York"), "9999-12-31", "2011-01-05"),
        (Weekly(), "2011-01-05", "'2011-01-03'"),
        (Monthly(), "2011-13", "2011-01"),
        (Monthly(), "2011-01-01", "2011-01"),
        (Static(["uk", "eu"]), "us", "uk, eu"),
        (Unpartitioned(), "2011-01-05", "'all'"),
    ],
)
def test_what_is_no_key_is_refused_and_the_message_shows_one(grain: Grain, key: str, hint: str) -> None:
    with pytest.raises(UsageError) as refusal:
        grain.ordinal(key)
    assert repr(key) in str(refusal.value)
    assert hint in str(refusal.value)


# -- periods


@pytest.mark.parametrize(
    ("grain", "key", "hours"),
    [
        (Daily(tz="Europe/London"), "2011-03-26", 24),
        (Daily(tz="Europe/London"), "2011-03-27", 23),  # clocks go forward
        (Daily(tz="Europe/London"), "2011-10-30", 25),  # and back
        (Daily(), "2011-03-27", 24),
        (Weekly(tz="Europe/London"), "2011-03-21", 7 * 24 - 1),
        (Weekly(tz="Europe/London"), "2011-10-24", 7 * 24 + 1),
        (Monthly(tz="Europe/London"), "2011-03", 31 * 24 - 1),
        (Monthly(), "2012-02", 29 * 24),
        (Monthly(), "2011-02", 28 * 24),
        (Daily(tz="America/Sao_Paulo"), "2018-11-04", 23),  # midnight does not exist: the day begins at one
        (Daily(tz="America/Havana"), "2011-11-13", 25),  # midnight comes twice: the first counts
        (Daily(tz="Pacific/Apia"), "2011-12-30", 0),  # a day that the island left out
        (Hourly(), "2011-03-27T01", 1),
    ],
)
def test_a_period_is_as_long_as_the_clock_of_its_zone_makes_it(grain: TimeGrain, key: str, hours: float) -> None:
    assert hours_of(grain, key) == hours


def test_a_day_begins_at_its_own_midnight_and_not_at_that_of_utc() -> None:
    """In summer London's midnight is eleven in the evening of the day before in UTC."""
    day = Daily(tz="Europe/London")
    assert day.begins(day.ordinal("2011-07-01")) == datetime(2011, 6, 30, 23, tzinfo=UTC)
    assert day.begins(day.ordinal("2011-01-01")) == datetime(2011, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("grain", "moment", "newest"),
    [
        (Daily(tz="Europe/London"), "2011-07-01T00:00", "2011-06-30"),
        (Daily(tz="Europe/London"), "2011-06-30T23:59", "2011-06-29"),
        (Daily(), "2011-07-01T00:30", "2011-06-29"),  # in UTC it is still the thirtieth
        (Weekly(tz="Europe/London"), "2011-01-02T23:59", "2010-12-20"),
        (Weekly(tz="Europe/London"), "2011-01-03T00:00", "2010-12-27"),
        (Monthly(tz="Europe/London"), "2011-03-01T00:00", "2011-02"),
        (Monthly(tz="Europe/London"), "2011-02-28T23:59", "2011-01"),
        (Hourly(), "2011-01-05T06:59", "2011-01-05T05"),
    ],
)
def test_the_newest_period_that_has_ended_is_told_by_the_clock_of_the_zone(
    grain: TimeGrain, moment: str, newest: str
) -> None:
    assert grain.key(grain.last_ended(at(moment))) == newest


@given(grains, instants)
def test_every_instant_lies_in_the_one_period_that_holds_it(grain: TimeGrain, instant: datetime) -> None:
    ordinal = grain.containing(instant)
    assert grain.begins(ordinal) <= instant < grain.ends(ordinal)


@given(grains, instants)
def test_periods_follow_each_other_without_a_gap(grain: TimeGrain, instant: datetime) -> None:
    ordinal = grain.containing(instant)
    assert grain.begins(ordinal - 1) <= grain.ends(ordinal - 1) == grain.begins(ordinal) <= grain.begins(ordinal + 1)


@pytest.mark.parametrize(
    ("zone", "local", "reached"),
    [
        ("Europe/London", "2011-07-01T12:00", "2011-07-01T11:00"),
        ("Europe/London", "2011-03-27T01:00", "2011-03-27T01:00"),  # from here on left out
        ("Europe/London", "2011-03-27T01:30", "2011-03-27T01:00"),  # left out
        ("Europe/London", "2011-03-27T02:00", "2011-03-27T01:00"),  # shown again
        ("Europe/London", "2011-10-30T01:30", "2011-10-30T00:30"),  # shown twice
        ("America/Toronto", "1919-03-31T00:00", "1919-03-31T04:30"),  # from 23:30 to 0:30 left out
        ("Australia/Lord_Howe", "2011-10-02T02:29", "2011-10-01T15:30"),
        ("Pacific/Apia", "2011-12-30T23:59", "2011-12-30T10:00"),  # a day left out
        ("Africa/Monrovia", "1972-01-07T00:30", "1972-01-07T00:44:30"),  # a gap that is no whole number of minutes
    ],
)
def test_a_time_that_a_clock_leaves_out_is_reached_when_the_gap_ends(zone: str, local: str, reached: str) -> None:
    assert clock_reaches(at(local, zone)) == at(reached, "UTC")


@given(grains, instants)
def test_the_first_period_since_an_instant_is_the_one_before_which_all_begin_earlier(
    grain: TimeGrain, instant: datetime
) -> None:
    for moment in (instant, grain.begins(grain.containing(instant))):
        first = grain.first_since(moment)
        assert grain.begins(first - 1) < moment <= grain.begins(first)


def test_the_first_period_since_the_day_that_apia_left_out_is_that_day() -> None:
    day = Daily(tz="Pacific/Apia")
    assert day.key(day.first_since(datetime(2011, 12, 30, 10, tzinfo=UTC))) == "2011-12-30"
    assert day.key(day.containing(datetime(2011, 12, 30, 10, tzinfo=UTC))) == "2011-12-31"


@given(st.sampled_from(sorted(available_timezones())), st.dates(date(1972, 1, 1), date(2037, 12, 31)))
def test_in_no_zone_of_the_world_does_a_day_begin_before_the_day_before(zone: str, day: date) -> None:
    grain = Daily(tz=zone)
    ordinal = grain.ordinal(day.isoformat())
    assert grain.begins(ordinal - 1) <= grain.begins(ordinal)


def test_a_function_receives_its_period_in_the_zone_of_the_grain() -> None:
    """What a scientist sees is local: the key, its day, and midnights."""
    day = Daily(tz="Europe/London")
    partition = day.partition(day.ordinal("2011-07-01"))
    assert partition == Partition("2011-07-01", at("2011-07-01T00:00"), at("2011-07-02T00:00"))
    assert partition.start is not None
    assert partition.start.tzinfo == LONDON
    assert partition.date == date(2011, 7, 1)
    assert str(partition) == "2011-07-01"


def test_a_partition_that_is_not_one_of_time_has_no_date() -> None:
    with pytest.raises(UsageError, match="'uk' has no date"):
        _ = Static(["uk"]).partition(0).date


# -- definitions


@pytest.mark.parametrize(
    ("definition", "mend"),
    [
        (lambda: Daily(tz="London"), "Europe/London"),
        (lambda: Daily(tz="../../etc/passwd"), "Europe/London"),
        (lambda: Hourly(tz="Europe/London"), "hours of UTC"),
        (lambda: Daily(start="2011"), "start='2011'.*2011-01-05"),
        (lambda: Weekly(start="2011-01-01"), "2010-12-27"),
        (lambda: Static([]), "at least one key"),
        (lambda: Static("uk"), r"\['uk'\]"),
        (lambda: Static(["uk", "uk"]), "must differ"),
        (lambda: Static(["a/b"]), "a/b"),
        (lambda: Static([".."]), r"\.\."),
    ],
)
def test_a_grain_that_cannot_be_is_refused_where_it_is_written(definition: object, mend: str) -> None:
    assert callable(definition)
    with pytest.raises(DefinitionError, match=mend):
        definition()


def test_a_start_is_the_first_partition() -> None:
    assert Daily(start="2011-01-05").first == Daily().ordinal("2011-01-05")
    assert Daily().first is None


def test_static_keys_keep_their_order_and_are_found_again() -> None:
    countries = Static(["uk", "eu", "us"])
    assert [countries.key(countries.ordinal(key)) for key in ("us", "uk", "eu")] == ["us", "uk", "eu"]


@pytest.mark.parametrize(
    "grain",
    [
        Hourly(),
        Daily(),
        Daily(tz="Europe/London"),
        Weekly(tz="Asia/Tokyo"),
        Monthly(tz="America/Argentina/Buenos_Aires"),
        Static(["uk", "eu"]),
        Unpartitioned(),
    ],
)
def test_the_ledger_finds_a_grain_again_by_its_scheme(grain: Grain) -> None:
    assert grain_of(grain.scheme, getattr(grain, "keys", ())) == grain


def test_the_ledger_finds_the_start_of_a_grain_again() -> None:
    grain = Daily(tz="Europe/London", start="2011-01-05")
    assert grain_of(grain.scheme, start=grain.start) == grain


def test_grains_share_keys_only_where_kind_and_zone_are_equal() -> None:
    """A day of London is no day of Berlin: they begin at different instants."""
    schemes = [grain.scheme for grain in (Daily(), Daily(tz="Europe/London"), Weekly(), Monthly(), Hourly())]
    assert len(set(schemes)) == len(schemes)
    assert Daily(start="2011-01-05").scheme == Daily().scheme


def test_a_scheme_of_a_newer_version_is_refused() -> None:
    with pytest.raises(UsageError, match="newer Tidemark"):
        grain_of("lunar:UTC")
