"""Registering a version with MLflow: a run with what it was made from and how it came out, and a registered version.

Invariants: the registered version is made after all that it needs, so that a failure before it leaves a run and no
version that could be served by name; content that the registry has is not registered twice. Nothing is pickled: the
model is logged as a skops archive, of types that :data:`tidemark.frames.estimators.TRUSTED` names.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from tidemark.deployment import Deployment
from tidemark.errors import Unavailable
from tidemark.explain import short
from tidemark.hashing import digest
from tidemark.ledger import registry, validations
from tidemark.ledger.records import Made, inputs_of
from tidemark.ledger.schema import code_version
from tidemark.ledger.validations import Registration
from tidemark.models.aliases import CANDIDATE_ALIAS, page_of
from tidemark.models.validating import Challenge, Scored
from tidemark.places import scrub, secrets
from tidemark.running.searching import Tried, tried
from tidemark.search import FOUND

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERSION_TAG = "tidemark.version"

# What a process needs that serves a fitted estimator and has nothing of ours.
_SERVING = ("mlflow", "scikit-learn", "skops", "scipy", "numpy", "pandas")

_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Registered:
    """A version as the registry has it.

    Attributes:
        registration: its number and its run there.
        page: the address of the run's page.
        picture: the address of its plot; None: it has none.

    """

    registration: Registration
    page: str
    picture: str | None


def register(
    url: str,
    deployment: Deployment,
    asset_id: int,
    made: Made,
    challenge: Challenge,
    *,
    as_candidate: bool = True,
) -> Registered:
    """Register a version, if the registry does not have it; one that was judged is the candidate there.

    Args:
        url: the MLflow server.
        deployment: where the ledger is.
        asset_id: the model.
        made: the candidate, or the champion that the registry has lost.
        challenge: how the two came out.
        as_candidate: whether what was judged is the candidate, and not the champion that nobody challenges.

    Raises:
        Unavailable: the server cannot be reached, or refuses. A version that was made before that is found, and taken,
            by the next run.

    """
    name, is_candidate = challenge.asset.name, made.id == challenge.candidate.id
    scored = challenge.scored if is_candidate else challenge.rival
    assert scored is not None
    assert made.data_version is not None
    with _asking(url) as client:
        found = _found(client, name, made.data_version.hex())
        if found is None:
            run_id = _tracked(client, deployment, challenge, made, scored, is_candidate=is_candidate)
            found = _version(client, deployment, name, made, scored, run_id)
            found = _first_of(client, name, made.data_version.hex(), found)
        if is_candidate and as_candidate:
            client.set_registered_model_alias(name, CANDIDATE_ALIAS, found.version)
        experiment = client.get_run(found.run_id).info.experiment_id
        pictures = [each.path for each in client.list_artifacts(found.run_id) if each.path.endswith(".png")]
    with deployment.ledger.write() as connection:
        validations.write_registration(connection, asset_id, made.data_version, found.version, found.run_id)
    page = page_of(url)
    plot = f"{page}/get-artifact?path={pictures[0]}&run_uuid={found.run_id}" if pictures else None
    return Registered(found, f"{page}/#/experiments/{experiment}/runs/{found.run_id}", plot)


@contextmanager
def _asking(url: str) -> Iterator["MlflowClient"]:
    """Yield a client that gives up within seconds, and turns what goes wrong into one error."""
    # MLflow reads these whenever it asks; by its own defaults a server that is down costs minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with warnings.catch_warnings(action="ignore"):
        import mlflow
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    # It prints the address of each run, and has it in its errors: there is no password in the one that it is given.
    address = page_of(url)
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    try:
        with _signed_in(url):
            yield mlflow.MlflowClient()
    except (MlflowException, RequestException, OSError) as problem:
        said = scrub(" ".join(str(problem).split()), secrets(url))[:500]
        raise Unavailable(f"MLflow cannot be told of the model: {said}. The next run tries again") from problem


@contextmanager
def _signed_in(url: str) -> Iterator[None]:
    """Let MLflow find who asks where it looks for that, unless the environment says it by itself."""
    parts = urlsplit(url)
    given = {"MLFLOW_TRACKING_USERNAME": parts.username, "MLFLOW_TRACKING_PASSWORD": parts.password}
    ours = {name: unquote(value) for name, value in given.items() if value and name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _found(client: "MlflowClient", name: str, version: str) -> Registration | None:
    """Return the registered version of a content, if there is one."""
    found = client.search_model_versions(f"name = '{name}'")
    same = [each for each in found if each.tags.get(VERSION_TAG) == version]
    first = min(same, key=lambda each: int(each.version), default=None)
    return Registration(str(first.version), str(first.run_id)) if first else None


def _first_of(client: "MlflowClient", name: str, version: str, mine: Registration) -> Registration:
    """Return the first registered version of a content: of two runs that register it at once one takes its own back."""
    first = _found(client, name, version) or mine
    if first.version != mine.version:
        client.delete_model_version(name, mine.version)
    return first


def _tracked(
    client: "MlflowClient",
    deployment: Deployment,
    challenge: Challenge,
    made: Made,
    scored: Scored,
    *,
    is_candidate: bool,
) -> str:
    """Make a run with parameters, metrics, inputs, the model and its plot; returns its id."""
    import mlflow

    name = challenge.asset.name
    known = client.get_experiment_by_name(name)
    if known is not None and known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)  # nothing of that name could be tracked any more
    experiment = mlflow.set_experiment(name)
    with mlflow.start_run(experiment_id=experiment.experiment_id, run_name=f"{name} {made.partition}") as run:
        mlflow.set_tags(_tags(deployment, made))
        mlflow.log_params({key.removeprefix(FOUND): json.dumps(value) for key, value in made.parameters.items()})
        mlflow.log_metrics(_finite(scored.metrics))
        if made.seconds is not None:
            mlflow.log_metric("training_seconds", made.seconds)
        _log_inputs(deployment, made)
        if is_candidate:
            mlflow.log_dict(challenge.report, "validation.json")
        validation = challenge.asset.validation
        _log_model(scored, frozenset(validation.pii) if validation else frozenset())
        if (drawn := picture(challenge)) is not None:
            mlflow.log_figure(drawn, "calibration.png")
        if is_candidate and challenge.asset.search is not None:
            _log_trials(tried(deployment, challenge.asset, challenge.judged, made.environment))
        return str(run.info.run_id)


def _log_trials(trials: Sequence[Tried]) -> None:
    """Log the trials of hyper-parameters as runs below the model's."""
    import mlflow

    for each in trials:
        if each.trial is not None:
            with mlflow.start_run(run_name=f"trial {each.number}", nested=True):
                mlflow.log_params(each.parameters)
                mlflow.log_metrics({"objective": each.trial.value, "seconds": each.trial.seconds})


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value - value == 0}  # MLflow takes no NaN


