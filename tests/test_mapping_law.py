"""The law of mappings: a reader's partition reads an upstream one if and only if the upstream one feeds it.

``ordinals`` says what is read and is held to named days by test_mappings.py; ``feeds`` must say the same from the other
end, for every mapping and every pair of grains that ``check`` allows.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.errors import UsageError
from tidemark.mappings import BEGINNING, END, Mapping, in_force, last_known, latest, parts, previous, same, trailing
from tidemark.partitions import Daily, Grain, Hourly, Monthly, Static, TimeGrain, Unpartitioned, Weekly

LONDON, NEW_YORK, SAO_PAULO = "Europe/London", "America/New_York", "America/Sao_Paulo"
LORD_HOWE, KATHMANDU, APIA = "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"
# Midnight comes twice in Havana; Kwajalein, Kiritimati and Sitka crossed the date line; in 1919 Toronto's clocks were
# set forward over midnight; in Jerusalem they are set on days of its own.
MORE_ZONES = ["America/Havana", "Pacific/Kwajalein", "Pacific/Kiritimati", "America/Sitka", "America/Toronto"]
ZONES = ["UTC", LONDON, NEW_YORK, SAO_PAULO, LORD_HOWE, KATHMANDU, APIA, "Asia/Jerusalem", *MORE_ZONES]
GRAINS: list[Grain] = [
    Hourly(),
    *(kind(tz=zone) for kind in (Daily, Weekly, Monthly) for zone in ZONES),
    Static(["uk", "eu"]),
    Static(["us", "eu", "uk"]),
    Unpartitioned(),
]
WIDTHS = [1, 13, 99, 100, 365]
MAPPINGS: list[Mapping] = [
    *(same(), parts(), latest(), in_force(), previous()),
    *(make(hours=width) for make in (trailing, last_known) for width in WIDTHS),
    *(make(days=width) for make in (trailing, last_known) for width in WIDTHS),
    *(make(weeks=width) for make in (trailing, last_known) for width in WIDTHS),
    *(make(months=width) for make in (trailing, last_known) for width in WIDTHS),
]

EDGES = {
    "London's clocks go forward": datetime(2011, 3, 27, 1, tzinfo=UTC),
    "London's clocks go back": datetime(2011, 10, 30, 1, tzinfo=UTC),
    "New York's clocks go forward": datetime(2011, 3, 13, 7, tzinfo=UTC),
    "New York's clocks go back": datetime(2011, 11, 6, 6, tzinfo=UTC),
    "Sao Paulo's midnight does not exist": datetime(2018, 11, 4, 3, tzinfo=UTC),
    "Sao Paulo's midnight comes an hour late": datetime(2018, 2, 18, 2, tzinfo=UTC),
    "Havana's midnight comes twice": datetime(2011, 11, 13, 5, tzinfo=UTC),
    "Lord Howe's clocks go forward by half an hour": datetime(2011, 10, 1, 15, 30, tzinfo=UTC),
    "Lord Howe's clocks go back by half an hour": datetime(2011, 4, 2, 15, tzinfo=UTC),
    "Kathmandu's clocks go forward by a quarter": datetime(1985, 12, 31, 18, 30, tzinfo=UTC),
    "Jerusalem's clocks go forward": datetime(2012, 3, 30, tzinfo=UTC),
    "Apia leaves a day out": datetime(2011, 12, 30, 10, tzinfo=UTC),
    "Apia has a day twice": datetime(1892, 7, 5, 11, tzinfo=UTC),
    "Kwajalein has most of a day twice": datetime(1969, 9, 30, 13, tzinfo=UTC),
    "Kwajalein leaves a day out": datetime(1993, 8, 21, 12, tzinfo=UTC),
    "Kiritimati leaves out the last day of a year": datetime(1994, 12, 31, 10, tzinfo=UTC),
    "Sitka has a day twice": datetime(1867, 10, 19, 0, tzinfo=UTC),
    "Toronto's clocks jump over midnight": datetime(1919, 3, 31, 4, 30, tzinfo=UTC),
    "a year ends within a week": datetime(2011, 1, 1, tzinfo=UTC),
    "a year has 53 weeks": datetime(2021, 1, 3, tzinfo=UTC),
    "a year ends with a week": datetime(2024, 1, 1, tzinfo=UTC),
    "a leap day": datetime(2024, 2, 29, tzinfo=UTC),
    "a leap day of a century": datetime(2000, 2, 29, tzinfo=UTC),
    "a century without a leap day": datetime(2100, 2, 28, tzinfo=UTC),
    "a month of thirty days ends": datetime(2011, 4, 30, tzinfo=UTC),
    "ordinals begin": datetime(1970, 1, 1, tzinfo=UTC),
    "the calendar begins": datetime(2, 1, 1, tzinfo=UTC),
    "a year after the calendar begins": datetime(3, 1, 1, tzinfo=UTC),
    "a year before the calendar ends": datetime(9998, 1, 1, tzinfo=UTC),
    "the calendar ends": datetime(9998, 12, 31, tzinfo=UTC),
}
CHANGES = [edge for edge in EDGES.values() if 1000 < edge.year < 3000]


def allowed(mapping: Mapping) -> list[tuple[Grain, Grain]]:
    """All pairs of a reader's and an upstream's grain that a mapping may be laid over."""
    pairs = [(reader, upstream) for reader in GRAINS for upstream in GRAINS if mapping.check(reader, upstream) is None]
    # An asset reads its own past: previous() is never between two grains.
    return [(reader, upstream) for reader, upstream in pairs if mapping != previous() or reader == upstream]


PAIRS = {mapping: pairs for mapping in MAPPINGS if (pairs := allowed(mapping))}


@cache
def existing(grain: Grain) -> range:
    """The ordinals of all keys of a grain."""
    if not isinstance(grain, TimeGrain):
        return range(len(grain.keys) if isinstance(grain, Static) else 1)

    def is_key(ordinal: int) -> bool:
        try:
            return grain.ordinal(grain.key(ordinal)) == ordinal
        except UsageError:
            return False

    first, last = (grain.containing(datetime(year, 1, 1, 12, tzinfo=UTC)) for year in (2, 9999))
    first -= 2
    while not is_key(first):
        first += 1
    while not is_key(last):
        last -= 1
    return range(first, last + 1)


def near(ordinals: range, grain: Grain, inside: Iterable[float]) -> list[int]:
    """Keys of a grain on both sides of a range's two ends; and some within it and as far again outside."""
    there = existing(grain)
    start, stop = (min(max(end, there.start), there.stop) for end in (ordinals.start, ordinals.stop))
    width = max(stop - start, 10)
    picked = {end + step for end in (start, stop) for step in range(-3, 4)}
    picked |= {start + int((3 * part - 1) * width) for part in inside}
    return sorted(each for each in picked if each in there)


