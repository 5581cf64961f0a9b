"""Turns a pipeline into its Airflow DAG: `plan`, then one mapped task an asset, then `verdict`.

Invariants: building a DAG opens nothing but the files beside its own and imports nothing heavy, for the DAG processor
does it every half minute. The same definitions give the same DAG, so that Airflow makes no new version of it.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, TriggerRule
from croniter import croniter  # type: ignore[import-untyped]

from tidemark.airflow.approving import add_steps
from tidemark.airflow.deadlines import alert_of
from tidemark.airflow.doorbell import Doorbell
from tidemark.airflow.executing import executor_option, on_kubernetes, options_of, pool_of
from tidemark.airflow.form import form_of
from tidemark.airflow.operators import (
    PLAN,
    VERDICT,
    BatchOperator,
    PlanOperator,
    VerdictOperator,
    announce_step_of,
    retrain_step_of,
)
from tidemark.airflow.outlets import airflow_asset, mark_told
from tidemark.airflow.reporting import AnnounceOperator
from tidemark.airflow.retraining import RetrainOperator
from tidemark.airflow.roles import Kind, let
from tidemark.airflow.searching import add_search
from tidemark.assets import Asset as Definition
from tidemark.assets import Pipeline
from tidemark.catalog import check_alone
from tidemark.errors import DefinitionError

NOBODY = "nobody"

_MOST_WAITING = 16


class PipelineDag(DAG):
    """A DAG that knows the pipeline it was made from."""

    pipeline: Pipeline


def build_dag(pipeline: Pipeline) -> PipelineDag:
    """Return the DAG of a pipeline.

    Raises:
        DefinitionError: an asset bears the name of one of the DAG's own tasks, the schedule is no cron expression, or
            another file defines a pipeline of the same name, of which Airflow would take either.

    """
    check_alone(pipeline)
    taken = {PLAN, VERDICT} & {each.name for each in pipeline.assets}
    if taken:
        raise DefinitionError(
            f"{pipeline.name}: the asset {min(taken)!r} bears the name of a task that every DAG has: rename it"
        )
    dag = PipelineDag(
        pipeline.name,
        description=_first_line(pipeline.doc),
        doc_md=pipeline.doc or None,
        schedule=_schedule(pipeline),
        catchup=False,
        # A run that waits for an approver must not keep the next week's candidate from superseding its own.
        max_active_runs=_MOST_WAITING if any(each.validation for each in pipeline.assets) else 1,
        tags=["tidemark", *pipeline.tags],
        params=form_of(pipeline),
        deadline=alert_of(pipeline),
        default_args={
            "owner": pipeline.owner or NOBODY,
            "retries": 4,
            "retry_delay": 10.0,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": 600.0,
        },
    )
    dag.pipeline = pipeline
    let(dag, Kind.MODEL if any(each.validation for each in pipeline.assets) else Kind.PIPELINE)
    if pipeline.file is not None:
        dag.fileloc = str(pipeline.file)
    with dag:
        _add_tasks(pipeline)
    return dag


def _add_tasks(pipeline: Pipeline) -> None:
    plan = PlanOperator(
        task_id=PLAN,
        on_success_callback=mark_told,
        doc_md="Looks what was delivered and what changed, and decides what must run. Its log says what and why.",
    )
    verdict = VerdictOperator(
        task_id=VERDICT,
        trigger_rule=TriggerRule.ALL_DONE,
        doc_md="Compares the plan with the ledger. Its log says what failed, why, and what is served instead.",
    )
    tasks: dict[str, Any] = {}
    for each in pipeline.assets:
        tasks[each.name] = _batches(
            each,
            task_id=each.name,
            # The ledger, not the colour of an upstream square, says what may be computed.
            trigger_rule=TriggerRule.ALL_DONE,
            map_index_template="{{ partitions }}",
            on_success_callback=mark_told,
            doc_md=_asset_page(each),
            owner=each.owner or NOBODY,
            inlets=[airflow_asset(name) for name in dict.fromkeys(read.upstream for read in each.inputs)],
            outlets=[airflow_asset(each.name)],
        ).expand(lane=plan.output)
        plan >> tasks[each.name] >> verdict
        if each.validation is not None:
            tasks[each.name] >> add_steps(each)
    for model, asking in pipeline.retrains.items():
        tasks[asking] >> RetrainOperator(
            task_id=retrain_step_of(model),
            model=model,
            asset=asking,
            trigger_rule=TriggerRule.ALL_DONE,
            doc_md=f"Starts a training of `{model}` if `{asking}` asks for one: once for each episode of drift.",
        )
    for report in pipeline.reports:
        tasks[report] >> AnnounceOperator(
            task_id=announce_step_of(report),
            asset=report,
            trigger_rule=TriggerRule.ALL_DONE,
            doc_md=f"Puts what is new of `{report}` into the outbox, from where it is mailed; each once.",
        )
    for each in pipeline.assets:
        # A model in an image of its own runs its trials there too, itself: elsewhere their packages may be missing.
        searches = each.search is not None and not _in_pods(each)
        first = add_search(each, plan, tasks[each.name]) if searches else tasks[each.name]
        for read in each.inputs:
            if read.upstream in tasks and read.upstream != each.name:
                tasks[read.upstream] >> first


def _batches(asset: Definition, **options: Any) -> Any:
    """Return the operator of an asset's batches, still to be mapped: in a pod of its own image, or in the worker."""
    if not _in_pods(asset):
        return BatchOperator.partial(asset=asset.name, **options, **options_of(asset))
    from tidemark.airflow.pods import PodBatchOperator  # brings the client of Kubernetes

    return PodBatchOperator.partial(asset=asset.name, **options, **pool_of(asset), **executor_option())


