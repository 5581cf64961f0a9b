"""Claims about mappings: which upstream partitions one partition reads, and which grains cannot be mapped."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidemark.errors import DefinitionError
from tidemark.mappings import (
    BEGINNING,
    END,
    Mapping,
    Window,
    last_known,
    latest,
    parts,
    previous,
    same,
    trailing,
)
from tidemark.partitions import Daily, Grain, Hourly, Monthly, Static, TimeGrain, Unpartitioned, Weekly

LONDON = "Europe/London"
days = st.dates(datetime(1990, 1, 1).date(), datetime(2040, 1, 1).date()).map(lambda day: day.isoformat())


def reads(mapping: Mapping, reader: Grain, upstream: Grain, key: str) -> list[str]:
    """The keys that a reader's partition may read, oldest first."""
    assert mapping.check(reader, upstream) is None
    return [upstream.key(ordinal) for ordinal in mapping.ordinals(reader, upstream, reader.ordinal(key))]


def span(mapping: Mapping, reader: Grain, upstream: Grain, key: str) -> tuple[str, str, int]:
    """First and last key, and how many there are."""
    keys = reads(mapping, reader, upstream, key)
    return keys[0], keys[-1], len(keys)


# -- same


def test_same_reads_the_one_partition_of_the_same_key() -> None:
    assert reads(same(), Daily(tz=LONDON), Daily(tz=LONDON), "2012-02-29") == ["2012-02-29"]
    assert reads(same(), Unpartitioned(), Unpartitioned(), "all") == ["all"]


def test_static_keys_meet_by_name_and_not_by_place() -> None:
    assert reads(same(), Static(["uk", "eu"]), Static(["us", "eu", "uk"]), "eu") == ["eu"]


@pytest.mark.parametrize(
    ("reader", "upstream", "hint"),
    [
        (Daily(), Daily(tz=LONDON), "daily:UTC reading daily:Europe/London"),
        (Weekly(), Daily(), r"parts\(\) for a coarser reader"),
        (Hourly(), Daily(), r"latest\(\) or trailing\(\) for a finer one"),
        (Daily(), Unpartitioned(), r"latest\(\)"),
        (Static(["uk", "us"]), Static(["uk"]), "no static keys us: add them there"),
    ],
)
def test_same_is_refused_between_unequal_grains(reader: Grain, upstream: Grain, hint: str) -> None:
    problem = same().check(reader, upstream)
    with pytest.raises(AssertionError, match=hint):
        raise AssertionError(problem)


def test_where_a_source_starts_does_not_make_another_grain_of_it() -> None:
    assert same().check(Daily(start="2011-01-01"), Daily()) is None


# -- trailing


