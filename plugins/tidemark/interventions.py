"""What a person does to the state: declare absent, hold, release, restore. Each says why, and is in the audit log."""

from dataclasses import dataclass

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline
from tidemark.deployment import Deployment
from tidemark.errors import Refused, UsageError
from tidemark.explain import short
from tidemark.facts import Names, absent_of, instant_of, read_heads, register, suites_of
from tidemark.gate import Outcome
from tidemark.ledger import acts, events, heads, records, sources
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.heads import Move, Touch
from tidemark.observe import Observed
from tidemark.plan import apply_moves, make_plan
from tidemark.survey import EVERYTHING
from tidemark.versions import chosen

NOTHING_OBSERVED = Observed((), ())


def reason_of(why: str) -> str:
    """Return the reason that a person gives for what he does.

    Raises:
        UsageError: there is none.

    """
    if not why.strip():
        raise UsageError("--why is empty: say why, for those who look later")
    return why.strip()


def _known_partition(connection: sa.Connection, pipeline: Pipeline, names: Names, asset: str, key: str) -> int:
    pipeline[asset].grain.ordinal(key)  # refuses what is no key of the grain
    names.ensure(connection, asset, [key])
    return names.id_of(asset, key)


def _met_partition(connection: sa.Connection, pipeline: Pipeline, names: Names, asset: str, key: str) -> int:
    """Return the id of a key to take something back from: also one that its definition has lost since."""
    if key in names.ids[names.grains[asset].scheme].keys:
        return names.id_of(asset, key)
    return _known_partition(connection, pipeline, names, asset, key)


def settle_marks(deployment: Deployment, pipeline: Pipeline, names: Names, *, run: str, actor: str) -> int:
    """Bring the marks up to date with what a person has just said, as of the newest plan; nothing runs."""
    with deployment.ledger.read() as connection:
        as_of = instant_of(connection, deployment)
    plan = make_plan(deployment, pipeline, names, NOTHING_OBSERVED, as_of=as_of, selection=EVERYTHING)
    return len(apply_moves(deployment, pipeline, names, plan, run=run, actor=actor).moves)


def declare_absent(
    deployment: Deployment, pipeline: Pipeline, source: str, key: str, *, why: str, actor: str
) -> tuple[bool, int]:
    """Declare that a delivery will not come, or that one which is rejected does not matter.

    Returns:
        Whether that is news, and how many marks changed; nothing runs, since what is missing and what is declared
        absent are the same to an action key.

    Raises:
        UsageError: the asset is no source, the key none of its grain, or the reason empty.

    """
    pipeline.source(source)
    reason = reason_of(why)
    names = register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        partition_id = _known_partition(connection, pipeline, names, source, key)
        take_turn(connection, Turn.HEADS)  # what is looked at here, nobody else changes meanwhile
        if pipeline.source(source).grain.ordinal(key) not in absent_of(
            connection, deployment.environment, names, source
        ):
            # One that was made before a rejection does not stand against it: this one does.
            sources.withdraw_declaration(connection, names.assets[source], partition_id)
        news = sources.declare_absent(connection, names.assets[source], partition_id, why=reason, actor=actor)
        if news:
            detail = {"source": source, "partition": key, "why": reason}
            touch = Touch(None, names.assets[source], partition_id)
            heads.new_change(connection, run="absent", actor=actor, touches=[touch])
            acts.write_audit(connection, actor=actor, act="declare absent", detail=detail)
    return news, settle_marks(deployment, pipeline, names, run="absent", actor=actor)


