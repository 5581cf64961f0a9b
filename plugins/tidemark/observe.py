"""Observing sources: what is in the landing zone now, gated, copied into the store, and written down.

Invariants:

* A file is hashed again only when its stat token changed, or when the token could hide a change.
* A file that is listed as it was at the last look is not asked about: only listings are compared (see
  :mod:`tidemark.ledger.listings`).
* Nothing is read by an asset from the landing zone: an accepted delivery was copied into the store first.
* Of two runs of an environment that look at once, the one that wrote down first stands; what is newer still is for the
  next run.
* What a branch has not seen itself it need not read if ``prod`` has, in the same way; its own suite decides about it.
* A bad delivery leaves the last accepted one live; a listing that fails, or too many files vanishing at once, changes
  nothing at all.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter

import sqlalchemy as sa

from tidemark.assets import Pipeline, Source
from tidemark.deployment import Deployment
from tidemark.errors import DeliveryError, Refused
from tidemark.facts import Names, declaration_of
from tidemark.gate import GateResult, Outcome, suite_digest
from tidemark.hashing import digest
from tidemark.landing import File
from tidemark.ledger import heads, listings, records, sources
from tidemark.ledger.heads import FINAL, Move, Touch
from tidemark.ledger.listings import Listing, lines_of, name_in, packed, unpacked
from tidemark.ledger.sources import ACCEPTED, REJECTED, WITHDRAWN, Observation, Seen
from tidemark.memory import uncollected
from tidemark.partitions import TimeGrain

# A date further than this from all others may be a typing error, unless start= says otherwise.
OUTLIER = timedelta(days=370)

# Deliveries written down in one transaction: what a crash can cost is hashed again.
GROUP = 50

# Files that one warning names; a plan as JSON names all.
NAMED = 5

# Stands in a listing for the token of a file that is to be asked about again, whatever its token is then.
UNTOLD = "?"

Progress = Callable[[str, int, int], None]


def _silent(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Observed:
    """What observing found.

    Attributes:
        rejected: deliveries that were rejected just now, as (source, key, problem); not those that are so still.
        warnings: sentences about files that were passed over.
        ignored: files that deliver no partition, as (source, file, why); the warnings name the first of them.

    """

    rejected: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    ignored: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class _Look:
    """One source, what is known of it, and what is there now; ``left_out`` is there, but out of its range.

    ``seen`` is by ordinal; keys that the grain has lost are left out. ``files`` and ``seen`` are all there are, or of a
    ``partial`` look those that are not as they were. ``lines`` are all files as they are listed now, ``before`` as they
    were.
    """

    source: Source
    environment: str
    asset_id: int
    files: Mapping[int, File]
    left_out: frozenset[int]
    seen: Mapping[int, Seen]
    suite: bytes | None
    outcomes: Mapping[bytes, str]
    lines: Sequence[str]
    before: Listing | None
    basis: bytes
    partial: bool

    def newest(self, key: str) -> int | None:
        """Return the id of the newest observation of a partition, None if there was none."""
        seen = self.seen.get(self.source.grain.ordinal(key))
        return seen.newest.id if seen else None

    def decides_anew(self, each: Observation) -> bool:
        """Return whether a word of ``prod`` was said by another suite than this environment's."""
        return each.environment != self.environment and each.suite_digest != self.suite