@pytest.mark.parametrize("width", [1, 2, 28, 99, 365])
@given(key=days)
def test_a_trailing_window_of_the_own_grain_is_as_wide_as_it_says_and_ends_with_the_own_period(
    width: int, key: str
) -> None:
    day = Daily(tz=LONDON)
    keys = reads(trailing(days=width), day, day, key)
    assert len(keys) == width
    assert keys[-1] == key
    first = datetime.fromisoformat(key) - timedelta(width - 1)
    assert keys[0] == first.date().isoformat()


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream", "key", "expected"),
    [
        # Over the turn of a year, the end of February, and a day that has 23 or 25 hours.
        (trailing(days=28), Daily(), Daily(), "2011-01-05", ("2010-12-09", "2011-01-05", 28)),
        (trailing(days=365), Daily(), Daily(), "2012-12-31", ("2012-01-02", "2012-12-31", 365)),
        (trailing(days=3), Daily(), Daily(), "2012-03-01", ("2012-02-28", "2012-03-01", 3)),
        (trailing(days=3), Daily(), Daily(), "2011-03-01", ("2011-02-27", "2011-03-01", 3)),
        (trailing(days=1), Daily(tz=LONDON), Hourly(), "2011-03-27", ("2011-03-27T00", "2011-03-27T22", 23)),
        (trailing(days=1), Daily(tz=LONDON), Hourly(), "2011-10-30", ("2011-10-29T23", "2011-10-30T23", 25)),
        (trailing(days=2), Daily(tz=LONDON), Hourly(), "2011-03-27", ("2011-03-26T00", "2011-03-27T22", 47)),
        (trailing(hours=24), Daily(tz=LONDON), Hourly(), "2011-03-27", ("2011-03-26T23", "2011-03-27T22", 24)),
        (trailing(hours=99), Hourly(), Hourly(), "2011-01-05T06", ("2011-01-01T04", "2011-01-05T06", 99)),
        # A week reads days, up to its Sunday; weeks over the turn of the year.
        (trailing(days=28), Weekly(), Daily(), "2010-12-27", ("2010-12-06", "2011-01-02", 28)),
        (trailing(weeks=2), Weekly(), Daily(), "2010-12-27", ("2010-12-20", "2011-01-02", 14)),
        (trailing(weeks=2), Weekly(), Weekly(), "2011-01-03", ("2010-12-27", "2011-01-03", 2)),
        (trailing(weeks=53), Weekly(), Weekly(), "2010-12-27", ("2009-12-28", "2010-12-27", 53)),
        (trailing(weeks=1), Weekly(tz=LONDON), Hourly(), "2011-03-21", ("2011-03-21T00", "2011-03-27T22", 167)),
        # A finer reader reads the coarser periods that have ended by the end of its own.
        (trailing(weeks=1), Daily(), Weekly(), "2011-01-01", ("2010-12-20", "2010-12-20", 1)),
        (trailing(weeks=1), Daily(), Weekly(), "2011-01-02", ("2010-12-27", "2010-12-27", 1)),
        (trailing(months=2), Daily(), Monthly(), "2011-02-28", ("2011-01", "2011-02", 2)),
        (trailing(months=2), Daily(), Monthly(), "2011-02-27", ("2010-12", "2011-01", 2)),
        (trailing(months=12), Monthly(), Monthly(), "2012-02", ("2011-03", "2012-02", 12)),
        # A day of another zone belongs to the reader's if it has ended by then.
        (trailing(days=1), Daily(tz=LONDON), Daily(tz="Europe/Berlin"), "2011-01-05", ("2011-01-05", "2011-01-05", 1)),
        (trailing(days=1), Daily(tz="Europe/Berlin"), Daily(tz=LONDON), "2011-01-05", ("2011-01-04", "2011-01-04", 1)),
    ],
)
def test_a_trailing_window_ends_where_the_readers_period_does(
    mapping: Mapping, reader: Grain, upstream: Grain, key: str, expected: tuple[str, str, int]
) -> None:
    assert span(mapping, reader, upstream, key) == expected


@example(key="1995-10-14", width=1, zone="America/Sao_Paulo")  # the midnight at its end does not exist
@given(key=days, width=st.sampled_from([1, 2, 7, 99, 365]), zone=st.sampled_from(["UTC", LONDON, "America/Sao_Paulo"]))
def test_a_window_of_days_over_hours_holds_just_the_hours_of_these_days(key: str, width: int, zone: str) -> None:
    """However long the days are on which clocks are set."""
    day, hour = Daily(tz=zone), Hourly()
    last = day.ordinal(key)
    wanted = [ordinal for each in range(last - width + 1, last + 1) for ordinal in parts().ordinals(day, hour, each)]
    assert list(trailing(days=width).ordinals(day, hour, last)) == wanted


def test_a_window_wider_than_any_history_reaches_back_as_far_as_it_says_and_does_not_fail() -> None:
    """The planner cuts it to what exists."""
    for mapping, upstream in [(trailing(days=10**7), Hourly()), (trailing(weeks=10**6), Daily())]:
        ordinals = mapping.ordinals(Daily(), upstream, Daily().ordinal("2011-01-05"))
        assert upstream.key(ordinals[-1]) in ("2011-01-05T23", "2011-01-05")
        assert ordinals[0] < upstream.ordinal("0002-01-01" + ("T00" if isinstance(upstream, Hourly) else ""))


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream", "hint"),
    [
        (trailing(days=28), Daily(), Weekly(), "trailing(weeks=4)"),
        (trailing(months=1), Daily(), Daily(), "trailing(days=4)"),
        (trailing(months=1), Monthly(), Hourly(), "trailing(hours=4)"),
        (trailing(hours=1), Daily(), Daily(), "trailing(days=4)"),
        (trailing(days=1), Static(["uk"]), Daily(), "parts() or latest()"),
        (trailing(days=1), Unpartitioned(), Daily(), "parts() or latest()"),
        (trailing(days=1), Daily(), Static(["uk"]), "partitioned by time"),
    ],
)
def test_a_window_that_cannot_be_laid_is_refused_with_one_that_can(
    mapping: Mapping, reader: Grain, upstream: Grain, hint: str
) -> None:
    assert hint in (mapping.check(reader, upstream) or "")


