"""Facts: the ledger's answers about one pipeline, in the survey's terms; read when they are first asked for."""

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from tidemark.assets import CHAMPIONS, Asset, Input, Pipeline, Source, champion_of, model_of
from tidemark.calendars import Calendar, Due
from tidemark.deployment import Deployment
from tidemark.errors import DefinitionError, UsageError, close
from tidemark.gate import suite_digest
from tidemark.hashing import digest
from tidemark.ledger import acts, gaps, heads, plans, records, registry, sources
from tidemark.ledger.gaps import Gap
from tidemark.ledger.registry import Ids
from tidemark.ledger.schema import code_version
from tidemark.partitions import Grain, Static, TimeGrain
from tidemark.pipelines import check_mapping
from tidemark.survey import Delivered, Stored, Upstream, survey

T = TypeVar("T")


@dataclass
class Names:
    """Names, keys and ordinals as the ledger's integers, and back.

    Attributes:
        assets: id of each asset.
        grains: grain of each asset.
        ids: ids of the partitions of each scheme.
        externals: what is read of other pipelines, as those have registered it.
        warnings: sentences about what is read and may be meant otherwise.

    """

    assets: dict[str, int]
    grains: dict[str, Grain]
    ids: dict[str, Ids]
    externals: dict[str, registry.Registered] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    _met: set[int] = field(default_factory=set)

    def id_of(self, asset: str, key: str) -> int:
        """Return the id of a partition.

        Raises:
            UsageError: it is no key of the asset's grain, nor has ever been one.

        """
        grain = self.grains[asset]
        ids = self.ids[grain.scheme]
        if isinstance(grain, TimeGrain):
            return ids.of_time(grain.ordinal(key))
        if key not in ids.keys:
            grain.ordinal(key)
            raise UsageError(f"{asset} has no partition {key!r} in the ledger yet")
        return ids.keys[key]

    def met(self, asset: str, key: str) -> int | None:
        """Return the id of a partition, None of a key that the ledger cannot have met."""
        try:
            return self.id_of(asset, key)
        except UsageError:
            return None

    def id_at(self, asset: str, ordinal: int) -> int:
        """Return the id of a partition by its number in its grain."""
        grain = self.grains[asset]
        ids = self.ids[grain.scheme]
        return ids.of_time(ordinal) if isinstance(grain, TimeGrain) else ids.keys[grain.key(ordinal)]

    def is_met(self, asset: str, ordinal: int) -> bool:
        """Return whether a partition can have an id: those of grains of time are computed."""
        grain = self.grains[asset]
        return isinstance(grain, TimeGrain) or grain.key(ordinal) in self.ids[grain.scheme].keys

    def by_ordinal(self, asset: str, found: Mapping[int, T]) -> dict[int, T]:
        """Return what is by partition id by ordinal; keys that the grain has lost are left out."""
        grain = self.grains[asset]
        ids = self.ids[grain.scheme]
        if isinstance(grain, TimeGrain):
            zero = ids.of_time(0)
            return {number - zero: each for number, each in found.items()}
        ordinals = self._ordinals(grain, ids)
        return {ordinals[number]: each for number, each in found.items() if number in ordinals}

    def ordinal(self, asset: str, partition_id: int) -> int | None:
        """Return the number of a partition in its grain, None of a key that the grain has lost."""
        return next(iter(self.by_ordinal(asset, {partition_id: None})), None)

    @staticmethod
    def _ordinals(grain: Grain, ids: Ids) -> dict[int, int]:
        keys = grain.keys if isinstance(grain, Static) else ("all",)
        return {ids.keys[key]: place for place, key in enumerate(keys) if key in ids.keys}

    def held(self, asset: str, held: Mapping[int | None, str]) -> dict[int | None, str]:
        """Return why an asset (None) or its partitions are held, by ordinal."""
        parts = {number: why for number, why in held.items() if number is not None}
        found: dict[int | None, str] = {ordinal: why for ordinal, why in self.by_ordinal(asset, parts).items()}
        if None in held:
            found[None] = held[None]
        return found

    def lost(self, asset: str) -> set[int]:
        """Return the ids of keys that the asset's grain has lost."""
        grain = self.grains[asset]
        if not isinstance(grain, Static):
            return set()
        ids = self.ids[grain.scheme]
        return set(ids.keys.values()) - self._ordinals(grain, ids).keys()

    def key_of(self, asset: str, partition_id: int) -> str | None:
        """Return the key of a partition, also of one that its grain has lost."""
        grain = self.grains[asset]
        ids = self.ids[grain.scheme]
        if isinstance(grain, TimeGrain):
            return grain.key(ids.ordinal(partition_id))
        return next((key for key, number in ids.keys.items() if number == partition_id), None)

    def ensure(self, connection: sa.Connection, asset: str, keys: Iterable[str]) -> None:
        """Write keys of an asset down that the ledger has not met."""
        grain = self.grains[asset]
        new = [key for key in keys if not self._is_written(grain, key)]
        if new:
            found = registry.ensure_partitions(connection, grain, new)
            if isinstance(grain, TimeGrain):
                self._met.update(found.values())
            else:
                self.ids[grain.scheme].keys.update(found)

    def renew(self, connection: sa.Connection) -> None:
        """Learn of keys that others have written down since; ids of grains of time are computed."""
        for grain in {each.scheme: each for each in self.grains.values()}.values():
            if not isinstance(grain, TimeGrain):
                self.ids[grain.scheme].keys.update(registry.partition_ids(connection, grain))

    def _is_written(self, grain: Grain, key: str) -> bool:
        ids = self.ids[grain.scheme]
        return ids.of_time(grain.ordinal(key)) in self._met if isinstance(grain, TimeGrain) else key in ids.keys