def _log_inputs(deployment: Deployment, made: Made) -> None:
    """Log each input with our data versions: what a window read is one dataset, as it is one input in the ledger."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    with deployment.ledger.read() as connection:
        inputs = inputs_of(connection, [made.id])[made.id]
        names = {each.id: each.name for each in registry.assets(connection).values()}
    for read in inputs:
        present = [(key, version) for key, version, _ in read.members if version is not None]
        span = f"{present[0][0]} .. {present[-1][0]}" if present else "nothing"
        told = {"asset": names[read.asset_id], "mapping": read.mapping, "partitions": span, "count": len(present)}
        versions = {key: version.hex() for key, version in present[-1:]} if len(present) == 1 else {}
        source = CodeDatasetSource({**told, "members": read.digest.hex(), **versions})
        # MLflow takes 36 characters of a digest.
        shortened = read.digest.hex()[:32]
        dataset = MetaDataset(source, names[read.asset_id], shortened)  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")


def _log_model(scored: Scored, masked: frozenset[str]) -> None:
    import mlflow
    from mlflow.models import infer_signature

    from tidemark.frames.estimators import TRUSTED

    example = _example(scored, masked)
    with warnings.catch_warnings(action="ignore"):
        signature = None if example is None else infer_signature(example, scored.model.predict(example))
        mlflow.sklearn.log_model(
            scored.model,
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED),
            # Without them MLflow loads the model in another process to see what it imports, for 20 s.
            pip_requirements=[f"{each}=={metadata.version(each)}" for each in _SERVING],
            signature=signature,
            input_example=example,
        )


def _example(scored: Scored, masked: frozenset[str]) -> Any:
    """Return some rows of what the model was given; None: it does not say by name what it wants."""
    names = getattr(scored.model, "feature_names_in_", None)
    if names is None or not set(names) <= set(scored.predictions.columns) or set(names) & masked:
        return None
    return scored.predictions.select(list(names)).head(_EXAMPLE_ROWS).to_pandas()


def _version(
    client: "MlflowClient", deployment: Deployment, name: str, made: Made, scored: Scored, run_id: str
) -> Registration:
    """Register the model of a run; returns the version's number."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(name)
    except MlflowException as problem:
        if problem.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    outputs = client.get_run(run_id).outputs
    assert outputs is not None
    (logged,) = outputs.model_outputs
    tags = _tags(deployment, made) | {f"tidemark.metric.{each}": repr(value) for each, value in scored.metrics.items()}
    version = client.create_model_version(
        name, f"models:/{logged.model_id}", run_id=run_id, tags=tags, model_id=logged.model_id
    )
    return Registration(str(version.version), run_id)


