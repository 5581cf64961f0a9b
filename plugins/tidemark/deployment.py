"""A deployment: the ledger, the store, the landing zone and the gate that the settings name, opened together."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tidemark.assets import Pipeline
from tidemark.config import Settings, expectations_of, settings
from tidemark.errors import Unavailable, UsageError
from tidemark.gate import Gate, find_suite
from tidemark.landing import Landing, open_landing
from tidemark.ledger import Ledger
from tidemark.store import Store, open_store

Connect = Callable[[str, str], Landing]


@dataclass(frozen=True)
class Deployment:
    """Where definitions are planned and run.

    Attributes:
        settings: what is in force.
        ledger: the memory.
        connect: opens the landing zone at a URL by the name of an Airflow connection; only those who know Airflow can.

    """

    settings: Settings
    ledger: Ledger
    connect: Connect | None = None

    @property
    def environment(self) -> str:
        """The named set of heads that is read and moved."""
        return self.settings.environment

    @cached_property
    def store(self) -> Store:
        """Where the data is."""
        return open_store(self.settings.store_url, cache=self.settings.cache)

    @cached_property
    def landing(self) -> Landing:
        """Where others deliver.

        Raises:
            UsageError: when nothing is known about its URL or its connection.

        """
        url, connection = self.settings.landing_url, self.settings.landing_connection
        if connection is not None:
            if self.connect is None:
                raise UsageError("TIDEMARK_LANDING_CONNECTION names a connection of Airflow, which is not asked here")
            return self.connect(url, connection)
        if url == str(self.settings.home / "landing"):
            Path(url).mkdir(parents=True, exist_ok=True)
        return open_landing(url)

    @cached_property
    def _gates(self) -> dict[Path, Gate]:
        return {}

    def gate(self, suite: Path) -> Gate:
        """Return the gate that checks with the suites of a suite's folder."""
        folder = suite.parent
        if folder not in self._gates:
            self._gates[folder] = Gate(folder, self.settings.data_docs)
        return self._gates[folder]

    def finish(self) -> None:
        """Bring the Data Docs' index up to date with what was checked; a page that cannot be written stops nothing."""
        for gate in self._gates.values():
            try:
                gate.finish()
            except Unavailable as problem:
                logging.getLogger(__name__).warning("the Data Docs are not up to date: %s", problem)

    def suite(self, pipeline: Pipeline, name: str) -> Path:
        """Return the file of a suite.

        Raises:
            DefinitionError: when there is none, or it is malformed.

        """
        return find_suite(name, expectations_of(self.settings, pipeline))


@contextmanager
def open_deployment(given: Settings | None = None, *, connect: Connect | None = None) -> Iterator[Deployment]:
    """Open what the settings name; the embedded ledger is made at its first use.

    Args:
        given: the settings; without them, those of the environment variables.
        connect: see :class:`Deployment`.

    Raises:
        Refused: when the ledger's schema is not the code's.
        Unavailable: when the ledger cannot be reached.

    """
    chosen = given or settings()
    ledger = Ledger(chosen.ledger_url)
    try:
        if chosen.embedded and ledger.version() is None:
            ledger.upgrade()
        ledger.check()
        deployment = Deployment(chosen, ledger, connect)
        try:
            yield deployment
        finally:
            deployment.finish()
    finally:
        ledger.close()
