"""The model registry as far as every plan asks it: which version it calls champion, and that this is the right one.

The ledger decides and moves first; the alias follows it. An alias that is neither what the ledger says nor what it said
before was moved by somebody else: that is told, written into the audit log, and put right.

These are three requests of MLflow's REST API, because importing its own client costs seconds of CPU in each plan.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from tidemark.assets import Pipeline, champion_of, model_of
from tidemark.deployment import Deployment
from tidemark.errors import Unavailable, UsageError
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.incidents.reach import reach_of
from tidemark.incidents.reconciling import raise_one
from tidemark.ledger import acts, heads, registry, validations
from tidemark.ledger.validations import Registration
from tidemark.models.known import Model
from tidemark.places import redact

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

ALIAS = "champion"
CANDIDATE_ALIAS = "candidate"
PATIENCE = 5.0
"""Seconds that the registry has for an answer."""


def registry_url() -> str | None:
    """Return the address of the MLflow server, of ``MLFLOW_TRACKING_URI``; None: there is none.

    Raises:
        UsageError: what it names is no server.

    """
    url = os.environ.get("MLFLOW_TRACKING_URI")
    if not url:
        return None
    if not _is_server(url):
        raise UsageError(
            f"MLFLOW_TRACKING_URI={redact(url)!r} is no server: give an address such as http://mlflow:5000"
        )
    return url.rstrip("/")


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        return False


def page_of(url: str) -> str:
    """Return the address of the server as a browser is given it: without a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def reconcile(deployment: Deployment, pipeline: Pipeline) -> list[str]:
    """Bring the registry's aliases to what the ledger says, for the models that a pipeline trains or reads.

    Returns:
        A sentence for each alias that somebody else had moved, or version that somebody else had deleted.

    Raises:
        UsageError: ``MLFLOW_TRACKING_URI`` names no server.

    """
    names = {each.name for each in pipeline.assets if each.is_model}
    names |= {model for each in pipeline.externals if (model := model_of(each))}
    if not names or deployment.environment != heads.PROD or (url := registry_url()) is None:
        return []
    try:
        with _client(url) as client:
            return [said for name in sorted(names) if (said := _reconciled(client, deployment, name))]
    except Unavailable as problem:
        log.warning("%s; what is champion is the ledger's to say, and the registry is told later", problem)
        return []


@dataclass(frozen=True)
class _Ours:
    """What the ledger says of a model's aliases.

    Attributes:
        model: the model's number.
        known: what the registry calls each content.
        told: the version that the registry was told last is champion.
        wanted: the version that should be.
        waiting: the version that awaits a decision, if it is registered.

    """

    model: int
    known: Mapping[bytes, Registration]
    told: str | None
    wanted: str | None
    waiting: str | None


def _ours(deployment: Deployment, name: str) -> _Ours | None:
    with deployment.ledger.read() as connection:
        registered = registry.assets(connection).get(name)
        if registered is None or not registered.definition.get("model"):
            return None
        model = Model(connection, deployment, name)
        known = validations.registrations(connection, model.id)
        told = validations.told(connection, model.id)
    contents = (each.data_version if each else None for each in (model.champion, model.candidate))
    wanted, waiting = (known[each].version if each in known else None for each in contents)
    return _Ours(model.id, known, told, wanted, waiting) if known or told is not None else None


def _reconciled(client: "httpx.Client", deployment: Deployment, name: str) -> str | None:
    """Bring one model's aliases to what the ledger says; returns what was wrong, if somebody else had moved them."""
    ours = _ours(deployment, name)
    if ours is None:
        return None  # the registry was never told of it
    there = _aliases(client, name)
    is_now, swapped = there.get(ALIAS), None
    if ours != _ours(deployment, name):
        return None  # somebody decided while the registry was asked: the next plan compares what belongs together
    if is_now not in (ours.told, ours.wanted):
        champion = f"version {ours.wanted}" if ours.wanted else "none that it knows"
        swapped = (
            f"{name}: the registry's alias {ALIAS!r} was moved from version {ours.told or 'none'} to "
            f"{is_now or 'none'} by somebody else: champion is {champion}, as the ledger says"
        )
    if is_now != ours.wanted and not _move(client, name, ALIAS, ours.wanted):
        gone = f"{name}: version {ours.wanted} was deleted in the registry"
        swapped = f"{gone}; the next run of its pipeline registers it again"
        _forget(deployment, client, ours, is_now, name, swapped)
        return swapped
    if ours.waiting and there.get(CANDIDATE_ALIAS) != ours.waiting:  # noqa: SIM102
        if not _move(client, name, CANDIDATE_ALIAS, ours.waiting):
            with deployment.ledger.write() as connection:
                validations.forget_registration(connection, ours.model, ours.waiting)
    if ours.told != ours.wanted or swapped:
        with deployment.ledger.write() as connection:
            validations.write_told(connection, ours.model, ours.wanted)
            if swapped:
                _tell(connection, deployment, client, name, swapped, is_now, ours)
    return swapped


