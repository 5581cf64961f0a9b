"""Names and keys as the ledger's integers: assets, partitions, code versions.

A name belongs to the pipeline that registered it first.
"""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tidemark.errors import DefinitionError
from tidemark.fingerprint import Fingerprint
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.schema import asset, code_version, partition
from tidemark.partitions import Grain, TimeGrain, grain_of

# SQLite takes 32,766 variables in a statement, PostgreSQL 65,535.
CHUNK = 5_000


def chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    """Cut a long list into lists that one statement can take."""
    every = list(values)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT that leaves rows alone that are there already; both databases spell it alike."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


@dataclass(frozen=True)
class Registered:
    """An asset as the ledger knows it."""

    id: int
    name: str
    pipeline: str
    kind: str
    grain: Grain
    definition: Mapping[str, Any]
    nondeterministic: bool


def assets(connection: sa.Connection) -> dict[str, Registered]:
    """Return all registered assets by name."""
    return {
        row.name: Registered(
            row.id,
            row.name,
            row.pipeline,
            row.kind,
            grain_of(row.scheme, tuple(row.static_keys), row.definition.get("start")),
            row.definition,
            row.nondeterministic,
        )
        for row in connection.execute(sa.select(asset))
    }


@dataclass(frozen=True)
class Registration:
    """What a pipeline says of one of its members."""

    name: str
    kind: str
    grain: Grain
    static_keys: tuple[str, ...]
    definition: Mapping[str, Any]
    where: str  # file, line and name, for messages


def register(connection: sa.Connection, pipeline: str, members: Iterable[Registration]) -> dict[str, int]:
    """Write down a pipeline's members and return their ids by name.

    Raises:
        DefinitionError: when another pipeline owns a name, or a member's grain is not the one it was registered with.

    """
    claims = list(members)
    known = assets(connection)
    if any(each.name not in known for each in claims):
        take_turn(connection, Turn.NAMES)
        known = assets(connection)  # another may just have registered them
    for each in claims:
        row = {
            "name": each.name,
            "pipeline": pipeline,
            "kind": each.kind,
            "scheme": each.grain.scheme,
            "static_keys": list(each.static_keys),
            "definition": dict(each.definition),
        }
        found = known.get(each.name)
        if found is None:
            connection.execute(sa.insert(asset).values(**row, nondeterministic=False, registered_at=datetime.now(UTC)))
            continue
        if found.pipeline != pipeline:
            raise DefinitionError(
                f"{each.where}: the name {each.name!r} belongs to the pipeline {found.pipeline!r}: "
                f"choose another, or read that one with ref({each.name!r})"
            )
        if found.grain.scheme != each.grain.scheme:
            raise DefinitionError(
                f"{each.where}: {each.name!r} was registered as {found.grain.scheme} and is now {each.grain.scheme}: "
                "its history has other keys, so give it a new name"
            )
        if found.definition != each.definition or tuple(getattr(found.grain, "keys", ())) != each.static_keys:
            connection.execute(sa.update(asset).where(asset.c.id == found.id).values(**row))
    names = {row.name: row.id for row in connection.execute(sa.select(asset.c.name, asset.c.id))}
    return {each.name: names[each.name] for each in claims}


def partition_ids(connection: sa.Connection, grain: Grain) -> dict[str, int]:
    """Return the ids of all keys of a grain's scheme that the ledger has met."""
    query = sa.select(partition.c.key, partition.c.id).where(partition.c.scheme == grain.scheme)
    return {row.key: row.id for row in connection.execute(query)}


def ensure_partitions(connection: sa.Connection, grain: Grain, keys: Iterable[str]) -> None:
    """Give ids to keys that have none yet."""
    rows = []
    for key in keys:
        ordinal = grain.ordinal(key)
        timed = isinstance(grain, TimeGrain)
        rows.append(
            {
                "scheme": grain.scheme,
                "key": key,
                "starts_at": grain.begins(ordinal) if timed else None,  # type: ignore[attr-defined]
                "ends_at": grain.ends(ordinal) if timed else None,  # type: ignore[attr-defined]
            }
        )
    if rows:
        connection.execute(insert_new(connection, partition), rows)


def code_version_id(connection: sa.Connection, code: Fingerprint, commit: tuple[str | None, bool | None]) -> int:
    """Return the id of a code version, writing it down at its first use.

    Args:
        connection: a writing connection.
        code: the fingerprint with its components.
        commit: the git commit of the definition's folder, and whether it had uncommitted changes.

    """
    query = sa.select(code_version.c.id).where(code_version.c.fingerprint == code.digest)
    found = connection.execute(query).scalar()
    if found is None:
        row = {
            "fingerprint": code.digest,
            "components": [[part.label, part.file, part.line, part.digest.hex()] for part in code.components],
            "distributions": [list(pair) for pair in code.distributions],
            "python": platform.python_version(),
            "git_commit": commit[0],
            "git_dirty": commit[1],
            "first_seen_at": datetime.now(UTC),
        }
        connection.execute(insert_new(connection, code_version), [row])
        found = connection.execute(query).scalar_one()
    return int(found)
