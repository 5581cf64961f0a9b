"""How candidates were judged, and what the model registry was told of models.

Invariants: a validation is never changed after it was written; a registration is of content, so that what was trained
again to the same bytes is the same version of the registry.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import upsert
from tidemark.ledger.schema import alias, asset, registration, validation


class Validated(NamedTuple):
    """How a candidate came out.

    Attributes:
        id: its number, which rises.
        candidate: the materialization of the model.
        champion: the one that it was compared with; None: there was no champion.
        digest: of how it was judged.
        passed: whether a person may be asked.
        report: what was measured and found, JSON-ready.
        at: when.

    """

    id: int
    candidate: int
    champion: int | None
    digest: bytes
    passed: bool
    report: dict[str, Any]
    at: datetime


class Registration(NamedTuple):
    """What the registry calls a version: its number there, and the run that has its metrics and files."""

    version: str
    run_id: str


def newest(connection: sa.Connection, candidate: int) -> Validated | None:
    """Return the newest validation of a candidate."""
    columns = validation.c
    query = sa.select(
        columns.id,
        columns.candidate_id,
        columns.champion_id,
        columns.digest,
        columns.passed,
        columns.report,
        columns.at,
    )
    row = connection.execute(query.where(columns.candidate_id == candidate).order_by(columns.id.desc()).limit(1))
    return next((Validated(*each) for each in row), None)


def failed_in(connection: sa.Connection, run: str) -> set[str]:
    """Return the models of which a run has validated a candidate that did not pass."""
    query = sa.select(asset.c.name).join(validation, validation.c.asset_id == asset.c.id)
    return set(connection.execute(query.where(validation.c.run == run, validation.c.passed.is_(False))).scalars())


def candidates(connection: sa.Connection, asset_id: int) -> list[int]:
    """Return every materialization of a model that was ever validated."""
    query = sa.select(validation.c.candidate_id).where(validation.c.asset_id == asset_id).distinct()
    return [int(row[0]) for row in connection.execute(query)]


def write(
    connection: sa.Connection,
    asset_id: int,
    candidate: int,
    champion: int | None,
    *,
    digest: bytes,
    passed: bool,
    report: Mapping[str, Any],
    run: str,
    actor: str,
) -> int:
    """Write down how a candidate came out against a champion, and return the number of that."""
    values = {
        "asset_id": asset_id,
        "candidate_id": candidate,
        "champion_id": champion,
        "digest": digest,
        "passed": passed,
        "report": report,
        "run": run,
        "actor": actor,
        "at": datetime.now(UTC),
    }
    return int(connection.execute(sa.insert(validation).values(**values).returning(validation.c.id)).scalar_one())


def registrations(connection: sa.Connection, asset_id: int) -> dict[bytes, Registration]:
    """Return what the registry calls each content of a model."""
    columns = registration.c
    query = sa.select(columns.data_version, columns.version, columns.run_id).where(columns.asset_id == asset_id)
    return {content: Registration(version, run_id) for content, version, run_id in connection.execute(query)}


def write_registration(connection: sa.Connection, asset_id: int, content: bytes, version: str, run_id: str) -> None:
    """Write down what the registry calls a content; what it called it before is gone there."""
    values = {"asset_id": asset_id, "data_version": content, "version": version, "run_id": run_id}
    connection.execute(upsert(connection, registration), [{**values, "at": datetime.now(UTC)}])


def forget_registration(connection: sa.Connection, asset_id: int, version: str) -> None:
    """Forget what the registry calls a content: it has no such version any more."""
    own = (registration.c.asset_id == asset_id) & (registration.c.version == version)
    connection.execute(sa.delete(registration).where(own))


def told(connection: sa.Connection, asset_id: int) -> str | None:
    """Return which version the registry was told last is champion; None: that there is none, or nothing yet."""
    return connection.execute(sa.select(alias.c.version).where(alias.c.asset_id == asset_id)).scalar()


def write_told(connection: sa.Connection, asset_id: int, version: str | None) -> None:
    """Write down which version the registry was told is champion."""
    values = {"asset_id": asset_id, "version": version, "at": datetime.now(UTC)}
    connection.execute(upsert(connection, alias), [values])
