"""The SQL of docs/security.md: the ledger's owner, its workers and its auditors, each with what it needs alone."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

import tidemark
from tests.ledger.histories import play, tables
from tests.postgres import administer, programs
from tests.scenario import Shop, new_shop
from tidemark.errors import Unavailable
from tidemark.ledger import Ledger
from tidemark.ledger.schema import metadata

ROOT = Path(__file__).parents[2]
OWNER, WORKER, AUDITOR = "tidemark_owner", "tidemark_worker", "tidemark_auditor"
NEVER_CHANGED = ("audit_log", "materialization", "materialization_input", "observation", "change", "gate_result")


def statements(name: str) -> str:
    """A block of SQL of the page."""
    page = (ROOT / "docs" / "security.md").read_text()
    found = re.search(rf"<!-- runs: {re.escape(name)} -->\n```sql\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return re.sub(r"--.*", "", found[1])


@pytest.fixture
def url(postgres_servers: str) -> Iterator[str]:
    """The URL of a ledger made as the page says, without who signs in: ``{}`` stands for that."""
    server = postgres_servers
    for statement in statements("as the server's administrator").split(";"):
        if statement.strip():
            administer(server, statement)
    try:
        made = server.replace("tester@", "{}@") + "tidemark"
        ledger = Ledger(made.format(OWNER))
        ledger.upgrade()
        ledger.close()
        connection = psycopg2.connect(made.format(OWNER))
        with connection, connection.cursor() as cursor:
            cursor.execute(statements("as the owner, after each upgrade"))
        connection.close()
        yield made
    finally:
        administer(server, "DROP DATABASE IF EXISTS tidemark WITH (FORCE)")
        for role in (OWNER, WORKER, AUDITOR):
            administer(server, f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def shop(url: str, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose runs and people sign in to the ledger as workers."""
    made = new_shop(tmp_path / "shop", url.format(WORKER))
    yield made
    made.forget_modules()


def refused(url: str, statement: str) -> None:
    """A statement that the server does not let somebody execute."""
    connection = psycopg2.connect(url)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def test_runs_people_and_on_call_need_no_more_than_a_worker_has(shop: Shop, url: str) -> None:
    """And none of them can change what was written down: the audit log, results, observations."""
    play(shop)
    assert len(tables(shop)["audit_log"]) > 8
    for table in NEVER_CHANGED:
        first = next(iter(metadata.tables[table].columns)).name
        refused(url.format(WORKER), f"UPDATE {table} SET {first} = {first}")
        refused(url.format(WORKER), f"DELETE FROM {table}")
        refused(url.format(WORKER), f"TRUNCATE {table}")
    refused(url.format(WORKER), "UPDATE head_log SET materialization_id = 1")
    refused(url.format(WORKER), "UPDATE decision SET actor = 'mallory'")
    refused(url.format(WORKER), "UPDATE alembic_version SET version_num = '0001'")


def test_a_worker_cannot_change_the_schema(url: str) -> None:
    for statement in (
        "ALTER TABLE audit_log ADD COLUMN other text",
        "DROP TABLE audit_log",
        "CREATE TABLE mine (id integer)",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "GRANT DELETE ON audit_log TO PUBLIC",
    ):
        connection = psycopg2.connect(url.format(WORKER))
        with connection.cursor() as cursor:
            if statement.startswith("GRANT"):
                cursor.execute(statement)  # a warning, and nothing granted
                connection.commit()
            else:
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement)
        connection.close()
    refused(url.format(WORKER), "DELETE FROM audit_log")


def test_an_auditor_reads_everything_and_writes_nothing(shop: Shop, url: str) -> None:
    """With the command too: what only looks works, what acts says that it may not."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=Daily())

        @asset(partitions=Daily())
        def lines(orders: str) -> str:
            return orders.upper()
    """)
    shop.deliver_days("orders", "2025-01-05")
    shop.run()
    shop.ledger_url = url.format(AUDITOR)
    assert set(tables(shop)) == set(metadata.tables)
    with pytest.raises(Unavailable, match="permission denied"):
        shop.hold("lines")
    for table in metadata.tables:
        refused(url.format(AUDITOR), f"DELETE FROM {table}")


def test_an_auditor_may_make_the_backup(url: str, tmp_path: Path) -> None:
    """So that the job that makes it needs no password with which anything can be changed."""
    file = tmp_path / "ledger.dump"
    command = [f"{programs()}/pg_dump", "--format=custom", f"--file={file}", url.format(AUDITOR)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([f"{programs()}/pg_restore", "--list", str(file)], capture_output=True, text=True)
    assert all(f"TABLE DATA public {name} " in listed.stdout for name in metadata.tables)


def test_nobody_else_gets_in(url: str, postgres_servers: str) -> None:
    administer(postgres_servers, "CREATE ROLE somebody LOGIN")
    try:
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(url.format("somebody"))
    finally:
        administer(postgres_servers, "DROP ROLE somebody")


def written(statement: str) -> set[str]:
    """The tables that the code updates or deletes from, as its own text says."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in Path(tidemark.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                table = node.args[1] if name == "upsert" and len(node.args) > 1 else node.args[0]
                if name in ("update", "delete", "upsert") and isinstance(table, ast.Name):
                    found["delete" if name == "delete" else "update"].add(table.id)
    return found[statement] & metadata.tables.keys()


@pytest.mark.parametrize("act", ["update", "delete"])
def test_the_page_grants_what_the_code_does_and_nothing_else(url: str, act: str) -> None:
    """So that a table which a later release updates is not forgotten."""
    granted = sa.text(
        "SELECT DISTINCT table_name FROM information_schema.column_privileges WHERE grantee = :who AND "
        "privilege_type = 'UPDATE'"
        if act == "update"
        else "SELECT table_name FROM information_schema.table_privileges WHERE grantee = :who AND "
        "privilege_type = 'DELETE'"
    )
    ledger = Ledger(url.format(OWNER))
    with ledger.read() as connection:
        assert set(connection.execute(granted, {"who": WORKER}).scalars()) == written(act)
    ledger.close()
