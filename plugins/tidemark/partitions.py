"""Grains: how an asset is cut into partitions, and when each partition's period has ended.

Every grain numbers its partitions with consecutive integers (ordinals), so that windows are ranges and neighbours are
plus or minus one; people and the ledger see keys, such as ``2011-01-05``. ``grain.key(grain.ordinal(key)) == key`` for
every valid key, and ordinals of time grains rise with time.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import ClassVar
from zoneinfo import ZoneInfo

from tidemark.errors import DefinitionError, UsageError

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Partition:
    """One key of an asset's grain, as an asset's function receives it.

    Attributes:
        key: the key, such as ``2011-01-05``; ``all`` for an asset without partitions.
        start: first instant of the period, in the grain's zone; None where the grain is not one of time.
        end: first instant after the period, in the grain's zone; None where the grain is not one of time.

    """

    key: str
    start: datetime | None = None
    end: datetime | None = None

    @property
    def date(self) -> date:
        """Return the local calendar day on which the period starts.

        Raises:
            UsageError: when the grain is not one of time.

        """
        if self.start is None:
            raise UsageError(f"partition {self.key!r} has no date: its asset is not partitioned by time")
        return self.start.date()

    def __str__(self) -> str:
        return self.key


def known_zone(name: str, where: str) -> ZoneInfo:
    """Return a time zone.

    Args:
        name: its name.
        where: what gives it, for the message.

    Raises:
        DefinitionError: there is none of that name.

    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as problem:
        raise DefinitionError(
            f"{where}: {name!r} is no time zone: use a name such as 'Europe/London' or 'UTC'"
        ) from problem


@dataclass(frozen=True)
class Grain(ABC):
    """What all grains share: ordinals, keys, and (for time grains) periods in a zone."""

    name: ClassVar[str]
    is_time: ClassVar[bool] = True

    @property
    def scheme(self) -> str:
        """The name under which the ledger keeps this grain's keys; equal schemes have equal keys and periods."""
        return self.name

    @abstractmethod
    def ordinal(self, key: str) -> int:
        """Return the number of a key.

        Raises:
            UsageError: when the key is not one of this grain; the message shows what one looks like.

        """

    @abstractmethod
    def key(self, ordinal: int) -> str:
        """Return the key of a number."""

    def partition(self, ordinal: int) -> Partition:
        """Return the partition with its period in the grain's zone."""
        return Partition(self.key(ordinal))

    def canonical(self) -> tuple[object, ...]:
        """Return what identifies the grain, as values that can be digested."""
        return (self.scheme,)


@dataclass(frozen=True)
class TimeGrain(Grain):
    """A grain of consecutive periods of time.

    Args:
        tz: the zone whose clock decides when a period starts and ends.
        start: key of the first partition; without it the first delivery decides.

    """

    tz: str = "UTC"
    start: str | None = None
    pattern: ClassVar[re.Pattern[str]]
    example: ClassVar[str]

    def __post_init__(self) -> None:
        known_zone(self.tz, "tz")
        if self.start is not None:
            try:
                self.ordinal(self.start)
            except UsageError as problem:
                raise DefinitionError(f"{type(self).__name__}(start={self.start!r}): {problem}") from problem

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose clock decides when a period starts and ends."""
        return known_zone(self.tz, "tz")

    @property
    def scheme(self) -> str:
        """The name under which the ledger keeps this grain's keys: kind and zone."""
        return f"{self.name}:{self.tz}"

    @property
    def first(self) -> int | None:
        """Ordinal of ``start``, or None when the first delivery decides."""
        return None if self.start is None else self.ordinal(self.start)

    @abstractmethod
    def _start_of(self, ordinal: int) -> datetime:
        """Return the wall-clock start of a period, without a zone."""

    @abstractmethod
    def _containing(self, local: datetime) -> int:
        """Return the ordinal of the period that holds a wall-clock time of the grain's zone."""

    def ordinal(self, key: str) -> int:
        """Return the number of a key, counted from 1970 (months: from the year 0).

        Raises:
            UsageError: when the key is not one of this grain; the message shows what one looks like.

        """
        return self._containing(self._parsed(key))

    def _parsed(self, key: str, rest: str = "") -> datetime:
        """Return what a key, made a whole date by what is put behind it, says."""
        problem = ""
        # Years in which every period, and the one after it, can be told in every zone.
        if self.pattern.fullmatch(key) and "0002" <= key[:4] <= "9998":
            try:
                return datetime.fromisoformat(key + rest)
            except ValueError as found:
                problem = f" ({found})"
        raise UsageError(f"{key!r} is no {self.name} partition{problem}: use a key such as {self.example!r}")

    def begins(self, ordinal: int) -> datetime:
        """Return the first instant of a period, in UTC; a local midnight that does not exist moves to the gap's end."""
        return _started(self._start_of(ordinal), self.tz)

    def ends(self, ordinal: int) -> datetime:
        """Return the first instant after a period, in UTC."""
        return self.begins(ordinal + 1)

    def containing(self, instant: datetime) -> int:
        """Return the ordinal of the period that holds an instant."""
        instant = instant.astimezone(UTC)
        ordinal = self._containing(instant.astimezone(self.zone))
        # Where the clock was set back over a period's start, the wall clock alone is off by one.
        while self.begins(ordinal) > instant:
            ordinal -= 1
        while self.ends(ordinal) <= instant:
            ordinal += 1
        return ordinal

    def last_ended(self, instant: datetime) -> int:
        """Return the ordinal of the newest period that has ended at an instant."""
        return self.containing(instant) - 1

    def first_since(self, instant: datetime) -> int:
        """Return the ordinal of the first period that begins at an instant or after it."""
        instant = instant.astimezone(UTC)
        ordinal = self.containing(instant)
        if self.begins(ordinal) < instant:
            return ordinal + 1
        # A day that a zone left out begins at the same instant as the next.
        while self.begins(ordinal - 1) == instant:
            ordinal -= 1
        return ordinal

    def partition(self, ordinal: int) -> Partition:
        """Return the partition with its period in the grain's zone."""
        return Partition(
            self.key(ordinal), self.begins(ordinal).astimezone(self.zone), self.ends(ordinal).astimezone(self.zone)
        )


