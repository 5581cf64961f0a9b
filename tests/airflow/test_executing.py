"""What an asset asks for, as its tasks have it: with the KubernetesExecutor, beside others, and without it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from products import DAYS, orders
from test_factory import serialized

from tidemark import Resources, Search, Weekly, asset, model, parts
from tidemark.airflow.factory import build_dag
from tidemark.assets import Pipeline
from tidemark.pipelines import pipeline

ROOT = Path(__file__).parents[2]
BIG = Resources(cpu="500m", memory="1Gi")
IMAGE = "registry.example.org/team/shop:1.4"


def objective(orders: str, alpha: float) -> float:
    return alpha


def scored(model: object, orders: str) -> Any:
    return None


def asking(**of_model: Any) -> Pipeline:
    """Assets that ask for something, and one that does not."""

    @asset(partitions=DAYS)
    def plain(orders: str) -> str:
        return orders

    @asset(partitions=DAYS, resources=BIG)
    def big(orders: str) -> str:
        return orders

    @asset(partitions=DAYS, image=IMAGE, resources=BIG, pool="gpus")
    def own(orders: str) -> str:
        return orders

    @asset(partitions=DAYS, pool="slow")
    def pooled(orders: str) -> str:
        return orders

    @model(
        partitions=Weekly(tz="Europe/London"),
        inputs={"orders": parts()},
        resources=BIG,
        search=Search(objective, {"alpha": {"low": 0.1, "high": 1.0}}),
        **of_model,
    )
    def fitted(orders: str, alpha: float) -> str:
        return orders

    return pipeline("shop", [orders, plain, big, own, pooled, fitted], file=Path("/dags/shop.py"))


def options(task: Any) -> dict[str, Any]:
    """What a task, mapped or not, is given beside its own."""
    given = getattr(task, "partial_kwargs", None)
    if given is None:
        return {"pool": task.pool, "executor": task.executor, "executor_config": task.executor_config}
    return {name: given.get(name) for name in ("pool", "executor", "executor_config")}


def plain_pod(config: Any) -> Any:
    """A pod override as JSON, without what is not said."""
    from kubernetes.client import ApiClient

    return ApiClient().sanitize_for_serialization(config["pod_override"]) if config else None


WANTED = {
    "spec": {
        "containers": [
            {
                "name": "base",
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            }
        ]
    }
}


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.delenv("AIRFLOW_IS_K8S_EXECUTOR_POD", raising=False)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", request.param)
    return str(request.param)


KUBERNETES = [
    "KubernetesExecutor",
    "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor",
    "CeleryExecutor,KubernetesExecutor",
    "LocalExecutor, pods:airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor",
]


@pytest.mark.parametrize("executor", KUBERNETES, indirect=True)
def test_resources_are_those_of_the_tasks_pod(executor: str) -> None:
    """Of its own, and of the tasks that search for its hyper-parameters; who asks for nothing gets what all get."""
    dag = build_dag(asking())
    for name in ("big", "fitted", "fitted.search", "fitted.trial"):
        assert plain_pod(options(dag.get_task(name))["executor_config"]) == WANTED, name
    for name in ("plan", "plain", "pooled", "verdict"):
        assert not options(dag.get_task(name))["executor_config"], name


@pytest.mark.parametrize("executor", KUBERNETES, indirect=True)
def test_what_asks_for_a_pod_goes_to_the_executor_that_has_pods(executor: str) -> None:
    """Beside another executor, which would pass over what is asked for without a word."""
    dag = build_dag(asking())
    wanted = "KubernetesExecutor" if "," in executor else None
    assert {options(dag.get_task(name))["executor"] for name in ("big", "own", "fitted.trial")} == {wanted}
    assert {options(dag.get_task(name))["executor"] for name in ("plan", "plain", "pooled")} == {None}


@pytest.mark.parametrize("executor", KUBERNETES, indirect=True)
def test_an_asset_with_an_image_is_a_mapped_pod_over_the_same_lanes(executor: str) -> None:
    """With the same rule, edges and words as any asset; its resources are not those of who waits for it."""
    from tidemark.airflow.pods import PodBatchOperator

    dag = build_dag(asking())
    own, plain = dag.get_task("own"), dag.get_task("plain")
    assert own.operator_class is PodBatchOperator
    assert own.is_mapped
    assert own.expand_input.value.keys() == plain.expand_input.value.keys() == {"lane"}
    assert (own.trigger_rule, own.retries) == (plain.trigger_rule, plain.retries)
    assert (own.upstream_task_ids, own.downstream_task_ids) == (plain.upstream_task_ids, plain.downstream_task_ids)
    assert own.partial_kwargs["map_index_template"] == plain.partial_kwargs["map_index_template"]
    assert [each.name for each in own.outlets] == ["own"]
    assert not options(own)["executor_config"]
    assert f"runs in the image `{IMAGE}`" in own.partial_kwargs["doc_md"]


@pytest.mark.parametrize("executor", ["LocalExecutor", "CeleryExecutor", "", "KubernetesExecutorOfOurs"], indirect=True)
def test_without_kubernetes_only_the_pool_is_asked_for(executor: str) -> None:
    """An asset with an image is one like any other."""
    from tidemark.airflow.operators import BatchOperator

    dag = build_dag(asking())
    assert dag.get_task("own").operator_class is BatchOperator
    for name in dag.task_ids:
        given = options(dag.get_task(name))
        assert not given["executor_config"], name
        assert given["executor"] is None, name


@pytest.mark.parametrize("executor", ["LocalExecutor", "KubernetesExecutor"], indirect=True)
def test_a_pool_is_that_of_the_assets_tasks(executor: str) -> None:
    dag = build_dag(asking(pool="models"))
    pools = {name: options(dag.get_task(name))["pool"] for name in dag.task_ids}
    assert (pools["own"], pools["pooled"]) == ("gpus", "slow")
    assert {pools[name] for name in ("fitted", "fitted.search", "fitted.trial")} == {"models"}
    assert {pools[name] for name in ("plan", "plain", "verdict")} <= {None, "default_pool"}


@pytest.mark.parametrize("executor", ["KubernetesExecutor"], indirect=True)
def test_a_model_in_an_image_runs_its_trials_itself(executor: str) -> None:
    """A worker may lack the packages of the image; who trains runs the trials that nobody has run."""
    dag = build_dag(asking(image=IMAGE))
    assert "fitted" in dag.task_ids
    assert {"fitted.search", "fitted.trial"}.isdisjoint(dag.task_ids)


@pytest.mark.parametrize("executor", ["LocalExecutor", *KUBERNETES], indirect=True)
def test_the_dag_is_the_same_from_parse_to_parse(executor: str) -> None:
    """With all that is asked for in it, as the DAG processor hands it on."""
    first, second = (serialized(build_dag(asking())) for _ in range(2))
    assert first == second
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    asked = json.dumps(first)
    assert ('"1Gi"' in asked) == (executor != "LocalExecutor")


def test_a_workers_pod_sees_the_dag_that_the_dag_processor_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its pod template names it a LocalExecutor's."""
    from tidemark.airflow.pods import PodBatchOperator

    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("AIRFLOW_IS_K8S_EXECUTOR_POD", "True")
    assert build_dag(asking()).get_task("own").operator_class is PodBatchOperator


