"""Verification: which heads of an asset are not plainly what they would be computed to from what is live now.

Each action key is made anew from the code, the parameters and the data versions of all inputs, and compared with the
head's; only what is not plain (something is missing, pending or failed, or a key is another one) is left to be judged.
No blob is read. This loop is what a full verification spends its time in: calls are kept out of it.
"""

import hashlib
from collections.abc import Callable, Iterator

from tidemark.assets import Asset, Input
from tidemark.hashing import canonical
from tidemark.mappings import Newest, Previous, Window
from tidemark.partitions import TimeGrain
from tidemark.survey.reads import one_digest
from tidemark.survey.survey import Survey

# Returns the digest of a read for a partition of the reader, None where it is not plain.
Digester = Callable[[int], bytes | None]


def unverified(survey: Survey, asset: Asset) -> Iterator[int]:
    """Yield every partition that exists, is kept or has something kept of it, and has to be judged."""
    track = survey.tracks[asset.name]
    within, stored = survey.range_of(asset), track.stored()
    yield from (ordinal for ordinal in stored if ordinal not in within)
    grain, fresh = asset.grain, _fresh(survey, asset)
    for ordinal in within:
        if fresh is None or not fresh(ordinal, grain.key(ordinal)):
            yield ordinal


def _fresh(survey: Survey, asset: Asset) -> Callable[[int, str], bool] | None:
    """Return a function that says whether a partition is plainly fresh; None: each has to be judged."""
    if not isinstance(asset.grain, TimeGrain) or any(name == asset.name for name, _ in survey.selection.force):
        return None
    track, facts, prefix = survey.tracks[asset.name], survey.facts, survey.prefix(asset)
    gated = asset.name in facts.suites
    reads = [(_frame(read), _digester(survey, asset, read)) for read in asset.inputs]
    sha256, plain, head_of = hashlib.sha256, track.plain, track.head

    def fresh(ordinal: int, key: str) -> bool:
        version = plain(ordinal)
        if version is None or (gated and facts.outcome(asset.name, version) is None):
            return False
        parts = [prefix, canonical(key)]
        for frame, digest_of in reads:
            found = digest_of(ordinal)
            if found is None:
                return False
            parts += (frame, found)
        head = head_of(ordinal)
        return head is not None and sha256(b"".join(parts)).digest() == head.action_key

    return fresh


def _frame(read: Input) -> bytes:
    """Return what stands before a read's digest in an action key."""
    whole = canonical((read.parameter, read.upstream, bytes(32)))
    return whole[:-32]


def _digester(survey: Survey, asset: Asset, read: Input) -> Digester:
    track, grain, mapping = survey.tracks[read.upstream], asset.grain, read.mapping
    track.need_all()
    plain, key_of = track.plain, track.grain.key

    def of_same(ordinal: int) -> bytes | None:
        version = plain(ordinal)
        return None if version is None else one_digest(key_of(ordinal), version)

    def of_window(ordinal: int) -> bytes | None:
        ordinals = mapping.ordinals(grain, track.grain, ordinal)
        if track.odd(ordinals):
            return None
        ends = track.ends(ordinals)
        return track.digest(*ends) if ends else None

    def of_newest(ordinal: int) -> bytes | None:
        newest = next(track.backwards(mapping.ordinals(grain, track.grain, ordinal)), None)
        return None if newest is None else of_same(newest)

    def of_previous(ordinal: int) -> bytes | None:
        before = track.before(ordinal)
        return None if before is None else of_same(before)

    kinds: list[tuple[type, Digester]] = [(Window, of_window), (Newest, of_newest), (Previous, of_previous)]
    return next((digester for kind, digester in kinds if isinstance(mapping, kind)), of_same)