def observe(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    *,
    as_of: datetime,
    run: str,
    actor: str,
    confirmed: frozenset[str] = frozenset(),
    verify: bool = False,
    progress: Progress = _silent,
) -> Observed:
    """Look at all sources of a pipeline and write down what changed.

    Args:
        deployment: where.
        pipeline: whose sources.
        names: ids; keys that are met for the first time are added.
        as_of: the instant that is taken for now.
        run: the run that looks.
        actor: who started it.
        confirmed: sources of which a person has said that many files may be gone.
        verify: look at every file's observation, not only at those of files that are not listed as they were.
        progress: called with a source's name, files done and files to do.

    Raises:
        Refused: over a tenth of a source's files (at least two) vanished at once.
        Unavailable: the landing zone cannot be listed, or the store or ledger not written.

    """
    rejected: list[tuple[str, str, str]] = []
    warnings: list[str] = []
    ignored: list[tuple[str, str, str]] = []
    looks = []
    for source in pipeline.sources:
        look, strange = _look(deployment, pipeline, names, source, as_of, verify=verify)
        if strange:
            warnings.append(_ignored_text(source, strange))
        ignored += [(source.name, file, why) for file, why in strange.items()]
        _check_vanished(look, confirmed)
        looks.append(look)
    for look in looks:
        name, wrote = look.source.name, False
        for group in _grouped(_changes(deployment, pipeline, look, progress, warnings)):
            wrote = True
            rejected += [
                (name, each.key, each.observation.problem or "")
                for each in _write(deployment, look, names, group, run, actor)
                if each.observation.outcome == REJECTED and not each.again
            ]
        if wrote:
            look = replace(look, seen=_seen_now(deployment, look, names))
        if look.files or not look.partial:
            _adopt(deployment, look, names, run, actor)
        _keep_listing(deployment, look)
    return Observed(tuple(rejected), tuple(warnings), tuple(ignored))


def _matching(
    source: Source, files: Iterable[File], standing: frozenset[int], as_of: datetime
) -> tuple[dict[int, File], frozenset[int], dict[str, str]]:
    """Sort files by the partition that they deliver; return also which are out of range, and why files are ignored."""
    found: dict[int, File] = {}
    strange: dict[str, str] = {}
    for file in files:
        ordinal = source.ordinal_of(file.name)
        if ordinal is None:
            strange[file.name] = _no_partition(source)
        else:
            found[ordinal] = file
    left_out = frozenset(_outliers(source, sorted(found), standing, as_of))
    for ordinal in left_out:
        strange[found.pop(ordinal).name] = "its date is out of range: declare start= if it is meant"
    return found, left_out, dict(sorted(strange.items()))


def _no_partition(source: Source) -> str:
    return f"matches no partition of {source.files!r}"


def _ignored_text(source: Source, strange: Mapping[str, str]) -> str:
    """Return one warning for all files of a source that deliver nothing; it names the first of them."""
    named = [f"{file!r} ({why})" for file, why in list(strange.items())[:NAMED]]
    more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
    return f"{source.name}: ignored {', '.join(named)}{more}"


def _outliers(source: Source, ordinals: list[int], standing: frozenset[int], as_of: datetime) -> list[int]:
    """Return partitions before the declared start, far in the future, or far from all others.

    Only what is new can be far off: what was taken once is ``standing`` for as long as its file is there. Nothing new
    is taken far before all that stands (at first: before the most files), and one file alone not far after it. So
    without a declared start the order of arrival decides between dates that lie far apart, on purpose: of two lone
    dates nobody knows which one is the typing error.
    """
    grain = source.grain
    if not isinstance(grain, TimeGrain):
        return []
    horizon = max(as_of, datetime.now(UTC)) + OUTLIER
    kept = [each for each in ordinals if each in standing or grain.begins(each) <= horizon]
    if grain.first is not None:
        kept = [each for each in kept if each >= grain.first]
    else:
        spans: list[list[int]] = []
        for each in kept:
            if not spans or grain.begins(each) - grain.begins(spans[-1][-1]) > OUTLIER:
                spans.append([])
            spans[-1].append(each)
        given = [span for span in spans if not standing.isdisjoint(span)] or [max(reversed(spans), key=len, default=[])]
        spans = [span for span in spans if span in given or (len(span) > 1 and span[0] > given[0][0])]
        kept = [each for span in spans for each in span]
    inside = set(kept)
    return [each for each in ordinals if each not in inside]


