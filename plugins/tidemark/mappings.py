"""Mappings: which upstream partitions one partition reads.

A mapping answers with a range of upstream ordinals, and says how the range is meant: as exactly one partition
(:class:`Same`), as every member that exists (:class:`Window` mappings), or as the newest one with data
(:class:`Newest` mappings). It knows grains, never the ledger.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from tidemark.errors import DefinitionError
from tidemark.partitions import Daily, Grain, Hourly, Monthly, Static, TimeGrain, Unpartitioned, Weekly, clock_reaches

# Ranges without an end: far beyond any ordinal, and cut by the planner to the partitions that exist.
BEGINNING = -(10**9)
END = 10**9

_FINENESS: dict[type[Grain], int] = {Hourly: 0, Daily: 1, Weekly: 2, Monthly: 3}
_UNITS: dict[str, type[TimeGrain]] = {"hours": Hourly, "days": Daily, "weeks": Weekly, "months": Monthly}
_LENGTHS = {"hours": timedelta(hours=1), "days": timedelta(days=1), "weeks": timedelta(weeks=1)}


@dataclass(frozen=True)
class Mapping(ABC):
    """What all mappings share.

    Attributes:
        strict: a failed upstream blocks the reader instead of being stood in for by its last good head.
        early: the reader does not wait for members that are not yet due.

    """

    name: ClassVar[str]
    strict: bool = field(default=False, kw_only=True)
    early: bool = field(default=False, kw_only=True)

    @abstractmethod
    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why the reader's grain cannot map to the upstream's, with the mend; None if it can."""

    @abstractmethod
    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the upstream ordinals that the reader's partition may read, oldest first.

        The range of a later partition begins no earlier and ends no earlier, in this direction and in that of
        :meth:`feeds`; except between static keys, which meet by name.
        """

    @abstractmethod
    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the reader's ordinals that may read the upstream's partition: the inverse of :meth:`ordinals`.

        For grains that :meth:`check` allows, and partitions that have keys, a reader is in the range if and only if its
        ``ordinals`` hold the upstream's ordinal. The range is empty where nobody reads it, and ends with ``BEGINNING``
        or ``END`` where nothing ends it. It costs the same for any width.
        """

    def canonical(self) -> tuple[object, ...]:
        """Return what identifies the mapping, as values that can be digested."""
        return (self.name,)

    def __str__(self) -> str:
        return f"{self.name}()"


@dataclass(frozen=True)
class Same(Mapping):
    """The upstream partition with the same key."""

    name = "same"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why the grains are not the same, or None."""
        if isinstance(reader, Static) and isinstance(upstream, Static):
            lacking = [key for key in reader.keys if key not in upstream.keys]
            return f"the upstream has no static keys {', '.join(lacking)}: add them there" if lacking else None
        if reader.scheme == upstream.scheme:
            return None
        return (
            f"same() needs equal grains, not {reader.scheme} reading {upstream.scheme}: "
            "use parts() for a coarser reader, latest() or trailing() for a finer one"
        )

    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the one upstream ordinal with the same key."""
        if isinstance(upstream, Static):
            ordinal = upstream.ordinal(reader.key(ordinal))
        return range(ordinal, ordinal + 1)

    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the one reader's ordinal with the same key; none where the reader has no such static key."""
        if isinstance(reader, Static):
            key = upstream.key(ordinal)
            if not reader.holds(key):
                return range(0)
            ordinal = reader.ordinal(key)
        return range(ordinal, ordinal + 1)


def _anchor(reader: Grain, upstream: Grain, ordinal: int) -> int:
    """Return the newest upstream ordinal whose period has ended by the end of the reader's."""
    if not isinstance(upstream, TimeGrain):
        return END
    if reader.scheme == upstream.scheme:
        return ordinal
    return upstream.last_ended(reader.ends(ordinal)) if isinstance(reader, TimeGrain) else END


