"""Claims about backups: what was lost comes back entirely; what is not whole, or not meant, is not restored."""

import hashlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.cli.conftest import Command
from tests.lacking import lacking
from tests.scenario import Shop, new_shop
from tidemark.backups import HEARTBEAT, Backup, Backups, announce, named
from tidemark.bucket import Bucket
from tidemark.errors import Refused, Unavailable, UsageError
from tidemark.ledger import Ledger, heartbeats
from tidemark.ledger.database import SCHEMA_VERSION

NOW = datetime(2026, 11, 30, 2, 17, tzinfo=UTC)

PIPELINE = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=DAYS)
    def totals(lines: pl.DataFrame) -> str:
        return f"{lines.height}"
"""


@pytest.fixture(autouse=True)
def client() -> None:
    if shutil.which("pg_dump") is None:
        lacking("there is no pg_dump: apt-get install postgresql-client")


@pytest.fixture
def tidemark(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    return Command(capfdbinary)


@pytest.fixture
def empty(postgres_servers: str) -> Iterator[Callable[[], str]]:
    """Makes new databases without anything in them; their password is never asked for."""
    names: list[str] = []

    def make() -> str:
        names.append(f"empty_{uuid.uuid4().hex}")
        execute(f"{postgres_servers}postgres", f"CREATE DATABASE {names[-1]}")
        return f"{postgres_servers.replace('tester@', 'tester:p%40ss@')}{names[-1]}?application_name=backup"

    yield make
    for name in names:
        execute(f"{postgres_servers}postgres", f"DROP DATABASE {name} WITH (FORCE)")


def driven(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://")


def execute(url: str, *statements: str) -> list[Any]:
    engine = sa.create_engine(driven(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        results = [connection.execute(sa.text(each)) for each in statements]
        rows = list(results[-1]) if results[-1].returns_rows else []
    engine.dispose()
    return rows


def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table."""
    engine = sa.create_engine(driven(url))
    metadata = sa.MetaData()
    with engine.connect() as connection:
        metadata.reflect(connection)
        found = {
            table.name: sorted(map(repr, connection.execute(sa.select(table)))) for table in metadata.tables.values()
        }
    engine.dispose()
    return found


