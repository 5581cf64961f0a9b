"""Reconciling incidents with what is wrong now: opened once, updated while it lasts, resolved once.

Whoever looks says all that is wrong as far as it can see. What is wrong and has no incident gets one; an open incident
that is no longer wrong is resolved; what has grown is told. Looking twice at the same state tells nothing twice.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tidemark.deployment import Deployment
from tidemark.incidents.classes import FAILURES, CauseClass, Severity
from tidemark.incidents.conditions import Condition, Detail, detail_of, has_grown
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident

Within = Callable[[Incident], bool]


def reconcile(deployment: Deployment, conditions: Sequence[Condition], *, within: Within, actor: str) -> list[int]:
    """Bring the open incidents to what is wrong now.

    Args:
        deployment: where.
        conditions: everything that is wrong, as far as who looks can see.
        within: whether an open incident is one that who looks would see if it were still so; those that are not wrong
            any more are resolved.
        actor: who looks, for the record.

    Returns:
        The numbers of the incidents that were opened, updated or resolved.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    with deployment.ledger.read() as connection:
        known = incidents.open_ones(connection, deployment.environment)
    if not conditions and not any(within(each) for each in known):
        return []  # most looks find nothing, and cost no writing transaction
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        return _Turn(connection, deployment.environment, actor).reconcile(conditions, within)


def raise_one(connection: sa.Connection, environment: str, condition: Condition, *, actor: str) -> None:
    """Open or update one incident, in the transaction of what it is about; all others stay as they are."""
    incidents.take_incidents(connection)
    _Turn(connection, environment, actor).reconcile([condition], lambda one: False)


def resolve_one(connection: sa.Connection, environment: str, key: tuple[str, str, str], *, actor: str) -> None:
    """Resolve the incident of a pipeline, asset and cause class, if there is one, in the caller's transaction."""
    incidents.take_incidents(connection)
    _Turn(connection, environment, actor).reconcile([], lambda one: one.key == key)


class _Turn:
    """One look's changes, in one transaction."""

    def __init__(self, connection: sa.Connection, environment: str, actor: str) -> None:
        self._connection, self._environment, self._actor = connection, environment, actor
        self._open = {each.key: each for each in incidents.open_ones(connection, environment)}
        self._changed: list[int] = []

    def reconcile(self, conditions: Sequence[Condition], within: Within) -> list[int]:
        still = set()
        for each in _each_once(conditions):
            if self._is_late_of_failed(each):
                still.add(each.key)
                continue
            found = self._open.get(each.key) or self._late_one(each)
            if found is None:
                self._open_new(each)
            else:
                self._update(found, each)
                still.add(found.key)
            still.add(each.key)
        for one in list(self._open.values()):
            if one.key not in still and within(one):
                self._resolve(one)
        return self._changed

    def _is_late_of_failed(self, condition: Condition) -> bool:
        """Whether it is late because it failed since: that is one incident, which is open already."""
        return condition.cause is CauseClass.DEADLINE_MISSED and any(
            one.pipeline == condition.pipeline
            and one.cause in FAILURES
            and (condition.since is None or one.updated_at >= condition.since)
            for one in self._open.values()
        )

    def _late_one(self, condition: Condition) -> Incident | None:
        """Return the incident of a pipeline that was late, and of which the reason is known now."""
        if condition.cause not in FAILURES:
            return None
        late = (condition.pipeline, "", CauseClass.DEADLINE_MISSED.value)
        return self._open.get(late)

    def _open_new(self, condition: Condition) -> None:
        values = {**_values(condition), "happened": max(condition.happened, 1)}
        number = incidents.write(self._connection, self._environment, values)
        self._open[condition.key] = incidents.read(self._connection, number)
        self._told(number, notices.OPENED, condition.summary)

    def _update(self, one: Incident, condition: Condition) -> None:
        before = Detail.from_json(one.detail)
        if condition.partial:
            known = sorted({*before.partitions, *condition.partitions})
            condition = replace(condition, partitions=tuple(known))
        grown = has_grown(before, detail_of(condition))
        if condition.event:
            grown = grown or f"it happened again: {detail_of(condition).why}"
        if one.cause != condition.cause:
            grown = f"now it is known why: {condition.summary}"
        worse = Severity(one.severity).rank < condition.bad.rank
        if worse:
            grown = grown or f"it is {condition.bad} now"
        values = {**_values(condition), "happened": one.happened + condition.happened}
        if grown or condition.happened:
            values["updated_at"] = datetime.now(UTC)
        if worse or one.cause != condition.cause:
            values["acknowledged_at"] = None  # who took on less has not taken on this
        incidents.change(self._connection, one.id, **values)
        self._open.pop(one.key)
        self._open[condition.key] = incidents.read(self._connection, one.id)
        if grown:
            self._told(one.id, notices.UPDATED, grown)

    def _resolve(self, one: Incident) -> None:
        self._open.pop(one.key)
        self._changed.append(one.id)
        resolve(self._connection, one, said="it is over", actor=self._actor)

    def _told(self, number: int, kind: str, said: str) -> None:
        self._changed.append(number)
        incidents.write_event(self._connection, number, kind, actor=self._actor, said=said)
        write_notice(self._connection, incidents.read(self._connection, number), kind, said)


def resolve(connection: sa.Connection, one: Incident, *, said: str, actor: str) -> None:
    """Write down that an incident is over, and that people are to be told; who calls has the turn of incidents."""
    now = datetime.now(UTC)
    incidents.change(connection, one.id, resolved_at=now, updated_at=now)
    incidents.write_event(connection, one.id, notices.RESOLVED, actor=actor, said=said)
    write_notice(connection, incidents.read(connection, one.id), notices.RESOLVED, said)


def write_notice(connection: sa.Connection, one: Incident, kind: str, said: str) -> None:
    """Write down that people are to be told of an incident; ``said`` is what is new of it."""
    notices.write(
        connection,
        one.environment,
        kind=kind,
        topic=one.cause,
        severity=one.severity,
        payload={"said": said},
        pipeline=one.pipeline,
        owner=one.owner,
        incident=one.id,
    )


def _values(condition: Condition) -> dict[str, Any]:
    return {
        "pipeline": condition.pipeline,
        "asset": condition.asset,
        "cause": condition.cause.value,
        "severity": condition.bad.value,
        "owner": condition.owner,
        "summary": condition.summary,
        "detail": detail_of(condition).to_json(),
    }


def _each_once(conditions: Iterable[Condition]) -> list[Condition]:
    """Return one condition for each key; failures come before what is late because of them."""
    found: dict[tuple[str, str, str], Condition] = {}
    for each in conditions:
        found.setdefault(each.key, each)
    return sorted(found.values(), key=lambda each: each.cause is CauseClass.DEADLINE_MISSED)