@uncollected()
def _look(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    source: Source,
    as_of: datetime,
    *,
    verify: bool,
) -> tuple[_Look, dict[str, str]]:
    """Look at one source; returns also which files are ignored, and why."""
    suite = suite_digest(deployment.suite(pipeline, source.gate)) if source.gate else None
    asset_id, environment = names.assets[source.name], deployment.environment
    basis = digest(declaration_of(source), suite, source.grain.canonical(), getattr(source.grain, "start", None))
    with deployment.ledger.read() as connection:
        before = listings.read(connection, environment, asset_id)
    listed = deployment.landing.files(source.folder)
    # What a branch has not seen itself is as in prod, and changes with it.
    partial = not verify and before is not None and before.basis == basis and environment == heads.PROD
    lines = lines_of(map(_NAME_AND_TOKEN, listed))
    found = _others(source, listed, lines, before.files) if partial and before is not None else None
    with deployment.ledger.read() as connection:
        if found is not None and found[0] and not _fits(connection, names, source, found[0], as_of):
            found = None
        if found is None:
            seen = names.by_ordinal(source.name, sources.seen(connection, environment, asset_id))
            files, left_out, strange = _matching(source, listed, frozenset(_standing(seen)), as_of)
        else:
            files, strange = found
            left_out, seen = frozenset(), _seen_of(connection, deployment, names, source, files)
        outcomes = records.gate_outcomes(connection, suite) if suite and (files or found is None) else {}
    partial = found is not None
    look = _Look(source, environment, asset_id, files, left_out, seen, suite, outcomes, lines, before, basis, partial)
    return look, strange


def _seen_of(
    connection: sa.Connection, deployment: Deployment, names: Names, source: Source, ordinals: Iterable[int]
) -> dict[int, Seen]:
    ids = [names.id_at(source.name, each) for each in ordinals if names.is_met(source.name, each)]
    return names.by_ordinal(
        source.name, sources.seen(connection, deployment.environment, names.assets[source.name], ids)
    )


_NAME_AND_TOKEN = itemgetter(0, 1)


def _others(
    source: Source, listed: Sequence[File], lines: Sequence[str], before: bytes
) -> tuple[dict[int, File], dict[str, str]] | None:
    """Return the files that are not listed as they were, by partition, and those that are ignored, and why.

    None where a file is gone: that is for those who look at all of them.
    """
    if packed(lines) == before:
        return {}, {}
    was = unpacked(before)
    known = set(was)
    others = [file for file, line in zip(listed, lines, strict=True) if line not in known]
    if len(was) > len(listed) - len(others):  # some that were listed are not, at least not as they were
        names, now = {file.name for file in others}, set(lines)
        if any(name_in(line) not in names for line in was if line not in now):
            return None
    found: dict[int, File] = {}
    strange: dict[str, str] = {}
    for file in others:
        ordinal = source.ordinal_of(file.name)
        if ordinal is None:
            strange[file.name] = _no_partition(source)
        else:
            found[ordinal] = file
    return found, dict(sorted(strange.items()))


def _fits(connection: sa.Connection, names: Names, source: Source, ordinals: Iterable[int], as_of: datetime) -> bool:
    """Return whether every partition lies near one that stands, so that none can be out of the source's range."""
    grain = source.grain
    if not isinstance(grain, TimeGrain):
        return True
    horizon = max(as_of, datetime.now(UTC)) + OUTLIER
    for ordinal in ordinals:
        begins = grain.begins(ordinal)
        if begins > horizon or (grain.first is not None and ordinal < grain.first):
            return False
        near = range(grain.containing(begins - OUTLIER) + 1, grain.containing(begins + OUTLIER))
        ids = names.id_at(source.name, near.start), names.id_at(source.name, near.stop)
        if not sources.stands_within(connection, heads.PROD, names.assets[source.name], *ids):
            return False
    return True


def _seen_now(deployment: Deployment, look: _Look, names: Names) -> dict[int, Seen]:
    """Return what is known of the partitions that were looked at, now that something was written down."""
    with deployment.ledger.read() as connection:
        if look.partial:
            return _seen_of(connection, deployment, names, look.source, look.files)
        return names.by_ordinal(look.source.name, sources.seen(connection, look.environment, look.asset_id))


