"""Routes: who is told of an incident, by how bad it is, whose it is, and the hour; and who has subscribed to what."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tidemark.errors import UsageError
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import REPORT, Notice

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = re.compile(r"(?:(?P<days>[A-Za-z,-]+) +)?(?P<first>\d\d:\d\d)-(?P<last>\d\d:\d\d) +(?P<zone>\S+)")


@dataclass(frozen=True)
class Hours:
    """A part of the week, by the clock of a zone.

    Attributes:
        days: the days on which it begins, Monday being 0.
        first: when it begins.
        last: when it ends, on the next day if that is not after ``first``.
        zone: whose clock.

    """

    days: frozenset[int]
    first: time
    last: time
    zone: ZoneInfo

    def hold(self, at: datetime) -> bool:
        """Return whether an instant is within it."""
        there = at.astimezone(self.zone)
        today, now = there.weekday(), there.time()
        if self.first < self.last:
            return today in self.days and self.first <= now < self.last
        yesterday = (there - timedelta(days=1)).weekday()
        return (today in self.days and now >= self.first) or (yesterday in self.days and now < self.last)


def parse_hours(text: str) -> Hours:
    """Read hours such as ``Mon-Fri 08:00-18:00 Europe/London``; without days they are every day's.

    Raises:
        UsageError: when they are none.

    """
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} are no hours: write 'Mon-Fri 08:00-18:00 Europe/London'")
    try:
        first, last = (time.fromisoformat(match[name]) for name in ("first", "last"))
        return Hours(_days(match["days"] or "Mon-Sun"), first, last, ZoneInfo(match["zone"]))
    except (ValueError, KeyError, OSError) as problem:
        said = problem.args[-1]  # a KeyError would quote it
        raise UsageError(f"{text!r} are no hours: {said}") from None


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, end = _day(first), _day(last or first)
        found.update((start + each) % 7 for each in range((end - start) % 7 + 1))
    return frozenset(found)


def _day(text: str) -> int:
    if text.title() not in DAYS:
        raise ValueError(f"{text!r} is no day of the week; write {', '.join(DAYS)}")
    return DAYS.index(text.title())


@dataclass(frozen=True)
class Route:
    """Who is told of which incidents; what is empty fits all.

    Attributes:
        severity, cause, pipeline, owner: of which incidents.
        hours: at what hours.
        channels: the names of the channels that are told; none: nobody is.

    """

    severity: frozenset[str] = frozenset()
    cause: frozenset[str] = frozenset()
    pipeline: frozenset[str] = frozenset()
    owner: frozenset[str] = frozenset()
    hours: tuple[Hours, ...] = ()
    channels: tuple[str, ...] = ()

    def fits(self, one: Incident, at: datetime) -> bool:
        """Return whether this is a route for an incident as it is now."""
        said = zip(self._wanted, (one.severity, one.cause, one.pipeline, one.owner), strict=True)
        return all(not wanted or value in wanted for wanted, value in said) and (
            not self.hours or any(each.hold(at) for each in self.hours)
        )

    def covers(self, other: "Route") -> bool:
        """Return whether all that fits another route fits this one too, as far as that shows from their conditions."""
        pairs = zip(self._wanted, other._wanted, strict=True)
        return all(not mine or (theirs and theirs <= mine) for mine, theirs in pairs) and (
            not self.hours or (bool(other.hours) and set(other.hours) <= set(self.hours))
        )

    @property
    def _wanted(self) -> tuple[frozenset[str], ...]:
        return (self.severity, self.cause, self.pipeline, self.owner)


@dataclass(frozen=True)
class Subscription:
    """Who is told of what though nothing is wrong; what is empty fits all.

    Attributes:
        topics: of which topics: of information, ``report`` for reports, or a cause class for incidents that are no
            more than information.
        pipeline, owner: of whose.
        channels: the names of the channels that are told.

    """

    topics: frozenset[str] = frozenset()
    pipeline: frozenset[str] = frozenset()
    owner: frozenset[str] = frozenset()
    channels: tuple[str, ...] = ()

    def fits(self, notice: Notice) -> bool:
        """Return whether a notice was subscribed to."""
        topic = REPORT if notice.kind == REPORT else notice.topic
        said = ((self.topics, topic), (self.pipeline, notice.pipeline), (self.owner, notice.owner))
        return all(not wanted or value in wanted for wanted, value in said)


def routed(routes: Sequence[Route], one: Incident, at: datetime) -> list[str]:
    """Return the channels of the first route that fits an incident."""
    return list(next((each.channels for each in routes if each.fits(one, at)), ()))


def subscribed(subscriptions: Sequence[Subscription], notice: Notice) -> list[str]:
    """Return the channels that have subscribed to what a notice is about."""
    return list(dict.fromkeys(name for each in subscriptions if each.fits(notice) for name in each.channels))
