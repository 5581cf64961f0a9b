"""Facts: the ledger's answers about one pipeline, read in bulk, in the survey's terms."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset, Input, Pipeline, Source
from tidemark.calendars import Calendar, Due
from tidemark.deployment import Deployment
from tidemark.errors import DefinitionError, UsageError, close
from tidemark.gate import suite_digest
from tidemark.hashing import digest
from tidemark.ledger import acts, heads, plans, records, registry, sources
from tidemark.ledger.schema import code_version
from tidemark.partitions import Grain, Static
from tidemark.pipelines import check_mapping
from tidemark.survey import Delivered, Facts, Gap, Upstream

# Outcomes of a plan's items after which a partition without a head lacks one; none is that of one never reached.
_WITHOUT_RESULT = (None, "failed", "blocked", "waiting")


@dataclass
class Names:
    """Names, keys and ordinals as the ledger's integers, and back.

    Attributes:
        assets: id of each asset.
        grains: grain of each asset.
        partitions: id of each key, by the grain's scheme.
        externals: what is read of other pipelines, as those have registered it.

    """

    assets: dict[str, int]
    grains: dict[str, Grain]
    partitions: dict[str, dict[str, int]] = field(default_factory=dict)
    externals: dict[str, registry.Registered] = field(default_factory=dict)

    def id_of(self, asset: str, key: str) -> int:
        """Return the id of a partition that the ledger has met.

        Raises:
            UsageError: when it has not.

        """
        try:
            return self.partitions[self.grains[asset].scheme][key]
        except KeyError:
            raise UsageError(f"{asset} has no partition {key!r} in the ledger yet") from None

    def ordinals(self, asset: str) -> dict[int, int]:
        """Return the ordinal of each partition id of an asset; keys that its grain has lost are left out."""
        grain = self.grains[asset]
        found = {}
        for key, number in self.partitions[grain.scheme].items():
            try:
                found[number] = grain.ordinal(key)
            except UsageError:
                continue  # a static key that was taken out of the definition
        return found

    def lost(self, asset: str) -> set[int]:
        """Return the ids of the keys that :meth:`ordinals` leaves out."""
        grain = self.grains[asset]
        if not isinstance(grain, Static):
            return set()
        return set(self.partitions[grain.scheme].values()) - self.ordinals(asset).keys()

    def ensure(self, connection: sa.Connection, asset: str, keys: Iterable[str]) -> None:
        """Give ids to keys of an asset that have none."""
        grain = self.grains[asset]
        known = self.partitions.setdefault(grain.scheme, {})
        new = [key for key in keys if key not in known]
        if new:
            registry.ensure_partitions(connection, grain, new)
            known.update(registry.partition_ids(connection, grain))


def register(deployment: Deployment, pipeline: Pipeline) -> Names:
    """Write a pipeline's members down, and check what it reads of other pipelines against the ledger.

    Raises:
        DefinitionError: a name that another pipeline owns, an upstream that nobody has registered, a cycle across
            pipelines.

    """
    members = [
        registry.Registration(
            each.name, _kind(each), each.grain, _static_keys(each.grain), _definition(each), each.where
        )
        for each in pipeline.members
    ]
    with deployment.ledger.write() as connection:
        ids = registry.register(connection, pipeline.name, members)
        known = registry.assets(connection)
        grains = {each.name: each.grain for each in pipeline.members}
        externals = {name: known[name] for name in _checked_externals(pipeline, known)}
        for name, each in externals.items():
            ids[name], grains[name] = each.id, each.grain
        names = Names(ids, grains, externals=externals)
        for grain in grains.values():
            names.partitions[grain.scheme] = registry.partition_ids(connection, grain)
    return names


def _kind(member: Source | Asset) -> str:
    return "source" if isinstance(member, Source) else "asset"


def _static_keys(grain: Grain) -> tuple[str, ...]:
    """Return the keys of a static grain, and none for others: what the ledger keeps to know the grain again."""
    return tuple(grain.keys) if isinstance(grain, Static) else ()


def _definition(member: Source | Asset) -> dict[str, Any]:
    """Return what the ledger keeps of a definition: what other pipelines and other commands need to know of it."""
    shared: dict[str, Any] = {"owner": member.owner, "gate": member.gate, "pii": sorted(member.pii)}
    shared["start"] = getattr(member.grain, "start", None)
    if isinstance(member, Source):
        expected = member.expected.to_json() if member.expected else None
        due = member.due.to_json() if member.due else None
        return {**shared, "files": member.files, "expected": expected, "due": due}
    closes_after = member.closes_after.total_seconds() if member.closes_after is not None else None
    reads = [[read.upstream, str(read.mapping)] for read in member.inputs]
    key = list(member.key) if member.key else None
    return {**shared, "key": key, "closes_after": closes_after, "inputs": reads}


def _checked_externals(pipeline: Pipeline, known: Mapping[str, registry.Registered]) -> list[str]:
    for reader in pipeline.assets:
        for read in reader.inputs:
            if read.external:
                _check_external(reader, read, known)
    return list(pipeline.externals)


def _check_external(reader: Asset, read: Input, known: Mapping[str, registry.Registered]) -> None:
    upstream = known.get(read.upstream)
    if upstream is None:
        raise DefinitionError(
            f"{reader.where}: ref({read.upstream!r}): no pipeline has registered it{close(read.upstream, known)}; "
            "if it is new, run its pipeline first"
        )
    check_mapping(reader, read, upstream.grain)
    path = _path(read.upstream, reader.name, known)
    if path:
        raise DefinitionError(
            f"{reader.where}: {' reads '.join([reader.name, *path])}, a circle across pipelines: "
            "take one of these inputs away"
        )


def _path(start: str, goal: str, known: Mapping[str, registry.Registered]) -> list[str]:
    """Return a way from an asset to another along what each reads, or nothing; an asset's own past leads nowhere."""
    paths = [[start]]
    seen = {start}
    while paths:
        path = paths.pop()
        reads = known[path[-1]].definition.get("inputs", ()) if path[-1] in known else ()
        for upstream, mapping in reads:
            if upstream == goal:
                return [*path, upstream]
            if mapping != "previous()" and upstream not in seen:
                seen.add(upstream)
                paths.append([*path, upstream])
    return []


