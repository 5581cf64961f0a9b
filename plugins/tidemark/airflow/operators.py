"""The three tasks of a pipeline's DAG: plan, one batch an asset, verdict.

Invariants: the ledger decides what is computed; the colour of an upstream square never does. Airflow retries what a
moment can mend (the ledger, the store or the landing zone cannot be reached, or the worker died) and nothing else.
Tasks use no database of Airflow's.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, Context, ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import SkipDownstreamTasks

from tidemark.airflow.bundles import bundle_name
from tidemark.airflow.context import (
    PROBLEM,
    TOLD,
    actor_of,
    bundle_of,
    page_of,
    pipeline_of,
    retrying_only_outages,
    run_of,
    saying_why,
    telling,
)
from tidemark.airflow.form import read_form
from tidemark.airflow.outlets import tell
from tidemark.assets import Asset, Pipeline

if TYPE_CHECKING:
    from tidemark.deployment import Deployment
    from tidemark.plan import Plan
    from tidemark.running.results import BatchReport
    from tidemark.running.run import Prepared

PLAN, VERDICT = "plan", "verdict"
"""The task ids beside the assets' names."""


def steps_of(model: str) -> tuple[str, str, str]:
    """Return the ids of the tasks that follow a model's own: no asset can have such a name."""
    return f"{model}.validate", f"{model}.approve", f"{model}.promote"


def search_steps_of(model: str) -> tuple[str, str]:
    """Return the ids of the tasks that come before a model's own where it has hyper-parameters to be found."""
    return f"{model}.search", f"{model}.trial"


def retrain_step_of(model: str) -> str:
    """Return the id of the task that starts a training of a model."""
    return f"{model}.retrain"


def announce_step_of(report: str) -> str:
    """Return the id of the task that puts a report into the outbox."""
    return f"{report}.announce"


# Neighbours with one reason are one line of a plan's log.
_MOST_LINES = 200


class PlanOperator(BaseOperator):
    """Observes the sources, makes the plan, and skips every task that has nothing to do, without starting a worker.

    The verdict has nothing to do if nothing runs and nothing is wrong from before.

    Returns a list of lanes, each `[plan id, lane number]`, over which the assets' tasks are mapped.
    """

    ui_color = "#d9e8f5"

    def execute(self, context: Context) -> list[list[int]]:
        """Make and store the plan."""
        from tidemark.airflow.landing import open_connection
        from tidemark.deployment import open_deployment
        from tidemark.incidents.news import tell_information
        from tidemark.incidents.troubles import tell_verdict
        from tidemark.models.aliases import reconcile
        from tidemark.running.run import prepare
        from tidemark.verdict import verdict

        pipeline = pipeline_of(context)
        with (
            saying_why(context),
            retrying_only_outages(),
            open_deployment(connect=open_connection) as deployment,
        ):
            asked = read_form(context["params"], pipeline)
            prepared = prepare(
                deployment,
                pipeline,
                as_of=asked.as_of or deployment.settings.as_of or datetime.now(UTC),
                run=run_of(context),
                actor=actor_of(context),
                slots=min(conf.getint("core", "parallelism"), context["dag"].max_active_tasks),
                selection=asked.selection,
                confirmed=asked.confirmed,
            )
            # What an earlier run could not tell: its task failed, or had published too much for one call.
            carried = tell(context, deployment, pipeline, [each.name for each in pipeline.assets])
            well = False
            if not prepared.lanes:
                judged = verdict(deployment, pipeline, prepared.plan_id, names=prepared.names)
                well = judged.ok
                if well:
                    with telling(self.log):
                        tell_verdict(deployment, pipeline, judged, link=page_of(context), actor=run_of(context))
                        if prepared.plan.moves:  # what was repaired by the plan alone
                            tell_information(deployment, pipeline, run_of(context))
            models = [each for each in pipeline.assets if each.validation]
            settled = [each for each in models if not self._asks(deployment, pipeline, each, prepared.busy)]
            swapped = reconcile(deployment, pipeline)
        if carried:
            self.log.info("Told Airflow of %d partitions that were published before", carried)
        for warning in swapped:
            self.log.error(warning)
        self._say(prepared)
        idle = [each.name for each in pipeline.assets if each.name not in prepared.busy]
        idle += [step for each in settled for step in steps_of(each.name)]
        idle += [retrain_step_of(name) for name, asks in pipeline.retrains.items() if asks not in prepared.busy]
        idle += [announce_step_of(name) for name in pipeline.reports if name not in prepared.busy]
        searching = [each.name for each in pipeline.assets if each.search and each.name not in prepared.busy]
        idle += [step for name in searching for step in search_steps_of(name)]
        # A model in an image of its own has no tasks for its trials.
        idle = [each for each in idle if context["dag"].has_task(each)]
        self._skip([*idle, VERDICT] if well else idle)
        context["ti"].xcom_push(PLAN, prepared.plan_id)
        return [[prepared.plan_id, lane] for lane in range(prepared.lanes)]

    @staticmethod
    def _asks(deployment: "Deployment", pipeline: Pipeline, asset: Asset, busy: Collection[str]) -> bool:
        """Whether a candidate may have to be validated in this run."""
        from tidemark.models.aliases import registry_url
        from tidemark.models.validating import is_due

        registered = registry_url() is not None
        return asset.name in busy or is_due(deployment, pipeline, asset, registered=registered)

    def _say(self, prepared: "Prepared") -> None:
        for warning in prepared.plan.observed.warnings:
            self.log.warning(warning)
        for source, partition, why in prepared.plan.observed.rejected:
            self.log.warning("%s %s: rejected: %s", source, partition, why)
        lines = _plan_lines(prepared.plan)
        for line in lines[:_MOST_LINES]:
            self.log.info(line)
        if len(lines) > _MOST_LINES:
            self.log.info("... and %d lines more", len(lines) - _MOST_LINES)

    def _skip(self, tasks: list[str]) -> None:
        if tasks:
            # Airflow's own exception for this would lose the list that this task returns.
            task_runner.SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=cast("list[str | tuple[str, int]]", tasks)))


