"""Reads: what one input reads for one partition, and the digest of it that enters the action key."""

import hashlib
from datetime import datetime

from tidemark.assets import Input
from tidemark.hashing import digest
from tidemark.ledger.heads import Missing
from tidemark.survey.judgement import Certainty, Member, Read, View
from tidemark.survey.tracks import Track


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


def read_one(read: Input, track: Track, ordinal: int | None) -> Read:
    """Read one partition; ``None``: there is none in reach."""
    if ordinal is None:
        return Read(read, (), digest("absent"))
    view = track.views.get(ordinal)
    member = Member(track.grain.key(ordinal), view.version if view else None, view.materialization if view else None)
    # Which partition has no data is no matter to the function: it gets None.
    hashed = digest("absent") if member.version is None else digest("one", member.key, member.version)
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


def read_window(read: Input, track: Track, ordinals: range, *, waits: bool) -> Read:
    """Read every partition of a range that exists, oldest first; those not yet due only if it waits for them."""
    hashed = hashlib.sha256(b"window")
    members: list[Member] = []
    views: list[View] = []
    for ordinal in track.within(ordinals):
        view = track.views.get(ordinal)
        if view is None or (view.undue is not None and not waits):
            continue
        views.append(view)
        members.append(Member(track.grain.key(ordinal), view.version, view.materialization))
        if view.version is not None:
            # What is absent needs no entry: when it comes, it adds one.
            hashed.update(track.member(ordinal, view.version))
    roots, undue, pending, failed = _joined(views)
    return Read(read, tuple(members), hashed.digest(), roots, undue, pending, failed)


def read_newest(read: Input, track: Track, ordinals: range, *, waits: bool) -> Read:
    """Read the newest partition with data; what is newer and should have been there stays known as missing."""
    views: list[View] = []
    chosen: Member | None = None
    for ordinal in reversed(track.within(ordinals)):
        view = track.views.get(ordinal)
        if view is None or (view.undue is not None and not waits):
            continue
        views.append(view)
        if view.version is not None:
            chosen = Member(track.grain.key(ordinal), view.version, view.materialization)
            break
    roots, undue, pending, failed = _joined(views)
    hashed = digest("one", chosen.key, chosen.version) if chosen else digest("absent")
    return Read(read, (chosen,) if chosen else (), hashed, roots, undue, pending, failed)