@pytest.mark.parametrize(
    ("executor", "definition", "loaded"),
    [
        ("LocalExecutor", "resources={'cpu': '1', 'memory': '1Gi'}, image='shop:1'", []),
        ("KubernetesExecutor", "", []),
        ("KubernetesExecutor", "pool='slow'", []),
        ("KubernetesExecutor", "resources={'cpu': '1', 'memory': '1Gi'}", ["kubernetes"]),
        ("KubernetesExecutor", "image='shop:1'", ["kubernetes"]),
    ],
)
def test_the_client_of_kubernetes_is_loaded_for_those_who_ask_only(
    executor: str, definition: str, loaded: list[str]
) -> None:
    """It costs each process that imports it 0.4 s and 45 MB, and with the operator of pods twice that."""
    script = (
        "import sys; from tidemark import asset; from tidemark.pipelines import pipeline\n"
        "from tidemark.airflow.factory import build_dag\n"
        f"@asset({definition})\ndef answer() -> str: return '42'\n"
        "build_dag(pipeline('shop', [answer]))\n"
        "print([each for each in ['kubernetes'] if each in sys.modules])"
    )
    path = f"{ROOT / 'plugins'}"
    environ = {"PYTHONPATH": path, "AIRFLOW_HOME": "/nonexistent", "AIRFLOW__CORE__EXECUTOR": executor}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == [str(loaded)], done.stderr[-800:]
