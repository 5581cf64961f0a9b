"""The verdict: what a run came to, by comparing its plan with the ledger, so that dead workers are counted too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidemark.assets import Asset, Pipeline
from tidemark.deployment import Deployment
from tidemark.explain import short
from tidemark.facts import Names, read_facts, register
from tidemark.ledger import plans
from tidemark.plan import rejections
from tidemark.running.results import Result
from tidemark.selection import selection_from
from tidemark.survey import Facts, Judgement, State, Survey

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

    """

    asset: str
    partition: str
    what: str
    why: str
    instead: str
    new: bool


@dataclass(frozen=True)
class Verdict:
    """What a run came to.

    Attributes:
        pipeline: the pipeline's name.
        counts: per asset, partitions by result, which are disjoint, and provisional heads.
        troubles: what failed, was blocked or rejected, oldest first.
        blocked_below: how many partitions wait because of it.
        waiting: what waits, and for what: (asset, partition, reason) each.

    """

    pipeline: str
    counts: Mapping[str, Mapping[str, int]]
    troubles: tuple[Trouble, ...]
    blocked_below: int
    waiting: tuple[tuple[str, str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed, was blocked or rejected."""
        return not self.troubles

    @property
    def news(self) -> bool:
        """Whether something failed, was blocked or rejected in this run."""
        return any(each.new for each in self.troubles)

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


def verdict(deployment: Deployment, pipeline: Pipeline, plan_id: int, *, names: Names | None = None) -> Verdict:
    """Compare a stored plan with the ledger as it is now.

    Raises:
        UsageError: when there is no such plan.

    """
    names = names or register(deployment, pipeline)
    with deployment.ledger.read() as connection:
        stored = plans.read(connection, plan_id)
        items = {(item.asset, item.partition): item for item in plans.items(connection, plan_id)}
        before = plans.newest(connection, deployment.environment, pipeline.name, before=plan_id)
    facts = read_facts(deployment, pipeline, names)
    selection = selection_from(stored.context)
    survey = Survey(pipeline, facts, stored.as_of, selection, planning=False)
    counts = {
        each.name: dict.fromkeys([*(result.value for result in Result), "provisional"], 0) for each in pipeline.assets
    }
    # What an earlier plan has not seen is news, also where somebody has only looked in between.
    told = {tuple(each) for each in before.context["rejected"]} if before else set()
    troubles = _rejected(pipeline, facts, told)
    waiting: list[tuple[str, str, str]] = []
    below = 0
    for judged in survey.judge_all(pipeline.assets):
        asset = pipeline.asset(judged.asset)
        if not selection.holds(asset.grain, judged.ordinal):
            continue
        item = items.get((judged.asset, judged.key))
        result, why = _result(judged, item)
        counts[judged.asset][result] += 1
        head = facts.heads.get(judged.asset, {}).get(judged.ordinal)
        counts[judged.asset]["provisional"] += bool(head and head.missing)
        if result in (Result.FAILED, Result.BLOCKED):
            troubles.append(_trouble(asset, judged, result, why, item))
        elif result is Result.WAITING:
            waiting.append((judged.asset, judged.key, why))
            below += _because(judged, troubles)
    return Verdict(pipeline.name, counts, tuple(troubles), below, tuple(waiting))


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
    return Trouble(asset.name, judged.key, result.value, why, instead, new)


def _rejected(pipeline: Pipeline, facts: Facts, told: set[tuple[str, ...]]) -> list[Trouble]:
    found = []
    for source, key, problem in rejections(pipeline, facts):
        head = facts.heads.get(source, {}).get(pipeline[source].grain.ordinal(key))
        instead = f"its last good delivery {short(head.data_version)}" if head else "nothing: it had none before"
        found.append(Trouble(source, key, "rejected", problem, instead, (source, key, problem) not in told))
    return found


def _because(judged: Judgement, troubles: list[Trouble]) -> bool:
    wrong = {(each.asset, each.partition) for each in troubles}
    return bool(judged.roots & wrong)
