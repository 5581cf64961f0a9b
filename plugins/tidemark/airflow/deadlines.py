"""Deadlines that are counted from each run: Airflow's scheduler notices, and its triggerer tells the ledger.

What is counted from the schedule is the watch's to notice: Airflow counts from a run, and where the scheduler stands
still, the DAG is paused or its file is broken, there is no run to count from.
"""

import asyncio
from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from tidemark.airflow.navigation import base_url
from tidemark.assets import Pipeline
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition


def alert_of(pipeline: Pipeline) -> DeadlineAlert | None:
    """Return what tells that a run takes too long; None: the deadline is a time of day, or there is none."""
    due = pipeline.deadline
    if due is None or due.clock is not None:
        return None
    told = {"pipeline": pipeline.name, "owner": pipeline.owner or ""}
    return DeadlineAlert(
        # Of a run that deliveries have started there is no logical date.
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(due.days) + due.elapsed,
        callback=AsyncCallback(missed, told),
    )


async def missed(pipeline: str, owner: str, context: dict[str, Any]) -> None:
    """Open the incident of a run that is not over by its deadline; in the triggerer, which must not wait for it."""
    await asyncio.to_thread(tell_missed, pipeline, owner, context["dag_run"])


def tell_missed(pipeline: str, owner: str, run: dict[str, Any]) -> None:
    """Open the incident of a run that is not over by its deadline; if the pipeline has failed, that tells it already.

    Airflow keeps the deadlines of runs that fail in time: those are over, and were told of.

    Args:
        pipeline: whose run.
        owner: who owns the pipeline, or empty.
        run: as Airflow's API tells it.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    if run["end_date"]:
        return
    from tidemark.deployment import open_deployment
    from tidemark.incidents.reconciling import reconcile

    wrong = Condition(
        CauseClass.DEADLINE_MISSED,
        pipeline,
        "",
        f"{pipeline}: a run {CauseClass.DEADLINE_MISSED.said.title}",
        why=f"{run['dag_run_id']} waits or runs since {run['queued_at']}",
        instead="everything that was live before, and what the run has published so far",
        owner=owner,
        link=f"{base_url()}/dags/{pipeline}/runs/{run['dag_run_id']}",
    )
    with open_deployment() as deployment:
        reconcile(deployment, [wrong], within=lambda one: False, actor="airflow")
