"""The command that works off one batch of a stored plan: for machines, in a container whose image an asset asks for."""

import argparse
import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.cli import shown
from tidemark.cli.answers import Answer, connect
from tidemark.config import person, settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import UsageError
from tidemark.ledger import plans
from tidemark.running.results import BatchReport, Result
from tidemark.running.run import run_batch


def batch(options: argparse.Namespace) -> Answer:
    """Work off one lane of one asset's part of a stored plan, as Airflow's task for it would.

    Airflow starts it in the container of an asset that has an image of its own. The last line of its output is a JSON
    object that says what came out. Ended from outside, it publishes what is finished, and gives the rest back. Exit
    codes: 0 nothing failed (a lane may be empty, and partitions may wait), 1 something failed or is blocked, 2 it
    cannot be done so, 75 something could not be reached, or it was ended from outside: worth another try.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container has no default
    given = settings()
    if options.version and not options.bundle:
        raise UsageError("--version is that of a DAG bundle: name the bundle with --bundle")
    folder, bundle = _bundle(options.bundle, options.version) if options.bundle else (given.dags, None)
    pipeline = _asked(load_catalog(folder).pipeline(options.pipeline), options.asked)
    pipeline.asset(options.asset)
    pipeline = _as_planned(pipeline, options.asset, _codes(options.code))
    with open_deployment(given, connect=connect) as deployment:
        _check_plan(deployment, options.plan, pipeline)
        report = run_batch(
            deployment,
            pipeline,
            options.plan,
            options.lane,
            options.asset,
            run=options.run_name or f"cli {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}",
            actor=options.actor or person(),
            bundle=bundle,
        )
    return _answer(report)


def _answer(report: BatchReport) -> Answer:
    for line in report.lines():
        shown.warn(line)
    counts = report.counted()
    data = {"asset": report.asset, "counts": counts, "partitions": report.partitions, "problems": report.lines()}
    ok = not counts.get(Result.FAILED) and not counts.get(Result.BLOCKED)
    return Answer(data, raw=json.dumps(data).encode() + b"\n", ok=ok)


def _bundle(name: str, version: str | None) -> tuple[Path, str]:
    """Return the folder of a DAG bundle's files, and the bundle as the record has it."""
    from tidemark.airflow.bundles import bundle_folder, bundle_name  # brings Airflow: only where a bundle is named

    return bundle_folder(name, version), bundle_name(name, version)


def _asked(pipeline: Pipeline, text: str | None) -> Pipeline:
    """Return a pipeline as the form of an Airflow run wants its searches."""
    if text is None:
        return pipeline
    from tidemark.airflow.form import asked_pipeline  # brings Airflow: only where a run was asked for something

    try:
        answers = json.loads(text)
    except ValueError as problem:
        raise UsageError(f"--asked={text!r} is no JSON: {problem}") from problem
    if not isinstance(answers, dict):
        raise UsageError(f"--asked={text!r}: give a JSON object, such as '{{\"demand_model_trials\": 8}}'")
    return asked_pipeline(answers, pipeline)


def _codes(given: list[str]) -> dict[str, bytes]:
    """Read code versions by the names of assets."""
    found = {}
    for each in given:
        name, _, digest = each.partition("=")
        try:
            found[name] = bytes.fromhex(digest)
        except ValueError:
            found[name] = b""
        if len(found[name]) != 32:
            raise UsageError(f"--code {each!r}: write ASSET=VERSION, the version with all its 64 hex characters")
    return found


def _as_planned(pipeline: Pipeline, name: str, codes: Mapping[str, bytes]) -> Pipeline:
    """Return a pipeline with the code versions that its plan was made with.

    This place may have other packages than the one where plans are made. What the other assets' code is there, decides
    what is live; what this asset's code is has to be the same in both, or what is made here would never be up to date.
    """
    own = codes.get(name)
    asset = pipeline.asset(name)
    if own is not None and own != asset.code.digest:
        raise UsageError(
            f"the code of {name} is another one here ({asset.code.digest.hex()[:12]}) than where the plan was made "
            f"({own.hex()[:12]}), so nothing was run: the image {asset.image or 'of this container'} has other files "
            "of the pipeline, another Tidemark or another Python, or something in them depends on where they are "
            "imported; build it FROM the image that Airflow runs in"
        )
    return replace(
        pipeline,
        assets=tuple(
            each.with_code(codes[each.name]) if each.name in codes and each.name != name else each
            for each in pipeline.assets
        ),
    )


def _check_plan(deployment: Deployment, number: int, pipeline: Pipeline) -> None:
    with deployment.ledger.read() as connection:
        stored = plans.read(connection, number)
    wanted: dict[str, tuple[Any, Any]] = {
        "pipeline": (stored.pipeline, pipeline.name),
        "environment": (stored.environment, deployment.environment),
    }
    for what, (planned, here) in wanted.items():
        if planned != here:
            raise UsageError(f"plan {number} is one of the {what} {planned!r}, not of {here!r}")