def withdraw_declaration(
    deployment: Deployment, pipeline: Pipeline, source: str, key: str, *, why: str, actor: str
) -> tuple[bool, int]:
    """Take back that a delivery will not come.

    Returns:
        Whether there was such a declaration, and how many marks changed; nothing runs.

    Raises:
        UsageError: the asset is no source, the key none of its grain, or the reason empty.

    """
    pipeline.source(source)
    reason = reason_of(why)
    names = register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        partition_id = _met_partition(connection, pipeline, names, source, key)
        news = sources.withdraw_declaration(connection, names.assets[source], partition_id)
        if news:
            detail = {"source": source, "partition": key, "why": reason}
            touch = Touch(None, names.assets[source], partition_id)
            heads.new_change(connection, run="absent", actor=actor, touches=[touch])
            acts.write_audit(connection, actor=actor, act="withdraw declaration", detail=detail)
    return news, settle_marks(deployment, pipeline, names, run="absent", actor=actor)


def is_delivered(deployment: Deployment, pipeline: Pipeline, source: str, key: str) -> bool:
    """Return whether a delivery is in use, whatever is declared.

    Raises:
        UsageError: the asset is no source.

    """
    grain = pipeline.source(source).grain
    names = register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        return key in map(grain.key, read_heads(connection, deployment, names, source))


def hold(
    deployment: Deployment, pipeline: Pipeline, asset: str, key: str | None, *, why: str, actor: str
) -> str | None:
    """Stop re-execution of an asset, or of one partition; returns why it is held already, and None if that is news.

    Raises:
        UsageError: the asset is a source or unknown, the key none of its grain, or the reason empty.

    """
    pipeline.asset(asset)
    reason = reason_of(why)
    names = register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        partition_id = _known_partition(connection, pipeline, names, asset, key) if key is not None else None
        news = acts.place_hold(
            connection, deployment.environment, names.assets[asset], partition_id, why=reason, actor=actor
        )
        if news:
            detail = {"environment": deployment.environment, "asset": asset, "partition": key, "why": reason}
            touch = Touch(deployment.environment, names.assets[asset], partition_id)
            heads.new_change(connection, run="hold", actor=actor, touches=[touch])
            acts.write_audit(connection, actor=actor, act="hold", detail=detail)
        held = acts.holds(connection, deployment.environment)[names.assets[asset]]
    return None if news else held[partition_id]


@dataclass(frozen=True)
class Released:
    """What lifting a hold did.

    Attributes:
        lifted: whether there was one.
        asset_held: why the asset as a whole is still held, if it is.
        partitions_held: keys that are still held by themselves, in order; those of the asset that was let go.

    """

    lifted: bool
    asset_held: str | None
    partitions_held: tuple[str, ...]


def release_hold(
    deployment: Deployment, pipeline: Pipeline, asset: str, key: str | None, *, why: str, actor: str
) -> Released:
    """Lift the hold of an asset as a whole, or of one partition; what else is held stays so.

    Raises:
        UsageError: the asset is a source or unknown, the key none of its grain, or the reason empty.

    """
    pipeline.asset(asset)
    reason = reason_of(why)
    names = register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        partition_id = _met_partition(connection, pipeline, names, asset, key) if key is not None else None
        lifted = acts.release_hold(connection, deployment.environment, names.assets[asset], partition_id)
        if lifted:
            detail = {"environment": deployment.environment, "asset": asset, "partition": key, "why": reason}
            touch = Touch(deployment.environment, names.assets[asset], partition_id)
            heads.new_change(connection, run="release", actor=actor, touches=[touch])
            acts.write_audit(connection, actor=actor, act="release hold", detail=detail)
        still = acts.holds(connection, deployment.environment).get(names.assets[asset], {})
    parts = [number for number in still if number is not None] if key is None else []
    keys = sorted(each for number in parts if (each := names.key_of(asset, number)) is not None)
    return Released(lifted, still.get(None), tuple(keys))


@dataclass(frozen=True)
class Restored:
    """What restoring did: the version that is live again, and the one that was."""

    version: bytes
    before: bytes | None
    flagged: str