class BatchOperator(BaseOperator):
    """Works off one lane of one asset's part of the plan.

    Args:
        asset: the asset's name.
        lane: `[plan id, lane number]`.

    """

    ui_color = "#dff0d8"

    def __init__(self, *, asset: str, lane: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.asset = asset
        self.lane = lane

    def execute(self, context: Context) -> dict[str, int]:
        """Compute, gate and publish; fail at the end if a partition failed or was blocked."""
        from tidemark.deployment import open_deployment
        from tidemark.running.run import run_batch

        plan_id, lane = self.lane
        pipeline = pipeline_of(context)
        if (image := pipeline.asset(self.asset).image) is not None:
            self.log.info("The image %s is not used here: Airflow runs no task in a pod of its own", image)
        with retrying_only_outages(), open_deployment() as deployment:
            report = run_batch(
                deployment,
                pipeline,
                plan_id,
                lane,
                self.asset,
                run=run_of(context),
                actor=actor_of(context),
                bundle=bundle_name(*bundle) if (bundle := bundle_of(context)) is not None else None,
            )
            tell(context, deployment, pipeline, [self.asset], report.partitions)
        return conclude(context, self.log, report)

    def on_kill(self) -> None:
        """Stop at once when Airflow ends the task: what is finished gets published, and leases are given back."""
        # No SystemExit: that would be taken for one that the asset's function raised.
        raise KeyboardInterrupt("the task was ended from outside")


def conclude(context: Context, log: Any, report: "BatchReport", *, force: bool = False) -> dict[str, int]:
    """Name a task after its partitions, say what became of them, and end it as that is.

    Args:
        context: the task's.
        log: the task's.
        report: what became of its batch.
        force: there is more to be said of the batch than the report does: it is not to end as skipped.

    Raises:
        AirflowSkipException: the lane held nothing.
        AirflowFailException: a partition failed or was blocked.

    """
    from tidemark.running.results import Result

    context["partitions"] = _span(report.partitions)  # type: ignore[typeddict-unknown-key]
    for line in report.lines():
        log.warning(line)
    counts = report.counted()
    said = ", ".join(f"{number} {result}" for result, number in counts.items())
    log.info("%s: %s", report.asset, said or "nothing in this lane")
    if not counts and not force:
        raise AirflowSkipException("nothing in this lane")
    if counts.get(Result.FAILED) or counts.get(Result.BLOCKED):
        # Not as the verdict does: Airflow names a failed task after its partitions for an exception only.
        raise AirflowFailException(f"{report.asset}: {said}; everything else was published")
    return dict(counts)


class _Told(SystemExit):
    """Ends a task that is to be red and has said why; of any other exception Airflow logs the traceback."""


class VerdictOperator(BaseOperator):
    """Compares the plan with the ledger; fails the run if anything failed or is blocked; incidents follow from it."""

    ui_color = "#fcf8e3"

    def __init__(self, **options: Any) -> None:
        # Airflow would try again what ends by SystemExit.
        super().__init__(retry_policy=ExceptionRetryPolicy([RetryRule(_Told, RetryAction.FAIL)]), **options)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the verdict, as XCom too if the run failed."""
        from tidemark.deployment import open_deployment
        from tidemark.incidents.news import tell_information
        from tidemark.incidents.troubles import tell_no_plan, tell_verdict
        from tidemark.verdict import verdict

        pipeline = pipeline_of(context)
        link, run = page_of(context), run_of(context)
        plan_id = context["ti"].xcom_pull(task_ids=PLAN, key=PLAN)
        if plan_id is None:
            why = context["ti"].xcom_pull(task_ids=PLAN, key=PROBLEM)
            self.log.error("there is no plan: %s; nothing was changed", why or f"the log of {PLAN!r} says why")
            with retrying_only_outages(), open_deployment() as deployment, telling(self.log):
                tell_no_plan(deployment, pipeline, why or "", link=link, actor=run)
                context["ti"].xcom_push(TOLD, True)
            raise _Told(1)
        with retrying_only_outages(), open_deployment() as deployment:
            judged = verdict(deployment, pipeline, plan_id, run=run)
            for line in judged.table().splitlines():
                self.log.info(line)
            if not judged.ok:
                context["ti"].xcom_push("return_value", judged.to_json())
            with telling(self.log):
                tell_verdict(deployment, pipeline, judged, link=link, actor=run)
                context["ti"].xcom_push(TOLD, True)
                tell_information(deployment, pipeline, run)
        if judged.ok:
            return judged.to_json()
        self.log.error("%s: %s; the table above says what and why", pipeline.name, judged.counted)
        raise _Told(1)


def _plan_lines(plan: "Plan") -> list[str]:
    """Return what runs and why; all partitions of an asset with one reason are one line."""
    from tidemark.outlook import groups_of

    if not plan.items:
        return [f"nothing to do as of {plan.as_of.isoformat()}"]
    return [f"{each.asset} {_span(each.keys)}: {each.certainty} run: {each.reason}" for each in groups_of(plan.items)]


def _span(keys: Sequence[str]) -> str:
    """Return partitions in a few words: the first, the last, and how many."""
    if len(keys) < 2:
        return keys[0] if keys else "nothing"
    return f"{keys[0]} … {keys[-1]} ({len(keys)})"