def at(grain: Grain, moment: datetime, place: int) -> int:
    """The ordinal of the key of a grain that holds a moment, or is the nearest to it; a place among static keys."""
    there = existing(grain)
    if not isinstance(grain, TimeGrain):
        return there[place % len(there)]
    return min(max(grain.containing(moment), there.start), there.stop - 1)


def must_agree(mapping: Mapping, reader: Grain, upstream: Grain, reads: Iterable[int], uppers: Iterable[int]) -> None:
    """Fail where a reader and an upstream partition disagree: one reads and is not fed, or is fed and does not read."""
    fed = {upper: mapping.feeds(reader, upstream, upper) for upper in uppers}
    for read in reads:
        members = mapping.ordinals(reader, upstream, read)
        for upper, readers in fed.items():
            assert (upper in members) == (read in readers), (
                f"{mapping}: {reader.scheme} {reader.key(read)} reads {upstream.scheme} {upstream.key(upper)}: "
                f"{upper in members}; is fed by it: {read in readers}"
            )


def must_hold(
    mapping: Mapping, reader: Grain, upstream: Grain, moment: datetime, place: int, parts: list[float]
) -> None:
    """Fail where the law does not hold around a moment, from either end."""
    upper, read = at(upstream, moment, place), at(reader, moment, place)
    readers = near(mapping.feeds(reader, upstream, upper), reader, parts)
    members = near(mapping.ordinals(reader, upstream, read), upstream, parts)
    must_agree(mapping, reader, upstream, readers + near(range(read, read + 1), reader, []), [upper])
    must_agree(mapping, reader, upstream, [read], members)


