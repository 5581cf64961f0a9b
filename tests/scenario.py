r"""A shop as the tests of the rules tell its story: it is delivered to, runs, is looked at, and is broken on purpose.

All of it is real: a pipeline file that is written, edited and loaded like a scientist's, a landing folder, a folder
store, a ledger on SQLite or PostgreSQL, and the planner and runner that Airflow and the command call. What a test is
told by a function's own calls (:attr:`Shop.ran`) comes from a journal that each call adds a line to, in whatever thread
or process it happens, and never from the ledger that is under test.

    shop.define('''
        orders = source("orders", files="orders/{partition}.csv", partitions=Daily())

        @asset(partitions=Daily())
        def lines(orders: str) -> str:
            return orders.upper()
    ''')
    shop.deliver("orders", "2025-01-05", "k,v\\na,1\n")
    shop.run()
    assert shop.ran == {"lines": ["2025-01-05"]}
"""

import ast
import copy
import functools
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tidemark import interventions
from tidemark.assets import Asset, Pipeline
from tidemark.catalog import load_catalog
from tidemark.config import Settings, settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.facts import register
from tidemark.inspecting import account_of, history_of
from tidemark.ledger import Ledger, plans, records
from tidemark.ledger import heads as head_log
from tidemark.observe import Observed, observe
from tidemark.partitions import Partition
from tidemark.plan import Plan, make_plan
from tidemark.reading import read
from tidemark.running.run import Prepared, prepare, run_batch, run_plan
from tidemark.survey import EVERYTHING, Selection
from tidemark.verdict import Verdict, verdict

ROOT = Path(__file__).parents[1]

_PRELUDE = """from tidemark import Calendar, Daily, Hourly, Monthly, Partition, Static, Unpartitioned, Weekly
from tidemark import asset, in_force, last_known, latest, model, parts, pipeline, previous, ref, same, source, trailing
DAYS = Daily()
"""

# Only what a text uses is imported: an import that nothing uses may be there for its effect, and counts for all assets.
_IMPORTS = {
    "os.": "import os",
    "Path(": "from pathlib import Path",
    "pd.": "import pandas as pd",
    "pl.": "import polars as pl",
}

_ANY = "any"


