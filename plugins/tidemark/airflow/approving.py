"""From a trained candidate to a champion, in the DAG of its pipeline: validate, let a person decide, promote.

The ledger decides what may be promoted and by whom; Airflow asks, waits without a worker, and shows. Who has answered
is checked again with every answer: one of SimpleAuthManager's modes lets anybody answer anything.
"""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator, Context, Param, TriggerRule
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from tidemark.airflow.context import actor_of, page_of, pipeline_of, retrying_only_outages, run_of
from tidemark.airflow.executing import options_of
from tidemark.airflow.form import read_form
from tidemark.airflow.operators import steps_of
from tidemark.assets import Asset, Pipeline

if TYPE_CHECKING:
    from tidemark.config import Settings

_FROM = "from"


def add_steps(model: Asset) -> BaseOperator:
    """Add the tasks that follow a model's own to the DAG that is being made; returns the first of them."""
    validate_id, approve_id, promote_id = steps_of(model.name)
    assert model.validation is not None
    validate = ValidateOperator(
        task_id=validate_id,
        model=model.name,
        trigger_rule=TriggerRule.ALL_DONE,
        retries=12,  # over an hour: a registry that is down on a Monday morning must not cost the week
        doc_md="Holds the candidate against the champion, and registers it with MLflow if it passes.",
        **options_of(model),
    )
    told = "ti.xcom_pull(task_ids='" + validate_id + "')"
    approve = ApproveOperator(
        task_id=approve_id,
        model=model.name,
        subject="{{ " + told + "['subject'] }}",
        body="{{ " + told + "['page'] }}",
        response_timeout=model.validation.decide_within,
        doc_md="Waits for an approver: see 'Required Actions'. Either answer needs a reason.",
    )
    promote = PromoteOperator(
        task_id=promote_id,
        model=model.name,
        doc_md="Checks again whether the candidate may be promoted, and by whom, and makes it the champion.",
    )
    validate >> approve >> promote
    return validate


class ValidateOperator(BaseOperator):
    """Validates the candidate of a model, gates its predictions, and registers it if it passes: one process for all.

    Skipped if no candidate awaits a decision, or if it was asked for before; a run that computes the model by force
    asks again, and so does who tries again: the try before may have died when all was written down but the question.
    """

    ui_color = "#e6dff5"

    def __init__(self, *, model: str, **options: Any) -> None:
        super().__init__(**options)
        self.model = model

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what the approver is shown."""
        from tidemark.deployment import open_deployment
        from tidemark.models.aliases import registry_url
        from tidemark.models.presenting import present
        from tidemark.models.validating import is_due

        pipeline = pipeline_of(context)
        asset = pipeline.asset(self.model)
        forced = any(name == self.model for name, _ in read_form(context["params"], pipeline).selection.force)
        again = context["ti"].try_number > 1
        with retrying_only_outages(), open_deployment() as deployment:
            if not (forced or again) and not is_due(deployment, pipeline, asset, registered=registry_url() is not None):
                raise AirflowSkipException("no candidate awaits a decision that nobody was asked for yet")
            run, actor = run_of(context), actor_of(context)
            page = page_of(context)
            made = present(deployment, pipeline, self.model, again=again, run=run, actor=actor, link=page)
        if made is None:
            raise AirflowSkipException("no candidate awaits a decision")
        for line in made.page.splitlines():
            self.log.info(line)
        if not made.passed:
            said = "; ".join(made.challenge.report["problems"])
            raise AirflowFailException(f"{self.model} {made.version[:12]} did not pass: {said}; the champion stays")
        trained = made.challenge.candidate.partition
        subject = f"{self.model} {made.version[:12]}, trained for {trained}: make it the champion?"
        shown = {"version": made.version, "validation": made.challenge.validation}
        return {**shown, "subject": subject, "page": made.page}


class ApproveOperator(ApprovalOperator):
    """Waits for one of the approvers; an answer that does not count asks anew.

    Airflow 3.3 fails a task that is answered while it goes to wait ("state mismatch"): it asks anew after that, too.
    """

    ui_color = "#fcf0d8"

    def __init__(self, *, model: str, **options: Any) -> None:
        form = {
            "why": Param("", type="string", title="Why", description="Kept in the audit log. The buttons wait for it."),
            _FROM: Param(
                None,
                type=["null", "string"],
                format="date",
                title="In force from",
                description="The first day to be made with it. Left empty: the first after all days that are live.",
            ),
        }
        options = {"retries": 20, "retry_delay": timedelta(seconds=2), "retry_exponential_backoff": 0.0, **options}
        super().__init__(**{**options, "params": form})  # those of the DAG are no fields of this form
        self.model = model

    def execute(self, context: Context) -> None:
        """Ask those whom the settings of the worker name."""
        from tidemark.config import settings

        given = settings()
        if not given.approvers:
            raise AirflowFailException("nobody may decide: name the user ids of those who may in TIDEMARK_APPROVERS")
        # A question that is asked again has no longer than the first.
        begun = context["dag_run"].start_date
        if self.response_timeout is not None and begun is not None:
            left = self.response_timeout - (datetime.now(UTC) - begun)
            self.response_timeout = max(left, timedelta(minutes=1))
        self.assigned_users = [{"id": number, "name": name} for name, number in given.approvers.items()]
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take an approver's answer; a rejection is written down here, as nothing else will run."""
        from tidemark import models
        from tidemark.approvers import check_approver
        from tidemark.config import settings
        from tidemark.deployment import open_deployment
        from tidemark.errors import TidemarkError, UsageError

        if "error" in event:
            raise AirflowFailException(
                f"nobody has decided within {self.response_timeout}: the champion stays. 'tidemark model promote "
                f"{self.model}' is still possible; so is asking again, by clearing this task"
            )
        why, (choice,) = (event["params_input"] or {}).get("why", "").strip(), event["chosen_options"]
        given = settings()
        actor = answered_by(event, given)
        try:
            check_approver(given, actor)
            if not why:
                raise UsageError("it says no why")
        except TidemarkError as problem:
            raise AirflowException(f"this answer of {actor} does not count: {problem}. It is asked again") from problem
        if choice == self.REJECT:
            version = context["ti"].xcom_pull(task_ids=steps_of(self.model)[0])["version"]
            with retrying_only_outages(), open_deployment() as deployment:
                models.reject(deployment, self.model, version, why=why, actor=actor)
        return super().execute_complete(context, event)


