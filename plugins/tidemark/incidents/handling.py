"""What people do with incidents: take one on, silence, lift a silence, call one over. Each says why, and is audited.

Invariant: what is looked at before an act is still so when the act is written down, since nobody else changes
incidents or silences between; each act, its event and its entry in the audit log are there together or not at all.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tidemark.calendars import parse_duration
from tidemark.config import parse_instant
from tidemark.deployment import Deployment
from tidemark.errors import DefinitionError, UsageError, close
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.reconciling import write_notice
from tidemark.interventions import reason_of
from tidemark.ledger import acts, incidents, notices, registry
from tidemark.ledger.incidents import Incident, Silence

LONGEST = timedelta(days=90)
"""How long a silence may last: what nobody looks at for longer, nobody remembers; its reason is to be said again."""


@dataclass(frozen=True)
class Scope:
    """Which incidents are meant: those of a pipeline, an asset and a cause class; what is empty stands for all."""

    pipeline: str = ""
    asset: str = ""
    cause: str = ""

    @property
    def said(self) -> str:
        """It in words."""
        asset = f" of {self.asset}" if self.asset else ""
        pipeline = f" in {self.pipeline}" if self.pipeline else ""
        return f"{self.cause or 'everything'}{asset}{pipeline}"


def expiry(lasts: str | None, until: str | None, now: datetime) -> datetime:
    """Return when a silence ends.

    Args:
        lasts: for how long, as ``4 hours`` or ``3 days``; or None.
        until: till when, as ``2026-12-24T08:00+01:00``; or None.
        now: from when on it counts.

    Raises:
        UsageError: both are given, or none, or it cannot be understood.

    """
    if bool(lasts) == bool(until):
        which = "both are given" if lasts else "a silence without an end is forgotten"
        raise UsageError(f"say for how long ('4 hours', '3 days') or until when (2026-12-24T08:00+01:00): {which}")
    if until:
        return parse_instant(until, "until")
    assert lasts is not None
    try:
        return now + parse_duration(lasts)
    except (DefinitionError, OverflowError) as problem:
        raise UsageError(f"for how long: {problem}") from problem


def acknowledge(deployment: Deployment, number: int, *, why: str, actor: str) -> Incident:
    """Take an incident on, so that others know that somebody is at it; returns it.

    Raises:
        UsageError: there is no such incident, or it is over, or somebody has taken it on, or the reason is empty.
        Unavailable: the ledger cannot be used.

    """
    reason = reason_of(why)
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        one = _open_one(connection, deployment, number)
        if one.acknowledged_at is not None:
            raise UsageError(f"incident {number} was acknowledged already, {_by_whom(connection, one)}")
        incidents.change(connection, number, acknowledged_at=datetime.now(UTC))
        _note(connection, one, incidents.ACKNOWLEDGED, "acknowledge incident", reason, actor)
        return incidents.read(connection, number)


def resolve(deployment: Deployment, number: int, *, why: str, actor: str) -> Incident:
    """Call an incident over, and tell those who were told of it; returns it.

    Where what is wrong still is, whoever looks next opens another one.

    Raises:
        UsageError: there is no such incident, or it is over, or the reason is empty.
        Unavailable: the ledger cannot be used.

    """
    reason = reason_of(why)
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        one = _open_one(connection, deployment, number)
        now = datetime.now(UTC)
        incidents.change(connection, number, resolved_at=now, updated_at=now)
        _note(connection, one, notices.RESOLVED, "resolve incident", reason, actor)
        over = incidents.read(connection, number)
        write_notice(connection, over, notices.RESOLVED, f"{actor} says that it is over: {reason}")
        return over


def asked_scope(deployment: Deployment, number: int | None, named: Scope) -> Scope:
    """Return which incidents a person wants to be quiet.

    Args:
        deployment: where.
        number: of an incident: it is meant, now and when it comes again; or None.
        named: what is meant else.

    Raises:
        UsageError: both are given, or there is no such incident, or it is over.
        Unavailable: the ledger cannot be used.

    """
    if number is None:
        return named
    if named != Scope():
        raise UsageError("give an incident's number, or a pipeline, an asset and a cause class: not both")
    with deployment.ledger.read() as connection:
        return Scope(*_open_one(connection, deployment, number).key)


def silence(
    deployment: Deployment, scope: Scope, *, until: datetime, why: str, actor: str
) -> tuple[Silence, list[Incident]]:
    """Keep incidents quiet for a while, those that are open and those that will be.

    Args:
        deployment: where.
        scope: which incidents.
        until: when it ends, by itself.
        why: for those who wonder why they heard nothing.
        actor: who does it.

    Returns:
        The silence, and the open incidents that it keeps quiet.

    Raises:
        UsageError: the reason or the scope is empty, the scope names what nobody knows, its end is over or too far
            away, or another silence of the same is as long.
        Unavailable: the ledger cannot be used.

    """
    reason, now = reason_of(why), datetime.now(UTC)
    _check_end(until, now)
    environment = deployment.environment
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        _check_known(connection, environment, scope)
        for each in incidents.silences(connection, environment, now):
            if Scope(each.pipeline, each.asset, each.cause) == scope and each.ends_at >= until:
                raise UsageError(
                    f"{scope.said} is silenced already until {shown(each.ends_at)} by {each.actor}: "
                    f"'tidemark incident lift {each.id} --why ...' ends that earlier"
                )
        values: dict[str, Any] = {
            "pipeline": scope.pipeline,
            "asset": scope.asset,
            "cause": scope.cause,
            "why": reason,
            "actor": actor,
            "begins_at": now,
            "ends_at": until,
            "lifted_at": None,
        }
        made = Silence(id=incidents.write_silence(connection, environment, values), **values)
        said = f"until {shown(until)}: {reason}"
        quiet = _tell_covered(connection, environment, made, incidents.SILENCED, said, actor, now)
        _audit(connection, environment, "silence", made, reason, actor)
    return made, quiet


def lift(deployment: Deployment, number: int, *, why: str, actor: str) -> tuple[Silence, list[Incident]]:
    """End a silence before its time.

    Returns:
        The silence, and the open incidents that it has kept quiet.

    Raises:
        UsageError: there is no such silence, or it is over, or the reason is empty.
        Unavailable: the ledger cannot be used.

    """
    reason, now, environment = reason_of(why), datetime.now(UTC), deployment.environment
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        live = {each.id: each for each in incidents.silences(connection, environment, now)}
        if number not in live:
            there = f"there are {_numbers(live)}" if live else "there is none"
            raise UsageError(f"no silence {number} is in force: {there}; 'tidemark incident silences' lists them")
        ended = live[number]
        loud = _tell_covered(connection, environment, ended, incidents.HEARD, reason, actor, now)
        incidents.lift_silence(connection, number, now)
        _audit(connection, environment, "lift silence", ended, reason, actor)
    return ended._replace(lifted_at=now), loud


def shown(instant: datetime) -> str:
    """Return an instant as people read it."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _open_one(connection: sa.Connection, deployment: Deployment, number: int) -> Incident:
    """Return an open incident of this environment.

    Raises:
        UsageError: there is none of this number.

    """
    try:
        one = incidents.read(connection, number)
    except UsageError as problem:
        known = [each.id for each in incidents.open_ones(connection, deployment.environment)]
        raise UsageError(f"{problem}; open are {_numbers(known)}" if known else f"{problem}; none is open") from problem
    if one.environment != deployment.environment:
        raise UsageError(
            f"incident {number} is of the environment {one.environment!r}, and this is {deployment.environment!r}: "
            f"set TIDEMARK_ENVIRONMENT={one.environment}"
        )
    if one.resolved_at is not None:
        raise UsageError(f"incident {number} is over since {shown(one.resolved_at)}: 'tidemark incident show {number}'")
    return one


