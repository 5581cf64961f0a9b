"""The commands for who is on call: what is wrong, taking it on, keeping it quiet for a while, calling it over."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tidemark.cli import shown_incidents
from tidemark.cli.answers import Answer
from tidemark.config import person
from tidemark.deployment import open_deployment
from tidemark.incidents import accounts, handling
from tidemark.incidents.handling import Scope
from tidemark.ledger.incidents import Incident


def list_incidents(options: argparse.Namespace) -> Answer:
    """List the open incidents, oldest first: how bad, what, since when, and whether somebody is at it."""
    with open_deployment() as deployment:
        found = accounts.overview(deployment, everything=options.all)
        environment = deployment.environment
    return Answer(found, shown_incidents.list_table(environment, found, everything=options.all))


def show(options: argparse.Namespace) -> Answer:
    """Show everything about an incident.

    What failed and why, with the rows at fault; since when; what depends on it, and what is served instead; what
    became of it and by whom; who was told through which channel; the runbook.
    """
    with open_deployment() as deployment:
        found = accounts.account(deployment, options.number)
    return Answer(found, shown_incidents.account_text(found))


def acknowledge(options: argparse.Namespace) -> Answer:
    """Take an incident on, so that others know that somebody is at it."""
    with open_deployment() as deployment:
        one = handling.acknowledge(deployment, options.number, why=options.why, actor=person())
    return Answer({"number": one.id, "acknowledged_by": person()}, f"incident {one.id} is yours: {one.summary}")


def resolve(options: argparse.Namespace) -> Answer:
    """Call an incident over, and tell those who were told of it.

    Most incidents end by themselves, when whoever looks next finds nothing wrong. What is still wrong then becomes a
    new one.
    """
    with open_deployment() as deployment:
        one = handling.resolve(deployment, options.number, why=options.why, actor=person())
    said = f"incident {one.id} is over: {one.summary}; if it still is so, the next look opens a new one"
    return Answer({"number": one.id, "resolved_at": one.resolved_at}, said)


def silence(options: argparse.Namespace) -> Answer:
    """Keep incidents quiet for a while: one by its number, or what is of a pipeline, an asset or a cause class.

    Nobody is told of them until the silence ends; they are opened, updated and resolved all the same. A silence has an
    end, at most 90 days away, and a reason; each Monday lists the ones in force.
    """
    until = handling.expiry(options.lasts, options.until, datetime.now(UTC))
    named = Scope(options.pipeline, options.asset, options.cause)
    with open_deployment() as deployment:
        scope = handling.asked_scope(deployment, options.number, named)
        made, quiet = handling.silence(deployment, scope, until=until, why=options.why, actor=person())
    data = {**accounts.told(made), "quiet": _numbers(quiet)}
    said = f"silence {made.id}: {data['what']}, until {handling.shown(made.ends_at)}; {_now(quiet, 'quiet')}"
    return Answer(data, f"{said}; 'tidemark incident lift {made.id} --why ...' ends it earlier")


def list_silences(options: argparse.Namespace) -> Answer:
    """List the silences that are in force: of what, why, by whom, and until when."""
    with open_deployment() as deployment:
        found = accounts.silences(deployment)
    return Answer(found, shown_incidents.silences_table(found))


def lift(options: argparse.Namespace) -> Answer:
    """End a silence before its time."""
    with open_deployment() as deployment:
        ended, loud = handling.lift(deployment, options.number, why=options.why, actor=person())
    data: Mapping[str, Any] = {"number": ended.id, "heard": _numbers(loud)}
    return Answer(data, f"silence {ended.id} is lifted; {_now(loud, 'heard again')}")


def _numbers(some: Sequence[Incident]) -> list[int]:
    return [one.id for one in some]


def _now(some: Sequence[Incident], how: str) -> str:
    if not some:
        return "no open incident is of it now"
    return f"{how}: incident {', '.join(map(str, _numbers(some)))}"