def register(deployment: Deployment, pipeline: Pipeline) -> Names:
    """Write a pipeline's members down, and check what it reads of other pipelines against the ledger.

    Raises:
        DefinitionError: a name that another pipeline owns, an upstream that nobody has registered, a cycle across
            pipelines.

    """
    members = [
        registry.Registration(
            each.name, _kind(each), each.grain, _static_keys(each.grain), _definition(each, pipeline), each.where
        )
        for each in pipeline.members
    ]
    champions = _champions(pipeline)
    with deployment.ledger.read() as connection:
        known = registry.assets(connection)
    names = [each.name for each in pipeline.members]
    # What a branch has taken out is still there for everybody else.
    gives_up = deployment.environment == heads.PROD and registry.newly_given_up(known, pipeline.name, names)
    registered = registry.is_registered(known, pipeline.name, members)
    if gives_up or not registered or not registry.is_registered(known, CHAMPIONS_OF_ALL, champions):
        with deployment.ledger.write() as connection:
            registry.register(connection, pipeline.name, members)
            registry.register(connection, CHAMPIONS_OF_ALL, champions)
            if gives_up:
                registry.give_up(connection, pipeline.name, names)
            registry.ensure_schemes(connection, [each.grain for each in (*pipeline.members, *champions)])
            known = registry.assets(connection)
            externals = {name: known[name] for name in _checked_externals(pipeline, known)}
    else:
        externals = {name: known[name] for name in _checked_externals(pipeline, known)}
    ids = {each.name: known[each.name].id for each in pipeline.members}
    grains = {each.name: each.grain for each in pipeline.members}
    for name, each in externals.items():
        ids[name], grains[name] = each.id, each.grain
    with deployment.ledger.read() as connection:
        schemes = registry.scheme_ids(connection, grains.values())
    return Names(ids, grains, schemes, externals, tuple(_unknown_models(pipeline, known)))


