"""DAGs that are forms: what a person does to the state, filled in and started in the Airflow UI.

Who starts the run is the actor, as Airflow has signed him in; no field of a form says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tidemark.airflow.roles import Kind, let
from tidemark.errors import TidemarkError, Unavailable

PREVIOUS = "previous"

# Whom Airflow's auth managers take for somebody where nobody has to sign in.
_NOBODY = "Anonymous"


def why_field() -> Param:
    """Return the field in which a person says why; a form without it starts no run."""
    return Param(type="string", minLength=1, title="Why", description="For those who look later.")


def signed_in(context: Context) -> str:
    """Return who has started a run.

    Raises:
        AirflowFailException: nobody knows.

    """
    actor = context["dag_run"].triggering_user_name
    if not actor or actor == _NOBODY:
        raise AirflowFailException("nobody knows who asks: start this form in the UI, or sign in to the API")
    return actor


@contextmanager
def told_in_the_log() -> Iterator[None]:
    """Let a form's run fail by what is wrong with what it was asked, in one sentence; an outage is tried again."""
    try:
        yield
    except Unavailable as problem:
        raise AirflowException(str(problem)) from problem
    except TidemarkError as problem:
        raise AirflowFailException(str(problem)) from problem


def rollback_dag(name: str, doc: str) -> DAG:
    """Return the form by which an approver takes promotions of a model back."""
    params = {
        "model": Param(type="string", minLength=1, title="Model", description="Such as `demand_model`."),
        "version": Param(
            PREVIOUS,
            type="string",
            minLength=1,
            title="Version",
            description="Which one is to be champion again: its first characters, as `tidemark model list` shows it, "
            "or `previous`. All promotions after it are taken back.",
        ),
        "why": why_field(),
    }
    dag = DAG(name, doc_md=doc or None, schedule=None, catchup=False, tags=["tidemark"], params=params)
    with dag:
        RollbackOperator(task_id="rollback")
    let(dag, Kind.ROLLBACK)
    return dag


class RollbackOperator(BaseOperator):
    """Takes promotions of a model back, if who started the run may; the log says what follows."""

    ui_color = "#f5e0d8"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the version that is champion again, the ones that are not any more, and from when on."""
        from tidemark import models
        from tidemark.deployment import open_deployment

        actor, given = signed_in(context), context["params"]
        to = None if given["version"] == PREVIOUS else given["version"]
        with told_in_the_log(), open_deployment() as deployment:
            done = models.rollback(deployment, given["model"], to, why=given["why"], actor=actor)
        version = done.version.hex() if done.version else None
        self.log.info("%s is champion from %s on; next run of its readers: %s", version, done.begins, done.readers)
        return {
            "version": version,
            "voided": [each.hex() for each in done.voided],
            "begins": done.begins.isoformat(),
            "readers": list(done.readers),
        }
