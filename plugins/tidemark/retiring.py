"""Retiring a pipeline that no file defines any more, so that nobody waits for it: a person's act, with its reason.

A file that is deleted says nothing: it may be a bundle that was not reached. So its pipeline is waited for, and alarmed
for, until a person says that it is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from tidemark.assets import model_of
from tidemark.catalog import Catalog
from tidemark.deployment import Deployment
from tidemark.errors import Refused, UsageError, close
from tidemark.facts import CHAMPIONS_OF_ALL
from tidemark.incidents.reconciling import resolve
from tidemark.interventions import reason_of
from tidemark.ledger import acts, heads, incidents, registry
from tidemark.ledger.registry import Registered


@dataclass(frozen=True)
class Retired:
    """What retiring a pipeline did; nothing, if it was retired before.

    Attributes:
        assets: the sources and assets that were given up, by name.
        incidents: the numbers of the incidents that were resolved.

    """

    assets: tuple[str, ...]
    incidents: tuple[int, ...]


def retire(deployment: Deployment, catalog: Catalog, pipeline: str, *, why: str, actor: str) -> Retired:
    """Give up all sources and assets of a pipeline, and call its open incidents over; what is live stays readable.

    It comes back when a file defines it again and it is planned.

    Args:
        deployment: where; retired is for everybody, so in ``prod`` alone.
        catalog: what files define.
        pipeline: the pipeline's name.
        why: for those who look later.
        actor: who does it.

    Raises:
        UsageError: the ledger knows no such pipeline, the environment is a branch, or the reason is empty.
        Refused: a file defines it, or may, or another pipeline reads what it has; names them.
        Unavailable: the ledger cannot be used.

    """
    reason = reason_of(why)
    if deployment.environment != heads.PROD:
        raise UsageError(
            f"this is the environment {deployment.environment!r}, and what is retired is so everywhere: "
            f"set TIDEMARK_ENVIRONMENT={heads.PROD}"
        )
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        known = registry.assets(connection)
        names = {each.pipeline for each in known.values()} - {CHAMPIONS_OF_ALL}
        if pipeline not in names:
            raise UsageError(f"the ledger knows no pipeline {pipeline!r}{close(pipeline, names)}")
        _check_undefined(catalog, pipeline)
        _check_unread(known, pipeline)
        gone = tuple(sorted(each.name for each in registry.newly_given_up(known, pipeline, ())))
        registry.give_up(connection, pipeline, ())
        over = tuple(_resolved(connection, deployment.environment, pipeline, reason, actor))
        if gone or over:
            detail = {"pipeline": pipeline, "assets": list(gone), "incidents": list(over), "why": reason}
            acts.write_audit(connection, actor=actor, act="retire pipeline", detail=detail)
    return Retired(gone, over)


def _check_undefined(catalog: Catalog, pipeline: str) -> None:
    """Refuse what a file defines, or one that cannot be used may define, as its text has the name in it."""
    if pipeline in catalog.pipelines:
        file = catalog.pipelines[pipeline].file
        raise Refused(
            f"{file} defines the pipeline {pipeline!r}: delete the file first, else its next run brings it back"
        )
    for file in catalog.problems:
        if pipeline in file.read_text(encoding="utf-8", errors="replace"):
            raise Refused(f"{file} names {pipeline!r} and cannot be used: mend or delete it first, it may define that")


def _check_unread(known: Mapping[str, Registered], pipeline: str) -> None:
    """Refuse what others read: they would wait for it for ever."""
    mine = {each.name for each in known.values() if each.pipeline == pipeline}
    readers = sorted(
        f"{each.name} of {each.pipeline!r} reads {name}"
        for each in known.values()
        if each.pipeline != pipeline and not each.is_given_up
        for name in {model_of(upstream) or upstream for upstream, _ in each.definition.get("inputs", ())} & mine
    )
    if readers:
        raise Refused(
            f"others read what {pipeline!r} has: {'; '.join(readers)}: let them read something else and run them, "
            "or retire them first"
        )


def _resolved(connection: sa.Connection, environment: str, pipeline: str, reason: str, actor: str) -> list[int]:
    """Call the open incidents of a pipeline over, and tell those who were told of them; returns their numbers."""
    said = f"{actor} has retired the pipeline: {reason}"
    mine = [each for each in incidents.open_ones(connection, environment) if each.pipeline == pipeline]
    for one in mine:
        resolve(connection, one, said=said, actor=actor)
    return [one.id for one in mine]
