"""Claims about the pages of reports in Airflow's UI: who sees them, what he sees, and what a page cannot do."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import ROOT, Shop

FIGURES = """
    from tidemark.figures import BARS, Chart, Column, Figures, Number, Section, Series

    orders = source("orders", files="orders/{partition}.csv", partitions=Daily())

    @asset(partitions=Daily())
    def takings(orders: str) -> str:
        chart = Chart("By <b>", BARS, Column("what"), ("<script>",), "GBP", (Series("taken", (2.0,)),))
        return Figures("Shop", (Number("Taken", 2.0, "GBP"),), (Section("All", charts=(chart,)),)).to_text()
"""


@pytest.fixture
def reporting(shop: Shop) -> Shop:
    """A shop with a report of two days."""
    shop.define(FIGURES)
    shop.edit("[orders, takings])", "[orders, takings], reports=['takings'])")
    for day in ("2025-01-05", "2025-01-06"):
        shop.deliver("orders", day, "k,v\na,1\n")
    shop.run()
    return shop


@pytest.fixture
def site(reporting: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Airflow's API server as far as it is about a plugin's app: mounted, with Airflow's own auth manager."""
    manager = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", manager)
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ann:viewer,bob:admin")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords.json"))
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "0123456789abcdef" * 4)
    monkeypatch.setenv("TIDEMARK_HOME", str(reporting.home))
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", reporting.ledger_url)
    from airflow.api_fastapi.app import init_auth_manager
    from airflow.models import DagModel
    from airflow.models.revoked_token import RevokedToken
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from tidemark.airflow.navigation import APPS

    # What Airflow asks its database, which is not there.
    monkeypatch.setattr(RevokedToken, "is_revoked", lambda jti: False)
    monkeypatch.setattr(DagModel, "get_team_name", lambda dag_id: None)
    airflow = FastAPI()
    init_auth_manager(airflow)
    (pages,) = APPS
    airflow.mount(pages["url_prefix"], pages["app"])
    with TestClient(airflow, follow_redirects=False) as client:
        yield client


def signed_in(site: Any, name: str = "ann", role: str | None = "VIEWER") -> Any:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    site.cookies.set("_token", get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role)))
    return site


PAGES = ["/tidemark/reports", "/tidemark/reports/takings", "/tidemark/reports/takings/2025-01-05"]


def test_every_page_is_among_those_that_are_tried() -> None:
    """Without a page of Airflow's own documentation of the app, which nobody would guard."""
    from tidemark.airflow.pages import app

    routes = {route.path for route in app().routes}  # type: ignore[attr-defined]
    assert routes == {"/reports", "/reports/{asset}", "/reports/{asset}/{partition}"}


@pytest.mark.parametrize("page", [*PAGES, "/tidemark/reports/no_such", "/tidemark/reports/takings/no-day"])
def test_who_is_not_signed_in_sees_nothing(site: Any, page: str) -> None:
    """Not even whether there is such a page."""
    answer = site.get(page)
    assert answer.status_code == 401
    assert "takings" not in answer.text
    assert "Sign in first" in answer.text


def test_no_route_of_any_app_answers_who_is_not_signed_in(site: Any) -> None:
    """Airflow checks nothing of a plugin's routes: a new one that forgets to is found here."""
    from tidemark.airflow.navigation import APPS
    from tidemark.airflow.pages import app

    assert [each["url_prefix"] for each in APPS] == ["/tidemark"]
    tried = [
        (method, re.sub(r"\{\w+\}", "takings", route.path))
        for route in app().routes
        for method in route.methods  # type: ignore[attr-defined]
    ]
    assert len(tried) >= 3
    assert {site.request(method, f"/tidemark{path}").status_code for method, path in tried} == {401}


@pytest.mark.parametrize("page", PAGES)
def test_a_forged_session_is_refused(site: Any, page: str) -> None:
    site.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IiLCJyb2xlIjoiQURNSU4ifQ.")
    assert site.get(page).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_who_has_no_role_sees_nothing(site: Any, page: str) -> None:
    assert signed_in(site, role=None).get(page).status_code == 403


