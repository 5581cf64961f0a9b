"""Tracks: one asset along its partitions, as their readers see them.

A track reads what the ledger keeps of a partition when that is first asked for, with its neighbours; what the survey
has shown since stands above it.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from tidemark.hashing import canonical
from tidemark.ledger.gaps import Gap
from tidemark.ledger.heads import FINAL, Head
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.given import Facts
from tidemark.survey.judgement import View

# Neighbours that are read together: two to the power of this.
_BLOCK = 6

_NOTHING = b"\x00" * 32


class Track:
    """One asset along its partitions.

    Args:
        name: the asset's name.
        grain: how it is partitioned.
        facts: the ledger's answers.
        was_closed: whether a partition was closed by the time at which what is kept was written.

    """

    def __init__(self, name: str, grain: Grain, facts: Facts, was_closed: Callable[[int], bool]) -> None:
        self.name = name
        self.grain = grain
        self._facts = facts
        self._was_closed = was_closed
        self._whole = False
        self._blocks: set[int] = set()
        self.heads: dict[int, Head] = {}
        self._gaps: dict[int, Gap] = {}
        self._shown: dict[int, View | None] = {}
        self._odd: list[int] = []
        self._nodes: dict[tuple[int, int], bytes | None] = {}

    # -- reading

    def need(self, ordinals: range) -> None:
        """Make sure that what is kept of a range is known."""
        if self._whole or not ordinals:
            return
        if not isinstance(self.grain, TimeGrain):
            self.need_all()
            return
        blocks = range(ordinals.start >> _BLOCK, (ordinals.stop - 1 >> _BLOCK) + 1)
        if len(blocks) > 2 * _BLOCK:  # a long way: no further than there is anything
            span = self._facts.span(self.name)
            first, last = max(ordinals.start, span.start), min(ordinals.stop, span.stop)
            blocks = range(first >> _BLOCK, (last - 1 >> _BLOCK) + 1) if first < last else range(0)
        lacking = [each for each in blocks if each not in self._blocks]
        if lacking:
            self._blocks.update(lacking)
            self._take(range(lacking[0] << _BLOCK, lacking[-1] + 1 << _BLOCK))

    def need_all(self) -> None:
        """Make sure that all that is kept is known."""
        if not self._whole:
            self._whole = True
            self._take(None)

    def _take(self, ordinals: range | None) -> None:
        heads, gaps = self._facts.stored(self.name, ordinals)
        self._gaps.update(gaps)
        odd = {ordinal for ordinal, head in heads.items() if head.missing}.union(gaps)
        if self._shown:
            heads = {ordinal: head for ordinal, head in heads.items() if ordinal not in self._shown}
            odd -= self._shown.keys()
        self.heads.update(heads)
        if odd:
            self._odd = sorted({*self._odd, *odd})

    def head(self, ordinal: int) -> Head | None:
        """Return what is live for a partition."""
        if not self._whole and ordinal >> _BLOCK not in self._blocks:
            self.need(range(ordinal, ordinal + 1))
        return self.heads.get(ordinal)

    def view(self, ordinal: int) -> View | None:
        """Return a partition as its readers see it, None if it does not exist."""
        if ordinal in self._shown:
            return self._shown[ordinal]
        head = self.head(ordinal)
        gap = self._gaps.get(ordinal)
        if head is None:
            return None if gap is None else View(None, None, gap.missing, gap.undue, None, gap.failed, gap.left)
        roots = gap.missing if gap is not None else head.missing
        if roots and self._was_closed(ordinal):
            roots = FINAL
        failed, left = (gap.failed, gap.left) if gap is not None else (False, False)
        return View(head.data_version, head.materialization, roots, None, None, failed, left)

    def stored(self) -> set[int]:
        """Return all partitions that exist, or have a head."""
        self.need_all()
        gone = {ordinal for ordinal, view in self._shown.items() if view is None}
        return (self.heads.keys() | self._gaps.keys() | self._shown.keys()) - gone

    def kept(self) -> set[int]:
        """Return all partitions with a head."""
        self.need_all()
        return set(self.heads)

    def gapped(self) -> set[int]:
        """Return all partitions of which a gap is kept."""
        self.need_all()
        return set(self._gaps)

    def plain(self) -> dict[int, bytes]:
        """Return the data version of each partition that is live and final, by ordinal."""
        self.need_all()
        gaps = self._gaps
        found = {ordinal: head.data_version for ordinal, head in self.heads.items() if not head.missing}
        for ordinal in gaps:
            found.pop(ordinal, None)
        for ordinal, view in self._shown.items():
            if view is None or view.version is None or view.roots or view.pending or view.failed:
                found.pop(ordinal, None)
            else:
                found[ordinal] = view.version
        return found

    # -- neighbours

    def within(self, ordinals: range) -> Iterator[int]:
        """Yield the partitions of a range that exist, oldest first."""
        self.need(ordinals)
        if len(ordinals) > 1 << 2 * _BLOCK:
            ordinals = self._cut(ordinals)
        return (ordinal for ordinal in ordinals if self.view(ordinal) is not None)

    def backwards(self, ordinals: range) -> Iterator[int]:
        """Yield the partitions of a range that exist, newest first; what is not asked for is not read."""
        for ordinal in reversed(self._cut(ordinals)):
            if self.view(ordinal) is not None:
                yield ordinal

    def before(self, ordinal: int) -> int | None:
        """Return the newest earlier partition that exists."""
        return next(self.backwards(range(-(1 << 38), ordinal)), None)

    def onwards(self, ordinal: int) -> Iterator[int]:
        """Yield the later partitions that exist, oldest first; what is not asked for is not read."""
        for later in self._cut(range(ordinal + 1, 1 << 38)):
            if self.view(later) is not None:
                yield later

    def after(self, ordinal: int) -> int | None:
        """Return the oldest later partition that exists."""
        return next(self.onwards(ordinal), None)

    def _cut(self, ordinals: range) -> range:
        """Cut a range to where there is anything."""
        if len(ordinals) <= 1 << _BLOCK:
            return ordinals
        span = self._facts.span(self.name)
        first = min([span.start, *self._shown]) if span else min(self._shown, default=0)
        last = max([span.stop - 1, *self._shown]) if span else max(self._shown, default=-1)
        return range(max(ordinals.start, first), min(ordinals.stop, last + 1))

    def odd(self, ordinals: range) -> list[int]:
        """Return the partitions of a range whose views say more than what is live, oldest first."""
        self.need(ordinals)
        odd = self._odd
        return odd[bisect_left(odd, ordinals.start) : bisect_left(odd, ordinals.stop)] if odd else []

    def ends(self, ordinals: range) -> tuple[int, int] | None:
        """Return the first and the last partition of a range that have data, None if there is none."""
        self.need(ordinals)
        cut = self._cut(ordinals)
        first = next((each for each in cut if self._has_data(each)), None)
        if first is None:
            return None
        return first, next(each for each in reversed(cut) if self._has_data(each))

    def _has_data(self, ordinal: int) -> bool:
        view = self._shown.get(ordinal)
        if view is None:
            return ordinal not in self._shown and ordinal in self.heads
        return view.version is not None

    # -- showing

    def show(self, ordinal: int, head: Head | None, view: View | None) -> None:
        """Let readers see a partition in another way; without a view it exists no longer."""
        before = self.view(ordinal)
        if head is None:
            self.heads.pop(ordinal, None)
        else:
            self.heads[ordinal] = head
        self._shown[ordinal] = view
        odd = view is not None and (view.version is None or bool(view.roots or view.pending or view.failed))
        place = bisect_left(self._odd, ordinal)
        was_odd = place < len(self._odd) and self._odd[place] == ordinal
        if odd and not was_odd:
            insort(self._odd, ordinal)
        elif was_odd and not odd:
            del self._odd[place]
        if self._nodes and (before.version if before else None) != (view.version if view else None):
            for level in range(_LEVELS):
                self._nodes.pop((level, ordinal >> level), None)

    def replace(self, ordinal: int, materialization: int) -> None:
        """Put the id that the ledger gave in the place of the number that stood for a materialization."""
        head, view = self.heads[ordinal], self._shown[ordinal]
        assert view is not None
        self.heads[ordinal] = head._replace(materialization=materialization)
        self._shown[ordinal] = view._replace(materialization=materialization)

    def changed_gaps(self) -> dict[int, Gap | None]:
        """Return the gaps that the ledger has to keep in another way than it does, by ordinal; None: none any more."""
        found = {ordinal: self.gap(ordinal) for ordinal in self._shown}
        return {ordinal: gap for ordinal, gap in found.items() if gap != self._gaps.get(ordinal)}

    def keep(self, ordinal: int, gap: Gap | None) -> None:
        """Note that the ledger keeps a gap in this way now."""
        if gap is None:
            self._gaps.pop(ordinal, None)
        else:
            self._gaps[ordinal] = gap

    def gap(self, ordinal: int) -> Gap | None:
        """Return what the ledger has to keep of a partition besides its head, None if nothing."""
        view, head = self.view(ordinal), self.heads.get(ordinal)
        if view is None or view.pending is not None:
            return None
        if view.version is not None and not view.failed and not view.left:
            assert head is not None
            if view.roots == head.missing or not view.roots:
                return None
        return Gap(view.roots, view.undue, view.failed, again=view.failed or view.left)

    # -- digests of windows

    def digest(self, first: int, last: int) -> bytes:
        """Return a digest of the members with data from one partition to another, which both have some.

        It is made of the digests of the largest aligned blocks, in a binary tree over the ordinals, that make up the
        range: windows share them, and one member that changes costs a branch of the tree, not every window's width.
        """
        hashed = hashlib.sha256(b"window")
        if not isinstance(self.grain, TimeGrain):  # where its keys stand may change, and says nothing
            for place in sorted(range(first, last + 1), key=self.grain.key):
                hashed.update(self._node(0, place) or b"")
            return hashed.digest()
        low, high = first, last + 1
        while low < high:
            level = min((low & -low).bit_length() - 1 if low else _LEVELS - 1, (high - low).bit_length() - 1)
            node = self._node(level, low >> level)
            if node is not None:
                hashed.update(node)
            low += 1 << level
        return hashed.digest()

    def _node(self, level: int, place: int) -> bytes | None:
        """Return the digest of a block of members, None if it has no data."""
        found = self._nodes.get((level, place), _NOTHING)
        if found is not _NOTHING:
            return found
        made: bytes | None
        if level == 0:
            view = self.view(place)
            version = view.version if view is not None else None
            made = None if version is None else hashlib.sha256(canonical((self.grain.key(place), version))).digest()
        else:
            left, right = self._node(level - 1, 2 * place), self._node(level - 1, 2 * place + 1)
            if left is None and right is None:
                made = None
            else:
                made = hashlib.sha256(b"block" + (left or _NOTHING) + (right or _NOTHING)).digest()
        self._nodes[level, place] = made
        return made


# The levels of the tree over the ordinals: no window is wider than this many bits.
_LEVELS = 40
