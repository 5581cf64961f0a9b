"""What a survey says: of a partition as its readers see it, of what it reads, and of what is to be done with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from tidemark.assets import Input
from tidemark.ledger.heads import FINAL, Head, Missing
from tidemark.ledger.records import UNKNOWN, Known


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


# In these states the head that is there stays.
STANDING = frozenset({State.FRESH, State.BLOCKED, State.FAILED, State.HELD, State.CLOSED})


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
        left: it is still to be computed, shown to its gate or marked, and nobody has asked for it.

    """

    version: bytes | None
    materialization: int | None
    roots: Missing = FINAL
    undue: datetime | None = None
    pending: Certainty | None = None
    failed: bool = False
    left: bool = False


class Member(NamedTuple):
    """One upstream partition that an input reads; one that is pending may come out as another version."""

    key: str
    version: bytes | None
    materialization: int | None
    pending: bool = False


class Read:
    """What one input reads for one partition.

    Args:
        input: the input.
        members: what it reads, or a function that says so: a wide window is listed only where somebody asks,
            which must be before anything that it reads is shown in another way.
        digest: of what it reads, 32 bytes: what enters the action key.
        present: whether there is any data.
        roots: what is missing from it, at any depth.
        undue: when what it waits for is due.
        pending: whether something of it is still to be computed, and how surely.
        failed: whether the newest computation or delivery of something of it failed.

    """

    __slots__ = ("_members", "digest", "failed", "input", "pending", "present", "roots", "undue")

    def __init__(
        self,
        input: Input,
        members: "tuple[Member, ...] | Callable[[], tuple[Member, ...]]",
        digest: bytes,
        present: bool,
        roots: Missing = FINAL,
        undue: datetime | None = None,
        pending: Certainty | None = None,
        failed: bool = False,
    ) -> None:
        self.input = input
        self._members = members
        self.digest = digest
        self.present = present
        self.roots = roots
        self.undue = undue
        self.pending = pending
        self.failed = failed

    @property
    def members(self) -> tuple[Member, ...]:
        """What is read, oldest first."""
        if not isinstance(self._members, tuple):
            self._members = self._members()
        return self._members


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
        return self.certainty is not None or (self.state in STANDING and self.unchecked)

    @property
    def runs(self) -> bool:
        """Whether it is brought to another result, as far as one can know; else only its marks may change."""
        return self.state in (State.STALE, State.KNOWN, State.UNSURE)

    @property
    def itself(self) -> Missing:
        """What its readers lack where it has failed or was not made."""
        return frozenset({(self.asset, self.key)})

    @property
    def stands(self) -> bool:
        """Whether it is computed only because a person wants it: what is live stays good if that fails."""
        return self.state is State.STALE and self.head is not None and self.head.action_key == self.action_key

    @property
    def roots_if_failed(self) -> Missing:
        """What the head lacks where a newer computation failed."""
        return self.roots if self.stands else self.roots | self.itself

    @property
    def moves(self) -> bool:
        """Whether its head changes without a run: it goes, or its marks are others."""
        return self.certainty is None and self.head is not None and (self.void or self.marks != self.head.missing)

    @property
    def marks(self) -> Missing:
        """What the live head is provisional for."""
        if self.state in (State.BLOCKED, State.FAILED):
            return self.roots_if_failed
        if self.state in (State.HELD, State.CLOSED):
            return self.head.missing if self.head else FINAL
        return self.roots
