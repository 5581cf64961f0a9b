"""The outlook: what a plan would bring, in groups: why what runs, what changed in the code, what would lack what."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline
from tidemark.causes import BREADTH, Cause, Kind, code_causes, code_of, present_code
from tidemark.deployment import Deployment
from tidemark.facts import Names, read_heads
from tidemark.ledger.heads import Head, Missing
from tidemark.plan import LACKS_LESS, Item, Plan
from tidemark.survey import Certainty, State

# What changes as soon as the plan is taken up, without a run.
AT_ONCE = "now"


@dataclass(frozen=True)
class Group:
    """Partitions of one asset that run for one reason.

    Attributes:
        asset: the asset's name.
        certainty: whether they run whatever happens above them.
        reason: why, in words; what differs from partition to partition is left out.
        keys: which ones, in the plan's order.
        seconds: what they cost together, by past runs.
        guessed: none of them has ever run, so that this is a guess.
        runs: whether their function is called; else results are brought back, checked, or only marked.

    """

    asset: str
    certainty: Certainty
    reason: str
    keys: tuple[str, ...]
    seconds: float
    runs: bool = True
    guessed: bool = False


@dataclass(frozen=True)
class Lack:
    """Partitions of one asset that would become provisional, or provisional for more, all for the same.

    Attributes:
        asset: the asset's name.
        certainty: will or may, as they are computed; :data:`AT_ONCE` where a mark is set on what is live.
        keys: which ones.
        missing: what they would lack that they did not.

    """

    asset: str
    certainty: str
    keys: tuple[str, ...]
    missing: Missing


@dataclass(frozen=True)
class Change:
    """Partitions of one asset of which one thing is to be told.

    Attributes:
        asset: the asset's name.
        keys: which ones.
        reason: what, and why.

    """

    asset: str
    keys: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Outlook:
    """What a plan would bring.

    Attributes:
        groups: what will run, then what may run, each in the pipeline's order.
        code: for each asset whose code changed, from what to what, and in which definitions.
        provisional: what would become provisional.
        at_once: heads that go, become final or lack less, without a run.
        stuck: what failed or is blocked, and is not tried again by itself.

    """

    groups: tuple[Group, ...]
    code: tuple[Cause, ...]
    provisional: tuple[Lack, ...]
    at_once: tuple[Change, ...] = ()
    stuck: tuple[Change, ...] = ()

    def counted(self, certainty: Certainty) -> int:
        """Return how many partitions will run, or may."""
        return sum(len(each.keys) for each in self.groups if each.certainty is certainty and each.runs)

    @property
    def idle(self) -> int:
        """How many partitions are planned whose function is not called."""
        return sum(len(each.keys) for each in self.groups if not each.runs)

    @property
    def seconds(self) -> float:
        """What everything costs if all of it runs."""
        return sum(each.seconds for each in self.groups)

    def to_json(self) -> dict[str, Any]:
        """Return it as stable data."""
        return {
            "groups": [
                {
                    "asset": each.asset,
                    "certainty": each.certainty.value,
                    "runs": each.runs,
                    "reason": each.reason,
                    **_span(each.keys),
                    "seconds": round(each.seconds, 4),
                    "guessed": each.guessed,
                }
                for each in self.groups
            ],
            "totals": {
                "will": self.counted(Certainty.WILL),
                "may": self.counted(Certainty.MAY),
                "without_run": self.idle,
                "seconds": round(self.seconds, 4),
            },
            "code": [each.to_json() for each in self.code],
            "provisional": [
                {
                    "asset": each.asset,
                    "certainty": each.certainty,
                    **_span(each.keys),
                    "missing": [{"asset": asset, "partition": key} for asset, key in sorted(each.missing)],
                }
                for each in self.provisional
            ],
            "at_once": [_told(each) for each in self.at_once],
            "stuck": [_told(each) for each in self.stuck],
        }


def _told(change: Change) -> dict[str, Any]:
    return {"asset": change.asset, **_span(change.keys), "reason": change.reason}


def _span(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"first": keys[0], "last": keys[-1], "count": len(keys)}


def outlook_of(deployment: Deployment, pipeline: Pipeline, names: Names, made: Plan) -> Outlook:
    """Return what a plan would bring, by what is live now."""
    concerned = {item.asset for item in made.items} | {name for name, _ in _moved(names, made)}
    with deployment.ledger.read() as connection:
        live = {
            name: {
                names.grains[name].key(ordinal): head
                for ordinal, head in read_heads(connection, deployment, names, name).items()
            }
            for name in concerned
        }
        code = [
            cause
            for asset in pipeline.assets
            for cause in _code(connection, asset, {item.key for item in made.items if item.asset == asset.name}, live)
        ]
    return Outlook(
        tuple(groups_of(made.items)),
        tuple(code),
        tuple(_lacks(names, made, live)),
        tuple(_changes(_at_once(names, made))),
        tuple(_changes(_stuck(pipeline, made))),
    )


def _code(
    connection: sa.Connection, asset: Asset, planned: Container[str], live: Mapping[str, Mapping[str, Head]]
) -> Iterator[Cause]:
    """Yield in what the code differs by which some planned partitions are live, for each code version among them."""
    some = [head.code_version for key, head in live.get(asset.name, {}).items() if key in planned]
    for number in sorted({number for number in some if number is not None}, reverse=True)[:BREADTH]:
        before, now, count = code_of(connection, number), present_code(asset), some.count(number)
        if before.fingerprint != now.fingerprint:
            old, new = before.fingerprint.hex(), now.fingerprint.hex()
            partitions = "1 partition" if count == 1 else f"{count} partitions"
            said = f"code of {asset.name} changed: {old[:12]} -> {new[:12]}, for {partitions}"
            yield Cause(Kind.CODE, said, asset.name, before=old, after=new, causes=tuple(code_causes(before, now)))


def groups_of(items: Iterable[Item]) -> list[Group]:
    """Return a plan's items in groups of one asset and one reason: what will run, then what may run."""
    found: dict[tuple[Certainty, bool, str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.certainty, item.runs, item.asset, item.summary or item.reason), []).append(item)
    groups = []
    for (certainty, runs, asset, summary), some in found.items():
        said = {item.reason for item in some}
        reason = said.pop() if len(said) == 1 else summary
        seconds = sum(item.seconds for item in some)
        guessed = any(item.guessed for item in some)
        groups.append(Group(asset, certainty, reason, tuple(item.key for item in some), seconds, runs, guessed))
    return sorted(groups, key=lambda each: each.certainty is Certainty.MAY)


