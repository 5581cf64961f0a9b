"""A ledger behind PgBouncer: each transaction may be another server connection's, and nothing is left on one."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

import tidemark.ledger.database
from tests.lacking import lacking
from tests.scenario import new_shop
from tests.servers import free_port
from tidemark.errors import Unavailable
from tidemark.ledger import Ledger, heads
from tidemark.ledger.database import Turn, take_turn

CONNECTIONS = 2
"""Fewer than there are clients at once."""


@pytest.fixture
def pooled(postgres: str) -> Iterator[str]:
    """The URL of an empty ledger, by way of a pool of two connections in transaction mode, as it comes."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        lacking("PgBouncer is not installed: apt-get install pgbouncer")
    server, port = sa.make_url(postgres), free_port()
    home = Path(tempfile.mkdtemp(prefix="tidemark-pgbouncer-"))
    account = "nobody" if os.geteuid() == 0 else None  # it refuses to be run by root
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n{server.database} = host=127.0.0.1 port={server.port} user=tester\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {CONNECTIONS}\nlogfile = {home / 'log'}\n"
    )
    if account:
        os.chown(home, pwd.getpwnam(account).pw_uid, -1)
    process = subprocess.Popen([program, "-q", str(home / "pgbouncer.ini")], user=account, cwd="/")
    try:
        url = f"postgresql://tester@127.0.0.1:{port}/{server.database}"
        for _ in range(100):
            with contextlib.suppress(psycopg2.OperationalError):
                psycopg2.connect(url, connect_timeout=2).close()
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def test_a_pipeline_runs_behind_a_pool_as_it_does_without(pooled: str, tmp_path: Path) -> None:
    shop = new_shop(tmp_path / "shop", pooled)
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=Daily())

        @asset(partitions=Daily())
        def lines(orders: str) -> str:
            return orders.upper()

        @asset(partitions=Daily(), inputs={"loud": previous()})
        def loud(lines: str, loud: str | None) -> str:
            return lines + (loud or "")
    """)
    shop.deliver_days("orders", *[f"2025-01-{day:02}" for day in range(5, 15)])
    assert shop.run(lanes=True).ok
    assert shop.state() == shop.rebuilt().state()
    shop.run(verify=True)
    assert shop.ran == {}
    shop.forget_modules()


def test_more_writers_than_connections_take_their_turns(pooled: str) -> None:
    """The turn is the transaction's: whoever has got a connection of another's holds nothing of his."""
    ledgers = [Ledger(pooled) for _ in range(6)]

    def work(ledger: Ledger) -> None:
        for _ in range(10):
            with ledger.write() as connection:
                before = heads.newest_change(connection)
                number = heads.new_change(connection, run="run 1", actor="ada")
                time.sleep(0.001)
                assert number > before

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, ledgers))
    with ledgers[0].read() as connection:
        assert heads.newest_change(connection) >= 60
        held = connection.execute(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    assert held == 0
    for ledger in ledgers:
        ledger.close()


@pytest.mark.parametrize("way", ["postgres", "pooled"])
def test_nobody_waits_for_a_turn_longer_than_people_would(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(tidemark.ledger.database, "PATIENCE_SECONDS", 1)
    first, second = (Ledger(request.getfixturevalue(way)) for _ in range(2))
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with first.write() as connection:
            take_turn(connection, Turn.HEADS)
            taken.set()
            over.wait(20)

    def wait() -> None:
        with second.write() as connection:
            take_turn(connection, Turn.HEADS)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        taken.wait(10)
        started = time.monotonic()
        with pytest.raises(Unavailable, match="lock timeout"):
            wait()
        waited = time.monotonic() - started
        over.set()
        holding.result()
    assert 0.9 < waited < 5
    wait()
    for ledger in (first, second):
        ledger.close()


def test_what_a_transaction_asks_for_is_not_left_to_the_next(pooled: str) -> None:
    """Another program's transactions on the same server connections wait as long as they would."""
    ledger = Ledger(pooled)
    ledger.check()
    for _ in range(CONNECTIONS * 2):
        other = psycopg2.connect(pooled)
        with other, other.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout'), current_setting('transaction_isolation')")
            assert cursor.fetchone() == ("0", "read committed")
        other.close()
    ledger.close()