def _by_whom(connection: sa.Connection, one: Incident) -> str:
    said = [each for each in incidents.events(connection, one.id) if each.what == incidents.ACKNOWLEDGED][-1]
    return f"by {said.actor} at {shown(said.at)}: {said.said}"


def _numbers(numbers: "list[int] | dict[int, Silence]") -> str:
    return ", ".join(map(str, sorted(numbers)))


def _note(connection: sa.Connection, one: Incident, what: str, act: str, reason: str, actor: str) -> None:
    """Write an event and its entry in the audit log."""
    incidents.write_event(connection, one.id, what, actor=actor, said=reason)
    pipeline, asset, cause = one.key
    detail = {
        "environment": one.environment,
        "incident": one.id,
        "pipeline": pipeline,
        "asset": asset,
        "cause": cause,
        "why": reason,
    }
    acts.write_audit(connection, actor=actor, act=act, detail=detail)


def _audit(connection: sa.Connection, environment: str, act: str, about: Silence, reason: str, actor: str) -> None:
    detail = {
        "environment": environment,
        "silence": about.id,
        "pipeline": about.pipeline,
        "asset": about.asset,
        "cause": about.cause,
        "ends": about.ends_at.astimezone(UTC).isoformat(),
        "why": reason,
    }
    acts.write_audit(connection, actor=actor, act=act, detail=detail)


def _tell_covered(
    connection: sa.Connection, environment: str, about: Silence, what: str, said: str, actor: str, now: datetime
) -> list[Incident]:
    """Note of each open incident that a silence keeps quiet what a person did; returns these."""
    covered = [one for one in incidents.open_ones(connection, environment) if about.covers(one, now)]
    for one in covered:
        incidents.write_event(connection, one.id, what, actor=actor, said=said)
    return covered


def _check_end(until: datetime, now: datetime) -> None:
    if until <= now:
        raise UsageError(f"the silence would end at {shown(until)}, which is over: it is {shown(now)}")
    if until > now + LONGEST:
        raise UsageError(
            f"the silence would end at {shown(until)}: it may last {LONGEST.days} days, until {shown(now + LONGEST)}, "
            "since what is quiet for longer is forgotten; say it again then, or change the definition"
        )


def _check_known(connection: sa.Connection, environment: str, scope: Scope) -> None:
    """Refuse a scope of which there can be no incident, or of which all are.

    Raises:
        UsageError: it is one of these; names what may be meant.

    """
    if scope == Scope():
        raise UsageError("say what is to be silenced: an incident's number, a pipeline, an asset or a cause class")
    causes = [each.value for each in CauseClass]
    if scope.cause and scope.cause not in causes:
        raise UsageError(f"there is no cause class {scope.cause!r}{close(scope.cause, causes)}")
    places = {(each.pipeline, each.name) for each in registry.assets(connection).values() if not each.is_given_up}
    # What is watched beside assets, such as a process or a paused DAG, is known by what was wrong with it.
    places |= {(pipeline, asset) for pipeline, asset, _ in incidents.ever(connection, environment)}
    for what, name, known in (
        ("pipeline", scope.pipeline, {pipeline for pipeline, _ in places}),
        ("asset", scope.asset, {asset for _, asset in places}),
    ):
        if name and name not in known:
            raise UsageError(f"no {what} {name!r} is known{close(name, known - {''})}")
    if scope.pipeline and scope.asset and (scope.pipeline, scope.asset) not in places:
        others = " and ".join(sorted({repr(pipeline) for pipeline, asset in places if asset == scope.asset}))
        raise UsageError(f"{scope.asset} is of the pipeline {others}, not of {scope.pipeline!r}")
