"""Saying why, in words: why a partition runs, why it does not, and what it was made from. Pure functions."""

from collections.abc import Mapping
from typing import Any

from tidemark.assets import Asset
from tidemark.hashing import canonical
from tidemark.ledger.records import InputRecord
from tidemark.mappings import Newest
from tidemark.survey import Facts, Judgement, Read, State

# How many changed inputs a sentence names before it counts the rest.
NAMED = 3


def short(version: bytes | None) -> str:
    """Return a digest as people see it: its first 12 hex characters."""
    return "ABSENT" if version is None else version.hex()[:12]


def reason_of(
    asset: Asset,
    judged: Judgement,
    facts: Facts,
    inputs: Mapping[int, list[InputRecord]],
    parameters: Mapping[int, Mapping[str, Any]],
) -> str:
    """Say why a planned partition is in the plan.

    Args:
        asset: its definition.
        judged: what the survey says of it.
        facts: the ledger's answers.
        inputs: what live materializations read, by id.
        parameters: with which parameters they were computed, by id.

    """
    if judged.state is State.FRESH:
        return f"the gate {asset.gate!r} changed"
    if judged.state is State.STALE and judged.certainty and judged.known.failures:
        return f"failed once ({judged.known.error}): tried once more"
    head = judged.head
    if head is None:
        return "known: computed before" if judged.state is State.KNOWN else "new"
    causes = []
    if head.code_version != facts.codes.get(asset.name):
        causes.append("code changed")
    if not same_parameters(parameters.get(head.materialization, {}), asset.parameters):
        causes.append("parameters changed")
    causes += changed_inputs(judged.reads, inputs.get(head.materialization, []))
    if judged.state is State.KNOWN:
        causes.append("result known")
    pending = [read.input.upstream for read in judged.reads if read.pending]
    if pending and not causes:
        return f"depends on {', '.join(dict.fromkeys(pending))}"
    return ", ".join(causes) or "asked for"


def same_parameters(before: Mapping[str, Any], now: Mapping[str, object]) -> bool:
    """Return whether parameters, as the ledger keeps them, are those of now."""
    return dict(before) == readable_parameters(now)


def readable_parameters(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return parameters as the ledger keeps them: JSON where it has the type, else the value's text."""
    plain = (type(None), bool, int, float, str)
    return {
        name: value if type(value) in plain else f"{type(value).__name__}:{canonical(value).hex()}"
        for name, value in sorted(parameters.items())
    }


def changed_inputs(reads: tuple[Read, ...], before: list[InputRecord]) -> list[str]:
    """Say in a few words each which inputs are not what they were."""
    earlier = {record.parameter: record for record in before}
    causes = []
    for read in reads:
        record = earlier.get(read.input.parameter)
        if record is None or record.digest == read.digest:
            continue
        causes.append(_difference(read, record))
    return causes


def _difference(read: Read, record: InputRecord) -> str:
    if isinstance(read.input.mapping, Newest):
        return _other_choice(read, record)
    now = {member.key: member.version for member in read.members}
    then = {key: version for key, version, _ in record.members}
    arrived = [key for key, version in now.items() if version and not then.get(key)]
    gone = [key for key, version in then.items() if version and not now.get(key)]
    changed = [key for key, version in now.items() if version and then.get(key) and then[key] != version]
    parts = [
        f"{read.input.upstream} {_named(keys)} {verb}"
        for verb, keys in (("changed", changed), ("arrived", arrived), ("is gone", gone))
        if keys
    ]
    return ", ".join(parts) or f"{read.input.upstream} changed"


def _other_choice(read: Read, record: InputRecord) -> str:
    """Say what became of an input that reads the newest partition with data."""
    now = next((member.key for member in read.members if member.version), None)
    then = next((key for key, version, _ in record.members if version), None)
    name = read.input.upstream
    if now == then:
        return f"{name} {now} changed"
    if now is None or then is None:
        return f"{name} {now} arrived" if now else f"{name} {then} is gone"
    newest = max(now, then)  # keys of one grain of time sort as time does
    return f"{name} {now} arrived" if newest == now else f"{name} {then} is gone, {now} stands in"


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(keys[:NAMED])}{more}"
