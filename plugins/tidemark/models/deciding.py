"""Decisions about models: promoting a candidate, rejecting it, and taking promotions back.

A champion is a record of its own under the name :func:`tidemark.assets.champion_of`, live from the hour from which it
is in force: who reads it sees it change as any other input does, and by nothing else.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from tidemark.approvers import check_approver, check_four_eyes
from tidemark.assets import CHAMPIONS, Asset, Pipeline
from tidemark.deployment import Deployment
from tidemark.errors import Refused, UsageError
from tidemark.explain import short
from tidemark.facts import instant_of, register
from tidemark.hashing import digest
from tidemark.incidents.information import inform
from tidemark.incidents.topics import Topic
from tidemark.interventions import reason_of
from tidemark.ledger import acts, decisions, heads, records, registry
from tidemark.ledger.decisions import Decision
from tidemark.ledger.heads import FINAL, Missing, Move
from tidemark.ledger.records import InputRecord, Made, Record
from tidemark.models.known import CHAMPION, FORMER, REJECTED, ROLLED_BACK, Model, Version, named
from tidemark.models.validating import current, is_up_to_date
from tidemark.partitions import Daily, TimeGrain


@dataclass(frozen=True)
class Promoted:
    """What a promotion did: the version that is in force from an instant on, what it lacks, and the one before."""

    version: bytes
    trained: str
    begins: datetime
    before: bytes | None
    missing: Missing
    readers: tuple[str, ...]


@dataclass(frozen=True)
class RolledBack:
    """What taking promotions back did: the version that is in force again, None if there is none, and since when."""

    version: bytes | None
    voided: tuple[bytes, ...]
    begins: datetime
    readers: tuple[str, ...]


def _check_may_decide(deployment: Deployment, actor: str) -> None:
    """Refuse decisions of who may not, and in a branch: it reads the champions of ``prod``.

    Raises:
        Refused: it is one of these.

    """
    check_approver(deployment.settings, actor)
    if deployment.environment != heads.PROD:
        raise Refused(
            f"models are decided about in {heads.PROD!r}: the environment {deployment.environment!r} reads its "
            "champions"
        )


def promote(
    deployment: Deployment,
    pipeline: Pipeline,
    name: str,
    version: str | None,
    *,
    first: date | None,
    why: str,
    actor: str,
    validation: int | None = None,
) -> Promoted:
    """Make a candidate the champion; its readers follow with their next run.

    Args:
        deployment: where.
        pipeline: the pipeline that defines the model.
        name: the model.
        version: the first hex characters of the version; None: the newest training's.
        first: the first day on which it is in force, on its readers' clock; None: from the period on that follows the
            newest one that is live of any of its readers.
        why: for those who look later.
        actor: who does it.
        validation: the one that the actor was shown; None: he looks for himself.

    Raises:
        UsageError: there is no such version, or it is the champion already, or the reason is empty.
        Refused: the actor may not; the version was rejected or superseded; it was judged anew since the actor saw it;
            what it was trained from has changed since; it would be in force before the one that is, or in what is
            closed.

    """
    _check_may_decide(deployment, actor)
    asset, reason, names = pipeline.asset(name), reason_of(why), register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        # From here on nobody else changes what is looked at before this is written down.
        seq = heads.new_change(connection, run="model promote", actor=actor)
        model = Model(connection, deployment, name)
        made, champion = model.choose(version), model.champion
        _check_candidate(model, made)
        current(connection, deployment, pipeline, names, asset, made)
        _check_validated(model, deployment, pipeline, asset, made, validation)
        check_four_eyes(connection, deployment.settings, asset, made, champion, actor)
        as_of = instant_of(connection, deployment)
        begins = _begins(model, first, as_of)
        _check_start(model, begins, as_of)
        key = CHAMPIONS.key(CHAMPIONS.containing(begins))
        partition_id = registry.ensure_partitions(connection, CHAMPIONS, [key])[key]
        (record,) = records.write(
            connection,
            [_champion(model, made, partition_id)],
            environment=heads.PROD,
            run="model promote",
            actor=actor,
        )
        said = f"promoted: {reason}"
        move = Move(model.champions.id, partition_id, model.head_at(partition_id), record, FINAL, said)
        heads.move(connection, heads.PROD, [move], seq)
        decisions.write(
            connection,
            model.id,
            made.id,
            seq=seq,
            why=reason,
            actor=actor,
            champion=record,
            partition_id=partition_id,
        )
        assert made.data_version is not None
        before = champion.data_version if champion is not None else None
        detail = {
            "model": name,
            "version": made.data_version.hex(),
            "trained": made.partition,
            "begins": begins.isoformat(),
            "before": before.hex() if before else None,
            "why": reason,
        }
        acts.write_audit(connection, actor=actor, act="promote", detail=detail)
        _inform(model, Topic.MODEL_PROMOTED, f"{short(made.data_version)} is champion", detail, actor)
        missing = model.missing.get(made.id, FINAL)
        return Promoted(made.data_version, made.partition, begins, before, missing, model.pipelines)


def _check_candidate(model: Model, made: Made) -> None:
    """Refuse what is not the candidate that awaits a decision.

    Raises:
        UsageError: it is the champion already.
        Refused: somebody has rejected it, or a newer one waits.

    """
    what, state = named(model.name, made), model.state(made)
    if state == CHAMPION:
        raise UsageError(f"{what} is the champion already")
    if state == FORMER:
        raise Refused(
            f"{what} was champion until another one came: "
            f"'tidemark model rollback {model.name} --to {short(made.data_version)}' takes back what came after it"
        )
    if state == REJECTED:
        said = [each for each in model.decided(made) if each.outcome == decisions.REJECTED][-1]
        raise Refused(f"{what} was rejected by {said.actor}: {said.why}")
    if made.id != model.newest and model.newest is not None:
        raise Refused(f"{what} is stale: {named(model.name, model.made[model.newest])} is newer")


def _check_validated(
    model: Model, deployment: Deployment, pipeline: Pipeline, asset: Asset, made: Made, shown: int | None
) -> None:
    """Refuse a candidate that did not pass its validation, or was not compared with the champion there is now.

    Raises:
        Refused: so it is, or it was compared anew since the person who decides was shown how it did.

    """
    what, said, champion = named(model.name, made), model.validated, model.champion
    if said is not None and not said.passed:
        raise Refused(f"{what} did not pass its validation: {'; '.join(said.report['problems'])}")
    if asset.validation is None:
        return
    if said is None or not is_up_to_date(said, deployment, pipeline, asset, champion):
        against = f"{named(model.name, champion)}, which is in force" if champion else "how it is to be judged"
        again = f" --force {model.name}:{made.partition}" if model.state(made) == ROLLED_BACK else ""
        raise Refused(f"{what} was not yet held against {against}: 'tidemark run {pipeline.name}{again}' does that")
    if shown is not None and said.id != shown:
        raise Refused(f"{what} was judged anew since this was asked: 'tidemark model compare {model.name}' shows how")


def _champion(model: Model, made: Made, partition_id: int) -> Record:
    assert made.data_version is not None
    member = (made.partition, made.data_version, made.id)
    hashed = digest("one", made.partition, made.data_version)
    return Record(
        asset_id=model.champions.id,
        partition_id=partition_id,
        status=records.DELIVERED,
        action_key=digest("promotion", made.action_key),
        data_version=made.data_version,
        blob=made.blob,
        format=made.format,
        size=made.size,
        inputs=(InputRecord("candidate", model.id, "promotion", hashed, (member,)),),
    )


def _begins(model: Model, first: date | None, as_of: datetime) -> datetime:
    """Return from when on a promotion is in force: a day on the readers' clock, or after all of their heads."""
    grains = [each.grain for each in model.readers if isinstance(each.grain, TimeGrain)]
    if not grains:
        assert isinstance(model.registered.grain, TimeGrain)
        grains = [model.registered.grain]
    if first is None:
        timed = [(each.grain, live[-1]) for each in model.readers if (live := model.ordinals(each))]
        after = [grain.begins(last + 1) for grain, last in timed if isinstance(grain, TimeGrain)]
        if after:
            return max(after)
    # Where the clocks differ, no reader's day begins before the champion does.
    days = (Daily(tz=each.tz) for each in grains)
    return max(day.begins(day.containing(as_of) if first is None else day.ordinal(first.isoformat())) for day in days)


