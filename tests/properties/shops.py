"""Shops for many short lives: all that a history does not ask about is made once and used again.

Everything is real but for what costs time and decides nothing: the ledger waits for no disk, its compiled statements
outlive it, definitions that were loaded before are not loaded again, and no page is written for people to look at.
"""

import functools
import importlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from tests.gates import rule
from tests.scenario import Shop, empty_ledger, pipeline_text
from tidemark import interventions
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.deployment import Deployment
from tidemark.gate import Gate
from tidemark.ledger import Ledger, database, heads, records, registry
from tidemark.ledger.heads import Head
from tidemark.ledger.schema import asset, head_log, metadata, partition


class _Quick(Deployment):
    """A deployment whose gate writes no Data Docs."""

    def gate(self, suite: Path) -> Gate:
        """Return the gate of a suite's folder, one for each thread."""
        return _gate(suite.parent, threading.get_ident())


@functools.lru_cache(maxsize=8)
def _gate(folder: Path, thread: int) -> Gate:
    return Gate(folder, None)


@functools.lru_cache(maxsize=8)
def _engine(url: sa.URL) -> sa.Engine:
    """Return the engine of a URL, the same one each time: it keeps the statements that it has compiled."""
    made = _REAL_ENGINE(url)
    if url.get_backend_name() == "sqlite":
        sa.event.listen(made, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return made


_REAL_ENGINE = database._engine


class QuickShop(Shop):
    """A shop whose processes all are this one."""

    def __init__(self, home: Path, ledger_url: str) -> None:
        super().__init__(home, ledger_url)
        self._engine = _engine(sa.make_url(ledger_url.replace("postgresql:", "postgresql+psycopg2:")))
        self._loaded: dict[str, dict[str, Pipeline]] = {}

    @contextmanager
    def deployment(self) -> Iterator[Deployment]:
        """Open what there is, as each process does, but for the connections, which are there already."""
        ledger = Ledger.__new__(Ledger)
        ledger.url, ledger.engine = self._engine.url, self._engine
        opened = _Quick(self.settings, ledger)
        self.equip(opened)
        yield opened

    def load_texts(self, texts: dict[str, str]) -> None:
        """Let files hold some definitions, by name; what was loaded before need not be loaded again."""
        whole = "\0".join(f"{name}\0{text}" for name, text in sorted(texts.items()))
        for name, text in texts.items():
            (self.dags / f"{name}.py").write_text(text)
        if whole not in self._loaded:
            self.load()
            self._loaded[whole] = self.pipelines
        self.pipelines = self._loaded[whole]

    def load(self) -> None:
        """Load all pipeline files as a new process would."""
        self.forget_modules()
        importlib.invalidate_caches()
        before = set(sys.modules)
        catalog = load_catalog(self.dags)
        assert not catalog.problems, "\n".join(catalog.problems.values())
        place = str(self.dags)
        self._modules = [
            name
            for name in sys.modules.keys() - before
            if str(getattr(sys.modules[name], "__file__", "")).startswith(place)
        ]
        self.pipelines = {name: self._watched(each) for name, each in catalog.pipelines.items()}

    _modules: tuple[str, ...] | list[str] = ()

    def forget_modules(self) -> None:
        """Take out of memory what was loaded last."""
        for name in self._modules:
            sys.modules.pop(name, None)
        self._modules = ()

    def define(self, text: str, name: str = "shop") -> None:
        """Write a pipeline file of the given definitions, all of them its members, and load it."""
        self.load_texts({name: pipeline_text(text, name)})

    def gate_blocks(self, name: str, letters: str) -> None:
        """Let the gate of a name block texts that end with one of some letters."""
        pattern = f"[{letters}]$" if letters else "never"
        self.suite(name, rule("expect_column_values_to_not_match_regex", column="v", regex=pattern))

    def hold(self, asset: str, key: str | None = None) -> None:
        """Stop re-execution."""
        with self.deployment() as deployment:
            interventions.hold(deployment, self._owner(asset), asset, key, why="under review", actor="tester")

    def release(self, asset: str, key: str | None = None) -> None:
        """Lift holds."""
        with self.deployment() as deployment:
            interventions.release_hold(deployment, self._owner(asset), asset, key, why="reviewed", actor="tester")

    def name_of(self, asset_id: int, partition_id: int) -> tuple[str, str]:
        """Return the name of an asset and the key of one of its partitions."""
        with self.deployment() as deployment, deployment.ledger.read() as connection:
            query = sa.select(asset.c.name, partition.c.key).select_from(asset.join(partition, sa.true()))
            return connection.execute(query.where(asset.c.id == asset_id, partition.c.id == partition_id)).one()

    def everything(self, assets: Iterable[str], environment: str) -> dict[tuple[str, str], Head]:
        """Return every live head of some assets in an environment, by asset and key."""
        with self.deployment() as deployment, deployment.ledger.read() as connection:
            known = registry.assets(connection)
            found = {}
            for name in assets:
                if name in known:
                    keys = {
                        number: key for key, number in registry.partition_ids(connection, known[name].grain).items()
                    }
                    for number, head in heads.current(connection, environment, known[name].id).items():
                        found[name, keys[number]] = head
        return found

    def contents(self, materializations: Iterable[int]) -> dict[bytes, str]:
        """Return the one text that each of some materializations holds, by its data version."""
        found = {}
        with self.deployment() as deployment:
            with deployment.ledger.read() as connection:
                made = records.made(connection, materializations)
            for each in made.values():
                assert each.data_version is not None
                assert each.blob is not None
                found[each.data_version] = pq.read_table(deployment.store.path(each.blob))["v"][0].as_py()
        return found

    def lost_blobs(self) -> set[str]:
        """Return where the data of what is live in prod should be in the store, and is not."""
        with self.deployment() as deployment:
            with deployment.ledger.read() as connection:
                live = sa.select(head_log.c.materialization_id).where(head_log.c.to_seq.is_(None))
                made = records.made(
                    connection, [each for each in connection.execute(live).scalars() if each is not None]
                )
            return deployment.store.missing(each.blob for each in made.values() if each.blob is not None)

    def save(self) -> None:
        """Keep everything as it is now, to be brought back as often as need be; where the ledger is a file."""
        self.close()
        shutil.copytree(self.home, self.home.with_name("saved"))

    def bring_back(self) -> None:
        """Let everything be as it was when it was saved."""
        self.close()
        shutil.rmtree(self.home)
        shutil.copytree(self.home.with_name("saved"), self.home)

    def empty(self) -> None:
        """Take everything out of a ledger that was used before, but its schema."""
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        with self._engine.connect() as connection, connection.begin():
            connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))

    def close(self) -> None:
        """Let the ledger go."""
        self._engine.dispose()


def fast_folder() -> str | None:
    """Return a folder in memory, or None where there is none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Ground:
    """A folder on which one shop after the other is opened, always at the same place, and left by nobody.

    Args:
        postgres: the URL of a database for the ledger of the first shop; None for SQLite, which all others are on.

    """

    def __init__(self, postgres: str | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tidemark-history-", dir=fast_folder()))
        self._postgres = postgres
        self._shops: list[QuickShop] = []

    def shop(self, name: str = "shop") -> QuickShop:
        """Open a new shop."""
        home = self._folder / name
        home.mkdir()
        if self._postgres is not None and not self._shops:
            opened = QuickShop(home, self._postgres)
            opened.empty()
        else:
            (home / "ledger.db").write_bytes(empty_ledger())
            opened = QuickShop(home, f"sqlite:///{home / 'ledger.db'}")
        self._shops.append(opened)
        return opened

    def clear(self) -> None:
        """Take away all shops."""
        for each in self._shops:
            each.forget_modules()
            each.close()
        self._shops = []
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def leave(self) -> None:
        """Take the folder away too."""
        self.clear()
        self._folder.rmdir()