any_moment = st.datetimes(datetime(1850, 1, 1), datetime(2110, 1, 1), timezones=st.just(UTC))
# By an edge; or as far from it as a window is wide, so that the window's other end is by the edge.
by_an_edge = st.builds(
    lambda edge, days, hours: edge + timedelta(days, hours=hours),
    st.sampled_from(CHANGES),
    st.sampled_from([0, 0, 0, 1, 13, 99, 100, 365])
    .flatmap(lambda width: st.sampled_from([width, 7 * width]))
    .flatmap(lambda days: st.sampled_from([days, -days])),
    st.integers(-60, 60),
)
moments = by_an_edge | any_moment
places = st.integers(0, 5)
somewhere = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def test_every_mapping_is_held_to_the_law_with_every_kind_of_reader_it_allows() -> None:
    """Lest the law hold because nothing is looked at."""
    met: dict[str, set[tuple[str, str]]] = {}
    for mapping, pairs in PAIRS.items():
        met.setdefault(mapping.name, set()).update((reader.name, upstream.name) for reader, upstream in pairs)
    time = {"hourly", "daily", "weekly", "monthly"}
    across = {(reader, upstream) for reader in time for upstream in time}
    itself = {(name, name) for name in (*time, "static", "unpartitioned")}
    timeless = {(reader, upstream) for reader in ("static", "unpartitioned") for upstream in (*time, "unpartitioned")}
    assert met.pop("same") == itself
    assert met.pop("trailing") == met.pop("last_known") == across
    assert met.pop("latest") == across | timeless | {(reader, "unpartitioned") for reader in time}
    assert met.pop("in_force") == {(reader, "hourly") for reader in time}
    assert met.pop("previous") == {(name, name) for name in time}
    everything = {("unpartitioned", upstream) for upstream in (*time, "static", "unpartitioned")}
    coarser = {
        ("daily", "hourly"),
        ("weekly", "hourly"),
        ("monthly", "hourly"),
        ("weekly", "daily"),
        ("monthly", "daily"),
    }
    assert met.pop("parts") == coarser | everything
    assert not met


@pytest.mark.parametrize("mapping", PAIRS, ids=str)
@given(data=st.data(), moment=moments, place=places, parts=somewhere)
@settings(deadline=None)
def test_a_partition_reads_just_those_that_feed_it(
    mapping: Mapping, data: st.DataObject, moment: datetime, place: int, parts: list[float]
) -> None:
    """On both sides of both ends, and at random inside and outside."""
    reader, upstream = data.draw(st.sampled_from(PAIRS[mapping]))
    must_hold(mapping, reader, upstream, moment, place, parts)


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
def test_the_law_holds_by_the_edges_of_clocks_and_calendars(edge: datetime) -> None:
    """For every mapping and every pair of kinds; each meets the zones in turn, one pair an edge."""
    turn = list(EDGES.values()).index(edge)
    for mapping, pairs in PAIRS.items():
        kinds: dict[tuple[str, str], list[tuple[Grain, Grain]]] = {}
        for reader, upstream in pairs:
            kinds.setdefault((reader.name, upstream.name), []).append((reader, upstream))
        for number, choice in enumerate(kinds.values()):
            for step in range(2):
                reader, upstream = choice[(31 * turn + 17 * number + 7 * step) % len(choice)]
                must_hold(mapping, reader, upstream, edge, turn, [0.1, 0.5, 0.9])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
def test_the_law_holds_for_every_hour_and_day_around_an_edge(edge: datetime, zone: str) -> None:
    """Each partition of five days against each, where a window's first and last end meet the edge."""
    day, hour, other = Daily(tz=zone), Hourly(), Daily(tz="Asia/Jerusalem")
    for mapping, upstream, back in [
        (trailing(days=1), hour, 1),
        (trailing(days=13), hour, 13),
        (trailing(weeks=13), other, 91),
        (trailing(days=2), other, 2),
        (last_known(days=1), other, 1),
        (latest(), other, 0),
    ]:
        for shift in {0, back}:
            centre = at(day, edge, 0)
            near_by = [each for each in range(centre + shift - 2, centre + shift + 3) if each in existing(day)]
            upper = at(upstream, edge, 0)
            span = 50 if upstream is hour else 3
            uppers = [each for each in range(upper - span, upper + span + 1) if each in existing(upstream)]
            must_agree(mapping, day, upstream, near_by, uppers)


