"""Searching for a model's hyper-parameters, in the DAG of its pipeline: one task proposes, mapped ones try."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator, Context, TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from tidemark.airflow.context import actor_of, pipeline_of, retrying_only_outages, run_of
from tidemark.airflow.executing import options_of
from tidemark.airflow.operators import PLAN, search_steps_of
from tidemark.assets import Asset


def add_search(model: Asset, plan: BaseOperator, trained: Any) -> BaseOperator:
    """Add the tasks that find a model's hyper-parameters, which come before its own; returns the first of them."""
    search_id, trial_id = search_steps_of(model.name)
    search = SearchOperator(
        task_id=search_id,
        model=model.name,
        trigger_rule=TriggerRule.ALL_DONE,
        doc_md="Proposes hyper-parameters. How many, and where they are looked for, are fields of the form.",
        **options_of(model),
    )
    trial = TrialOperator.partial(
        task_id=trial_id,
        model=model.name,
        map_index_template="{{ hyperparameters }}",
        doc_md="One trial of hyper-parameters. What it came to is kept: no trial is run twice.",
        **options_of(model),
    ).expand(trial=search.output)
    plan >> search >> trial >> trained
    return search


class SearchOperator(BaseOperator):
    """Proposes the hyper-parameters of a model that is to be trained.

    Returns a list of trials, each `[plan id, number]`, over which the task of the trials is mapped.
    """

    ui_color = "#e6dff5"

    def __init__(self, *, model: str, **options: Any) -> None:
        super().__init__(**options)
        self.model = model

    def execute(self, context: Context) -> list[list[int]]:
        """Return the trials."""
        from tidemark.running.searching import proposals

        search = pipeline_of(context).asset(self.model).search
        assert search is not None
        plan_id = context["ti"].xcom_pull(task_ids=PLAN, key=PLAN)
        if plan_id is None:
            raise AirflowSkipException("there is no plan: the log of the task 'plan' says why")
        proposed = proposals(search)
        for number, each in enumerate(proposed, 1):
            self.log.info("trial %d: %s", number, each)
        return [[plan_id, number] for number in range(1, len(proposed) + 1)]


class TrialOperator(BaseOperator):
    """Runs one trial, beside the others; the model's own task takes the best, and runs what is missing.

    Args:
        model: the model's name.
        trial: `[plan id, number]`.

    """

    ui_color = "#e6dff5"

    def __init__(self, *, model: str, trial: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.model = model
        self.trial = trial

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the hyper-parameters, and for how many partitions they were tried."""
        from tidemark.deployment import open_deployment
        from tidemark.running.run import run_trial

        plan_id, number = self.trial
        pipeline = pipeline_of(context)
        with retrying_only_outages(), open_deployment() as deployment:
            proposal, ran = run_trial(
                deployment, pipeline, plan_id, number, self.model, run=run_of(context), actor=actor_of(context)
            )
        shown = _shown(proposal)
        context["hyperparameters"] = shown  # type: ignore[typeddict-unknown-key]
        self.log.info("%s: tried for %d partitions", shown, ran)
        return {**proposal, "partitions": ran}


def _shown(proposal: Mapping[str, Any]) -> str:
    """Return hyper-parameters in a few words."""
    short = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in proposal.items()}
    return ", ".join(f"{name}={value}" for name, value in short.items())
