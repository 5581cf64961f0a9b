"""One look at a source: the files that are there, and what is known of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from tidemark.assets import Pipeline, Source
from tidemark.deployment import Deployment
from tidemark.errors import Refused
from tidemark.facts import Names, declaration_of
from tidemark.gate import suite_digest
from tidemark.hashing import digest
from tidemark.landing import File
from tidemark.landing.listed import Listed, differing, name_in
from tidemark.ledger import heads, listings, records, sources
from tidemark.ledger.listings import Listing
from tidemark.ledger.sources import WITHDRAWN, Observation, Seen
from tidemark.observe.outliers import fits, outliers


@dataclass(frozen=True)
class Look:
    """One source, what is known of it, and what is there now; ``left_out`` is there, but out of its range.

    ``seen`` is by ordinal; keys that the grain has lost are left out. ``files`` and ``seen`` are all there are, or of a
    ``partial`` look those that are not as they were. ``listed`` are all files as they are listed now, ``others`` the
    lines of those that are looked at; ``before`` is how all of them were listed, ``now`` how they are. What was
    observed after ``known_until`` another run may have seen after this one has listed the files.
    """

    source: Source
    environment: str
    asset_id: int
    files: Mapping[int, File]
    left_out: frozenset[int]
    seen: Mapping[int, Seen]
    suite: bytes | None
    outcomes: Mapping[bytes, str]
    listed: Listed
    others: Sequence[str]
    before: Listing | None
    now: Listing
    known_until: int
    partial: bool

    def is_gone(self, ordinal: int) -> bool:
        """Return whether a file that was there when it was last looked at is there no longer."""
        newest = self.seen[ordinal].newest
        if newest.outcome == WITHDRAWN or ordinal in self.files:
            return False
        # What came after these files were listed is not in the list, and not gone.
        return newest.id is not None and newest.id <= self.known_until

    def newest(self, key: str) -> int | None:
        """Return the id of the newest observation of a partition, None if there was none."""
        seen = self.seen.get(self.source.grain.ordinal(key))
        return seen.newest.id if seen else None

    def decides_anew(self, each: Observation) -> bool:
        """Return whether a word of ``prod`` was said by another suite than this environment's."""
        return each.environment != self.environment and each.suite_digest != self.suite


def look_at(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    source: Source,
    as_of: datetime,
    *,
    verify: bool,
) -> tuple[Look, dict[str, str]]:
    """Look at one source; returns also which files are ignored, and why."""
    suite = suite_digest(deployment.suite(pipeline, source.gate)) if source.gate else None
    asset_id, environment = names.assets[source.name], deployment.environment
    basis = digest(declaration_of(source), suite, source.grain.canonical(), getattr(source.grain, "start", None))
    with deployment.ledger.read() as connection:
        before, known_until = listings.read(connection, environment, asset_id), sources.newest_id(connection)
    listed = deployment.landing.listing(source.folder)
    look = Look(
        source=source,
        environment=environment,
        asset_id=asset_id,
        files={},
        left_out=frozenset(),
        seen={},
        suite=suite,
        outcomes={},
        listed=listed,
        others=(),
        before=before,
        now=Listing(basis, listings.digest_of(listed.packed)),
        known_until=known_until,
        partial=True,
    )
    # What a branch has not seen itself is as in prod, and changes with it.
    known = before if environment == heads.PROD and not verify else None
    if known is not None and known.basis != basis:
        known = None
    if known == look.now:
        return look, {}
    with deployment.ledger.read() as connection:
        found = _others(connection, look, known) if known is not None else None
        if found is not None and fits(connection, names, source, found[0], as_of):
            files, strange, others = found
            left_out, seen = frozenset[int](), seen_of(connection, deployment, names, source, files)
        else:
            seen = names.by_ordinal(source.name, sources.seen(connection, environment, asset_id))
            files, left_out, strange = _matching(source, listed, frozenset(standing(seen)), as_of)
            others, found = listed.lines, None
        outcomes = records.gate_outcomes(connection, suite) if suite else {}
    found_now = replace(
        look, files=files, left_out=left_out, seen=seen, outcomes=outcomes, others=others, partial=found is not None
    )
    return found_now, strange