def _unknown_models(pipeline: Pipeline, known: Mapping[str, registry.Registered]) -> Iterable[str]:
    """Yield a sentence for each model that is read and that no pipeline has: it may come, or be misspelt."""
    models = [each.name for each in known.values() if each.definition.get("model")]
    for name, where in dict(_reading(pipeline)).items():
        model = model_of(name)
        if model is None or (model in known and not known[model].is_given_up):
            continue
        if model in known:
            yield f"{where}: no pipeline has the model {model!r} any more: its champion stays until it is rolled back"
        else:
            unknown = f"no pipeline has registered the model {model!r}{close(model, models)}"
            yield f"{where}: {unknown}; until one has, None is read"


# Champions belong to no pipeline: a reader may be there before the model that it reads.
CHAMPIONS_OF_ALL = "(champions)"  # no pipeline can have this name
CHAMPION = "champion"


def _champions(pipeline: Pipeline) -> list[registry.Registration]:
    """Return the champions of a pipeline's models, and of the models that it reads."""
    models = {champion_of(each.name): each.where for each in pipeline.assets if each.is_model}
    read = {name: where for name, where in _reading(pipeline) if model_of(name)}
    return [
        registry.Registration(name, CHAMPION, CHAMPIONS, (), {"inputs": []}, where)
        for name, where in (read | models).items()
    ]


def _reading(pipeline: Pipeline) -> Iterable[tuple[str, str]]:
    return ((read.upstream, each.where) for each in pipeline.assets for read in each.inputs)


def _kind(member: Source | Asset) -> str:
    return "source" if isinstance(member, Source) else "asset"


def _static_keys(grain: Grain) -> tuple[str, ...]:
    """Return the keys of a static grain, and none for others: what the ledger keeps to know the grain again."""
    return tuple(grain.keys) if isinstance(grain, Static) else ()