def restore(
    deployment: Deployment, pipeline: Pipeline, asset: str, key: str, version: str, *, why: str, actor: str
) -> Restored:
    """Make an earlier version of a partition live again, and hold it there until somebody lifts the hold.

    Args:
        deployment: where.
        pipeline: the pipeline that defines the asset.
        asset: the asset's name.
        key: the partition's key.
        version: the first hex characters of the data version, as ``history`` shows them.
        why: for those who look later.
        actor: who does it.

    Raises:
        UsageError: nothing in the partition's history has that version, or several have, or it is live already.
        Refused: the data is gone from the store, or does not pass the gate as it is now.

    """
    definition = pipeline.asset(asset)
    reason = reason_of(why)
    names = register(deployment, pipeline)
    ordinal = definition.grain.ordinal(key)
    with deployment.ledger.read() as connection:
        partition_id = names.id_of(asset, key)
        every = records.made_for(connection, names.assets[asset], partition_id)
        made = chosen([each for each in every if each.status == records.COMPUTED], f"{asset} {key}", version)
        head = read_heads(connection, deployment, names, asset).get(ordinal)
    assert made.blob is not None
    assert made.data_version is not None
    if head is not None and head.data_version == made.data_version:
        raise UsageError(f"{asset} {key} is {short(made.data_version)} already: hold it to keep it so")
    if deployment.store.missing([made.blob]):
        raise Refused(f"{asset} {key}: the data of version {short(made.data_version)} is no longer in the store")
    flagged = _gated(deployment, pipeline, definition, key, made)
    with deployment.ledger.write() as connection:
        touch = Touch(deployment.environment, names.assets[asset], partition_id)  # it is held, too
        seq = heads.new_change(connection, run="restore", actor=actor, touches=[touch])
        before = head.materialization if head else None
        # It still lacks what it lacked when it was live.
        missing = heads.newest_marks(connection, deployment.environment, names.assets[asset], partition_id, made.id)
        move = Move(names.assets[asset], partition_id, before, made.id, missing, f"restored: {reason}")
        if not heads.move(connection, deployment.environment, [move], seq):
            raise Refused(f"{asset} {key}: a run has just moved its head: look at the history and try again")
        state = "provisional" if missing else "final"
        event = (names.assets[asset], partition_id, state, move.reason, made.data_version)
        events.write(connection, deployment.environment, [event], seq)
        acts.place_hold(
            connection,
            deployment.environment,
            names.assets[asset],
            partition_id,
            why=f"restored: {reason}",
            actor=actor,
        )
        detail = {
            "environment": deployment.environment,
            "asset": asset,
            "partition": key,
            "version": made.data_version.hex(),
            "before": head.data_version.hex() if head else None,
            "why": reason,
        }
        acts.write_audit(connection, actor=actor, act="restore", detail=detail)
    return Restored(made.data_version, head.data_version if head else None, flagged)


def _gated(deployment: Deployment, pipeline: Pipeline, asset: Asset, key: str, made: records.Made) -> str:
    """Check data against the suite as it is now, unless that was done; returns what it was flagged for."""
    suite = suites_of(deployment, pipeline).get(asset.name)
    if suite is None or asset.gate is None or made.format != "parquet":
        return ""
    assert made.blob is not None
    assert made.data_version is not None
    with deployment.ledger.read() as connection:
        outcome = records.gate_outcomes(connection, suite).get(made.data_version)
    if outcome is None:
        import pyarrow.parquet as pq

        gate = deployment.gate(deployment.suite(pipeline, asset.gate))
        label = f"{asset.name} {key} {short(made.data_version)}"
        result = gate.check(asset.gate, pq.read_table(deployment.store.path(made.blob)), label=label, pii=asset.pii)
        outcome = result.outcome.value
        with deployment.ledger.write() as connection:
            records.write_gate_result(connection, asset.gate, suite, made.data_version, outcome, result.to_json())
    if outcome == Outcome.BLOCKED:
        raise Refused(
            f"{asset.name} {key}: version {short(made.data_version)} does not pass the gate {asset.gate!r} "
            "as it is now: nothing was changed"
        )
    return f"a warning of the gate {asset.gate!r}" if outcome == Outcome.FLAGGED else ""
