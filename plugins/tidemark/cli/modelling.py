"""The commands about models: which versions there are, and making one the champion, or taking that back."""

import argparse
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from tidemark import models
from tidemark.cli import shown
from tidemark.cli.answers import Answer, opened
from tidemark.config import person
from tidemark.deployment import open_deployment
from tidemark.errors import DefinitionError, UsageError
from tidemark.explain import short
from tidemark.facts import register
from tidemark.ledger.decisions import Decision


def list_versions(options: argparse.Namespace) -> Answer:
    """List the versions of a model, the newest training first: which is champion, which awaits a decision, and why."""
    with open_deployment() as deployment:
        found = models.versions(deployment, options.model)
    data = [
        {
            "version": each.made.data_version.hex() if each.made.data_version else None,
            "trained": each.made.partition,
            "state": each.state,
            "provisional_for": sorted(f"{asset} {key}" for asset, key in each.missing),
            "made_at": each.made.created_at.isoformat(),
            "decisions": [_decision(every) for every in each.decisions],
        }
        for each in found
    ]
    return Answer(data, shown.versions_table(options.model, data))


def show(options: argparse.Namespace) -> Answer:
    """Show from when to when each champion of a model is in force, and who made it that."""
    with open_deployment() as deployment:
        found = models.reigns(deployment, options.model)
    data = [
        {
            "version": each.version.hex(),
            "trained": each.trained,
            "begins": each.begins.isoformat(),
            "ends": each.ends.isoformat() if each.ends else None,
            **_decision(each.decision),
        }
        for each in found
    ]
    return Answer(data, shown.reigns_table(options.model, data))


def _decision(each: Decision) -> dict[str, Any]:
    return {
        "outcome": each.outcome,
        "by": each.actor,
        "at": each.at.isoformat(),
        "why": each.why,
        "void_at": each.void_at.isoformat() if each.void_at else None,
        "void_by": each.void_by,
        "void_why": each.void_why,
    }


def compare(options: argparse.Namespace) -> Answer:
    """Show how a version, the newest or the one that is named, did beside the champion when it was validated."""
    with open_deployment() as deployment:
        made, said = models.comparison(deployment, options.model, options.version)
    data = {
        "version": made.data_version.hex() if made.data_version else None,
        "trained": made.partition,
        "validated_at": said.at.isoformat() if said else None,
        "passed": said.passed if said else None,
        **(said.report if said else {}),
    }
    return Answer(data, shown.comparison_table(options.model, data))


def promote(options: argparse.Namespace) -> Answer:
    """Make a candidate the champion: the newest, or the one that is named; its readers follow with their next run.

    It is in force from the period on that follows the newest one that is live of any of its readers, or from --from on.
    A candidate is refused that is not the newest, or that would be trained otherwise by now.
    """
    with opened() as (_, catalog, deployment):
        pipeline = catalog.owner_of(options.model)
        for each in catalog.pipelines.values():  # who reads the champion is to be known as the files say it now
            with suppress(DefinitionError):  # its own pipeline tells of it
                register(deployment, each)
        done = models.promote(
            deployment,
            pipeline,
            options.model,
            options.version,
            first=_day(options.first) if options.first else None,
            why=options.why,
            actor=person(),
        )
    missing = sorted(f"{asset} {key}" for asset, key in done.missing)
    data = {
        "version": done.version.hex(),
        "trained": done.trained,
        "begins": done.begins.isoformat(),
        "before": done.before.hex() if done.before else None,
        "provisional_for": missing,
        "readers": list(done.readers),
    }
    before = f" (was {short(done.before)})" if done.before else ""
    lacks = f"; it is provisional, trained without {', '.join(missing)}" if missing else ""
    said = f"{options.model} {short(done.version)} is champion from {_instant(done.begins)} on{before}{lacks}"
    return Answer(data, f"{said}; {_follow(done.readers)}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as problem:
        raise UsageError(f"--from {text!r} is no day: write one such as 2011-03-28") from problem


def reject(options: argparse.Namespace) -> Answer:
    """Decide that a candidate, the newest or the one that is named, will not be the champion."""
    with open_deployment() as deployment:
        done = models.reject(deployment, options.model, options.version, why=options.why, actor=person())
    version = done.made.data_version
    data = {"version": version.hex() if version else None, "trained": done.made.partition}
    return Answer(data, f"{options.model} {short(version)} is rejected: the champion stays")


def rollback(options: argparse.Namespace) -> Answer:
    """Take the newest promotion back, or all that came after a version: what was in force before is so again."""
    with open_deployment() as deployment:
        done = models.rollback(deployment, options.model, options.to, why=options.why, actor=person())
    data = {
        "version": done.version.hex() if done.version else None,
        "voided": [each.hex() for each in done.voided],
        "begins": done.begins.isoformat(),
        "readers": list(done.readers),
    }
    again = f"{short(done.version)} is champion again" if done.version else "there is no champion any more"
    gone = ", ".join(map(short, done.voided))
    said = f"{options.model}: {again} from {_instant(done.begins)} on ({gone} taken back)"
    return Answer(data, f"{said}; {_follow(done.readers)}")


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _follow(readers: tuple[str, ...]) -> str:
    if not readers:
        return "nothing reads it yet"
    return ", ".join(f"'tidemark plan {each}'" for each in readers) + " shows what follows"