def _matching(
    source: Source, listed: Listed, standing: frozenset[int], as_of: datetime
) -> tuple[dict[int, File], frozenset[int], dict[str, str]]:
    """Sort files by the partition that they deliver; return also which are out of range, and why files are ignored."""
    found, strange = _by_partition(source, map(listed.file, listed.lines))
    left_out = frozenset(outliers(source, sorted(found), standing, as_of))
    for ordinal in left_out:
        strange[found.pop(ordinal).name] = "its date is out of range: declare start= if it is meant"
    return found, left_out, dict(sorted(strange.items()))


def _others(
    connection: sa.Connection, look: Look, before: Listing
) -> tuple[dict[int, File], dict[str, str], list[str]] | None:
    """Return the files that are not listed as they were, by partition, those that are ignored, why, and their lines.

    None where a file is gone, or nobody knows any more how they were: that is for those who look at all of them.
    """
    known = listings.files(connection, look.environment, look.asset_id, before)
    if known is None:
        return None
    source, listed = look.source, look.listed
    was, others = differing(known, listed.packed)
    if not set(map(name_in, was)).issubset(map(name_in, others)):
        return None
    found, strange = _by_partition(source, map(listed.file, others))
    return found, strange, others


def _by_partition(source: Source, files: Iterable[File]) -> tuple[dict[int, File], dict[str, str]]:
    """Return files by the partition that each delivers, and why others deliver none, by name."""
    found: dict[int, File] = {}
    strange: dict[str, str] = {}
    for file in files:
        ordinal = source.ordinal_of(file.name)
        if ordinal is None:
            strange[file.name] = f"matches no partition of {source.files!r}"
        else:
            found[ordinal] = file
    return found, strange


def seen_of(
    connection: sa.Connection, deployment: Deployment, names: Names, source: Source, ordinals: Iterable[int]
) -> dict[int, Seen]:
    """Return what is known of some partitions of a source, by ordinal."""
    ids = [names.id_at(source.name, each) for each in ordinals if names.is_met(source.name, each)]
    return names.by_ordinal(
        source.name, sources.seen(connection, deployment.environment, names.assets[source.name], ids)
    )


def seen_now(deployment: Deployment, look: Look, names: Names) -> dict[int, Seen]:
    """Return what is known of the partitions that were looked at, now that something was written down."""
    with deployment.ledger.read() as connection:
        if look.partial:
            return seen_of(connection, deployment, names, look.source, look.files)
        return names.by_ordinal(look.source.name, sources.seen(connection, look.environment, look.asset_id))


def standing(seen: Mapping[int, Seen]) -> list[int]:
    """Return the partitions whose file was there when they were last looked at, accepted or not."""
    return [ordinal for ordinal, each in seen.items() if each.newest.outcome != WITHDRAWN]


def may_differ(seen: Seen | None, file: File, declaration: bytes) -> bool:
    """Return whether a file may hold what its newest observation does not say, so that it has to be read."""
    if seen is None or seen.newest.outcome == WITHDRAWN:
        return True
    newest = seen.newest
    return newest.token != file.token or not newest.settled or newest.declaration != declaration


def check_vanished(look: Look, confirmed: frozenset[str]) -> None:
    """Refuse a look in which many files are gone at once, unless a person has confirmed it for the source.

    Raises:
        Refused: over a tenth of a source's files (at least two) vanished.

    """
    if look.partial:
        return  # nothing is gone
    there = standing(look.seen)
    gone = [ordinal for ordinal in there if look.is_gone(ordinal) and ordinal not in look.left_out]
    if len(gone) >= 2 and len(gone) * 10 > len(there) and look.source.name not in confirmed:
        raise Refused(
            f"{look.source.name}: {len(gone)} of {len(there)} delivered files are gone from the landing zone at once; "
            f"nothing was changed. Is it mounted? If they were withdrawn on purpose, run again with "
            f"--confirm-withdrawals {look.source.name}"
        )
