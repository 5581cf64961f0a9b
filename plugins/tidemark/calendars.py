"""Calendars: on which days a source's deliveries are expected, when each is due, and durations in words.

Pure functions of dates and zones: they never look at the clock, so that a plan made for an instant in the past answers
as it would have then. What a calendar says changes only with its definition or with the installed ``holidays`` package,
and :meth:`Calendar.canonical` names both.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache, cached_property
from typing import Any
from zoneinfo import ZoneInfo

from tidemark.errors import DefinitionError
from tidemark.partitions import known_zone

_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_EASTER = "easter"


@dataclass(frozen=True)
class Calendar:
    """The days on which deliveries are expected.

    Args:
        days: weekdays, as ranges that may wrap (``SUN-FRI``) and single days, separated by commas.
        holidays: days off, by their name in the ``holidays`` package: a country (``GB``), a country and its part
            (``GB-ENG``), or a market (``ECB``, the days on which the euro's payment system TARGET rests).
        closed: further days off, both ends included: every year's ``12-24`` or ``12-24..01-03`` (over the turn of the
            year if need be), a date ``2011-04-29``, dates ``2011-04-29..2011-05-02``, and ``easter``, which is Good
            Friday to Easter Monday.

    Raises:
        DefinitionError: when one of them cannot be read. A name that the ``holidays`` package does not know is found
            out by the first question, not here: importing it would cost every reader of the definition a quarter of a
            second.

    """

    days: str = "MON-SUN"
    holidays: str | None = field(default=None, kw_only=True)
    closed: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.closed, str):
            raise DefinitionError(f"Calendar(closed={self.closed!r}): give a list, closed=[{self.closed!r}]")
        object.__setattr__(self, "closed", tuple(self.closed))
        if self.holidays is not None and not re.fullmatch(r"[A-Z0-9]+(-\w+)?", self.holidays):
            raise DefinitionError(
                f"Calendar(holidays={self.holidays!r}): give a country 'GB', a part of one 'GB-ENG', or a market 'ECB'"
            )
        # Read now, so that a mistake shows where it was written.
        _ = self._weekdays, self._closures

    @cached_property
    def _weekdays(self) -> frozenset[int]:
        return frozenset(day for part in self.days.split(",") for day in _weekday_range(part.strip(), self.days))

    @cached_property
    def _closures(self) -> "tuple[_Closure, ...]":
        return tuple(_closure(text) for text in self.closed)

    def expects(self, day: date) -> bool:
        """Return whether a delivery is expected for a day.

        Raises:
            DefinitionError: when the ``holidays`` package does not know the calendar's holidays.

        """
        if isinstance(day, datetime):
            day = day.date()
        if day.weekday() not in self._weekdays or any(closure.holds(day) for closure in self._closures):
            return False
        return self.holidays is None or day not in _public_holidays(self.holidays, day.year)

    def canonical(self) -> tuple[object, ...]:
        """Return what can change an answer, as values that can be digested."""
        version = None if self.holidays is None else _holidays_version()
        return ("calendar", tuple(sorted(self._weekdays)), self.holidays, version, tuple(self.closed))

    def to_json(self) -> dict[str, Any]:
        """Return the calendar as the ledger keeps it."""
        return {"days": self.days, "holidays": self.holidays, "closed": list(self.closed)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Calendar":
        """Return the calendar that :meth:`to_json` wrote."""
        return cls(kept["days"], holidays=kept["holidays"], closed=kept["closed"])


def _weekday_range(text: str, days: str) -> list[int]:
    first, _, last = text.partition("-")
    try:
        start, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last or first)
    except ValueError as problem:
        raise DefinitionError(
            f"Calendar({days!r}): {text!r} is no weekday or range of them: write 'MON-FRI', 'SUN-FRI' or 'MON,WED,FRI'"
        ) from problem
    return [(start + step) % 7 for step in range((end - start) % 7 + 1)]


@dataclass(frozen=True)
class _Closure:
    """Days off from ``first`` to ``last``: both ``MM-DD`` for every year or both ``YYYY-MM-DD``; or Easter's."""

    first: str
    last: str

    def holds(self, day: date) -> bool:
        """Return whether a day is one of them."""
        if self.first == _EASTER:
            return -2 <= (day - _easter_sunday(day.year)).days <= 1
        # ISO dates sort as text, and so do their months and days alone.
        text = day.isoformat()[-len(self.first) :]
        if self.first <= self.last:
            return self.first <= text <= self.last
        return text >= self.first or text <= self.last


