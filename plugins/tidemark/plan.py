"""The plan: what must run, and why, decided from the ledger before anything runs.

A plan holds every partition that may be affected, so that an asset's batch may start as soon as the batches above it
have ended, whatever became of them: what is not in the plan does not change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from math import ceil
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline
from tidemark.changes import changed_gaps, edges_data, sweep_since, write_gaps
from tidemark.deployment import Deployment
from tidemark.errors import DefinitionError, Refused, Unavailable, UsageError
from tidemark.explain import Reason, certainty_of, why_planned
from tidemark.facts import LedgerFacts, Names, definitions_digest
from tidemark.frames import cluster_engines
from tidemark.ledger import acts, gaps, heads, plans, records
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.gaps import Gap
from tidemark.ledger.heads import Move
from tidemark.memory import uncollected
from tidemark.observe import Observed
from tidemark.selection import selection_data, selection_from
from tidemark.survey import Certainty, Edges, Facts, Judgement, Selection, State, Survey, Sweep
from tidemark.survey.clock import next_tick

# One lane is enough for what takes less than this: starting a second worker would cost more.
LANE_SECONDS = 20.0

# An instant further ahead of the clock than this is taken for a typing error.
FAR_AHEAD = timedelta(days=366)

# How often a plan is made again because others change something while it is made.
PATIENCE = 10

# Until an asset has a past, a partition is taken to cost this.
FIRST_GUESS_SECONDS = 0.1

# Why a mark changes where the head is still provisional, and for nothing new.
LACKS_LESS = "lacks less now"


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
        guessed: its asset has never run, so that nobody knows what it costs.
        lane: number of the worker that takes it.
        runs: whether its function is called, as far as is known; else a result is brought back, checked or marked.
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
    runs: bool = True
    summary: str = ""
    missing: heads.Missing = heads.FINAL
    guessed: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done, in the pipeline's order, and what needs no run.

    Attributes:
        pipeline: the pipeline's name.
        as_of: the instant that was taken for now.
        seq: the newest change of the ledger that was read.
        definitions: digest of the definitions that were read.
        items: what runs or may run.
        judgements: what the survey says of each partition that had to be judged, by asset; others are as they were.
        moves: heads that change without a run: marks, and heads that must go.
        observed: what observing the sources found.
        selection: which partitions were asked for.
        slots: how many workers it was laid out for.
        made: id of the newest materialization by then: a later failure is one of this plan or of a later one.
        rejected: sources' newest deliveries that are rejected, now or since before, as (source, key, problem).
        gaps: by asset and ordinal, what the ledger keeps besides heads, where that changes.
        edges: where everything begins.
        wakes_at: when the clock alone changes something, None: never.
        whole: everything was looked at, not only what had changed.
        verify: that was asked for.

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
    gaps: Mapping[str, Mapping[int, Gap | None]]
    edges: Edges
    wakes_at: datetime | None
    whole: bool
    verify: bool
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


@uncollected()
def make_plan(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    observed: Observed,
    *,
    as_of: datetime,
    selection: Selection,
    slots: int = 1,
    verify: bool = False,
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
        verify: look at everything, not only at what has changed since the newest plan.

    Raises:
        UsageError: a partition is to be computed whatever is known of it, and does not exist or was not asked for.
        DefinitionError: an asset needs Dask or PySpark, which is not installed here.

    """
    _check_engines(pipeline)
    definitions = definitions_digest(deployment, pipeline, names.externals)
    with deployment.ledger.read() as connection:
        facts = LedgerFacts(deployment, pipeline, names, connection)
        base = None if verify else plans.newest(connection, deployment.environment, pipeline.name)
        survey = Survey(pipeline, facts, as_of, selection)
        sweep = sweep_since(survey, facts, base, definitions)
        judgements = _by_asset(pipeline, sweep)
        _check_forced(pipeline, selection, judgements)
        moves = [move for some in judgements.values() for each in some if (move := _move(names, each)) is not None]
        moves += _lost(connection, deployment, pipeline, names)
        changed = changed_gaps(survey)
        wakes_at = _wakes_at(connection, facts, survey, judgements, changed)
        items = _items(connection, pipeline, names, facts, judgements, selection, slots)
    return Plan(
        pipeline=pipeline.name,
        as_of=as_of,
        seq=facts.seq,
        definitions=definitions,
        items=tuple(items),
        judgements=judgements,
        moves=tuple(moves),
        observed=observed,
        rejected=rejections(pipeline, survey),
        gaps=changed,
        edges=survey.edges,
        wakes_at=wakes_at,
        whole=sweep.whole,
        verify=verify,
        selection=selection,
        slots=slots,
        made=facts.made,
    )


