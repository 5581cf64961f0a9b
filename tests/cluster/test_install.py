"""Claims about an installation by the commands of `docs/install.md`, on a real cluster."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from install_page import blocks
from installing import Begun, Installation
from kube import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

BROKEN = '"""A file that cannot be imported."""\n\nfrom tidemark import asset, no_such_thing\n'


def newest_day() -> str:
    """The newest day that is over and on which the shop delivers orders, which it does not on Saturdays."""
    day = datetime.now(UTC).date() - timedelta(1)
    return str(day - timedelta(1) if day.weekday() == 5 else day)


def test_from_an_empty_cluster_to_a_published_price_list(published: Installation) -> None:
    """In pods of the KubernetesExecutor, which have what the asset asks for."""
    begun = Begun("price_list", published.client.runs("price_list")[-1]["dag_run_id"])
    seen: dict[str, dict[str, object]] = {}

    def over() -> bool:
        for pod in published.namespace.pods("component=worker,dag_id=price_list"):
            seen.setdefault(pod["metadata"]["labels"]["task_id"], pod["spec"]["containers"][0]["resources"])
        return published.client.run("price_list", begun.id)["state"] in ("success", "failed")

    wait_for(over, "the end of the run", published.namespace.told, patience=1500)
    run = published.ended(begun)
    assert run.state == "success", run.told()
    assert {"plan", "order_lines", "product_days", "base_prices", "price_list"} <= seen.keys()
    asked = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert seen["order_lines"] == asked
    assert seen["product_days"] != asked
    assert newest_day() in published.heads("price_list")
    said = published.administrator.play(f"export DAY={newest_day()}", *blocks()["The first price list"][2:])
    assert "stock_code" in said
    made = json.dumps(published.tidemark("explain", "price_list", newest_day()))
    assert published.repository.head() in made
    assert published.image in made


def test_mlflow_answers_whoever_asks_for_its_health_and_nothing_else_without_the_password(
    installation: Installation,
) -> None:
    with installation.service("mlflow", 5000) as mlflow:
        assert mlflow.get("/health").text == "OK"
        search = "/api/2.0/mlflow/experiments/search?max_results=10"
        assert mlflow.get(search).status_code == 401
        assert mlflow.get(search, auth=("admin", "a-guess")).status_code == 401
        found = mlflow.get(search, auth=installation.of_mlflow)
    assert found.status_code == 200, found.text
    assert "Default" in [each["name"] for each in found.json()["experiments"]]


def test_the_address_of_the_metrics_tells_that_the_ledger_answers(installation: Installation) -> None:
    with installation.service("metrics", 9102) as metrics:
        told = metrics.get("/metrics")
    assert told.status_code == 200
    assert re.search(r"^tidemark_up 1(\.0)?$", told.text, re.MULTILINE), told.text


def test_the_watch_tells_on_call_of_a_file_that_breaks_only_itself(published: Installation) -> None:
    """It runs as a Deployment, signs in as a user of its own, and sends a mail by the connection of its Secret."""
    published.repository.push(broken=BROKEN)
    wait_for(lambda: published.client.import_errors(), "the import error", published.namespace.told)

    def told() -> bool:
        return any("broken.py" in str(mail["Subject"]) + str(mail) for mail in published.mails.mails)

    wait_for(told, "the mail about the broken file", published.namespace.told)
    assert not published.client.dags()["price_list"]["is_stale"]
    published.repository.remove("broken")
    subject = next(str(mail["Subject"]) for mail in published.mails.mails if "broken.py" in str(mail))
    wait_for(lambda: not published.client.import_errors(), "the end of the import error", published.namespace.told)
    wait_for(lambda: len([m for m in published.mails.mails if "broken.py" in str(m)]) > 1, "the all-clear", str)
    assert subject
