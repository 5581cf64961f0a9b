"""What people are shown of incidents and silences: how each stands in words, and everything that is known of one."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tidemark.deployment import Deployment
from tidemark.incidents.conditions import Detail
from tidemark.incidents.handling import Scope, shown
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Event, Incident, Silence

MOST = 200
"""Of all incidents that were ever open, the list has the newest ones."""


def overview(deployment: Deployment, *, everything: bool = False) -> list[dict[str, Any]]:
    """Return the open incidents, oldest first; or all there ever were, of many the newest, newest first.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    now, environment = datetime.now(UTC), deployment.environment
    with deployment.ledger.read() as connection:
        found = incidents.some(connection, environment, only_open=not everything, limit=MOST)
        quiet = incidents.silences(connection, environment, now)
        taken_on = [one for one in found if one.acknowledged_at is not None]
        events = {one.id: incidents.events(connection, one.id) for one in taken_on}
    return [_line(one, events.get(one.id, ()), incidents.silencing(one, quiet, now)) for one in found]


def account(deployment: Deployment, number: int) -> dict[str, Any]:
    """Return everything that is known of an incident, JSON-ready.

    Raises:
        UsageError: there is none of this number.
        Unavailable: the ledger cannot be used.

    """
    now = datetime.now(UTC)
    with deployment.ledger.read() as connection:
        one = incidents.read(connection, number)
        events = incidents.events(connection, number)
        quiet = incidents.silencing(one, incidents.silences(connection, one.environment, now), now)
        sent = notices.sendings(connection, number)
    detail = Detail.from_json(one.detail)
    return {
        **_line(one, events, quiet),
        "environment": one.environment,
        "why": detail.why,
        "partitions": list(detail.partitions),
        "rows": [dict(row) for row in detail.rows],
        "instead": detail.served(now),
        "reach": [asdict(each) for each in detail.reach],
        "also": list(detail.also),
        "do": detail.do,
        "link": detail.link,
        "runbook": f"docs/runbooks/{one.cause}.md",
        "events": [{"at": each.at, "what": each.what, "by": each.actor, "said": each.said} for each in events],
        "sent": [each._asdict() for each in sent],
    }


def silences(deployment: Deployment, now: datetime | None = None) -> list[dict[str, Any]]:
    """Return the silences that count, at an instant or now, the first to end first.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    now = now or datetime.now(UTC)
    with deployment.ledger.read() as connection:
        found = incidents.silences(connection, deployment.environment, now)
    return [told(each) for each in found if each.is_live(now)]


def told(each: Silence) -> dict[str, Any]:
    """Return a silence, JSON-ready."""
    return {
        "number": each.id,
        "pipeline": each.pipeline,
        "asset": each.asset,
        "cause": each.cause,
        "what": Scope(each.pipeline, each.asset, each.cause).said,
        "why": each.why,
        "by": each.actor,
        "begins_at": each.begins_at,
        "ends_at": each.ends_at,
    }


def sentences(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Return incidents as a line of text each: for a log."""
    return [f"{each['number']}  {each['severity']}  {each['summary']}  ({each['standing']})" for each in lines]


def _line(one: Incident, events: Sequence[Event], quiet: Silence | None) -> dict[str, Any]:
    taken_on = next((each for each in reversed(events) if each.what == incidents.ACKNOWLEDGED), None)
    return {
        "number": one.id,
        "state": _state(one),
        "standing": _standing(one, taken_on, quiet),
        "severity": one.severity,
        "cause": one.cause,
        "pipeline": one.pipeline,
        "asset": one.asset,
        "owner": one.owner,
        "summary": one.summary,
        "happened": one.happened,
        "total": one.detail["total"],
        "opened_at": one.opened_at,
        "updated_at": one.updated_at,
        "resolved_at": one.resolved_at,
        "silenced": told(quiet) if quiet is not None and one.is_open else None,
    }


def _state(one: Incident) -> str:
    if one.resolved_at is not None:
        return "resolved"
    return "acknowledged" if one.acknowledged_at is not None else "open"


def _standing(one: Incident, taken_on: Event | None, quiet: Silence | None) -> str:
    """Return how an incident stands in words."""
    if one.resolved_at is not None:
        return f"resolved {shown(one.resolved_at)}"
    said = [f"acknowledged by {taken_on.actor}" if taken_on else "open"]
    if quiet is not None:
        said.append(f"silenced until {shown(quiet.ends_at)} by {quiet.actor}")
    return ", ".join(said)
