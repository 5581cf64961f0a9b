"""Models: candidates that training has made, the champions that people made of them, and taking that back.

A champion is a record of its own under the name :func:`tidemark.assets.champion_of`, live from the hour from which it
is in force: who reads it sees it change as any other input does, and by nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from tidemark.approvers import check_approver, check_four_eyes
from tidemark.assets import CHAMPIONS, Asset, Pipeline, champion_of
from tidemark.deployment import Deployment
from tidemark.errors import Refused, UsageError, listed
from tidemark.explain import short
from tidemark.facts import Names, instant_of, read_heads, register
from tidemark.hashing import digest
from tidemark.inspecting import judgement_in, survey_now, why_of
from tidemark.ledger import acts, decisions, heads, records, registry
from tidemark.ledger.decisions import Decision
from tidemark.ledger.heads import FINAL, Move
from tidemark.ledger.records import InputRecord, Made, Record
from tidemark.ledger.registry import Registered
from tidemark.partitions import TimeGrain
from tidemark.survey import State
from tidemark.versions import chosen

CHAMPION = "champion"
CANDIDATE = "candidate"
FORMER = "former champion"
ROLLED_BACK = "rolled back"
REJECTED = "rejected"
SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Attributes:
        made: its materialization.
        state: champion, candidate (the newest, which awaits a decision), former champion, rolled back, rejected or
            superseded.
        decisions: what people have decided about it, oldest first.

    """

    made: Made
    state: str
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Reign:
    """From when to when a champion is in force.

    Attributes:
        version: the data version of the model.
        trained: the partition that it was trained for.
        begins: the first instant at which it is in force.
        ends: the instant from which the next one is; None: there is none yet.
        decision: who promoted it, when, and why.

    """

    version: bytes
    trained: str
    begins: datetime
    ends: datetime | None
    decision: Decision


@dataclass(frozen=True)
class Promoted:
    """What a promotion did: the version that is in force from an instant on, and the one that was there."""

    version: bytes
    trained: str
    begins: datetime
    before: bytes | None
    readers: tuple[str, ...]


@dataclass(frozen=True)
class RolledBack:
    """What taking promotions back did: the version that is in force again, None if there is none, and since when."""

    version: bytes | None
    voided: tuple[bytes, ...]
    begins: datetime
    readers: tuple[str, ...]


class _Model:
    """A model, and what the ledger says of it in one transaction."""

    def __init__(self, connection: sa.Connection, deployment: Deployment, names: Names, asset: Asset) -> None:
        self.connection = connection
        self.environment = deployment.environment
        self.asset = asset
        self.id = names.assets[asset.name]
        self.known = registry.assets(connection)
        self.champions = self.known[champion_of(asset.name)]
        live = read_heads(connection, deployment, names, asset.name)
        self.live = {head.materialization for head in live.values()}
        self.newest = live[max(live)].materialization if live else None
        self.decisions = decisions.read(connection, self.environment, self.id)
        self.standing = [each for each in self.decisions if each.stands]
        wanted = self.live | {each.candidate for each in self.decisions}
        self.made = records.made(connection, wanted)

    def state(self, number: int) -> str:
        """Return what a version is."""
        mine = [each for each in self.decisions if each.candidate == number]
        if self.standing and self.standing[-1].candidate == number:
            return CHAMPION
        if any(each.stands for each in mine):
            return FORMER
        if mine:
            return ROLLED_BACK if mine[-1].outcome == decisions.PROMOTED else REJECTED
        return CANDIDATE if number == self.newest else SUPERSEDED

    def versions(self) -> Iterator[Version]:
        """Yield all versions that are live or have been decided about, the newest training first."""
        by_age = sorted(self.made.values(), key=lambda each: (each.partition, each.id), reverse=True)
        for made in by_age:
            mine = tuple(each for each in self.decisions if each.candidate == made.id)
            yield Version(made, self.state(made.id), mine)

    def choose(self, version: str | None) -> Made:
        """Return a version by its first characters; without them the newest.

        Raises:
            UsageError: there is none of that kind, or several.

        """
        if version is not None:
            return chosen(sorted(self.made.values(), key=lambda each: each.id), self.asset.name, version)
        if self.newest is None:
            raise UsageError(f"{self.asset.name} has no candidate: nothing was trained yet")
        return self.made[self.newest]

    def begins(self, each: Decision) -> datetime:
        """Return from when on a promoted version is in force."""
        assert each.partition_id is not None
        return CHAMPIONS.begins(self._ids.ordinal(each.partition_id))

    @property
    def _ids(self) -> registry.Ids:
        return registry.scheme_ids(self.connection, [CHAMPIONS])[CHAMPIONS.scheme]

    def head_at(self, partition_id: int) -> int | None:
        """Return what is live in a partition of the champions."""
        own = heads.current(self.connection, self.environment, self.champions.id, partition_id, partition_id)
        return own[partition_id].materialization if partition_id in own else None

    @property
    def readers(self) -> list[Registered]:
        """The assets, of whatever pipeline, that read the champion in force."""
        wanted = self.champions.name
        return [
            each
            for each in self.known.values()
            if not each.is_given_up and any(name == wanted for name, _ in each.definition.get("inputs", ()))
        ]