def _keep_listing(deployment: Deployment, look: _Look) -> None:
    """Write down which files need not be asked about again as long as they are listed as they are now."""
    declaration, seen = declaration_of(look.source), look.seen
    told = {
        file.name: file.token
        for ordinal, file in look.files.items()
        if ordinal in seen and _is_told(seen[ordinal].newest, file, declaration)
    }
    as_told = set(lines_of(told.items()))
    if look.partial and look.before is not None:
        if not look.files:
            return
        as_told.update(unpacked(look.before.files))
    # What is not told, and was there when it was last looked at, is listed all the same, or nobody would miss it.
    there = {look.source.file_of(look.source.grain.key(ordinal)) for ordinal in _standing(seen)}
    missed = lines_of((name, UNTOLD) for name in sorted(there - told.keys()))
    now = Listing(look.basis, packed([*(line for line in look.lines if line in as_told), *missed]))
    if now != look.before:
        with deployment.ledger.write() as connection:
            listings.write(connection, look.environment, look.asset_id, look.before, now)


def _is_told(newest: Observation, file: File, declaration: bytes) -> bool:
    """Return whether an observation says all that there is to say of a file."""
    return newest.outcome != WITHDRAWN and not _may_differ(Seen(newest, None), file, declaration)


def _standing(seen: Mapping[int, Seen]) -> list[int]:
    """Return the partitions whose file was there when they were last looked at, accepted or not."""
    return [ordinal for ordinal, each in seen.items() if each.newest.outcome != WITHDRAWN]


def _check_vanished(look: _Look, confirmed: frozenset[str]) -> None:
    if look.partial:
        return  # nothing is gone
    there = _standing(look.seen)
    gone = [ordinal for ordinal in there if ordinal not in look.files and ordinal not in look.left_out]
    if len(gone) >= 2 and len(gone) * 10 > len(there) and look.source.name not in confirmed:
        raise Refused(
            f"{look.source.name}: {len(gone)} of {len(there)} delivered files are gone from the landing zone at once; "
            f"nothing was changed. Is it mounted? If they were withdrawn on purpose, run again with "
            f"--confirm-withdrawals {look.source.name}"
        )


@dataclass(frozen=True)
class _Change:
    """One observation to be written down, with the delivery and the gate's word beside it.

    ``again`` says that only the file's token is new, not what it holds.
    """

    key: str
    observation: Observation
    record: records.Record | None = None
    result: GateResult | None = None
    again: bool = False


def _changes(
    deployment: Deployment, pipeline: Pipeline, look: _Look, progress: Progress, warnings: list[str]
) -> Iterator[_Change]:
    """Yield what changed since the newest observations: withdrawals first, then deliveries in time order."""
    source = look.source
    declaration = declaration_of(source)
    for ordinal, each in sorted(look.seen.items()):
        if ordinal not in look.files and each.newest.outcome != WITHDRAWN:
            gone = Observation(each.newest.partition_id, WITHDRAWN, None, True, declaration)
            yield _Change(source.grain.key(ordinal), gone)
    to_read = [
        ordinal
        for ordinal in sorted(look.files)
        if _may_differ(look.seen.get(ordinal), look.files[ordinal], declaration)
    ]
    read = set(to_read)
    to_check = [ordinal for ordinal in sorted(look.files) if ordinal not in read and _suite_changed(look, ordinal)]
    for done, ordinal in enumerate(to_read):
        progress(source.name, done, len(to_read) + len(to_check))
        change = _taken(deployment, pipeline, look, ordinal, declaration, warnings)
        if change is not None:
            yield change
    for done, ordinal in enumerate(to_check, len(to_read)):
        progress(source.name, done, len(to_read) + len(to_check))
        yield from _checked_again(deployment, pipeline, look, ordinal)
    if to_read or to_check:
        progress(source.name, len(to_read) + len(to_check), len(to_read) + len(to_check))


