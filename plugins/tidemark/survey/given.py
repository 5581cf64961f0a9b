"""What a survey is given: the ledger's answers, and which partitions were asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tidemark.ledger.heads import Head
from tidemark.ledger.records import Known
from tidemark.partitions import Grain, TimeGrain


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
        seq: number of the ledger's newest change that is in these answers.

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
    seq: int = 0


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
