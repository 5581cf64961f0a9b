"""Verification: which heads of an asset are not plainly what they would be computed to from what is live now.

Each action key is made anew from the code, the parameters and the data versions of all inputs, and compared with the
head's; only what is not plain (something is missing, pending or failed, or a key is another one) is left to be judged.
No blob is read. These loops are what a full verification spends its time in: calls are kept out of them.
"""

import hashlib
from collections.abc import Callable, Iterator

from tidemark.assets import Asset, Input
from tidemark.hashing import canonical
from tidemark.mappings import InForce, Newest, Previous, Same, Window
from tidemark.partitions import TimeGrain
from tidemark.survey.reads import ABSENT, champion_digest, one_frame
from tidemark.survey.survey import Survey

# Returns the digest of a read for a partition of the reader, None where it is not plain.
Digester = Callable[[int], bytes | None]


def unverified(survey: Survey, asset: Asset) -> Iterator[int]:
    """Yield every partition that exists, is kept or has something kept of it, and has to be judged."""
    track, within = survey.tracks[asset.name], survey.range_of(asset)
    yield from (ordinal for ordinal in track.stored() if ordinal not in within)
    if not isinstance(asset.grain, TimeGrain) or any(name == asset.name for name, _ in survey.selection.force):
        yield from within
        return
    plain = track.plain()
    if asset.name in survey.facts.suites:
        said = survey.facts.outcome
        plain = {ordinal: version for ordinal, version in plain.items() if said(asset.name, version) is not None}
    if all(isinstance(read.mapping, Same) for read in asset.inputs):
        yield from _of_same(survey, asset, within, plain)
    else:
        yield from _of_any(survey, asset, within, plain)


def _of_same(survey: Survey, asset: Asset, within: range, plain: dict[int, bytes]) -> Iterator[int]:
    """Verify an asset that reads nothing but the same partition of others."""
    frames, sha256 = survey.frames(asset.grain, within), hashlib.sha256
    prefix, head_of = survey.prefix(asset), survey.tracks[asset.name].heads
    reads = [(_frame(read), survey.tracks[read.upstream].plain()) for read in asset.inputs]
    for ordinal in within:
        if ordinal not in plain:
            yield ordinal
            continue
        key, one = frames[ordinal]
        whole = prefix + key
        for frame, versions in reads:
            version = versions.get(ordinal)
            if version is None:
                yield ordinal
                break
            whole += frame + sha256(one + version).digest()
        else:
            if sha256(whole).digest() != head_of[ordinal].action_key:
                yield ordinal


def _of_any(survey: Survey, asset: Asset, within: range, plain: dict[int, bytes]) -> Iterator[int]:
    frames, sha256 = survey.frames(asset.grain, within), hashlib.sha256
    prefix, head_of = survey.prefix(asset), survey.tracks[asset.name].heads
    reads = [(_frame(read), _digester(survey, asset, read)) for read in asset.inputs]
    for ordinal in within:
        if ordinal not in plain:
            yield ordinal
            continue
        whole = prefix + frames[ordinal][0]
        for frame, digest_of in reads:
            found = digest_of(ordinal)
            if found is None:
                yield ordinal
                break
            whole += frame + found
        else:
            if sha256(whole).digest() != head_of[ordinal].action_key:
                yield ordinal


def _frame(read: Input) -> bytes:
    """Return what stands before a read's digest in an action key."""
    return canonical((read.parameter, read.upstream, bytes(32)))[:-32]


def _digester(survey: Survey, asset: Asset, read: Input) -> Digester:
    track, grain, mapping = survey.tracks[read.upstream], asset.grain, read.mapping
    plain, key_of = track.plain(), track.grain.key

    def of_one(ordinal: int) -> bytes | None:
        version = plain.get(ordinal)
        return None if version is None else hashlib.sha256(one_frame(key_of(ordinal)) + version).digest()

    def of_same(ordinal: int) -> bytes | None:
        return of_one(mapping.ordinals(grain, track.grain, ordinal)[0])

    def of_window(ordinal: int) -> bytes | None:
        ordinals = mapping.ordinals(grain, track.grain, ordinal)
        if track.odd(ordinals):
            return None
        ends = track.ends(ordinals)
        return track.digest(*ends) if ends else None

    def of_newest(ordinal: int) -> bytes | None:
        newest = next(track.backwards(mapping.ordinals(grain, track.grain, ordinal)), None)
        return None if newest is None else of_one(newest)

    def of_previous(ordinal: int) -> bytes | None:
        before = track.before(ordinal)
        return None if before is None else of_one(before)

    def of_champion(ordinal: int) -> bytes | None:
        newest = next(track.backwards(mapping.ordinals(grain, track.grain, ordinal)), None)
        version = None if newest is None else plain.get(newest)
        return ABSENT if version is None else champion_digest(version)

    kinds: list[tuple[type, Digester]] = [
        (Window, of_window),
        (InForce, of_champion),
        (Newest, of_newest),
        (Previous, of_previous),
    ]
    return next((digester for kind, digester in kinds if isinstance(mapping, kind)), of_same)
