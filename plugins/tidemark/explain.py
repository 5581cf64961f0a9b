"""Saying why, in words: why a partition runs, why it does not, and what it was made from. Pure functions.

A recipe is what a result is made by: code, parameters and inputs. Why something runs is what two recipes differ in: the
one that is live, and the one that is now. Why something came out otherwise once is the same of two that were live one
after the other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from tidemark.assets import Asset
from tidemark.fingerprint import Component
from tidemark.hashing import canonical
from tidemark.ledger.records import InputRecord
from tidemark.mappings import Newest, Window
from tidemark.search import FOUND
from tidemark.survey import Certainty, Facts, Judgement, Read, State

# How many changed inputs a sentence names before it counts the rest.
NAMED = 3

# Mappings that read the newest partition with data, as the ledger spells them.
_NEWEST = tuple(f"{each.name}(" for each in Newest.__subclasses__())


def short(version: bytes | None) -> str:
    """Return a digest as people see it: its first 12 hex characters."""
    return "ABSENT" if version is None else version.hex()[:12]


# -- inputs


class Verb(StrEnum):
    """What became of a partition that is read."""

    CHANGED = "changed"
    ARRIVED = "arrived"
    GONE = "is gone"


class Version(NamedTuple):
    """One partition's data as it is or was read: its data version, and the materialization that made it, if known."""

    version: bytes
    materialization: int | None


@dataclass(frozen=True)
class Taken:
    """What one parameter reads now, or has read: the members are as in :class:`InputRecord`."""

    parameter: str
    upstream: str
    mapping: str
    digest: bytes
    members: tuple[tuple[str, bytes | None, int | None], ...]

    @property
    def versions(self) -> dict[str, Version]:
        """The members with data, by key."""
        return {key: Version(version, made) for key, version, made in self.members if version is not None}


class Change(NamedTuple):
    """One partition that is not read as it was.

    Attributes:
        upstream: whose it is.
        key: the partition.
        verb: what became of it.
        before: what was read of it, or None.
        after: what is read of it, or None.
        instead: the older partition that is read in its place, or None.

    """

    upstream: str
    key: str
    verb: Verb
    before: Version | None
    after: Version | None
    instead: str | None = None


def taken_now(read: Read) -> Taken:
    """Return what an input reads now."""
    members = tuple((each.key, each.version, each.materialization) for each in read.members)
    return Taken(read.input.parameter, read.input.upstream, str(read.input.mapping), read.digest, members)


def changes_between(before: Taken, now: Taken) -> list[Change]:
    """Return what one input reads otherwise than before, in the order of the partitions.

    What is no longer read, or was not read before, only because the mapping is another one is no such change.
    """
    if before.digest == now.digest:
        return []
    earlier, later = before.versions, now.versions
    if before.mapping != now.mapping:
        if before.mapping.startswith(_NEWEST) or now.mapping.startswith(_NEWEST):
            return []
        earlier, later = _in_both(earlier, later)
    elif now.mapping.startswith(_NEWEST):
        return _other_choice(now.upstream, earlier, later)
    found = []
    for key in [*earlier, *(key for key in later if key not in earlier)]:
        old, new = earlier.get(key), later.get(key)
        if old is None or new is None or old.version != new.version:
            verb = Verb.GONE if new is None else Verb.ARRIVED if old is None else Verb.CHANGED
            found.append(Change(now.upstream, key, verb, old, new))
    return found


def _in_both(one: dict[str, Version], other: dict[str, Version]) -> list[dict[str, Version]]:
    """Return of two windows what lies between the later of their beginnings and the earlier of their ends."""
    if not one or not other:
        return [{}, {}]
    first, last = max(min(one), min(other)), min(max(one), max(other))  # keys of one grain sort as time does
    return [{key: version for key, version in each.items() if first <= key <= last} for each in (one, other)]


def other_mapping(before: Taken, now: Taken) -> str | None:
    """Say that an input is read by another mapping than before; None: it is not."""
    if before.mapping == now.mapping:
        return None
    return f"{now.upstream} is read by {now.mapping}, before by {before.mapping}"


