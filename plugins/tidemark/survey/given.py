"""What a survey is given: the ledger's answers, and which partitions were asked for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from tidemark.assets import Source
from tidemark.ledger.gaps import Gap
from tidemark.ledger.heads import Head
from tidemark.ledger.records import Known
from tidemark.partitions import Grain, TimeGrain


class Delivered(NamedTuple):
    """What was observed of a source partition: whether there is a file, and why its newest one was rejected."""

    there: bool
    rejected: str | None


@dataclass(frozen=True)
class Upstream:
    """An asset that another pipeline computes, as that pipeline's newest plan and its workers have left it.

    Attributes:
        grain: how it is partitioned.
        closes_after: age after a period's end at which a partition with a head counts as final, or None for never.
        gaps: by ordinal, the partitions that exist and have no head, and those that failed.
        unreached: the partitions of that plan that nobody has brought to a result: a worker is at it, or has died.

    """

    grain: Grain
    closes_after: timedelta | None = None
    gaps: Mapping[int, Gap] = field(default_factory=dict)
    unreached: frozenset[int] = frozenset()


class Stored(NamedTuple):
    """What the ledger keeps of some partitions of an asset, by ordinal; what is in neither does not exist."""

    heads: dict[int, Head]
    gaps: dict[int, Gap]


class Facts(Protocol):
    """The ledger's answers that a survey needs, by asset name and ordinal; read when first asked.

    Attributes:
        held: why assets (None) or partitions are held.
        codes: id of each asset's present code version, None if the ledger has not met it.
        suites: digest of each gated asset's suite.
        externals: the sources and assets of other pipelines that are read.
        seq: number of the ledger's newest change that is in these answers.
        made: id of the newest materialization that is in these answers.

    """

    held: Mapping[str, Mapping[int | None, str]]
    codes: Mapping[str, int | None]
    suites: Mapping[str, bytes]
    externals: Mapping[str, Source | Upstream]
    seq: int
    made: int

    def stored(self, asset: str, ordinals: range | None) -> Stored:
        """Return what is kept of a range of an asset's partitions; None: of all."""

    def span(self, asset: str) -> range:
        """Return a range in which all partitions are of which something is kept."""

    def delivered(self, source: str, ordinals: Collection[int] | None) -> Mapping[int, Delivered]:
        """Return what was observed of some partitions of a source; None: of all."""

    def absent(self, source: str) -> frozenset[int]:
        """Return which partitions of a source people declared absent."""

    def known(self, asset: str, ordinal: int, action_key: bytes) -> Known:
        """Return what is known of an action key."""

    def expect(self, asset: str, ordinals: Collection[int]) -> None:
        """Hear which partitions of an asset will be asked about: what is known of them is read in one go."""

    def outcome(self, asset: str, version: bytes) -> str | None:
        """Return what the asset's suite said of a data version; None: it was not asked, or there is no suite."""

    def learn(self, asset: str, version: bytes, outcome: str) -> None:
        """Hear what the asset's suite has just said."""


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
        return bool(self.force) and ((asset, key) in self.force or (asset, None) in self.force)


EVERYTHING = Selection()