def _check_engines(pipeline: Pipeline) -> None:
    """Refuse to plan without what is part of a code version: workers that have it would come to another one."""
    for asset in pipeline.assets:
        if asset.image is not None:  # it stands for what is installed in it
            continue
        said = [read.annotation for read in asset.inputs] + [asset.function.__annotations__.get("return")]
        for engine in sorted(cluster_engines(said)):
            if find_spec(engine) is None:
                raise DefinitionError(
                    f"{asset.where}: asset {asset.name!r} has a frame of {engine}, which is not installed here, and "
                    "its version is part of the asset's code version: install requirements-scale.txt where plans are "
                    "made as well, or give the asset the image= that it runs in"
                )


def _by_asset(pipeline: Pipeline, sweep: Sweep) -> dict[str, list[Judgement]]:
    found: dict[str, list[Judgement]] = {each.name: [] for each in pipeline.assets}
    for judged in sweep.judge_all(pipeline.assets):
        found[judged.asset].append(judged)
    return found


def _check_forced(pipeline: Pipeline, selection: Selection, judgements: Mapping[str, list[Judgement]]) -> None:
    for asset, key in sorted(selection.force, key=str):
        if key is not None and not selection.holds(pipeline[asset].grain, pipeline[asset].grain.ordinal(key)):
            raise UsageError(
                f"{asset} {key} does not begin between --from and --to, so that it would not be computed: leave these "
                "out, or do not force it; nothing was run"
            )
        if key is not None and all(judged.key != key for judged in judgements[asset]):
            raise UsageError(
                f"{asset} {key} does not exist, so that it cannot be computed: "
                f"'tidemark explain {asset} {key}' says why; nothing was run"
            )


def _wakes_at(
    connection: sa.Connection,
    facts: LedgerFacts,
    survey: Survey,
    judgements: Mapping[str, list[Judgement]],
    changed: Mapping[str, Mapping[int, Gap | None]],
) -> datetime | None:
    """Return when the clock alone changes something: something is due, a period ends, a partition is closed."""
    names = facts.names
    found = [each.undue for some in changed.values() for each in some.values() if each is not None and each.undue]
    by_id = {number: name for name, number in names.assets.items()}
    for asset_id, number, undue in gaps.undue_ones(connection, facts.environment, survey.pipeline.name, survey.as_of):
        name = by_id.get(asset_id)
        # What has come before it was due is not waited for any more.
        if name is not None and names.ordinal(name, number) not in changed.get(name, {}):
            found.append(undue)
    planned = {name: {each.ordinal for each in some if each.planned} for name, some in judgements.items()}
    tick = next_tick(survey, planned)
    return min([*found, tick] if tick is not None else found, default=None)


def _move(names: Names, judged: Judgement) -> Move | None:
    """Return the change of a head that needs no run, if there is one."""
    head = judged.head
    if head is None or not judged.moves:
        return None
    place = names.assets[judged.asset], names.id_of(judged.asset, judged.key)
    if judged.void:
        return Move(*place, head.materialization, None, heads.FINAL, judged.reason)
    reason = "final now" if not judged.marks else LACKS_LESS if judged.marks < head.missing else "provisional now"
    return Move(*place, head.materialization, head.materialization, judged.marks, reason)


def _lost(connection: sa.Connection, deployment: Deployment, pipeline: Pipeline, names: Names) -> Iterable[Move]:
    """Yield the end of each head whose static key was taken out of the definition, unless somebody holds it."""
    reason = "its key was taken out of the definition"
    losing = {names.assets[each.name]: lost for each in pipeline.members if (lost := names.lost(each.name))}
    held = acts.holds(connection, deployment.environment) if losing else {}
    for asset_id, lost in losing.items():
        stays = held.get(asset_id, {})
        if None in stays:
            continue
        live = heads.current(connection, deployment.environment, asset_id)
        for number in sorted(lost & live.keys() - stays.keys()):
            yield Move(asset_id, number, live[number].materialization, None, heads.FINAL, reason)