def _other_choice(upstream: str, earlier: Mapping[str, Version], later: Mapping[str, Version]) -> list[Change]:
    """Return what became of an input that reads the newest partition with data."""
    then, now = next(iter(earlier.items()), None), next(iter(later.items()), None)
    if now is None:
        return [Change(upstream, then[0], Verb.GONE, then[1], None)] if then else []
    if then is None:
        return [Change(upstream, now[0], Verb.ARRIVED, None, now[1])]
    if then[0] == now[0]:
        return [Change(upstream, now[0], Verb.CHANGED, then[1], now[1])]
    if now[0] > then[0]:  # keys of one grain of time sort as time does
        return [Change(upstream, now[0], Verb.ARRIVED, None, now[1])]
    return [Change(upstream, then[0], Verb.GONE, then[1], None, now[0])]


class Reason(NamedTuple):
    """Why a partition runs: as a sentence of its own, and as what it has in common with its neighbours."""

    said: str
    summary: str


def _input_reasons(reads: tuple[Read, ...], before: list[InputRecord]) -> list[Reason]:
    earlier = {record.parameter: record for record in before}
    found = []
    for read in reads:
        record = earlier.get(read.input.parameter)
        if record is None or record.digest == read.digest:
            continue
        name = read.input.upstream
        then, now = Taken(record.parameter, name, record.mapping, record.digest, record.members), taken_now(read)
        mapping = other_mapping(then, now)
        told = [_same(mapping)] if mapping else []
        told += _reasons(changes_between(then, now))
        found += told or [_same(f"{name} changed")]
    return found


def _reasons(changes: Sequence[Change]) -> list[Reason]:
    """Say what became of one input's partitions: a reason for each verb."""
    found = []
    for verb in Verb:
        some = [each for each in changes if each.verb is verb]
        if some:
            name, first = some[0].upstream, some[0]
            stands = f", {first.instead} stands in" if first.instead else ""
            said = f"{name} {named([each.key for each in some])} {verb}{stands}"
            found.append(Reason(said, f"{name} {verb}{', an older one stands in' if stands else ''}"))
    return found


def named(keys: Sequence[str]) -> str:
    """Return the first few keys, and how many more there are."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(keys[:NAMED])}{more}"


# -- reasons


def reason_of(
    asset: Asset,
    judged: Judgement,
    facts: Facts,
    inputs: Mapping[int, list[InputRecord]],
    parameters: Mapping[int, Mapping[str, Any]],
) -> str:
    """Say why a planned partition is in the plan; the arguments are those of :func:`why_planned`."""
    return why_planned(asset, judged, facts, inputs, parameters).said


def why_planned(
    asset: Asset,
    judged: Judgement,
    facts: Facts,
    inputs: Mapping[int, list[InputRecord]],
    parameters: Mapping[int, Mapping[str, Any]],
) -> Reason:
    """Say why a planned partition is in the plan.

    Args:
        asset: its definition.
        judged: what the survey says of it.
        facts: the ledger's answers.
        inputs: what live materializations read, by id.
        parameters: with which parameters they were computed, by id.

    """
    if judged.state is State.FRESH:
        return _same(f"the gate {asset.gate!r} changed")
    if judged.state is State.STALE and judged.certainty and judged.known.failures:
        return Reason(f"failed once ({judged.known.error}): tried once more", "failed once: tried once more")
    head = judged.head
    if head is None:
        return _same("known: computed before" if judged.state is State.KNOWN else "new")
    causes = []
    if head.code_version != facts.codes.get(asset.name):
        causes.append(_same("code changed"))
    others = changed_parameters(parameters.get(head.materialization, {}), readable_parameters(asset.parameters))
    if others:
        causes.append(_same(f"parameter{'s' if len(others) > 1 else ''} {named(others)} changed"))
    causes += _input_reasons(judged.reads, inputs.get(head.materialization, []))
    if not causes:
        return _unsaid(judged)
    if judged.state is State.KNOWN:
        causes.append(_same("result known"))
    return Reason(", ".join(each.said for each in causes), ", ".join(each.summary for each in causes))


def certainty_of(
    asset: Asset,
    judged: Judgement,
    inputs: Mapping[int, list[InputRecord]],
    parameters: Mapping[int, Mapping[str, Any]],
) -> Certainty:
    """Say whether a planned partition runs whatever comes out above it: also if something else than that has changed.

    The arguments are those of :func:`why_planned`.
    """
    if judged.certainty is not Certainty.MAY or judged.head is None or not judged.runs:
        return judged.certainty or Certainty.WILL
    number = judged.head.materialization
    before = {record.parameter: record for record in inputs.get(number, [])}
    changed = any(_changed_for_sure(read, before.get(read.input.parameter)) for read in judged.reads)
    same = same_parameters(parameters.get(number, {}), asset.parameters) and not changed
    return Certainty.MAY if same else Certainty.WILL


def _changed_for_sure(read: Read, before: InputRecord | None) -> bool:
    """Return whether an input is not what it was, whatever comes out of that of it which is still to be computed."""
    if before is None or before.digest == read.digest:
        return False
    if not read.pending:
        return True
    if not isinstance(read.input.mapping, Window):
        return False
    pending = {each.key for each in read.members if each.pending}
    then = {key: version for key, version, _ in before.members if version is not None and key not in pending}
    return then != {each.key: each.version for each in read.members if each.version is not None and not each.pending}


def _unsaid(judged: Judgement) -> Reason:
    """Say why a partition runs of which code, parameters and inputs are what they were."""
    pending = list(dict.fromkeys(read.input.upstream for read in judged.reads if read.pending))
    if pending:
        # The first partition of a chain has no past of its own, and is none the less one of the others.
        others = [name for name in pending if name != judged.asset] or pending
        return Reason(f"depends on {', '.join(pending)}", f"depends on {', '.join(others)}")
    if judged.head is not None and judged.head.action_key != judged.action_key:
        known = ", result known" if judged.state is State.KNOWN else ""
        return _same(f"{SORTED_OTHERWISE}{known}")
    return _same("asked for")


# What is left where code, parameters and inputs are what they were: nothing else is in an action key.
SORTED_OTHERWISE = "key= or ordered= changed"


def _same(said: str) -> Reason:
    return Reason(said, said)


# -- parameters


def same_parameters(before: Mapping[str, Any], now: Mapping[str, object]) -> bool:
    """Return whether parameters, as the ledger keeps them, are those of now."""
    return not changed_parameters(before, readable_parameters(now))


def readable_parameters(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return parameters as the ledger keeps them: JSON where it has the type, else the value's text."""
    plain = (type(None), bool, int, float, str)
    return {
        name: value if type(value) in plain else f"{type(value).__name__}:{canonical(value).hex()}"
        for name, value in sorted(parameters.items())
    }


