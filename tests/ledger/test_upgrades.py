"""An upgrade from the previous release's schema, with a history in it: nothing is lost, and nothing runs anew."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import tidemark.ledger
from tests.incidents.story import open_incidents
from tests.ledger.histories import play, tables
from tests.postgres import administer
from tests.scenario import Shop, on_both_ledgers
from tidemark.errors import Refused
from tidemark.integrity import audit_chain
from tidemark.ledger import Ledger
from tidemark.ledger.database import SCHEMA_VERSION
from tidemark.ledger.schema import metadata

# What is only written where there is a registry or a search, and what is kept of others.
EMPTY = {"trial", "registration", "alias", "validation"}


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


def ledger_of_before(shop: Shop, url: str) -> dict[str, list[str]]:
    """Make a ledger of the previous schema with all of a shop's history for which it has room.

    Returns:
        The columns that it has, by table.

    """
    old, new = Ledger(url), Ledger(shop.ledger_url)
    with old.write() as connection:
        command.upgrade(alembic(connection), previous_version())
    with new.read() as source, old.write() as target:
        there, here = reflected(target), reflected(source)
        for table in metadata.sorted_tables:
            if table.name not in there:
                continue
            names = [each.name for each in there[table.name].columns]
            rows = source.execute(sa.select(*(here[table.name].c[name] for name in names))).all()
            if rows:
                target.execute(sa.insert(there[table.name]), [dict(row._mapping) for row in rows])
            _count_on(target, there[table.name])
        columns = {name: [each.name for each in table.columns] for name, table in there.items()}
    old.close()
    new.close()
    return columns


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


def told(shop: Shop) -> dict[str, Any]:
    """What people and plans are told of a shop."""
    with shop.deployment() as deployment:
        chain = audit_chain(deployment)
    return {
        "state": shop.state(),
        "keys": {name: {key: head.action_key for key, head in shop.live(name).items()} for name in shop.state()},
        "history": shop.history("prices", "2025-01-03"),
        "explained": shop.explain("prices", "2025-01-04"),
        "incidents": open_incidents(shop),
        "audit": chain,
    }


@pytest.mark.slow
@on_both_ledgers
def test_an_upgrade_of_a_ledger_with_a_history_keeps_all_of_it_and_runs_nothing_anew(
    shop: Shop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The newest step: every row is what it was, new columns aside; plans, people and the audit log see the same."""
    play(shop)
    played = tables(shop)
    assert {name for name, rows in played.items() if not rows} <= EMPTY | {"scheme"}
    before = told(shop)
    url = f"sqlite:///{tmp_path / 'before.db'}"
    if shop.ledger_url.startswith("postgresql"):
        url = f"{shop.ledger_url}_before"
        server, database = request.getfixturevalue("postgres_servers"), url.rpartition("/")[2]
        administer(server, f"CREATE DATABASE {database}")
        request.addfinalizer(lambda: administer(server, f"DROP DATABASE {database} WITH (FORCE)"))
    columns, shop.ledger_url = ledger_of_before(shop, url), url
    ledger = Ledger(url)
    with pytest.raises(Refused, match=f"has schema {previous_version()}, older .* 'tidemark db upgrade'"):
        ledger.check()
    assert ledger.upgrade() == SCHEMA_VERSION
    ledger.close()
    after = tables(shop)
    for name, kept in columns.items():
        assert [[row[each] for each in kept] for row in after[name]] == [
            [row[each] for each in kept] for row in played[name]
        ], name
    new = {name for name in before if name != "incidents" or "incident" in columns}
    assert {name: said for name, said in told(shop).items() if name in new} == {name: before[name] for name in new}
    for pipeline in shop.pipelines:
        shop.run(pipeline)
        assert shop.ran == {}
        shop.run(pipeline, verify=True)
        assert shop.ran == {}