def clock_reaches(local: datetime) -> datetime:
    """Return the first instant, in UTC, at which the clock of a time's zone shows that time or a later one.

    The first of two, where the clock is set back; the end of the gap, where it is set forward over the time. So a
    later time is never reached earlier.
    """
    instant = local.astimezone(UTC)
    shown = instant.astimezone(local.tzinfo)
    if shown == local:
        return instant
    # Python moves a time within a gap forward by the gap's length (PEP 495), past times that do exist.
    before = instant - (shown - local)
    while instant - before > _SECOND:
        middle = before + (instant - before) // _SECOND // 2 * _SECOND
        before, instant = (before, middle) if middle.astimezone(local.tzinfo) >= local else (middle, instant)
    return instant


@lru_cache(maxsize=2**13)  # some 20 years of days; a plan asks for the same ones over and over
def _started(local: datetime, tz: str) -> datetime:
    """Return the instant, in UTC, of a wall-clock time without a zone."""
    # combine() takes a quarter of the time of local.replace(tzinfo=...).
    return clock_reaches(datetime.combine(local, local.time(), known_zone(tz, "tz")))


@dataclass(frozen=True)
class Hourly(TimeGrain):
    """One partition an hour, in UTC: ``2011-01-05T06``."""

    name = "hourly"
    pattern = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3])", re.ASCII)
    example = "2011-01-05T06"

    def __post_init__(self) -> None:
        if self.tz != "UTC":
            raise DefinitionError("Hourly() has no tz: its keys are hours of UTC, since local hours repeat and vanish")
        super().__post_init__()

    def key(self, ordinal: int) -> str:
        """Return the key of a number of hours from 1970."""
        return self._start_of(ordinal).isoformat(timespec="hours")

    def begins(self, ordinal: int) -> datetime:
        """Return the first instant of an hour, in UTC."""
        return _EPOCH_UTC + ordinal * _HOUR

    def containing(self, instant: datetime) -> int:
        """Return the ordinal of the hour that holds an instant."""
        return (instant - _EPOCH_UTC) // _HOUR

    def _start_of(self, ordinal: int) -> datetime:
        return _EPOCH + ordinal * _HOUR

    def _containing(self, local: datetime) -> int:
        return (local - _EPOCH) // _HOUR


@dataclass(frozen=True)
class Daily(TimeGrain):
    """One partition a calendar day: ``2011-01-05``."""

    name = "daily"
    pattern = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
    example = "2011-01-05"

    def key(self, ordinal: int) -> str:
        """Return the key of a number of days from 1970."""
        return (_EPOCH_DAY + timedelta(ordinal)).isoformat()

    def _start_of(self, ordinal: int) -> datetime:
        return _EPOCH + timedelta(ordinal)

    def _containing(self, local: datetime) -> int:
        return (local.date() - _EPOCH_DAY).days