def _items(
    connection: sa.Connection,
    pipeline: Pipeline,
    names: Names,
    facts: Facts,
    judgements: Mapping[str, list[Judgement]],
    selection: Selection,
    slots: int,
) -> list[Item]:
    planned = {name: [each for each in judged if each.planned] for name, judged in judgements.items()}
    wanted = [each.head.materialization for judged in planned.values() for each in judged if each.head]
    before = records.inputs_of(connection, wanted)
    parameters = records.parameters_of(connection, wanted)
    seconds = records.mean_seconds(connection, [names.assets[name] for name, judged in planned.items() if judged])
    items: list[Item] = []
    for each in pipeline.assets:
        past = seconds.get(names.assets[each.name])
        cost = FIRST_GUESS_SECONDS if past is None else past
        mine = [
            Item(
                asset=each.name,
                key=judged.key,
                certainty=certainty_of(each, judged, before, parameters),
                reason=why.said,
                forced=selection.forces(each.name, judged.key),
                seconds=cost if runs else 0.0,
                runs=runs,
                summary=why.summary,
                missing=judged.roots,
                guessed=runs and past is None,
            )
            for judged in planned[each.name]
            for why in [_why(each, judged, facts, before, parameters)]
            for runs in [judged.state in (State.STALE, State.UNSURE)]
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
    if not judged.runs:
        said = f"{judged.reason}; only its marks may change"
        return Reason(said, said)
    return why_planned(asset, judged, facts, inputs, parameters)


def rejections(pipeline: Pipeline, survey: Survey) -> tuple[tuple[str, str, str], ...]:
    """Return the newest deliveries that are rejected and not declared absent: (source, key, problem), in time order."""
    return tuple(
        (source.name, source.grain.key(ordinal), problem)
        for source in pipeline.sources
        for (name, ordinal), problem in sorted(survey.rejected.items())
        if name == source.name
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
            verify=plan.verify,
        )
    raise Unavailable(f"{pipeline.name}: other runs change its heads all the time: try again when they have ended")


def _moved(deployment: Deployment, names: Names, plan: Plan, run: str, actor: str) -> Plan | None:
    """Make a plan's moves; returns the plan with those that were made, None where it is to be made again."""
    mine = set(names.assets.values())
    seen = {None, heads.PROD, deployment.environment}
    with deployment.ledger.write() as connection:
        take_turn(connection, Turn.HEADS)
        if plans.later_as_of(connection, deployment.environment, plan.pipeline, plan.as_of) is not None:
            return replace(plan, moves=())  # as-of never goes back: the later run's plan holds what is so by then
        if heads.changed_since(
            connection, plan.seq, (), lambda each: each.environment in seen and each.asset_id in mine
        ):
            return None
        seq = heads.new_change(connection, run=run, actor=actor)
        heads.move(connection, deployment.environment, plan.moves, seq)
    return replace(plan, seq=seq)


def store_plan(
    deployment: Deployment, names: Names, plan: Plan, *, run: str, actor: str, seconds: float | None = None
) -> int:
    """Write a plan down, with how long looking and deciding took, and return its number."""
    keys: dict[str, list[str]] = {}
    for item in plan.items:
        keys.setdefault(item.asset, []).append(item.key)
    with deployment.ledger.write() as connection:
        for asset, some in keys.items():
            names.ensure(connection, asset, some)
        if plan.whole:
            gaps.forget(connection, deployment.environment, plan.pipeline, names.assets.values())
        write_gaps(connection, deployment.environment, plan.pipeline, names, plan.gaps)
        return plans.write(
            connection,
            environment=deployment.environment,
            pipeline=plan.pipeline,
            as_of=plan.as_of,
            run=run,
            actor=actor,
            seq=plan.seq,
            wakes_at=plan.wakes_at,
            definitions=plan.definitions,
            seconds=seconds,
            context={
                **selection_data(plan.selection),
                "made": plan.made,
                "rejected": [list(each) for each in plan.rejected],
                "edges": edges_data(plan.edges),
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
