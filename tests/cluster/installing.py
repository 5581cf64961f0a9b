"""An installation on a cluster, as those see it who work with it: what is pushed, started, seen and recorded."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

import httpx
import psycopg2
from install_page import Administrator
from kube import PATIENCE, Namespace, wait_for
from outside import Repository

from demo.client import ApiError, Client
from demo.mail import MailSink
from tests.ledger.older import ledger_of_before
from tests.postgres import administer

KEYS = ["north", "south"]


def pipeline(name: str, body: str = "", options: str = "") -> str:
    """A file of one asset of two partitions, those of `KEYS`."""
    return f'''"""{name}: batches to be looked at."""

import time

import polars as pl
from tidemark import Partition, Static, asset, pipeline


@asset(partitions=Static({KEYS!r}), {options})
def {name}(partition: Partition) -> pl.DataFrame:
    {body or "pass"}
    return pl.DataFrame({{"part": [partition.key], "word": ["{name}"]}})


dag = pipeline("{name}", [{name}], owner="shop")
'''


@dataclass(frozen=True)
class Begun:
    """A run that has begun."""

    dag: str
    id: str


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        state: success or failed.
        tasks: its task instances, as the API tells them.

    """

    client: Client
    dag: str
    id: str
    state: str
    tasks: list[dict[str, Any]]

    @property
    def states(self) -> dict[str, str]:
        """The state of each task; of a mapped one, all of its states."""
        found: dict[str, list[str]] = {}
        for task in self.tasks:
            found.setdefault(task["task_id"], []).append(str(task["state"]))
        return {name: "+".join(sorted(set(states))) for name, states in found.items()}

    def attempts(self, task: str) -> int:
        """The most attempts that an instance of a task has taken."""
        return max(int(each["try_number"]) for each in self.tasks if each["task_id"] == task)

    def most_at_once(self, tasks: Collection[str]) -> int:
        """The most of some tasks that ran at one moment, by Airflow's own record of their last attempts.

        Pods would be too many: one is still there when its task has ended and given its slot to the next.
        """
        chosen = [each for each in self.tasks if each["task_id"] in tasks and each["start_date"]]
        begins = [(datetime.fromisoformat(each["start_date"]), 1) for each in chosen]
        ends = [(datetime.fromisoformat(each["end_date"]), -1) for each in chosen]
        return max(accumulate(step for _, step in sorted([*begins, *ends])), default=0)

    def log(self, task: str) -> str:
        """The logs of the last attempts of all instances of a task."""
        found = [each for each in self.tasks if each["task_id"] == task and each["try_number"]]
        return "\n".join(
            self.client.log(self.dag, self.id, task, each["try_number"], each["map_index"]) for each in found
        )

    def told(self) -> str:
        """What a person would look at who asks why it went so."""
        said = [f"{self.dag} {self.id}: {self.state}: {self.states}"]
        for name in self.states:
            with suppress(ApiError):
                said.append(f"--- {name}\n{self.log(name)[-3000:]}")
        return "\n".join(said)


