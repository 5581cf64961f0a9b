"""From a run's verdict to its incidents: one for each asset and cause class, however many partitions it is about.

What failed only because of something that has an incident already is told there, not again.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Pipeline
from tidemark.deployment import Deployment
from tidemark.facts import Names, register
from tidemark.incidents.classes import FAILURES, CauseClass
from tidemark.incidents.conditions import MOST_PARTITIONS, Condition
from tidemark.incidents.reach import Root, reach_of
from tidemark.incidents.reconciling import reconcile
from tidemark.ledger import incidents, registry
from tidemark.ledger.heads import PROD
from tidemark.ledger.incidents import Incident
from tidemark.ledger.schema import gate_result, head_log, materialization, observation
from tidemark.verdict import Trouble, Verdict

OF_VERDICTS = frozenset(
    {
        CauseClass.GATE_FAILED,
        CauseClass.SOURCE_MALFORMED,
        CauseClass.ASSET_FAILED,
        CauseClass.RUN_FAILED,
        CauseClass.DEADLINE_MISSED,
    }
)
"""The cause classes of which a run that came to a verdict says whether they are over."""


def tell_verdict(deployment: Deployment, pipeline: Pipeline, verdict: Verdict, *, link: str, actor: str) -> list[int]:
    """Open, update and resolve the incidents of a pipeline by what its run came to.

    Args:
        deployment: where.
        pipeline: the definitions.
        verdict: what the run came to.
        link: the page of the run, or empty.
        actor: who looks, for the record.

    Returns:
        The numbers of the incidents that changed.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    conditions: list[Condition] = []
    if verdict.troubles:
        names = register(deployment, pipeline)
        with deployment.ledger.read() as connection:
            telling = _Telling(connection, deployment, pipeline, names, link)
            conditions = [replace(each, partial=not verdict.whole) for each in telling.conditions(verdict.troubles)]

    def within(one: Incident) -> bool:
        # A step beside the verdict that has failed, a promotion for instance, is the watch's to call over.
        of_a_step = one.cause == CauseClass.RUN_FAILED and one.asset != ""
        mine = one.pipeline == pipeline.name and one.cause in OF_VERDICTS and not of_a_step
        return verdict.whole and mine

    return reconcile(deployment, conditions, within=within, actor=actor)