# -- parts


@pytest.mark.parametrize(
    ("reader", "upstream", "key", "expected"),
    [
        (Weekly(), Daily(), "2010-12-27", ("2010-12-27", "2011-01-02", 7)),
        (Monthly(), Daily(), "2011-02", ("2011-02-01", "2011-02-28", 28)),
        (Monthly(), Daily(), "2012-02", ("2012-02-01", "2012-02-29", 29)),
        (Monthly(tz=LONDON), Daily(tz=LONDON), "2010-12", ("2010-12-01", "2010-12-31", 31)),
        (Daily(), Hourly(), "2011-03-27", ("2011-03-27T00", "2011-03-27T23", 24)),
        (Daily(tz=LONDON), Hourly(), "2011-03-27", ("2011-03-27T00", "2011-03-27T22", 23)),
        (Daily(tz=LONDON), Hourly(), "2011-10-30", ("2011-10-29T23", "2011-10-30T23", 25)),
        (Weekly(tz=LONDON), Hourly(), "2011-03-21", ("2011-03-21T00", "2011-03-27T22", 167)),
        (Monthly(tz=LONDON), Hourly(), "2011-03", ("2011-03-01T00", "2011-03-31T22", 31 * 24 - 1)),
    ],
)
def test_parts_are_all_partitions_within_the_coarser_period(
    reader: Grain, upstream: Grain, key: str, expected: tuple[str, str, int]
) -> None:
    assert span(parts(), reader, upstream, key) == expected


@given(
    pair=st.sampled_from(
        [
            (Weekly(tz=LONDON), Daily(tz=LONDON)),
            (Monthly(tz=LONDON), Daily(tz=LONDON)),
            (Daily(tz="America/Sao_Paulo"), Hourly()),
            (Monthly(tz="Pacific/Apia"), Hourly()),
        ]
    ),
    instant=st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_every_part_belongs_to_exactly_one_coarser_period(pair: tuple[TimeGrain, TimeGrain], instant: datetime) -> None:
    reader, upstream = pair
    whole, part = reader.containing(instant), upstream.containing(instant)
    assert part in parts().ordinals(reader, upstream, whole)
    assert part not in parts().ordinals(reader, upstream, whole - 1)
    assert part not in parts().ordinals(reader, upstream, whole + 1)
    for ordinal in parts().ordinals(reader, upstream, whole):
        assert reader.begins(whole) <= upstream.begins(ordinal)
        assert upstream.ends(ordinal) <= reader.ends(whole)


@pytest.mark.parametrize("upstream", [Daily(), Hourly(), Static(["uk", "eu"]), Unpartitioned()])
def test_an_asset_without_partitions_reads_all_parts_there_are(upstream: Grain) -> None:
    assert parts().check(Unpartitioned(), upstream) is None
    assert parts().ordinals(Unpartitioned(), upstream, 0) == range(BEGINNING, END)


@pytest.mark.parametrize(
    ("reader", "upstream", "hint"),
    [
        (Daily(), Daily(), "no parts of daily:UTC ones"),
        (Daily(), Weekly(), "latest() or trailing()"),
        (Monthly(), Weekly(), "weeks straddle months"),
        (Weekly(tz=LONDON), Daily(), "give both one tz"),
        (Daily(tz="Asia/Kolkata"), Hourly(), "straddle the midnights"),
        (Monthly(tz="Australia/Lord_Howe"), Hourly(), "straddle the midnights"),
        (Static(["uk"]), Daily(), "coarser period"),
        (Daily(), Static(["uk"]), "coarser period"),
    ],
)
def test_parts_that_do_not_add_up_are_refused(reader: Grain, upstream: Grain, hint: str) -> None:
    assert hint in (parts().check(reader, upstream) or "")


# -- the newest one


@pytest.mark.parametrize(
    ("reader", "upstream", "key", "expected"),
    [
        (Daily(), Daily(), "2011-01-05", "2011-01-05"),
        (Weekly(), Daily(), "2010-12-27", "2011-01-02"),
        (Daily(), Weekly(), "2011-01-01", "2010-12-20"),
        (Daily(), Weekly(), "2011-01-02", "2010-12-27"),
        (Daily(tz=LONDON), Hourly(), "2011-07-01", "2011-07-01T22"),
        (Monthly(), Weekly(), "2011-01", "2011-01-24"),
    ],
)
def test_latest_looks_for_the_newest_up_to_the_end_of_the_readers_period(
    reader: Grain, upstream: Grain, key: str, expected: str
) -> None:
    ordinals = latest().ordinals(reader, upstream, reader.ordinal(key))
    assert upstream.key(ordinals[-1]) == expected
    assert ordinals.start == BEGINNING


@pytest.mark.parametrize(("reader", "upstream"), [(Daily(), Unpartitioned()), (Static(["uk"]), Daily())])
def test_latest_of_what_does_not_go_by_the_readers_time_takes_any(reader: Grain, upstream: Grain) -> None:
    assert latest().check(reader, upstream) is None
    assert 0 in latest().ordinals(reader, upstream, 0)


def test_latest_of_static_partitions_is_refused() -> None:
    assert "use parts()" in (latest().check(Daily(), Static(["uk"])) or "")


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream", "key", "expected"),
    [
        (last_known(days=7), Daily(), Daily(), "2011-01-03", ("2010-12-27", "2011-01-03", 8)),
        (last_known(days=1), Daily(), Daily(), "2012-03-01", ("2012-02-29", "2012-03-01", 2)),
        (last_known(days=3), Weekly(), Daily(), "2010-12-27", ("2010-12-30", "2011-01-02", 4)),
        (last_known(weeks=1), Daily(), Weekly(), "2011-01-05", ("2010-12-20", "2010-12-27", 2)),
        (last_known(months=1), Monthly(), Monthly(), "2011-01", ("2010-12", "2011-01", 2)),
    ],
)
def test_last_known_looks_at_the_own_period_and_so_many_before_it(
    mapping: Mapping, reader: Grain, upstream: Grain, key: str, expected: tuple[str, str, int]
) -> None:
    assert span(mapping, reader, upstream, key) == expected


