"""Tracks: one asset along its partitions, and those of sources and of other pipelines laid out."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidemark.assets import Source
from tidemark.hashing import canonical
from tidemark.ledger.heads import FINAL
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.given import Facts, Upstream
from tidemark.survey.judgement import View


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


def source_track(source: Source, facts: Facts, as_of: datetime) -> Track:
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
    return {each for each in range(first, grain.containing(as_of) + 1) if source.expects(each)}


def _due(source: Source, ordinal: int) -> datetime | None:
    """Return when a source partition is due: by its own rule, or when its period has ended."""
    if not isinstance(source.grain, TimeGrain):
        return None
    if source.due is None:
        return source.grain.ends(ordinal)
    return source.due.at(source.grain.begins(ordinal).astimezone(source.grain.zone))


def external_track(name: str, upstream: Upstream, facts: Facts, as_of: datetime) -> Track:
    """Lay out an asset of another pipeline: its heads, and what that pipeline knows to lack one."""
    grain = upstream.grain
    track = Track(grain)
    heads = facts.heads.get(name, {})
    track.existing = sorted(heads.keys() | upstream.gaps.keys())
    if isinstance(grain, TimeGrain) and track.existing:
        track.begins = grain.begins(track.existing[0])
    for ordinal in track.existing:
        itself = frozenset({(name, grain.key(ordinal))})
        head = heads.get(ordinal)
        if head is None:
            gap = upstream.gaps[ordinal]
            undue = gap.undue if gap.undue is not None and gap.undue > as_of else None
            # What has become due since that pipeline's plan, it has not made yet.
            roots = gap.missing | itself if gap.undue is not None and undue is None else gap.missing
            track.views[ordinal] = View(None, None, roots, undue, None, gap.failed)
        elif is_closed(grain, upstream.closes_after, ordinal, as_of):
            track.views[ordinal] = View(head.data_version, head.materialization)
        else:
            roots = head.missing | itself if ordinal in upstream.unreached else head.missing
            # The head's mark alone may say that nobody asked for its computation; the plan's word may be outdated.
            failed = itself <= head.missing and ordinal in upstream.gaps and upstream.gaps[ordinal].failed
            track.views[ordinal] = View(head.data_version, head.materialization, roots, None, None, failed)
    return track


def is_closed(grain: Grain, closes_after: timedelta | None, ordinal: int, as_of: datetime) -> bool:
    """Return whether a partition is older than its asset's ``closes_after``."""
    if closes_after is None or not isinstance(grain, TimeGrain):
        return False
    return as_of > grain.ends(ordinal) + closes_after
