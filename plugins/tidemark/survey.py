"""The survey: what each partition of a pipeline would be computed from now, and whether its head still is just that.

A pure function of definitions, the ledger's answers (:class:`Facts`) and the as-of instant. Planner, runner and explain
all ask the same survey, so that they cannot disagree.

Invariants:

* A partition is judged after everything that it reads, so a judgement never has to be taken back.
* Equal judgements have equal action keys; an action key holds no clock, no path and no completeness.
* What is missing travels beside the data (``View.roots``), never into an action key.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from tidemark.assets import Asset, Input, Pipeline, Source
from tidemark.hashing import canonical, digest
from tidemark.ledger.heads import FINAL, Head, Missing
from tidemark.ledger.records import UNKNOWN, Known
from tidemark.mappings import Newest, Previous, Window
from tidemark.partitions import Grain, TimeGrain

# Part of every action key: raised when keys must not be comparable with those of an earlier Tidemark.
SCHEME_VERSION = 1

# A first exception may have been bad luck: the next plan tries the key once more, then only a person does.
ATTEMPTS = 2

BLOCKED = "blocked"  # the gate's word for a critical failure


class State(StrEnum):
    """What is to be done with a partition."""

    FRESH = "fresh"  # its head is what it would be computed to
    STALE = "stale"  # to be computed
    KNOWN = "known"  # computed before: its result is brought back without running
    UNSURE = "unsure"  # something that it reads is still to be computed
    WAITING = "waiting"  # something that it needs is absent
    BLOCKED = "blocked"  # its candidate did not pass the gate, or a strict input failed
    FAILED = "failed"  # its computation failed and is not tried again by itself
    HELD = "held"  # changed, but a person stopped it
    CLOSED = "closed"  # changed, but too old


class Certainty(StrEnum):
    """Whether a planned item runs whatever happens above it."""

    WILL = "will"
    MAY = "may"


class View(NamedTuple):
    """A partition as its readers see it.

    Attributes:
        version: data version, or None for ABSENT.
        materialization: id of what is live, or None.
        roots: what is missing from it, as (asset, key), at any depth.
        undue: when what it waits for is due, or None.
        pending: whether it is still to be computed, and how surely.
        failed: its newest computation failed; the version is that of the last good head.

    """

    version: bytes | None
    materialization: int | None
    roots: Missing = FINAL
    undue: datetime | None = None
    pending: Certainty | None = None
    failed: bool = False


@dataclass
class Track:
    """One asset along its partitions."""

    grain: Grain
    views: dict[int, View] = field(default_factory=dict)
    existing: list[int] = field(default_factory=list)
    begins: datetime | None = None
    members: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def member(self, ordinal: int, version: bytes) -> bytes:
        """Return a window member's encoding: key and data version; made once for all windows that hold it."""
        found = self.members.get(ordinal)
        if found is None or found[0] != version:
            found = self.members[ordinal] = (version, canonical((self.grain.key(ordinal), version)))
        return found[1]

    def within(self, ordinals: range) -> range:
        """Cut a range to the partitions that exist."""
        if not self.existing:
            return range(0)
        return range(max(ordinals.start, self.existing[0]), min(ordinals.stop, self.existing[-1] + 1))


class Member(NamedTuple):
    """One upstream partition that an input reads."""

    key: str
    version: bytes | None
    materialization: int | None


@dataclass(frozen=True)
class Read:
    """What one input reads for one partition."""

    input: Input
    members: tuple[Member, ...]
    digest: bytes
    roots: Missing = FINAL
    undue: datetime | None = None
    pending: Certainty | None = None
    failed: bool = False

    @property
    def present(self) -> bool:
        """Whether there is any data."""
        return any(each.version is not None for each in self.members)


