"""What the demo and these tests run on: it starts, says plainly why it does not, goes on, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg2
import pytest
from conftest import Deployment

from demo.services import ROOT, Services, ServicesError

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

TEN_LINES = """
    from tidemark import asset, pipeline

    @asset()
    def answer() -> str:
        return "42"

    product = pipeline("ten_lines", [answer])
    """


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """A folder for DAG files."""
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


def test_airflow_and_the_ledger_on_postgresql_and_a_second_start_that_goes_on(
    tmp_path: Path, dags: Path, postgres: str, postgres_servers: str
) -> None:
    """Users, passwords and what ran are still there, and no process is left behind."""
    connection = psycopg2.connect(f"{postgres_servers}postgres")
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE airflow")
    connection.close()
    settings = {"TIDEMARK_HOME": str(tmp_path / "home"), "TIDEMARK_LEDGER_URL": postgres, "TIDEMARK_DAGS": str(dags)}

    def services() -> Services:
        url = f"{postgres_servers}airflow".replace("postgresql://", "postgresql+psycopg2://")
        options = {"dags": dags, "settings": settings, "database_url": url, "usual_ports": {}}
        return Services(tmp_path / "services", with_mlflow=False, **options)

    with services() as first, first.client() as client:
        deployment = Deployment(first, client, dags, tmp_path / "home" / "landing")
        deployment.push("ten_lines", TEN_LINES)
        assert deployment.trigger("ten_lines").state == "success"
        users, runs = first.users, client.runs("ten_lines")
        assert len({user.password for user in users}) == len(users) == 4
    assert first.processes == []
    with services() as second, second.client("viewer") as client:
        assert second.users == users
        assert client.runs("ten_lines") == runs
    assert second.processes == []


def test_what_a_killed_start_left_behind_is_ended_by_the_next(tmp_path: Path, dags: Path) -> None:
    """As after a closed laptop: nobody was there to stop the services."""
    folder = tmp_path / "services"
    code = (
        "import os; from pathlib import Path; from demo.services import Services; "
        f"Services(Path({str(folder)!r}), dags=Path({str(dags)!r}), usual_ports={{}}).start(); os.kill(os.getpid(), 9)"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    told: list[tuple[str, str]] = []
    services = Services(folder, dags=dags, usual_ports={}, report=lambda name, state: told.append((name, state)))
    left = services.processes
    assert len(left) >= 5
    try:
        services.start()
        assert len([state for name, state in told if name == "leftovers"]) == len(left)
        assert not [process for process in left if psutil.pid_exists(process.pid)]
        with pytest.raises(ServicesError, match=f"Process {os.getpid()} already runs in"):
            Services(folder, dags=dags).start()
        victim = next(process for process in services.processes if "triggerer" in process.cmdline())
        victim.kill()
        psutil.wait_procs([victim], timeout=10)
        with pytest.raises(
            ServicesError, match=r"The triggerer has ended by itself.* The end of its log, .*triggerer.log"
        ):
            services.check()
    finally:
        services.stop()
    assert services.processes == []


def test_a_database_that_cannot_be_prepared_is_told_with_the_reason(tmp_path: Path, dags: Path) -> None:
    """The message ends with what Airflow itself said."""
    missing = f"sqlite:///{tmp_path}/nowhere/airflow.db"
    services = Services(tmp_path / "services", dags=dags, database_url=missing, with_mlflow=False, usual_ports={})
    with pytest.raises(ServicesError, match=r"cannot be prepared(.|\n)*unable to open database file"), services:
        pass
    assert services.processes == []