def _model(pipeline: Pipeline, name: str) -> Asset:
    """Return the definition of a model.

    Raises:
        UsageError: there is no such asset, or it is no model.

    """
    asset = pipeline.asset(name)
    if not asset.is_model:
        models = listed(each.name for each in pipeline.assets if each.is_model)
        raise UsageError(f"{name!r} is no model: the models of {pipeline.name!r} are {models}")
    return asset


def _why(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is empty: say why, for those who look later")
    return why.strip()


def versions(deployment: Deployment, pipeline: Pipeline, name: str) -> list[Version]:
    """Return all versions of a model that are live or have been decided about, the newest training first.

    Raises:
        UsageError: there is no such asset, or it is no model.

    """
    asset, names = _model(pipeline, name), register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        return list(_Model(connection, deployment, names, asset).versions())


def reigns(deployment: Deployment, pipeline: Pipeline, name: str) -> list[Reign]:
    """Return from when to when each champion that stands is in force, the earliest first.

    Raises:
        UsageError: there is no such asset, or it is no model.

    """
    asset, names = _model(pipeline, name), register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        model = _Model(connection, deployment, names, asset)
        # Of two that are in force from the same hour on, the later promotion counts.
        by_start = {model.begins(each): each for each in model.standing}
        starts = sorted(by_start)
        ends: Sequence[datetime | None] = [*starts[1:], None]
        found = []
        for begins, end in zip(starts, ends, strict=False):
            made = model.made[by_start[begins].candidate]
            assert made.data_version is not None
            found.append(Reign(made.data_version, made.partition, begins, end, by_start[begins]))
        return found


def promote(
    deployment: Deployment,
    pipeline: Pipeline,
    name: str,
    version: str | None,
    *,
    begins: datetime | None,
    why: str,
    actor: str,
) -> Promoted:
    """Make a candidate the champion; its readers follow with their next run.

    Args:
        deployment: where.
        pipeline: the pipeline that defines the model.
        name: the model.
        version: the first hex characters of the version; None: the newest training's.
        begins: from when on it is in force; None: from the first partition of its readers that has no head.
        why: for those who look later.
        actor: who does it.

    Raises:
        UsageError: there is no such version, or it is the champion already, or the reason is empty.
        Refused: the version was rejected or superseded; what it was trained from has changed since; it would be in
            force before the one that is, or in what is closed.

    """
    check_approver(deployment.settings, actor)
    asset, reason, names = _model(pipeline, name), _why(why), register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        # From here on nobody else changes what is looked at before this is written down.
        seq = heads.new_change(connection, run="model promote", actor=actor)
        model = _Model(connection, deployment, names, asset)
        made = model.choose(version)
        _check_candidate(model, made)
        _check_current(connection, deployment, pipeline, names, asset, made)
        champion = model.made[model.standing[-1].candidate] if model.standing else None
        check_four_eyes(connection, deployment.settings, made, champion, actor)
        as_of = instant_of(connection, deployment)
        start = _start(model, deployment, as_of) if begins is None else begins
        ordinal = CHAMPIONS.containing(start)
        _check_start(model, deployment, start, as_of)
        key = CHAMPIONS.key(ordinal)
        partition_id = registry.ensure_partitions(connection, CHAMPIONS, [key])[key]
        (record,) = records.write(
            connection,
            [_champion(model, made, partition_id)],
            environment=deployment.environment,
            run="model promote",
            actor=actor,
        )
        move = Move(model.champions.id, partition_id, model.head_at(partition_id), record, FINAL, f"promoted: {reason}")
        heads.move(connection, deployment.environment, [move], seq)
        decisions.write(
            connection,
            deployment.environment,
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
            "environment": deployment.environment,
            "model": name,
            "version": made.data_version.hex(),
            "trained": made.partition,
            "begins": CHAMPIONS.begins(ordinal).isoformat(),
            "before": before.hex() if before else None,
            "why": reason,
        }
        acts.write_audit(connection, actor=actor, act="promote", detail=detail)
        readers = tuple(sorted({each.pipeline for each in model.readers}))
    return Promoted(made.data_version, made.partition, CHAMPIONS.begins(ordinal), before, readers)


def _check_candidate(model: _Model, made: Made) -> None:
    """Refuse what is not the candidate that awaits a decision.

    Raises:
        UsageError: it is the champion already.
        Refused: somebody has rejected it, or a newer one waits.

    """
    what, state = _named(model.asset.name, made), model.state(made.id)
    if state == CHAMPION:
        raise UsageError(f"{what} is the champion already")
    if state == FORMER:
        raise Refused(
            f"{what} was champion until another one came: "
            f"'tidemark model rollback {model.asset.name} --to {_short(made)}' takes back what came after it"
        )
    if state == REJECTED:
        said = next(each for each in model.decisions if each.candidate == made.id)
        raise Refused(f"{what} was rejected by {said.actor}: {said.why}")
    if made.id != model.newest and model.newest is not None:
        raise Refused(f"{what} is stale: {_named(model.asset.name, model.made[model.newest])} is newer")


def _check_current(
    connection: sa.Connection, deployment: Deployment, pipeline: Pipeline, names: Names, asset: Asset, made: Made
) -> None:
    """Refuse a candidate that would be trained otherwise by now.

    Raises:
        Refused: its code, its parameters or what it was trained from has changed, or was taken back.

    """
    survey, judgements = survey_now(connection, deployment, pipeline, names, whole=False)
    judged = judgement_in(survey, judgements, asset, asset.grain.ordinal(made.partition))
    if judged is None or judged.state is not State.FRESH or judged.head is None:
        why = why_of(connection, asset, judged, survey) if judged else "its partition exists no longer"
        raise Refused(
            f"{_named(asset.name, made)} is stale: {why}. 'tidemark explain {asset.name} {made.partition}' says more; "
            f"the next run of {pipeline.name} trains it anew"
        )


def _champion(model: _Model, made: Made, partition_id: int) -> Record:
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


def _heads_of(model: _Model, deployment: Deployment, reader: Registered) -> list[int]:
    """Return the ordinals of a reader's partitions with a head, in order."""
    ids = registry.scheme_ids(model.connection, [reader.grain])
    if reader.grain.scheme not in ids:
        return []
    names = Names({reader.name: reader.id}, {reader.name: reader.grain}, ids)
    return sorted(read_heads(model.connection, deployment, names, reader.name))


def _start(model: _Model, deployment: Deployment, as_of: datetime) -> datetime:
    """Return when the first partition of the readers begins that has no head after all that have one."""
    starts = []
    for reader in model.readers:
        live = _heads_of(model, deployment, reader)
        if live and isinstance(reader.grain, TimeGrain):
            starts.append(reader.grain.begins(live[-1] + 1))
    if starts:
        return max(starts)
    grain = model.asset.grain
    assert isinstance(grain, TimeGrain)
    local = as_of.astimezone(grain.zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def _check_start(model: _Model, deployment: Deployment, start: datetime, as_of: datetime) -> None:
    """Refuse a start before the champion that is in force, or among what is closed.

    Raises:
        Refused: it is one of these.

    """
    if model.standing:
        latest = max(map(model.begins, model.standing))
        if start < latest:
            raise Refused(
                f"another champion of {model.asset.name} is in force from {_shown(latest)} on: begin with that or "
                "later, or roll it back first"
            )
    for reader in model.readers:
        seconds, grain = reader.definition.get("closes_after"), reader.grain
        if seconds is None or not isinstance(grain, TimeGrain):
            continue
        age = timedelta(seconds=seconds)
        shut = [each for each in _heads_of(model, deployment, reader) if as_of > grain.ends(each) + age]
        if shut and start < grain.ends(shut[-1]):
            raise Refused(
                f"{reader.name} is closed up to and with {grain.key(shut[-1])}: "
                f"begin with {grain.key(shut[-1] + 1)} or later"
            )


def reject(
    deployment: Deployment, pipeline: Pipeline, name: str, version: str | None, *, why: str, actor: str
) -> Version:
    """Decide that a candidate will not be the champion; returns it.

    Raises:
        UsageError: there is no such version, or it is the champion, or the reason is empty.
        Refused: somebody has decided about it already, or a newer one waits.

    """
    check_approver(deployment.settings, actor)
    asset, reason, names = _model(pipeline, name), _why(why), register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        seq = heads.new_change(connection, run="model reject", actor=actor)
        model = _Model(connection, deployment, names, asset)
        made = model.choose(version)
        _check_candidate(model, made)
        decisions.write(connection, deployment.environment, model.id, made.id, seq=seq, why=reason, actor=actor)
        assert made.data_version is not None
        detail = {
            "environment": deployment.environment,
            "model": name,
            "version": made.data_version.hex(),
            "trained": made.partition,
            "why": reason,
        }
        acts.write_audit(connection, actor=actor, act="reject", detail=detail)
    return Version(made, REJECTED, ())


def rollback(
    deployment: Deployment, pipeline: Pipeline, name: str, to: str | None, *, why: str, actor: str
) -> RolledBack:
    """Take the newest promotion back, or all that came after a version: what was in force before is so again.

    Args:
        deployment: where.
        pipeline: the pipeline that defines the model.
        name: the model.
        to: the first hex characters of the version that is to be champion again; None: the one before.
        why: for those who look later.
        actor: who does it.

    Raises:
        UsageError: there is no champion, or that version is it already, or no promotion of it stands, or the reason is
            empty.

    """
    check_approver(deployment.settings, actor)
    asset, reason, names = _model(pipeline, name), _why(why), register(deployment, pipeline)
    with deployment.ledger.write() as connection:
        seq = heads.new_change(connection, run="model rollback", actor=actor)
        model = _Model(connection, deployment, names, asset)
        if not model.standing:
            raise UsageError(f"{name} has no champion: there is nothing to take back")
        stays = model.standing[:-1] if to is None else _up_to(model, to)
        voided = model.standing[len(stays) :]
        moves = []
        for partition_id in dict.fromkeys(each.partition_id for each in voided):
            assert partition_id is not None
            left = [each.champion for each in stays if each.partition_id == partition_id]
            after = left[-1] if left else None
            moves.append(
                Move(
                    model.champions.id,
                    partition_id,
                    model.head_at(partition_id),
                    after,
                    FINAL,
                    f"rolled back: {reason}",
                )
            )
        heads.move(connection, deployment.environment, moves, seq)
        decisions.void(connection, [each.id for each in voided], why=reason, actor=actor)
        gone = tuple(version for each in voided if (version := model.made[each.candidate].data_version))
        now = model.made[stays[-1].candidate].data_version if stays else None
        begins = min(map(model.begins, voided))
        detail = {
            "environment": deployment.environment,
            "model": name,
            "version": now.hex() if now else None,
            "voided": [each.hex() for each in gone],
            "begins": begins.isoformat(),
            "why": reason,
        }
        acts.write_audit(connection, actor=actor, act="roll back", detail=detail)
        readers = tuple(sorted({each.pipeline for each in model.readers}))
    return RolledBack(now, gone, begins, readers)


def _up_to(model: _Model, version: str) -> list[Decision]:
    """Return the promotions that stand up to the newest one of a version."""
    made = model.choose(version)
    places = [place for place, each in enumerate(model.standing) if each.candidate == made.id]
    if not places:
        raise UsageError(
            f"no promotion of {_named(model.asset.name, made)} stands: 'tidemark model list' shows which do"
        )
    if places[-1] == len(model.standing) - 1:
        raise UsageError(f"{_named(model.asset.name, made)} is the champion already")
    return model.standing[: places[-1] + 1]


def _named(name: str, made: Made) -> str:
    return f"{name} {_short(made)} (trained for {made.partition})"


def _short(made: Made) -> str:
    return short(made.data_version)


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M} UTC"
