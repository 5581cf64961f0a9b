"""Claims about backups on a real cluster: made and restored by the Jobs of the chart, as `docs/install.md` says.

After it, Airflow knows nothing of what came after the backup.
"""

import psycopg2
import pytest
from install_page import blocks
from installing import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

EXPERIMENT = {"name": "before the backup"}


def test_what_was_backed_up_is_there_again_after_every_database_was_lost(published: Installation) -> None:
    """By the Jobs of the chart; a run that comes after finds nothing to do.

    Of Airflow's database a user and the runs are looked for, of MLflow's an experiment: no start makes these anew.
    """
    published.settle("price_list")
    play = published.administrator.play
    who = "--username ann --firstname Ann --lastname Bell --email ann@shop.test --role Viewer --use-random-password"
    play(f'kubectl exec "deploy/$RELEASE-scheduler" --container scheduler -- airflow users create {who}')
    with published.service("mlflow", 5000) as mlflow:
        made = mlflow.post("/api/2.0/mlflow/experiments/create", json=EXPERIMENT, auth=published.of_mlflow)
        assert made.status_code == 200, made.text
    before = published.heads("price_list"), published.computed(["price_list", "base_prices", "order_lines"])
    assert before[0]
    runs = {each["dag_run_id"] for each in published.client.runs("price_list")}
    upgrade = 'helm upgrade "$RELEASE" helm/tidemark --namespace "$NAMESPACE" --values helm/tidemark/values-small.yaml'
    play(f"{upgrade} --values mine.yaml --set backup.once=before --wait --timeout 15m", namespace=published.namespace)
    play(
        "kubectl wait --for=condition=complete --timeout=10m job/$RELEASE-backup-before", namespace=published.namespace
    )
    published.lose_everything()
    for look in (lambda: published.heads("price_list"), published.users, published.experiments):
        with pytest.raises(psycopg2.errors.UndefinedTable):
            look()
    for block in blocks()["Restore"]:
        play(block, namespace=published.namespace)
    assert (published.heads("price_list"), published.computed(["price_list", "base_prices", "order_lines"])) == before
    assert "ann" in published.users()
    published.wait_until_reached()
    assert runs <= {each["dag_run_id"] for each in published.client.runs("price_list")}
    with published.service("mlflow", 5000) as mlflow:
        found = mlflow.get("/api/2.0/mlflow/experiments/get", params=made.json(), auth=published.of_mlflow)
    assert found.status_code == 200, found.text
    assert found.json()["experiment"]["name"] == EXPERIMENT["name"]
    run = published.trigger("price_list")
    assert run.state == "success", run.told()
    assert run.states["order_lines"] == "skipped"
    assert published.heads("price_list") == before[0]