@pytest.mark.parametrize("mapping", [each for each in PAIRS if each != same()], ids=str)
@given(data=st.data(), moment=moments, parts=somewhere)
@settings(deadline=None)
def test_what_later_partitions_read_and_feed_begins_and_ends_no_earlier(
    mapping: Mapping, data: st.DataObject, moment: datetime, parts: list[float]
) -> None:
    """Neighbours, and ones far apart; static keys alone have no order (they meet by name)."""
    reader, upstream = data.draw(st.sampled_from(PAIRS[mapping]))
    read, upper = at(reader, moment, 0), at(upstream, moment, 0)
    reads = [
        mapping.ordinals(reader, upstream, each) for each in near(mapping.feeds(reader, upstream, upper), reader, parts)
    ]
    feeds = [
        mapping.feeds(reader, upstream, each)
        for each in near(mapping.ordinals(reader, upstream, read), upstream, parts)
    ]
    for ranges in (reads, feeds):
        assert all(earlier.start <= later.start and earlier.stop <= later.stop for earlier, later in pairwise(ranges))


# -- named cases


def fed(mapping: Mapping, reader: Grain, upstream: Grain, key: str) -> tuple[str, str, int]:
    """First and last key of the readers that a partition feeds, and how many there are."""
    assert mapping.check(reader, upstream) is None
    ordinals = mapping.feeds(reader, upstream, upstream.ordinal(key))
    return reader.key(ordinals[0]), reader.key(ordinals[-1]), len(ordinals)


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream", "key", "expected"),
    [
        (same(), Daily(tz=LONDON), Daily(tz=LONDON), "2012-02-29", ("2012-02-29", "2012-02-29", 1)),
        (same(), Static(["uk", "eu"]), Static(["us", "eu", "uk"]), "uk", ("uk", "uk", 1)),
        # A day is in as many windows as they are wide; leap years have one day more, and 2100 is none.
        (trailing(days=28), Daily(), Daily(), "2011-01-05", ("2011-01-05", "2011-02-01", 28)),
        (trailing(days=365), Daily(), Daily(), "2000-02-29", ("2000-02-29", "2001-02-27", 365)),
        (trailing(days=365), Daily(), Daily(), "2024-02-29", ("2024-02-29", "2025-02-27", 365)),
        (trailing(days=365), Daily(), Daily(), "2099-03-01", ("2099-03-01", "2100-02-28", 365)),
        (trailing(days=365), Daily(), Daily(), "2100-02-28", ("2100-02-28", "2101-02-27", 365)),
        (trailing(weeks=53), Weekly(), Weekly(), "2009-12-28", ("2009-12-28", "2010-12-27", 53)),
        # Days of 23 and 25 hours, and midnights that do not exist or come late.
        (trailing(days=1), Daily(tz=LONDON), Hourly(), "2011-03-26T23", ("2011-03-26", "2011-03-26", 1)),
        (trailing(days=1), Daily(tz=LONDON), Hourly(), "2011-03-27T23", ("2011-03-28", "2011-03-28", 1)),
        (trailing(days=1), Daily(tz=LONDON), Hourly(), "2011-10-29T23", ("2011-10-30", "2011-10-30", 1)),
        (trailing(days=7), Daily(tz=LONDON), Hourly(), "2011-10-30T23", ("2011-10-30", "2011-11-05", 7)),
        (trailing(hours=24), Daily(tz=LONDON), Hourly(), "2011-03-26T23", ("2011-03-26", "2011-03-27", 2)),
        (trailing(hours=24), Daily(tz=LONDON), Hourly(), "2011-10-29T22", ("2011-10-29", "2011-10-29", 1)),
        (parts(), Daily(tz=SAO_PAULO), Hourly(), "2018-11-04T02", ("2018-11-03", "2018-11-03", 1)),
        (parts(), Daily(tz=SAO_PAULO), Hourly(), "2018-11-04T03", ("2018-11-04", "2018-11-04", 1)),
        (parts(), Daily(tz=SAO_PAULO), Hourly(), "2018-02-18T02", ("2018-02-17", "2018-02-17", 1)),
        # Hours that end with no day, since a day ends between them, count to the day that ends next.
        (trailing(days=1), Daily(tz=KATHMANDU), Hourly(), "2011-01-04T17", ("2011-01-04", "2011-01-04", 1)),
        (trailing(days=1), Daily(tz=KATHMANDU), Hourly(), "2011-01-04T18", ("2011-01-05", "2011-01-05", 1)),
        (trailing(days=1), Daily(tz=LORD_HOWE), Hourly(), "2011-10-01T13", ("2011-10-02", "2011-10-02", 1)),
        # No hour belongs to the day that Apia left out; the day itself belongs to its month and its week.
        (parts(), Daily(tz=APIA), Hourly(), "2011-12-30T09", ("2011-12-29", "2011-12-29", 1)),
        (parts(), Daily(tz=APIA), Hourly(), "2011-12-30T10", ("2011-12-31", "2011-12-31", 1)),
        (parts(), Weekly(tz=APIA), Daily(tz=APIA), "2011-12-30", ("2011-12-26", "2011-12-26", 1)),
        (parts(), Monthly(tz=APIA), Daily(tz=APIA), "2011-12-30", ("2011-12", "2011-12", 1)),
        # Month ends, and weeks at the turn of the year.
        (parts(), Monthly(), Daily(), "2012-02-29", ("2012-02", "2012-02", 1)),
        (parts(), Weekly(), Daily(), "2011-01-02", ("2010-12-27", "2010-12-27", 1)),
        (trailing(weeks=1), Daily(), Weekly(), "2010-12-27", ("2011-01-02", "2011-01-08", 7)),
        (trailing(months=2), Daily(), Monthly(), "2012-02", ("2012-02-29", "2012-04-29", 61)),
        (trailing(days=28), Weekly(), Daily(), "2011-01-02", ("2010-12-27", "2011-01-17", 4)),
        (trailing(days=1), Weekly(), Daily(), "2011-01-02", ("2010-12-27", "2010-12-27", 1)),
        # A day of another zone belongs to the first one that ends no earlier.
        (trailing(days=1), Daily(tz=LONDON), Daily(tz="Europe/Berlin"), "2011-01-05", ("2011-01-05", "2011-01-05", 1)),
        (trailing(days=1), Daily(tz="Europe/Berlin"), Daily(tz=LONDON), "2011-01-05", ("2011-01-06", "2011-01-06", 1)),
        (last_known(days=7), Daily(), Daily(), "2011-01-03", ("2011-01-03", "2011-01-10", 8)),
        (last_known(weeks=1), Daily(), Weekly(), "2010-12-20", ("2010-12-26", "2011-01-08", 14)),
        # The first and last partitions of the calendar.
        (trailing(weeks=1), Monthly(tz=NEW_YORK), Daily(), "9998-12-31", ("9998-12", "9998-12", 1)),
        (trailing(days=365), Daily(), Daily(), "0002-01-01", ("0002-01-01", "0002-12-31", 365)),
        (trailing(weeks=1), Daily(), Daily(), "0002-01-01", ("0002-01-01", "0002-01-07", 7)),
        (parts(), Monthly(tz=APIA), Daily(tz=APIA), "0002-01-01", ("0002-01", "0002-01", 1)),
    ],
)
def test_a_partition_feeds_the_readers_whose_ranges_hold_it(
    mapping: Mapping, reader: Grain, upstream: Grain, key: str, expected: tuple[str, str, int]
) -> None:
    assert fed(mapping, reader, upstream, key) == expected


