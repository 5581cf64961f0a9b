"""Deadlines: pipelines whose run of the day is not over by the time that they have promised.

A deadline that is a time of day is counted from the schedule, and looked after here: where nothing has run at all, no
run can tell. One that is a duration is counted from each run, and Airflow tells it; here it is seen to be over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter  # type: ignore[import-untyped]

from tidemark.calendars import Due
from tidemark.deployment import Deployment
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.ledger import incidents, plans, registry
from tidemark.ledger.incidents import Incident
from tidemark.ledger.registry import Registered
from tidemark.watching.checks import Found

# So many ticks are looked back for one whose deadline has passed.
_MOST_TICKS = 1000

# Without one of these nothing runs.
_NEEDED = frozenset({"scheduler", "api-server"})


@dataclass(frozen=True)
class Promise:
    """By when a pipeline has promised to be done.

    Attributes:
        pipeline: its name.
        due: when, counted from a tick of the schedule, or from a run where it names no time of day.
        schedule: cron expression, or None.
        timezone: zone of the schedule.
        owner: who owns it, or empty.

    """

    pipeline: str
    due: Due
    schedule: str | None
    timezone: str
    owner: str

    @property
    def after_run(self) -> timedelta | None:
        """How long each run may take; None: it is a time of day."""
        return None if self.due.clock is not None else timedelta(self.due.days) + self.due.elapsed

    def passed(self, now: datetime) -> tuple[datetime, datetime] | None:
        """Return the newest tick whose deadline has passed at an instant, and that deadline; None: there is none."""
        zone = ZoneInfo(self.timezone)
        # Ticks are counted on the clock on the wall, as people read them.
        ticks = croniter(self.schedule, now.astimezone(zone).replace(tzinfo=None))
        for _ in range(_MOST_TICKS):
            tick = ticks.get_prev(datetime).replace(tzinfo=zone)
            deadline = self.due.at(tick)
            if deadline <= now:
                return tick.astimezone(UTC), deadline
        return None


def promises(known: Iterable[Registered]) -> dict[str, Promise]:
    """Return by when each pipeline has promised to be done, of those that have."""
    found: dict[str, Promise] = {}
    for each in known:
        told: Mapping[str, Any] | None = None if each.is_given_up else each.definition.get("deadline")
        if told:
            due = Due.from_json(told["due"])
            owner = each.definition.get("owner") or ""
            found.setdefault(each.pipeline, Promise(each.pipeline, due, told["schedule"], told["timezone"], owner))
    return found


def missed_deadlines(deployment: Deployment, now: datetime | None = None) -> Found:
    """Find every pipeline that is not done by its deadline, and of which nothing tells why.

    Args:
        deployment: where.
        now: the instant that is taken for now, by default the clock's.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    instant = now or datetime.now(UTC)
    with deployment.ledger.read() as connection:
        made = promises(registry.assets(connection).values())
        opened = incidents.open_ones(connection, deployment.environment)
        newest = {name: plans.newest(connection, deployment.environment, name) for name in made}
        done = {name: plan for name, plan in newest.items() if plan is not None and plans.is_done(connection, plan)}
        passed = [
            (each, *at) for each in made.values() if each.after_run is None and (at := each.passed(instant)) is not None
        ]
        missed = [
            each for each in passed if not _is_kept(connection, deployment.environment, each[0].pipeline, each[1])
        ]
    late = {one.pipeline for one in opened if one.cause == CauseClass.DEADLINE_MISSED}
    # What is told already stays told, whatever else keeps the pipeline from running by now.
    conditions = tuple(_missed(*each) for each in missed if each[0].pipeline in late or not _is_told(each[0], opened))

    def within(one: Incident) -> bool:
        if one.cause != CauseClass.DEADLINE_MISSED:
            return False
        if one.pipeline not in made:  # it promises nothing any more
            return True
        plan, after_run = done.get(one.pipeline), made[one.pipeline].after_run
        # A run that was late has made its plan no earlier than it was begun.
        return after_run is None or (plan is not None and plan.made_at + after_run >= one.opened_at)

    return Found(conditions, within)


def _is_told(promise: Promise, opened: Iterable[Incident]) -> bool:
    """Whether an open incident says why nothing runs: a deadline would only say it once more."""
    return any(
        (one.cause in (CauseClass.DAG_BROKEN, CauseClass.DAG_PAUSED) and one.pipeline == promise.pipeline)
        or (one.cause == CauseClass.HEARTBEAT_MISSING and one.asset in _NEEDED)
        for one in opened
    )


def _is_kept(connection: sa.Connection, environment: str, pipeline: str, tick: datetime) -> bool:
    """Whether a run of everything since a tick is over, or the pipeline was not there yet at that tick."""
    first = plans.first_made_at(connection, environment, pipeline)
    return (
        first is None
        or first > tick
        or any(
            plans.is_whole(plan) and plans.is_done(connection, plan)
            for plan in plans.since(connection, environment, pipeline, tick)
        )
    )


def _missed(promise: Promise, tick: datetime, deadline: datetime) -> Condition:
    zone = ZoneInfo(promise.due.zone or promise.timezone)
    return Condition(
        CauseClass.DEADLINE_MISSED,
        promise.pipeline,
        "",
        f"{promise.pipeline}: the run of {tick.astimezone(zone):%Y-%m-%d %H:%M} was to be over by "
        f"{deadline.astimezone(zone):%H:%M} {zone.key}",
        why="no run since then is over",
        since=tick,
        instead="everything that was live before",
        owner=promise.owner,
        happened=0,
    )