def _tags(deployment: Deployment, made: Made) -> dict[str, str]:
    """Return what a version was made from, as the ledger knows it."""
    assert made.data_version is not None
    tags = {
        VERSION_TAG: made.data_version.hex(),
        "tidemark.partition": made.partition,
        "tidemark.action_key": made.action_key.hex(),
        "tidemark.materialization": str(made.id),
        "tidemark.run": made.run,
        "tidemark.environment": made.environment,
        "tidemark.lock": installed().hex(),
    }
    if made.image:
        tags["tidemark.image"] = made.image
    if made.bundle:
        tags["tidemark.bundle"] = made.bundle
    with deployment.ledger.read() as connection:
        query = sa.select(code_version.c.fingerprint, code_version.c.git_commit, code_version.c.git_dirty)
        row = connection.execute(query.where(code_version.c.id == made.code_version)).first()
        for read in inputs_of(connection, [made.id])[made.id]:
            tags[f"tidemark.data.{read.parameter}"] = read.digest.hex()
    if row is not None:
        tags["tidemark.code_version"] = row.fingerprint.hex()
        if row.git_commit:
            tags["tidemark.commit"] = f"{row.git_commit}{' with changes' if row.git_dirty else ''}"
    return tags


@cache
def installed() -> bytes:
    """Return a digest of the distributions that are installed here, by name and version."""
    return digest("installed", sorted({(each.name, each.version) for each in metadata.distributions()}))


def picture(challenge: Challenge) -> Any:
    """Draw how what was predicted compares with what came: a figure of matplotlib.

    None where the table of predictions has no columns ``predicted`` and ``actual`` of numbers.
    """
    import numpy as np

    scored, rival = challenge.scored, challenge.rival
    if scored is None or not _has_numbers(scored):
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
    axes = figure.subplots()
    shown = [(scored, f"candidate {short(challenge.candidate.data_version)}", "#0072b2", "o")]
    if rival is not None and _has_numbers(rival) and challenge.champion is not None:
        shown.append((rival, f"champion {short(challenge.champion.data_version)}", "#d55e00", "s"))
    ends: list[float] = []
    for each, label, colour, marker in shown:
        ordered = each.predictions.sort("predicted")
        tenths = [
            part
            for part in np.array_split(ordered.select("predicted", "actual").to_numpy().astype(float), 10)
            if len(part)
        ]
        means = np.array([part.mean(axis=0) for part in tenths])
        axes.plot(means[:, 0], means[:, 1], marker=marker, color=colour, label=label, linewidth=1)
        ends += [float(means.min()), float(means.max())]
    low, high = max(min(ends), 1e-3), max(ends)
    axes.plot([low, high], [low, high], color="#999999", linewidth=1, linestyle="--", label="as predicted")
    if min(ends) > 0 and high > 10 * low:  # within one power of ten its axis has hardly a number that one can read
        axes.set(xscale="log", yscale="log")
    axes.set_xlabel("mean predicted, by tenths of the predictions")
    axes.set_ylabel("mean actual")
    axes.set_title(f"{challenge.asset.name}: held-out time, {scored.predictions.height} rows")
    axes.legend(frameon=False)
    return figure


def _has_numbers(scored: Scored) -> bool:
    import polars as pl

    types = [scored.predictions.schema.get(name, pl.String()) for name in ("predicted", "actual")]
    return all(each.is_numeric() or each == pl.Boolean for each in types)