@dataclass(frozen=True)
class Judgement:
    """What the survey says of one partition.

    Attributes:
        asset: the asset's name.
        ordinal: the partition's number in its grain.
        key: the partition's key.
        state: what is to be done.
        action_key: 32 bytes, or None while an input is absent.
        reads: what its inputs read.
        roots: what would be missing from its result.
        reason: why it waits, is blocked, held or closed, in words; empty otherwise.
        head: what is live, or None.
        known: what is known of the action key.
        undue: when what it waits for is due.
        void: its head must go, since a clean rebuild would have none.
        unchecked: its gate has not seen this data.
        certainty: whether it runs whatever happens above; None where nothing is to be done.

    """

    asset: str
    ordinal: int
    key: str
    state: State
    action_key: bytes | None
    reads: tuple[Read, ...]
    roots: Missing
    reason: str = ""
    head: Head | None = None
    known: Known = UNKNOWN
    undue: datetime | None = None
    void: bool = False
    unchecked: bool = False
    certainty: Certainty | None = None

    @property
    def planned(self) -> bool:
        """Whether there is something to do: to compute, to bring back, or to check against a changed suite."""
        return self.certainty is not None or (self.state is State.FRESH and self.unchecked)

    @property
    def marks(self) -> Missing:
        """What the live head is provisional for."""
        if self.state in (State.BLOCKED, State.FAILED):
            return self.roots | {(self.asset, self.key)}
        if self.state in (State.HELD, State.CLOSED):
            return self.head.missing if self.head else FINAL
        return self.roots


class Delivered(NamedTuple):
    """What was observed of a source partition: whether there is a file, and why its newest one was rejected."""

    there: bool
    rejected: str | None


@dataclass(frozen=True)
class Facts:
    """The ledger's answers that a survey needs; all by asset name and ordinal.

    Attributes:
        heads: what is live.
        delivered: what was observed of sources.
        absent: what people declared absent.
        held: why assets (None) or partitions are held.
        known: what is known of an asset's action keys, by (ordinal, action key); read when first asked.
        codes: id of each asset's present code version, None if the ledger has not met it.
        suites: digest of each gated asset's suite.
        outcomes: what each suite said, by suite digest and data version.
        externals: grains of the assets of other pipelines that are read.

    """

    heads: dict[str, dict[int, Head]]
    delivered: Mapping[str, Mapping[int, Delivered]] = field(default_factory=dict)
    absent: Mapping[str, frozenset[int]] = field(default_factory=dict)
    held: Mapping[str, Mapping[int | None, str]] = field(default_factory=dict)
    known: Callable[[str], Mapping[tuple[int, bytes], Known]] = lambda name: {}
    codes: Mapping[str, int | None] = field(default_factory=dict)
    suites: Mapping[str, bytes] = field(default_factory=dict)
    outcomes: Mapping[bytes, dict[bytes, str]] = field(default_factory=dict)
    externals: Mapping[str, Grain] = field(default_factory=dict)


class Selection(NamedTuple):
    """Which partitions a person asked for; None: no limit. ``force`` holds (asset, key), or (asset, None) for all."""

    first: datetime | None = None
    last: datetime | None = None
    force: frozenset[tuple[str, str | None]] = frozenset()

    def holds(self, grain: Grain, ordinal: int) -> bool:
        """Return whether a partition's period begins within the limits."""
        if not isinstance(grain, TimeGrain) or (self.first is None and self.last is None):
            return True
        begins = grain.begins(ordinal)
        return (self.first is None or begins >= self.first) and (self.last is None or begins <= self.last)

    def forces(self, asset: str, key: str) -> bool:
        """Return whether a partition is to be computed whatever is known of it."""
        return (asset, key) in self.force or (asset, None) in self.force


EVERYTHING = Selection()


