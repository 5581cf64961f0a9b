"""Who may do what under FAB's auth manager, where who signs in is a name and who is asked is a number.

One Airflow, with a user of each role: the table of docs/security.md is tried on it, cell by cell.
"""

import importlib.util
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from actions import ACTIONS, PIPELINE, Somebody, table
from conftest import PATIENCE, Deployment, new_database, services_in, wait_for
from guests import APPROVE, answered, open_shop, waiting

from demo.client import ApiError, Client
from demo.services import ROOT, Services
from tests.lacking import lacking

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

USERS = {
    "admin": "Admin",
    "ada": "Approver",
    "bob": "Operator",
    "sam": "Scientist",
    "cleo": "On-call",
    "rita": "Auditor",
    "watch": "Watch",
}
"""The users and their roles, in the order in which they are made."""

NAMES = {("Administrator" if role == "Admin" else role): name for name, role in USERS.items()}
"""Who has which of the roles of the page."""

# The workers have to know it before there is a user at all: the numbers count from one.
ADA = "2"


@dataclass(frozen=True)
class People:
    """A deployment whose users are FAB's, and each of them signed in, by name."""

    deployment: Deployment
    clients: dict[str, Client]
    password: str

    @property
    def ada(self) -> Client:
        """The approver."""
        return self.clients["ada"]

    @property
    def bob(self) -> Client:
        """The operator, who is no approver."""
        return self.clients["bob"]

    def token(self, name: str) -> str:
        """A session of somebody's."""
        asked = {"username": name, "password": self.password}
        answer = httpx.post(f"{self.deployment.services.urls['airflow']}/auth/token", json=asked, trust_env=False)
        return str(answer.raise_for_status().json()["access_token"])

    def http(self, token: str | None) -> httpx.Client:
        """Something to try things with."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.deployment.services.urls["airflow"]
        return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


def run_module(services: Services, *arguments: str) -> str:
    """What a command of the image says, as it does to an administrator."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, env=services.environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """The administrator; ada, who is an approver; bob, who operates and is none; and one of each other role."""
    if importlib.util.find_spec("airflow.providers.fab") is None:
        lacking("FAB's auth manager is not installed: install apache-airflow-providers-fab")
    folder = tmp_path_factory.mktemp("fab")
    password = secrets.token_urlsafe(16)
    given = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__API__EXPOSE_CONFIG": "True",  # so that the role decides who sees it
        "TIDEMARK_APPROVERS": f"ada={ADA}",
        "TIDEMARK_ROLES": "on",
    }
    # No watch runs: there is nobody to sign in as yet. A test looks once, later.
    with services_in(folder, new_database(request, "airflow_for_fab"), with_watch=False, **given) as services:
        assert "Viewer: given can_read Plugins" in run_module(services, "tidemark.airflow.roles")
        first = ["--username", "admin", "--firstname", "admin", "--lastname", "Shop", "--email", "admin@shop.test"]
        run_module(services, "airflow", "users", "create", *first, "--role", "Admin", f"--password={password}")
        clients = {name: Client(services.urls["airflow"], name, password) for name in USERS}
        people = People(Deployment(services, clients["admin"], folder / "dags", folder / "landing"), clients, password)
        with people.http(people.token("admin")) as admin:
            for name, role in USERS.items():
                if name != "admin":
                    body = {"username": name, "first_name": name, "last_name": "Shop", "email": f"{name}@shop.test"}
                    body |= {"roles": [{"name": role}], "password": password}
                    answer = admin.post("/auth/fab/v1/users", json=body)
                    assert answer.is_success, answer.text
        open_shop(people.deployment)
        (people.deployment.dags / "incidents.py").write_text((ROOT / "dags" / "incidents.py").read_text())
        wait_for(lambda: "resolve_incident" in people.deployment.client.dags(), "the forms")
        yield people


def test_an_approver_is_asked_by_number_and_known_by_name(people: People) -> None:
    """Nobody else may answer, not even the administrator; the ledger has the name with which she signs in."""
    shop, ada, bob = people.deployment, people.ada, people.bob
    run = waiting(shop)
    asked = shop.client.question("guests", run, APPROVE)
    assert asked is not None
    assert asked["assigned_users"] == [{"id": ADA, "name": "ada"}]
    for somebody, why in ((bob, "Forbidden"), (shop.client, "not a respondent")):
        with pytest.raises(ApiError, match=f"403.*{why}"):
            somebody.answer("guests", run, APPROVE, "Approve", why="mine", **{"from": None})
    done = answered(shop, ada, run, "Approve", "good enough", None)
    assert (done.state, done.states["guests_model.promote"]) == ("success", "success")
    answer = shop.client.question("guests", run, APPROVE)
    assert answer is not None
    assert answer["responded_by_user"] == {"id": ADA, "name": "ada"}
    (reign,) = shop.tidemark("model", "show", "guests_model")
    assert (reign["by"], reign["why"]) == ("ada", "good enough")


def test_who_starts_the_form_is_known_by_the_same_name(people: People) -> None:
    """Bob's rollback is refused by his name; ada's takes back what she has approved."""
    shop = people.deployment
    asked = {"model": "guests_model", "why": "too many people"}
    refused = people.bob.wait_run("rollback_model", people.bob.trigger("rollback_model", asked))
    assert (refused["state"], refused["triggering_user_name"]) == ("failed", "bob")
    said = shop.client.log("rollback_model", refused["dag_run_id"], "rollback")
    assert "bob may not decide about models: TIDEMARK_APPROVERS names ada" in said
    done = people.ada.wait_run("rollback_model", people.ada.trigger("rollback_model", asked))
    assert (done["state"], done["triggering_user_name"]) == ("success", "ada")
    assert shop.tidemark("model", "show", "guests_model") == []
    (version,) = shop.tidemark("model", "list", "guests_model")
    (decision,) = version["decisions"]
    assert (decision["by"], decision["void_by"], decision["void_why"]) == ("ada", "ada", "too many people")


@pytest.fixture(scope="module")
def ended(people: People) -> str:
    """A run of the pipeline that has ended; all DAGs are paused, so that what people start from now on waits."""
    client = people.deployment.client
    for dag in client.dags():
        client.pause(dag)
    return next(str(run["dag_run_id"]) for run in client.runs(PIPELINE) if run["state"] == "success")


@pytest.mark.parametrize("role", NAMES)
def test_a_role_may_do_what_the_page_says_and_nothing_else(people: People, ended: str, role: str) -> None:
    """Each cell of the table, asked of the real server as somebody who has no other role."""
    with people.http(people.token(NAMES[role])) as http:
        somebody = Somebody(http, ended)
        may = {action: attempt(somebody) for action, attempt in ACTIONS.items()}
    assert may == {action: cells[role] for action, cells in table().items()}


def test_nobody_may_do_anything_unless_he_has_signed_in(people: People, ended: str) -> None:
    """Neither without a session nor with one that is none."""
    for token in (None, "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."):
        with people.http(token) as http:
            assert [action for action, attempt in ACTIONS.items() if attempt(Somebody(http, ended))] == []


@pytest.mark.parametrize("role", ["Viewer", "User"])
def test_who_has_a_role_of_fabs_own_reads_the_reports_too(people: People, ended: str, role: str) -> None:
    """By itself FAB lets neither see what a plugin shows."""
    name = f"fabs-{role.lower()}"
    with people.http(people.token("admin")) as admin:
        body = {"username": name, "first_name": name, "last_name": "Shop", "email": f"{name}@shop.test"}
        answer = admin.post("/auth/fab/v1/users", json={**body, "roles": [{"name": role}], "password": people.password})
        assert answer.is_success, answer.text
    with people.http(people.token(name)) as http:
        somebody = Somebody(http, ended)
        assert ACTIONS["find the reports in the menu, and read them"](somebody)
        assert not ACTIONS["see connections"](somebody)


def test_the_roles_are_as_they_should_be_when_they_are_made_again(people: People) -> None:
    """What was given by hand is taken, and what was taken is given back; what DAGs say of themselves stays."""
    services = people.deployment.services
    only = [{"action": {"name": "can_read"}, "resource": {"name": "Connections"}}]
    with people.http(people.token("admin")) as admin:
        answer = admin.patch("/auth/fab/v1/roles/Auditor", json={"name": "Auditor", "actions": only})
        assert answer.is_success, answer.text
    said = run_module(services, "tidemark.airflow.roles").splitlines()
    changed = {line for line in said if " can_" in line or " menu_access " in line}
    assert {"Auditor: given can_read Audit Logs", "Auditor: taken can_read Connections"} <= changed
    assert {line.partition(":")[0] for line in changed} == {"Auditor"}
    assert said[-1].endswith(f": {len(changed)} changed")


def test_who_may_not_act_on_a_dag_does_not_by_a_request_for_many(people: People, ended: str) -> None:
    """Requests for many runs at once name no DAG in their address: what is asked of each is looked at."""
    form = "acknowledge_incident"
    run = people.deployment.client.trigger(form, {"incident": 999, "why": "to wait"})
    one = {"dag_id": form, "dag_run_id": run}
    asked = {
        "/dags/~/dagRuns/~/taskInstances": {**one, "task_id": "acknowledge", "new_state": "failed"},
        "/dags/~/dagRuns": {**one, "state": "failed"},
    }
    with people.http(people.token("sam")) as sam:
        for path, entity in asked.items():
            body = {"actions": [{"action": "update", "entities": [entity]}]}
            answer = sam.patch(f"/api/v2{path}", json=body)
            refused = answer.status_code == 403 or answer.json()["update"]["errors"][0]["status_code"] == 403
            assert refused, answer.text
        answer = sam.post("/api/v2/dags/~/clearDagRuns", json={"dag_runs": [one], "dry_run": False})
        assert answer.status_code in (403, 422), answer.text
    (task,) = people.deployment.client.tasks(form, run)
    assert (task["state"], people.deployment.client.run(form, run)["state"]) == (None, "queued")


def test_the_watch_sees_what_it_needs_as_a_user_of_its_own(people: People) -> None:
    """With the role of the watch alone it tells of a file that cannot be imported; who takes that on is on record."""
    shop, cleo = people.deployment, people.clients["cleo"]
    (shop.dags / "broken.py").write_text("import tidemark\nfrom tidemark import no_such_thing\n")
    wait_for(lambda: "broken.py" in shop.client.import_errors(), "the import error")
    environment = shop.services.environment
    environment |= {"TIDEMARK_WATCH_USER": "watch", "TIDEMARK_WATCH_PASSWORD": people.password}
    command = [
        sys.executable,
        "-c",
        "import sys; from tidemark.cli import main; sys.exit(main())",
        "watch",
        "--once",
        "--json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(done.stdout) == {"acts": True, "problems": []}, done.stderr
    (broken,) = (each for each in shop.tidemark("incident", "list") if each["cause"] == "dag_broken")
    shop.client.unpause("acknowledge_incident")
    asked = {"incident": broken["number"], "why": "looking for the author"}
    run = cleo.wait_run("acknowledge_incident", cleo.trigger("acknowledge_incident", asked), PATIENCE)
    log = shop.client.log("acknowledge_incident", run["dag_run_id"], "acknowledge")
    assert run["state"] == "success", log
    shown = shop.tidemark("incident", "show", str(broken["number"]))
    assert ("acknowledged", "cleo", "looking for the author") in [
        (each["what"], each["by"], each["said"]) for each in shown["events"]
    ]
