"""The commands that plan and run."""

import argparse
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidemark.assets import Pipeline
from tidemark.cli import shown
from tidemark.cli.answers import Answer, opened, write_file
from tidemark.config import Settings, parse_instant, person
from tidemark.deployment import Deployment
from tidemark.errors import Refused, Unavailable, UsageError
from tidemark.explain import short
from tidemark.facts import Names, register
from tidemark.incidents.news import tell_information
from tidemark.incidents.troubles import tell_verdict
from tidemark.ledger import heads
from tidemark.models.aliases import reconcile, registry_url
from tidemark.models.presenting import present
from tidemark.models.validating import is_due
from tidemark.observe import Progress, observe
from tidemark.outlook import outlook_of
from tidemark.plan import Plan, apply_moves, check_as_of, make_plan, store_plan
from tidemark.running.run import Prepared, run_plan
from tidemark.selection import read_selection, selection_data, selection_from
from tidemark.survey import Selection, State
from tidemark.verdict import Verdict, verdict


def plan(options: argparse.Namespace) -> Answer:
    """Look what was delivered and what changed, and say what would run and why; run nothing.

    Deliveries that are rejected come first, with the reason. What it saw in the landing zone is written down: what was
    delivered, rejected or withdrawn, also what --confirm-withdrawals lets go. The next run starts from there. Where a
    model registry is named, its alias for the champion is brought to what the ledger says.
    """
    with opened() as (given, catalog, deployment), shown.progress() as progress:
        pipeline = catalog.pipeline(options.pipeline)
        now, selection = _as_of(options, given), _selection(options, pipeline)
        names, made = _planned(deployment, pipeline, now, selection, options, progress, run="plan")
        _warn_of_force_in_vain(made)
        ahead = outlook_of(deployment, pipeline, names, made)
        data = _plan_data(deployment, made) | ahead.to_json()
    if options.output:
        write_file(options.output, json.dumps(data, indent=2).encode())
    return Answer(data, shown.plan_text(made, ahead, options.output))


def run(options: argparse.Namespace) -> Answer:
    """Plan, compute what has to be computed, publish what passes its gate, and say what came out.

    The exit code is 1 if something failed, is blocked or was rejected; everything else is published all the same.
    """
    if options.plan and (options.as_of or options.first or options.last or options.force):
        raise UsageError("--plan says by itself from when to when, as of when and what by force: leave these out")
    with opened() as (given, catalog, deployment), shown.progress() as progress:
        pipeline = catalog.pipeline(options.pipeline)
        kept = _kept_plan(options.plan, pipeline, deployment) if options.plan else None
        now = datetime.fromisoformat(kept["as_of"]) if kept else _as_of(options, given)
        selection = selection_from(kept["selection"]) if kept else _selection(options, pipeline)
        name, actor = f"cli {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}", person()  # no two runs have one name
        began = time.monotonic()
        names, made = _planned(deployment, pipeline, now, selection, options, progress, run=name)
        if kept:
            _check_unchanged(deployment, names, kept, made)
        _warn_of_force_in_vain(made)
        made = apply_moves(deployment, pipeline, names, made, run=name, actor=actor)
        seconds = time.monotonic() - began
        plan_id = store_plan(deployment, names, made, run=name, actor=actor, seconds=seconds)
        prepared = Prepared(plan_id, made, names)
        run_plan(deployment, pipeline, prepared, run=name, actor=actor, progress=progress)
        judged = verdict(deployment, pipeline, prepared.plan_id, names=names)
        _tell(deployment, pipeline, judged, name)
        failed = _present(deployment, pipeline, selection, run=name, actor=actor)
    for each in failed if not options.json else ():  # which has it as the problem
        shown.warn(each)
    return Answer(
        judged.to_json(),
        shown.verdict_text(judged, given.landing_url, selected=bool(selection.first or selection.last)),
        ok=judged.ok and not failed,
        problem="\n".join(filter(None, [shown.troubles_text(judged), *failed])),
    )


def _tell(deployment: Deployment, pipeline: Pipeline, judged: Verdict, run: str) -> None:
    """Let incidents follow from what a run came to; whatever goes wrong with that changes nothing about it."""
    try:
        tell_verdict(deployment, pipeline, judged, link="", actor=run)
        tell_information(deployment, pipeline, run)
    except Exception as problem:  # whatever it is: the run is over, and what it published stands
        shown.warn(f"incidents do not say what this run came to: {type(problem).__name__}: {problem}")


def _present(deployment: Deployment, pipeline: Pipeline, selection: Selection, *, run: str, actor: str) -> list[str]:
    """Validate and register the candidates that await it, and say how they came out; returns who did not pass."""
    failed = []
    for asset in pipeline.assets:
        if asset.validation is None:
            continue  # and nothing is asked of a registry
        forced = any(name == asset.name for name, _ in selection.force)
        if not forced and not is_due(deployment, pipeline, asset, registered=registry_url() is not None):
            continue
        try:
            made = present(deployment, pipeline, asset.name, again=forced, revived=forced, run=run, actor=actor)
        except (Refused, Unavailable) as problem:
            shown.warn(str(problem))
            continue
        if made is not None and not made.passed:
            said = "; ".join(made.challenge.report["problems"])
            failed.append(f"{asset.name} {short(made.challenge.candidate.data_version)} did not pass: {said}")
        elif made is not None:
            shown.warn(
                f"{asset.name} {short(made.challenge.candidate.data_version)} awaits a decision: 'tidemark model "
                f"compare {asset.name}' shows how it did"
            )
    return failed


