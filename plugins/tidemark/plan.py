"""The plan: what must run, and why, decided from the ledger before anything runs.

A plan holds every partition that may be affected, so that an asset's batch may start as soon as the batches above it
have ended, whatever became of them: what is not in the plan does not change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from tidemark.assets import Asset, Pipeline
from tidemark.deployment import Deployment
from tidemark.errors import Refused, Unavailable, UsageError
from tidemark.explain import Reason, certainty_of, why_planned
from tidemark.facts import Names, definitions_digest, read_facts
from tidemark.ledger import acts, heads, plans, records
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.heads import Move
from tidemark.observe import Observed
from tidemark.selection import selection_data, selection_from
from tidemark.survey import Certainty, Facts, Gap, Judgement, Selection, State, Survey

# One lane is enough for what takes less than this: starting a second worker would cost more.
LANE_SECONDS = 20.0

# An instant further ahead of the clock than this is taken for a typing error.
FAR_AHEAD = timedelta(days=366)

# How often a plan is made again because others change something while it is made.
PATIENCE = 10

# Until an asset has a past, a partition is taken to cost this.
FIRST_GUESS_SECONDS = 0.1


@dataclass(frozen=True)
class Item:
    """One partition that runs, or may run.

    Attributes:
        asset: the asset's name.
        key: the partition's key.
        certainty: whether it runs whatever happens above it.
        reason: why, in words.
        forced: a person asked for it.
        seconds: what it has cost so far, on average.
        lane: number of the worker that takes it.
        summary: the reason without the partitions that it names: what it has in common with its neighbours.
        missing: what its result would be provisional for, as far as is known before anything runs.

    """

    asset: str
    key: str
    certainty: Certainty
    reason: str
    forced: bool
    seconds: float
    lane: int = 0
    summary: str = ""
    missing: heads.Missing = heads.FINAL


@dataclass(frozen=True)
class Plan:
    """What is to be done, in the pipeline's order, and what needs no run.

    Attributes:
        pipeline: the pipeline's name.
        as_of: the instant that was taken for now.
        seq: the newest change of the ledger that was read.
        definitions: digest of the definitions that were read.
        items: what runs or may run.
        judgements: what the survey says of every partition, by asset.
        moves: heads that change without a run: marks, and heads that must go.
        observed: what observing the sources found.
        selection: which partitions were asked for.
        slots: how many workers it was laid out for.
        made: id of the newest materialization by then: a later failure is one of this plan or of a later one.
        rejected: sources' newest deliveries that are rejected, now or since before, as (source, key, problem).
        gaps: by asset and key, what has no head or failed, and is not going to run: for readers in other pipelines.

    """

    pipeline: str
    as_of: datetime
    seq: int
    definitions: bytes
    items: tuple[Item, ...]
    judgements: Mapping[str, list[Judgement]]
    moves: tuple[Move, ...]
    observed: Observed
    rejected: tuple[tuple[str, str, str], ...]
    gaps: Mapping[tuple[str, str], Gap]
    selection: Selection = field(default_factory=Selection)
    slots: int = 1
    made: int = 0

    @property
    def lanes(self) -> int:
        """How many workers the plan can keep busy."""
        return 1 + max((item.lane for item in self.items), default=-1)


def check_as_of(deployment: Deployment, as_of: datetime) -> None:
    """Refuse to go back in time within an environment, and far ahead: from there no plan could go back to today.

    Raises:
        Refused: when an earlier plan took a later instant for now, or the instant is over a year ahead of the clock.

    """
    if as_of > datetime.now(UTC) + FAR_AHEAD:
        raise Refused(f"as-of {as_of.isoformat()} lies over a year ahead: no later plan could go back from there")
    with deployment.ledger.read() as connection:
        newest = plans.newest_as_of(connection, deployment.environment)
    if newest is not None and as_of < newest:
        raise Refused(
            f"as-of {as_of.isoformat()} lies before {newest.isoformat()}, which the environment "
            f"{deployment.environment!r} has reached: replay history in another one (TIDEMARK_ENVIRONMENT)"
        )


def make_plan(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    observed: Observed,
    *,
    as_of: datetime,
    selection: Selection,
    slots: int = 1,
) -> Plan:
    """Survey the pipeline and say what must run and why; writes nothing.

    Args:
        deployment: where.
        pipeline: what.
        names: ids of the pipeline's members and keys.
        observed: what observing the sources found.
        as_of: the instant that is taken for now.
        selection: which partitions were asked for.
        slots: how many workers can be used at once.

    Raises:
        UsageError: a partition that does not exist is to be computed whatever is known of it.

    """
    facts = read_facts(deployment, pipeline, names)
    survey = Survey(pipeline, facts, as_of, selection)
    judgements: dict[str, list[Judgement]] = {each.name: [] for each in pipeline.assets}
    moves: list[Move] = []
    for judged in survey.judge_all(pipeline.assets):
        judgements[judged.asset].append(judged)
        move = _move(names, judged)
        if move is not None:
            moves.append(move)
    _check_forced(selection, judgements)
    moves += _lost(deployment, pipeline, names)
    items = _items(deployment, pipeline, names, facts, judgements, selection, slots)
    return Plan(
        pipeline=pipeline.name,
        as_of=as_of,
        seq=facts.seq,
        definitions=definitions_digest(deployment, pipeline),
        items=tuple(items),
        judgements=judgements,
        moves=tuple(moves),
        observed=observed,
        rejected=rejections(pipeline, facts),
        gaps=_gaps(pipeline, survey),
        selection=selection,
        slots=slots,
        made=facts.made,
    )


def _check_forced(selection: Selection, judgements: Mapping[str, list[Judgement]]) -> None:
    for asset, key in sorted(selection.force, key=str):
        if key is not None and all(judged.key != key for judged in judgements[asset]):
            raise UsageError(
                f"{asset} {key} does not exist, so that it cannot be computed: "
                f"'tidemark explain {asset} {key}' says why; nothing was run"
            )


def _move(names: Names, judged: Judgement) -> Move | None:
    """Return the change of a head that needs no run, if there is one."""
    head = judged.head
    if head is None or judged.certainty is not None:
        return None
    asset_id = names.assets[judged.asset]
    partition_id = names.id_of(judged.asset, judged.key)
    if judged.void:
        return Move(asset_id, partition_id, head.materialization, None, heads.FINAL, judged.reason)
    if judged.marks != head.missing:
        reason = "final now" if not judged.marks else "provisional now"
        return Move(asset_id, partition_id, head.materialization, head.materialization, judged.marks, reason)
    return None


def _gaps(pipeline: Pipeline, survey: Survey) -> dict[tuple[str, str], Gap]:
    return {
        (asset.name, asset.grain.key(ordinal)): Gap(view.roots, view.undue, view.failed)
        for asset in pipeline.assets
        for ordinal, view in survey.tracks[asset.name].views.items()
        if view.pending is None and (view.version is None or view.failed)
    }


def _lost(deployment: Deployment, pipeline: Pipeline, names: Names) -> Iterable[Move]:
    """Yield the end of each head whose static key was taken out of the definition, unless somebody holds it."""
    reason = "its key was taken out of the definition"
    with deployment.ledger.read() as connection:
        held = acts.holds(connection, deployment.environment)
        for each in pipeline.members:
            asset_id, lost = names.assets[each.name], names.lost(each.name)
            stays = held.get(asset_id, {})
            if not lost or None in stays:
                continue
            live = heads.current(connection, deployment.environment, asset_id)
            for number in sorted(lost & live.keys() - stays.keys()):
                yield Move(asset_id, number, live[number].materialization, None, heads.FINAL, reason)


def _items(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    facts: Facts,
    judgements: Mapping[str, list[Judgement]],
    selection: Selection,
    slots: int,
) -> list[Item]:
    planned = {name: [each for each in judged if each.planned] for name, judged in judgements.items()}
    with deployment.ledger.read() as connection:
        wanted = [each.head.materialization for judged in planned.values() for each in judged if each.head]
        before = records.inputs_of(connection, wanted)
        parameters = {number: made.parameters for number, made in records.made(connection, wanted).items()}
        seconds = records.mean_seconds(connection, names.assets.values())
    items: list[Item] = []
    for each in pipeline.assets:
        cost = seconds.get(names.assets[each.name], FIRST_GUESS_SECONDS)
        mine = [
            Item(
                asset=each.name,
                key=judged.key,
                certainty=certainty_of(each, judged, before, parameters),
                reason=why.said,
                forced=selection.forces(each.name, judged.key),
                seconds=cost if judged.state in (State.STALE, State.UNSURE) else 0.0,
                summary=why.summary,
                missing=judged.roots,
            )
            for judged in planned[each.name]
            for why in [_why(each, judged, facts, before, parameters)]
            if judged.certainty is not None or selection.holds(each.grain, judged.ordinal)
        ]
        items += _in_lanes(each, mine, slots)
    return items


def _why(
    asset: Asset,
    judged: Judgement,
    facts: Facts,
    inputs: Mapping[int, list[records.InputRecord]],
    parameters: Mapping[int, Mapping[str, Any]],
) -> Reason:
    """Say why a partition is in the plan, though it may not run."""
    if judged.certainty is None:
        said = f"the gate {asset.gate!r} changed"
        return Reason(said, said)
    if judged.state in (State.HELD, State.CLOSED):
        said = f"{judged.reason}; only its marks may change"
        return Reason(said, said)
    return why_planned(asset, judged, facts, inputs, parameters)


def rejections(pipeline: Pipeline, facts: Facts) -> tuple[tuple[str, str, str], ...]:
    """Return the newest deliveries that are rejected and not declared absent: (source, key, problem), in time order."""
    return tuple(
        (source.name, source.grain.key(ordinal), each.rejected)
        for source in pipeline.sources
        for ordinal, each in sorted(facts.delivered.get(source.name, {}).items())
        if each.rejected is not None and ordinal not in facts.absent.get(source.name, ())
    )


def _in_lanes(asset: Asset, items: list[Item], slots: int) -> Iterable[Item]:
    """Share an asset's items out among workers, in runs of neighbours; a chain stays with one."""
    wanted = ceil(sum(item.seconds for item in items) / LANE_SECONDS)
    lanes = 1 if asset.chained else max(1, min(slots, wanted, len(items)))
    size = ceil(len(items) / lanes) or 1
    return [replace(item, lane=place // size) for place, item in enumerate(items)]


def apply_moves(deployment: Deployment, pipeline: Pipeline, names: Names, plan: Plan, *, run: str, actor: str) -> Plan:
    """Write down the changes of heads that need no run.

    Returns:
        The plan with the changes that were written: made again where others changed something since it was made, and
        without any where a later run has taken over.

    Raises:
        Unavailable: others change something all the time; nothing was written.

    """
    for _ in range(PATIENCE):
        moved = _moved(deployment, names, plan, run, actor) if plan.moves else plan
        if moved is not None:
            return moved
        plan = make_plan(
            deployment,
            pipeline,
            names,
            plan.observed,
            as_of=plan.as_of,
            selection=plan.selection,
            slots=plan.slots,
        )
    raise Unavailable(f"{pipeline.name}: other runs change its heads all the time: try again when they have ended")


def _moved(deployment: Deployment, names: Names, plan: Plan, run: str, actor: str) -> Plan | None:
    """Make a plan's moves; returns the plan with those that were made, None where it is to be made again."""
    mine = set(names.assets.values())
    seen = {heads.PROD, deployment.environment}
    with deployment.ledger.write() as connection:
        take_turn(connection, Turn.HEADS)
        later = plans.newest_as_of(connection, deployment.environment, plan.pipeline)
        if later is not None and later > plan.as_of:
            return replace(plan, moves=())  # as-of never goes back: the later run's plan holds what is so by then
        if heads.changed_since(connection, plan.seq, (), lambda where, asset, _: where in seen and asset in mine):
            return None
        seq = heads.new_change(connection, run=run, actor=actor)
        heads.move(connection, deployment.environment, plan.moves, seq)
    return plan


def store_plan(deployment: Deployment, names: Names, plan: Plan, *, run: str, actor: str) -> int:
    """Write a plan down and return its number."""
    keys: dict[str, list[str]] = {}
    for item in plan.items:
        keys.setdefault(item.asset, []).append(item.key)
    with deployment.ledger.write() as connection:
        for asset, some in keys.items():
            names.ensure(connection, asset, some)
        return plans.write(
            connection,
            environment=deployment.environment,
            pipeline=plan.pipeline,
            as_of=plan.as_of,
            run=run,
            actor=actor,
            seq=plan.seq,
            definitions=plan.definitions,
            context={
                **selection_data(plan.selection),
                "made": plan.made,
                "rejected": [list(each) for each in plan.rejected],
                "gaps": [
                    [*of, sorted(map(list, gap.missing)), gap.undue.isoformat() if gap.undue else None, gap.failed]
                    for of, gap in plan.gaps.items()
                ],
            },
            items=[
                (
                    names.assets[item.asset],
                    names.id_of(item.asset, item.key),
                    item.lane,
                    item.certainty.value,
                    item.reason,
                    item.forced,
                )
                for item in plan.items
            ],
        )


def selection_left(stored: plans.StoredPlan, items: Iterable[plans.StoredItem]) -> Selection:
    """Return the selection of a stored plan as its batches take it: what was forced and has an outcome is done."""
    left = frozenset((item.asset, item.partition) for item in items if item.forced and item.outcome is None)
    return selection_from(stored.context)._replace(force=left)