def test_who_may_not_see_the_dag_does_not_see_its_report(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    asked = []

    def refuses(**options: Any) -> bool:
        asked.append((options["method"], options["details"].id))
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", refuses)
    signed_in(site)
    assert [site.get(page).status_code for page in PAGES] == [200, 403, 403]
    assert "takings" not in site.get(PAGES[0]).text
    assert set(asked) == {("GET", "shop")}


def test_what_is_wrong_elsewhere_is_shown_to_who_may_see_it(
    reporting: Shop, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of pipelines behind a report whose DAGs somebody may not see, only that something is wrong."""
    from airflow.api_fastapi.app import get_auth_manager

    from tests.incidents.story import told

    reporting.define(
        """
        @asset(partitions=Daily(), inputs={"takings": ref("takings", same())})
        def shares(takings: str) -> str:
            return takings
        """,
        name="second",
    )
    reporting.edit("[shares])", "[shares], reports=['shares'])", file="second.py")
    reporting.run("second")
    reporting.breaks("takings", "2025-01-05")
    reporting.deliver("orders", "2025-01-05", "k,v\na,2\n")
    told(reporting)
    page = "/tidemark/reports/shares/2025-01-06"
    assert "takings 2025-01-05: failed" in signed_in(site).get(page).text
    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", lambda **options: options["details"].id == "second")
    shown = signed_in(site).get(page)
    assert shown.status_code == 200
    assert "takings 2025-01-05" not in shown.text
    assert "1 incident of pipelines that you may not see." in shown.text


def test_who_may_finds_the_newest_report_first(site: Any) -> None:
    signed_in(site)
    for page in PAGES[:2]:
        text = site.get(page).text
        assert text.index("/tidemark/reports/takings/2025-01-06") < text.index("/tidemark/reports/takings/2025-01-05")


def test_who_may_reads_a_report_with_its_pictures_and_goes_on_to_the_next(site: Any) -> None:
    answer = signed_in(site).get(PAGES[2])
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "GBP 2.00" in answer.text
    assert answer.text.count('src="data:image/png;base64,') == 1
    assert "cid:" not in answer.text
    assert "/tidemark/reports/takings/2025-01-06" in answer.text


@pytest.mark.parametrize("page", [*PAGES, "/tidemark/reports/no_such"])
def test_a_page_can_run_and_fetch_nothing(site: Any, page: str) -> None:
    headers = signed_in(site).get(page).headers
    rules = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules.keys().isdisjoint({"script-src", "connect-src"})
    assert rules["frame-ancestors"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("/tidemark/reports/taking", "There is no such report"),
        ("/tidemark/reports/orders/2025-01-05", "There is no such report"),
        ("/tidemark/reports/takings/2025-02-30", "2025-02-30"),
        ("/tidemark/reports/takings/1999-01-01", "there is no takings of 1999-01-01"),
        ("/tidemark/reports/takings/<script>alert(1)", "&lt;script&gt;alert(1)"),
        ("/tidemark/nothing", "Not Found"),
    ],
)
def test_what_is_not_there_is_said_on_a_page(site: Any, page: str, said: str) -> None:
    answer = signed_in(site).get(page)
    assert answer.status_code == 404
    assert said in answer.text
    assert "<script" not in answer.text


def test_nothing_can_be_changed_here(site: Any) -> None:
    signed_in(site)
    assert {site.request(verb, page).status_code for verb in ("POST", "PUT", "DELETE") for page in PAGES} == {405}


def test_a_ledger_that_cannot_be_reached_is_said_without_its_address(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://tide:secret@127.0.0.1:1/ledger")
    answer = signed_in(site).get(PAGES[0])
    assert answer.status_code == 503
    assert "secret" not in answer.text
    assert "127.0.0.1" not in answer.text


def test_the_ui_gets_an_entry_and_a_process_that_serves_no_page_pays_nothing_for_it(tmp_path: Path) -> None:
    script = (
        "import sys; before = set(sys.modules); import tidemark_plugin as t\n"
        "(view,), (app,) = t.TidemarkPlugin.external_views, t.TidemarkPlugin.fastapi_apps\n"
        "assert (view['name'], view['destination']) == ('Reports', 'nav')\n"
        "assert '/' + view['href'] == app['url_prefix'] + '/reports'\n"
        "print(sorted({'sqlalchemy', 'tidemark.ledger', 'matplotlib', 'polars', 'tidemark.airflow.pages'}"
        " & (sys.modules.keys() - before - {'sqlalchemy'})))"
    )
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'plugins'}", "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