def _anchored_at(reader: TimeGrain, upstream: Grain, ordinal: int) -> int:
    """Return the reader's first ordinal whose anchor is the upstream's ordinal or a newer one."""
    if not isinstance(upstream, TimeGrain):
        return BEGINNING
    if reader.scheme == upstream.scheme:
        return ordinal
    try:
        return reader.first_since(upstream.ends(ordinal)) - 1
    except (OverflowError, ValueError):  # after the year 9999
        return END


def _every(reader: Grain) -> range:
    """Return the ordinals of all partitions of a grain that is not one of time."""
    return range(len(reader.keys) if isinstance(reader, Static) else 1)


@dataclass(frozen=True)
class Window(Mapping):
    """A mapping whose members arrive together, in time order."""


@dataclass(frozen=True)
class Trailing(Window):
    """The upstream partitions of the last ``count`` units up to the end of the reader's period."""

    count: int = 1
    unit: str = "days"
    name = "trailing"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why the window cannot be laid over the grains, or None."""
        if not isinstance(reader, TimeGrain) or not isinstance(upstream, TimeGrain):
            return f"{self} needs a reader and an upstream partitioned by time: use parts() or latest()"
        unit = _UNITS[self.unit]
        if type(upstream) is unit or (self.unit in _LENGTHS and _FINENESS[type(upstream)] < _FINENESS[unit]):
            return None
        unit_needed = _unit_of(upstream)
        return f"{self} over {upstream.scheme} partitions: count in {unit_needed}, such as trailing({unit_needed}=4)"

    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the window's ordinals, oldest first."""
        last = _anchor(reader, upstream, ordinal)
        assert isinstance(upstream, TimeGrain)
        if type(upstream) is _UNITS[self.unit]:
            return range(last - self.count + 1, last + 1)
        assert isinstance(reader, TimeGrain)
        try:
            first = upstream.containing(self._begins(reader, upstream, last))
        except OverflowError:  # before the year 1
            first = BEGINNING
        return range(first, last + 1)

    def _begins(self, reader: TimeGrain, upstream: TimeGrain, last: int) -> datetime:
        """Return where the window up to a last ordinal begins, counted on the wall clock of the reader's zone."""
        return clock_reaches(_wall_clock(upstream.ends(last), reader.zone) - self.count * _LENGTHS[self.unit])

    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the reader's ordinals whose windows hold the upstream's partition, oldest first."""
        assert isinstance(reader, TimeGrain)
        assert isinstance(upstream, TimeGrain)
        first = _anchored_at(reader, upstream, ordinal)
        if type(upstream) is _UNITS[self.unit]:
            return range(first, _anchored_at(reader, upstream, ordinal + self.count))
        end = upstream.ends(ordinal)

        def is_over(each: int) -> bool:
            return self._begins(reader, upstream, _anchor(reader, upstream, each)) >= end

        try:
            # Exact where no clock is set between the two ends of the window.
            guessed = clock_reaches(_wall_clock(end, reader.zone) + self.count * _LENGTHS[self.unit])
            guess = reader.first_since(guessed) - 1
            return range(first, _first_where(is_over, guess))
        except (OverflowError, ValueError):  # after the year 9999
            return range(first, END)

    def canonical(self) -> tuple[object, ...]:
        """Return name, width and unit."""
        return (self.name, self.count, self.unit)

    def __str__(self) -> str:
        return f"trailing({self.unit}={self.count})"


def _first_where(reached: Callable[[int], bool], guess: int) -> int:
    """Return the first ordinal from which on something is reached: looked for in growing steps from a guess."""
    low, step = guess - 1, 1
    while reached(low):
        low, step = low - step, 2 * step
    high, step = low + 1, 1
    while not reached(high):
        low, high, step = high, high + step, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _wall_clock(end: datetime, zone: ZoneInfo) -> datetime:
    """Return the wall clock at the end of a period; where it is set forward just then, as if it were not."""
    # Python adds to a time with a zone as the hands of its clock move, whatever the zone does in between.
    return (end - datetime.resolution).astimezone(zone) + datetime.resolution


def _unit_of(grain: TimeGrain) -> str:
    return next(unit for unit, kind in _UNITS.items() if type(grain) is kind)


def _offsets(zone: ZoneInfo) -> set[timedelta]:
    """Return by how much a zone's clock is set apart from UTC in the course of a year."""
    offsets = (datetime(2024, month, 1, tzinfo=zone).utcoffset() for month in range(1, 13))
    return {offset for offset in offsets if offset is not None}