def _closure(text: str) -> _Closure:
    if text == _EASTER:
        return _Closure(_EASTER, _EASTER)
    first, dots, last = text.partition("..")
    last = last if dots else first
    if not (_is_day(first) and _is_day(last) and len(first) == len(last)):
        raise DefinitionError(
            f"Calendar(closed=[{text!r}]): write every year's '12-24' or '12-24..01-03', a date '2011-04-29', "
            f"dates '2011-04-29..2011-05-02', or {_EASTER!r}"
        )
    if len(first) == len("2011-04-29") and first > last:
        raise DefinitionError(f"Calendar(closed=[{text!r}]): it ends before it starts: swap the two dates")
    return _Closure(first, last)


def _is_day(text: str) -> bool:
    """Return whether a text is a date, or a month and day that at least leap years have."""
    if not re.fullmatch(r"(\d{4}-)?\d\d-\d\d", text):
        return False
    try:
        date.fromisoformat(text if len(text) == len("2011-04-29") else f"2000-{text}")
    except ValueError:
        return False
    return True


@cache
def _easter_sunday(year: int) -> date:
    from dateutil.easter import easter  # type: ignore[import-untyped]

    sunday: date = easter(year)
    return sunday


@cache
def _public_holidays(name: str, year: int) -> frozenset[date]:
    """Return the days off of a country, a part of one, or a market, in a year."""
    import holidays

    if name in holidays.list_supported_financial():
        return frozenset(holidays.financial_holidays(name, years=year))
    country, _, part = name.partition("-")
    parts = holidays.list_supported_countries(include_aliases=True).get(country)
    if parts is None or (part and part not in parts):
        raise DefinitionError(
            f"Calendar(holidays={name!r}): the package holidays {_holidays_version()} does not know it: "
            "give a country 'GB', a part of one 'GB-ENG', or a market 'ECB' that it lists"
        )
    return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))


@cache
def _holidays_version() -> str:
    from importlib.metadata import version

    return version("holidays")