class PromoteOperator(BaseOperator):
    """Makes the approved candidate the champion, if it still may be; then lets the registry follow."""

    ui_color = "#d8f0e0"

    def __init__(self, *, model: str, **options: Any) -> None:
        super().__init__(**options)
        self.model = model

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the version that is champion now, the one before, and from when on."""
        from tidemark import models
        from tidemark.deployment import open_deployment

        validate_id, approve_id, _ = steps_of(self.model)
        answer = context["ti"].xcom_pull(task_ids=approve_id)
        if not answer:  # somebody has marked the task as done by hand
            raise AirflowFailException(
                f"nobody has answered: clear {approve_id} to ask again, or use 'tidemark model promote {self.model}'"
            )
        shown = context["ti"].xcom_pull(task_ids=validate_id)
        version, given, pipeline = shown["version"], answer["params_input"] or {}, pipeline_of(context)
        with retrying_only_outages(), open_deployment() as deployment:
            actor, why = answered_by(answer, deployment.settings), given["why"].strip()
            newest = max(models.reigns(deployment, self.model), key=lambda each: each.decision.id, default=None)
            if (
                context["ti"].try_number > 1
                and newest is not None
                and (newest.version.hex(), newest.decision.actor, newest.decision.why) == (version, actor, why)
            ):
                self.log.info("%s was promoted by an earlier try, which did not get to say so", version)
                return {"version": version, "begins": newest.begins.isoformat()}
            done = models.promote(
                deployment,
                pipeline,
                self.model,
                version,
                first=date.fromisoformat(given[_FROM]) if given.get(_FROM) else None,
                why=why,
                actor=actor,
                validation=shown["validation"],
            )
        self.log.info("%s is champion from %s on; next run of its readers: %s", version, done.begins, done.readers)
        self._tell(pipeline)
        return {
            "version": version,
            "before": done.before.hex() if done.before else None,
            "begins": done.begins.isoformat(),
            "readers": list(done.readers),
        }

    def _tell(self, pipeline: Pipeline) -> None:
        """Let the registry follow; whatever it says, the promotion stands."""
        from tidemark.deployment import open_deployment
        from tidemark.errors import TidemarkError
        from tidemark.models.aliases import reconcile

        try:
            with open_deployment() as deployment:
                for warning in reconcile(deployment, pipeline):
                    self.log.warning(warning)
        except TidemarkError as problem:
            self.log.warning("the registry was not told: %s; the next plan tells it", problem)


def answered_by(answer: dict[str, Any], given: "Settings") -> str:
    """Return who has answered, by the name with which he signs in; his number is the one that the settings give him."""
    who = answer["responded_by_user"]
    if not who:
        raise AirflowFailException("nobody knows who has answered: answer in the UI, or signed in to the API")
    name, number = (who["name"], who["id"]) if isinstance(who, dict) else (who.name, who.id)
    expected = given.approvers.get(str(name))
    if expected is not None and expected != str(number):
        return f"{name} (number {number})"  # somebody else of that name
    return str(name)
