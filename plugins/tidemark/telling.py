"""Telling causes: why a partition would run, or has run, as a tree down to what somebody delivered, edited or decided.

Invariants: the tree is bounded in depth and breadth, and says where it was cut; nothing is told twice, so that a change
of code that all days share is told once, and an asset that reads its own past leads nowhere round; nothing is written.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import cache, cached_property, partial
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline, Source, model_of
from tidemark.causes import BREADTH, Cause, Code, Kind, by, code_causes, code_of, cut, folded, present_code
from tidemark.commits import last_commit
from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.explain import (
    SORTED_OTHERWISE,
    Change,
    Taken,
    Verb,
    Version,
    certainty_of,
    changed_parameters,
    changes_between,
    other_mapping,
    readable_parameters,
    short,
    taken_now,
)
from tidemark.facts import Names
from tidemark.ledger import heads, records, registry, sources
from tidemark.ledger.heads import HistoryEntry, Missing
from tidemark.ledger.records import InputRecord, Made
from tidemark.mappings import Newest
from tidemark.partitions import TimeGrain
from tidemark.survey import Judgement, Read, State, Survey

# How deep a tree goes; how many partitions of a level are looked at for one that has more behind it than its
# neighbours; how many a whole tree looks at; and how far an asset's own past is followed to where a change came in.
DEPTH, EXAMINED, MOST, PAST = 12, 40, 400, 400


@dataclass(frozen=True)
class Recipe:
    """By what a result is made, or was; a delivery by nothing that can be compared."""

    asset: str
    key: str
    action_key: bytes | None
    code: Code | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    taken: tuple[Taken, ...] = ()


def moment(made: Made | HistoryEntry) -> str:
    """Return when, in which run and by whom something was done."""
    at = made.created_at if isinstance(made, Made) else made.at
    return f"{at:%Y-%m-%d %H:%M} UTC in {made.run} by {made.actor}"


class Teller:
    """Tells causes as of one survey, from one ledger; what it has told once it only names afterwards.

    Args:
        connection: a reading connection.
        deployment: where.
        pipeline: the definitions.
        names: ids of the pipeline's members and keys.
        survey: what is judged now.
        judge: returns what it says of a partition, by asset and key; None: it does not exist.

    """

    def __init__(
        self,
        connection: sa.Connection,
        deployment: Deployment,
        pipeline: Pipeline,
        names: Names,
        survey: Survey,
        judge: Callable[[str, str], Judgement | None],
    ) -> None:
        self._connection = connection
        self._deployment = deployment
        self._pipeline = pipeline
        self._names = names
        self._survey = survey
        self._judged = cache(judge)
        self._told: set[tuple[object, ...]] = set()

    def _own(self, name: str, key: str) -> Judgement | None:
        """Return the judgement of a partition of one of the pipeline's assets, None of any other."""
        return self._judged(name, key) if any(each.name == name for each in self._pipeline.assets) else None

    @cached_property
    def _registered(self) -> dict[str, registry.Registered]:
        return registry.assets(self._connection)

    @cached_property
    def _asset_names(self) -> dict[int, str]:
        return {each.id: each.name for each in self._registered.values()}

    # -- what would run

    def why_it_would_run(self, judged: Judgement, depth: int = DEPTH) -> tuple[Cause, ...]:
        """Say what a partition would be computed from that its head was not; nothing where nothing differs."""
        asset = self._pipeline.asset(judged.asset)
        found: list[Cause] = []
        if judged.unchecked and asset.gate:
            found.append(self._other_gate(asset))
        if judged.state is State.WAITING:
            found += self.lacks(judged.roots, depth)
        elif judged.head is None:
            found.append(Cause(Kind.NEW, "nothing is live for it yet", judged.asset, judged.key))
        elif judged.action_key is not None and judged.action_key != judged.head.action_key:
            found += self._between(self._recipe(judged.head.materialization), self._recipe_now(asset, judged), depth)
        if judged.state is State.KNOWN:
            found += self._known(judged)
        for read in judged.reads:
            found += self._behind(asset, read, depth)
        return tuple(found)

    def _behind(self, asset: Asset, read: Read, depth: int) -> Iterator[Cause]:
        """Yield what is still to be computed, or fails, among what one input reads."""
        pending = [
            judged
            for member in read.members
            if (judged := self._own(read.input.upstream, member.key)) and judged.certainty is not None
        ]
        if read.pending and not pending:
            yield Cause(Kind.PENDING, f"{read.input.upstream} is still to be computed", read.input.upstream)
        some = [self._pending(asset, each, depth) for each in pending[:EXAMINED]]
        yield from folded(some, [each.key for each in pending], f"{read.input.upstream} {{}} will or may run")
        if read.failed and read.input.mapping.strict:
            yield from self.lacks(read.roots, depth)

    def _pending(self, reader: Asset, judged: Judgement, depth: int) -> Cause:
        if not judged.runs:
            said = f"{judged.asset} {judged.key} stays as it is ({judged.reason}); only its marks may change"
            return Cause(Kind.PENDING, said, judged.asset, judged.key)
        known = judged.state is State.KNOWN
        will = "is brought back without running" if known else f"{self._certainty(judged)} run"
        said = f"{judged.asset} {judged.key} {will}"
        back = self._pending_past(judged) if judged.asset == reader.name else judged
        if back is not judged:
            said += f", and so does its own past back to {back.key}"
        cause = Cause(Kind.PENDING, said, judged.asset, judged.key)
        return self._once(
            cause, ("pending", back.asset, back.key), depth, lambda: self.why_it_would_run(back, depth - 1)
        )

    def _certainty(self, judged: Judgement) -> str:
        """Return whether a partition will or may run, as the plan says it."""
        wanted = [judged.head.materialization] if judged.head else []
        inputs = records.inputs_of(self._connection, wanted)
        parameters = {number: each.parameters for number, each in records.made(self._connection, wanted).items()}
        return str(certainty_of(self._pipeline.asset(judged.asset), judged, inputs, parameters))

    def _pending_past(self, judged: Judgement) -> Judgement:
        """Follow an asset's own past to the first partition that is still to be computed."""
        for _ in range(PAST):
            own = [each for each in judged.reads if each.input.upstream == judged.asset and each.members]
            earlier = self._own(judged.asset, own[0].members[0].key) if own else None
            if earlier is None or earlier.certainty is None or not earlier.runs:
                break
            judged = earlier
        return judged

    def _known(self, judged: Judgement) -> Iterator[Cause]:
        number = judged.known.materialization
        made = records.made(self._connection, [number] if number is not None else []).get(number or 0)
        if made is not None:
            said = f"the same was computed before: {short(made.data_version)}, {moment(made)}; it is brought back"
            yield Cause(Kind.KNOWN, said, judged.asset, judged.key, after=_hex(made.data_version))

    def _stopped_by_gate(self, asset: Asset, version: bytes) -> Cause:
        """Say at which expectations a candidate was stopped."""
        suite = self._survey.facts.suites.get(asset.name)
        details = records.gate_details(self._connection, suite, version) if suite else None
        failures = details["failures"] if details else ()
        causes = cut(Cause(Kind.GATE, f"{each['severity']}: {each['message']}") for each in failures)
        said = f"the gate {asset.gate!r} stopped its candidate {short(version)}"
        return Cause(Kind.GATE, said, asset.name, after=version.hex(), causes=causes)

    def _other_gate(self, asset: Asset) -> Cause:
        assert asset.gate is not None
        file = self._deployment.suite(self._pipeline, asset.gate)
        commit = last_commit(file)
        said = f"the gate {asset.gate!r} has not seen this data as it is now: {file.name}{by(commit)}"
        return Cause(Kind.GATE, said, asset.name, file=str(file), commit=commit)

    # -- what has run

    def why_it_is_live(
        self, name: str, key: str, materialization: int
    ) -> tuple[HistoryEntry, tuple[Cause, ...]] | None:
        """Say what made a head what it is: the change that brought it, and what differs from what was live before.

        Returns:
            None where the ledger does not know when it became live.

        """
        entries = self._history(name, key, materialization)
        place = since(entries, materialization)
        if place is None:
            return None
        entry = entries[place]
        before = next((each for each in reversed(entries[:place]) if each.materialization is not None), None)
        old = None if before is None else Version(before.data_version or b"", before.materialization)
        new = Version(entry.data_version or b"", materialization)
        return entry, self._came(name, key, old, new, DEPTH)

    def _history(self, name: str, key: str, materialization: int | None) -> list[HistoryEntry]:
        registered = self._registered[name]
        ids = registry.scheme_ids(self._connection, [registered.grain])
        number = Names({name: registered.id}, {name: registered.grain}, ids).met(name, key)
        if number is None:
            return []
        return history_with(self._connection, self._deployment, registered.id, number, materialization)

    def _entry(self, name: str, key: str, materialization: int | None) -> HistoryEntry | None:
        """Return the change by which a materialization became live, the last time that it did."""
        entries = self._history(name, key, materialization)
        place = since(entries, materialization)
        return None if place is None else entries[place]

    def _came(
        self, name: str, key: str, before: Version | None, after: Version | None, depth: int
    ) -> tuple[Cause, ...]:
        """Say what made one version of a partition follow another; what was delivered has no further cause."""
        if after is None:
            return self._went(name, key)
        made = records.made(self._connection, [each for each in (_id(before), _id(after)) if each is not None])
        new, old = made.get(_id(after) or 0), made.get(_id(before) or 0)
        entry = self._entry(name, key, _id(after))
        if new is None:
            return ()
        if model_of(name) is not None:
            return (self._promoted(name, key, new, entry),)
        if new.status == records.DELIVERED:
            return (self._delivered(name, key, old, new, entry),)
        if entry is not None and entry.run == "restore":
            return (Cause(Kind.PERSON, f"{entry.reason}, {moment(entry)}", name, key),)
        if old is None:
            return (self._first(name, key, new),)
        causes = self._between(self._recipe(old.id), self._recipe(new.id), depth)
        return causes or (Cause(Kind.PERSON, f"asked for, {moment(new)}", name, key),)

    def _delivered(self, name: str, key: str, old: Made | None, new: Made, entry: HistoryEntry | None) -> Cause:
        member = next((each for each in self._pipeline.sources if each.name == name), None)
        file = member.file_of(key) if member else f"{name} {key}"
        again = f" again with other content (before: {old.created_at:%Y-%m-%d %H:%M} UTC)" if old else ""
        said = f"{file} was delivered{again}, seen {moment(entry or new)}"
        return Cause(Kind.DELIVERY, said, name, key, _hex(old.data_version) if old else None, _hex(new.data_version))

    def _promoted(self, name: str, key: str, new: Made, entry: HistoryEntry | None) -> Cause:
        """Say which candidate a person has made the champion that is in force from a partition on."""
        (read,) = records.inputs_of(self._connection, [new.id])[new.id]
        ((trained, version, _),) = read.members
        what = f"{model_of(name)} {short(version)}, trained for {trained},"
        said = f"{what} was {entry.reason}, {moment(entry)}" if entry else f"{what} was promoted, {moment(new)}"
        return Cause(Kind.PERSON, said, name, key, after=_hex(version))

    def _went(self, name: str, key: str) -> tuple[Cause, ...]:
        """Say when and why a partition's head was taken away."""
        gone = self._entry(name, key, None)
        if gone is None:
            return ()
        if model_of(name) is not None:
            return (Cause(Kind.PERSON, f"{gone.reason}, {moment(gone)}", name, key),)
        kind = Kind.DELIVERY if self._registered[name].kind == "source" else Kind.COMPUTED
        return (Cause(kind, f"{gone.reason}, seen {moment(gone)}", name, key),)

    def _first(self, name: str, key: str, made: Made) -> Cause:
        """Say of a first result when it was made, and which delivery was the last to come: that made it possible."""
        last, seen = made, {made.id}
        while last.status != records.DELIVERED:
            read = (
                version.materialization
                for each in self._recipe(last.id).taken
                for version in each.versions.values()
                if version.materialization is not None and each.upstream != last.asset
            )
            newest = max(read, default=None)
            if newest is None or newest in seen:
                break
            seen.add(newest)
            last = records.made(self._connection, [newest])[newest]
        causes: tuple[Cause, ...] = ()
        if last.status == records.DELIVERED:
            entry = self._entry(last.asset, last.partition, last.id)
            causes = (self._delivered(last.asset, last.partition, None, last, entry),)
        said = f"computed for the first time, {moment(made)}"
        if causes:
            said += f"; the last of what it is made from was {last.asset} {last.partition}"
        return Cause(Kind.NEW, said, name, key, causes=causes)

    # -- two recipes

    def _recipe(self, number: int) -> Recipe:
        """Return by what a materialization was made."""
        made = records.made(self._connection, [number])[number]
        taken = tuple(self._taken(each) for each in records.inputs_of(self._connection, [number]).get(number, []))
        code = self._code(made.asset, made.code_version) if made.code_version is not None else None
        return Recipe(made.asset, made.partition, made.action_key, code, made.parameters, taken)

    def _recipe_now(self, asset: Asset, judged: Judgement) -> Recipe:
        taken = tuple(taken_now(read) for read in judged.reads)
        code = present_code(asset)
        return Recipe(asset.name, judged.key, judged.action_key, code, readable_parameters(asset.parameters), taken)

    def _code(self, name: str, number: int) -> Code:
        kept = code_of(self._connection, number)
        asset = next((each for each in self._pipeline.assets if each.name == name), None)
        # Where it is the present one, its files are there to be looked at.
        return present_code(asset) if asset is not None and asset.code.digest == kept.fingerprint else kept

    def _between(self, before: Recipe, now: Recipe, depth: int) -> tuple[Cause, ...]:
        """Say what two recipes of one partition differ in."""
        found: list[Cause] = []
        if before.code is not None and now.code is not None and before.code.fingerprint != now.code.fingerprint:
            found.append(self._other_code(now.asset, before.code, now.code, depth))
        found += [
            self._other_parameter(now.asset, name, before.parameters, now.parameters, depth)
            for name in changed_parameters(before.parameters, now.parameters)
        ]
        then = {each.parameter: each for each in before.taken}
        for each in now.taken:
            found += self._other_input(now.asset, then.pop(each.parameter, None), each, depth)
        found += [
            Cause(Kind.MAPPING, f"{each.upstream} is no longer read, before by {each.mapping}", each.upstream)
            for each in then.values()
        ]
        if not found and before.action_key != now.action_key:
            found.append(Cause(Kind.SORTING, SORTED_OTHERWISE, now.asset, now.key))
        return tuple(found)

    def _other_input(self, reader: str, before: Taken | None, now: Taken, depth: int) -> Iterator[Cause]:
        if before is None or before.upstream != now.upstream:
            was = f", before {before.upstream}" if before else ""
            yield Cause(Kind.MAPPING, f"{now.upstream} is read by {now.mapping}{was}", now.upstream)
            return
        mapping = other_mapping(before, now)
        if mapping is not None:
            yield Cause(Kind.MAPPING, mapping, now.upstream, before=before.mapping, after=now.mapping)
        changes = changes_between(before, now)
        for verb in Verb:
            some = [each for each in changes if each.verb is verb]
            told = [self._member(reader, each, depth) for each in some[:EXAMINED]]
            yield from folded(told, [each.key for each in some], f"{now.upstream} {{}} {verb}")

    def _member(self, reader: str, change: Change, depth: int) -> Cause:
        """Say what became of one partition that is read, and why."""
        name, key, before, after = change.upstream, change.key, change.before, change.after
        versions = f": {short(before.version)} -> {short(after.version)}" if before and after else ""
        stands = f", {change.instead} stands in" if change.instead else ""
        said = f"{name} {key} {change.verb}{stands}{versions}"
        back = self._past(change) if name == reader else change
        if back is not change:
            said += f", and so has its own past back to {back.key}"
        old, new = (_hex(each.version) if each else None for each in (before, after))
        return self._once(
            Cause(Kind.INPUT, said, name, key, old, new),
            (name, back.key, _id(back.before), _id(back.after)),
            depth,
            lambda: self._came(name, back.key, back.before, back.after, depth - 1),
        )

    def _past(self, change: Change) -> Change:
        """Follow an asset's own past to the first partition that changed: there the change came in."""
        for _ in range(PAST):
            ids = [each for each in (_id(change.before), _id(change.after)) if each is not None]
            inputs = records.inputs_of(self._connection, ids)
            then, now = (
                next((self._taken(each) for each in inputs.get(number, ()) if self._names_own(each, change)), None)
                for number in (_id(change.before) or 0, _id(change.after) or 0)
            )
            own = [each for each in changes_between(then, now) if each.verb is Verb.CHANGED] if then and now else []
            if not own:
                break
            change = own[0]
        return change

    def _names_own(self, read: InputRecord, change: Change) -> bool:
        return self._asset_names[read.asset_id] == change.upstream

    def _taken(self, read: InputRecord) -> Taken:
        return Taken(read.parameter, self._asset_names[read.asset_id], read.mapping, read.digest, read.members)

    def _once(self, cause: Cause, what: tuple[object, ...], depth: int, tell: Callable[[], tuple[Cause, ...]]) -> Cause:
        """Return a cause with what is behind it the first time, and with a word that it was told at any other."""
        if what in self._told:
            return cause.again()
        if depth <= 0 or len(self._told) >= MOST:
            deeper = Cause(Kind.MORE, "and so on: 'tidemark explain' of this one goes on from here")
            return replace(cause, causes=(deeper,))
        self._told.add(what)
        told = replace(cause, causes=tell())
        return told if told.is_news else cause.again()

    def _other_code(self, name: str, before: Code, now: Code, depth: int) -> Cause:
        old, new = before.fingerprint.hex(), now.fingerprint.hex()
        cause = Cause(Kind.CODE, f"code of {name} changed: {old[:12]} -> {new[:12]}", name, None, old, new)
        return self._once(cause, ("code", old, new), depth, lambda: tuple(code_causes(before, now)))

    def _other_parameter(
        self, asset: str, name: str, before: Mapping[str, Any], now: Mapping[str, Any], depth: int
    ) -> Cause:
        said = f"parameter {name}: {_value(name, before)} -> {_value(name, now)}"
        cause = Cause(Kind.PARAMETER, said, asset, before=before.get(name), after=now.get(name))
        return self._once(cause, ("parameter", asset, said), depth, tuple)

    # -- what is missing

    def lacks(self, missing: Missing, depth: int = DEPTH) -> tuple[Cause, ...]:
        """Say of each thing that is missing why it is, at most a level's worth."""
        some = sorted(missing)
        return cut((self._lack(name, key, depth) for name, key in some[:BREADTH]), len(some))

    def _lack(self, name: str, key: str, depth: int) -> Cause:
        member = next((each for each in self._pipeline.members if each.name == name), None)
        tell: Callable[[], tuple[Cause, ...]] = tuple
        if member is None:
            owner = self._registered[name].pipeline if name in self._registered else None
            said = f"of the pipeline {owner}, which knows why" if owner else "no pipeline has it any more"
        elif isinstance(member, Source):
            state, why = self._source(member, key)
            said = f"{state}: {why}" if why else f"{state} by now: the next run takes the mark away"
        else:
            judged = self._own(name, key)
            if judged is None:
                said = "does not exist"
            elif judged.certainty is not None and judged.runs:
                failed = f"failed once ({judged.known.error}): tried once more" if judged.known.failures else ""
                said = failed or "still to be computed"
            else:
                said = judged.reason or "up to date by now: the next run takes the mark away"
            if judged is not None and judged.state in (State.FAILED, State.BLOCKED, State.WAITING):
                tell = partial(self._why_not, member, judged, depth - 1)
        return self._once(Cause(Kind.MISSING, f"{name} {key}: {said}", name, key), ("lack", name, key), depth, tell)

    def _why_not(self, asset: Asset, judged: Judgement, depth: int) -> tuple[Cause, ...]:
        """Say why a partition that others read has failed, is blocked or waits."""
        stopped = judged.state is State.BLOCKED and judged.known.data_version is not None
        gate = (self._stopped_by_gate(asset, judged.known.data_version or b""),) if stopped else ()
        return (*gate, *self.why_it_would_run(judged, depth))

    def _source(self, source: Source, key: str) -> tuple[str, str]:
        try:
            ordinal = source.grain.ordinal(key)
        except UsageError:
            return "gone", "its key was taken out of the definition"
        name = source.name
        number = self._names.id_at(name, ordinal) if self._names.is_met(name, ordinal) else None
        asset_id = self._names.assets[source.name]
        declared = sources.declared(self._connection, asset_id, number) if number is not None else None
        return source_state(source, self._survey, ordinal, declared)

    def substitutes(self, judged: Judgement) -> tuple[Cause, ...]:
        """Say what is read in the place of something that is missing or no good."""
        return cut(each for read in judged.reads for each in _substitutes(read))