def definitions_digest(deployment: Deployment, pipeline: Pipeline) -> bytes:
    """Return a digest of all that a person can change in the files: code, parameters, mappings, calendars, suites."""
    parts: list[object] = []
    for source in pipeline.sources:
        expected = source.expected.canonical() if source.expected else None
        due = source.due.canonical() if source.due else None
        parts.append((source.name, declaration_of(source), source.grain.canonical(), expected, due))
    for each in pipeline.assets:
        reads = [
            (read.parameter, read.upstream, read.mapping.canonical(), read.mapping.strict, read.mapping.early)
            for read in each.inputs
        ]
        parts.append((each.name, each.code.digest, dict(each.parameters), reads, each.grain.canonical()))
        parts.append((each.key, each.ordered, each.closes_after))
    suites = suites_of(deployment, pipeline)
    return digest(parts, suites)


def declaration_of(source: Source) -> bytes:
    """Return a digest of what decides how a source's file is read."""
    schema = [(name, kind.__name__) for name, kind in source.schema.items()] if source.schema is not None else None
    return digest(source.files, schema, source.newline_at_end)


def suites_of(deployment: Deployment, pipeline: Pipeline) -> dict[str, bytes]:
    """Return the digest of each gated member's suite."""
    gated = [(each.name, each.gate) for each in pipeline.members if each.gate]
    return {name: suite_digest(deployment.suite(pipeline, gate)) for name, gate in gated}


def read_facts(deployment: Deployment, pipeline: Pipeline, names: Names) -> Facts:
    """Read everything that a survey of the pipeline needs, as of one moment."""
    suites = suites_of(deployment, pipeline)
    with deployment.ledger.read() as connection:
        externals = {
            name: _external_source(name, each) if each.kind == "source" else _upstream(connection, deployment, each)
            for name, each in names.externals.items()
        }
        observed = [source.name for source in (*pipeline.sources, *externals.values()) if isinstance(source, Source)]
        seen = {name: sources.seen(connection, deployment.environment, names.assets[name]) for name in observed}
        held = acts.holds(connection, deployment.environment)
        outcomes = {each: records.gate_outcomes(connection, each) for each in set(suites.values())}
        return Facts(
            heads={name: read_heads(connection, deployment, names, name) for name in names.assets},
            delivered={name: _delivered(names, name, seen[name]) for name in observed},
            absent={name: absent_of(connection, names, name, seen[name]) for name in observed},
            held={name: _held(names, name, held.get(number, {})) for name, number in names.assets.items()},
            known=_known_reader(deployment, names, suites),
            codes=_codes(connection, pipeline),
            suites=suites,
            outcomes=outcomes,
            externals=externals,
            seq=heads.newest_change(connection),
            made=records.newest(connection),
        )


