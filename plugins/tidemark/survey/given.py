"""What a survey is given: the ledger's answers, and which partitions were asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from tidemark.assets import Source
from tidemark.ledger.heads import Head, Missing
from tidemark.ledger.records import Known
from tidemark.partitions import Grain, TimeGrain


class Delivered(NamedTuple):
    """What was observed of a source partition: whether there is a file, and why its newest one was rejected."""

    there: bool
    rejected: str | None


class Gap(NamedTuple):
    """A partition that its readers lack, or whose newest computation failed: what is missing, and when that is due."""

    missing: Missing
    undue: datetime | None = None
    failed: bool = False


@dataclass(frozen=True)
class Upstream:
    """An asset that another pipeline computes, as that pipeline's newest plan has left it.

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
        externals: the sources and assets of other pipelines that are read.
        seq: number of the ledger's newest change that is in these answers.
        made: id of the newest materialization that is in these answers.

    """

    heads: dict[str, dict[int, Head]]
    delivered: Mapping[str, Mapping[int, Delivered]] = field(default_factory=dict)
    absent: Mapping[str, frozenset[int]] = field(default_factory=dict)
    held: Mapping[str, Mapping[int | None, str]] = field(default_factory=dict)
    known: Callable[[str], Mapping[tuple[int, bytes], Known]] = lambda name: {}
    codes: Mapping[str, int | None] = field(default_factory=dict)
    suites: Mapping[str, bytes] = field(default_factory=dict)
    outcomes: Mapping[bytes, dict[bytes, str]] = field(default_factory=dict)
    externals: Mapping[str, Source | Upstream] = field(default_factory=dict)
    seq: int = 0
    made: int = 0


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