class Survey:
    """The state of a pipeline at one as-of instant; asked asset by asset, in the pipeline's order.

    Args:
        pipeline: the definitions.
        facts: the ledger's answers; heads are kept up to date here as they are shown.
        as_of: the instant that is taken for now.
        selection: which partitions were asked for.
        planning: what is still to be computed will be, before its readers are; otherwise readers are computed now, so
            that it counts as missing.

    """

    def __init__(
        self,
        pipeline: Pipeline,
        facts: Facts,
        as_of: datetime,
        selection: Selection = EVERYTHING,
        *,
        planning: bool = True,
    ) -> None:
        self.pipeline = pipeline
        self.planning = planning
        self.facts = facts
        self.as_of = as_of
        self.selection = selection
        self.tracks: dict[str, Track] = {}
        self._prefixes: dict[str, hashlib._Hash] = {}
        for source in pipeline.sources:
            self.tracks[source.name] = _source_track(source, facts, as_of)
        for name, grain in facts.externals.items():
            self.tracks[name] = _external_track(name, grain, facts)

    def judge_all(self, assets: Iterable[Asset]) -> Iterable[Judgement]:
        """Judge every partition of some assets, given in the pipeline's order, each before what reads it.

        These are the partitions that exist, and those that have a head and exist no longer.
        """
        for asset in assets:
            self.open(asset)
            for ordinal in self.tracks[asset.name].existing:
                yield self.settle(asset, self.judge(asset, ordinal))
            yield from self._gone(asset)

    def _gone(self, asset: Asset) -> Iterable[Judgement]:
        """Judge heads of partitions that exist no longer, since what they read was withdrawn: they must go."""
        live = self.facts.heads.get(asset.name, {})
        for ordinal in sorted(live.keys() - self.tracks[asset.name].views.keys()):
            key, head = asset.grain.key(ordinal), live.pop(ordinal)
            reason = "the partition exists no longer: what it is made from was withdrawn"
            yield Judgement(asset.name, ordinal, key, State.WAITING, None, (), FINAL, reason, head, void=True)

    def open(self, asset: Asset) -> Track:
        """Find out which partitions of an asset exist; its upstreams were opened before."""
        track = Track(asset.grain)
        track.begins = self._begins(asset)
        track.existing = self._existing(asset, track)
        if isinstance(asset.grain, TimeGrain) and track.existing:
            first = asset.grain.begins(track.existing[0])
            track.begins = min(track.begins or first, first)  # what is kept may be older than its inputs are by now
        self.tracks[asset.name] = track
        return track

    def _begins(self, asset: Asset) -> datetime | None:
        """Return the latest start among an asset's inputs; what may be absent delays nothing."""
        timed = [
            (self.tracks[read.upstream].begins, read.optional)
            for read in asset.inputs
            if read.upstream != asset.name and isinstance(self.tracks[read.upstream].grain, TimeGrain)
        ]
        needed = [begins for begins, optional in timed if not optional]
        known = [begins for begins in needed if begins is not None]
        if len(known) < len(needed):
            return None
        if isinstance(asset.grain, TimeGrain) and asset.grain.first is not None:
            known.append(asset.grain.begins(asset.grain.first))
        # Where nothing is needed there is something to say from the first of what may be absent.
        return max(known, default=min((begins for begins, _ in timed if begins is not None), default=None))

    def _existing(self, asset: Asset, track: Track) -> list[int]:
        """Return the partitions that exist: in the asset's range, with each `same` input; and those that are kept."""
        needed = [
            (read.mapping, self.tracks[read.upstream])
            for read in asset.inputs
            if read.mapping.name == "same" and not read.optional
        ]
        found = {
            ordinal
            for ordinal in self._range(asset.grain, track.begins)
            if all(
                mapping.ordinals(asset.grain, upstream.grain, ordinal)[0] in upstream.views
                for mapping, upstream in needed
            )
        }
        return sorted(found | self._kept(asset))

    def _range(self, grain: Grain, begins: datetime | None) -> range:
        """Return the partitions from a start to now; all there are, if the grain is not one of time."""
        if not isinstance(grain, TimeGrain):
            return range(len(getattr(grain, "keys", ("all",))))
        if begins is None:
            return range(0)
        first = grain.containing(begins)
        if grain.begins(first) < begins:
            first += 1
        return range(first, grain.last_ended(self.as_of) + 1)

    def _kept(self, asset: Asset) -> set[int]:
        """Return the partitions whose heads are given, whatever becomes of what they were made from."""
        if asset.closes_after is None and not self.facts.held.get(asset.name):
            return set()
        live = self.facts.heads.get(asset.name, {})
        return {each for each in live if self.held(asset.name, each) is not None or self.closed(asset, each)}

    def judge(self, asset: Asset, ordinal: int) -> Judgement:
        """Judge one partition from what its inputs are now."""
        reads = tuple(self._read(asset, read, ordinal) for read in asset.inputs)
        key = asset.grain.key(ordinal)
        head = self.facts.heads.get(asset.name, {}).get(ordinal)
        roots = frozenset().union(*(read.roots for read in reads))
        judgement = Judgement(asset.name, ordinal, key, State.WAITING, None, reads, roots, head=head)
        return self._waits(asset, judgement) or self._decided(asset, judgement)

    def _waits(self, asset: Asset, judged: Judgement) -> Judgement | None:
        """Return the judgement of a partition that cannot be computed now, None if it can."""
        for read in judged.reads:
            absent = not read.present and not read.input.optional
            if read.undue is not None and not read.input.mapping.early:
                reason = f"{read.input.upstream} is not due before {read.undue:%Y-%m-%d %H:%M} UTC"
                return self._empty(asset, replace(judged, reason=reason, undue=read.undue))
            if read.failed and read.input.mapping.strict:
                reason = f"{read.input.upstream} failed, and is read with strict=True"
                return replace(judged, state=State.BLOCKED, reason=reason)
            if absent and read.pending is None:
                return self._empty(asset, replace(judged, reason=_absence(read)))
        return None

    def _empty(self, asset: Asset, judged: Judgement) -> Judgement:
        """Judge a partition that there is nothing to compute from: its head goes, unless it is given."""
        if judged.head is None:
            return judged
        return self._given(asset, judged) or replace(judged, void=True)

    def _given(self, asset: Asset, judged: Judgement) -> Judgement | None:
        """Return the judgement of a head that stays though it is not what would be computed, None if it does not."""
        held = self.held(asset.name, judged.ordinal)
        if held is not None:
            return replace(judged, state=State.HELD, reason=f"held: {held}")
        if judged.head is not None and self.closed(asset, judged.ordinal):
            return replace(judged, state=State.CLOSED, reason="closed: its period ended too long ago")
        return None

    def _decided(self, asset: Asset, judged: Judgement) -> Judgement:
        action_key = self._action_key(asset, judged.key, judged.reads)
        judged = replace(judged, action_key=action_key)
        head = judged.head
        forced = self.selection.forces(asset.name, judged.key)
        pending = any(read.pending for read in judged.reads)
        if head is not None and head.action_key == action_key and not pending and not forced:
            return replace(judged, state=State.FRESH, unchecked=self._unchecked(asset, head.data_version))
        given = self._given(asset, judged)
        if given is not None and not (forced and given.state is State.CLOSED):
            return given
        if pending:
            return replace(judged, state=State.UNSURE, certainty=self._certainty(asset, judged))
        if forced:
            return replace(judged, state=State.STALE, certainty=Certainty.WILL)
        return self._changed(asset, judged, action_key)

    def _changed(self, asset: Asset, judged: Judgement, action_key: bytes) -> Judgement:
        """Judge a partition whose action key is not its head's, by what is known of that key."""
        known = self.facts.known(asset.name).get((judged.ordinal, action_key), UNKNOWN)
        judged = replace(judged, known=known, certainty=Certainty.WILL)
        if known.data_version is not None:
            suite = self.facts.suites.get(asset.name)
            outcome = self.facts.outcomes.get(suite, {}).get(known.data_version) if suite else None
            if outcome == BLOCKED:
                reason = f"its candidate {known.data_version.hex()[:12]} did not pass the gate {asset.gate!r}"
                return replace(judged, state=State.BLOCKED, reason=reason, certainty=None)
            return replace(judged, state=State.KNOWN, unchecked=self._unchecked(asset, known.data_version))
        if known.died or known.failures >= ATTEMPTS:
            reason = f"failed {known.failures} times: {known.error}" if known.failures > 1 else f"failed: {known.error}"
            return replace(judged, state=State.FAILED, reason=reason, certainty=None)
        return replace(judged, state=State.STALE)

    def _unchecked(self, asset: Asset, version: bytes) -> bool:
        suite = self.facts.suites.get(asset.name)
        return suite is not None and version not in self.facts.outcomes.get(suite, {})

    def held(self, asset: str, ordinal: int) -> str | None:
        """Return why a partition, or all of its asset, is held; None if it is not."""
        """Return why a partition, or all of its asset, is held; None if it is not."""
        reasons = self.facts.held.get(asset)
        return None if not reasons else reasons.get(None) or reasons.get(ordinal)

    def _certainty(self, asset: Asset, judged: Judgement) -> Certainty:
        """Say whether a partition runs whatever comes out of what it waits for."""
        if judged.head is not None:
            changed = judged.head.code_version != self.facts.codes.get(asset.name)
            return Certainty.WILL if changed else Certainty.MAY
        needs_sure = all(read.present or read.input.optional or read.pending is Certainty.WILL for read in judged.reads)
        return Certainty.WILL if needs_sure else Certainty.MAY

    def closed(self, asset: Asset, ordinal: int) -> bool:
        """Return whether a partition is older than its asset's ``closes_after``."""
        if asset.closes_after is None or not isinstance(asset.grain, TimeGrain):
            return False
        return self.as_of > asset.grain.ends(ordinal) + asset.closes_after

    def settle(self, asset: Asset, judged: Judgement) -> Judgement:
        """Show a judgement to the partition's readers, as far as it can be known before anything runs."""
        selected = self.selection.holds(asset.grain, judged.ordinal)
        if judged.certainty is not None and not (self.planning and selected):
            # Nobody computes it before its readers: they use the head that is there, and know what it lacks.
            roots = judged.roots | {(asset.name, judged.key)}
            judged = judged if selected else replace(judged, certainty=None, roots=roots)
            self.show(asset, judged.ordinal, judged.head, roots, failed=False)
            return judged
        head = None if judged.void else judged.head
        failed = judged.state in (State.BLOCKED, State.FAILED)
        roots = judged.roots
        if failed or (judged.state is State.HELD and head is None):
            roots = roots | {(asset.name, judged.key)}
        if judged.state is State.HELD and head is not None:
            roots = head.missing
        self.show(asset, judged.ordinal, head, roots, failed=failed, undue=judged.undue, pending=judged.certainty)
        return judged

    def show(
        self,
        asset: Asset,
        ordinal: int,
        head: Head | None,
        roots: Missing,
        *,
        failed: bool,
        undue: datetime | None = None,
        pending: Certainty | None = None,
    ) -> None:
        """Let readers of a partition see what it is now."""
        heads = self.facts.heads.setdefault(asset.name, {})
        if head is None:
            heads.pop(ordinal, None)
        else:
            heads[ordinal] = head
            if self.closed(asset, ordinal):
                roots = FINAL  # what is closed counts as final for its readers
        version, made = (head.data_version, head.materialization) if head else (None, None)
        undue = undue if head is None else None
        self.tracks[asset.name].views[ordinal] = View(version, made, roots, undue, pending, failed)

    def _action_key(self, asset: Asset, key: str, reads: tuple[Read, ...]) -> bytes:
        prefix = self._prefixes.get(asset.name)
        if prefix is None:
            # How rows are sorted before they are stored is part of what readers get, and so of the recipe.
            recipe = (
                SCHEME_VERSION,
                asset.name,
                asset.code.digest,
                dict(asset.parameters),
                asset.key,
                asset.ordered,
            )
            prefix = self._prefixes[asset.name] = hashlib.sha256(canonical(recipe))
        hashed = prefix.copy()
        hashed.update(canonical(key))
        for read in reads:
            hashed.update(canonical((read.input.parameter, read.input.upstream, read.digest)))
        return hashed.digest()

    def _read(self, asset: Asset, read: Input, ordinal: int) -> Read:
        track = self.tracks[read.upstream]
        ordinals = read.mapping.ordinals(asset.grain, track.grain, ordinal)
        if isinstance(track.grain, TimeGrain) and not isinstance(asset.grain, TimeGrain):
            # A reader that is not of time itself sees what has ended by now.
            ordinals = range(ordinals.start, min(ordinals.stop, track.grain.last_ended(self.as_of) + 1))
        if isinstance(read.mapping, Window):
            return _read_window(read, track, ordinals)
        if isinstance(read.mapping, Newest):
            return _read_newest(read, track, ordinals)
        if isinstance(read.mapping, Previous):
            place = bisect_left(track.existing, ordinals.stop)
            return _read_one(read, track, track.existing[place - 1] if place else None)
        return _read_one(read, track, ordinals[0])