@dataclass(frozen=True)
class Parts(Window):
    """All upstream partitions within the reader's coarser period."""

    name = "parts"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why the upstream's periods do not add up to the reader's, or None."""
        if isinstance(reader, Unpartitioned):
            return None
        if not isinstance(reader, TimeGrain) or not isinstance(upstream, TimeGrain):
            return f"parts() needs a reader with a coarser period, not {reader.scheme} reading {upstream.scheme}"
        if _FINENESS[type(upstream)] >= _FINENESS[type(reader)]:
            return f"{upstream.scheme} partitions are no parts of {reader.scheme} ones: use latest() or trailing()"
        if isinstance(upstream, Weekly):
            return "weeks straddle months, so they are no parts of them: read the days, or trailing(weeks=4)"
        if isinstance(upstream, Daily) and upstream.tz != reader.tz:
            return f"days of {upstream.tz} are no parts of periods of {reader.tz}: give both one tz"
        if isinstance(upstream, Hourly) and any(offset % _LENGTHS["hours"] for offset in _offsets(reader.zone)):
            return f"hours of UTC straddle the midnights of {reader.tz}, so they are no parts of its days: use tz='UTC'"
        return None

    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the ordinals of the parts, oldest first."""
        if not isinstance(reader, TimeGrain):
            return range(BEGINNING, END)
        assert isinstance(upstream, TimeGrain)
        return range(upstream.containing(reader.begins(ordinal)), upstream.containing(reader.ends(ordinal)))

    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the one reader's ordinal whose period the upstream's is a part of."""
        if not isinstance(reader, TimeGrain):
            return _every(reader)
        assert isinstance(upstream, TimeGrain)
        whole = reader.first_since(upstream.ends(ordinal)) - 1
        return range(whole, whole + 1)


@dataclass(frozen=True)
class Newest(Mapping):
    """A mapping to the newest partition with data among its candidates; older ones are substitutes for newer ones."""


@dataclass(frozen=True)
class Latest(Newest):
    """The newest upstream partition with data, however old."""

    name = "latest"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why there is no newest partition, or None."""
        return "latest() of static partitions has no meaning: use parts()" if isinstance(upstream, Static) else None

    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return all candidates up to the end of the reader's period, oldest first."""
        return range(BEGINNING, _anchor(reader, upstream, ordinal) + 1)

    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return all readers whose periods end with the upstream's or later; every one where either is not of time."""
        return range(_anchored_at(reader, upstream, ordinal), END) if isinstance(reader, TimeGrain) else _every(reader)