def _substitutes(read: Read) -> Iterator[Cause]:
    there = [member.key for member in read.members if member.version is not None]
    for name, key in sorted(read.roots):
        if name != read.input.upstream or not there:
            continue
        if key in there:
            said = f"the last good version of {name} {key} stands in for its newest"
            yield Cause(Kind.SUBSTITUTE, said, name, key, before=key, after=key)
        elif isinstance(read.input.mapping, Newest):
            said = f"{name} {there[0]} stands in for {name} {key}"
            yield Cause(Kind.SUBSTITUTE, said, name, there[0], before=key, after=there[0])


def _value(name: str, parameters: Mapping[str, Any]) -> str:
    return repr(parameters[name]) if name in parameters else "not there"


def history_with(
    connection: sa.Connection, deployment: Deployment, asset_id: int, partition_id: int, materialization: int | None
) -> list[HistoryEntry]:
    """Return the heads of a partition that an environment has shown, oldest first.

    A branch has shown what prod had until it had a head of its own. Where what is asked for is in none of these, it has
    only marked what it takes from prod: then prod's heads are meant.
    """
    own = heads.history(connection, deployment.environment, asset_id, partition_id)
    if deployment.environment == heads.PROD:
        return own
    prod = heads.history(connection, heads.PROD, asset_id, partition_id)
    shown = [each for each in prod if not own or each.seq < own[0].seq] + own
    return shown if any(each.materialization == materialization for each in shown) else prod