def _external_source(name: str, registered: registry.Registered) -> Source:
    """Return a source of another pipeline as far as its readers need it: what is expected, and when it is due."""
    kept = registered.definition
    expected = Calendar.from_json(kept["expected"]) if kept["expected"] else None
    due = Due.from_json(kept["due"]) if kept["due"] else None
    return Source(name, kept["files"], registered.grain, expected=expected, due=due)


def _upstream(connection: sa.Connection, deployment: Deployment, registered: registry.Registered) -> Upstream:
    """Return an asset of another pipeline as that pipeline's newest plan here has left it, or else the one in prod."""
    seconds = registered.definition["closes_after"]
    closes_after = timedelta(seconds=seconds) if seconds is not None else None
    plan = plans.newest(connection, deployment.environment, registered.pipeline) or plans.newest(
        connection, heads.PROD, registered.pipeline
    )
    if plan is None:
        return Upstream(registered.grain, closes_after)
    name, grain = registered.name, registered.grain
    lost = _lost(grain)
    gaps: dict[int, Gap] = {}
    unreached: set[int] = set()
    for asset, key, missing, undue, failed in plan.context["gaps"]:
        if asset == name and not lost(key):
            due = datetime.fromisoformat(undue) if undue else None
            gaps[grain.ordinal(key)] = Gap(frozenset((of, part) for of, part in missing), due, failed)
    for item in plans.items(connection, plan.id, asset_id=registered.id):
        if item.outcome not in _WITHOUT_RESULT or lost(item.partition):
            continue
        ordinal = grain.ordinal(item.partition)
        gaps[ordinal] = Gap(frozenset({(name, item.partition)}), None, item.outcome in ("failed", "blocked"))
        if item.outcome is None:
            unreached.add(ordinal)
    return Upstream(grain, closes_after, gaps, frozenset(unreached))


def _lost(grain: Grain) -> Callable[[str], bool]:
    """Return a function that says whether a key was taken out of the definition since it was written down."""
    keys = _static_keys(grain)
    return lambda key: bool(keys) and key not in keys


def read_heads(connection: sa.Connection, deployment: Deployment, names: Names, asset: str) -> dict[int, heads.Head]:
    """Return an asset's live heads by ordinal."""
    ordinals = names.ordinals(asset)
    live = heads.current(connection, deployment.environment, names.assets[asset])
    return {ordinals[number]: head for number, head in live.items() if number in ordinals}


def _delivered(names: Names, source: str, seen: Mapping[int, sources.Seen]) -> dict[int, Delivered]:
    ordinals = names.ordinals(source)
    return {
        ordinals[number]: Delivered(
            each.newest.outcome != sources.WITHDRAWN,
            each.newest.problem or "rejected" if each.newest.outcome == sources.REJECTED else None,
        )
        for number, each in seen.items()
        if number in ordinals
    }


def absent_of(connection: sa.Connection, names: Names, source: str, seen: Mapping[int, sources.Seen]) -> frozenset[int]:
    """Return the partitions that are declared absent; who did so has not known of a file that was rejected since."""
    asset_id, ordinals = names.assets[source], names.ordinals(source)
    declared = sources.declared_absent(connection, asset_id)

    def stands(number: int) -> bool:
        newest = seen[number].newest if number in seen else None
        if newest is None or newest.outcome != sources.REJECTED:
            return True
        return sources.rejected_since(connection, asset_id, newest) <= declared[number]

    return frozenset(ordinals[number] for number in declared if number in ordinals and stands(number))


def _held(names: Names, asset: str, held: Mapping[int | None, str]) -> dict[int | None, str]:
    ordinals = names.ordinals(asset) if any(number is not None for number in held) else {}
    return {
        None if number is None else ordinals[number]: why
        for number, why in held.items()
        if number is None or number in ordinals
    }


def _known_reader(deployment: Deployment, names: Names, suites: Mapping[str, bytes]) -> Any:
    """Return a function that reads what is known of an asset's action keys, once an asset."""

    @cache
    def known(asset: str) -> dict[tuple[int, bytes], records.Known]:
        ordinals = names.ordinals(asset)
        with deployment.ledger.read() as connection:
            found = records.known(
                connection, names.assets[asset], environment=deployment.environment, suite=suites.get(asset)
            )
        return {(ordinals[number], key): each for (number, key), each in found.items() if number in ordinals}

    return known


def _codes(connection: sa.Connection, pipeline: Pipeline) -> dict[str, int | None]:
    wanted = {each.name: each.code.digest for each in pipeline.assets}
    query = sa.select(code_version.c.fingerprint, code_version.c.id)
    met = {row[0]: row[1] for row in connection.execute(query.where(code_version.c.fingerprint.in_(wanted.values())))}
    return {name: met.get(code) for name, code in wanted.items()}