@pytest.fixture
def traded(shop: Shop, postgres: str, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose ledger on PostgreSQL has some days in it."""
    shop = new_shop(tmp_path / "traded", postgres)
    shop.define(PIPELINE)
    for day in (5, 6, 7):
        shop.deliver("orders", f"2025-01-0{day}", f"k,v\na,{day}\n")
    shop.run()
    assert len(shop.ran["totals"]) == 3
    yield shop
    shop.forget_modules()


def test_a_ledger_that_was_lost_is_restored_with_all_heads_and_goes_on(
    traded: Shop, postgres: str, s3: str, empty: Callable[[], str], tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, other = contents(postgres), empty()
    execute(other, "CREATE TABLE dag_run (id int)", "INSERT INTO dag_run VALUES (7)")
    monkeypatch.setenv("LEDGER", postgres)
    monkeypatch.setenv("AIRFLOW", other)
    databases = ("--database", "ledger=LEDGER", "--database", "airflow=AIRFLOW")
    made = tidemark.json("backup", "make", s3 + "/shop", *databases)
    assert set(made["bytes"]) == {"ledger", "airflow"}
    assert [each["backup"] for each in tidemark.json("backup", "list", s3 + "/shop")] == [made["backup"]]
    assert newest_of(traded) == made["backup"], "the ledger knows of it, and the watch by it"

    # Later there is more in it, also a table that the backup does not know; then all of it is lost.
    traded.deliver("orders", "2025-01-08", "k,v\na,8\n")
    traded.run()
    assert traded.ran == {"lines": ["2025-01-08"], "totals": ["2025-01-08"]}
    execute(postgres, "CREATE TABLE later (id int)", "DELETE FROM head_log")
    execute(other, "DROP TABLE dag_run")
    done = tidemark("backup", "restore", s3 + "/shop", *databases)
    assert done.code == 1
    assert "the database for ledger has " in done.err
    assert "restore into an empty one, or replace all that is in it with --replace" in done.err
    assert "later" in contents(postgres), "what was refused has changed nothing"

    done = tidemark("backup", "restore", s3 + "/shop", *databases, "--replace")
    assert (done.code, done.out) == (0, f"restored from backup {made['backup']}: ledger, airflow\n")
    assert execute(other, "SELECT id FROM dag_run") == [(7,)]
    restored = contents(postgres)
    (announced,) = restored.pop("heartbeat")
    assert made["backup"] in announced, "what was dumped did not know of it yet"
    assert restored == {name: rows for name, rows in before.items() if name != "heartbeat"}

    # It is a ledger again: what came after the backup is made once more, and nothing else.
    traded.run()
    assert traded.ran == {"lines": ["2025-01-08"], "totals": ["2025-01-08"]}


def test_a_backup_is_restored_into_empty_databases_elsewhere_and_those_not_named_stay(
    traded: Shop, postgres: str, s3: str, empty: Callable[[], str]
) -> None:
    place, there = Backups(s3), empty()
    backup = place.make({"ledger": postgres, "mlflow": empty()}, NOW)
    place.restore(backup, {"ledger": there}, replace=False)
    assert contents(there) == contents(postgres)
    with pytest.raises(UsageError, match=r"backup 20261130T021700Z has no airflow: it has ledger, mlflow"):
        place.restore(backup, {"airflow": there}, replace=True)


def test_a_ledger_that_cannot_be_told_of_its_backup_is_backed_up_all_the_same(
    s3: str, empty: Callable[[], str], tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER", empty())
    done = tidemark("backup", "make", s3, "--database", "ledger=LEDGER")
    assert done.code == 0
    assert "the ledger could not be told of it, so the watch will miss it: " in done.out
    assert "tidemark db upgrade" in done.out
    assert len(tidemark.json("backup", "list", s3)) == 1


def test_a_dump_that_was_changed_is_refused_before_anything_is_written(
    traded: Shop, postgres: str, s3: str, s3_client: Any, empty: Callable[[], str]
) -> None:
    """Nor into the database before it, of which all is well: a restored ledger beside a lost Airflow is neither."""
    other = empty()
    execute(other, "CREATE TABLE dag_run (id int)")
    place = Backups(s3)
    backup = place.make({"ledger": postgres, "airflow": other}, NOW)
    s3_client.put_object(Bucket=s3[5:], Key=f"{backup.name}/airflow.dump", Body=b"PGDMP and something else")
    execute(postgres, "CREATE TABLE later (id int)")
    before = contents(postgres)
    with pytest.raises(Refused, match=r"airflow in backup .* is not what was written: take another backup"):
        place.restore(backup, {"ledger": postgres, "airflow": other}, replace=True)
    assert contents(postgres) == before


def test_what_fails_in_the_middle_of_a_restore_leaves_the_database_as_it_was(
    traded: Shop, postgres: str, s3: str, s3_client: Any
) -> None:
    """The dump has the digest that it should have, but ends too early."""
    place = Backups(s3)
    backup = place.make({"ledger": postgres}, NOW)
    key = f"{backup.name}/ledger.dump"
    content = s3_client.get_object(Bucket=s3[5:], Key=key)["Body"].read()
    s3_client.put_object(Bucket=s3[5:], Key=key, Body=content[: len(content) * 3 // 4])
    manifest = f"{backup.name}/manifest.json"
    said = json.loads(s3_client.get_object(Bucket=s3[5:], Key=manifest)["Body"].read())
    said["dumps"][0]["sha256"] = hashlib.sha256(content[: len(content) * 3 // 4]).hexdigest()
    s3_client.put_object(Bucket=s3[5:], Key=manifest, Body=json.dumps(said).encode())
    before = contents(postgres)
    with pytest.raises(Unavailable, match="the database for ledger failed in pg_restore"):
        place.restore(place.find("latest"), {"ledger": postgres}, replace=True)
    assert contents(postgres) == before


def test_a_restore_that_the_database_refuses_half_way_changes_nothing(traded: Shop, postgres: str, s3: str) -> None:
    """The script itself fails in its last transaction: nothing of it remains, not even the emptying."""
    place = Backups(s3)
    backup = place.make({"ledger": postgres}, NOW)
    execute(
        postgres,
        "CREATE TABLE later (id int)",  # or what is there by then would be the same as before
        "CREATE SCHEMA other",
        "CREATE FUNCTION other.no() RETURNS event_trigger AS $$ BEGIN RAISE 'not today'; END $$ LANGUAGE plpgsql",
        "CREATE EVENT TRIGGER no ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION other.no()",
    )
    before = contents(postgres)
    with pytest.raises(Unavailable, match=r"failed in psql: .*not today"):
        place.restore(backup, {"ledger": postgres}, replace=True)
    assert contents(postgres) == before


def test_a_backup_that_was_broken_off_does_not_count(postgres: str, s3: str, s3_client: Any) -> None:
    place = Backups(f"{s3}/shop")
    with pytest.raises(UsageError, match=r"there is no complete backup latest in .*, nor any other"):
        place.find("latest")
    whole = place.make({"ledger": postgres}, NOW)
    away = "postgresql://x:hidden-word@127.0.0.1:9/airflow"
    with pytest.raises(Unavailable, match=r"the database for airflow failed in pg_dump: .*refused"):
        place.make({"ledger": postgres, "airflow": away}, NOW + timedelta(hours=1))
    keys = {entry["Key"] for entry in s3_client.list_objects_v2(Bucket=s3[5:])["Contents"]}
    assert "shop/20261130T031700Z/ledger.dump" in keys, "there is something of the second one"
    assert place.complete() == [whole]
    assert place.find("latest") == whole
    with pytest.raises(UsageError, match=r"no complete backup 20261130T031700Z .*; there are 20261130T021700Z"):
        place.find("20261130T031700Z")


def test_old_backups_are_removed_but_never_the_newest_nor_anything_else(postgres: str, s3: str, s3_client: Any) -> None:
    place = Backups(f"{s3}/shop")
    s3_client.put_object(Bucket=s3[5:], Key="shop/notes.txt", Body=b"ours")
    s3_client.put_object(Bucket=s3[5:], Key="shop/20200101T000000Z/ledger.dump", Body=b"broken off, long ago")
    names = [place.make({"ledger": postgres}, NOW + timedelta(days=day)).name for day in range(4)]
    assert place.prune(2, NOW + timedelta(days=3, hours=1)) == ["20200101T000000Z", *names[:2]]
    assert [each.name for each in place.complete()] == [names[3], names[2]]
    assert place.prune(2, NOW + timedelta(days=400)) == names[2:3]
    assert [each.name for each in place.complete()] == names[3:]
    assert s3_client.get_object(Bucket=s3[5:], Key="shop/notes.txt")["Body"].read() == b"ours"


def test_a_place_that_lets_nobody_delete_has_a_backup_all_the_same(
    traded: Shop, postgres: str, s3: str, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one with Object Lock: a Job that failed there would make three dumps a night, of which nobody knew."""
    from botocore.exceptions import ClientError

    monkeypatch.setenv("LEDGER", postgres)
    Backups(s3).make({"ledger": postgres}, NOW - timedelta(days=9999))
    said = {"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}
    original = Bucket.client.fget
    assert original is not None

    def refusing(bucket: Bucket) -> Any:
        client = original(bucket)
        client.delete_object = refuse
        return client

    def refuse(**named: str) -> None:
        raise ClientError(said, "DeleteObject")  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "client", property(refusing))
        made = tidemark.json("backup", "make", s3, "--database", "ledger=LEDGER", "--keep-days", "30")
    (problem,) = made["problems"]
    assert problem.startswith("older ones stay; where nobody may delete, leave that to a rule of the bucket: ")
    assert "s3:DeleteObject" in problem
    assert newest_of(traded) == made["backup"]
    again = tidemark.json("backup", "make", s3, "--database", "ledger=LEDGER", "--keep-days", "30")
    assert (len(again["removed"]), again["problems"]) == (1, [])


def test_a_ledger_knows_of_the_newest_of_its_backups(traded: Shop, postgres: str) -> None:
    """Two that end in another order than they began, or one that is restored beside a newer one."""
    newer, older = Backup("20261130T021700Z", "", ()), Backup("20261129T021700Z", "", ())
    for each in (newer, older):
        announce(each, postgres)
        assert newest_of(traded) == newer.name


def newest_of(shop: Shop) -> str:
    """The backup that a ledger knows as its newest."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        newest = heartbeats.read(connection, HEARTBEAT)
    assert newest is not None
    assert f"{newest.at:%Y%m%dT%H%M%SZ}" == newest.detail["backup"]
    return str(newest.detail["backup"])


def test_what_is_half_removed_does_not_count(
    postgres: str, s3: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place goes away after the first of a backup's files."""
    from botocore.exceptions import EndpointConnectionError

    place = Backups(s3)
    names = [place.make({"ledger": postgres}, NOW + timedelta(days=day)).name for day in (0, 9)]
    client, removed = place._bucket.client, list[str]()

    def break_off(**named: str) -> None:
        if removed:
            raise EndpointConnectionError(endpoint_url=s3)
        removed.append(named["Key"])
        s3_client.delete_object(**named)

    monkeypatch.setattr(client, "delete_object", break_off)
    with pytest.raises(Unavailable, match="cannot be cleared of old backups"):
        place.prune(2, NOW + timedelta(days=9))
    keys = {entry["Key"] for entry in s3_client.list_objects_v2(Bucket=s3[5:])["Contents"]}
    assert f"{names[0]}/ledger.dump" in keys
    assert [each.name for each in place.complete()] == names[1:]
    monkeypatch.undo()
    assert place.prune(2, NOW + timedelta(days=9)) == names[:1]


def test_no_password_is_on_a_command_line_or_in_a_message(
    s3: str, empty: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    fake = tmp_path / "bin" / "pg_dump"
    fake.parent.mkdir()
    script = ['echo "$@" >> SEEN', 'echo "$PGPASSWORD" > SEEN.env', 'echo "failed: p@ss" >&2', "exit 1"]
    fake.write_text("\n".join(["#!/bin/sh", *script]).replace("SEEN", str(seen)))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(Unavailable) as problem:
        Backups(s3).make({"ledger": empty()}, NOW)
    assert "p@ss" not in str(problem.value)
    assert "p%40ss" not in seen.read_text()
    assert "p@ss" not in seen.read_text()
    assert (tmp_path / "seen.env").read_text() == "p@ss\n"
    assert "application_name=backup" in seen.read_text()


def test_a_password_behind_the_question_mark_of_a_url_is_on_no_command_line_either(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    fake = tmp_path / "bin" / "pg_dump"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {seen}\necho "$PGPASSWORD" >> {seen}.env\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(Unavailable):
        Backups(s3).make({"ledger": "postgresql://u:other@h/db?password=hidden-word&sslmode=require"}, NOW)
    assert "--dbname=postgresql://u@h/db?sslmode=require" in seen.read_text()
    assert (tmp_path / "seen.env").read_text() == "hidden-word\n"
    with pytest.raises(UsageError, match="the URL of ledger has an sslpassword") as problem:
        Backups(s3).make({"ledger": "postgresql://u@h/db?sslpassword=hidden-word"}, NOW)
    assert "hidden-word" not in str(problem.value)


def test_a_manifest_that_names_another_backup_is_no_manifest(s3: str, s3_client: Any) -> None:
    """A folder that was copied: what it names would be restored in its place, or kept while it is removed."""
    said = {"name": "20261130T021700Z", "made_by": "pg_dump", "dumps": []}
    s3_client.put_object(Bucket=s3[5:], Key="20261129T021700Z/manifest.json", Body=json.dumps(said).encode())
    with pytest.raises(Unavailable, match=r"20261129T021700Z/manifest.json is no manifest of a backup"):
        Backups(s3).complete()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (["ledger"], "write NAME=VARIABLE, such as ledger=TIDEMARK_LEDGER_URL"),
        (["../x=LEDGER"], "write NAME=VARIABLE"),
        (["ledger=NOWHERE"], "the environment variable NOWHERE is not set: it holds the URL"),
    ],
)
def test_databases_are_named_with_the_variables_of_their_urls(pairs: list[str], says: str) -> None:
    assert named(["ledger=LEDGER"], {"LEDGER": "x"}) == {"ledger": "x"}
    with pytest.raises(UsageError, match=says):
        named(pairs, {"LEDGER": "x"})


def test_what_cannot_be_backed_up_is_said_in_a_sentence(
    s3: str, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    with pytest.raises(UsageError, match=r"backups cannot be kept at '/backups': write s3://bucket/prefix"):
        Backups("/backups")
    with pytest.raises(UsageError, match="the URL of ledger is not PostgreSQL's"):
        Backups(s3).make({"ledger": "sqlite:///ledger.db"}, NOW)
    with pytest.raises(Unavailable, match=r"cannot be listed: .*The bucket does not exist"):
        Backups("s3://nothing-here").complete()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="there is no pg_dump here: install the client of PostgreSQL"):
        Backups(s3).make({"ledger": postgres}, NOW)


# -- waiting for the ledger


def test_who_waits_for_the_ledger_goes_on_once_somebody_made_it(
    empty: Callable[[], str], tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty()
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", url)

    def make() -> None:
        time.sleep(1)
        ledger = Ledger(url)
        ledger.upgrade()
        ledger.close()

    making = threading.Thread(target=make)
    making.start()
    done = tidemark("db", "wait", "--seconds", "60")
    making.join()
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("the ledger can be used (after ")


@pytest.mark.parametrize(("version", "seconds", "says"), [("0001", 2, "older than"), ("9999", 600, "newer than")])
def test_waiting_ends_with_what_is_wrong_and_at_once_where_it_would_not_help(
    postgres: str, tidemark: Command, monkeypatch: pytest.MonkeyPatch, version: str, seconds: int, says: str
) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", postgres)
    execute(postgres, f"UPDATE alembic_version SET version_num = '{version}'")
    began = time.monotonic()
    done = tidemark("db", "wait", "--seconds", str(seconds))
    assert done.code == 1
    assert f"has schema {version}, {says} this Tidemark's {SCHEMA_VERSION}" in done.err
    assert "(waited for " in done.err
    assert time.monotonic() - began < 30


def test_a_ledger_that_cannot_be_reached_is_waited_for(tidemark: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://x:hidden-word@127.0.0.1:9/ledger")
    done = tidemark("db", "wait", "--seconds", "3")
    assert done.code == 1
    assert "cannot be used: connection to server" in done.err
    assert "(waited for 2 seconds)" in done.err
    assert "hidden-word" not in done.err
