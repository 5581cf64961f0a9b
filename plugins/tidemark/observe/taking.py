"""What a look has found to be new: files that are read and gated, and files that are gone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tidemark.assets import Pipeline, Source
from tidemark.deployment import Deployment
from tidemark.errors import DeliveryError
from tidemark.facts import declaration_of
from tidemark.gate import GateResult, Outcome
from tidemark.hashing import digest
from tidemark.ledger import records
from tidemark.ledger.sources import ACCEPTED, REJECTED, WITHDRAWN, Observation, Seen
from tidemark.observe.look import Look, may_differ

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Change:
    """One observation to be written down, with the delivery and the gate's word beside it.

    ``again`` says that only the file's token is new, not what it holds.
    """

    key: str
    observation: Observation
    record: records.Record | None = None
    result: GateResult | None = None
    again: bool = False


def changes_of(
    deployment: Deployment, pipeline: Pipeline, look: Look, progress: Progress, warnings: list[str]
) -> Iterator[Change]:
    """Yield what changed since the newest observations: withdrawals first, then deliveries in time order."""
    source = look.source
    declaration = declaration_of(source)
    for ordinal, each in sorted(look.seen.items()):
        if look.is_gone(ordinal):
            gone = Observation(each.newest.partition_id, WITHDRAWN, None, True, declaration)
            yield Change(source.grain.key(ordinal), gone)
    to_read = [
        ordinal
        for ordinal in sorted(look.files)
        if may_differ(look.seen.get(ordinal), look.files[ordinal], declaration)
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


def _suite_changed(look: Look, ordinal: int) -> bool:
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
    look: Look,
    ordinal: int,
    declaration: bytes,
    warnings: list[str],
) -> Change | None:
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
        delivery = read_delivery(
            payload,
            name=file.name,
            schema=source.schema,
            newline_at_end=source.newline_at_end,
            hidden=source.pii,
        )
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
            deployment, look.seen.get(ordinal), Change(key, observation._replace(problem=str(problem)), unreadable)
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
        return _told_again(deployment, look.seen.get(ordinal), Change(key, observation, record))
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
    return _told_again(deployment, look.seen.get(ordinal), Change(key, observation, record, result))


def _told_again(deployment: Deployment, seen: Seen | None, change: Change) -> Change:
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
    return Change(change.key, now._replace(materialization=before.id), result=change.result, again=True)


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


def _checked_again(deployment: Deployment, pipeline: Pipeline, look: Look, ordinal: int) -> Iterator[Change]:
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
    yield Change(key, observation, None, result, again=said == newest.outcome)


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
