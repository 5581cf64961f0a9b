"""A real PostgreSQL for tests, from Debian's package: one server for all tests of a process, one database a test.

The server keeps its data in a temporary folder, without waiting for the disk, and listens on a free port of 127.0.0.1.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.lacking import lacking
from tests.servers import free_port

_TEMPLATE = "tidemark_template"


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return found[-1].parent if found else None


def _account() -> str | None:
    """Return who runs the server: PostgreSQL refuses to be run by root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


def _memory() -> Path | None:
    """Return a folder in memory, where a database is made in a tenth of the time, or None without room for one."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 2**30 else None


@contextlib.contextmanager
def postgres_server(programs: Path, *, durable: bool = False, guests: bool = False) -> Iterator[str]:
    """Run a server; yields the URL of it, to which the name of a database is to be added.

    A durable one waits for the disk, as in production; tests do without. Guests, as the pods of a cluster are, whom
    something brings to this port from another address, get in with a password.
    """
    account, port = _account(), free_port()
    # Not below pytest's own folder, into which another account cannot look.
    home = Path(tempfile.mkdtemp(prefix="tidemark-postgres-", dir=None if durable else _memory()))
    if account:
        shutil.chown(home, account)
    try:
        initdb = [programs / "initdb", "-D", home / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run(
            [*map(str, initdb), "--locale=C"], user=account, cwd="/", check=True, capture_output=True, env={}
        )
        if guests:
            with (home / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 50,
        }
        if not durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (home / "log").open("wb") as log:
            command = [str(programs / "postgres"), "-D", str(home / "data"), *options]
            server = subprocess.Popen(command, user=account, cwd="/", stdout=log, stderr=subprocess.STDOUT, env={})
        try:
            _wait(server, port, home / "log")
            yield f"postgresql://tester@127.0.0.1:{port}/"
        finally:
            server.send_signal(signal.SIGINT)  # ends without waiting for those who are connected
            server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, f"PostgreSQL ended: {log.read_text()}"
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(host="127.0.0.1", port=port, user="tester", dbname="postgres", connect_timeout=2).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not start within half a minute: {log.read_text()}")


def administer(server: str, statement: str) -> None:
    """Run a statement as the administrator of a server, whose URL it is, in no transaction."""
    connection = psycopg2.connect(f"{server}postgres")
    connection.autocommit = True  # databases are not made within a transaction
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[str]:
    """The URL of one server for all tests of this process, with an empty ledger in a database to copy."""
    found = programs()
    if found is None:
        lacking("PostgreSQL is not installed: apt-get install postgresql")
    from tidemark.ledger import Ledger

    with postgres_server(found) as server:
        administer(server, f"CREATE DATABASE {_TEMPLATE}")
        ledger = Ledger(f"{server}{_TEMPLATE}")
        ledger.upgrade()
        ledger.close()
        yield server


@pytest.fixture
def postgres(postgres_servers: str) -> Iterator[str]:
    """The URL of a new database with an empty ledger."""
    name = f"test_{uuid.uuid4().hex}"
    administer(postgres_servers, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    try:
        yield f"{postgres_servers}{name}"
    finally:
        administer(postgres_servers, f"DROP DATABASE {name} WITH (FORCE)")