def test_what_no_reader_ends_with_or_holds_feeds_none() -> None:
    day, hour, countries = Daily(), Hourly(), Static(["us", "eu", "uk"])
    assert not trailing(hours=1).feeds(day, hour, hour.ordinal("2011-01-05T22"))
    assert not trailing(days=1).feeds(Weekly(), day, day.ordinal("2011-01-05"))
    assert not same().feeds(Static(["uk", "eu"]), countries, countries.ordinal("us"))


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream", "key", "first"),
    [
        (latest(), Daily(), Weekly(), "2010-12-20", "2010-12-26"),
        (latest(), Weekly(), Daily(), "2011-01-05", "2011-01-03"),
        (latest(), Daily(tz=LONDON), Hourly(), "2011-07-01T23", "2011-07-02"),
        (previous(), Daily(), Daily(), "2011-02-28", "2011-03-01"),
        # The end of a window that reaches past the calendar cannot be told.
        (trailing(weeks=10**6), Daily(), Daily(), "2011-01-05", "2011-01-05"),
        (trailing(days=10**7), Daily(), Hourly(), "2011-01-05T06", "2011-01-05"),
        (trailing(days=10**7), Daily(tz=LONDON), Daily(), "2011-07-05", "2011-07-06"),
        (trailing(months=10**6), Daily(), Monthly(), "2011-01", "2011-01-31"),
        (last_known(hours=10**8), Daily(), Hourly(), "2011-01-05T06", "2011-01-05"),
    ],
)
def test_a_partition_feeds_without_end_where_nothing_ends_it(
    mapping: Mapping, reader: Grain, upstream: Grain, key: str, first: str
) -> None:
    assert mapping.check(reader, upstream) is None
    ordinals = mapping.feeds(reader, upstream, upstream.ordinal(key))
    assert reader.key(ordinals.start) == first
    assert ordinals.stop == END


