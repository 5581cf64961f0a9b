"""A PostgreSQL of the benchmark's own that keeps its promises to the disk, and what it costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg2

from benchmarks.measured import Figures, measured
from tests.postgres import postgres_server, programs
from tidemark.ledger import Ledger


@dataclass(frozen=True)
class Server:
    """A server with an empty ledger in it.

    Attributes:
        url: of the ledger.
        process: the server's first one; all others are its children.

    """

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all its processes, those that have ended included."""
        own = self.process.cpu_times()
        alive = [each.cpu_times() for each in self.process.children()]
        seconds = sum(each.user + each.system for each in [own, *alive])
        return float(seconds + own.children_user + own.children_system)

    def measured(self, what: Callable[[], int]) -> Figures:
        """Do something, and return what it cost this process, with ``server_cpu_s`` beside it."""
        before = self.cpu_seconds()
        figures = measured(what)
        return figures | {"server_cpu_s": round(self.cpu_seconds() - before, 2)}


@contextmanager
def durable_server() -> Iterator[str]:
    """Run a server on a free port of 127.0.0.1, its data on disk; yields its URL, without the name of a database.

    Raises:
        SystemExit: PostgreSQL is not installed.

    """
    found = programs()
    if found is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    with postgres_server(found, durable=True) as url:
        yield url


@contextmanager
def ledger_server() -> Iterator[Server]:
    """Run a server with an empty ledger in it.

    Raises:
        SystemExit: PostgreSQL is not installed.

    """
    with durable_server() as root:
        url = f"{root}postgres"
        ledger = Ledger(url)
        ledger.upgrade()
        ledger.close()
        yield Server(url, _first_process(url))


def _first_process(url: str) -> psutil.Process:
    connection = psycopg2.connect(url)
    try:
        first = psutil.Process(connection.info.backend_pid).parent()
    finally:
        connection.close()
    assert first is not None
    return first
