"""Claims about an upgrade on a real cluster, and about the end of an installation, as `docs/install.md` says.

The last of the tests on a cluster, in this order.
"""

import re

import pytest
from install_page import blocks
from installing import KEYS, Installation, pipeline
from kube import wait_for

from tests.ledger.older import previous_version
from tidemark.ledger.database import SCHEMA_VERSION

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

OURS = ["price_list", "base_prices", "order_lines"]


def test_a_new_image_upgrades_a_ledger_of_the_previous_schema_and_computes_nothing_anew(
    published: Installation,
) -> None:
    """Until it is upgraded, who asks the ledger is told what to do."""
    published.settle("price_list")
    before = published.live(), published.computed(OURS)
    assert published.heads("price_list")
    published.age_ledger()
    assert published.schema() == previous_version()
    assert (published.live(), published.computed(OURS)) == before
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
    assert (published.live(), published.computed(OURS)) == before


def test_after_the_end_databases_results_and_secrets_are_there_and_no_pod(published: Installation) -> None:
    """Neither one in which a batch was being computed, nor its task's, which no chart knows."""
    live, secrets = published.live(), published.secrets()
    own = f"image={published.other_image!r}"
    published.push(ending=pipeline("ending", "time.sleep(20)", own))
    published.begin("ending")
    wait_for(lambda: published.leases("ending"), "the batch", published.namespace.told)
    (block,) = blocks()["Uninstall"]
    (chosen,) = re.findall(r'--selector "(.*?)"', block)
    found = published.namespace.pods(chosen.replace("$RELEASE", "tidemark"))
    at_work = [each["spec"]["containers"][0]["image"] for each in found if each["status"]["phase"] == "Running"]
    assert len(at_work) == 2, "the pods of the task and of its batch"
    published.administrator.play(block, namespace=published.namespace)
    for kind in ("deployments", "statefulsets", "services", "jobs"):
        assert [each["metadata"]["name"] for each in published.namespace.objects(kind)] == []
    wait_for(lambda: not published.namespace.pods(), "the end of all pods", published.namespace.told)
    assert "tidemark-environment" in secrets
    assert published.secrets() == secrets
    assert live
    assert {each for each in published.live() if each[1] != "ending"} == live
    assert published.users()
    assert published.experiments()
    assert published.tidemark("store", "check")["lost"] == []


def test_an_installation_after_the_end_goes_on_where_the_one_before_it_ended(published: Installation) -> None:
    """Also with the batch that was being computed: the test before this one has left it."""
    live, before = published.live(), published.computed(OURS)
    assert published.namespace.objects("deployments") == []
    published.administrator.play(*blocks()["Install"], namespace=published.namespace)
    published.wait_until_reached()
    run = published.trigger("price_list")
    assert run.state == "success", run.told()
    assert {run.states[name] for name in OURS} == {"skipped"}, run.told()
    assert published.computed(OURS) == before
    published.settle("ending")
    if published.heads("ending") != KEYS:
        assert published.trigger("ending").state == "success"
    assert published.heads("ending") == KEYS
    assert live <= published.live()
