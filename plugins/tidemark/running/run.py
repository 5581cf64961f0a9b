"""Working off a plan: all of it in this process, or one asset's lane of it in a worker."""

import decimal
import logging
import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tidemark.assets import Pipeline
from tidemark.changes import settle, survey_since
from tidemark.deployment import Deployment
from tidemark.errors import Unavailable
from tidemark.facts import Names, register
from tidemark.ledger import plans
from tidemark.observe import Progress, observe
from tidemark.plan import Plan, apply_moves, check_as_of, make_plan, selection_left, store_plan
from tidemark.running import searching
from tidemark.running.batch import Batch, above
from tidemark.running.compute import Computation
from tidemark.running.results import BatchReport, Result
from tidemark.running.searching import Proposal
from tidemark.running.worker import Worker
from tidemark.survey import EVERYTHING, Selection, State

log = logging.getLogger(__name__)

# What became of an item by this plan once and for all; what waits, or had nothing to do, is looked at again.
SETTLED = frozenset({Result.COMPUTED, Result.RESTORED, Result.FAILED, Result.BLOCKED})


@dataclass(frozen=True)
class Prepared:
    """A stored plan, and what it asks for."""

    plan_id: int
    plan: Plan
    names: Names

    @property
    def lanes(self) -> int:
        """How many workers the plan can keep busy; 0 when there is nothing to do."""
        return self.plan.lanes if self.plan.items else 0

    @property
    def busy(self) -> frozenset[str]:
        """The assets with something to do."""
        return frozenset(item.asset for item in self.plan.items)


