"""Reads: what one input reads for one partition, and the digest of it that enters the action key."""

from collections.abc import Iterable
from datetime import datetime

from tidemark.assets import Input
from tidemark.hashing import DIGEST_SIZE, canonical, digest
from tidemark.ledger.heads import FINAL, Missing
from tidemark.mappings import InForce
from tidemark.survey.judgement import Certainty, Member, Read, View
from tidemark.survey.tracks import Track

ABSENT = digest("absent")


def absence(read: Read) -> str:
    """Say why an input that is needed is not there."""
    names = sorted(read.roots)[:3]
    if names:
        more = "" if len(read.roots) <= 3 else f" and {len(read.roots) - 3} more"
        missing = ", ".join(f"{asset} {key}" for asset, key in names)
        if read.failed:
            what = "failed or was rejected" if len(read.roots) == 1 else "is missing, failed or was rejected"
            return f"{read.input.upstream} cannot be read: {missing}{more} {what}"
        return f"{read.input.upstream} is absent: {missing}{more} is missing"
    key = read.members[0].key if read.members else "any partition in reach"
    return f"{read.input.upstream} is absent: {key} was not delivered, was withdrawn or was declared absent"


_ONE = canonical("one")


def one_frame(key: str) -> bytes:
    """Return what ``canonical(("one", key, version))`` holds before the version's 32 bytes."""
    text = key.encode()
    size = len(_ONE) + 9 + len(text) + 9 + DIGEST_SIZE
    return b"Q%b%bS%b%bY%b" % (
        size.to_bytes(8, "big"),
        _ONE,
        len(text).to_bytes(8, "big"),
        text,
        DIGEST_SIZE.to_bytes(8, "big"),
    )


def read_one(read: Input, track: Track, ordinal: int | None) -> Read:
    """Read one partition; ``None``: there is none in reach."""
    if ordinal is None:
        return Read(read, (), ABSENT, False)
    view, key = track.view(ordinal), track.grain.key(ordinal)
    if view is None:
        return Read(read, (Member(key, None, None),), ABSENT, False)
    members = (Member(key, view.version, view.materialization),)
    # Which partition has no data is no matter to the function: it gets None.
    hashed = ABSENT if view.version is None else digest("one", key, view.version)
    return Read(read, members, hashed, view.version is not None, view.roots, view.undue, view.pending, view.failed)


def _joined(views: Iterable[View]) -> tuple[Missing, datetime | None, Certainty | None, bool]:
    """Return what holds for several views together: all roots, the last due time, the least certainty, any failure."""
    roots: list[Missing] = []
    undue, pending, failed = None, None, False
    for view in views:
        if view.roots:
            roots.append(view.roots)
        if view.undue is not None and (undue is None or view.undue > undue):
            undue = view.undue
        if view.pending is not None:
            pending = Certainty.MAY if Certainty.MAY in (pending, view.pending) else Certainty.WILL
        failed = failed or view.failed
    return FINAL.union(*roots) if roots else FINAL, undue, pending, failed


def read_window(read: Input, track: Track, ordinals: range, *, waits: bool) -> Read:
    """Read every partition of a range that exists, oldest first; those not yet due only if it waits for them."""

    def counts(view: View | None) -> bool:
        return view is not None and (view.undue is None or waits)

    def members() -> tuple[Member, ...]:
        found = ((ordinal, track.view(ordinal)) for ordinal in track.within(ordinals))
        return tuple(
            Member(track.grain.key(ordinal), view.version, view.materialization, view.pending is not None)
            for ordinal, view in found
            if view is not None and counts(view)
        )

    odd = (track.view(ordinal) for ordinal in track.odd(ordinals))
    roots, undue, pending, failed = _joined(view for view in odd if view is not None and counts(view))
    ends = track.ends(ordinals)
    # What is absent needs no entry: when it comes, it adds one.
    hashed = track.digest(*ends) if ends else ABSENT_WINDOW
    return Read(read, members, hashed, ends is not None, roots, undue, pending, failed)


ABSENT_WINDOW = digest("window")


def read_newest(read: Input, track: Track, ordinals: range, *, waits: bool) -> Read:
    """Read the newest partition with data; what is newer and should have been there stays known as missing."""
    views: list[View] = []
    chosen: Member | None = None
    for ordinal in track.backwards(ordinals):
        view = track.view(ordinal)
        if view is None or (view.undue is not None and not waits):
            continue
        views.append(view)
        if view.version is not None:
            chosen = Member(track.grain.key(ordinal), view.version, view.materialization)
            break
    roots, undue, pending, failed = _joined(views)
    if chosen is None or chosen.version is None:
        return Read(read, (), ABSENT, False, roots, undue, pending, failed)
    hashed = digest("one", chosen.key, chosen.version)
    if isinstance(read.mapping, InForce):  # from when on it is in force is no matter to the function
        hashed = champion_digest(chosen.version)
    return Read(read, (chosen,), hashed, True, roots, undue, pending, failed)


def champion_digest(version: bytes) -> bytes:
    """Return what stands for a champion that is read."""
    return digest("champion", version)
