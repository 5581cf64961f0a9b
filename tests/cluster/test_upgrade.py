"""Claims about an upgrade on a real cluster, and about the end of an installation, as `docs/install.md` says.

The last of the tests on a cluster.
"""

import pytest
from install_page import blocks
from installing import Begun, Installation
from kube import PATIENCE, wait_for

from tests.ledger.older import previous_version
from tidemark.ledger.database import SCHEMA_VERSION

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

OURS = ("price_list", "base_prices", "order_lines")
SECRETS = {"tidemark-environment", "tidemark-metadata", "tidemark-fernet-key", "tidemark-mlflow", "tidemark-backup"}


def test_a_new_image_upgrades_a_ledger_of_the_previous_schema_and_computes_nothing_anew(
    published: Installation,
) -> None:
    """While pods run, as it is in production; until it is upgraded, who asks the ledger is told what to do."""
    published.ended(Begun("price_list", published.client.runs("price_list")[-1]["dag_run_id"]), 5 * PATIENCE)
    before = {name: published.heads(name) for name in OURS}, published.computed([*OURS])
    assert all(before[0].values())
    published.age_ledger()
    assert published.schema() == previous_version()
    assert ({name: published.heads(name) for name in OURS}, published.computed([*OURS])) == before
    play = published.administrator.play
    said = play('kubectl exec "deploy/$RELEASE-metrics" -- tidemark status 2>&1 || true')
    assert f"has schema {previous_version()}, older" in said
    assert "tidemark db upgrade" in said
    image, _, tag = published.other_image.rpartition(":")
    play(f"export IMAGE={image} TAG={tag}", *blocks()["Values"])
    play("kubectl delete job $RELEASE-run-airflow-migrations --ignore-not-found")
    _, helm, command = blocks()["Upgrade"][0].partition("helm upgrade")
    play(f"{helm}{command}", namespace=published.namespace)
    assert published.schema() == SCHEMA_VERSION
    pods = [each for each in published.namespace.pods() if "deletionTimestamp" not in each["metadata"]]
    images = {each["spec"]["containers"][0]["image"] for each in pods if each["status"]["phase"] == "Running"}
    assert images == {published.other_image}
    published.wait_until_reached()
    run = published.trigger("price_list")
    assert run.state == "success", run.told()
    assert {run.states[name] for name in OURS} == {"skipped"}, run.told()
    assert ({name: published.heads(name) for name in OURS}, published.computed([*OURS])) == before


def test_after_the_end_databases_results_and_secrets_are_still_there(published: Installation) -> None:
    heads = published.heads("price_list")
    published.administrator.play(*blocks()["Uninstall"], namespace=published.namespace)
    for kind in ("deployments", "statefulsets", "services", "jobs"):
        assert [each["metadata"]["name"] for each in published.namespace.objects(kind)] == []
    wait_for(lambda: not published.namespace.pods(), "the end of all pods", published.namespace.told)
    assert {each["metadata"]["name"] for each in published.namespace.objects("secrets")} >= SECRETS
    assert heads
    assert published.heads("price_list") == heads
    assert published.users()
    assert published.experiments()
    assert published.tidemark("store", "check")["lost"] == []


def test_an_installation_after_the_end_goes_on_where_the_one_before_it_ended(published: Installation) -> None:
    heads = published.heads("price_list")
    published.administrator.play(*blocks()["Install"], namespace=published.namespace)
    published.wait_until_reached()
    run = published.trigger("price_list")
    assert run.state == "success", run.told()
    assert {run.states[name] for name in OURS} == {"skipped"}, run.told()
    assert published.heads("price_list") == heads