# 1970-01-05 was a Monday: week 0.
_MONDAY = date(1970, 1, 5)


@dataclass(frozen=True)
class Weekly(TimeGrain):
    """One partition an ISO week, named by its Monday: ``2011-01-03``."""

    name = "weekly"
    pattern = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
    example = "2011-01-03"

    def ordinal(self, key: str) -> int:
        """Return the weeks from January 1970 to a key."""
        ordinal = super().ordinal(key)
        monday = self.key(ordinal)
        if key != monday:
            raise UsageError(f"{key!r} is no Monday: a week is named by its Monday, here {monday!r}")
        return ordinal

    def key(self, ordinal: int) -> str:
        """Return the Monday of a week."""
        return (_MONDAY + timedelta(weeks=ordinal)).isoformat()

    def _start_of(self, ordinal: int) -> datetime:
        return datetime.combine(_MONDAY + timedelta(7 * ordinal), time.min)

    def _containing(self, local: datetime) -> int:
        return (local.date() - _MONDAY).days // 7


@dataclass(frozen=True)
class Monthly(TimeGrain):
    """One partition a calendar month: ``2011-01``."""

    name = "monthly"
    pattern = re.compile(r"\d{4}-\d\d", re.ASCII)
    example = "2011-01"

    def ordinal(self, key: str) -> int:
        """Return the months from January of the year 0 to a key."""
        return self._containing(self._parsed(key, "-01"))

    def key(self, ordinal: int) -> str:
        """Return the key of a number of months."""
        return f"{ordinal // 12:04d}-{ordinal % 12 + 1:02d}"

    def _start_of(self, ordinal: int) -> datetime:
        return datetime(ordinal // 12, ordinal % 12 + 1, 1)

    def _containing(self, local: datetime) -> int:
        return local.year * 12 + local.month - 1


@dataclass(frozen=True)
class Static(Grain):
    """A fixed set of keys, such as countries.

    Args:
        keys: the keys, each once; letters, digits, ``.``, ``_``, ``-``.

    """

    keys: Sequence[str] = field(default=())
    name = "static"
    is_time = False

    def __post_init__(self) -> None:
        if isinstance(self.keys, str):
            raise DefinitionError(f"Static({self.keys!r}): give a list, Static([{self.keys!r}])")
        object.__setattr__(self, "keys", tuple(self.keys))
        if not self.keys:
            raise DefinitionError("Static() needs at least one key, such as Static(['uk', 'eu'])")
        for key in self.keys:
            if not isinstance(key, str) or not re.fullmatch(r"[\w][\w.\-]*", key):
                raise DefinitionError(f"Static key {key!r}: use letters, digits, '.', '_' and '-' only")
        if len(set(self.keys)) != len(self.keys):
            raise DefinitionError(f"Static keys must differ: {', '.join(self.keys)}")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}

    def ordinal(self, key: str) -> int:
        """Return the place of a key."""
        try:
            return self._numbers[key]
        except KeyError:
            raise UsageError(f"{key!r} is none of the static partitions: {', '.join(self.keys)}") from None

    def holds(self, key: str) -> bool:
        """Return whether a key is one of them."""
        return key in self._numbers

    def key(self, ordinal: int) -> str:
        """Return the key at a place."""
        return self.keys[ordinal]

    def canonical(self) -> tuple[object, ...]:
        """Return kind and keys."""
        return (self.scheme, self.keys)


@dataclass(frozen=True)
class Unpartitioned(Grain):
    """One partition, ``all``."""

    name = "unpartitioned"
    is_time = False

    def ordinal(self, key: str) -> int:
        """Return 0."""
        if key != "all":
            raise UsageError(f"{key!r}: an asset without partitions has the single partition 'all'")
        return 0

    def key(self, ordinal: int) -> str:
        """Return ``all``."""
        return "all"


def grain_of(scheme: str, keys: Sequence[str] = (), start: str | None = None) -> Grain:
    """Return the grain that a ledger's scheme names; ``keys`` are those of a static one, ``start`` that of one of time.

    Raises:
        UsageError: for a scheme that this version does not know.

    """
    kind, _, tz = scheme.partition(":")
    for grain in (Hourly, Daily, Weekly, Monthly):
        if kind == grain.name:
            return grain(tz=tz, start=start)
    if kind == Unpartitioned.name:
        return Unpartitioned()
    if kind == Static.name:
        return Static(keys)
    raise UsageError(f"the ledger holds partitions of an unknown scheme {scheme!r}: is it of a newer Tidemark?")