def since(entries: Sequence[HistoryEntry], materialization: int | None) -> int | None:
    """Return the place of the entry with which a materialization became live last, marks aside; None if it never was.

    One may be live several times: a file comes back as it was, or a person restores a version.
    """
    for place in range(len(entries) - 1, -1, -1):
        before = entries[place - 1].materialization if place else ...
        if entries[place].materialization == materialization != before:
            return place
    return None


def source_state(source: Source, survey: Survey, ordinal: int, declared: str | None) -> tuple[str, str]:
    """Return what a source's partition is in a word or two, and why; nothing more is to be said of a good one."""
    view = survey.tracks[source.name].view(ordinal)
    if view is None:
        return "does not exist", "neither delivered nor expected"
    if view.failed:
        rejected = survey.rejected.get((source.name, ordinal), "")
        return "rejected" + (": the last good delivery stays live" if view.version else ""), rejected
    if view.version:
        return "delivered", ""
    if view.undue:
        return "not yet due", f"due {view.undue:%Y-%m-%d %H:%M} UTC"
    if view.roots:
        return "missing", f"expected, due{_due(source, ordinal)}, and not there"
    return "absent", f"declared: {declared}"


def _due(source: Source, ordinal: int) -> str:
    if not isinstance(source.grain, TimeGrain):
        return ""
    begins = source.grain.begins(ordinal).astimezone(source.grain.zone)
    due = source.due.at(begins) if source.due is not None else source.grain.ends(ordinal)
    return f" {due.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _id(version: Version | None) -> int | None:
    return version.materialization if version is not None else None


def _hex(version: bytes | None) -> str | None:
    return version.hex() if version else None