def _absence(read: Read) -> str:
    names = sorted(read.roots)[:3]
    if names:
        more = "" if len(read.roots) <= 3 else f" and {len(read.roots) - 3} more"
        missing = ", ".join(f"{asset} {key}" for asset, key in names)
        return f"{read.input.upstream} is absent: {missing}{more} is missing"
    key = read.members[0].key if read.members else "any partition in reach"
    return f"{read.input.upstream} is absent: {key} was not delivered, was withdrawn or was declared absent"


def _read_one(read: Input, track: Track, ordinal: int | None) -> Read:
    if ordinal is None:
        return Read(read, (), digest("absent"))
    view = track.views.get(ordinal)
    member = Member(track.grain.key(ordinal), view.version if view else None, view.materialization if view else None)
    hashed = digest("one", member.key, member.version)
    if view is None:
        return Read(read, (member,), hashed)
    return Read(read, (member,), hashed, view.roots, view.undue, view.pending, view.failed)


def _joined(views: list[View]) -> tuple[Missing, datetime | None, Certainty | None, bool]:
    """Return what holds for several views together: all roots, the last due time, the least certainty, any failure."""
    roots = frozenset().union(*(view.roots for view in views if view.roots))
    undue = max((view.undue for view in views if view.undue), default=None)
    pendings = {view.pending for view in views if view.pending}
    pending = None if not pendings else Certainty.MAY if Certainty.MAY in pendings else Certainty.WILL
    return roots, undue, pending, any(view.failed for view in views)