def _as_of(options: argparse.Namespace, given: Settings) -> datetime:
    if options.as_of:
        return parse_instant(options.as_of, "--as-of")
    return given.as_of or datetime.now(UTC)


def _selection(options: argparse.Namespace, pipeline: Pipeline) -> Selection:
    return read_selection(pipeline, options.first, options.last, options.force)


def _planned(
    deployment: Deployment,
    pipeline: Pipeline,
    now: datetime,
    selection: Selection,
    options: argparse.Namespace,
    progress: Progress,
    *,
    run: str,
) -> tuple[Names, Plan]:
    confirmed = frozenset(pipeline.source(name).name for name in options.confirm_withdrawals)
    check_as_of(deployment, now)
    names = register(deployment, pipeline)
    observed = observe(
        deployment,
        pipeline,
        names,
        as_of=now,
        run=run,
        actor=person(),
        confirmed=confirmed,
        verify=options.verify,
        progress=progress,
    )
    for warning in (*observed.warnings, *reconcile(deployment, pipeline)):
        shown.warn(warning)
    return names, make_plan(
        deployment, pipeline, names, observed, as_of=now, selection=selection, verify=options.verify
    )


def _plan_data(deployment: Deployment, made: Plan) -> dict[str, Any]:
    """Return a plan as stable JSON, with what tells whether it still holds."""
    return {
        "pipeline": made.pipeline,
        "environment": deployment.environment,
        "as_of": made.as_of.isoformat(),
        "selection": selection_data(made.selection),
        "seq": made.seq,
        "definitions": made.definitions.hex(),
        "items": [
            {
                "asset": item.asset,
                "partition": item.key,
                "certainty": item.certainty.value,
                "runs": item.runs,
                "reason": item.reason,
                "seconds": round(item.seconds, 4),
                "guessed": item.guessed,
            }
            for item in made.items
        ],
        "rejected": [{"source": source, "partition": key, "why": why} for source, key, why in made.rejected],
        "ignored": [{"source": source, "file": file, "why": why} for source, file, why in made.observed.ignored],
    }


def _kept_plan(file: str, pipeline: Pipeline, deployment: Deployment) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(Path(file).read_text())
        datetime.fromisoformat(kept["as_of"])
        selection_from(kept["selection"])
        _steps(kept)
        wanted = {"pipeline": pipeline.name, "environment": deployment.environment}
        other = {what: kept[what] for what, name in wanted.items() if kept[what] != name}
    except OSError as problem:
        raise UsageError(
            f"--plan {file}: {problem.strerror}: give a file that 'tidemark plan -o FILE' wrote"
        ) from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UsageError(f"--plan {file} is no plan: give a file that 'tidemark plan -o FILE' wrote") from problem
    for what, name in other.items():
        raise UsageError(f"--plan {file} is a plan of the {what} {name!r}, not of {wanted[what]!r}")
    return kept


def _steps(data: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what a plan says must be done; what that may cost changes with every run."""
    return [(item["asset"], item["partition"], item["certainty"], item["reason"]) for item in data["items"]]


def _check_unchanged(deployment: Deployment, names: Names, kept: Mapping[str, Any], made: Plan) -> None:
    """Refuse a kept plan if what it was made from is not what it was, or if it would come out otherwise now."""
    now = _plan_data(deployment, made)
    with deployment.ledger.read() as connection:
        moved = heads.moved_since(connection, deployment.environment, names.assets.values(), kept["seq"])
    changed = {
        "a definition": kept["definitions"] != now["definitions"],
        f"a head of {', '.join(sorted(name for name, number in names.assets.items() if number in moved))}": bool(moved),
        "a hold, a declaration or what is known": _steps(kept) != _steps(now),
    }
    for what, is_so in changed.items():
        if is_so:
            raise Refused(f"{what} has changed since the plan was made: nothing was run; look at a new plan")


def _warn_of_force_in_vain(made: Plan) -> None:
    planned = {(item.asset, item.key) for item in made.items}
    for asset, key in sorted(made.selection.force, key=str):
        if (asset, key) not in planned and not (key is None and any(item.asset == asset for item in made.items)):
            what = f"{asset} {key}" if key else asset
            told = (
                each.reason
                for each in made.judgements[asset]
                if each.state in (State.HELD, State.FRESH) and each.reason and key in (None, each.key)
            )
            why = next(told, f"'tidemark explain {what}' says why" if key else "'tidemark status' says how it stands")
            shown.warn(f"--force: there is nothing to compute for {what}: {why}")
