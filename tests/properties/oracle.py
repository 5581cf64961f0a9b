"""A naive oracle: what must be live, marked and executed, worked out anew at each run by the rules of the design.

It has no database, no plan, no versions and no leases: everything is judged at each run, in the order in which it is
read, and the only memory is a memo of action keys. Contents stand for versions. It shares nothing with the library but
the arithmetic of grains.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tidemark.partitions import Grain, TimeGrain

Roots = frozenset[tuple[str, str]]
FINAL: Roots = frozenset()

ATTEMPTS = 2


def made(name: str, salt: int, factor: int, lossy: bool, inputs: Mapping[str, Any]) -> str:
    """What an asset's function returns: a text that all it reads goes into; a lossy one often comes out equal."""
    text = f"{name} {salt} {factor} {sorted(inputs.items())}"
    digest = zlib.crc32(text.encode())
    return f"{name} {digest % 2}" if lossy else f"{name} {digest:08x}"


@dataclass(frozen=True)
class SourceModel:
    """A source: every day of ``expects`` (0 is Monday) is expected; due so many hours after its period's start."""

    name: str
    grain: Grain
    expects: frozenset[int] = frozenset()
    due_hours: int | None = None

    def due(self, ordinal: int) -> datetime | None:
        """When a partition is due."""
        if not isinstance(self.grain, TimeGrain):
            return None
        if self.due_hours is None:
            return self.grain.ends(ordinal)
        return self.grain.begins(ordinal) + timedelta(hours=self.due_hours)


@dataclass(frozen=True)
class Reading:
    """One input: what it reads, by which mapping (``width`` in units of ``unit``), and how."""

    upstream: str
    mapping: str
    width: int = 0
    unit: timedelta = timedelta()
    optional: bool = False
    strict: bool = False
    early: bool = False


@dataclass(frozen=True)
class AssetModel:
    """An asset: closed so many days after its period's end."""

    name: str
    grain: Grain
    inputs: tuple[Reading, ...]
    lossy: bool = False
    closes_days: int | None = None
    gated: bool = False


@dataclass(frozen=True)
class Live:
    """A head: its content, its action key, and what it is provisional for."""

    content: str
    action: tuple[Any, ...]
    missing: Roots


class View(NamedTuple):
    """A partition as its readers see it."""

    content: str | None
    roots: Roots = FINAL
    undue: bool = False
    failed: bool = False


