"""Validating a candidate: what it and the champion say of the same held-out time, held against limits.

Invariants: nothing that is measured here changes what is live. A candidate whose validation failed is registered
nowhere, and whoever wants to promote it is refused.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline, champion_of
from tidemark.deployment import Deployment
from tidemark.errors import OutputError, Refused, Unavailable
from tidemark.facts import Names, register
from tidemark.fingerprint import Component
from tidemark.gate import Outcome, suite_digest
from tidemark.hashing import digest
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.incidents.reach import reach_of
from tidemark.incidents.reconciling import raise_one, resolve_one
from tidemark.inspecting import judgement_in, survey_now, why_of
from tidemark.ledger import heads, registry, validations
from tidemark.ledger.records import Made
from tidemark.ledger.validations import Validated
from tidemark.models.known import ROLLED_BACK, Model, named
from tidemark.running.batch import Batch
from tidemark.running.compute import Computation
from tidemark.running.finish import in_a_line
from tidemark.survey import Judgement, State, Survey
from tidemark.validation import Validation

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)

Report = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """What a model says of the held-out time.

    Attributes:
        model: the fitted model.
        predictions: the table of its predictions, with the features.
        metrics: what they come to.

    """

    model: Any
    predictions: "pl.DataFrame"
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Challenge:
    """A candidate beside the champion.

    Attributes:
        asset: the model's definition.
        candidate: the candidate's materialization.
        champion: the champion's; None: there is none.
        judged: what the candidate was made from.
        passed: whether a person may be asked.
        report: what was measured and found.
        scored: what the candidate says of the held-out time; None: it could not be asked.
        rival: what the champion says of it; None: there is none, or it could not be asked.
        validation: the number under which this was written down; None: it was not.

    """

    asset: Asset
    candidate: Made
    champion: Made | None
    judged: Judgement
    passed: bool
    report: Report
    scored: Scored | None
    rival: Scored | None
    validation: int | None = None


def current(
    connection: sa.Connection, deployment: Deployment, pipeline: Pipeline, names: Names, asset: Asset, made: Made
) -> tuple[Survey, Judgement]:
    """Return the survey and what it says of a candidate, which must be what would be trained now.

    Raises:
        Refused: its code, its parameters or what it was trained from has changed, or was taken back.

    """
    survey, judgements = survey_now(connection, deployment, pipeline, names, whole=False)
    judged = judgement_in(survey, judgements, asset, asset.grain.ordinal(made.partition))
    if judged is None or judged.state is not State.FRESH or judged.head is None:
        why = why_of(connection, asset, judged, survey) if judged else "its partition exists no longer"
        raise Refused(
            f"{named(asset.name, made)} is stale: {why}. 'tidemark explain {asset.name} {made.partition}' says more; "
            f"the next run of {pipeline.name} trains it anew"
        )
    return survey, judged


def way_of(deployment: Deployment, pipeline: Pipeline, asset: Asset) -> bytes:
    """Return a digest of how candidates of a model are judged now.

    Raises:
        DefinitionError: its suite is not there, or malformed.

    """
    assert asset.validation is not None
    gate = asset.validation.gate
    suite = suite_digest(deployment.suite(pipeline, gate)) if gate else None
    return digest("judged", asset.validation.digest, suite)


def is_up_to_date(
    said: Validated, deployment: Deployment, pipeline: Pipeline, asset: Asset, champion: Made | None
) -> bool:
    """Whether a validation was made as one is made now, against the champion there is now."""
    against = champion.id if champion else None
    return said.champion == against and said.digest == way_of(deployment, pipeline, asset)


def is_due(deployment: Deployment, pipeline: Pipeline, asset: Asset, *, registered: bool) -> bool:
    """Whether the candidate of a model has to be validated, or has passed and is yet to be registered.

    Without a candidate that passes, whether the champion is yet to be registered, or is so again.

    Args:
        deployment: where.
        pipeline: the model's pipeline.
        asset: the model.
        registered: whether there is a registry that should know it.

    """
    if asset.validation is None or deployment.environment != heads.PROD:
        return False
    register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        model = Model(connection, deployment, asset.name)
        candidate, said, champion = model.candidate, model.validated, model.champion
        known = validations.registrations(connection, model.id)
        lost = registered and champion is not None and champion.data_version not in known
        if candidate is None:
            return lost
        if said is None or not is_up_to_date(said, deployment, pipeline, asset, champion):
            return True
        return registered and candidate.data_version not in known if said.passed else lost


def challenge(
    deployment: Deployment,
    pipeline: Pipeline,
    name: str,
    *,
    again: bool,
    revived: bool,
    run: str,
    actor: str,
    link: str = "",
) -> Challenge | None:
    """Validate the candidate of a model, and write down how it came out; None: none awaits a decision.

    One that does not pass is an incident, until one does.

    Args:
        deployment: where.
        pipeline: the model's pipeline.
        name: the model.
        again: judge it also if it failed before.
        revived: judge it also if its promotion was rolled back.
        run: name of the run.
        actor: who started it.
        link: the page of the run, for who is told of it.

    Raises:
        Refused: the candidate would be trained otherwise by now, or something changed while it was judged.
        Unavailable: the ledger or the store cannot be used, or there is no room to judge it.

    """
    asset, names = pipeline.asset(name), register(deployment, pipeline)
    assert asset.validation is not None
    with deployment.ledger.read() as connection:
        model = Model(connection, deployment, name)
        candidate, champion, number, said = model.candidate, model.champion, model.id, model.validated
        if candidate is None and revived and model.newest is not None:
            newest = model.made[model.newest]
            candidate = newest if model.state(newest) == ROLLED_BACK else None
        if candidate is None:
            return None
        told = said is not None and not said.passed and is_up_to_date(said, deployment, pipeline, asset, champion)
        if told and not again:
            return None
        survey, judged = current(connection, deployment, pipeline, names, asset, candidate)
    way = way_of(deployment, pipeline, asset)
    batch = Batch(deployment, pipeline, names, survey, asset, plan_id=0, run=run, actor=actor, holder="")
    made = _compared(batch, asset.validation, candidate, champion, judged)
    with deployment.ledger.write() as connection:
        now = Model(connection, deployment, name)
        if now.newest != candidate.id or (now.champion and now.champion.id) != (champion and champion.id):
            raise Refused(f"{named(name, candidate)}: another candidate or champion came while it was judged")
        validation_id = validations.write(
            connection,
            number,
            candidate.id,
            champion.id if champion else None,
            digest=way,
            passed=made.passed,
            report=made.report,
            run=run,
            actor=actor,
        )
        _tell(connection, deployment, pipeline, made, link=link, actor=actor)
    return replace(made, validation=validation_id)


def _tell(
    connection: sa.Connection, deployment: Deployment, pipeline: Pipeline, made: Challenge, *, link: str, actor: str
) -> None:
    """Open the incident of a candidate that did not pass, or resolve that of an earlier one."""
    asset, environment = made.asset, deployment.environment
    if made.passed:
        key = (pipeline.name, asset.name, CauseClass.VALIDATION_FAILED.value)
        resolve_one(connection, environment, key, actor=actor)
        return
    known = registry.assets(connection)
    champion = f"the champion {named(asset.name, made.champion)}" if made.champion else "nothing: there is no champion"
    condition = Condition(
        CauseClass.VALIDATION_FAILED,
        pipeline.name,
        asset.name,
        f"{named(asset.name, made.candidate)}: {CauseClass.VALIDATION_FAILED.said.title}",
        why="\n".join(made.report["problems"]),
        partitions=(made.candidate.partition,),
        instead=champion,
        reach=reach_of(connection, environment, champion_of(asset.name), (), known),
        do=f"'tidemark model compare {asset.name}' shows all metrics",
        owner=asset.owner or pipeline.owner or "",
        link=link,
    )
    raise_one(connection, environment, condition, actor=actor)


def champion_alone(deployment: Deployment, pipeline: Pipeline, name: str, *, run: str, actor: str) -> Challenge | None:
    """Ask the champion about the time that was held out from it, for a registry that does not have it.

    Returns:
        It as if it were a candidate; None: there is none, or it cannot be asked any more.

    Raises:
        Unavailable: the ledger or the store cannot be used.

    """
    asset, names = pipeline.asset(name), register(deployment, pipeline)
    assert asset.validation is not None
    with deployment.ledger.read() as connection:
        champion = Model(connection, deployment, name).champion
        if champion is None:
            return None
        try:
            survey, judged = current(connection, deployment, pipeline, names, asset, champion)
        except Refused as problem:
            log.warning("the registry gets the next champion: %s", problem)
            return None
    batch = Batch(deployment, pipeline, names, survey, asset, plan_id=0, run=run, actor=actor, holder="")
    made = _compared(batch, asset.validation, champion, None, judged)
    if made.scored is None:
        log.warning("the registry gets the next champion: %s", "; ".join(made.report["problems"]))
        return None
    return made


def _compared(
    batch: Batch, validation: Validation, candidate: Made, champion: Made | None, judged: Judgement
) -> Challenge:
    computation, problems = Computation(batch), list[str]()
    scored = rival = None
    note = ""
    try:
        scored = _scored(batch, validation, candidate, computation.arguments(judged))
    except OutputError as problem:
        problems.append(str(problem))
    if champion is not None:
        try:
            # Read anew, whatever was done to what the candidate was given.
            rival = _scored(batch, validation, champion, computation.arguments(judged))
        except OutputError as problem:
            note = f"the champion could not be asked: {problem}"
    gate, suite = _gated(batch, validation, candidate, scored) if scored else None, []
    if validation.gate is not None:
        file = batch.deployment.suite(batch.pipeline, validation.gate)
        suite = [[f"the suite {validation.gate}", str(file), None, suite_digest(file).hex()]]
    if gate is not None and gate["outcome"] == Outcome.BLOCKED:
        problems.append(f"the predictions did not pass the gate {gate['suite']!r}: {'; '.join(gate['failures'])}")
    metrics = _metrics(validation, scored, rival, challenged=champion is not None)
    problems += [each["problem"] for each in metrics.values() if each["problem"]]
    report: Report = {
        "metrics": metrics,
        "business": validation.business,
        "gate": gate,
        "rows": scored.predictions.height if scored else 0,
        "problems": problems,
        "note": note,
        "drift": _drifted(scored, rival) if scored and rival else [],
        "rules": validation.rules,
        "code": [*map(_component, validation.code.components), *suite],
    }
    return Challenge(batch.asset, candidate, champion, judged, not problems, report, scored, rival)


def _component(each: Component) -> list[object]:
    return [each.label, each.file, each.line, each.digest.hex()]


def _scored(batch: Batch, validation: Validation, made: Made, arguments: Mapping[str, object]) -> Scored:
    """Return what a version says of the held-out time.

    Raises:
        OutputError: it cannot be asked, or what comes out is no table or no numbers.

    """
    import polars as pl

    from tidemark.frames import Part, load

    asset = batch.asset
    part = Part(made.partition, batch.deployment.store.path(made.stored.blob), made.stored.format, None)
    annotation = asset.function.__annotations__.get("return")
    read = {name: value for name, value in arguments.items() if name in _read_by(validation)}
    try:
        model = load([part], annotation, windowed=False, name=asset.name)
        predictions = validation.predictions(model, **read)
        if not isinstance(predictions, pl.DataFrame):
            raise OutputError(f"predictions= returned {type(predictions).__name__}: return a polars DataFrame")
        if predictions.is_empty():
            raise OutputError("predictions= returned no row: there is no held-out time to judge by")
        metrics = {str(each): float(value) for each, value in validation.metrics(predictions).items()}
    except (Unavailable, KeyboardInterrupt):
        raise
    except OutputError as problem:
        raise OutputError(f"{named(asset.name, made)}: {problem}") from problem
    except (MemoryError, OSError) as problem:  # that says nothing about the model
        raise Unavailable(f"{named(asset.name, made)} could not be asked: {in_a_line(problem)}") from problem
    except BaseException as problem:  # whatever a scientist's function raises
        # A panic of polars, and an exit, are no Exception; neither is what ends a task, which is not the function's.
        if not isinstance(problem, (Exception, SystemExit)) and type(problem).__name__ != "PanicException":
            raise
        raise OutputError(f"{named(asset.name, made)}: {in_a_line(problem)}") from problem
    return Scored(model, predictions, metrics)


PROFILE = "training_profile_"
"""The attribute of a fitted model in which it may bring along a profile of its training data: see tidemark.drift."""


def _drifted(scored: Scored, rival: Scored) -> list[Report]:
    """Return how far the candidate's training data is from the champion's, by the profiles that both bring along."""
    import polars as pl

    from tidemark.drift import drift

    before, now = (getattr(each.model, PROFILE, {}) for each in (rival, scored))
    tables = [
        drift({name: before[name]}, pl.DataFrame({name: pl.Series(now[name]["quantiles"], dtype=pl.Float64)}))
        for name in before
        if name in now
    ]
    return [{key: row[key] for key in ("feature", "psi", "ks")} for table in tables for row in table.to_dicts()]


def _read_by(validation: Validation) -> set[str]:
    import inspect

    return set(list(inspect.signature(validation.predictions).parameters)[1:])


def _gated(batch: Batch, validation: Validation, candidate: Made, scored: Scored) -> Report | None:
    """Return what the suite says of the candidate's predictions; None: there is no suite."""
    if validation.gate is None:
        return None
    gate = batch.deployment.gate(batch.deployment.suite(batch.pipeline, validation.gate))
    label = f"{named(batch.asset.name, candidate)} predictions"
    result = gate.check(validation.gate, scored.predictions.to_arrow(), label=label, pii=frozenset(validation.pii))
    failures = [f"{each.severity}: {each.message}" for each in result.failures]
    return {"suite": validation.gate, "outcome": result.outcome.value, "failures": failures}


