"""One real Airflow for all end-to-end tests: each brings its own DAG files and its own folders of the landing zone.

A test says what arrives and which file is pushed, as senders and scientists do, and looks at what Airflow's API, the
mail server and the `tidemark` command tell, as operators do.
"""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
import pytest

import tidemark.deployment
from demo.client import Client
from demo.services import ROOT, Services, sending_metrics
from tests.postgres import programs
from tests.servers import free_port
from tidemark.catalog import Catalog, load_catalog
from tidemark.deployment import open_deployment

# This machine may be busy with something else.
PATIENCE = 240

T = TypeVar("T")


@dataclass
class Deployment:
    """A running Airflow with Tidemark on it.

    Attributes:
        services: the processes.
        client: its REST API, as the administrator.
        dags: the folder of DAG files.
        landing: the landing zone.

    """

    services: Services
    client: Client
    dags: Path
    landing: Path
    _seen: dict[str, set[str]] = field(default_factory=dict)

    def push(self, name: str, text: str) -> None:
        """Push a DAG file, and wait until Airflow knows the DAG of that name."""
        (self.dags / f"{name}.py").write_text(textwrap.dedent(text))
        wait_for(lambda: name in self.client.dags(), f"the DAG {name}", lambda: str(self.client.import_errors()))

    def deliver(self, file: str, content: str) -> None:
        """Deliver a file, whole."""
        target = self.landing / file
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        unfinished.write_text(content)
        unfinished.replace(target)

    def trigger(self, dag: str, **params: object) -> "Run":
        """Start a run by hand and wait until it has ended."""
        run = self.client.trigger(dag, params)
        self._seen.setdefault(dag, set()).add(run)
        return self.ended(dag, run)

    def next_run(self, dag: str) -> "Run":
        """Wait for a run that something else starts, and until it has ended."""
        seen = self._seen.setdefault(dag, set())
        new = wait_for(
            lambda: next((run["dag_run_id"] for run in self.client.runs(dag) if run["dag_run_id"] not in seen), None),
            f"another run of {dag}",
        )
        seen.add(new)
        return self.ended(dag, new)

    def unseen_runs(self, dag: str) -> int:
        """How many runs there are that no test asked for or waited for."""
        return len({run["dag_run_id"] for run in self.client.runs(dag)} - self._seen.get(dag, set()))

    def mails(self, about: str) -> list[EmailMessage]:
        """The mails whose subject names something, oldest first."""
        return [mail for mail in self.services.mails if about in str(mail["Subject"])]

    @contextmanager
    def opened(self) -> Iterator[tuple[tidemark.deployment.Deployment, Catalog]]:
        """The same deployment and its definitions, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.services.environment.items():
                if name.startswith("TIDEMARK_"):
                    patch.setenv(name, value)
            with open_deployment() as opened:
                yield opened, load_catalog(self.dags)

    def ended(self, dag: str, run: str) -> "Run":
        """Wait until a run has ended, and return it."""
        ended = self.client.wait_run(dag, run, PATIENCE)
        return Run(self.client, dag, run, str(ended["state"]), str(ended["run_type"]), self.client.tasks(dag, run))

    def tidemark(self, *arguments: str) -> Any:
        """What the `tidemark` command answers in this deployment, as data."""
        code = "import sys; from tidemark.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, *arguments, "--json"]
        done = subprocess.run(command, env=self.services.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        state: success or failed.
        kind: what started it: manual, asset_triggered, scheduled.
        tasks: its task instances, as the API tells them.

    """

    client: Client
    dag: str
    id: str
    state: str
    kind: str
    tasks: list[dict[str, Any]]

    @property
    def states(self) -> dict[str, str]:
        """The state of each task; of a mapped one, all of its states."""
        found: dict[str, list[str]] = {}
        for task in self.tasks:
            found.setdefault(task["task_id"], []).append(task["state"])
        return {name: "+".join(sorted(states)) for name, states in found.items()}

    @property
    def started(self) -> set[str]:
        """The tasks for which a worker was started."""
        return {task["task_id"] for task in self.tasks if task["try_number"]}

    def labels(self, task: str) -> list[str]:
        """The names of a mapped task's instances."""
        return [each["rendered_map_index"] for each in self.tasks if each["task_id"] == task]

    def log(self, task: str, map_index: int = -1) -> str:
        """The log of a task's last attempt."""
        attempt = next(t["try_number"] for t in self.tasks if (t["task_id"], t["map_index"]) == (task, map_index))
        return self.client.log(self.dag, self.id, task, attempt, map_index)

    def events(self) -> dict[tuple[str, str | None], dict[str, Any]]:
        """The asset events that its tasks told: asset and partition -> extra."""
        found = self.client.asset_events(source_dag_id=self.dag, source_run_id=self.id)
        return {(each["name"], each["partition_key"]): each["extra"] for each in found}


def wait_for(look: Callable[[], T], what: str, otherwise: Callable[[], str] = str) -> T:
    """Wait until a look finds something, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"{what} did not come. {otherwise()}"
        time.sleep(0.3)
    return found


def new_database(request: pytest.FixtureRequest, name: str) -> str | None:
    """Make a database for an Airflow on PostgreSQL, as in production; None where there is none: SQLite has to do."""
    if programs() is None:
        return None
    server = request.getfixturevalue("postgres_servers")
    connection = psycopg2.connect(f"{server}postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"{server}{name}".replace("postgresql://", "postgresql+psycopg2://")


@pytest.fixture(scope="session")
def airflow_database(request: pytest.FixtureRequest) -> str | None:
    """The database of the Airflow that all tests share; None: an SQLite file."""
    return new_database(request, "airflow_for_all")


def services_in(
    folder: Path, database_url: str | None, *, with_mlflow: bool = True, with_watch: bool = True, **settings: str
) -> Services:
    """Services as of 2011-03-21 06:00 UTC, with all that they need in a folder: `dags` and `landing` are in it."""
    dags, landing = folder / "dags", folder / "landing"
    for each in (dags, landing):
        each.mkdir(parents=True, exist_ok=True)
    given = {
        "TIDEMARK_HOME": str(folder / "home"),
        "TIDEMARK_LANDING_URL": str(landing),
        "TIDEMARK_DAGS": str(dags),
        "TIDEMARK_EXPECTATIONS": str(ROOT / "expectations"),
        "TIDEMARK_AS_OF": "2011-03-21T06:00:00+00:00",
        "TIDEMARK_SETTLE_SECONDS": "2",
        "TIDEMARK_MAIL_TO": "oncall@shop.test",
        "TIDEMARK_APPROVERS": "operator",
        "TIDEMARK_FOUR_EYES": "off",
        "TIDEMARK_WATCH_SECONDS": "2",
    }
    return Services(
        folder / "services",
        dags=dags,
        settings=given | sending_metrics(free_port()) | settings,
        database_url=database_url,
        with_mlflow=with_mlflow,
        with_watch=with_watch,
        usual_ports={},
        report=lambda name, state: print(f"{name}: {state}"),
    )


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, airflow_database: str | None) -> Iterator[Deployment]:
    """A running deployment; TIDEMARK_TEST_SERVICES names a folder that is kept."""
    kept = os.environ.get("TIDEMARK_TEST_SERVICES")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("deployment")
    services = services_in(folder, airflow_database)
    with services, services.client() as client:
        yield Deployment(services, client, folder / "dags", folder / "landing")