def _definition(member: Source | Asset, pipeline: Pipeline) -> dict[str, Any]:
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
    more: dict[str, Any] = {"model": True} if member.is_model else {}
    if member.name in pipeline.reports:
        more["report"] = True
    if retrains := sorted(model for model, asking in pipeline.retrains.items() if asking == member.name):
        more["retrains"] = retrains
    if pipeline.deadline is not None:
        # The ledger knows pipelines by their assets alone.
        when = {"schedule": pipeline.schedule, "timezone": pipeline.timezone}
        more["deadline"] = {"due": pipeline.deadline.to_json(), **when}
    return {**shared, "key": key, "closes_after": closes_after, "inputs": reads, **more}


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
    model = known.get(model_of(read.upstream) or "")
    if model is not None and not model.definition.get("model"):
        raise DefinitionError(f"{reader.where}: in_force(): {model.name!r} is no model: read it by another mapping")
    if upstream.is_given_up:
        raise DefinitionError(
            f"{reader.where}: ref({read.upstream!r}): its pipeline {upstream.pipeline!r} has it no longer, so that "
            "nothing new of it will come: read another, or take this out"
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
        there = path[-1] in known and not known[path[-1]].is_given_up
        reads = known[path[-1]].definition.get("inputs", ()) if there else ()
        for upstream, mapping in reads:
            if upstream == goal:
                return [*path, upstream]
            if mapping != "previous()" and upstream not in seen:
                seen.add(upstream)
                paths.append([*path, upstream])
    return []


def definitions_digest(
    deployment: Deployment, pipeline: Pipeline, externals: Mapping[str, registry.Registered] | None = None
) -> bytes:
    """Return a digest of all that a person can change in the files: code, parameters, mappings, calendars, suites.

    Args:
        deployment: where; its suites count.
        pipeline: the definitions.
        externals: what is read of other pipelines, as far as those have registered it.

    """
    parts: list[object] = []
    for name, registered in (externals or {}).items():
        told = registered.definition
        parts.append((name, registered.kind, registered.grain.canonical(), getattr(registered.grain, "start", None)))
        parts.append(json.dumps([told.get(each) for each in ("files", "due", "closes_after")]))
        # A calendar is more than it was registered with: the days of its region may be others by now.
        parts.append(Calendar.from_json(told["expected"]).canonical() if told.get("expected") else None)
    for source in pipeline.sources:
        expected = source.expected.canonical() if source.expected else None
        due = source.due.canonical() if source.due else None
        parts.append((source.name, declaration_of(source), source.grain.canonical(), expected, due))
        parts.append(getattr(source.grain, "start", None))
    for each in pipeline.assets:
        reads = [
            (read.parameter, read.upstream, read.mapping.canonical(), read.mapping.strict, read.mapping.early)
            for read in each.inputs
        ]
        parts.append((each.name, each.code.digest, dict(each.parameters), reads, each.grain.canonical()))
        parts.append((each.key, each.ordered, each.closes_after, getattr(each.grain, "start", None)))
    suites = suites_of(deployment, pipeline)
    return digest(survey.SCHEME_VERSION, parts, suites)


def declaration_of(source: Source) -> bytes:
    """Return a digest of what decides how a source's file is read."""
    schema = [(name, kind.__name__) for name, kind in source.schema.items()] if source.schema is not None else None
    return digest(source.files, schema, source.newline_at_end)


def suites_of(deployment: Deployment, pipeline: Pipeline) -> dict[str, bytes]:
    """Return the digest of each gated member's suite."""
    gated = [(each.name, each.gate) for each in pipeline.members if each.gate]
    return {name: suite_digest(deployment.suite(pipeline, gate)) for name, gate in gated}


class LedgerFacts:
    """What a survey asks, answered by the ledger; see :class:`tidemark.survey.Facts`.

    Args:
        deployment: where; its environment is asked about.
        pipeline: the definitions.
        names: ids of the pipeline's members and keys.
        connection: a transaction in which everything is read, so that all answers are of one moment; None: each answer
            is of the moment at which it is asked for, and who asks makes sure that nothing has changed since.

    """

    def __init__(
        self, deployment: Deployment, pipeline: Pipeline, names: Names, connection: sa.Connection | None = None
    ) -> None:
        self.environment = deployment.environment
        self.pipeline = pipeline
        self.names = names
        self._ledger = deployment.ledger
        self._connection = connection
        self.suites: Mapping[str, bytes] = suites_of(deployment, pipeline)
        self._images = {each.name: each.image for each in pipeline.assets}
        self._known: dict[str, dict[tuple[int, bytes], records.Known]] = {}
        self._expected: dict[str, set[int]] = {}
        self._asked: dict[str, set[int]] = {}
        self._outcomes: dict[str, dict[bytes, str]] = {}
        self._absent: dict[str, frozenset[int]] = {}
        self._spans: dict[str, range] = {}
        with self.reading() as reading:
            self.seq = heads.newest_change(reading)
            names.renew(reading)  # or changes up to this number would be left out for good
            self.made = records.newest(reading)
            self.externals: Mapping[str, Source | Upstream] = {
                name: _external_source(name, each) if each.kind == "source" else _upstream(reading, deployment, each)
                for name, each in names.externals.items()
            }
            self.codes: Mapping[str, int | None] = _codes(reading, pipeline)
            held = acts.holds(reading, deployment.environment)
            # Where all answers are of one moment, most assets need not be asked about gaps.
            of_one = connection is not None and not connection.get_execution_options().get("tidemark_writes")
            self._gapped = gaps.assets_with(reading, self.environment, pipeline.name) if of_one else None
        self.held: Mapping[str, Mapping[int | None, str]] = {
            name: names.held(name, held[number]) for name, number in names.assets.items() if number in held
        }

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Return the transaction in which answers are read now."""
        return nullcontext(self._connection) if self._connection is not None else self._ledger.read()

    def stored(self, asset: str, ordinals: range | None) -> Stored:
        """Return what is kept of a range of an asset's partitions; None: of all."""
        names, environment, number = self.names, self.environment, self.names.assets[asset]
        limits = None if ordinals is None else self._limits(asset, ordinals)
        between = limits or (None, None)
        with self.reading() as connection:
            live = heads.current(connection, environment, number, *between)
            lacking: Mapping[int, Gap] = {}
            if self._gapped is None or number in self._gapped:
                lacking = gaps.read(connection, environment, self.pipeline.name, number, *between)
        return Stored(names.by_ordinal(asset, live), names.by_ordinal(asset, lacking))

    def _limits(self, asset: str, ordinals: range) -> tuple[int, int]:
        ids = self.names.ids[self.names.grains[asset].scheme]
        return ids.of_time(ordinals.start), ids.of_time(ordinals.stop - 1)

    def span(self, asset: str) -> range:
        """Return a range in which all partitions are of which something is kept."""
        found = self._spans.get(asset)
        if found is None:
            grain, number = self.names.grains[asset], self.names.assets[asset]
            if not isinstance(grain, TimeGrain):
                found = range(len(getattr(grain, "keys", ("all",))))
            else:
                with self.reading() as connection:
                    ends = heads.ends(connection, self.environment, self.pipeline.name, number)
                ids = self.names.ids[grain.scheme]
                found = range(ids.ordinal(ends[0]), ids.ordinal(ends[1]) + 1) if ends else range(0)
            self._spans[asset] = found
        return found

    def delivered(self, source: str, ordinals: Collection[int] | None) -> Mapping[int, Delivered]:
        """Return what was observed of some partitions of a source; None: of all."""
        number = self.names.assets[source]
        names = self.names
        ids = (
            None if ordinals is None else [names.id_at(source, each) for each in ordinals if names.is_met(source, each)]
        )
        with self.reading() as connection:
            said = sources.said(connection, self.environment, number, ids)
        return {
            ordinal: Delivered(
                outcome != sources.WITHDRAWN, problem or "rejected" if outcome == sources.REJECTED else None
            )
            for ordinal, (outcome, problem) in self.names.by_ordinal(source, said).items()
        }

    def absent(self, source: str) -> frozenset[int]:
        """Return which partitions of a source people declared absent."""
        found = self._absent.get(source)
        if found is None:
            with self.reading() as connection:
                found = absent_of(connection, self.environment, self.names, source)
            self._absent[source] = found
        return found

    def expect(self, asset: str, ordinals: Collection[int]) -> None:
        """Hear which partitions of an asset will be asked about: what is known of them is read in one go."""
        self._expected[asset] = set(ordinals)

    def known(self, asset: str, ordinal: int, action_key: bytes) -> records.Known:
        """Return what is known of an action key.

        Each partition is read once: what is written down since is the asker's own, or a change that he notices.
        """
        found, asked = self._known.setdefault(asset, {}), self._asked.setdefault(asset, set())
        if ordinal not in asked:
            expected = self._expected.get(asset, set())
            wanted = expected - asked if ordinal in expected else {ordinal}
            found.update(self._read_known(asset, wanted))
            asked |= wanted
        return found.get((ordinal, action_key), records.UNKNOWN)

    def _read_known(self, asset: str, ordinals: Collection[int]) -> dict[tuple[int, bytes], records.Known]:
        suite, environment = self.suites.get(asset), self.environment
        number, names = self.names.assets[asset], self.names
        ordinals = [ordinal for ordinal in ordinals if names.is_met(asset, ordinal)]
        ids = [names.id_at(asset, ordinal) for ordinal in ordinals]
        with self.reading() as connection:
            said = records.known(
                connection,
                number,
                environment=environment,
                suite=suite,
                partition_ids=ids,
                image=self._images.get(asset),
            )
        by_id = dict(zip(ids, ordinals, strict=True))
        return {(by_id[partition_id], key): each for (partition_id, key), each in said.items()}

    def outcome(self, asset: str, version: bytes) -> str | None:
        """Return what the asset's suite said of a data version; None: it was not asked, or there is no suite."""
        suite = self.suites.get(asset)
        if suite is None:
            return None
        said = self._outcomes.get(asset)
        if said is None:
            with self.reading() as connection:
                said = records.gate_outcomes(connection, suite)
            self._outcomes[asset] = said
        return said.get(version)

    def learn(self, asset: str, version: bytes, outcome: str) -> None:
        """Hear what the asset's suite has just said."""
        self._outcomes.setdefault(asset, {})[version] = outcome


def _external_source(name: str, registered: registry.Registered) -> Source:
    """Return a source of another pipeline as far as its readers need it: what is expected, and when it is due."""
    kept = registered.definition
    expected = Calendar.from_json(kept["expected"]) if kept["expected"] else None
    due = Due.from_json(kept["due"]) if kept["due"] else None
    return Source(name, kept["files"], registered.grain, expected=expected, due=due)


def _upstream(connection: sa.Connection, deployment: Deployment, registered: registry.Registered) -> Upstream:
    """Return an asset of another pipeline as that pipeline's newest plan here has left it, or else the one in prod."""
    if registered.kind == CHAMPION:  # what a person has promoted lacks nothing, and is never closed
        return Upstream(registered.grain)
    seconds = registered.definition["closes_after"]
    closes_after = timedelta(seconds=seconds) if seconds is not None else None
    places = dict.fromkeys((deployment.environment, heads.PROD))
    found = ((place, plans.newest(connection, place, registered.pipeline)) for place in places)
    environment, plan = next(((place, plan) for place, plan in found if plan is not None), (heads.PROD, None))
    if plan is None:
        return Upstream(registered.grain, closes_after)
    name, grain = registered.name, registered.grain
    names = Names({name: registered.id}, {name: grain}, registry.scheme_ids(connection, [grain]))
    kept = names.by_ordinal(name, gaps.read(connection, environment, registered.pipeline, registered.id))
    left = {
        number: None
        for asset_id, number in plans.places(connection, plan.id, left_over=True)
        if asset_id == registered.id
    }
    unreached = names.by_ordinal(name, left)
    waits = {ordinal: Gap(frozenset({(name, grain.key(ordinal))})) for ordinal in unreached}
    return Upstream(grain, closes_after, {**kept, **waits}, frozenset(unreached))


def instant_of(connection: sa.Connection, deployment: Deployment) -> datetime:
    """Return what is taken for now where nobody plans: the instant of the newest plan here, or else in ``prod``."""
    found = (plans.newest_as_of(connection, place) for place in (deployment.environment, heads.PROD))
    return next((each for each in found if each is not None), deployment.settings.as_of or datetime.now(UTC))


def read_heads(
    connection: sa.Connection, deployment: Deployment, names: Names, asset: str, ordinal: int | None = None
) -> dict[int, heads.Head]:
    """Return an asset's live heads by ordinal, or that of one of its partitions."""
    between: tuple[int | None, int | None] = (None, None)
    if ordinal is not None:
        if not names.is_met(asset, ordinal):
            return {}
        between = (names.id_at(asset, ordinal),) * 2
    return names.by_ordinal(asset, heads.current(connection, deployment.environment, names.assets[asset], *between))


def absent_of(connection: sa.Connection, environment: str, names: Names, source: str) -> frozenset[int]:
    """Return the partitions that are declared absent; who did so has not known of a file that was rejected since."""
    asset_id = names.assets[source]
    declared = sources.declared_absent(connection, asset_id)
    if not declared:
        return frozenset()
    seen = sources.seen(connection, environment, asset_id, declared)

    def stands(number: int) -> bool:
        newest = seen[number].newest if number in seen else None
        if newest is None or newest.outcome != sources.REJECTED:
            return True
        return sources.rejected_since(connection, asset_id, newest) <= declared[number]

    return frozenset(names.by_ordinal(source, {number: None for number in declared if stands(number)}))


def _codes(connection: sa.Connection, pipeline: Pipeline) -> dict[str, int | None]:
    wanted = {each.name: each.code.digest for each in pipeline.assets}
    query = sa.select(code_version.c.fingerprint, code_version.c.id)
    met = {row[0]: row[1] for row in connection.execute(query.where(code_version.c.fingerprint.in_(wanted.values())))}
    return {name: met.get(code) for name, code in wanted.items()}