def _read_window(read: Input, track: Track, ordinals: range) -> Read:
    hashed = hashlib.sha256(b"window")
    members: list[Member] = []
    views: list[View] = []
    for ordinal in track.within(ordinals):
        view = track.views.get(ordinal)
        if view is None:
            continue
        views.append(view)
        members.append(Member(track.grain.key(ordinal), view.version, view.materialization))
        if view.version is not None:
            # What is absent needs no entry: when it comes, it adds one.
            hashed.update(track.member(ordinal, view.version))
    roots, undue, pending, failed = _joined(views)
    return Read(read, tuple(members), hashed.digest(), roots, undue, pending, failed)


def _read_newest(read: Input, track: Track, ordinals: range) -> Read:
    """Read the newest partition with data; what is newer and should have been there stays known as missing."""
    views: list[View] = []
    chosen: Member | None = None
    for ordinal in reversed(track.within(ordinals)):
        view = track.views.get(ordinal)
        if view is None:
            continue
        views.append(view)
        if view.version is not None:
            chosen = Member(track.grain.key(ordinal), view.version, view.materialization)
            break
    roots, undue, pending, failed = _joined(views)
    hashed = digest("one", chosen.key, chosen.version) if chosen else digest("absent")
    return Read(read, (chosen,) if chosen else (), hashed, roots, undue, pending, failed)