def _moved(names: Names, made: Plan) -> Iterator[tuple[str, str]]:
    """Yield the partitions whose heads change without a run, in the order of the plan's moves."""
    assets = {number: name for name, number in names.assets.items()}
    for move in made.moves:
        asset = assets[move.asset_id]
        yield asset, names.key_of(asset, move.partition_id) or "?"


def _at_once(names: Names, made: Plan) -> Iterator[tuple[str, str, str]]:
    """Yield the heads that go or lack less; those that become provisional are told with what they lack."""
    for (asset, key), move in zip(_moved(names, made), made.moves, strict=True):
        if not move.missing or move.reason == LACKS_LESS:
            yield asset, key, move.reason if move.materialization is not None else f"no longer live: {move.reason}"


def _stuck(pipeline: Pipeline, made: Plan) -> Iterator[tuple[str, str, str]]:
    """Yield what failed or is blocked: a plan judges it each time, and leaves it to a person."""
    for asset, judgements in made.judgements.items():
        for judged in judgements:
            selected = made.selection.holds(pipeline[asset].grain, judged.ordinal)
            if selected and judged.state in (State.FAILED, State.BLOCKED):
                yield asset, judged.key, judged.reason


def _changes(told: Iterable[tuple[str, str, str]]) -> Iterator[Change]:
    found: dict[tuple[str, str], list[str]] = {}
    for asset, key, reason in told:
        found.setdefault((asset, reason), []).append(key)
    for (asset, reason), keys in found.items():
        yield Change(asset, tuple(keys), reason)


def _lacks(names: Names, made: Plan, live: Mapping[str, Mapping[str, Head]]) -> list[Lack]:
    wanted = [(*of, AT_ONCE, move.missing) for of, move in zip(_moved(names, made), made.moves, strict=True)]
    wanted += [(item.asset, item.key, item.certainty.value, item.missing) for item in made.items]
    found: dict[tuple[str, str, Missing], list[str]] = {}
    for asset, key, certainty, missing in wanted:
        head = live.get(asset, {}).get(key)
        more = missing - head.missing if head else missing
        if more:
            found.setdefault((certainty, asset, more), []).append(key)
    return [Lack(asset, certainty, tuple(keys), more) for (certainty, asset, more), keys in found.items()]