def _may_differ(seen: Seen | None, file: File, declaration: bytes) -> bool:
    if seen is None or seen.newest.outcome == WITHDRAWN:
        return True
    newest = seen.newest
    return newest.token != file.token or not newest.settled or newest.declaration != declaration


def _suite_changed(look: _Look, ordinal: int) -> bool:
    """Return whether the suite as it is now may say another thing of a file that could be read."""
    newest = look.seen[ordinal].newest
    if newest.data_version is None:
        return False
    if newest.outcome == REJECTED:  # by the gate: does it still stand in the way?
        return look.suite is None or look.outcomes.get(newest.data_version) != Outcome.BLOCKED
    said = look.outcomes.get(newest.data_version)
    return look.suite is not None and (said is None or (said == Outcome.BLOCKED and look.decides_anew(newest)))


def _taken(
    deployment: Deployment,
    pipeline: Pipeline,
    look: _Look,
    ordinal: int,
    declaration: bytes,
    warnings: list[str],
) -> _Change | None:
    """Read a file, and return what it changes; None if it vanished or is still being written."""
    source, file = look.source, look.files[ordinal]
    key = source.grain.key(ordinal)
    now = datetime.now(UTC)
    try:
        payload, token = deployment.landing.read(file.name)
    except FileNotFoundError:
        warnings.append(f"{source.name}: {file.name!r} vanished while it was looked at: the next run sees to it")
        return None
    except DeliveryError as problem:
        warnings.append(f"{source.name}: {problem}: the next run sees to it")
        return None
    settled = token == file.token and file.settled(now)
    observation = Observation(0, REJECTED, token, settled, declaration)
    blob = deployment.store.put(payload)
    from tidemark.frames import read_delivery  # brings pyarrow: only when there is a delivery

    try:
        delivery = read_delivery(payload, name=file.name, schema=source.schema, newline_at_end=source.newline_at_end)
    except DeliveryError as problem:
        unreadable = records.Record(
            asset_id=look.asset_id,
            partition_id=0,
            status=records.FAILED,
            action_key=digest("unreadable", blob),
            blob=blob,
            size=len(payload),
            error=str(problem),
        )
        return _told_again(
            deployment, look.seen.get(ordinal), _Change(key, observation._replace(problem=str(problem)), unreadable)
        )
    version = delivery.data_version
    record = records.Record(
        asset_id=look.asset_id,
        partition_id=0,
        status=records.DELIVERED,
        action_key=digest("delivery", version),
        data_version=version,
        blob=blob,
        format=delivery.format,
        declared=source.schema,
        rows=delivery.rows,
        size=len(payload),
    )
    observation = observation._replace(data_version=version, suite_digest=look.suite, outcome=ACCEPTED)
    if source.gate is None or delivery.table is None:
        return _told_again(deployment, look.seen.get(ordinal), _Change(key, observation, record))
    outcome, result = look.outcomes.get(version), None
    if outcome is None:
        path = deployment.suite(pipeline, source.gate)
        label = f"{source.name} {key} {version.hex()[:12]}"
        result = deployment.gate(path).check(
            source.gate, delivery.table, label=label, pii=source.pii, line_of=delivery.line_of
        )
        outcome = result.outcome
    seen = look.seen.get(ordinal)
    # What is live stays live under a changed suite, however often it is delivered again.
    accepted = seen.accepted if seen else None
    standing = accepted.data_version if accepted and not look.decides_anew(accepted) else None
    if outcome == Outcome.BLOCKED and version != standing:
        told = result or _told_before(deployment, look.suite, version)
        observation = observation._replace(outcome=REJECTED, problem=_problem(source, key, told, delivery.rows == 0))
    return _told_again(deployment, look.seen.get(ordinal), _Change(key, observation, record, result))


