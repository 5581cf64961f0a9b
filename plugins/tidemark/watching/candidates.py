"""Models: candidates that wait for an approver, and champions whose data drift away."""

from datetime import UTC, datetime, timedelta

from tidemark.deployment import Deployment
from tidemark.explain import short
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.ledger import registry
from tidemark.ledger.heads import PROD
from tidemark.models.known import CANDIDATE, Model
from tidemark.models.retraining import Request, requested
from tidemark.watching.checks import Found, of_cause


def waiting_candidates(deployment: Deployment, patience: timedelta, now: datetime | None = None) -> Found:
    """Find every model whose newest candidate has passed its validation and has waited too long for a decision.

    Args:
        deployment: where.
        patience: how long a candidate may wait.
        now: the instant that is taken for now, by default the clock's.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    conditions = []
    with deployment.ledger.read() as connection:
        for name in _models(deployment, registry.assets(connection)):
            model = Model(connection, deployment, name)
            candidate, validated = model.candidate, model.validated
            if candidate is None or validated is None or model.state(candidate) != CANDIDATE:
                continue
            if (now or datetime.now(UTC)) - validated.at < patience:
                continue
            version = f"{name} {short(candidate.data_version)}"
            conditions.append(
                Condition(
                    CauseClass.APPROVAL_WAITING,
                    model.registered.pipeline,
                    name,
                    f"{version}, trained for {candidate.partition}, waits for an approver "
                    f"since {validated.at:%Y-%m-%d %H:%M} UTC",
                    partitions=(candidate.partition,),
                    instead=_champion(model),
                    do=f"an approver answers in the Airflow UI under Required Actions, or by: tidemark model "
                    f"promote|reject {name} --why REASON",
                    owner=model.registered.definition.get("owner") or "",
                    happened=0,
                )
            )
    return Found(tuple(conditions), of_cause(CauseClass.APPROVAL_WAITING))


def _models(deployment: Deployment, known: "dict[str, registry.Registered]") -> list[str]:
    """Return the models of which a decision can be waited for: decisions are those of ``prod``."""
    if deployment.environment != PROD:
        return []
    return [each.name for each in known.values() if each.definition.get("model") and not each.is_given_up]


def _champion(model: Model) -> str:
    champion = model.champion
    if champion is None:
        return "no model: there is no champion yet"
    return f"the champion {short(champion.data_version)}, trained for {champion.partition}"


def drifting_models(deployment: Deployment) -> Found:
    """Find every model whose champion's data drift away, as the assets say that ask for its training.

    Raises:
        Unavailable: the ledger or the store cannot be used.
        UsageError: what asks has no such columns, or asks for what the ledger knows no model of.

    """
    with deployment.ledger.read() as connection:
        known = registry.assets(connection)
    asking = [
        (model, each)
        for each in known.values()
        if not each.is_given_up
        for model in each.definition.get("retrains", ())
    ]
    found = [(model, each, requested(deployment, model, each.name)) for model, each in asking if model in known]
    conditions = tuple(_drifting(known[model], each, request) for model, each, request in found if request is not None)
    return Found(conditions, of_cause(CauseClass.DRIFT))


def _drifting(model: registry.Registered, asking: registry.Registered, request: Request) -> Condition:
    return Condition(
        CauseClass.DRIFT,
        model.pipeline,
        model.name,
        f"{model.name}: {CauseClass.DRIFT.said.title}, since {request.since}: {request.features}",
        why=f"{asking.name} compares each day with what the champion {request.champion} was trained on",
        owner=model.definition.get("owner") or "",
        happened=0,
    )
