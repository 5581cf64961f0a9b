"""The verdict: what a run came to, by comparing its plan with the ledger, so that dead workers are counted too."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline
from tidemark.changes import settle, survey_since
from tidemark.deployment import Deployment
from tidemark.explain import short
from tidemark.facts import Names, read_heads, register
from tidemark.ledger import gaps, heads, plans
from tidemark.partitions import TimeGrain
from tidemark.plan import rejections, selection_left
from tidemark.running.results import Result
from tidemark.survey import Judgement, State, Survey, Sweep

NEVER_REACHED = "was never reached: its worker died, or the run was stopped"


@dataclass(frozen=True)
class Trouble:
    """One partition that is not as it should be.

    Attributes:
        asset: the asset's name.
        partition: the partition's key.
        what: failed, blocked or rejected.
        why: in words.
        instead: what stands in for it.
        new: it happened in this run.
        roots: what was missing or wrong in what it was made from, as (asset, partition), itself aside.

    """

    asset: str
    partition: str
    what: str
    why: str
    instead: str
    new: bool
    roots: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """What a run came to.

    Attributes:
        pipeline: the pipeline's name.
        counts: per asset, partitions by result, which are disjoint, and provisional heads.
        troubles: what failed, was blocked or rejected, oldest first.
        blocked_below: how many partitions wait because of it.
        waiting: what waits, and for what: (asset, partition, reason) each.
        whole: all partitions were asked for, so that what is not among the troubles is well.

    """

    pipeline: str
    counts: Mapping[str, Mapping[str, int]]
    troubles: tuple[Trouble, ...]
    blocked_below: int
    waiting: tuple[tuple[str, str, str], ...] = ()
    whole: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing failed, was blocked or rejected."""
        return not self.troubles

    @property
    def counted(self) -> str:
        """How many troubles of each kind there are, in words."""
        kinds = [each.what for each in self.troubles]
        return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))

    def total(self, what: str) -> int:
        """Return how many partitions came to a result, over all assets."""
        return sum(each[what] for each in self.counts.values())

    @property
    def summary(self) -> str:
        """One line: what ran and what did not."""
        said = [f"{self.total(each)} {each}" for each in (*Result, "provisional") if self.total(each)]
        return f"{self.pipeline}: {', '.join(said) or 'there is nothing to compute yet'}"

    def table(self) -> str:
        """Return what went wrong and what stands in for it, as text."""
        if self.ok:
            return self.summary
        rows = [("what", "asset", "partition", "why", "what is served instead")]
        rows += [(each.what, each.asset, each.partition, each.why, each.instead) for each in self.troubles]
        widths = [min(max(len(row[column]) for row in rows), 100) for column in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        below = f"; {self.blocked_below} partitions wait because of it" if self.blocked_below else ""
        return "\n".join([*lines, f"{self.summary}{below}; everything else was published"])

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as stable JSON."""
        return {
            "pipeline": self.pipeline,
            "assets": {name: dict(counts) for name, counts in self.counts.items()},
        }


def verdict(
    deployment: Deployment, pipeline: Pipeline, plan_id: int, *, names: Names | None = None, run: str | None = None
) -> Verdict:
    """Compare a stored plan with the ledger as it is now.

    Args:
        deployment: where.
        pipeline: the definitions.
        plan_id: the plan.
        names: ids, if they are known.
        run: name of the run that has worked the plan off in several processes, none of which knows that it was the
            last: where nobody else has changed anything, the next plan need not look at all of it again.

    Raises:
        UsageError: when there is no such plan.

    """
    names = names or register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        stored = plans.read(connection, plan_id)
        items = {(item.asset, item.partition): item for item in plans.items(connection, plan_id)}
        before = plans.newest(connection, deployment.environment, pipeline.name, before=plan_id)
        survey, sweep = survey_since(
            deployment, pipeline, names, stored, selection_left(stored, items.values()), connection=connection
        )
        counts = {
            each.name: dict.fromkeys([*(result.value for result in Result), "provisional"], 0)
            for each in pipeline.assets
        }
        # What an earlier plan has not seen is news, also where somebody has only looked in between.
        told = {tuple(each) for each in before.context["rejected"]} if before else set()
        troubles = _rejected(pipeline, survey, told)
        waiting: list[tuple[str, str, str]] = []
        below = 0
        for asset in pipeline.assets:
            mine = {item.partition: item for item in items.values() if item.asset == asset.name}
            live, counts[asset.name]["provisional"] = _counted(connection, deployment, names, survey, asset)
            lacking = gaps.read(connection, deployment.environment, pipeline.name, names.assets[asset.name])
            judged = _judgements(survey, sweep, asset, mine, names.by_ordinal(asset.name, lacking))
            counts[asset.name][Result.UNCHANGED] += live - sum(each.head is not None for each in judged)
            for each in judged:
                result, why = _result(each, mine.get(each.key))
                counts[asset.name][result] += 1
                if result in (Result.FAILED, Result.BLOCKED):
                    troubles.append(_trouble(asset, each, result, why, mine.get(each.key)))
                elif result is Result.WAITING:
                    waiting.append((asset.name, each.key, why))
                    below += _because(each, troubles)
    if run is not None:
        # What a worker that was given up writes down all the same, after this has looked, it does not know of.
        settle(deployment, survey, names, plan_id, lambda each: each.run == run and each.seq <= survey.facts.seq)
    whole = survey.selection.first is None and survey.selection.last is None
    return Verdict(pipeline.name, counts, tuple(troubles), below, tuple(waiting), whole)


def _judgements(
    survey: Survey, sweep: Sweep, asset: Asset, items: Iterable[str], lacking: Iterable[int]
) -> list[Judgement]:
    """Judge what was planned of an asset, what has changed since, and what lacks something; no others."""
    planned = [asset.grain.ordinal(key) for key in items if _is_key(asset, key)]
    turn, within = sweep.turn(asset, [*planned, *lacking]), survey.range_of(asset)
    found = []
    for ordinal in turn:
        judged = sweep.settled(asset, ordinal, within)
        if judged is not None and survey.selection.holds(asset.grain, ordinal):
            found.append(judged)
    return found


def _is_key(asset: Asset, key: str) -> bool:
    """Return whether a planned key is still one of the asset's grain."""
    return isinstance(asset.grain, TimeGrain) or key in getattr(asset.grain, "keys", ("all",))


def _counted(
    connection: sa.Connection, deployment: Deployment, names: Names, survey: Survey, asset: Asset
) -> tuple[int, int]:
    """Return how many partitions of an asset that were asked for are live, and how many of these are provisional."""
    selection, asset_id = survey.selection, names.assets[asset.name]
    if selection.first is None and selection.last is None:
        return heads.counted(connection, deployment.environment, asset_id)
    live = read_heads(connection, deployment, names, asset.name)
    asked = [head for ordinal, head in live.items() if selection.holds(asset.grain, ordinal)]
    return len(asked), sum(bool(head.missing) for head in asked)


def _result(judged: Judgement, item: plans.StoredItem | None) -> tuple[Result, str]:
    """Return what became of one partition, and why."""
    happened = item.outcome if item else None
    detail = (item.detail or "") if item else ""
    if happened in (Result.COMPUTED, Result.RESTORED):
        return Result(happened), detail
    if judged.state is State.FAILED or happened == Result.FAILED:
        return Result.FAILED, detail or judged.reason
    if judged.state is State.BLOCKED or happened == Result.BLOCKED:
        return Result.BLOCKED, detail or judged.reason
    if item is not None and happened is None and judged.planned:
        return Result.FAILED, NEVER_REACHED
    return (Result.WAITING if judged.head is None or judged.void else Result.UNCHANGED), judged.reason


def _trouble(asset: Asset, judged: Judgement, result: Result, why: str, item: plans.StoredItem | None) -> Trouble:
    head = judged.head
    instead = f"its last good result {short(head.data_version)}" if head else "nothing: it has no result yet"
    new = item is not None and item.outcome in (result, None)
    roots = judged.roots - {(asset.name, judged.key)}
    return Trouble(asset.name, judged.key, result.value, why, instead, new, roots)


def _rejected(pipeline: Pipeline, survey: Survey, told: set[tuple[str, ...]]) -> list[Trouble]:
    found = []
    for source, key, problem in rejections(pipeline, survey):
        head = survey.tracks[source].head(pipeline[source].grain.ordinal(key))
        instead = f"its last good delivery {short(head.data_version)}" if head else "nothing: it had none before"
        found.append(Trouble(source, key, "rejected", problem, instead, (source, key, problem) not in told))
    return found


def _because(judged: Judgement, troubles: list[Trouble]) -> bool:
    wrong = {(each.asset, each.partition) for each in troubles}
    return bool(judged.roots & wrong)