def _in_pods(asset: Definition) -> bool:
    return asset.image is not None and on_kubernetes()


def _schedule(pipeline: Pipeline) -> Any:
    """Return when the DAG runs: by schedule as a safety net, and when the doorbell rings."""
    clock = None
    if pipeline.schedule is not None:
        if not croniter.is_valid(pipeline.schedule):
            raise DefinitionError(
                f"{pipeline.name}: schedule={pipeline.schedule!r} is no cron expression: write five fields, such as "
                "'0 6 * * *'"
            )
        # A new pipeline does not begin with a tick of hours ago: the doorbell rings for what is there. With False, the
        # default, Airflow 3.3 runs a tick for a tenth of the interval after it. Of a first tick that passes while the
        # file is read anew, or while a run is active, it asks once more for a few minutes, or that tick would be lost.
        clock = CronTriggerTimetable(
            pipeline.schedule, timezone=pipeline.timezone, run_immediately=timedelta(minutes=5)
        )
    if not pipeline.on_arrival:
        return clock
    arrival = [_doorbell(pipeline)]
    return AssetOrTimeSchedule(timetable=clock, assets=arrival) if clock else arrival


def _doorbell(pipeline: Pipeline) -> Asset:
    """Return the asset whose events say that there is news: one for all sources and the clock, which ring once."""
    folders = sorted({each.folder for each in pipeline.sources})
    watcher = AssetWatcher(name=f"{pipeline.name}_doorbell", trigger=Doorbell(pipeline.name, folders))
    return Asset(f"{pipeline.name}.deliveries", watchers=[watcher])


def _first_line(doc: str) -> str | None:
    """Return a page's first line of prose: what the list of DAGs shows."""
    lines = (line.strip().lstrip("#").strip() for line in doc.splitlines())
    return next((line for line in lines if line), None)


def _asset_page(asset: Definition) -> str:
    """Return an asset's page in the UI."""
    facts = [f"- one partition a {asset.grain.name}" if asset.grain.is_time else f"- partitions: {asset.grain.name}"]
    facts += [f"- reads `{read.upstream}` by {read.mapping}" for read in asset.inputs]
    if asset.gate:
        facts.append(f"- must pass the gate `{asset.gate}`")
    if asset.key:
        facts.append(f"- one row for each {', '.join(f'`{column}`' for column in asset.key)}")
    if asset.resources:
        facts.append(f"- asks for {asset.resources.cpu} processors and {asset.resources.memory} of memory")
    if asset.image:
        facts.append(f"- runs in the image `{asset.image}` where Airflow runs on Kubernetes")
    return "\n".join([asset.doc, "", *facts]).strip()