def _check_start(model: Model, begins: datetime, as_of: datetime) -> None:
    """Refuse a start before the champion that is in force, or among what is closed.

    Raises:
        Refused: it is one of these.

    """
    if model.standing:
        latest = max(map(model.begins, model.standing))
        if begins < latest:
            raise Refused(
                f"another champion of {model.name} is in force from {_shown(latest)} on: begin with that or "
                "later, or roll it back first"
            )
    for reader in model.readers:
        seconds, grain = reader.definition.get("closes_after"), reader.grain
        if seconds is None or not isinstance(grain, TimeGrain):
            continue
        age = timedelta(seconds=seconds)
        shut = [each for each in model.ordinals(reader) if as_of > grain.ends(each) + age]
        if shut and begins < grain.ends(shut[-1]):
            raise Refused(
                f"{reader.name} is closed up to and with {grain.key(shut[-1])}: it would be in force from "
                f"{_shown(begins)} on, and may be from {_shown(grain.ends(shut[-1]))} on"
            )


def reject(deployment: Deployment, name: str, version: str | None, *, why: str, actor: str) -> Version:
    """Decide that a candidate will not be the champion; returns it.

    Raises:
        UsageError: there is no such version, or it is the champion, or the reason is empty.
        Refused: the actor may not; somebody has decided about it already, or a newer one waits.

    """
    _check_may_decide(deployment, actor)
    reason = reason_of(why)
    with deployment.ledger.write() as connection:
        seq = heads.new_change(connection, run="model reject", actor=actor)
        model = Model(connection, deployment, name)
        made = model.choose(version)
        _check_candidate(model, made)
        decisions.write(connection, model.id, made.id, seq=seq, why=reason, actor=actor)
        assert made.data_version is not None
        detail = {"model": name, "version": made.data_version.hex(), "trained": made.partition, "why": reason}
        acts.write_audit(connection, actor=actor, act="reject", detail=detail)
        return Version(made, REJECTED, (), model.missing.get(made.id, FINAL))


