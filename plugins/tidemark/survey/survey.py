"""Judging a partition of a pipeline from what its inputs are now, after all that it reads was judged."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tidemark.assets import Asset, Input, Pipeline, Source
from tidemark.hashing import canonical
from tidemark.ledger.heads import FINAL, Head, Missing
from tidemark.mappings import Newest, Previous, Window
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.given import EVERYTHING, Delivered, Facts, Selection, Upstream
from tidemark.survey.judgement import STANDING, Certainty, Judgement, Read, State, View
from tidemark.survey.reads import absence, one_frame, read_newest, read_one, read_window
from tidemark.survey.sources import external_view, is_closed, source_view
from tidemark.survey.tracks import Track

# Part of every action key: raised when keys must not be comparable with those of an earlier Tidemark.
SCHEME_VERSION = 2

# A first exception may have been bad luck: the next plan tries the key once more, then only a person does.
ATTEMPTS = 2

BLOCKED = "blocked"  # the gate's word for a critical failure


@dataclass(frozen=True)
class Edges:
    """Where everything begins, as a plan has found it: what a later plan takes as given while it is so.

    Attributes:
        first: ordinal of the first partition of each source, and of each asset of another pipeline; None: it has none.
        begins: the instant before which no partition of an asset exists, unless it is kept; None: none does.
        oldest: the instant at which the oldest partition that is kept begins, of assets that keep earlier ones.

    """

    first: Mapping[str, int | None] = field(default_factory=dict)
    begins: Mapping[str, datetime | None] = field(default_factory=dict)
    oldest: Mapping[str, datetime] = field(default_factory=dict)


class Survey:
    """The state of a pipeline at one as-of instant.

    Args:
        pipeline: the definitions.
        facts: the ledger's answers.
        as_of: the instant that is taken for now.
        selection: which partitions were asked for.
        planning: what is still to be computed will be, before its readers are; otherwise readers are computed now, so
            that it counts as missing.
        tried_after: id of the newest materialization when the plan that is worked off was made: what has failed since
            was tried for it, by whomever.

    """

    def __init__(
        self,
        pipeline: Pipeline,
        facts: Facts,
        as_of: datetime,
        selection: Selection = EVERYTHING,
        *,
        planning: bool = True,
        tried_after: int | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.planning = planning
        self.tried_after = tried_after
        self.as_of = as_of
        self.selection = selection
        self._prefixes: dict[str, bytes] = {}
        self._frames: dict[Grain, dict[int, tuple[bytes, bytes]]] = {}
        self.begin(facts)

    def begin(self, facts: Facts, *, since: datetime | None = None, edges: Edges | None = None) -> None:
        """Forget every judgement, and begin again from other answers of the ledger.

        Args:
            facts: the ledger's answers.
            since: the instant of the plan that left heads and gaps as they are; None: as-of.
            edges: where that plan found everything to begin; None: to be found out.

        """
        self.facts = facts
        self.rejected: dict[tuple[str, int], str] = {}
        self.first = dict(edges.first) if edges else {}
        self.begins = dict(edges.begins) if edges else {}
        self.oldest = dict(edges.oldest) if edges else {}
        self.tracks: dict[str, Track] = {}
        before = since or self.as_of
        upstreams = {each.name: each for each in self.pipeline.sources} | dict(facts.externals)
        for name, upstream in upstreams.items():
            closes_after = upstream.closes_after if isinstance(upstream, Upstream) else None
            self.tracks[name] = Track(name, upstream.grain, facts, _closedness(upstream.grain, closes_after, before))
        for asset in self.pipeline.assets:
            was_closed = _closedness(asset.grain, asset.closes_after, before)
            self.tracks[asset.name] = Track(asset.name, asset.grain, facts, was_closed)
        self.upstreams: Mapping[str, Source | Upstream] = upstreams

    @property
    def edges(self) -> Edges:
        """Where everything begins."""
        return Edges(self.first, self.begins, self.oldest)

    # -- what others deliver and compute

    def look(self, name: str, ordinal: int, delivered: Delivered | None) -> None:
        """Show a partition of a source, or of another pipeline's asset, to its readers as it is now."""
        track, upstream = self.tracks[name], self.upstreams[name]
        head = track.head(ordinal)
        if isinstance(upstream, Upstream):
            track.show(ordinal, head, external_view(name, upstream, ordinal, head, self.as_of))
            return
        absent = ordinal in self.facts.absent(name)
        if delivered is not None and delivered.there and delivered.rejected is not None and not absent:
            self.rejected[name, ordinal] = delivered.rejected
        there = delivered is not None and delivered.there
        view = None
        if there or (ordinal in self._expectable(upstream) and upstream.expects(ordinal)):
            view = source_view(upstream, ordinal, head, delivered, absent, self.as_of)
        track.show(ordinal, head, view)

    def expected(self, source: Source) -> set[int]:
        """Return the partitions of a source that its calendar expects, from its first on up to now."""
        return {ordinal for ordinal in self._expectable(source) if source.expects(ordinal)}

    def _expectable(self, source: Source) -> range:
        """Return the partitions of a source that its calendar is asked about."""
        grain, first = source.grain, self.first_of(source)
        if source.expected is None or first is None or not isinstance(grain, TimeGrain):
            return range(0)
        return range(first, grain.containing(self.as_of) + 1)

    def first_of(self, source: Source) -> int | None:
        """Return the ordinal from which on a source of time is expected; None: of no delivery is anything known yet."""
        first = getattr(source.grain, "first", None)
        return first if first is not None else self.first.get(source.name)

    # -- which partitions exist

    def begins_of(self, asset: Asset) -> datetime | None:
        """Return the latest start among an asset's inputs; what may be absent delays nothing."""
        timed = [
            (self._begins_upstream(read.upstream), read.optional)
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

    def _begins_upstream(self, name: str) -> datetime | None:
        if name not in self.first:
            return self.oldest.get(name, self.begins.get(name))
        first, grain = self.first[name], self.tracks[name].grain
        return grain.begins(first) if first is not None and isinstance(grain, TimeGrain) else None

    def range_of(self, asset: Asset) -> range:
        """Return the partitions from an asset's start to now; all there are, if its grain is not one of time."""
        grain, begins = asset.grain, self.begins.get(asset.name)
        if not isinstance(grain, TimeGrain):
            return range(len(getattr(grain, "keys", ("all",))))
        if begins is None:
            return range(0)
        first = grain.containing(begins)
        if grain.begins(first) < begins:
            first += 1
        return range(first, grain.last_ended(self.as_of) + 1)

    def exists(self, asset: Asset, ordinal: int, within: range) -> bool:
        """Return whether a partition exists: in its asset's range, with each `same` input; or because it is kept."""
        if ordinal in within and all(
            self.tracks[read.upstream].view(
                read.mapping.ordinals(asset.grain, self.tracks[read.upstream].grain, ordinal)[0]
            )
            is not None
            for read in asset.inputs
            if read.needs_same
        ):
            return True
        return self.keeps(asset, ordinal)

    def keeps(self, asset: Asset, ordinal: int) -> bool:
        """Return whether a partition's head is given, whatever becomes of what it was made from."""
        if asset.closes_after is None and not self.facts.held.get(asset.name):
            return False
        if self.tracks[asset.name].head(ordinal) is None:
            return False
        return self.held(asset.name, ordinal) is not None or self.closed(asset, ordinal)

    def gone(self, asset: Asset, ordinal: int) -> Judgement | None:
        """Judge the head of a partition that exists no longer, since what it read was withdrawn: it must go."""
        track = self.tracks[asset.name]
        head = track.head(ordinal)
        track.show(ordinal, None, None)
        if head is None:
            return None
        reason = "the partition exists no longer: what it is made from was withdrawn"
        key = asset.grain.key(ordinal)
        return Judgement(asset.name, ordinal, key, State.WAITING, None, (), FINAL, reason, head, void=True)

    # -- one partition

    def judge(self, asset: Asset, ordinal: int) -> Judgement:
        """Judge one partition from what its inputs are now."""
        reads = tuple(self._read(asset, read, ordinal) for read in asset.inputs)
        key = asset.grain.key(ordinal)
        head = self.tracks[asset.name].head(ordinal)
        roots = FINAL.union(*(read.roots for read in reads))
        judgement = Judgement(asset.name, ordinal, key, State.WAITING, None, reads, roots, head=head)
        judged = self._waits(asset, judgement) or self._decided(asset, judgement)
        if judged.certainty is None and any(read.pending for read in reads):
            # It does not run by itself, but what it lacks may come out otherwise, and its readers have to know.
            judged = replace(judged, certainty=Certainty.MAY)
        if judged.state in STANDING and head is not None:
            return replace(judged, unchecked=self._unchecked(asset, head.data_version))
        return judged

    def _waits(self, asset: Asset, judged: Judgement) -> Judgement | None:
        """Return the judgement of a partition that cannot be computed now, None if it can."""
        for read in judged.reads:
            absent = not read.present and not read.input.optional
            if read.undue is not None and not read.input.mapping.early:
                reason = f"{read.input.upstream} is not due before {read.undue:%Y-%m-%d %H:%M} UTC"
                return self._empty(asset, replace(judged, reason=reason, undue=read.undue))
            if read.failed and read.input.mapping.strict:
                return self._stopped(asset, judged) or self._blocked_by(read, judged)
            if absent and read.pending is None:
                return self._empty(asset, replace(judged, reason=absence(read)))
        return None

    def _blocked_by(self, read: Read, judged: Judgement) -> Judgement:
        """Judge a partition whose input failed and is strict.

        Also where the head was made from just the last good head that stands in: strict says that it may not, so
        there is nothing that the head could be compared with, and whether other inputs changed makes no difference.
        """
        reason = f"{read.input.upstream} failed, and is read with strict=True"
        return replace(judged, state=State.BLOCKED, reason=reason)

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

    def _stopped(self, asset: Asset, judged: Judgement) -> Judgement | None:
        """Return the judgement of what is held or closed, None if it may be computed: a person asks for closed ones."""
        given = self._given(asset, judged)
        if given is not None and given.state is State.CLOSED and self._forced(asset, judged):
            return None
        return given

    def _forced(self, asset: Asset, judged: Judgement) -> bool:
        """Return whether a person asked for this partition, whatever is known of it."""
        selected = self.selection.holds(asset.grain, judged.ordinal)
        return selected and self.selection.forces(asset.name, judged.key)

    def _decided(self, asset: Asset, judged: Judgement) -> Judgement:
        action_key = self._action_key(asset, judged.key, judged.reads)
        judged = replace(judged, action_key=action_key)
        head = judged.head
        forced = self._forced(asset, judged)
        pending = any(read.pending for read in judged.reads)
        stopped = self._stopped(asset, judged)
        if head is not None and head.action_key == action_key and not pending and (stopped is not None or not forced):
            # What a person asks for in vain is told why.
            return replace(judged, state=State.FRESH, reason=stopped.reason if forced and stopped is not None else "")
        if stopped is not None:
            # Where what it reads comes out as it was, the head that is given is fresh, and its marks follow.
            may_be_fresh = pending and stopped.head is not None
            return replace(stopped, certainty=Certainty.MAY) if may_be_fresh else stopped
        if pending:
            return replace(judged, state=State.UNSURE, certainty=self._certainty(asset, judged))
        if forced:
            return replace(judged, state=State.STALE, certainty=Certainty.WILL)
        return self._changed(asset, judged, action_key)

    def _changed(self, asset: Asset, judged: Judgement, action_key: bytes) -> Judgement:
        """Judge a partition whose action key is not its head's, by what is known of that key."""
        known = self.facts.known(asset.name, judged.ordinal, action_key)
        judged = replace(judged, known=known, certainty=Certainty.WILL)
        if known.data_version is not None:
            if self.facts.outcome(asset.name, known.data_version) == BLOCKED:
                reason = f"its candidate {known.data_version.hex()[:12]} did not pass the gate {asset.gate!r}"
                return replace(judged, state=State.BLOCKED, reason=reason, certainty=None)
            return replace(judged, state=State.KNOWN, unchecked=self._unchecked(asset, known.data_version))
        tried = self.tried_after is not None and known.last_failure > self.tried_after
        if known.died or known.failures >= ATTEMPTS or tried:
            reason = f"failed {known.failures} times: {known.error}" if known.failures > 1 else f"failed: {known.error}"
            return replace(judged, state=State.FAILED, reason=reason, certainty=None)
        return replace(judged, state=State.STALE)

    def _unchecked(self, asset: Asset, version: bytes) -> bool:
        return asset.name in self.facts.suites and self.facts.outcome(asset.name, version) is None

    def held(self, asset: str, ordinal: int) -> str | None:
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
        return is_closed(asset.grain, asset.closes_after, ordinal, self.as_of)

    def settle(self, asset: Asset, judged: Judgement) -> Judgement:
        """Show a judgement to the partition's readers, as far as it can be known before anything runs."""
        selected = self.selection.holds(asset.grain, judged.ordinal)
        if judged.certainty is not None and not (self.planning and selected):
            # Nobody computes it before its readers: they use the head that is there, and know what it lacks. What was
            # asked for, and is still to be computed though it is not planned any more, failed or was never reached.
            roots = judged.roots_if_failed
            judged = judged if selected else replace(judged, certainty=None, roots=roots)
            self.show(
                asset,
                judged.ordinal,
                self._to_be(judged),
                roots,
                failed=selected and not judged.stands,
                left=not selected,
            )
            return judged
        head = self._to_be(judged)
        failed = judged.state in (State.BLOCKED, State.FAILED)
        roots = judged.roots
        if failed or (judged.state is State.HELD and head is None):
            roots = judged.roots_if_failed
        if judged.state is State.HELD and head is not None:
            roots = head.missing
        left = judged.unchecked and not selected and judged.state in STANDING
        # Who looks at what became of a plan moves no head, and asks no gate: that is for the next plan.
        left |= (judged.moves or judged.unchecked) and not self.planning
        self.show(
            asset, judged.ordinal, head, roots, failed=failed, undue=judged.undue, pending=judged.certainty, left=left
        )
        return judged

    def _to_be(self, judged: Judgement) -> Head | None:
        """Return a head as it is once the plan's moves are made."""
        head = None if judged.void else judged.head
        if head is None or judged.certainty is not None or not self.planning:
            return head
        return head._replace(missing=judged.marks)

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
        left: bool = False,
    ) -> None:
        """Let readers of a partition see what it is now."""
        if head is not None and roots and self.closed(asset, ordinal):
            roots = FINAL  # what is closed counts as final for its readers
        version, made = (head.data_version, head.materialization) if head else (None, None)
        undue = undue if head is None else None
        view = View(version, made, roots, undue, pending, failed, left)
        self.tracks[asset.name].show(ordinal, head, view)

    def _action_key(self, asset: Asset, key: str, reads: tuple[Read, ...]) -> bytes:
        parts = [self.prefix(asset), canonical(key)]
        parts += [canonical((read.input.parameter, read.input.upstream, read.digest)) for read in reads]
        return hashlib.sha256(b"".join(parts)).digest()

    def frames(self, grain: Grain, ordinals: range) -> dict[int, tuple[bytes, bytes]]:
        """Return how keys stand in action keys, by ordinal: as a partition's own, and before a version that is read."""
        found = self._frames.setdefault(grain, {})
        for ordinal in ordinals:
            if ordinal not in found:
                key = grain.key(ordinal)
                found[ordinal] = canonical(key), one_frame(key)
        return found

    def prefix(self, asset: Asset) -> bytes:
        """Return what all action keys of an asset begin with: the recipe."""
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
            prefix = self._prefixes[asset.name] = canonical(recipe)
        return prefix

    def _read(self, asset: Asset, read: Input, ordinal: int) -> Read:
        track = self.tracks[read.upstream]
        ordinals = read.mapping.ordinals(asset.grain, track.grain, ordinal)
        timeless = isinstance(track.grain, TimeGrain) and not isinstance(asset.grain, TimeGrain)
        if timeless:
            # A reader that is not of time itself sees what has ended by now, and waits for nothing that is not yet due:
            # there is always something that is not.
            assert isinstance(track.grain, TimeGrain)
            ordinals = range(ordinals.start, min(ordinals.stop, track.grain.last_ended(self.as_of) + 1))
        if isinstance(read.mapping, Window):
            return read_window(read, track, ordinals, waits=not timeless)
        if isinstance(read.mapping, Newest):
            return read_newest(read, track, ordinals, waits=not timeless)
        if isinstance(read.mapping, Previous):
            return read_one(read, track, track.before(ordinals.stop))
        return read_one(read, track, ordinals[0])


def _closedness(grain: Grain, closes_after: timedelta | None, as_of: datetime) -> Callable[[int], bool]:
    return lambda ordinal: is_closed(grain, closes_after, ordinal, as_of)
