"""A sweep: going through the partitions that may have changed, each before what reads it.

What is to be judged begins with what is known to have changed (:class:`Changes`), and grows as judgements come out
otherwise than what readers have seen: those readers are judged too. Without such a beginning everything is looked at.

Invariant: a partition that is not judged has the view that its head and its gap give it.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from tidemark.assets import Asset, Input, Source
from tidemark.mappings import Newest
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.judgement import Judgement
from tidemark.survey.survey import Survey
from tidemark.survey.verification import unverified

# From so many readers on it is worth asking where there can be any.
_MANY = 1000


class EdgeMovedError(Exception):
    """Something begins earlier or later than the last plan has found: everything has to be looked at."""


class Changes(NamedTuple):
    """What may be otherwise than heads and gaps say, by asset name and ordinal.

    Attributes:
        judge: partitions to be judged; those that read them only if that comes out in another way.
        tell: partitions whose readers have to be judged too, since what they saw may be gone.

    """

    judge: Mapping[str, set[int]]
    tell: Mapping[str, set[int]]


class Sweep:
    """One sweep over a survey; its assets are taken in the pipeline's order.

    Args:
        survey: what is gone through.
        changes: what is to be judged; None: everything.

    """

    def __init__(self, survey: Survey, changes: Changes | None) -> None:
        self._survey = survey
        self._changes = changes
        self._changed: dict[str, set[int]] = {}
        for name in survey.upstreams:
            self._look(name)
        if changes is not None:
            self._check_kept(changes)

    @property
    def whole(self) -> bool:
        """Whether everything is looked at."""
        return self._changes is None

    # -- sources, and what other pipelines compute

    def _look(self, name: str) -> None:
        survey, track = self._survey, self._survey.tracks[name]
        if self._changes is None:
            ordinals = self._everything(name)
        else:
            ordinals = self._changes.judge.get(name, set()) | self._changes.tell.get(name, set())
        changed = self._changed[name] = set(self._changes.tell.get(name, ())) if self._changes else set()
        if not ordinals:
            return
        source = isinstance(survey.upstreams[name], Source)
        delivered = survey.facts.delivered(name, ordinals) if source else {}
        before = {ordinal: track.view(ordinal) for ordinal in ordinals}
        for ordinal in sorted(ordinals):
            survey.look(name, ordinal, delivered.get(ordinal))
        changed.update(ordinal for ordinal in ordinals if track.view(ordinal) != before[ordinal])
        if self._changes is not None:
            gone = {
                ordinal for ordinal in ordinals if source and not (ordinal in delivered and delivered[ordinal].there)
            }
            self._check_edge(name, changed, gone)

    def _everything(self, name: str) -> set[int]:
        """Find out where a source begins, and return those of its partitions that are not plainly delivered."""
        survey, track, upstream = self._survey, self._survey.tracks[name], self._survey.upstreams[name]
        stored = track.stored()
        if not isinstance(upstream, Source):
            exceptions = upstream.gaps.keys() | upstream.unreached | track.gapped()
            there = track.kept() | upstream.gaps.keys()
            survey.first[name] = min(there, default=None) if isinstance(upstream.grain, TimeGrain) else None
            return exceptions | (track.kept() - track.plain().keys())
        delivered = survey.facts.delivered(name, None)
        there = {ordinal for ordinal, each in delivered.items() if each.there}
        timed = isinstance(upstream.grain, TimeGrain)
        survey.first[name] = min(there, default=None) if timed else None
        expected = survey.expected(upstream)
        survey.first[name] = min(there | expected, default=None) if timed else None
        well = {ordinal for ordinal, each in delivered.items() if each.there and each.rejected is None}
        return (stored | there | expected) - (well & track.plain().keys())

    def _check_edge(self, name: str, changed: set[int], gone: set[int]) -> None:
        """Give up where a source begins elsewhere by now: the ranges of its readers hang on that.

        A source is expected from its first file on, so it begins elsewhere too where only that file is gone.
        """
        first, track = self._survey.first.get(name), self._survey.tracks[name]
        if not isinstance(track.grain, TimeGrain) or not changed:
            return
        by_delivery = track.grain.first is None
        if first is None or min(changed) < first or track.view(first) is None or (by_delivery and first in gone):
            raise EdgeMovedError(name)

    def _check_kept(self, changes: Changes) -> None:
        """Give up where something may have changed that an asset keeps from before it begins."""
        for asset in self._survey.pipeline.assets:
            within = self._survey.range_of(asset)
            ordinals = changes.judge.get(asset.name, set()) | changes.tell.get(asset.name, set())
            if isinstance(asset.grain, TimeGrain) and any(ordinal < within.start for ordinal in ordinals):
                raise EdgeMovedError(asset.name)

    # -- assets

    def judge_all(self, assets: Iterable[Asset]) -> Iterator[Judgement]:
        """Judge what has to be judged of some assets, given in the pipeline's order; the others are as they were."""
        for asset in assets:
            turn, within = self.turn(asset), self._survey.range_of(asset)
            for ordinal in turn:
                judged = self.settled(asset, ordinal, within)
                if judged is not None:
                    yield judged

    def settled(self, asset: Asset, ordinal: int, within: range) -> Judgement | None:
        """Judge one partition and show it to its readers; None: it does not exist, and has no head."""
        survey = self._survey
        if not survey.exists(asset, ordinal, within):
            return survey.gone(asset, ordinal)
        return survey.settle(asset, survey.judge(asset, ordinal))

    def turn(self, asset: Asset, planned: Iterable[int] = ()) -> Iterator[int]:
        """Find out where an asset begins, and return an iterator over its partitions that have to be judged.

        What the asset reads has had its turn. The partitions come in time order; each is to be judged and shown before
        the next one is asked for.

        Args:
            asset: the asset.
            planned: partitions that are to be judged too.

        """
        survey = self._survey
        if self._changes is None:
            survey.begins[asset.name] = survey.begins_of(asset)
            found = set(unverified(survey, asset))
            self._note_oldest(asset)
        else:
            found = self._to_judge(asset)
        queue = list(found.union(planned))
        survey.facts.expect(asset.name, queue)
        heapify(queue)
        self._changed[asset.name] = set(self._changes.tell.get(asset.name, ())) if self._changes else set()
        return self._in_order(asset, queue)

    def _in_order(self, asset: Asset, queue: list[int]) -> Iterator[int]:
        """Yield what is in a heap, and in a chain what comes after that which was shown in another way."""
        track, changed, done = self._survey.tracks[asset.name], self._changed[asset.name], set[int]()
        while queue:
            ordinal = heappop(queue)
            if ordinal in done:
                continue
            done.add(ordinal)
            before = track.view(ordinal)
            yield ordinal
            if track.view(ordinal) != before:
                changed.add(ordinal)
            later = track.after(ordinal) if asset.chained and ordinal in changed else None
            if later is not None and later not in done:
                heappush(queue, later)

    def note(self, asset: Asset, ordinal: int) -> None:
        """Note that a partition was shown in another way after its turn."""
        self._changed[asset.name].add(ordinal)

    def _note_oldest(self, asset: Asset) -> None:
        """Note where what an asset keeps begins, for its readers: that may be before its inputs begin by now."""
        survey, grain = self._survey, asset.grain
        if not isinstance(grain, TimeGrain):
            return
        oldest = next((each for each in sorted(survey.tracks[asset.name].kept()) if survey.keeps(asset, each)), None)
        begins = survey.begins[asset.name]
        if oldest is not None and (begins is None or grain.begins(oldest) < begins):
            survey.oldest[asset.name] = grain.begins(oldest)

    def _to_judge(self, asset: Asset) -> set[int]:
        """Return what is to be judged of an asset: what has changed of it, or above it."""
        assert self._changes is not None
        survey = self._survey
        found = self._changes.judge.get(asset.name, set()) | self._changes.tell.get(asset.name, set())
        within = survey.range_of(asset)
        for read in asset.inputs:
            changed = self._changed.get(read.upstream)
            if changed and read.upstream != asset.name:
                found |= self._readers(asset, read, changed, within)
        return found

    def _readers(self, asset: Asset, read: Input, changed: Iterable[int], within: range) -> set[int]:
        """Return the partitions of an asset that read one of some partitions of an upstream."""
        track = self._survey.tracks[read.upstream]
        last = within.stop if isinstance(asset.grain, TimeGrain) else None
        found: set[int] = set()
        for ordinal in changed:
            readers = read.mapping.feeds(asset.grain, track.grain, ordinal)
            if isinstance(read.mapping, Newest):
                readers = self._up_to_next(asset.grain, read, ordinal, readers, last)
            if last is not None:
                readers = range(readers.start, min(readers.stop, last))
            found.update(self._reachable(asset, readers, within) if len(readers) > _MANY else readers)
        return found

    def _reachable(self, asset: Asset, readers: range, within: range) -> range:
        """Cut many partitions to where there can be any: in the asset's range, or where something is kept of it."""
        starts = [each.start for each in (within, self._survey.facts.span(asset.name)) if each]
        return range(max(readers.start, min(starts, default=readers.stop)), readers.stop)

    def _up_to_next(self, reader: Grain, read: Input, ordinal: int, readers: range, last: int | None) -> range:
        """Cut the readers of a newest partition to those that find no newer one with data.

        Those of a newer one that has data only now, or had some until now, are judged because that has changed.
        """
        track = self._survey.tracks[read.upstream]
        if last is None:
            return readers
        for newer in track.onwards(ordinal):
            view = track.view(newer)
            if view is not None and view.version is not None:
                start = read.mapping.feeds(reader, track.grain, newer).start
                return range(readers.start, min(readers.stop, start))
        return readers