def _told_again(deployment: Deployment, seen: Seen | None, change: _Change) -> _Change:
    """Mark an observation that says of the same content what the newest one says."""
    now = change.observation
    if seen is None or now.outcome != seen.newest.outcome:
        return change
    if now.outcome == ACCEPTED:
        return replace(change, again=now.data_version == seen.newest.data_version)
    assert change.record is not None
    assert seen.newest.materialization is not None
    with deployment.ledger.read() as connection:
        before = records.made(connection, [seen.newest.materialization])[seen.newest.materialization]
    if before.blob != change.record.blob:
        return change
    return _Change(change.key, now._replace(materialization=before.id), result=change.result, again=True)


def _told_before(deployment: Deployment, suite: bytes | None, version: bytes) -> GateResult:
    """Return what a suite said of a content that it has seen before."""
    assert suite is not None
    with deployment.ledger.read() as connection:
        details = records.gate_details(connection, suite, version)
    assert details is not None
    return GateResult.from_json(details)


def _problem(source: Source, key: str, result: GateResult, empty: bool = False) -> str:
    """Say what is wrong with a delivery that did not pass its gate, and what to do."""
    critical = [each.message for each in result.failures if each.severity == "critical"]
    named = 1 if empty else 3  # that nothing is there is why the others fail
    more = "" if len(critical) <= 3 or empty else f" (and {len(critical) - 3} more)"
    return (
        f"{source.file_of(key)}: {'has no rows, and ' if empty else ''}did not pass the gate {source.gate!r}: "
        f"{'; '.join(critical[:named])}{more}. Deliver a corrected file, or declare this one absent "
        f"('tidemark absent {source.name} {key} --why ...')"
    )


def _checked_again(deployment: Deployment, pipeline: Pipeline, look: _Look, ordinal: int) -> Iterator[_Change]:
    """Check a delivery against a changed suite: one that now passes is accepted, one that now fails stays live.

    What only ``prod`` has accepted is no exception to the suite: for this environment it arrives now.
    """
    source, newest = look.source, look.seen[ordinal].newest
    key = source.grain.key(ordinal)
    assert newest.data_version is not None
    outcome: str | None = Outcome.PASSED if look.suite is None else look.outcomes.get(newest.data_version)
    result = None
    if outcome is None:
        result = _gated_again(deployment, pipeline, source, newest, key)
        outcome = result.outcome if result else Outcome.PASSED
    said, problem = newest.outcome, newest.problem
    if newest.outcome == REJECTED or look.decides_anew(newest):
        said, problem = ACCEPTED, None
        if outcome == Outcome.BLOCKED:
            told = result or _told_before(deployment, look.suite, newest.data_version)
            said, problem = REJECTED, _problem(source, key, told)
    observation = newest._replace(outcome=said, problem=problem, suite_digest=look.suite)
    yield _Change(key, observation, None, result, again=said == newest.outcome)


def _gated_again(
    deployment: Deployment, pipeline: Pipeline, source: Source, newest: Observation, key: str
) -> GateResult | None:
    """Ask the suite as it is now about a delivery that is in the store; None if that is no table."""
    assert source.gate is not None
    assert newest.materialization is not None
    assert newest.data_version is not None
    with deployment.ledger.read() as connection:
        made = records.made(connection, [newest.materialization])[newest.materialization]
    from tidemark.frames import TABULAR, read_table

    stored = made.stored
    if stored.format not in TABULAR:
        return None
    payload = deployment.store.path(stored.blob).read_bytes()
    table = read_table(payload, stored.format, stored.declared, name=source.file_of(key))
    path = deployment.suite(pipeline, source.gate)
    label = f"{source.name} {key} {newest.data_version.hex()[:12]}"
    return deployment.gate(path).check(source.gate, table, label=label, pii=source.pii)


