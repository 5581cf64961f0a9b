"""Who may do what under the SimpleAuthManager: the second table of docs/security.md, tried on a real API server."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from actions import ACTIONS, PIPELINE, Somebody, table
from conftest import Deployment, new_database, services_in, wait_for
from guests import open_shop

from demo.services import ROOT

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

FABS = {"see users and roles", "change users and roles"}
"""What only FAB has pages for."""


@dataclass(frozen=True)
class Simple:
    """A deployment with the demo's users, all of whose DAGs are paused: what people start waits."""

    url: str
    tokens: dict[str, str]
    run: str

    def may(self, role: str | None) -> dict[str, bool]:
        """What somebody with a role may do, or somebody who has not signed in."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False) as http:
            somebody = Somebody(http, self.run)
            return {action: attempt(somebody) for action, attempt in ACTIONS.items() if action not in FABS}


@pytest.fixture(scope="module")
def simple(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simple]:
    folder = tmp_path_factory.mktemp("simple")
    given = {"AIRFLOW__API__EXPOSE_CONFIG": "True"}  # so that the role decides who sees it
    database = new_database(request, "airflow_for_simple")
    with (
        services_in(folder, database, with_mlflow=False, with_watch=False, **given) as services,
        services.client() as client,
    ):
        shop = Deployment(services, client, folder / "dags", folder / "landing")
        open_shop(shop)
        (shop.dags / "incidents.py").write_text((ROOT / "dags" / "incidents.py").read_text())
        wait_for(lambda: "resolve_incident" in client.dags(), "the forms")
        run = next(str(each["dag_run_id"]) for each in client.runs(PIPELINE) if each["state"] == "success")
        for dag in client.dags():
            client.pause(dag)
        url, tokens = services.urls["airflow"], {}
        for user in services.users:
            asked = {"username": user.name, "password": user.password}
            answer = httpx.post(f"{url}/auth/token", json=asked, trust_env=False)
            tokens[user.role] = str(answer.raise_for_status().json()["access_token"])
        yield Simple(url, tokens, run)


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_a_role_of_the_simple_auth_manager_may_do_what_the_page_says(simple: Simple, role: str) -> None:
    assert simple.may(role) == {action: cells[role] for action, cells in table("simple roles").items()}


def test_nobody_may_do_anything_under_it_unless_he_has_signed_in(simple: Simple) -> None:
    assert [action for action, may in simple.may(None).items() if may] == []
