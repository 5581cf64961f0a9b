"""`tidemark watch` as it is run: beside a real PostgreSQL that is stopped and started, telling a real mail server."""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from demo.mail import MailSink
from tests.lacking import lacking
from tests.postgres import postgres_server, programs
from tests.scenario import ROOT, Shop, new_shop
from tests.servers import free_port
from tidemark.backups import HEARTBEAT
from tidemark.cli.main import main
from tidemark.cli.watch_process import _Watching
from tidemark.ledger import Ledger, heartbeats, incidents
from tidemark.watching.disks import Disks
from tidemark.watching.options import Options

SHOP = """
    rates = source("rates", files="rates/{partition}.csv", partitions=DAYS, expected=Calendar(), due="1 day 02:00")

    @asset(partitions=DAYS)
    def prices(rates: str) -> str:
        return rates
"""
PATIENCE = 60


def until(looked: Callable[[], bool], otherwise: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not looked():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.1)


def opened(shop: Shop) -> Shop:
    """A shop whose rates of the day before have come, and are late from tomorrow on."""
    shop.define(SHOP)
    shop.deliver_days("rates", "2025-01-05")
    shop.now("2025-01-06T06:00")
    shop.run()
    return shop


@contextmanager
def watching(shop: Shop, log: Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A watch in a process of its own, as a supervisor runs it."""
    given = {"TIDEMARK_WATCH_SECONDS": "0.5", "TIDEMARK_GRACE_SECONDS": "1", **variables}
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    environ = {**os.environ, **shop.environ, **given, "PYTHONPATH": path, "AIRFLOW_HOME": str(log.parent / "airflow")}
    code = "import sys; from tidemark.cli import main; sys.exit(main(['watch']))"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def stopped(server: str) -> Iterator[Callable[[], None]]:
    """A PostgreSQL that is not there, until what is yielded is called."""
    port = make_url(server).port
    (found,) = [
        each
        for each in psutil.Process().children()
        if f"port={port}" in each.cmdline()  # the server's own processes have other command lines
    ]
    command, account = found.cmdline(), pwd.getpwuid(found.uids().real).pw_name
    found.send_signal(signal.SIGINT)
    found.wait()
    again: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        user = account if os.geteuid() == 0 else None
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        again.append(subprocess.Popen(command, user=user, cwd="/", env={}, **quiet))

    try:
        yield start
    finally:
        for each in again:
            each.send_signal(signal.SIGINT)
            each.wait()


@pytest.fixture
def mails(tmp_path: Path) -> Iterator[tuple[MailSink, str]]:
    """A mail server, and the Airflow connection that leads to it."""
    port = free_port()
    sink = MailSink(tmp_path / "mails", port)
    sink.start()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "tidemark@shop.test"}
    yield sink, json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra})
    sink.stop()


@pytest.mark.slow
def test_a_ledger_that_stops_is_told_by_mail_and_so_is_its_return(
    tmp_path: Path, mails: tuple[MailSink, str], shop: Shop
) -> None:
    """Past the outbox, which is in it. What is late is told from the outbox, and a signal ends the watch cleanly."""
    found = programs()
    if found is None:
        lacking("PostgreSQL is not installed: apt-get install postgresql")
    sink, connection = mails
    log = tmp_path / "watch.log"
    given = {"AIRFLOW_CONN_SMTP_DEFAULT": connection, "TIDEMARK_MAIL_TO": "oncall@shop.test"}
    with postgres_server(found) as server:
        administrator = psycopg2.connect(f"{server}postgres")
        administrator.autocommit = True
        administrator.cursor().execute("CREATE DATABASE ledger")
        administrator.close()
        ledger = Ledger(f"{server}ledger")
        ledger.upgrade()
        late = opened(new_shop(tmp_path / "late", f"{server}ledger"))
        late.more["TIDEMARK_AS_OF"] = "2025-01-06T06:00Z"
        with watching(late, log, **given) as watch:
            until(lambda: "this watch acts" in log.read_text(), log.read_text)
            with stopped(server) as start:
                (told,) = sink.wait(1, PATIENCE) or [None]
                assert told is not None, log.read_text()
                assert "the ledger cannot be reached" in str(told["Subject"])
                start()
                assert len(sink.wait(2, PATIENCE)) == 2, log.read_text()
                over = sink.mails[1]
                assert (over["In-Reply-To"], over["To"]) == (told["Message-ID"], "oncall@shop.test")
                until(lambda: reached(ledger), log.read_text)
                with ledger.read() as reading:
                    (one,) = incidents.some(reading, "prod", only_open=False)
                assert (one.asset, one.cause, one.is_open) == ("ledger", "unreachable", False)
                late.now("2025-01-07T06:00")
                late.run()
                assert len(sink.wait(3, PATIENCE)) == 3, log.read_text()
                assert "rates" in str(sink.mails[2]["Subject"])
                watch.send_signal(signal.SIGTERM)
                assert watch.wait(20) == 0, log.read_text()
        ledger.close()
    lines = log.read_text()
    assert lines.count("the ledger cannot be reached") == 1
    assert lines.count("opened (source_late)") == 1
    assert "Traceback" not in lines


def reached(ledger: Ledger) -> bool:
    """Whether a ledger can be read."""
    from tidemark.errors import Unavailable

    try:
        return ledger.version() is not None
    except Unavailable:
        return False


def test_once_does_everything_once_and_lets_the_next_one_act(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For cron: what is late is told in the first round, and not again in the second."""
    opened(shop)
    shop.more["TIDEMARK_AS_OF"] = "2025-01-07T06:00Z"
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    for expected in (1, 0):
        assert main(["watch", "--once", "--json"]) == 0
        done = capsys.readouterr()
        assert json.loads(done.out) == {"acts": True, "problems": []}
        assert done.err.count("opened (source_late): rates 2025-01-06: is late") == expected


@pytest.mark.parametrize(("within", "told"), [("26 hours", 1), ("28 hours", 0), ("", 0)])
def test_a_backup_that_is_too_old_is_told_where_somebody_wants_to_know(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, within: str, told: int
) -> None:
    opened(shop)
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        begun = datetime.now(UTC) - timedelta(hours=27)
        heartbeats.write(connection, HEARTBEAT, {"backup": "20250106T021700Z"}, at=begun)
    for name, value in {**shop.environ, "TIDEMARK_BACKUP_WITHIN": within}.items():
        monkeypatch.setenv(name, value)
    assert main(["watch", "--once"]) == 0
    said = capsys.readouterr().err
    assert said.count("opened (heartbeat_missing): the ledger is no longer backed up") == told


def test_once_has_no_grace_and_tells_nothing_twice(
    shop: Shop, mails: tuple[MailSink, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that is away, in three rounds of cron; and a look that fails, which is seen in the same round."""
    sink, connection = mails
    opened(shop)
    given = {**shop.environ, "AIRFLOW_CONN_SMTP_DEFAULT": connection, "TIDEMARK_MAIL_TO": "oncall@shop.test"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    ledger = shop.home / "ledger.db"
    ledger.rename(shop.home / "moved")
    ledger.mkdir()
    for _ in range(2):
        assert main(["watch", "--once"]) != 0
        assert len(sink.wait(1, PATIENCE)) == 1
    ledger.rmdir()
    (shop.home / "moved").rename(ledger)

    def broken(folder: Path) -> None:
        raise OSError("Input/output error")

    monkeypatch.setattr(Disks, "look", broken)
    assert main(["watch", "--once"]) == 1
    said = capsys.readouterr().err
    assert "opened (heartbeat_missing): the watch cannot look after: disks" in said
    subjects = [str(each["Subject"]) for each in sink.wait(3, PATIENCE)]
    assert sum("the ledger cannot be reached" in each for each in subjects) == 2, subjects


@pytest.mark.parametrize(("grace", "told"), [(60.0, 0), (0.0, 2)])
def test_one_look_that_cannot_reach_a_place_is_told_only_without_a_grace(shop: Shop, grace: float, told: int) -> None:
    """The store and the landing zone may be started anew as the ledger may."""
    with shop.deployment() as deployment:
        jobs = {job.name: job for job in _Watching(deployment, Options(), grace)._jobs()}
        (shop.home / "store").write_text("no folder")
        shop.landing.rename(shop.home / "elsewhere")
        assert len([*jobs["store"].work(), *jobs["landing zone"].work()]) == told


def test_what_cannot_be_is_a_usage_error(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is watched."""
    monkeypatch.setenv("TIDEMARK_HOME", str(shop.home))
    monkeypatch.setenv("TIDEMARK_WATCH_USER", "watch")
    assert main(["watch", "--once"]) == 2
    assert "belong together" in capsys.readouterr().err
