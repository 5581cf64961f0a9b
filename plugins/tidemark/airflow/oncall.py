"""DAGs that are forms for who is on call: taking an incident on, silencing, calling one over.

Who may is Airflow's to say: whoever may start these DAGs. Who starts the run is the actor.
"""

from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, Context, Param

from tidemark.airflow.operations import signed_in, told_in_the_log, why_field
from tidemark.airflow.roles import Kind, let
from tidemark.incidents.classes import CauseClass

if TYPE_CHECKING:
    from tidemark.deployment import Deployment

TAGS = ["tidemark", "on-call"]


def incident_dags(doc: str) -> tuple[DAG, DAG, DAG]:
    """Return the three forms; ``doc`` is the page of each."""
    acknowledging = _form("acknowledge_incident", doc, {"incident": _incident(), "why": why_field()})
    with acknowledging:
        AcknowledgeOperator(task_id="acknowledge")
    silencing = _form("silence_incidents", doc, _silence_fields())
    with silencing:
        SilenceOperator(task_id="silence")
    resolving = _form("resolve_incident", doc, {"incident": _incident(), "why": why_field()})
    with resolving:
        ResolveOperator(task_id="resolve")
    return acknowledging, silencing, resolving


def _form(name: str, doc: str, params: dict[str, Param]) -> DAG:
    dag = DAG(name, doc_md=doc or None, schedule=None, catchup=False, tags=TAGS, params=params)
    let(dag, Kind.INCIDENTS)
    return dag


def _incident() -> Param:
    return Param(type="integer", minimum=1, title="Incident", description="Its number, as the alert says it.")


_ANY = "any"


def _silence_fields() -> dict[str, Param]:
    def optional(title: str, description: str, **options: Any) -> Param:
        return Param(None, type=["null", "string"], title=title, description=description, **options)

    return {
        "incident": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Incident",
            description="Its number, as the alert says it; or leave this empty, and say below what is to be quiet.",
        ),
        "pipeline": optional("Pipeline", "What is of this pipeline, such as `price_list`."),
        "asset": optional("Asset", "What is of this asset or source, such as `fx_rates`."),
        # Airflow shows a choice that is null as "null".
        "cause": Param(
            _ANY,
            type="string",
            enum=[_ANY, *(each.value for each in CauseClass)],
            title="Cause",
            description="What is of this cause class.",
        ),
        "for": optional("For how long", "Such as `4 hours` or `3 days`; at most 90 days."),
        "until": optional("Or until when", "Such as `2026-12-24T08:00 Europe/London`."),
        "why": why_field(),
    }


class _OnCallOperator(BaseOperator):
    """Does something with incidents as who started the run; the log then says what is open."""

    ui_color = "#f5e0d8"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what was done, and the open incidents."""
        from tidemark.deployment import open_deployment
        from tidemark.incidents.accounts import overview, sentences

        actor, given = signed_in(context), context["params"]
        with told_in_the_log(), open_deployment() as deployment:
            done = self.act(deployment, given, actor)
            still = sentences(overview(deployment))
        self.log.info("%s", done["said"])
        self.log.info("Open incidents: %d", len(still))
        for line in still:
            self.log.info("%s", line)
        return {**done, "open": still}

    @abstractmethod
    def act(self, deployment: "Deployment", given: Any, actor: str) -> dict[str, Any]:
        """Do what the form says, and say it."""


class AcknowledgeOperator(_OnCallOperator):
    """Takes an incident on."""

    def act(self, deployment: "Deployment", given: Any, actor: str) -> dict[str, Any]:
        """Return the incident's number."""
        from tidemark.incidents.handling import acknowledge

        one = acknowledge(deployment, given["incident"], why=given["why"], actor=actor)
        return {"incident": one.id, "said": f"incident {one.id} is {actor}'s: {one.summary}"}


class ResolveOperator(_OnCallOperator):
    """Calls an incident over."""

    def act(self, deployment: "Deployment", given: Any, actor: str) -> dict[str, Any]:
        """Return the incident's number."""
        from tidemark.incidents.handling import resolve

        one = resolve(deployment, given["incident"], why=given["why"], actor=actor)
        said = f"incident {one.id} is over: {one.summary}; if it still is so, the next look opens a new one"
        return {"incident": one.id, "said": said}


class SilenceOperator(_OnCallOperator):
    """Keeps incidents quiet for a while."""

    def act(self, deployment: "Deployment", given: Any, actor: str) -> dict[str, Any]:
        """Return the silence's number, and which open incidents it keeps quiet."""
        from tidemark.incidents.handling import Scope, asked_scope, expiry, shown, silence

        until = expiry(given["for"], given["until"], datetime.now(UTC))
        named = Scope(given["pipeline"] or "", given["asset"] or "", "" if given["cause"] == _ANY else given["cause"])
        scope = asked_scope(deployment, given["incident"], named)
        made, quiet = silence(deployment, scope, until=until, why=given["why"], actor=actor)
        said = (
            f"silence {made.id}: {scope.said}, until {shown(made.ends_at)}; "
            f"'tidemark incident lift {made.id} --why ...' ends it earlier"
        )
        return {"silence": made.id, "quiet": [one.id for one in quiet], "said": said}
