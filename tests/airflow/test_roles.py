"""Claims about the roles of people: what they are made of, and which DAGs say what of whom."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from tests.end_to_end.actions import ACTIONS, table
from tidemark.airflow.roles import ACCESS, EDIT, READ, ROLES, WATCH, Kind, let
from tidemark.errors import UsageError

ROOT = Path(__file__).parents[2]
SECRETS = {"Connections", "Variables", "Configurations"}


def test_the_page_has_a_column_for_each_role_and_a_row_for_each_thing_that_is_tried() -> None:
    said = table()
    assert list(said) == list(ACTIONS)
    for cells in said.values():
        assert sorted(cells) == sorted([*(role.name for role in ROLES), "Administrator"])


def test_only_the_administrator_sees_where_secrets_are() -> None:
    assert not [role.name for role in ROLES for _, resource in role.permissions if resource in SECRETS]


def test_every_person_sees_the_pages_of_the_plugin() -> None:
    assert [role.name for role in ROLES if (READ, "Plugins") not in role.permissions] == [WATCH.name]


def test_the_watch_may_only_read() -> None:
    assert {action for action, _ in WATCH.permissions} == {READ}
    assert not [kind for kind, roles in ACCESS.items() if WATCH in roles]


def test_only_the_operator_may_edit_all_dags() -> None:
    """On whatever else a role may act, the DAG itself says so."""
    assert [role.name for role in ROLES if (EDIT, "DAGs") in role.permissions] == ["Operator"]


def dags(monkeypatch: pytest.MonkeyPatch, switch: str) -> dict[str, Any]:
    monkeypatch.setenv("TIDEMARK_ROLES", switch)
    bag = DagBag(str(ROOT / "dags"), bundle_name="dags", safe_mode=False)
    assert not bag.import_errors
    return {name: dag.access_control for name, dag in bag.dags.items()}


def test_each_dag_says_who_may_act_on_it_where_the_roles_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    starts, acts = {"DAGs": {"can_edit"}, "DAG Runs": {"can_create"}}, {"DAGs": {"can_edit"}}
    said = dags(monkeypatch, "on")
    assert said["price_list"] == {"Scientist": starts, "On-call": acts}
    assert said["demand_model"] == {"Scientist": starts, "On-call": acts, "Approver": acts}
    assert said["rollback_model"] == {"Approver": starts}
    for form in ("acknowledge_incident", "resolve_incident", "silence_incidents"):
        assert said[form] == {"On-call": starts}


def test_no_dag_says_anything_where_they_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAB refuses a DAG that names a role which is not there: without ours, Tidemark runs under FAB's own."""
    assert set(dags(monkeypatch, "off").values()) == {None}
    assert set(dags(monkeypatch, "").values()) == {None}


def test_what_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ROLES", "yes")
    with pytest.raises(UsageError, match="TIDEMARK_ROLES='yes': write on or off"):
        let(DAG("any"), Kind.PIPELINE)


@pytest.mark.parametrize(
    ("manager", "database", "says"),
    [
        (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "sqlite:///{folder}/airflow.db",
            "tidemark: Airflow's auth manager is SimpleAuthManager, which has roles of its own: see docs/security.md",
        ),
        (
            "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "sqlite:///{folder}/airflow.db",
            "run 'airflow db migrate'",
        ),
        (
            "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "postgresql+psycopg2://ada:hunter2@127.0.0.1:1/airflow",
            "tidemark: Airflow's database cannot be used: ",
        ),
    ],
    ids=["another manager", "no tables", "no server"],
)
def test_roles_that_cannot_be_made_are_told_in_a_sentence(
    tmp_path: Path, manager: str, database: str, says: str
) -> None:
    done = said_by(tmp_path, database.format(folder=tmp_path), AIRFLOW__CORE__AUTH_MANAGER=manager)
    assert done.returncode == 1
    assert says in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def said_by(folder: Path, database: str, *options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """What the command says in an Airflow of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), *sys.path]),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        **settings,
    }
    command = [sys.executable, "-m", "tidemark.airflow.roles", *options]
    return subprocess.run(command, env=environ, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("words", [("--wait",), ("--wait", "soon"), ("--wait", "-1"), ("--help",), ("Scientist",)])
def test_what_the_command_does_not_understand_makes_no_role(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = said_by(tmp_path, f"sqlite:///{tmp_path}/airflow.db", *words)
    assert done.returncode == 2
    assert f"tidemark: {' '.join(words)!r} is not understood: " in done.stderr


def test_who_waits_for_the_roles_goes_on_when_they_are_there_and_says_what_is_lacking(tmp_path: Path) -> None:
    file = tmp_path / "airflow.db"
    url = f"sqlite:///{file}"
    none = said_by(tmp_path, url, "--wait", "0.1", TIDEMARK_ROLES="on")
    assert (none.returncode, "has no roles" in none.stderr) == (1, True), none.stderr
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE ab_role (name TEXT)")
        connection.executemany("INSERT INTO ab_role VALUES (?)", [(role.name,) for role in ROLES[:-1]])
    some = said_by(tmp_path, url, "--wait", "0.1", TIDEMARK_ROLES="on")
    assert (some.returncode, "there is no role Watch after 0.1 seconds" in some.stderr) == (1, True), some.stderr
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO ab_role VALUES ('Watch')")
    assert "the roles are there" in said_by(tmp_path, url, "--wait", "60", TIDEMARK_ROLES="on").stdout
    assert "no DAG names a role" in said_by(tmp_path, "sqlite:////nowhere/at.all", "--wait", "60").stdout