def prepare(
    deployment: Deployment,
    pipeline: Pipeline,
    *,
    as_of: datetime,
    run: str,
    actor: str,
    slots: int = 1,
    selection: Selection = EVERYTHING,
    confirmed: frozenset[str] = frozenset(),
    verify: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Prepared:
    """Observe the sources, decide, write down what needs no run, and store the plan.

    Args:
        deployment: where.
        pipeline: what.
        as_of: the instant that is taken for now.
        run: name of the run, for the record.
        actor: who started it.
        slots: how many workers can be used at once.
        selection: which partitions were asked for.
        confirmed: sources of which a person has said that many files may be gone.
        verify: look at everything, not only at what has changed since the newest plan.
        progress: called with a source's name, files done and files to do.

    Raises:
        Refused: as-of goes back, or too many files vanished at once.
        DefinitionError: another pipeline owns a name, or an upstream of another pipeline is unknown.
        Unavailable: the landing zone, the store or the ledger cannot be used.

    """
    began = time.monotonic()
    check_as_of(deployment, as_of)
    names = register(deployment, pipeline)
    observed = observe(
        deployment,
        pipeline,
        names,
        as_of=as_of,
        run=run,
        actor=actor,
        confirmed=confirmed,
        verify=verify,
        progress=progress,
    )
    plan = make_plan(
        deployment, pipeline, names, observed, as_of=as_of, selection=selection, slots=slots, verify=verify
    )
    plan = apply_moves(deployment, pipeline, names, plan, run=run, actor=actor)
    seconds = time.monotonic() - began
    return Prepared(store_plan(deployment, names, plan, run=run, actor=actor, seconds=seconds), plan, names)


def run_batch(
    deployment: Deployment,
    pipeline: Pipeline,
    plan_id: int,
    lane: int,
    asset: str,
    *,
    run: str,
    actor: str,
    bundle: str | None = None,
    progress: Progress = lambda what, done, total: None,
) -> BatchReport:
    """Work off one lane of one asset of a stored plan, from the ledger as it is now.

    A batch that Airflow tries again goes on where it was: what has failed is for the next plan to try once more.

    Args:
        deployment: where.
        pipeline: the asset's pipeline.
        plan_id: the plan.
        lane: the lane, from 0.
        asset: the asset's name.
        run: name of the run.
        actor: who started it.
        bundle: the DAG bundle that the definitions are of, with its version, for the record.
        progress: called with the asset's name, partitions done and partitions to do.

    Raises:
        Unavailable: the store or the ledger cannot be used; what was finished before is published.

    """
    names = register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        stored = plans.read(connection, plan_id)
        items = plans.items(connection, plan_id, asset_id=names.assets[asset], lane=lane)
        forced = plans.items(connection, plan_id, forced=True)
    survey, sweep = survey_since(deployment, pipeline, names, stored, selection_left(stored, forced))
    definition = pipeline.asset(asset)
    for _ in sweep.judge_all(above(pipeline, definition)):
        pass
    worker = Worker(
        deployment, pipeline, names, survey, sweep, definition, plan=stored, run=run, actor=actor, bundle=bundle
    )
    done = {item.partition: (Result(item.outcome), item.detail or "") for item in items if item.outcome in SETTLED}
    report = worker.work({item.partition: item.reason for item in items if item.partition not in done}, progress)
    results = {**done, **report.results}
    return BatchReport(asset, {item.partition: results[item.partition] for item in items})


@dataclass(frozen=True)
class Standing:
    """How one lane of one asset of a plan stands in the ledger.

    Attributes:
        report: what became of the partitions that a worker has brought to a result.
        unreached: the keys of the others.
        settled: nothing is left for a worker to do.

    """

    report: BatchReport
    unreached: tuple[str, ...]
    settled: bool


def standing_of(deployment: Deployment, pipeline: Pipeline, plan_id: int, lane: int, asset: str) -> Standing:
    """Return how one lane of one asset of a stored plan stands, whoever worked it off.

    Raises:
        Unavailable: the ledger cannot be read.

    """
    names = register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        items = plans.items(connection, plan_id, asset_id=names.assets[asset], lane=lane)
    results = {item.partition: (Result(item.outcome), item.detail or "") for item in items if item.outcome is not None}
    unreached = tuple(item.partition for item in items if item.outcome is None)
    return Standing(BatchReport(asset, results), unreached, all(item.outcome in SETTLED for item in items))


def run_plan(
    deployment: Deployment,
    pipeline: Pipeline,
    prepared: Prepared,
    *,
    run: str,
    actor: str,
    progress: Progress = lambda what, done, total: None,
) -> list[BatchReport]:
    """Work off a whole plan in this process, asset by asset.

    Raises:
        Unavailable: the store or the ledger cannot be used; what was finished before is published.

    """
    plan, names = prepared.plan, prepared.names
    if not plan.items:
        return []
    with deployment.ledger.read() as connection:
        stored = plans.read(connection, prepared.plan_id)
    forced = frozenset((item.asset, item.key) for item in plan.items if item.forced)
    survey, sweep = survey_since(deployment, pipeline, names, stored, plan.selection._replace(force=forced))
    wanted: dict[str, dict[str, str]] = {}
    for item in plan.items:
        wanted.setdefault(item.asset, {})[item.key] = item.reason
    reports = []
    own: set[int] = set()
    for asset in pipeline.assets:
        if asset.name not in wanted:
            for _ in sweep.judge_all([asset]):
                pass
            continue
        worker = Worker(deployment, pipeline, names, survey, sweep, asset, plan=stored, run=run, actor=actor, own=own)
        reports.append(worker.work(wanted[asset.name], progress))
        sweep = worker.sweep
    settle(deployment, survey, names, prepared.plan_id, lambda each: each.seq in own)
    return reports


def run_trial(
    deployment: Deployment, pipeline: Pipeline, plan_id: int, number: int, model: str, *, run: str, actor: str
) -> tuple[Proposal, int]:
    """Run one trial of hyper-parameters for all partitions of a model that a stored plan will train.

    Args:
        deployment: where.
        pipeline: the model's pipeline.
        plan_id: the plan.
        number: of the trial, from 1.
        model: the model.
        run: name of the run.
        actor: who started it.

    Returns:
        Its hyper-parameters, and for how many partitions it ran. What fails is left to who trains, who says why.

    Raises:
        Unavailable: the store or the ledger cannot be used.

    """
    names, asset = register(deployment, pipeline), pipeline.asset(model)
    with deployment.ledger.read() as connection:
        stored = plans.read(connection, plan_id)
        items = plans.items(connection, plan_id, asset_id=names.assets[model])
        forced = plans.items(connection, plan_id, forced=True)
    survey, sweep = survey_since(deployment, pipeline, names, stored, selection_left(stored, forced))
    for _ in sweep.judge_all(above(pipeline, asset)):
        pass
    batch = Batch(deployment, pipeline, names, survey, asset, plan_id, run, actor, holder="")
    computation, ran = Computation(batch), 0
    assert asset.search is not None
    proposal = searching.proposals(asset.search)[number - 1]
    for item in items:
        judged = survey.judge(asset, asset.grain.ordinal(item.partition))
        if judged.state is not State.STALE or searching.tried(deployment, asset, judged)[number - 1].trial is not None:
            continue
        try:
            with decimal.localcontext():
                searching.run(batch, judged, partial(computation.arguments, judged), proposal)
            ran += 1
        except Unavailable:
            raise
        except Exception as problem:  # whatever the objective raises: who trains tries once more, and says why
            log.warning(
                "%s %s: trial %d failed: %s: %s", model, item.partition, number, type(problem).__name__, problem
            )
    return proposal, ran