@dataclass(frozen=True)
class Installation:
    """Tidemark on a cluster.

    Attributes:
        namespace: where it is installed.
        client: Airflow's REST API, as the administrator.
        repository: where scientists push.
        administrator: who has installed it.
        mails: what it has sent.
        image: the image that everything runs in.
        other_image: another one, which was made from it.
        ledger: the URL of the ledger, from this machine.
        environment: what the `tidemark` command needs to work on it from this machine.

    """

    namespace: Namespace
    client: Client
    repository: Repository
    administrator: Administrator
    mails: MailSink
    image: str
    other_image: str
    ledger: str
    environment: Mapping[str, str]

    # What people do

    def push(self, **files: str) -> str:
        """Push pipeline files, and wait until Airflow has their DAGs of this commit; returns the commit."""
        commit = self.repository.push(**files)
        for name in files:
            wait_for(lambda: self.known(name) == commit, f"the DAG {name} of {commit[:12]}", self.why_unknown)  # noqa: B023
            self.client.unpause(name)
        return commit

    def known(self, name: str) -> str | None:
        """The commit of which Airflow has a DAG."""
        found = self.client.dags().get(name)
        return found and found["bundle_version"]

    def why_unknown(self) -> str:
        """What an administrator would look at if a DAG does not come."""
        return f"{self.client.import_errors()} {self.namespace.told()}"

    def begin(self, dag: str, **params: object) -> Begun:
        """Start a run by hand."""
        return Begun(dag, self.client.trigger(dag, params))

    def ended(self, begun: Begun, patience: float = 3 * PATIENCE) -> Run:
        """Wait until a run has ended, and return it."""
        try:
            found = self.client.wait_run(begun.dag, begun.id, patience)
        except TimeoutError as problem:
            raise AssertionError(f"{problem}\n{self.namespace.told()}") from problem
        return Run(self.client, begun.dag, begun.id, str(found["state"]), self.client.tasks(begun.dag, begun.id))

    def wait_until_reached(self) -> None:
        """Wait until Airflow answers again after its pods were replaced: the way to them has to be found anew."""

        def answers() -> bool:
            with suppress(httpx.TransportError, ApiError):
                return bool(self.client.dags())
            return False

        wait_for(answers, "an answer of Airflow", self.namespace.told)

    def settle(self, dag: str) -> None:
        """Wait until no run of a DAG is going on."""
        for each in self.client.runs(dag):
            self.ended(Begun(dag, each["dag_run_id"]), 5 * PATIENCE)

    def lose_everything(self) -> None:
        """Empty all three databases."""
        server, _, _ = self.ledger.rpartition("/")
        for name in ("ledger", "airflow", "mlflow"):
            connection = psycopg2.connect(f"{server}/tidemark_{name}")
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION tidemark_{name}")
            connection.close()

    def age_ledger(self) -> None:
        """Put a ledger of the previous schema in the place of this one, with all that it has room for."""
        server, _, name = self.ledger.rpartition("/")
        password, address = self.administrator.variable("LEDGER_PASSWORD"), server.rpartition("@")[2]
        administer(f"{server}/", f"CREATE DATABASE {name}_older OWNER {name}")
        ledger_of_before(self.ledger, f"postgresql+psycopg2://{name}:{password}@{address}/{name}_older")
        for statement in (
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            f"ALTER DATABASE {name} RENAME TO {name}_newest",
            f"ALTER DATABASE {name}_older RENAME TO {name}",
        ):
            administer(f"{server}/", statement)

    def trigger(self, dag: str, **params: object) -> Run:
        """Start a run by hand, and wait until it has ended."""
        return self.ended(self.begin(dag, **params))

    def tidemark(self, *arguments: str) -> Any:
        """What the `tidemark` command says of this installation, as data."""
        self.repository.pull()
        code = "import sys; from tidemark.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, *arguments, "--json"]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    # What is seen

    @contextmanager
    def service(self, name: str, port: int) -> Iterator[httpx.Client]:
        """One of the services of the release, as nobody in particular: a request may say who asks."""
        target = f"service/{self.administrator.given['RELEASE']}-{name}"
        with (
            self.namespace.forwarded(target, port) as own,
            httpx.Client(base_url=f"http://127.0.0.1:{own}", timeout=60, trust_env=False) as client,
        ):
            yield client

    @property
    def of_mlflow(self) -> tuple[str, str]:
        """The name and the password of MLflow's administrator."""
        return "admin", self.administrator.variable("MLFLOW_ADMIN_PASSWORD")

    def workers(self, task: str) -> list[dict[str, Any]]:
        """The pods of Airflow's workers that run a task."""
        return self.namespace.pods(f"component=worker,task_id={task}")

    def pods_of_images(self, asset: str) -> list[dict[str, Any]]:
        """The pods in which batches of an asset run that has an image of its own."""
        return self.namespace.pods(f"tidemark-asset={asset}")

    # What is recorded

    def _asked(self, statement: str, *values: object, database: str = "ledger") -> list[tuple[Any, ...]]:
        server, _, _ = self.ledger.rpartition("/")
        connection = psycopg2.connect(f"{server}/tidemark_{database}")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def schema(self) -> str:
        """The version of the ledger's schema."""
        ((version,),) = self._asked("SELECT version_num FROM alembic_version")
        return str(version)

    def users(self) -> list[str]:
        """The users of Airflow, in order."""
        return [name for (name,) in self._asked("SELECT username FROM ab_user ORDER BY 1", database="airflow")]

    def experiments(self) -> list[str]:
        """The experiments of MLflow, in order."""
        return [name for (name,) in self._asked("SELECT name FROM experiments ORDER BY 1", database="mlflow")]

    def heads(self, asset: str) -> list[str]:
        """The partitions of an asset that are live, in order."""
        found = self._asked(
            "SELECT partition.key FROM head_log JOIN asset ON asset.id = head_log.asset_id "
            "JOIN partition ON partition.id = head_log.partition_id WHERE asset.name = %s AND to_seq IS NULL",
            asset,
        )
        return sorted(key for (key,) in found)

    def live(self) -> set[tuple[str, str, str, str | None]]:
        """All that is live: the environment, the asset, the partition, and which materialization it is."""
        found = self._asked(
            "SELECT head_log.environment, asset.name, partition.key, materialization_id FROM head_log "
            "JOIN asset ON asset.id = head_log.asset_id JOIN partition ON partition.id = head_log.partition_id "
            "WHERE to_seq IS NULL"
        )
        return {(environment, asset, key, made and str(made)) for environment, asset, key, made in found}

    def secrets(self) -> set[str]:
        """The names of the Secrets that people have made."""
        found = self.namespace.objects("secrets")
        return {each["metadata"]["name"] for each in found if each["type"] == "Opaque"}

    def leases(self, asset: str) -> int:
        """How many partitions of an asset somebody is computing."""
        found = self._asked(
            "SELECT count(*) FROM lease JOIN asset ON asset.id = lease.asset_id WHERE asset.name = %s", asset
        )
        return int(found[0][0])

    def computed(self, assets: list[str]) -> int:
        """How many results of some assets were ever computed."""
        found = self._asked(
            "SELECT count(*) FROM materialization JOIN asset ON asset.id = materialization.asset_id "
            "WHERE asset.name = ANY(%s)",
            assets,
        )
        return int(found[0][0])