def _metrics(validation: Validation, scored: Scored | None, rival: Scored | None, *, challenged: bool) -> Report:
    """Return each metric of both, its bound, and what is wrong with it; ``challenged``: there is a champion."""
    if scored is None:
        return {}
    found: Report = {}
    wanted = [validation.business] if validation.business is not None else []
    for name in dict.fromkeys([*scored.metrics, *validation.limits, *wanted]):
        value = scored.metrics.get(name)
        other = rival.metrics.get(name) if rival else None
        other = other if other is not None and math.isfinite(other) else None
        limit = validation.limits.get(name)
        bound = limit.bound(other) if limit else None
        problem = None
        if value is None:
            problem = f"{name} is not among the metrics: there are {', '.join(scored.metrics)}"
        elif not math.isfinite(value):
            problem = f"{name} is {value}, which is no number to compare"
        elif limit is not None and bound is None and challenged:
            problem = f"{name} of the champion is not known, and may only be so much worse than that"
        elif limit is not None and bound is not None:
            problem = _problem(name, value, bound, less_is_better=limit.less_is_better)
        kept = value if value is not None and math.isfinite(value) else None
        found[name] = {"candidate": kept, "champion": other, "bound": bound, "problem": problem}
    return found


def _problem(name: str, value: float, bound: float, *, less_is_better: bool) -> str | None:
    """Return how a metric breaks its bound, as MLflow's validation judges it; None: it keeps it."""
    from mlflow.models import EvaluationResult, MetricThreshold
    from mlflow.models.evaluation.validation import ModelValidationFailedException, validate_evaluation_results

    # It says of each metric that it is being validated, and that it was.
    logging.getLogger("mlflow.models.evaluation.validation").setLevel(logging.WARNING)
    threshold = MetricThreshold(threshold=bound, greater_is_better=not less_is_better)
    try:
        validate_evaluation_results({name: threshold}, EvaluationResult({name: value}, {}))
    except ModelValidationFailedException:
        return f"{name} is {value:.4g}, and may be {'at most' if less_is_better else 'at least'} {bound:.4g}"
    return None