def changed_parameters(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the parameters, both as the ledger keeps them, that came, went or changed.

    What a search has found is none of them: it follows from all the others.
    """
    names = (name for name in sorted(before.keys() | now.keys()) if not name.startswith(FOUND))

    def value(of: Mapping[str, Any], name: str) -> object:
        return (type(of[name]), of[name]) if name in of else None

    return [name for name in names if value(before, name) != value(now, name)]


# -- code


class Edited(NamedTuple):
    """One definition of the code that is not what it was: where it is, or where it was if it is gone."""

    what: str  # changed, added or removed
    label: str
    file: str | None
    line: int | None


def edited(before: Iterable[Component], now: Iterable[Component]) -> list[Edited]:
    """Return which definitions differ between two code versions: changed ones first, then added, then removed.

    One that was only moved, to another file or place, differs in nothing that counts, and is left out.
    """
    old, new = _by_label(before), _by_label(now)
    common = old.keys() & new.keys()
    changed = [label for label in new if label in common and _digests(old[label]) != _digests(new[label])]
    added = [label for label in new if label not in common]
    removed = [label for label in old if label not in common]
    for label in list(added):
        was = next((each for each in removed if _moved(old[each], new[label])), None)
        if was is not None:
            added.remove(label)
            removed.remove(was)
    groups = (("changed", changed, new), ("added", added, new), ("removed", removed, old))
    return [
        Edited(what, label, of[label][0].file, of[label][0].line) for what, labels, of in groups for label in labels
    ]


def _by_label(components: Iterable[Component]) -> dict[str, list[Component]]:
    """Group components by their labels; several definitions may bear one name."""
    found: dict[str, list[Component]] = {}
    for each in components:
        found.setdefault(each.label, []).append(each)
    return found


def _digests(components: Iterable[Component]) -> Counter[bytes]:
    return Counter(each.digest for each in components)


def _moved(before: Sequence[Component], now: Sequence[Component]) -> bool:
    """Return whether definitions are the same ones in another module: the name itself counts."""
    return before[0].label.rpartition(".")[2] == now[0].label.rpartition(".")[2] and _digests(before) == _digests(now)


def other_distributions(
    before: Iterable[tuple[str, str]], now: Iterable[tuple[str, str]]
) -> list[tuple[str, str | None, str | None]]:
    """Return the distributions of two code versions that differ: name, the version before, the version now."""
    old, new = dict(before), dict(now)
    return [
        (name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
