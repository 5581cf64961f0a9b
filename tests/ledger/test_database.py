"""Claims about the ledger's database: whole transactions, one state a reader, migrations, and clear refusals."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import tidemark.ledger
from tests.servers import free_port, silent_server
from tidemark.errors import Refused, Unavailable, UsageError
from tidemark.ledger import Ledger, heads, plans, records
from tidemark.ledger.database import SCHEMA_VERSION
from tidemark.ledger.schema import asset, change, code_version, materialization, metadata, partition, plan

# What a person has to be told within, and the doubt of a busy machine.
SECONDS = 30


def set_version(ledger: Ledger, version: str) -> None:
    with ledger.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def changes(ledger: Ledger) -> list[int]:
    with ledger.read() as connection:
        return list(connection.execute(sa.select(change.c.seq).order_by(change.c.seq)).scalars())


# -- the schema


def test_the_migrations_make_the_tables_that_the_code_knows(bare: Ledger) -> None:
    assert bare.version() is None
    assert bare.upgrade() == SCHEMA_VERSION
    assert bare.version() == SCHEMA_VERSION
    with bare.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_schema_version_is_that_of_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(tidemark.ledger.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def test_an_upgrade_keeps_what_an_earlier_release_has_written(bare: Ledger) -> None:
    """Rows of the release before are there after it, and the new column says that nothing is known of it."""
    config = Config()
    config.set_main_option("script_location", str(Path(tidemark.ledger.__file__).parent / "migrations"))
    with bare.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        values = {"environment": "prod", "pipeline": "shop", "run": "r", "actor": "ada", "seq": 0, "context": {"a": 1}}
        old = [each for each in plan.columns if each.name != "seconds"]
        moments = dict.fromkeys(("as_of", "made_at"), datetime(2025, 1, 5, tzinfo=UTC))
        earlier = sa.table("plan", *(sa.column(each.name, each.type) for each in old))
        connection.execute(sa.insert(earlier).values(**values, **moments, definitions=b"d" * 32))
    with pytest.raises(Refused, match="has schema 0004, older"):
        bare.check()
    bare.upgrade()
    with bare.read() as connection:
        stored = plans.newest(connection, "prod", "shop")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert stored is not None
    assert (stored.actor, stored.context, stored.seconds) == ("ada", {"a": 1}, None)


def test_of_what_was_made_before_images_were_recorded_nothing_is_known(bare: Ledger) -> None:
    """A result of the release before keeps all that it had."""
    config = Config()
    config.set_main_option("script_location", str(Path(tidemark.ledger.__file__).parent / "migrations"))
    now = datetime(2025, 1, 5, tzinfo=UTC)
    rows: list[tuple[sa.Table, dict[str, object]]] = [
        (asset, {"name": "lines", "pipeline": "shop", "kind": "asset", "scheme": "day UTC", "static_keys": []}),
        (partition, {"id": 7, "scheme": "day UTC", "key": "2025-01-05"}),
        (code_version, {"fingerprint": b"c" * 32, "components": [], "distributions": [["polars", "1.0"]]}),
        (materialization, {"asset_id": 1, "partition_id": 7, "status": "computed", "action_key": b"a" * 32}),
    ]
    more: dict[str, dict[str, object]] = {
        "asset": {"definition": {}, "nondeterministic": False, "registered_at": now},
        "code_version": {"python": "3.11.2", "first_seen_at": now},
        "materialization": {
            **{"code_version_id": 1, "parameters": {}, "environment": "prod", "run": "r", "actor": "ada"},
            "created_at": now,
        },
    }
    with bare.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for table, row in rows:
            values = row | more.get(table.name, {})
            earlier = sa.table(table.name, *(sa.column(name, table.c[name].type) for name in values))
            connection.execute(sa.insert(earlier).values(**values))
    assert bare.version() == "0005"
    bare.upgrade()
    with bare.read() as connection:
        [made] = records.made(connection, [1]).values()
        image = connection.execute(sa.select(code_version.c.image)).scalar_one()
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert (made.asset, made.partition, made.run, made.image, made.bundle, image) == (
        *("lines", "2025-01-05", "r"),
        *(None, None, None),
    )


def test_an_upgrade_that_has_nothing_to_do_changes_nothing(ledger: Ledger) -> None:
    with ledger.write() as connection:
        seq = heads.new_change(connection, run="run 1", actor="ada")
    assert ledger.upgrade() == SCHEMA_VERSION
    assert changes(ledger) == [seq]


def test_two_upgrades_at_once_make_one_ledger(bare: Ledger) -> None:
    """Workers that start together on an empty home all see to it."""
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: bare.upgrade(), range(4))) == {SCHEMA_VERSION}
    bare.check()


def test_an_upgrade_that_fails_in_the_middle_leaves_the_schema_as_it_was(
    bare: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", lambda *arguments, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bare.upgrade()
    with bare.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    bare.upgrade()


def test_a_ledger_that_is_not_there_yet_is_refused_with_the_command_that_makes_it(bare: Ledger) -> None:
    with pytest.raises(Refused, match=r"there is no ledger at .* yet: run 'tidemark db upgrade'"):
        bare.check()


def test_a_schema_older_than_the_code_is_refused_with_the_command_that_upgrades_it(ledger: Ledger) -> None:
    set_version(ledger, "0000")
    with pytest.raises(Refused, match=r"has schema 0000, older .* then 'tidemark db upgrade'"):
        ledger.check()


def test_a_schema_newer_than_the_code_is_refused_and_not_touched(ledger: Ledger) -> None:
    set_version(ledger, "9999")
    for attempt in (ledger.check, ledger.upgrade):
        with pytest.raises(Refused, match=r"has schema 9999, newer .* install the release that made it"):
            attempt()
    assert ledger.version() == "9999"


def test_the_schema_of_this_version_is_accepted(ledger: Ledger) -> None:
    ledger.check()


# -- transactions


def test_what_is_written_together_becomes_visible_together_or_not_at_all(ledger: Ledger) -> None:
    def write_and_fail() -> None:
        with ledger.write() as connection:
            heads.new_change(connection, run="run 1", actor="ada")
            assert changes(ledger) == []
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert changes(ledger) == []


def test_a_reader_sees_one_state_however_long_it_reads(ledger: Ledger) -> None:
    """A plan reads table after table while workers publish."""
    with ledger.read() as connection:
        before = heads.newest_change(connection)
        with ledger.write() as other:
            heads.new_change(other, run="run 1", actor="ada")
        assert heads.newest_change(connection) == before
    assert len(changes(ledger)) == 1


def test_a_writer_that_is_killed_leaves_nothing_and_stops_nobody(ledger: Ledger) -> None:
    script = (
        "import os, sys\n"
        "from tidemark.ledger import Ledger, heads\n"
        "with Ledger(sys.argv[1]).write() as connection:\n"
        "    heads.new_change(connection, run='killed', actor='ada')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    url = ledger.url.render_as_string(hide_password=False)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script, url], env=environ).returncode == -signal.SIGKILL
    assert changes(ledger) == []
    with ledger.write() as connection:
        heads.new_change(connection, run="run 2", actor="ada")
    assert len(changes(ledger)) == 1


def test_numbers_of_changes_become_visible_in_their_order(ledger: Ledger) -> None:
    """Whoever has seen a number knows that no lower one will appear: a plan looks only at what is newer."""
    done = threading.Event()
    seen: list[set[int]] = [set()]

    def watch() -> None:
        while not done.is_set():
            seen.append(set(changes(ledger)))

    def work(number: int) -> None:
        for _ in range(10):
            with ledger.write() as connection:
                heads.new_change(connection, run=f"run {number}", actor="ada")
                time.sleep(0.002)

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        list(pool.map(work, range(4)))
        done.set()
        watcher.result()
    assert len(changes(ledger)) == 40
    for before, after in pairwise(seen):
        assert before <= after
        assert all(number > max(before, default=0) for number in after - before)


def test_instants_come_back_as_they_were_in_utc(ledger: Ledger) -> None:
    instant = datetime(2011, 7, 1, 6, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    with ledger.write() as connection:
        connection.execute(sa.insert(change).values(at=instant, run="r", actor="a"))
        found = connection.execute(sa.select(change.c.at)).scalar_one()
    assert found == instant
    assert found.tzinfo == UTC


def test_a_writer_waits_for_another_and_then_goes_on(ledger: Ledger) -> None:
    started = threading.Event()

    def first() -> None:
        with ledger.write() as connection:
            heads.new_change(connection, run="first", actor="ada")
            started.set()
            time.sleep(0.2)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first)
        started.wait()
        with ledger.write() as connection:
            second = heads.new_change(connection, run="second", actor="ada")
        waiting.result()
    assert changes(ledger)[-1] == second


# -- what cannot be reached


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("postgresql://host:port/ledger", "sqlite:///FILE"),
        ("mysql://host/ledger", "'mysql' is not supported: use SQLite or PostgreSQL"),
    ],
)
def test_a_url_of_no_ledger_is_refused(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Ledger(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_goes_by_several_names(scheme: str) -> None:
    assert Ledger(f"{scheme}://u@h/d").url.drivername == "postgresql+psycopg2"


def test_a_server_that_is_not_there_is_told_without_the_password(capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/ledger")
    with pytest.raises(Unavailable, match=r"nothing was half written. Check .* TIDEMARK_LEDGER_URL") as refusal:
        ledger.check()
    assert "hunter2" not in str(refusal.value) + repr(ledger)


@pytest.mark.slow
def test_a_server_that_says_nothing_is_told_within_half_a_minute() -> None:
    started = time.monotonic()
    with silent_server() as server, pytest.raises(Unavailable, match="timeout expired"):
        Ledger(f"postgresql://ada@127.0.0.1:{server.port}/ledger").check()
    assert time.monotonic() - started < SECONDS


def test_a_database_that_is_not_on_the_server_is_told(postgres: str) -> None:
    with pytest.raises(Unavailable, match='database "nowhere" does not exist'):
        Ledger(postgres.rpartition("/")[0] + "/nowhere").check()


def test_a_role_that_may_not_read_is_told(postgres: str) -> None:
    owner = Ledger(postgres)
    with owner.write() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS stranger"))
        connection.execute(sa.text("CREATE ROLE stranger LOGIN"))
    owner.close()
    stranger = Ledger(postgres.replace("tester@", "stranger@"))
    with pytest.raises(Unavailable, match="permission denied"):
        stranger.check()
    stranger.close()


def test_a_connection_that_the_server_has_dropped_is_made_anew(postgres: str) -> None:
    ledger = Ledger(postgres)
    ledger.check()
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with Ledger(postgres).write() as connection:
        connection.execute(sa.text(f"{others} AND pid <> pg_backend_pid()"))
    ledger.check()
    ledger.close()


@pytest.mark.parametrize("made", ["folder", "text"])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, made: str) -> None:
    file = tmp_path / "ledger.db"
    file.mkdir() if made == "folder" else file.write_text("not a database, " * 100)
    with pytest.raises(Unavailable, match=r"ledger.db cannot be used"):
        Ledger(f"sqlite:///{file}").check()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"ledger.db cannot be used: .*File exists"):
        Ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}")


def test_a_full_disk_writes_nothing_and_is_told(tmp_path: Path) -> None:
    """SQLite answers a limit on its pages as it answers a full disk."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.upgrade()

    def fill() -> None:
        with ledger.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            for number in range(10_000):
                heads.new_change(connection, run=f"run {number}", actor="ada")

    with pytest.raises(Unavailable, match="full; nothing was half written"):
        fill()
    ledger.close()
    assert changes(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) == []


def test_an_error_of_ours_is_not_taken_for_an_outage(ledger: Ledger) -> None:
    with pytest.raises(sa.exc.IntegrityError), ledger.write() as connection:
        connection.execute(sa.insert(change).values(at=None, run="r", actor="a"))
    with pytest.raises(sa.exc.DBAPIError) as problem, ledger.read() as connection:
        connection.execute(sa.text("SELECT * FROM nonesuch"))
    assert not isinstance(problem.value, Unavailable)
