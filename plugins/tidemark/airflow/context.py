"""What a task knows of its run: the pipeline, the names and the page of the run, who started it, and how it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tidemark.airflow.form import asked_pipeline
from tidemark.airflow.navigation import base_url
from tidemark.assets import Pipeline
from tidemark.errors import Unavailable, UsageError

PROBLEM = "problem"
"""Under this name a task leaves word of what it failed for."""

TOLD = "told"
"""Under this name a verdict leaves word that incidents say what its run came to; without it, the watch tells that."""

_STARTED_BY = {"scheduled": "schedule", "asset_triggered": "arrival", "asset_materialization": "arrival"}


def pipeline_of(context: Context) -> Pipeline:
    """Return the pipeline whose DAG a task belongs to, as the run's form wants it.

    Raises:
        AirflowFailException: the form cannot be understood.

    """
    try:
        return asked_pipeline(context["params"], cast("Pipeline", context["dag"].pipeline))  # type: ignore[attr-defined]
    except UsageError as problem:
        raise AirflowFailException(str(problem)) from problem


@contextmanager
def retrying_only_outages() -> Iterator[None]:
    """Let Airflow retry an outage; whatever else is wrong, another try would not mend."""
    try:
        yield
    except (Unavailable, AirflowException):
        raise
    except Exception as problem:
        raise AirflowFailException(f"{type(problem).__name__}: {problem}") from problem


@contextmanager
def saying_why(context: Context) -> Iterator[None]:
    """Leave word of what a task ended with: who comes after it in the DAG is not told of its exception."""
    try:
        yield
    except Exception as problem:
        context["ti"].xcom_push(PROBLEM, str(problem))
        raise


@contextmanager
def telling(log: Any) -> Iterator[None]:
    """Let nothing that goes wrong with incidents change what a run came to; an outage of the ledger is tried again."""
    try:
        yield
    except Unavailable:
        raise
    except Exception:  # a mistake of ours; it is not hidden: without a word of TOLD the watch tells of the run
        log.exception("On-call could not be told of this run: what it came to stands, and is in this log")


def page_of(context: Context) -> str:
    """Return the address of a run's page in the UI."""
    return f"{base_url()}/dags/{context['dag'].dag_id}/runs/{context['run_id']}"


def run_of(context: Context) -> str:
    """Return the name of a run, for the record."""
    return run_name(context["dag"].dag_id, context["run_id"])


def run_name(dag: str, run: str) -> str:
    """Return the name of a run of a DAG, for the record."""
    return f"airflow {dag} {run}"


def bundle_of(context: Context) -> tuple[str, str | None] | None:
    """Return the DAG bundle that a run's files are of, and its version where it has one; None: nothing is known."""
    bundle = getattr(context["ti"], "bundle_instance", None)
    return None if bundle is None else (bundle.name, bundle.version)


def actor_of(context: Context) -> str:
    """Return who started the run: a person, or what else it was."""
    run = context["dag_run"]
    return run.triggering_user_name or _STARTED_BY.get(run.run_type, str(run.run_type))