def _forget(
    deployment: Deployment, client: "httpx.Client", ours: _Ours, is_now: str | None, name: str, said: str
) -> None:
    """Forget what the registry calls a model's versions: whatever it still has is found there when it is needed."""
    with deployment.ledger.write() as connection:
        for each in ours.known.values():
            validations.forget_registration(connection, ours.model, each.version)
        validations.write_told(connection, ours.model, is_now)
        _tell(connection, deployment, client, name, said, is_now, ours)


def _tell(
    connection: sa.Connection,
    deployment: Deployment,
    client: "httpx.Client",
    name: str,
    said: str,
    found: str | None,
    ours: _Ours,
) -> None:
    """Write down what somebody else has done: for the auditor, and for on-call."""
    known = registry.assets(connection)
    condition = Condition(
        CauseClass.CHAMPION_SWAPPED,
        known[name].pipeline,
        name,
        f"{name}: {CauseClass.CHAMPION_SWAPPED.said.title}",
        why=said,
        instead="the champion of the ledger: what the registry says decides nothing",
        reach=reach_of(connection, deployment.environment, champion_of(name), (), known),
        do="find out who may write to the registry; then resolve this by hand, since the alias was put right already",
        owner=str(known[name].definition.get("owner") or ""),
        event=True,
        link=f"{str(client.base_url).removesuffix('/').removesuffix(_API)}/#/models/{name}",
    )
    raise_one(connection, deployment.environment, condition, actor="registry")
    act = "champion swapped" if "moved" in said else "champion deleted"
    detail = {"model": name, "found": found, "told": ours.told, "champion": ours.wanted}
    acts.write_audit(connection, actor="registry", act=act, detail=detail)


_API = "/api/2.0/mlflow/registered-models"


def _client(url: str) -> AbstractContextManager["httpx.Client"]:
    import httpx

    parts = urlsplit(url)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return httpx.Client(
        # httpx logs the address of each request, and hides no password in it.
        base_url=f"{page_of(url)}{_API}",
        timeout=PATIENCE,
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {token}"} if token and not user else None,
    )


def _aliases(client: "httpx.Client", name: str) -> dict[str, str]:
    """Return which version has each alias of a model; none where there is no such model."""
    answer = _asked(client, "GET", "/get", params={"name": name})
    if answer is None:
        return {}
    try:
        return {each["alias"]: str(each["version"]) for each in answer["registered_model"].get("aliases", ())}
    except (AttributeError, KeyError, TypeError) as problem:
        raise Unavailable(f"what answers is no MLflow: 200 with {', '.join(answer) or 'nothing'}") from problem


def _move(client: "httpx.Client", name: str, alias: str, version: str | None) -> bool:
    """Give an alias to a version, or to none; returns whether there is that version."""
    if version is None:
        # MLflow reads no parameters of this one.
        _asked(client, "DELETE", "/alias", json={"name": name, "alias": alias})
        return True
    return _asked(client, "POST", "/alias", json={"name": name, "alias": alias, "version": version}) is not None


# What MLflow answers where there is no such model, version or alias: it says INVALID_PARAMETER_VALUE of an alias.
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def _asked(client: "httpx.Client", method: str, path: str, **options: Any) -> dict[str, Any] | None:
    """Return what the registry answers; None: what was asked for is not there.

    Raises:
        Unavailable: it cannot be reached, or refuses.

    """
    import httpx

    try:
        answer = client.request(method, path, **options)
    except httpx.HTTPError as problem:
        raise Unavailable(f"MLflow cannot be asked: {type(problem).__name__} {redact(str(problem))}") from problem
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"what answers is no MLflow, or refuses: {answer.status_code} {answer.reason_phrase}")
    if answer.is_success:
        return found
    if found.get("error_code") in _NOT_THERE:
        return None
    raise Unavailable(f"MLflow refuses: {answer.status_code} {found.get('error_code')}: {found.get('message')}")