def rollback(deployment: Deployment, name: str, to: str | None, *, why: str, actor: str) -> RolledBack:
    """Take the newest promotion back, or all that came after a version: what was in force before is so again.

    Args:
        deployment: where.
        name: the model; its pipeline may be gone.
        to: the first hex characters of the version that is to be champion again; None: the one before.
        why: for those who look later.
        actor: who does it.

    Raises:
        UsageError: there is no champion, or that version is it already, or no promotion of it stands, or the reason is
            empty.
        Refused: the actor may not.

    """
    _check_may_decide(deployment, actor)
    reason = reason_of(why)
    with deployment.ledger.write() as connection:
        seq = heads.new_change(connection, run="model rollback", actor=actor)
        model = Model(connection, deployment, name)
        if not model.standing:
            raise UsageError(f"{name} has no champion: there is nothing to take back")
        stays = model.standing[:-1] if to is None else _up_to(model, to)
        voided = model.standing[len(stays) :]
        moves = []
        for partition_id in dict.fromkeys(each.partition_id for each in voided):
            assert partition_id is not None
            left = [each.champion for each in stays if each.partition_id == partition_id]
            now = model.head_at(partition_id)
            said = f"rolled back: {reason}"
            moves.append(Move(model.champions.id, partition_id, now, left[-1] if left else None, FINAL, said))
        heads.move(connection, heads.PROD, moves, seq)
        decisions.void(connection, [each.id for each in voided], why=reason, actor=actor)
        gone = tuple(version for each in voided if (version := model.made[each.candidate].data_version))
        version = model.made[stays[-1].candidate].data_version if stays else None
        begins = min(map(model.begins, voided))
        detail = {
            "model": name,
            "version": version.hex() if version else None,
            "voided": [each.hex() for each in gone],
            "begins": begins.isoformat(),
            "why": reason,
        }
        acts.write_audit(connection, actor=actor, act="roll back", detail=detail)
        again = f"{short(version)} is champion again" if version else "there is no champion any more"
        _inform(model, Topic.MODEL_ROLLED_BACK, again, detail, actor)
        return RolledBack(version, gone, begins, model.pipelines)


def _inform(model: Model, topic: Topic, said: str, detail: dict[str, Any], actor: str) -> None:
    """Tell who has subscribed of a decision that changes what is served."""
    begins = datetime.fromisoformat(detail["begins"])
    readers = ", ".join(model.pipelines)
    inform(
        model.connection,
        heads.PROD,
        topic,
        title=f"{model.name}: {said} from {_shown(begins)} on",
        lines=[
            f"by {actor}: {detail['why']}",
            f"read by: {readers}; their next runs follow" if readers else "nothing reads it yet",
        ],
        pipeline=model.registered.pipeline,
        owner=model.registered.definition.get("owner") or "",
        **detail,
        by=actor,
    )


def _up_to(model: Model, version: str) -> list[Decision]:
    """Return the promotions that stand up to the newest one of a version."""
    made = model.choose(version)
    places = [place for place, each in enumerate(model.standing) if each.candidate == made.id]
    if not places:
        raise UsageError(f"no promotion of {named(model.name, made)} stands: 'tidemark model list' shows which do")
    if places[-1] == len(model.standing) - 1:
        raise UsageError(f"{named(model.name, made)} is the champion already")
    return model.standing[: places[-1] + 1]


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M} UTC"
