"""Looking into the state: what a partition is and why, what it was before, and how every asset stands."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline, Source
from tidemark.catalog import Catalog
from tidemark.changes import sweep_since
from tidemark.deployment import Deployment
from tidemark.errors import DefinitionError, UsageError
from tidemark.explain import certainty_of, reason_of
from tidemark.facts import LedgerFacts, Names, definitions_digest, instant_of, read_heads, register
from tidemark.gate import Outcome
from tidemark.ledger import heads, plans, records, registry, sources
from tidemark.ledger.schema import code_version
from tidemark.mappings import Previous
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey import Certainty, Facts, Judgement, State, Survey
from tidemark.telling import Teller, source_state


def survey_now(
    connection: sa.Connection, deployment: Deployment, pipeline: Pipeline, names: Names, *, whole: bool
) -> tuple[Survey, dict[str, list[Judgement]]]:
    """Return the survey as of the environment's newest plan, and what it judges by asset.

    Args:
        connection: the transaction in which everything is read.
        deployment: where.
        pipeline: the definitions.
        names: ids.
        whole: judge everything that is not plainly fresh; else only what has changed since the newest plan.

    """
    base = None if whole else plans.newest(connection, deployment.environment, pipeline.name)
    facts = LedgerFacts(deployment, pipeline, names, connection)
    survey = Survey(pipeline, facts, instant_of(connection, deployment))
    sweep = sweep_since(survey, facts, base, definitions_digest(deployment, pipeline, names.externals))
    judgements: dict[str, list[Judgement]] = {}
    for judged in sweep.judge_all(pipeline.assets):
        judgements.setdefault(judged.asset, []).append(judged)
    return survey, judgements


def judgement_in(
    survey: Survey, judgements: dict[str, list[Judgement]], member: Source | Asset, ordinal: int
) -> Judgement | None:
    """Return the judgement of one partition; what is as its head and its gap say was not judged with the others."""
    if isinstance(member, Source):
        return None
    found = next((each for each in judgements.get(member.name, ()) if each.ordinal == ordinal), None)
    if found is None and survey.exists(member, ordinal, survey.range_of(member)):
        found = survey.judge(member, ordinal)
    return found


def account_of(deployment: Deployment, pipeline: Pipeline, name: str, key: str) -> dict[str, Any]:
    """Say what a partition is, why, from what it was made, and what its gate said; JSON-ready.

    ``causes`` says why it would run, or why it cannot; ``became`` how what is live came to be so, and what made the
    difference to what was live before; ``lacks`` why what it is provisional for is missing, and what stands in for it.

    Raises:
        UsageError: the asset or the key is none.

    """
    member = pipeline[name]
    ordinal = member.grain.ordinal(key)
    names = register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        survey, judgements = survey_now(connection, deployment, pipeline, names, whole=False)
        judged = judgement_in(survey, judgements, member, ordinal)
        # A judgement of what is no longer there is made with the head that must go; a source has no judgement.
        head = judged.head if judged else read_heads(connection, deployment, names, name, ordinal).get(ordinal)

        def judge(other: str, part: str) -> Judgement | None:
            return judgement_in(survey, judgements, pipeline[other], pipeline[other].grain.ordinal(part))

        teller = Teller(connection, deployment, pipeline, names, survey, judge)
        partition_id = names.id_at(name, ordinal) if names.is_met(name, ordinal) else None
        made = records.made_for(connection, names.assets[name], partition_id) if partition_id is not None else []
        declared = None
        if isinstance(member, Source) and partition_id is not None:
            declared = sources.declared(connection, names.assets[name], partition_id)
        live = next((each for each in made if head and each.id == head.materialization), None)
        account: dict[str, Any] = {
            "asset": name,
            "partition": key,
            "as_of": survey.as_of.isoformat(),
            **_state(connection, member, judged, survey, ordinal, declared),
            "causes": [each.to_json() for each in teller.why_it_would_run(judged)] if judged else [],
            "held": survey.held(name, ordinal),
            "live": _made_data(connection, live) if live else None,
            "became": _became(teller, name, key, live) if live else None,
            "provisional_for": sorted(f"{asset} {part}" for asset, part in head.missing) if head else [],
            "made_without": _made_without(member, judged, head.missing, survey) if head else [],
            "lacks": _lacks(teller, judged, head.missing - {(name, key)}) if head else [],
            "inputs": _inputs_data(connection, live.id) if live else [],
            "gate": _gate_data(connection, survey.facts.suites.get(name), live.data_version if live else None),
            "quarantined": _quarantined(connection, survey.facts, name, made, live),
            "failures": [
                {"at": each.created_at.isoformat(), "run": each.run, "error": each.error}
                for each in made
                if each.status in (records.FAILED, records.DIED)
            ],
        }
    if isinstance(member, Source):
        account["file"] = member.file_of(key)
        account["declared"] = declared
    return account


def _became(teller: Teller, name: str, key: str, live: records.Made) -> dict[str, Any] | None:
    """Say when and why what is live became so, and what made the difference to what was live before."""
    found = teller.why_it_is_live(name, key, live.id)
    if found is None:
        return None
    entry, causes = found
    return {
        "reason": entry.reason,
        "at": entry.at.isoformat(),
        "run": entry.run,
        "by": entry.actor,
        "causes": [each.to_json() for each in causes],
    }


def _made_without(
    member: Source | Asset, judged: Judgement | None, missing: heads.Missing, survey: Survey
) -> list[str]:
    """Return what a head lacks that it would read itself; the rest is missing from what it reads."""
    found = []
    for read in judged.reads if judged else ():
        track, mapping = survey.tracks[read.input.upstream], read.input.mapping
        if isinstance(mapping, Previous):
            continue
        there = {each.key for each in read.members if each.version is not None}
        keys = {key for name, key in missing if name == read.input.upstream} - there
        if keys:
            assert judged is not None
            ordinals = mapping.ordinals(member.grain, track.grain, judged.ordinal)
            found += [f"{track.name} {key}" for key in keys if _is_among(track.grain, key, ordinals)]
    return sorted(set(found))


def _is_among(grain: Grain, key: str, ordinals: Iterable[int]) -> bool:
    try:
        return grain.ordinal(key) in ordinals
    except UsageError:  # the key was taken out of the definition
        return False


def _lacks(teller: Teller, judged: Judgement | None, missing: heads.Missing) -> list[dict[str, Any]]:
    """Say why what a head lacks is missing, and what stands in for it; that it failed itself is said elsewhere."""
    if not missing:
        return []
    instead = teller.substitutes(judged) if judged else ()
    return [each.to_json() for each in (*teller.lacks(missing), *instead)]


def _state(
    connection: sa.Connection,
    member: Source | Asset,
    judged: Judgement | None,
    survey: Survey,
    ordinal: int,
    declared: str | None,
) -> dict[str, str]:
    """Return what a partition is in a word or two, and why."""
    if isinstance(member, Source):
        state, why = source_state(member, survey, ordinal, declared)
    elif judged is None:
        state, why = "does not exist", _why_not_there(member, survey, ordinal)
    else:
        state, why = str(judged.state), why_of(connection, member, judged, survey)
    return {"state": state, "why": why}


def _why_not_there(asset: Asset, survey: Survey, ordinal: int) -> str:
    """Say why an asset has no such partition, for one that the survey does not know."""
    grain, begins = asset.grain, survey.begins[asset.name]
    if isinstance(grain, TimeGrain):
        if grain.ends(ordinal) > survey.as_of:
            return f"its period ends {grain.ends(ordinal):%Y-%m-%d %H:%M} UTC, after {survey.as_of:%Y-%m-%d %H:%M} UTC"
        if begins is None:
            return "nothing of what it reads has been delivered yet"
        if grain.begins(ordinal) < begins:
            return f"what it reads begins {begins:%Y-%m-%d %H:%M} UTC, later than its period"
    absent = [read.upstream for read in asset.inputs if read.mapping.name == "same" and not read.optional]
    return f"one of what it reads for the same period does not exist: {', '.join(absent)}"


def why_of(connection: sa.Connection, asset: Asset, judged: Judgement, survey: Survey) -> str:
    """Say why a partition is in its state, what can be done about it, or what it would be if nothing held it."""
    if judged.state is State.FRESH and not judged.unchecked:
        said = "code, parameters and the content of all inputs are those that it was computed from"
        stopped = judged.head and survey.facts.outcome(asset.name, judged.head.data_version) == Outcome.BLOCKED
        return (
            f"{said}; the gate {asset.gate!r} as it is now would stop it, and takes nothing away" if stopped else said
        )
    stays = judged.state in (State.HELD, State.CLOSED)
    if judged.state is State.FAILED:
        again = f"tidemark run {survey.pipeline.name} --force {asset.name}:{judged.key}"
        return f"{judged.reason}; not tried again until its code, its inputs or its gate change: '{again}' tries it now"
    if judged.state is State.BLOCKED and judged.known.data_version is not None:
        return f"{judged.reason}; it runs again once its code, what it reads or the gate {asset.gate!r} is corrected"
    if judged.reason and not (stays and judged.action_key):
        return judged.reason
    wanted = [judged.head.materialization] if judged.head else []
    before = records.inputs_of(connection, wanted)
    parameters = {number: each.parameters for number, each in records.made(connection, wanted).items()}
    reason = reason_of(asset, judged, survey.facts, before, parameters)
    if stays:
        return f"{judged.reason}; else it would run: {reason}"
    if judged.state is State.FRESH:
        return f"would be checked: {reason}"
    if judged.state is State.KNOWN:
        return f"would be brought back without running: {reason}"
    certainty = certainty_of(asset, judged, before, parameters)
    return f"{'may' if certainty is Certainty.MAY else 'would'} run: {reason}"


def _made_data(connection: sa.Connection, made: records.Made) -> dict[str, Any]:
    code = None
    if made.code_version is not None:
        row = connection.execute(sa.select(code_version).where(code_version.c.id == made.code_version)).one()
        code = {"version": row.fingerprint.hex(), "commit": row.git_commit, "uncommitted_changes": row.git_dirty}
        code["image"] = row.image
    return {
        "version": made.data_version.hex() if made.data_version else None,
        "action_key": made.action_key.hex(),
        "blob": made.blob,
        "rows": made.rows,
        "bytes": made.size,
        "seconds": made.seconds,
        "computed_at": made.created_at.isoformat(),
        "run": made.run,
        "by": made.actor,
        "code": code,
        "image": made.image,
        "bundle": made.bundle,
        "parameters": made.parameters,
    }


def _inputs_data(connection: sa.Connection, number: int) -> list[dict[str, Any]]:
    names = {each.id: each.name for each in registry.assets(connection).values()}
    return [
        {
            "parameter": each.parameter,
            "asset": names[each.asset_id],
            "mapping": each.mapping,
            "members": [{"partition": key, "version": v.hex() if v else None} for key, v, _ in each.members],
        }
        for each in records.inputs_of(connection, [number]).get(number, [])
    ]


def _gate_data(connection: sa.Connection, suite: bytes | None, version: bytes | None) -> dict[str, Any] | None:
    return records.gate_details(connection, suite, version) if suite and version else None


def _quarantined(
    connection: sa.Connection, facts: Facts, name: str, made: list[records.Made], live: records.Made | None
) -> list[dict[str, Any]]:
    """Return the candidates that do not pass the suite as it is now, and what it says of them; what is live is none."""
    suite = facts.suites.get(name)
    if suite is None:
        return []
    found = {}
    for each in made:
        if live is not None and each.data_version == live.data_version:
            continue
        if each.data_version and facts.outcome(name, each.data_version) == Outcome.BLOCKED:
            details = records.gate_details(connection, suite, each.data_version)
            found[each.data_version] = {"version": each.data_version.hex(), "blob": each.blob, "gate": details}
    return list(found.values())


def history_of(deployment: Deployment, pipeline: Pipeline, name: str, key: str) -> list[dict[str, Any]]:
    """Return every head that a partition has had, oldest first; JSON-ready.

    Raises:
        UsageError: the asset or the key is none, and has never been one.

    """
    member = pipeline[name]
    names = register(deployment, pipeline)
    partition_id = names.met(name, key)
    entries: list[heads.HistoryEntry] = []
    if partition_id is not None:
        with deployment.ledger.read() as connection:
            entries = heads.history(connection, deployment.environment, names.assets[name], partition_id)
    if not entries:
        member.grain.ordinal(key)
    return [
        {
            "at": each.at.isoformat(),
            "version": each.data_version.hex() if each.data_version else None,
            "live": each.until_seq is None,
            "provisional_for": sorted(f"{asset} {part}" for asset, part in each.missing),
            "reason": each.reason,
            "run": each.run,
            "by": each.actor,
        }
        for each in entries
    ]


def status_of(deployment: Deployment, catalog: Catalog) -> dict[str, Any]:
    """Return how every source and asset stands, by pipeline; JSON-ready."""
    found: dict[str, Any] = {}
    problems = {file.name: problem for file, problem in catalog.problems.items()}
    # To look at a pipeline registers it, so that one that reads it and was looked at before may be looked at now.
    waiting, before = list(catalog.pipelines.values()), 0
    while waiting and len(waiting) != before:
        before = len(waiting)
        for pipeline in waiting:
            try:
                found[pipeline.name] = _pipeline_status(deployment, pipeline)
                problems.pop(pipeline.name, None)
            except DefinitionError as problem:  # one that cannot be is shown beside those that can
                problems[pipeline.name] = str(problem)
        waiting = [each for each in waiting if each.name in problems]
    pipelines = {name: found[name] for name in catalog.pipelines if name in found}
    return {"environment": deployment.environment, "pipelines": pipelines, "problems": problems}


def _pipeline_status(deployment: Deployment, pipeline: Pipeline) -> dict[str, Any]:
    names = register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        survey, judgements = survey_now(connection, deployment, pipeline, names, whole=True)
        newest = plans.newest(connection, deployment.environment, pipeline.name)
        return {
            "last_run": newest.made_at.isoformat() if newest else None,
            "as_of": newest.as_of.isoformat() if newest else None,
            "sources": {each.name: _source_status(survey, each) for each in pipeline.sources},
            "assets": {
                each.name: _asset_status(survey, each, judgements.get(each.name, [])) for each in pipeline.assets
            },
        }


def _source_status(survey: Survey, source: Source) -> dict[str, Any]:
    track = survey.tracks[source.name]
    views = [(ordinal, view) for ordinal in sorted(track.stored()) if (view := track.view(ordinal)) is not None]
    live = [ordinal for ordinal, view in views if view.version]
    return {
        "delivered": len(live),
        "rejected": [source.grain.key(ordinal) for ordinal, view in views if view.failed],
        "missing": [source.grain.key(ordinal) for ordinal, view in views if view.roots and not view.failed],
        "newest": source.grain.key(live[-1]) if live else None,
    }


def _asset_status(survey: Survey, asset: Asset, judgements: list[Judgement]) -> dict[str, Any]:
    track, held, said = survey.tracks[asset.name], survey.facts.held.get(asset.name, {}), survey.facts.outcome
    states = [judged.state for judged in judgements]
    live = track.kept()
    states += [State.FRESH] * len(live - {judged.ordinal for judged in judgements})
    missing = (head.missing for ordinal in live if (head := track.head(ordinal)) is not None)
    flagged = [
        ordinal
        for ordinal in (sorted(live) if asset.name in survey.facts.suites else ())
        if (head := track.head(ordinal)) is not None
        and said(asset.name, head.data_version) in (Outcome.FLAGGED, Outcome.BLOCKED)
    ]
    return {
        "live": len(live),
        "provisional": sum(map(bool, missing)),
        "newest": asset.grain.key(max(live)) if live else None,
        "flagged": [asset.grain.key(ordinal) for ordinal in flagged],
        "held": held.get(None),
        "held_partitions": [asset.grain.key(ordinal) for ordinal in sorted(each for each in held if each is not None)],
        "states": {state.value: states.count(state) for state in State if states.count(state)},
    }