@dataclass
class Outcome:
    """What one run did: which functions were called, what was brought back, what failed, is blocked or waits."""

    executed: list[tuple[str, str]] = field(default_factory=list)
    restored: set[tuple[str, str]] = field(default_factory=set)
    failed: set[tuple[str, str]] = field(default_factory=set)
    blocked: set[tuple[str, str]] = field(default_factory=set)
    waiting: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Oracle:
    """A whole deployment, naively.

    Attributes:
        sources: by name.
        assets: each after what it reads.
        as_of: the instant that is taken for now.
        files: what is in the landing zone; None stands for a file that cannot be read.
        salts: a number in each function's code.
        factors: each asset's parameter.
        suites: what each gate lets pass: texts that do not end with one of these letters.
        broken: partitions whose function raises.
        absent: what was declared absent.
        unforeseen: bad files that came after such a declaration, which therefore says nothing of them.
        held: assets (None) and partitions that are held.

    """

    sources: dict[str, SourceModel]
    assets: dict[str, AssetModel]
    as_of: datetime
    files: dict[tuple[str, int], str | None] = field(default_factory=dict)
    salts: dict[str, int] = field(default_factory=dict)
    factors: dict[str, int] = field(default_factory=dict)
    suites: dict[str, str] = field(default_factory=dict)
    broken: set[tuple[str, int]] = field(default_factory=set)
    absent: set[tuple[str, int]] = field(default_factory=set)
    unforeseen: set[tuple[str, int]] = field(default_factory=set)
    held: set[tuple[str, int | None]] = field(default_factory=set)
    accepted: dict[tuple[str, int], str] = field(default_factory=dict)
    rejected: set[tuple[str, int]] = field(default_factory=set)
    live: dict[tuple[str, int], Live] = field(default_factory=dict)
    memo: dict[tuple[Any, ...], str] = field(default_factory=dict)
    failures: dict[tuple[Any, ...], int] = field(default_factory=dict)

    # -- one run

    def run(self) -> Outcome:
        """Look at the files, and bring every partition to its result."""
        self.observe()
        outcome = Outcome()
        tracks: dict[str, dict[int, View]] = {name: self._source(source) for name, source in self.sources.items()}
        begins = {name: _first(self.sources[name].grain, track) for name, track in tracks.items()}
        for asset in self.assets.values():
            begins[asset.name] = self._begins(asset, begins)
            existing = self._existing(asset, begins[asset.name], tracks)
            if isinstance(asset.grain, TimeGrain) and existing:
                first = asset.grain.begins(existing[0])
                begins[asset.name] = min(begins[asset.name] or first, first)
            track = tracks[asset.name] = {}
            for ordinal in existing:
                track[ordinal] = self._bring(asset, ordinal, tracks, outcome)
            for name, ordinal in list(self.live):
                if name == asset.name and ordinal not in track:
                    del self.live[name, ordinal]
        return outcome

    def observe(self) -> None:
        """Take what is in the landing zone: a good file is accepted, a bad one rejected, a lost one withdrawn."""
        for place in {*self.accepted, *self.rejected} - self.files.keys():
            self.accepted.pop(place, None)
            self.rejected.discard(place)
        for place, text in self.files.items():
            if text is None:
                if place in self.absent - self.rejected:
                    self.unforeseen.add(place)
                self.rejected.add(place)
            else:
                self.accepted[place] = text
                self.rejected.discard(place)
        self.unforeseen &= self.rejected

    def _source(self, source: SourceModel) -> dict[int, View]:
        there = {ordinal for name, ordinal in {*self.accepted, *self.rejected} if name == source.name}
        expected: set[int] = set()
        if source.expects and there:
            grain = source.grain
            assert isinstance(grain, TimeGrain)
            every = range(min(there), grain.containing(self.as_of) + 1)
            expected = {each for each in every if grain.begins(each).weekday() in source.expects}
        views = {}
        for ordinal in sorted(there | expected):
            place = (source.name, ordinal)
            content, bad = self.accepted.get(place), place in self.rejected
            mark = frozenset({(source.name, source.grain.key(ordinal))})
            due = source.due(ordinal)
            if place in self.absent - self.unforeseen:
                views[ordinal] = View(content)
            elif bad:
                views[ordinal] = View(content, mark, failed=True)
            elif content is not None:
                views[ordinal] = View(content)
            elif due is not None and due > self.as_of:
                views[ordinal] = View(None, undue=True)
            else:
                views[ordinal] = View(None, mark)
        return views

    # -- which partitions exist

    def _begins(self, asset: AssetModel, begins: Mapping[str, datetime | None]) -> datetime | None:
        timed = [each for each in asset.inputs if each.mapping != "previous" and each.upstream in begins]
        timed = [each for each in timed if isinstance(self._grain(each.upstream), TimeGrain)]
        needed = [begins[each.upstream] for each in timed if not each.optional]
        if any(each is None for each in needed):
            return None
        known = [each for each in needed if each is not None]
        optional = [each for each in (begins[read.upstream] for read in timed) if each is not None]
        return max(known) if known else min(optional, default=None)

    def _existing(
        self, asset: AssetModel, begins: datetime | None, tracks: Mapping[str, Mapping[int, View]]
    ) -> list[int]:
        found: Iterable[int]
        if isinstance(asset.grain, TimeGrain):
            found = []
            if begins is not None:
                first = asset.grain.containing(begins)
                found = [
                    each
                    for each in range(first, asset.grain.containing(self.as_of) + 1)
                    if asset.grain.begins(each) >= begins and asset.grain.ends(each) <= self.as_of
                ]
        else:
            found = range(len(getattr(asset.grain, "keys", ("all",))))
        same = [each.upstream for each in asset.inputs if each.mapping == "same" and not each.optional]
        kept = [
            ordinal
            for name, ordinal in self.live
            if name == asset.name and (self._held(name, ordinal) or self._closed(asset, ordinal))
        ]
        return sorted({each for each in found if all(each in tracks[name] for name in same)} | set(kept))

    def _held(self, name: str, ordinal: int) -> bool:
        return (name, None) in self.held or (name, ordinal) in self.held

    def _closed(self, asset: AssetModel, ordinal: int) -> bool:
        if asset.closes_days is None or not isinstance(asset.grain, TimeGrain):
            return False
        return self.as_of > asset.grain.ends(ordinal) + timedelta(asset.closes_days)

    def _grain(self, name: str) -> Grain:
        return self.sources[name].grain if name in self.sources else self.assets[name].grain

    # -- one partition

    def _bring(
        self, asset: AssetModel, ordinal: int, tracks: Mapping[str, Mapping[int, View]], outcome: Outcome
    ) -> View:
        """Bring one partition to its result, and return what its readers see."""
        view = self._brought(asset, ordinal, tracks, outcome)
        # What is closed counts as final for its readers.
        return view._replace(roots=FINAL) if view.content is not None and self._closed(asset, ordinal) else view

    def _brought(
        self, asset: AssetModel, ordinal: int, tracks: Mapping[str, Mapping[int, View]], outcome: Outcome
    ) -> View:
        place, key = (asset.name, ordinal), asset.grain.key(ordinal)
        head = self.live.get(place)
        given = head is not None and (self._held(*place) or self._closed(asset, ordinal))
        reads = [(each, self._read(asset, each, ordinal, tracks)) for each in asset.inputs]
        roots = frozenset().union(*(view.roots for _, members in reads for _, view in members))
        stop = _stopped_by(reads)
        if stop == "blocked" and not given:
            return self._left(place, key, roots, outcome.blocked)
        if stop and head is not None and given:
            return View(head.content, head.missing)
        if stop:
            self.live.pop(place, None)
            outcome.waiting.add((asset.name, key))
            return View(None, roots, undue=stop == "undue")
        action = (asset.name, key, self.salts[asset.name], self.factors[asset.name], tuple(map(self._pinned, reads)))
        if head is not None and head.action == action:
            self.live[place] = Live(head.content, action, roots)
            return View(head.content, roots)
        if head is not None and given:
            return View(head.content, head.missing)
        if self._held(*place):
            return View(None, roots | {(asset.name, key)})
        if action in self.memo and self._passes(asset, action):
            outcome.restored.add((asset.name, key))
        elif action not in self.memo and not self._tried(asset, place, action, reads, outcome):
            return self._left(place, key, roots, outcome.failed)
        if not self._passes(asset, action):
            return self._left(place, key, roots, outcome.blocked)
        self.live[place] = Live(self.memo[action], action, roots)
        return View(self.memo[action], roots)

    def _passes(self, asset: AssetModel, action: tuple[Any, ...]) -> bool:
        return not asset.gated or self.memo[action][-1] not in self.suites[asset.name]

    def _tried(
        self,
        asset: AssetModel,
        place: tuple[str, int],
        action: tuple[Any, ...],
        reads: list[tuple[Reading, list[tuple[str, View]]]],
        outcome: Outcome,
    ) -> bool:
        """Call a function, unless it has failed too often; returns whether there is a result."""
        attempt = (self.suites.get(asset.name), action)
        if self.failures.get(attempt, 0) >= ATTEMPTS:
            return False
        outcome.executed.append((asset.name, asset.grain.key(place[1])))
        if place in self.broken:
            self.failures[attempt] = self.failures.get(attempt, 0) + 1
            return False
        self.memo[action] = self._computed(asset, reads)
        return True

    def _left(self, place: tuple[str, int], key: str, roots: Roots, whose: set[tuple[str, str]]) -> View:
        """Leave the last good head where it is, marked."""
        mark, head = roots | {(place[0], key)}, self.live.get(place)
        whose.add((place[0], key))
        if head is not None:
            self.live[place] = Live(head.content, head.action, mark)
        return View(head.content if head else None, mark, failed=True)

    def _computed(self, asset: AssetModel, reads: list[tuple[Reading, list[tuple[str, View]]]]) -> str:
        values: dict[str, Any] = {}
        for read, members in reads:
            present = [(key, view.content) for key, view in members if view.content is not None]
            if read.mapping in ("trailing", "parts"):
                values[read.upstream] = present or None
            else:
                values[read.upstream] = present[0][1] if present else None
        name = asset.name
        return made(name, self.salts[name], self.factors[name], asset.lossy, values)

    @staticmethod
    def _pinned(read: tuple[Reading, list[tuple[str, View]]]) -> tuple[Any, ...]:
        reading, members = read
        if reading.mapping == "same":
            return tuple((key, view.content) for key, view in members)
        return tuple((key, view.content) for key, view in members if view.content is not None)

    def _read(
        self, asset: AssetModel, read: Reading, ordinal: int, tracks: Mapping[str, Mapping[int, View]]
    ) -> list[tuple[str, View]]:
        """The members of what an input reads, oldest first; of a newest one: it, and what is newer and without data."""
        grain, track = self._grain(read.upstream), tracks[read.upstream]
        if read.mapping == "same":
            return [(grain.key(ordinal), track.get(ordinal, View(None)))]
        if read.mapping == "previous":
            earlier = [each for each in track if each < ordinal]
            return [(grain.key(earlier[-1]), track[earlier[-1]])] if earlier else []
        fits = self._fits(asset, read, ordinal)
        timeless = isinstance(grain, TimeGrain) and not isinstance(asset.grain, TimeGrain)
        members = [
            (grain.key(each), view)
            for each, view in sorted(track.items())
            if fits(each) and not (timeless and view.undue)
        ]
        if read.mapping in ("trailing", "parts"):
            return members
        newest: list[tuple[str, View]] = []
        for member in reversed(members):
            newest.append(member)
            if member[1].content is not None:
                break
        return newest

    def _fits(self, asset: AssetModel, read: Reading, ordinal: int) -> Callable[[int], bool]:
        grain, reader = self._grain(read.upstream), asset.grain
        if not isinstance(grain, TimeGrain):
            return lambda each: True
        if not isinstance(reader, TimeGrain):
            return lambda each: grain.ends(each) <= self.as_of
        begins, ends = reader.begins(ordinal), reader.ends(ordinal)
        if read.mapping == "parts":
            return lambda each: grain.begins(each) >= begins and grain.ends(each) <= ends
        if read.mapping == "latest":
            return lambda each: grain.ends(each) <= ends
        last = grain.containing(ends)
        end = grain.begins(last)  # the newest period that has ended by then ends here
        width = read.width + (read.mapping == "last_known")
        return lambda each: grain.begins(each) >= end - width * read.unit and grain.ends(each) <= end


def _stopped_by(reads: list[tuple[Reading, list[tuple[str, View]]]]) -> str | None:
    """Why a partition cannot be computed now: an input is not due, has failed and is strict, or is absent."""
    for read, members in reads:
        views = [view for _, view in members]
        if any(view.undue for view in views) and not read.early:
            return "undue"
        if any(view.failed for view in views) and read.strict:
            return "blocked"
        if not read.optional and all(view.content is None for view in views):
            return "absent"
    return None


def _first(grain: Grain, track: Mapping[int, View]) -> datetime | None:
    return grain.begins(min(track)) if isinstance(grain, TimeGrain) and track else None
