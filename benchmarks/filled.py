"""A ledger as a run of everything leaves it, without the run: the only part of the benchmarks that writes rows itself.

What is written: deliveries with their observations, and each step-partition's materialization with its inputs, its head
and its event. Action keys, and what was read, are the survey's own; data versions are made up, and no blob is stored.
What is not: leases, and the items of the run's plan, which nothing that is measured here reads.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline, Source
from tidemark.config import git_commit
from tidemark.deployment import Deployment
from tidemark.explain import readable_parameters
from tidemark.facts import LedgerFacts, Names, declaration_of, register
from tidemark.frames import bytes_version, text_version
from tidemark.hashing import digest
from tidemark.landing import File
from tidemark.ledger import events, heads, records, registry, sources
from tidemark.ledger.heads import FINAL, Head, Move
from tidemark.survey import Judgement, Read, State, Survey, Sweep

GROUP = 5000
"""Partitions written down in one transaction."""

RUN, ACTOR = "filled", "benchmark"

_Each = TypeVar("_Each")


def fill(deployment: Deployment, pipeline: Pipeline, *, as_of: datetime) -> None:
    """Write down what a run of everything would have, up to an instant."""
    names = register(deployment, pipeline)
    for source in pipeline.sources:
        for files in _groups(deployment.landing.files(source.folder)):
            _deliver(deployment, names, source, files)
    survey = Survey(pipeline, LedgerFacts(deployment, pipeline, names), as_of)
    sweep = Sweep(survey, None)
    for asset in pipeline.assets:
        existing = list(sweep.turn(asset))
        with deployment.ledger.write() as connection:
            names.ensure(connection, asset.name, map(asset.grain.key, existing))
            code = registry.code_version_id(connection, asset.code, git_commit(deployment.settings.dags))
        for ordinals in _groups(existing):
            # None of the benchmark's assets reads its own past, so that a group can be judged before it is written.
            judged = [survey.judge(asset, ordinal) for ordinal in ordinals]
            for each, head in zip(judged, _compute(deployment, names, asset, code, judged), strict=True):
                survey.show(asset, each.ordinal, head, FINAL, failed=False)


def _groups(of: Iterable[_Each]) -> Iterator[list[_Each]]:
    rest = iter(of)
    while group := list(islice(rest, GROUP)):
        yield group


def _deliver(deployment: Deployment, names: Names, source: Source, files: Sequence[File]) -> None:
    """Write files down as deliveries that were accepted; they are read, but not copied into the store."""
    keys = [source.key_of(file.name) or "" for file in files]
    payloads = [deployment.landing.read(file.name)[0] for file in files]
    with deployment.ledger.write() as connection:
        names.ensure(connection, source.name, keys)
        written = [
            records.Record(
                asset_id=names.assets[source.name],
                partition_id=names.id_of(source.name, key),
                status=records.DELIVERED,
                action_key=digest("delivery", bytes_version(payload)),
                data_version=bytes_version(payload),
                blob=bytes_version(payload).hex(),
                format="bytes",
                size=len(payload),
            )
            for key, payload in zip(keys, payloads, strict=True)
        ]
        made = _publish(connection, deployment, written, "delivered")
        seen = [
            sources.Observation(
                each.partition_id,
                sources.ACCEPTED,
                file.token,
                True,
                declaration_of(source),
                data_version=each.data_version,
                materialization=number,
            )
            for each, file, number in zip(written, files, made, strict=True)
        ]
        sources.write(connection, deployment.environment, names.assets[source.name], seen)


def _compute(
    deployment: Deployment, names: Names, asset: Asset, code: int, judged: Sequence[Judgement]
) -> Iterator[Head]:
    """Write partitions down as computed, each to something of its own; yields their heads."""
    written = [_record(names, asset, code, each) for each in judged]
    with deployment.ledger.write() as connection:
        made = _publish(connection, deployment, written, "computed: new")
    for each, number in zip(written, made, strict=True):
        assert each.data_version is not None
        yield Head(number, each.action_key, each.data_version, code, FINAL)


def _record(names: Names, asset: Asset, code: int, judged: Judgement) -> records.Record:
    if judged.state is not State.STALE or judged.action_key is None:
        raise SystemExit(f"{judged.asset} {judged.key} is {judged.state}: it would not have run")
    version = text_version(f"{judged.asset} {judged.key}")
    return records.Record(
        asset_id=names.assets[asset.name],
        partition_id=names.id_of(asset.name, judged.key),
        status=records.COMPUTED,
        action_key=judged.action_key,
        code_version=code,
        parameters=readable_parameters(asset.parameters),
        data_version=version,
        schema_digest=digest("schema", "made up"),
        blob=version.hex(),
        format="parquet" if asset.key else "text",
        rows=10 if asset.key else None,
        size=70,
        seconds=0.001,
        inputs=tuple(_input(names, read) for read in judged.reads),
    )


def _input(names: Names, read: Read) -> records.InputRecord:
    members = tuple((each.key, each.version, each.materialization) for each in read.members)
    upstream = names.assets[read.input.upstream]
    return records.InputRecord(read.input.parameter, upstream, str(read.input.mapping), read.digest, members)


def _publish(
    connection: sa.Connection, deployment: Deployment, written: Sequence[records.Record], reason: str
) -> list[int]:
    """Write materializations down, make them the heads, and tell of them; returns their numbers."""
    made = records.write(connection, written, environment=deployment.environment, run=RUN, actor=ACTOR)
    seq = heads.new_change(connection, run=RUN, actor=ACTOR)
    moves = [
        Move(each.asset_id, each.partition_id, None, number, FINAL, reason)
        for each, number in zip(written, made, strict=True)
    ]
    heads.move(connection, deployment.environment, moves, seq)
    told = [
        (each.asset_id, each.partition_id, "final", reason, each.data_version or b"")
        for each in written
        if each.status == records.COMPUTED
    ]
    events.write(connection, deployment.environment, told, seq)
    return made
