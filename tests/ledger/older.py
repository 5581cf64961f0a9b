"""A ledger as the release before would have left it: the schema of then, and all that it had room for."""

import contextlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import tidemark.ledger
from tidemark.ledger import Ledger
from tidemark.ledger.database import SCHEMA_VERSION
from tidemark.ledger.schema import metadata


def alembic(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(tidemark.ledger.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def previous_version() -> str:
    newest = ScriptDirectory.from_config(alembic()).get_revision(SCHEMA_VERSION)
    assert newest is not None
    assert isinstance(newest.down_revision, str)
    return newest.down_revision


def reflected(connection: sa.Connection) -> dict[str, sa.Table]:
    """The tables as they are in a database."""
    found = sa.MetaData()
    found.reflect(connection)
    for table in found.tables.values():
        for column in table.columns:
            if isinstance(column.type, sa.JSON) and column.nullable:
                column.type = sa.JSON(none_as_null=True)
    return {name: table for name, table in found.tables.items() if name != "alembic_version"}


def ledger_of_before(newest: str, url: str) -> dict[str, list[str]]:
    """Make a ledger of the previous schema with all of a ledger's history for which it has room.

    Args:
        newest: the URL of the ledger.
        url: the URL of an empty database, which becomes the older one.

    Returns:
        The columns that it has, by table.

    """
    with contextlib.closing(Ledger(url)) as old, contextlib.closing(Ledger(newest)) as new:
        with old.write() as connection:
            command.upgrade(alembic(connection), previous_version())
        with new.read() as source, old.write() as target:
            return _copied(source, target)


def _copied(source: sa.Connection, target: sa.Connection) -> dict[str, list[str]]:
    there, here = reflected(target), reflected(source)
    for table in metadata.sorted_tables:
        if table.name not in there:
            continue
        names = [each.name for each in there[table.name].columns]
        rows = source.execute(sa.select(*(here[table.name].c[name] for name in names))).all()
        if rows:
            target.execute(sa.insert(there[table.name]), [dict(row._mapping) for row in rows])
        _count_on(target, there[table.name])
    return {name: [each.name for each in table.columns] for name, table in there.items()}


def _count_on(connection: sa.Connection, table: sa.Table) -> None:
    """Let new rows get numbers after those that are there."""
    (first, *others) = table.primary_key.columns
    if connection.dialect.name == "postgresql" and not others and isinstance(first.type, sa.Integer):
        sequence = connection.execute(
            sa.text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": first.name}
        ).scalar()
        if sequence is not None:
            newest = connection.execute(sa.select(sa.func.max(first))).scalar()
            connection.execute(sa.text("SELECT setval(:name, :at, :used)"), _at(sequence, newest))


def _at(sequence: str, newest: int | None) -> dict[str, Any]:
    return {"name": sequence, "at": newest or 1, "used": newest is not None}