def _source_track(source: Source, facts: Facts, as_of: datetime) -> Track:
    """Lay out a source: what was delivered, and what is expected up to now."""
    track = Track(source.grain)
    delivered = facts.delivered.get(source.name, {})
    there = {ordinal for ordinal, each in delivered.items() if each.there}
    expected = _expected(source, there, as_of)
    track.existing = sorted(there | expected)
    if isinstance(source.grain, TimeGrain) and track.existing:
        track.begins = source.grain.begins(track.existing[0])
    heads = facts.heads.get(source.name, {})
    absent = facts.absent.get(source.name, frozenset())
    for ordinal in track.existing:
        head = heads.get(ordinal)
        roots, undue, failed = FINAL, None, False
        if ordinal not in absent:
            rejected = delivered[ordinal].rejected if ordinal in delivered else None
            failed = rejected is not None
            if rejected is not None or head is None:
                due = _due(source, ordinal)
                if head is None and not failed and due is not None and due > as_of:
                    undue = due
                else:
                    roots = frozenset({(source.name, source.grain.key(ordinal))})
        version, made = (head.data_version, head.materialization) if head else (None, None)
        track.views[ordinal] = View(version, made, roots, undue, None, failed)
    return track


def _expected(source: Source, there: set[int], as_of: datetime) -> set[int]:
    """Return the partitions of a source that its calendar expects, from its start up to now."""
    grain = source.grain
    if source.expected is None or not isinstance(grain, TimeGrain):
        return set()
    first = grain.first if grain.first is not None else min(there, default=None)
    if first is None:
        return set()
    expects = source.expected.expects
    ordinals = range(first, grain.containing(as_of) + 1)
    return {each for each in ordinals if expects(grain.begins(each).astimezone(grain.zone).date())}


def _due(source: Source, ordinal: int) -> datetime | None:
    """Return when a source partition is due: by its own rule, or when its period has ended."""
    if not isinstance(source.grain, TimeGrain):
        return None
    if source.due is None:
        return source.grain.ends(ordinal)
    return source.due.at(source.grain.begins(ordinal).astimezone(source.grain.zone))


def _external_track(name: str, grain: Grain, facts: Facts) -> Track:
    """Lay out an asset of another pipeline: the heads that it has."""
    track = Track(grain)
    heads = facts.heads.get(name, {})
    track.existing = sorted(heads)
    if isinstance(grain, TimeGrain) and track.existing:
        track.begins = grain.begins(track.existing[0])
    for ordinal, head in heads.items():
        track.views[ordinal] = View(head.data_version, head.materialization, head.missing)
    return track