@dataclass
class Runner:
    """A run in a process of its own."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(seconds)


class Shop:
    """One shop, its pipeline and all that it remembers, under one folder.

    Attributes:
        home: the folder.
        as_of: the instant that the next run takes for now.
        environment: the set of heads that the next run reads and moves.
        more: other settings, by variable.
        landing: where deliveries arrive.
        dags: where pipeline files are.
        pipelines: the definitions as loaded now, by name.
        verdict: of the last run.
        plan: of the last run.

    """

    def __init__(
        self, home: Path, ledger_url: str, *, landing: Path | None = None, dags: Path | None = None, load: bool = False
    ) -> None:
        self.home = home
        self.ledger_url = ledger_url
        self.landing = landing or home / "zone"
        self.dags = dags or home / "dags"
        self.environment = "prod"
        self.more: dict[str, str] = {}
        self.as_of = datetime(2025, 1, 10, 6, tzinfo=UTC)
        self.pipelines: dict[str, Pipeline] = {}
        self.verdict: Verdict | None = None
        self.plan: Plan | None = None
        self.plan_id = 0
        self._journal_read = 0
        self._runs = 0
        for folder in (self.landing, self.dags, home / "expectations", home / "switches"):
            folder.mkdir(parents=True, exist_ok=True)
        if load:
            self.load()

    # -- definitions

    def define(self, text: str, name: str = "shop") -> None:
        """Write a pipeline file of the given definitions, all of them its members, and load it."""
        (self.dags / f"{name}.py").write_text(pipeline_text(text, name))
        self.load()

    def module(self, name: str, text: str) -> None:
        """Write a module that pipeline files can import."""
        (self.dags / f"{name}.py").write_text(textwrap.dedent(text))

    def edit(self, before: str, after: str, file: str = "shop.py") -> None:
        """Replace a piece of a file, which must be there, and load everything again, as a new process would."""
        text = (self.dags / file).read_text()
        assert before in text, f"{before!r} is not in {file}"
        (self.dags / file).write_text(text.replace(before, after))
        self.load()

    def load(self) -> None:
        """Load all pipeline files as a new process would."""
        self.forget_modules()
        importlib.invalidate_caches()
        catalog = load_catalog(self.dags)
        assert not catalog.problems, "\n".join(catalog.problems.values())
        self.pipelines = {name: self._watched(each) for name, each in catalog.pipelines.items()}

    def forget_modules(self) -> None:
        """Take out of memory what was loaded from the folder of pipeline files."""
        for module in [name for name, each in sys.modules.items() if _is_in(each, self.dags)]:
            del sys.modules[module]

    def _watched(self, pipeline: Pipeline) -> Pipeline:
        return replace(pipeline, assets=tuple(watched(each, self.home) for each in pipeline.assets))

    def suite(self, name: str, *rules: dict[str, Any]) -> None:
        """Write a suite of rules, as :func:`tests.gates.rule` makes them."""
        from tests.gates import write_suite  # brings pyarrow: not for each runner that is started

        write_suite(self.home / "expectations", *rules, name=name)

    # -- the world

    def deliver(self, source: str, key: str, content: str | bytes, *, age: float = 3600) -> Path:
        """Put a file into the landing zone as senders should: whole, by renaming; last changed so many seconds ago."""
        file = self.file(source, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.tmp")
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        moment = time.time() - age
        os.utime(draft, (moment, moment))
        draft.rename(file)
        return file

    def deliver_days(self, source: str, *keys: str) -> None:
        """Deliver a text of its own for each key."""
        for key in keys:
            self.deliver(source, key, f"{source} {key}\n")

    def withdraw(self, source: str, *keys: str) -> None:
        """Take files out of the landing zone."""
        for key in keys:
            self.file(source, key).unlink()

    def file(self, source: str, key: str) -> Path:
        """Return where a source's partition is delivered."""
        owner = next(each for each in self.pipelines.values() if any(s.name == source for s in each.sources))
        return self.landing / owner.source(source).file_of(key)

    def now(self, instant: str) -> None:
        """Set the instant that runs take for now, in UTC unless it says otherwise."""
        moment = datetime.fromisoformat(instant)
        self.as_of = moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    # -- what breaks

    def breaks(self, asset: str, key: str = _ANY, how: str = "raise RuntimeError('broken on purpose')") -> None:
        """From now on run a statement within the asset's function, for one partition or for any."""
        (self.home / "switches" / f"{asset} {key}").write_text(how)

    def mends(self, asset: str, key: str = _ANY) -> None:
        """Take back what :meth:`breaks` did."""
        (self.home / "switches" / f"{asset} {key}").unlink()

    def pauses(self, asset: str, key: str = _ANY) -> None:
        """Let the asset's function stop until :meth:`mends`; :meth:`wait_for` waits until it has got there."""
        self.breaks(asset, key, "pause()")

    def wait_for(self, asset: str, key: str, times: int = 1, seconds: float = 30) -> None:
        """Wait until the asset's function was called for a partition so many times, in whatever process."""
        until = time.monotonic() + seconds
        while self.called(asset, key) < times:
            assert time.monotonic() < until, f"{asset} {key} was not reached within {seconds:g} s"
            time.sleep(0.01)

    # -- runs

    def twin(self) -> "Shop":
        """Return the same shop for another thread."""
        return copy.copy(self)

    @property
    def settings(self) -> Settings:
        """What is in force."""
        return settings(self.environ)

    @property
    def environ(self) -> dict[str, str]:
        """The variables that say where this shop is."""
        return {
            "TIDEMARK_HOME": str(self.home),
            "TIDEMARK_LEDGER_URL": self.ledger_url,
            "TIDEMARK_LANDING_URL": str(self.landing),
            "TIDEMARK_DAGS": str(self.dags),
            "TIDEMARK_EXPECTATIONS": str(self.home / "expectations"),
            "TIDEMARK_ENVIRONMENT": self.environment,
            **self.more,
        }

    @contextmanager
    def deployment(self) -> Iterator[Deployment]:
        """Open the ledger, the store and the landing zone, as each process does for itself."""
        with open_deployment(self.settings) as opened:
            self.equip(opened)
            yield opened

    def equip(self, deployment: Deployment) -> None:
        """Do nothing; a test may replace this to hand a landing zone or a store of its own to the runs."""

    def run(self, pipeline: str = "shop", *, lanes: bool = False, **options: Any) -> Verdict:
        """Plan, run and judge.

        Args:
            pipeline: which one.
            lanes: work off each lane of each asset by itself, as Airflow's workers do.
            options: for :func:`tidemark.running.run.prepare`: ``selection``, ``confirmed``, ``slots``.

        """
        self._journal_read = len(self.journal())
        self._runs += 1
        name = f"run {self._runs}"
        definition = self.pipelines[pipeline]
        with self.deployment() as deployment:
            prepared = prepare(deployment, definition, as_of=self.as_of, run=name, actor="tester", **options)
            self.plan, self.plan_id = prepared.plan, prepared.plan_id
            if lanes:
                self._work_lanes(prepared, name)
            else:
                run_plan(deployment, definition, prepared, run=name, actor="tester")
            self.verdict = verdict(deployment, definition, prepared.plan_id, run=name if lanes else None)
        return self.verdict

    def _work_lanes(self, prepared: Prepared, name: str) -> None:
        """Work off the assets one after the other, and the lanes of each side by side."""
        definition = self.pipelines[prepared.plan.pipeline]

        def work(asset: str, lane: int) -> None:
            with self.deployment() as deployment:
                run_batch(deployment, definition, prepared.plan_id, lane, asset, run=name, actor="tester")

        for asset in (each.name for each in definition.assets if each.name in prepared.busy):
            with ThreadPoolExecutor() as workers:
                for done in [workers.submit(work, asset, lane) for lane in range(prepared.lanes)]:
                    done.result()

    def start(self, pipeline: str = "shop", *, dies: str = "", most_bytes: int | None = None) -> Runner:
        """Start the same run in a process of its own.

        Args:
            pipeline: which one.
            dies: one of :data:`DEATHS`.
            most_bytes: how large a file may become: beyond it writing fails, as on a disk that is full.

        """
        log = self.home / f"runner-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "tests.scenario", pipeline, self.as_of.isoformat(), dies]
        path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        environ = {**os.environ, **self.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        if most_bytes is not None:
            command = ["prlimit", f"--fsize={most_bytes}", *command]
        with log.open("wb") as output:
            # Its output goes through a pipe: the limit is not for what it says.
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert process.stdout is not None
            subprocess.Popen(["cat"], stdin=process.stdout, stdout=output)
        return Runner(process, log)

    def planned(self, pipeline: str = "shop", *, confirmed: frozenset[str] = frozenset(), **options: Any) -> Plan:
        """Observe and plan, and run nothing."""
        definition = self.pipelines[pipeline]
        chosen = {"selection": EVERYTHING, **options}
        with self.deployment() as deployment:
            names = register(deployment, definition)
            seen: Observed = observe(
                deployment, definition, names, as_of=self.as_of, run="plan", actor="tester", confirmed=confirmed
            )
            return make_plan(deployment, definition, names, seen, as_of=self.as_of, **chosen)

    def force(self, asset: str, key: str | None = None) -> Verdict:
        """Run, and compute one partition (or all) of an asset whatever is known of it."""
        return self.run(selection=Selection(force=frozenset([(asset, key)])))

    # -- what people do

    def declare_absent(self, source: str, key: str) -> tuple[bool, int]:
        """Declare that a delivery will not come; returns whether that is news, and how many marks changed."""
        with self.deployment() as deployment:
            return interventions.declare_absent(
                deployment, self.pipelines["shop"], source, key, why="closed that day", actor="tester"
            )

    def withdraw_declaration(self, source: str, key: str) -> tuple[bool, int]:
        """Take back that a delivery will not come."""
        with self.deployment() as deployment:
            return interventions.withdraw_declaration(
                deployment, self.pipelines["shop"], source, key, why="it may come", actor="tester"
            )

    def hold(self, asset: str, key: str | None = None) -> None:
        """Stop re-execution."""
        with self.deployment() as deployment:
            interventions.hold(deployment, self.pipelines["shop"], asset, key, why="under review", actor="tester")

    def release(self, asset: str, key: str | None = None) -> None:
        """Lift holds."""
        with self.deployment() as deployment:
            interventions.release_hold(deployment, self.pipelines["shop"], asset, key, why="reviewed", actor="tester")

    # -- what there is

    @property
    def ran(self) -> dict[str, list[str]]:
        """Which functions were called since the last run began, by asset, in the order of the calls."""
        called: dict[str, list[str]] = {}
        for line in self.journal()[self._journal_read :]:
            asset, _, key = line.partition(" ")
            called.setdefault(asset, []).append(key)
        return called

    def called(self, asset: str, key: str) -> int:
        """Return how often an asset's function was called for a partition, ever."""
        return self.journal().count(f"{asset} {key}")

    def journal(self) -> list[str]:
        """Return every call of a function, ever, as ``"asset key"``."""
        file = self.home / "journal"
        return file.read_text().splitlines() if file.exists() else []

    def heads(self, asset: str) -> dict[str, Any]:
        """Return what is live by partition: text, or the rows of a frame."""
        with self.deployment() as deployment:
            return {key: _content(deployment, asset, key) for key in self._live(deployment, asset)}

    def live(self, asset: str) -> dict[str, head_log.Head]:
        """Return every live head by partition."""
        with self.deployment() as deployment:
            return self._live(deployment, asset)

    def content(self, asset: str, key: str) -> Any:
        """Return what is live for one partition: text, or the rows of a frame."""
        with self.deployment() as deployment:
            return _content(deployment, asset, key)

    def versions(self, asset: str) -> dict[str, str]:
        """Return the data version of what is live, by partition."""
        with self.deployment() as deployment:
            return {key: head.data_version.hex() for key, head in self._live(deployment, asset).items()}

    def provisional(self, asset: str) -> dict[str, set[str]]:
        """Return what is missing from each head that is provisional, as ``"orders 2025-01-05"``."""
        with self.deployment() as deployment:
            return {
                key: {f"{name} {part}" for name, part in head.missing}
                for key, head in self._live(deployment, asset).items()
                if head.missing
            }

    def action_key(self, asset: str, key: str) -> bytes:
        """Return the action key of what is live."""
        with self.deployment() as deployment:
            return self._live(deployment, asset)[key].action_key

    def _live(self, deployment: Deployment, asset: str) -> dict[str, head_log.Head]:
        owner = self._owner(asset)
        names = register(deployment, owner)
        grain = names.grains[asset]
        with deployment.ledger.read() as connection:
            live = names.by_ordinal(asset, head_log.current(connection, deployment.environment, names.assets[asset]))
        return {grain.key(ordinal): live[ordinal] for ordinal in sorted(live)}

    def _owner(self, asset: str) -> Pipeline:
        return next(each for each in self.pipelines.values() if any(asset == one.name for one in each.members))

    def counts(self, asset: str) -> dict[str, int]:
        """Return how many partitions came to each result in the last run; results without any are left out."""
        assert self.verdict is not None
        return {what: number for what, number in self.verdict.counts[asset].items() if number}

    def outcomes(self, asset: str) -> dict[str, str | None]:
        """Return what became of each of the asset's items in the last plan."""
        with self.deployment() as deployment, deployment.ledger.read() as connection:
            return {
                each.partition: each.outcome for each in plans.items(connection, self.plan_id) if each.asset == asset
            }

    def details(self, asset: str) -> dict[str, str]:
        """Return what was said of each of the asset's items in the last plan."""
        with self.deployment() as deployment, deployment.ledger.read() as connection:
            found = plans.items(connection, self.plan_id)
            return {each.partition: each.detail or "" for each in found if each.asset == asset}

    def explain(self, asset: str, key: str) -> dict[str, Any]:
        """Return what ``tidemark explain`` says."""
        with self.deployment() as deployment:
            return account_of(deployment, self._owner(asset), asset, key)

    def history(self, asset: str, key: str) -> list[dict[str, Any]]:
        """Return what ``tidemark history`` says."""
        with self.deployment() as deployment:
            return history_of(deployment, self._owner(asset), asset, key)

    def made(self, asset: str, key: str) -> list[records.Made]:
        """Return every materialization of a partition, oldest first."""
        owner = self._owner(asset)
        with self.deployment() as deployment:
            names = register(deployment, owner)
            with deployment.ledger.read() as connection:
                return records.made_for(connection, names.assets[asset], names.id_of(asset, key))

    def blobs(self) -> set[str]:
        """Return the addresses of everything in the store."""
        store = self.home / "store"
        return {file.parent.name + file.name for file in store.glob("??/*")}

    # -- the oracle

    def state(self) -> dict[str, dict[str, tuple[str, frozenset[str]]]]:
        """Return data version and marks of everything that is live."""
        members = [each.name for pipeline in self.pipelines.values() for each in pipeline.members]
        found = {}
        for name in members:
            marks = self.provisional(name)
            found[name] = {key: (v, frozenset(marks.get(key, ()))) for key, v in self.versions(name).items()}
        return found

    def rebuilt(self) -> "Shop":
        """Return a shop with the same files, definitions and instant, and no past, that has just run."""
        fresh = new_shop(self.home / f"rebuilt-{time.monotonic_ns()}", landing=self.landing, dags=self.dags)
        fresh.as_of = self.as_of
        for suite in (self.home / "expectations").iterdir():
            (fresh.home / "expectations" / suite.name).write_bytes(suite.read_bytes())
        fresh.load()
        for name in self.pipelines:
            fresh.run(name)
        return fresh


def news(verdict: Verdict) -> bool:
    """Whether anything failed, was blocked or rejected in the run itself, and not only before it."""
    return any(each.new for each in verdict.troubles)


def watched(asset: Asset, home: Path) -> Asset:
    """Return an asset whose function adds a line to the journal at each call, and breaks where the story says so.

    The asset keeps the code version of the function itself.
    """
    function = asset.function
    receives = asset.partition_parameter or "_partition"

    @functools.wraps(function)
    def called(**arguments: Any) -> Any:
        partition: Partition = arguments[receives] if asset.partition_parameter else arguments.pop(receives)
        with (home / "journal").open("a") as journal:
            journal.write(f"{asset.name} {partition.key}\n")
        for switch in (f"{asset.name} {partition.key}", f"{asset.name} {_ANY}"):
            file = home / "switches" / switch
            if file.exists():
                exec(file.read_text(), {"os": os, "time": time, "pause": functools.partial(_wait_until_gone, file)})
        return function(**arguments)

    made = replace(asset, function=called, partition_parameter=receives)
    made.__dict__["code"] = asset.code
    return made


def pipeline_text(text: str, name: str) -> str:
    """Return a pipeline file of the given definitions, all of them its members."""
    body = textwrap.dedent(text).strip()
    imports = "\n".join(line for used, line in _IMPORTS.items() if used in body)
    members = ", ".join(member_names(body))
    return f'"""A shop."""\n{imports}\n{_PRELUDE}\n{body}\n\ndag = pipeline({name!r}, [{members}])\n'


def _wait_until_gone(file: Path) -> None:
    while file.exists():
        time.sleep(0.01)


def member_names(text: str) -> list[str]:
    """Return the names of the sources and assets that a pipeline file defines, in its order."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and any(
            _calls(each, name) for each in node.decorator_list for name in ("asset", "model")
        ):
            found.append(node.name)
        if isinstance(node, ast.Assign) and _calls(node.value, "source"):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return found


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(folder)


def _content(deployment: Deployment, asset: str, key: str) -> Any:
    import polars as pl

    value = read(asset, key, deployment=deployment)
    return value.to_dicts() if isinstance(value, pl.DataFrame) else value


def new_shop(home: Path, ledger_url: str | None = None, **options: Any) -> Shop:
    """Open a shop in a new folder; without a URL its ledger is on SQLite."""
    home.mkdir(parents=True)
    return Shop(home, ledger_url or _embedded(home), **options)


@functools.cache
def empty_ledger() -> bytes:
    """Return a ledger without anything in it: to copy a file is cheaper than to run the migrations for each test."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        ledger = Ledger(f"sqlite:///{file}")
        ledger.upgrade()
        ledger.close()
        return file.read_bytes()


def _embedded(home: Path) -> str:
    (home / "ledger.db").write_bytes(empty_ledger())
    return f"sqlite:///{home / 'ledger.db'}"


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """An empty shop, its ledger on SQLite, or where a test says so (:data:`on_both_ledgers`) on PostgreSQL."""
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    # A module that is edited twice within a second must not be taken from bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    if getattr(request, "param", "sqlite") == "sqlite":
        opened = new_shop(tmp_path / "shop")
    else:
        opened = new_shop(tmp_path / "shop", request.getfixturevalue("postgres"))
    yield opened
    opened.forget_modules()


on_both_ledgers = pytest.mark.parametrize("shop", ["sqlite", "postgresql"], indirect=True)
"""Marks a test that runs on SQLite and on PostgreSQL."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after_the_blob(deployment: Deployment) -> None:
    store = deployment.store

    class Dying:
        """A store whose first blob is the last thing that its process does."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def put(self, payload: bytes | Path) -> str:
            store.put(payload)
            _die()
            raise AssertionError

    deployment.__dict__["store"] = Dying()


def _die_before_the_commit(deployment: Deployment) -> None:
    @sa.event.listens_for(deployment.ledger.engine, "after_cursor_execute")
    def executed(connection: object, cursor: object, statement: str, *rest: object) -> None:
        # Materialization, inputs and head are written by then, and not committed.
        if statement.startswith("INSERT INTO outbox"):
            _die()


DEATHS = {"after the blob": _die_after_the_blob, "before the commit": _die_before_the_commit}
"""Where a run can be told to die of SIGKILL, as by a power cut."""


def main() -> None:
    """Run a pipeline of the shop that the environment names."""
    pipeline, as_of, dies = sys.argv[1:]
    given = settings()
    shop = Shop(given.home, given.ledger_url, landing=Path(given.landing_url), dags=given.dags, load=True)
    shop.environment = given.environment
    shop.more = {name: os.environ[name] for name in ("TIDEMARK_STORE_URL",) if name in os.environ}
    shop.as_of = datetime.fromisoformat(as_of)
    if dies:
        shop.equip = DEATHS[dies]  # type: ignore[method-assign]
    print(shop.run(pipeline).table())


if __name__ == "__main__":
    main()