@dataclass(frozen=True)
class InForce(Latest):
    """The champion of a model that is in force in the reader's period: the one promoted last, from then on or before.

    A model's champions are kept by the hour from which each is in force, whatever the grains of model and reader.
    """

    name = "in_force"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why nothing says which champion is in force for a reader, or None."""
        if not isinstance(upstream, Hourly):
            return "in_force() reads the champions of a model, and nothing else: use latest()"
        return None if isinstance(reader, TimeGrain) else "in_force() needs a reader partitioned by time"


@dataclass(frozen=True)
class LastKnown(Newest):
    """The upstream partition of the reader's period or, without data there, the newest before it within a limit."""

    count: int = 1
    unit: str = "days"
    name = "last_known"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why the limit cannot be counted over the grains, or None."""
        if isinstance(upstream, TimeGrain) and isinstance(reader, TimeGrain) and type(upstream) is _UNITS[self.unit]:
            return None
        if isinstance(upstream, TimeGrain) and isinstance(reader, TimeGrain):
            return f"{self} over {upstream.scheme} partitions: count in {_unit_of(upstream)}"
        return f"{self} needs a reader and an upstream partitioned by time: use latest()"

    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the candidates within the limit, oldest first."""
        last = _anchor(reader, upstream, ordinal)
        return range(last - self.count, last + 1)

    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return the reader's ordinals within whose limit the upstream's partition is, oldest first."""
        assert isinstance(reader, TimeGrain)
        newer = ordinal + self.count + 1
        return range(_anchored_at(reader, upstream, ordinal), _anchored_at(reader, upstream, newer))

    def canonical(self) -> tuple[object, ...]:
        """Return name, limit and unit."""
        return (self.name, self.count, self.unit)

    def __str__(self) -> str:
        return f"last_known({self.unit}={self.count})"


@dataclass(frozen=True)
class Previous(Mapping):
    """The asset's own newest earlier partition that exists; a chain is computed in time order."""

    name = "previous"

    def check(self, reader: Grain, upstream: Grain) -> str | None:
        """Return why there is no earlier partition, or None."""
        return None if isinstance(reader, TimeGrain) else "previous() needs an asset partitioned by time"

    def ordinals(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return all earlier ordinals; the newest that exists is the one."""
        return range(BEGINNING, ordinal)

    def feeds(self, reader: Grain, upstream: Grain, ordinal: int) -> range:
        """Return all later ordinals."""
        return range(ordinal + 1, END)


def _counted(what: str, units: dict[str, int | None]) -> tuple[int, str]:
    given = [(unit, count) for unit, count in units.items() if count is not None]
    if len(given) != 1:
        raise DefinitionError(f"{what}() takes one width: {what}(days=28), or hours=, weeks=, months=")
    unit, count = given[0]
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise DefinitionError(f"{what}({unit}={count!r}): the width is a whole number, 1 or more")
    return count, unit


def same(*, strict: bool = False, early: bool = False) -> Same:
    """Read the upstream partition with the same key: what a parameter gets without a mapping."""
    return Same(strict=strict, early=early)


def trailing(
    *,
    hours: int | None = None,
    days: int | None = None,
    weeks: int | None = None,
    months: int | None = None,
    strict: bool = False,
    early: bool = False,
) -> Trailing:
    """Read the last so many upstream partitions, up to and with the reader's period."""
    width = _counted("trailing", {"hours": hours, "days": days, "weeks": weeks, "months": months})
    return Trailing(*width, strict=strict, early=early)


def last_known(
    *,
    hours: int | None = None,
    days: int | None = None,
    weeks: int | None = None,
    months: int | None = None,
    strict: bool = False,
    early: bool = False,
) -> LastKnown:
    """Read the reader's own period or, without data there, the newest one before it, at most so many back."""
    width = _counted("last_known", {"hours": hours, "days": days, "weeks": weeks, "months": months})
    return LastKnown(*width, strict=strict, early=early)


def parts(*, strict: bool = False, early: bool = False) -> Parts:
    """Read all upstream partitions within the reader's coarser period (all there are, for an unpartitioned reader)."""
    return Parts(strict=strict, early=early)


def latest(*, strict: bool = False, early: bool = False) -> Latest:
    """Read the newest upstream partition with data."""
    return Latest(strict=strict, early=early)


def in_force() -> InForce:
    """Read the champion of a model that is in force in the reader's period; None before the first one.

    Its parameter must allow None. For the model of another pipeline it is ``ref("demand_model", in_force())``.
    """
    return InForce()


def previous(*, strict: bool = False) -> Previous:
    """Read the asset's own newest earlier partition; its parameter must allow None, for the first one."""
    return Previous(strict=strict)