def _grouped(changes: Iterator[_Change]) -> Iterator[list[_Change]]:
    group: list[_Change] = []
    for each in changes:
        group.append(each)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _write(
    deployment: Deployment, look: _Look, names: Names, changes: list[_Change], run: str, actor: str
) -> list[_Change]:
    """Write a group of changes down: deliveries that are new, what the gate said, and the observations.

    Returns those that were written: the others were read before another run has looked, and may be older than that.
    """
    with deployment.ledger.write() as connection:
        names.ensure(connection, look.source.name, [each.key for each in changes])
        numbers = {each.key: names.id_of(look.source.name, each.key) for each in changes}
        newest = sources.newest(connection, look.environment, look.asset_id, numbers.values())
        group = [each for each in changes if newest.get(numbers[each.key]) in (None, look.newest(each.key))]
        known = records.known(
            connection,
            look.asset_id,
            environment=deployment.environment,
            suite=look.suite,
            partition_ids=numbers.values(),
        )
        made: dict[str, int] = {}
        new: list[tuple[str, records.Record]] = []
        for each in group:
            if each.record is None:
                continue
            before = known.get((numbers[each.key], each.record.action_key))
            if before is not None and before.materialization is not None:
                made[each.key] = before.materialization
            else:
                new.append((each.key, replace(each.record, partition_id=numbers[each.key])))
        ids = records.write(
            connection, [record for _, record in new], environment=deployment.environment, run=run, actor=actor
        )
        made.update({key: number for (key, _), number in zip(new, ids, strict=True)})
        for each in group:
            if each.result is not None and each.observation.data_version is not None:
                _write_result(connection, each.result, each.observation.data_version)
        sources.write(
            connection,
            look.environment,
            look.asset_id,
            [
                each.observation._replace(
                    partition_id=numbers[each.key],
                    materialization=made.get(each.key, each.observation.materialization),
                )
                for each in group
            ],
        )
        touches = [Touch(look.environment, look.asset_id, numbers[each.key]) for each in group if not each.again]
        if touches:  # a rejection moves no head, but others have to know
            heads.new_change(connection, run=run, actor=actor, touches=touches)
    return group


def _write_result(connection: sa.Connection, result: GateResult, version: bytes) -> None:
    records.write_gate_result(
        connection, result.suite, result.suite_digest, version, result.outcome.value, result.to_json()
    )


def _adopt(deployment: Deployment, look: _Look, names: Names, run: str, actor: str) -> None:
    """Make the standing delivery of each partition its head in this environment."""
    with deployment.ledger.read() as connection:
        moves = _adoptions(connection, look, names)
    if moves:
        with deployment.ledger.write() as connection:
            seq = heads.new_change(connection, run=run, actor=actor)
            # Asked again, now that nobody else moves heads: another run may have seen a newer file since.
            now = replace(look, seen=_seen_of(connection, deployment, names, look.source, look.seen))
            heads.move(connection, deployment.environment, _adoptions(connection, now, names), seq)


def _adoptions(connection: sa.Connection, look: _Look, names: Names) -> list[Move]:
    """Return the moves from the heads that are live to the deliveries that stand."""
    name = look.source.name
    ids = {ordinal: names.id_at(name, ordinal) for ordinal in look.seen}
    wants = {
        ids[ordinal]: each.accepted.materialization if each.accepted else None for ordinal, each in look.seen.items()
    }
    between = (min(wants), max(wants)) if look.partial and wants else (None, None)
    if look.environment == heads.PROD and wants == heads.live_ids(connection, look.asset_id, wants, *between):
        return []
    live = heads.current(connection, look.environment, look.asset_id, *between)
    moves = []
    for ordinal, each in look.seen.items():
        head, wanted = live.get(ids[ordinal]), wants[ids[ordinal]]
        before = head.materialization if head else None
        if before == wanted:
            continue
        if head and each.accepted and head.data_version == each.accepted.data_version:
            continue
        gone = "rejected" if each.newest.outcome == REJECTED else "withdrawn"
        reason = gone if wanted is None else "delivered" if before is None else "corrected"
        moves.append(Move(look.asset_id, ids[ordinal], before, wanted, FINAL, reason))
    return moves