@pytest.mark.parametrize(
    ("mapping", "reader", "upstream", "hint"),
    [
        (last_known(days=7), Daily(), Weekly(), "count in weeks"),
        (last_known(weeks=1), Daily(), Daily(), "count in days"),
        (last_known(days=7), Daily(), Unpartitioned(), "use latest()"),
        (last_known(days=7), Static(["uk"]), Daily(), "use latest()"),
    ],
)
def test_a_limit_that_cannot_be_counted_is_refused(mapping: Mapping, reader: Grain, upstream: Grain, hint: str) -> None:
    assert hint in (mapping.check(reader, upstream) or "")


# -- previous


def test_previous_looks_at_everything_before_the_own_period_and_never_at_it() -> None:
    day = Daily()
    ordinals = previous().ordinals(day, day, day.ordinal("2011-03-01"))
    assert day.key(ordinals[-1]) == "2011-02-28"
    assert ordinals.start == BEGINNING


@pytest.mark.parametrize("grain", [Static(["uk"]), Unpartitioned()])
def test_only_an_asset_of_time_has_a_past(grain: Grain) -> None:
    assert "partitioned by time" in (previous().check(grain, grain) or "")


# -- how mappings are written


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        (lambda: trailing(), "days=28"),
        (lambda: trailing(days=1, weeks=1), "one width"),
        (lambda: trailing(days=0), "1 or more"),
        (lambda: trailing(days=-1), "1 or more"),
        (lambda: trailing(days=1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: trailing(days=True), "whole number"),
        (lambda: last_known(), r"last_known\(days=28\)"),
        (lambda: last_known(months="1"), "whole number"),  # type: ignore[arg-type]
    ],
)
def test_a_width_is_one_whole_number_of_one_unit(written: object, mend: str) -> None:
    assert callable(written)
    with pytest.raises(DefinitionError, match=mend):
        written()


def test_a_mapping_is_shown_as_it_is_written_and_digested_by_what_it_selects() -> None:
    """What readers wait for is no part of what they read: strict= and early= change no selection."""
    assert str(trailing(days=28)) == "trailing(days=28)"
    assert str(last_known(weeks=2)) == "last_known(weeks=2)"
    assert str(same()) == "same()"
    assert trailing(days=28, strict=True, early=True).canonical() == trailing(days=28).canonical()
    texts = [trailing(days=7), trailing(weeks=1), trailing(hours=7), last_known(days=7), same(), parts(), latest()]
    assert len({each.canonical() for each in texts}) == len(texts)


@pytest.mark.parametrize(("mapping", "windowed"), [(trailing(days=1), True), (parts(), True), (same(), False)])
def test_windows_alone_arrive_concatenated(mapping: Mapping, windowed: bool) -> None:
    assert isinstance(mapping, Window) is windowed