_UNITS = {"week": timedelta(weeks=1), "day": timedelta(1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}


def _take_durations(words: list[str]) -> dict[str, int]:
    """Take leading pairs of a whole number and a unit off a list of words; return the number of each unit."""
    counts: dict[str, int] = {}
    while len(words) >= 2 and re.fullmatch(r"\d{1,6}", words[0]) and words[1].removesuffix("s") in _UNITS:
        unit = words[1].removesuffix("s")
        if unit in counts:
            break
        counts[unit] = int(words[0])
        del words[:2]
    return counts


def parse_duration(text: str) -> timedelta:
    """Return a duration said in words: ``35 days``, ``36 hours``, ``1 day 12 hours``; a day is 24 hours.

    Raises:
        DefinitionError: when it cannot be read, or is nothing.

    """
    words = text.split()
    duration = sum((_UNITS[unit] * count for unit, count in _take_durations(words).items()), timedelta())
    if words or not duration:
        raise DefinitionError(
            f"{text!r} is no duration: write whole numbers of weeks, days, hours or minutes, "
            "such as '35 days' or '1 day 12 hours'"
        )
    return duration


@dataclass(frozen=True)
class Due:
    """When a delivery is due, counted from the start of its period.

    Attributes:
        days: calendar days, each as long as it is in the zone.
        elapsed: time to wait on top, in real hours and minutes.
        clock: time of day; without it, that of the start of the period.
        zone: the zone of clock and days; without it, the zone of the start of the period.

    """

    days: int = 0
    elapsed: timedelta = timedelta()
    clock: time | None = None
    zone: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Due":
        """Read ``16:30 Europe/Berlin``, ``1 day 02:00 Europe/London``, ``90 minutes`` or ``2 days``.

        Raises:
            DefinitionError: when it cannot be read.

        """
        words = text.split()
        counts = _take_durations(words)
        clock = _clock(words.pop(0)) if words and ":" in words[0] else None
        zone = words.pop(0) if words else None
        if words or (not counts and clock is None) or (clock is not None and counts.keys() & {"hour", "minute"}):
            raise DefinitionError(
                f"due={text!r}: write '16:30 Europe/Berlin' (that time on the first day of the period), "
                "'1 day 02:00 Europe/London' (a day later), or a duration such as '90 minutes' or '2 days'"
            )
        if zone is not None:
            known_zone(zone, f"due={text!r}")
        elapsed = timedelta(hours=counts.get("hour", 0), minutes=counts.get("minute", 0))
        return cls(counts.get("week", 0) * 7 + counts.get("day", 0), elapsed, clock, zone)

    def at(self, period_start: date) -> datetime:
        """Return the instant at which the delivery for a period is due.

        Args:
            period_start: the first instant of the period, an aware datetime in the zone of its grain; or a date, which
                stands for its midnight in the due's zone (UTC without one).

        Returns:
            An aware datetime in UTC: the first time that the clock of the zone shows the due's time of day at or after
            the start, so many days later. A local time that does not exist moves forward past the gap; of one that
            comes twice the first counts.

        Raises:
            ValueError: when a datetime has no zone.

        """
        start, zone = self._start(period_start)
        local = start.astimezone(zone).replace(tzinfo=None)
        if self.clock is not None:
            local = datetime.combine(local, self.clock)
            if _instant(local, zone) < start:
                local += timedelta(1)
        return _instant(local + timedelta(self.days), zone) + self.elapsed

    def _start(self, period_start: date) -> tuple[datetime, tzinfo]:
        """Return the start of the period as an instant, and the zone to count in."""
        own_zone = period_start.tzinfo if isinstance(period_start, datetime) else UTC
        if own_zone is None:
            raise ValueError(f"the period's start {period_start} has no zone, so it is no instant")
        zone = own_zone if self.zone is None else ZoneInfo(self.zone)
        if isinstance(period_start, datetime):
            return period_start, zone
        return _instant(datetime.combine(period_start, time()), zone), zone

    def canonical(self) -> tuple[object, ...]:
        """Return what can change an answer, as values that can be digested."""
        return ("due", self.days, self.elapsed, None if self.clock is None else self.clock.isoformat(), self.zone)

    def to_json(self) -> dict[str, Any]:
        """Return the rule as the ledger keeps it."""
        clock = None if self.clock is None else self.clock.isoformat()
        return {"days": self.days, "seconds": self.elapsed.total_seconds(), "clock": clock, "zone": self.zone}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Due":
        """Return the rule that :meth:`to_json` wrote."""
        clock = None if kept["clock"] is None else time.fromisoformat(kept["clock"])
        return cls(kept["days"], timedelta(seconds=kept["seconds"]), clock, kept["zone"])


def _instant(local: datetime, zone: tzinfo) -> datetime:
    # Python reads a time within a gap with the offset from before it (PEP 495), which is just the move forward; and of
    # a time that comes twice, fold=0 is the first.
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _clock(text: str) -> time:
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        return time.fromisoformat(text)
    raise DefinitionError(
        f"due: {text!r} is no time of day: write hours and minutes from 00:00 to 23:59, such as '02:00'"
    )
