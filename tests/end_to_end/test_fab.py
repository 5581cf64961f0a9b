"""The same approval under FAB's auth manager, where who signs in is a name and who is asked is a number."""

import importlib.util
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import PATIENCE, Deployment, new_database, services_in
from guests import APPROVE, answered, open_shop, waiting

from demo.client import ApiError, Client
from demo.services import Services
from tests.lacking import lacking

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

ROLES = {"admin": "Admin", "ada": "Op", "bob": "Op"}
"""The users by name, in the order in which they are made: both below the administrator may do the same in Airflow."""

# The workers have to know it before there is a user at all: the numbers count from one.
ADA = "2"


@dataclass(frozen=True)
class People:
    """A deployment whose users are FAB's, two of them signed in, and the numbers of all."""

    deployment: Deployment
    ada: Client
    bob: Client
    numbers: dict[str, str]


def airflow(services: Services, *arguments: str) -> str:
    """What Airflow's command line says, as it does to an administrator."""
    command = [sys.executable, "-m", "airflow", *arguments]
    done = subprocess.run(command, env=services.environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """The administrator, ada, who is an approver, and bob, who is none."""
    if importlib.util.find_spec("airflow.providers.fab") is None:
        lacking("FAB's auth manager is not installed: install apache-airflow-providers-fab")
    folder = tmp_path_factory.mktemp("fab")
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    given = {"AIRFLOW__CORE__AUTH_MANAGER": manager, "TIDEMARK_APPROVERS": f"ada={ADA}"}
    # The watch's user is none of FAB's.
    given |= {"TIDEMARK_WATCH_USER": "", "TIDEMARK_WATCH_PASSWORD": ""}
    with services_in(folder, new_database(request, "airflow_for_fab"), **given) as services:
        password = secrets.token_urlsafe(16)
        for name, role in ROLES.items():
            who = ["--username", name, "--firstname", name, "--lastname", "Shop", "--email", f"{name}@shop.test"]
            airflow(services, "users", "create", *who, "--role", role, "--password", password)
        listed = json.loads(airflow(services, "users", "list", "--output", "json").splitlines()[-1])  # below its log
        numbers = {each["username"]: each["id"] for each in listed}
        admin, ada, bob = (Client(services.urls["airflow"], name, password) for name in ROLES)
        with admin, ada, bob:
            deployment = Deployment(services, admin, folder / "dags", folder / "landing")
            open_shop(deployment)
            yield People(deployment, ada, bob, numbers)


def test_an_approver_is_asked_by_number_and_known_by_name(people: People) -> None:
    """Nobody else may answer, not even the administrator; the ledger has the name with which she signs in."""
    shop, ada, bob = people.deployment, people.ada, people.bob
    assert people.numbers["ada"] == ADA
    run = waiting(shop)
    asked = shop.client.question("guests", run, APPROVE)
    assert asked is not None
    assert asked["assigned_users"] == [{"id": ADA, "name": "ada"}]
    for somebody in (bob, shop.client):
        with pytest.raises(ApiError, match="403"):
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