def tell_no_plan(deployment: Deployment, pipeline: Pipeline, why: str, *, link: str, actor: str) -> None:
    """Open the incident of a pipeline of which no plan could be made; the next verdict resolves it.

    Args:
        deployment: where.
        pipeline: the definitions.
        why: what the plan has failed for, or empty if nobody knows.
        link: the page of the run, or empty.
        actor: who looks, for the record.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    condition = Condition(
        CauseClass.RUN_FAILED,
        pipeline.name,
        "",
        f"{pipeline.name}: no plan could be made, so nothing was computed",
        why=why,
        instead="everything that was live before",
        owner=pipeline.owner or "",
        link=link,
    )
    reconcile(deployment, [condition], within=lambda one: False, actor=actor)


# How the ledger keeps an exception: its class, what it says, and where in the scientist's code it was raised.
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt)\b")
_PLACE = re.compile(r" \([^()]*:\d+\)$")


class _Telling:
    """Says what is wrong with a pipeline, in one transaction."""

    def __init__(
        self, connection: sa.Connection, deployment: Deployment, pipeline: Pipeline, names: Names, link: str
    ) -> None:
        self._connection, self._environment = connection, deployment.environment
        self._pipeline, self._names, self._link = pipeline, names, link
        self._known = registry.assets(connection)

    def conditions(self, troubles: Sequence[Trouble]) -> list[Condition]:
        """Return one condition for each asset and cause class, in the order of the pipeline."""
        causes = {each: self._cause(each) for each in troubles}
        wrong = {(each.asset, each.partition) for each in troubles}
        elsewhere = self._wrong_elsewhere()
        groups: dict[tuple[str, CauseClass], list[Trouble]] = {}
        below: list[Trouble] = []
        for each in troubles:
            if each.roots & wrong:
                below.append(each)
            elif not each.roots & elsewhere:
                groups.setdefault((each.asset, causes[each]), []).append(each)
        return [self._condition(*key, some, below) for key, some in groups.items()]

    def _wrong_elsewhere(self) -> set[Root]:
        """Return what has failed in other pipelines, and is told: that explains what fails here because of it.

        That something is late, drifts or is silenced does not: a failure must not hide behind it.
        """
        known, now = incidents.open_ones(self._connection, self._environment), datetime.now(UTC)
        quiet = incidents.silences(self._connection, self._environment, now)
        failed = [one for one in known if one.pipeline != self._pipeline.name and one.cause in FAILURES]
        others = [one for one in failed if incidents.silencing(one, quiet, now) is None]
        return {(one.asset, key) for one in others for key in one.detail.get("partitions", ())}

    def _cause(self, trouble: Trouble) -> CauseClass:
        if trouble.what == "failed":
            return CauseClass.ASSET_FAILED
        if trouble.what == "blocked":
            return CauseClass.GATE_FAILED
        readable = self._newest_delivery(trouble) is not None
        return CauseClass.GATE_FAILED if readable else CauseClass.SOURCE_MALFORMED

    def _condition(
        self, asset: str, cause: CauseClass, troubles: Sequence[Trouble], below: Iterable[Trouble]
    ) -> Condition:
        keys = tuple(each.partition for each in troubles)
        roots = {(asset, key) for key in keys}
        newest = next((each for each in reversed(troubles) if each.new), troubles[-1])
        others = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        instead, made = self._instead(asset, keys)
        return Condition(
            cause=cause,
            pipeline=self._pipeline.name,
            asset=asset,
            summary=f"{asset} {newest.partition}{others}: {cause.said.title}",
            why=self._why(newest),
            partitions=keys,
            rows=tuple(self._rows(newest)) if cause is CauseClass.GATE_FAILED else (),
            instead=instead,
            instead_of=made,
            reach=reach_of(self._connection, self._environment, asset, keys, self._known),
            also=tuple(f"{each.asset} {each.partition}: {self._why(each)}" for each in below if each.roots & roots),
            owner=self._pipeline[asset].owner or self._pipeline.owner or "",
            link=self._link,
            happened=sum(each.new for each in troubles),
        )

    def _why(self, trouble: Trouble) -> str:
        """Return why something is wrong; of an exception where personal data is read, only what it is and where."""
        found = _EXCEPTION.search(trouble.why)
        if trouble.what != "failed" or found is None or not self._reads_personal_data(trouble.asset):
            return trouble.why
        place = _PLACE.search(trouble.why)
        return (
            f"{found.group()}{place.group() if place else ''}; what it says may quote personal data: "
            f"'tidemark explain {trouble.asset} {trouble.partition}' shows it"
        )

    def _reads_personal_data(self, asset: str) -> bool:
        read = [upstream for upstream, _ in self._known[asset].definition.get("inputs", ())]
        return any(self._known[each].definition.get("pii") for each in (asset, *read) if each in self._known)

    # -- what the ledger adds

    def _partition_id(self, trouble: Trouble) -> int | None:
        return self._names.met(trouble.asset, trouble.partition)

    def _newest_delivery(self, trouble: Trouble) -> bytes | None:
        """Return the content of a source's newest delivery; None: it could not be read."""
        query = (
            sa.select(observation.c.data_version)
            .where(
                observation.c.environment.in_([self._environment, PROD]),
                observation.c.asset_id == self._names.assets[trouble.asset],
                observation.c.partition_id == self._partition_id(trouble),
            )
            .order_by(observation.c.id.desc())
            .limit(1)
        )
        return self._connection.execute(query).scalar()

    def _rows(self, trouble: Trouble) -> list[Mapping[str, Any]]:
        """Return rows at fault of the newest candidate that its gate has stopped, as the gate has masked them."""
        query = (
            sa.select(gate_result.c.result)
            .join(materialization, materialization.c.data_version == gate_result.c.data_version)
            .where(
                materialization.c.asset_id == self._names.assets[trouble.asset],
                materialization.c.partition_id == self._partition_id(trouble),
                gate_result.c.outcome == "blocked",
            )
            .order_by(materialization.c.id.desc(), gate_result.c.checked_at.desc())
            .limit(1)
        )
        result = self._connection.execute(query).scalar()
        failures = result["failures"] if result else ()
        return [row for failure in failures if failure["severity"] == "critical" for row in failure["sample"]]

    def _instead(self, asset: str, keys: Collection[str]) -> tuple[str, datetime | None]:
        """Say what is served in place of partitions that are wrong, and when the oldest of that was made."""
        numbers = [number for key in list(keys)[:MOST_PARTITIONS] if (number := self._names.met(asset, key))]
        query = (
            sa.select(materialization.c.created_at)
            .join(head_log, head_log.c.materialization_id == materialization.c.id)
            .where(
                head_log.c.environment == self._environment,
                head_log.c.asset_id == self._names.assets[asset],
                head_log.c.partition_id.in_(numbers),
                head_log.c.to_seq.is_(None),
            )
        )
        made = sorted(self._connection.execute(query).scalars())
        if not made:
            return "nothing of these partitions: they have no earlier result, and readers do without", None
        if len(made) < len(numbers):
            return f"the last good results ({len(numbers) - len(made)} partitions have none); the oldest", made[0]
        return "the last good result", made[0]