def test_where_one_side_is_not_of_time_all_readers_are_fed() -> None:
    day, countries = Daily(), Static(["uk", "eu"])
    assert latest().feeds(countries, day, 0) == range(2)
    assert latest().feeds(Unpartitioned(), day, 0) == range(1)
    assert parts().feeds(Unpartitioned(), countries, 1) == range(1)
    assert latest().feeds(day, Unpartitioned(), 0) == range(BEGINNING, END)


def test_a_window_over_the_day_that_apia_left_out_begins_no_later_than_the_next_days() -> None:
    """Thirteen weeks before 30 March 2012 is in the gap; Jerusalem's clocks went forward in the night between."""
    reader, upstream, window = Daily(tz=APIA), Daily(tz="Asia/Jerusalem"), trailing(weeks=13)
    keys = ["2012-03-29", "2012-03-30", "2012-03-31", "2012-04-01"]
    ranges = [window.ordinals(reader, upstream, reader.ordinal(key)) for key in keys]
    assert [upstream.key(each[0]) for each in ranges] == ["2011-12-30", "2011-12-30", "2011-12-30", "2011-12-31"]
    assert fed(window, reader, upstream, "2011-12-30") == ("2011-12-31", "2012-03-31", 92)


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream"),
    [
        ("days", Daily(tz=LONDON), Hourly()),
        ("weeks", Daily(tz=LONDON), Daily(tz=NEW_YORK)),
        ("weeks", Hourly(), Daily(tz=NEW_YORK)),
        ("days", Daily(tz=LONDON), Daily(tz=NEW_YORK)),
    ],
)
def test_a_wide_window_finds_its_readers_in_as_few_steps_as_a_narrow_one(
    mapping: str, reader: TimeGrain, upstream: TimeGrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for every partition that changed."""
    calls = 0
    containing = TimeGrain.containing

    def counted(grain: TimeGrain, instant: datetime) -> int:
        nonlocal calls
        calls += 1
        return containing(grain, instant)

    monkeypatch.setattr(TimeGrain, "containing", counted)
    upper = upstream.containing(datetime(2011, 7, 5, tzinfo=UTC))
    spent = []
    for width in (1, 10_000):
        calls = 0
        ordinals = trailing(**{mapping: width}).feeds(reader, upstream, upper)
        assert len(ordinals) >= width
        spent.append(calls)
    assert max(spent) <= min(spent) + 10 <= 20
