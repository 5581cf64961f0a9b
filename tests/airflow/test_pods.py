"""An asset with an image of its own: the pod that is made for it, and how what becomes of the pod ends the task.

Kubernetes itself is played; the ledger, the provider's operator and what the container calls are real.
"""

import json
from types import SimpleNamespace
from typing import Any

import kubernetes_validate
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from cluster import NAMESPACE, Cluster, ended, pod_of, running, status, unscheduled, waiting
from kubernetes.client import ApiClient, V1Pod
from kubernetes.client.exceptions import ApiException

from tests.cli.conftest import enter
from tests.scenario import Shop
from tidemark.airflow import pods
from tidemark.airflow.factory import build_dag
from tidemark.catalog import load_catalog
from tidemark.cli import main
from tidemark.running.run import prepare

IMAGE = "registry.example.org/team/shop:1.4"
DAYS = ["2025-01-05", "2025-01-06"]
LINES = f"""
    orders = source("orders", files="orders/{{partition}}.csv", partitions=DAYS)

    @asset(partitions=DAYS)
    def raw(orders: str) -> str:
        return orders

    @asset(partitions=DAYS, image="{IMAGE}", resources={{"cpu": "500m", "memory": "1Gi"}})
    def lines(raw: str) -> str:
        assert "bad" not in raw
        return raw.upper()
"""
OWN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "shop-lines-abc",
        "namespace": NAMESPACE,
        "uid": "1",
        "resourceVersion": "7",
        "labels": {
            "tier": "airflow",
            "component": "worker",
            "release": "tidemark",
            "team": "pricing",
            "airflow-worker": "1",
            "kubernetes_executor": "True",
            "dag_id": "shop",
            "task_id": "lines",
            "run_id": "r",
            "try_number": "1",
            "map_index": "0",
            "airflow_version": "3.3.2",
        },
        "annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "dag_id": "shop",
            "cni.projectcalico.org/podIP": "10.0.0.7/32",
            "kubernetes.io/limit-ranger": "LimitRanger plugin set: ...",
        },
    },
    "spec": {
        "nodeName": "node-1",
        "serviceAccountName": "tidemark-worker",
        "priority": 0,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 45,
        "securityContext": {"runAsUser": 50000, "fsGroup": 0, "runAsNonRoot": True},
        "imagePullSecrets": [{"name": "registry"}],
        "initContainers": [
            {
                "name": "wait",
                "image": "ours:1",
                "command": ["true"],
                "volumeMounts": [
                    {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
                ],
            }
        ],
        "containers": [
            {
                "name": "base",
                "image": "tidemark:1",
                "imagePullPolicy": "IfNotPresent",
                "args": ["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", "a token"],
                "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "2", "memory": "512Mi"}},
                "envFrom": [{"secretRef": {"name": "tidemark-store"}}],
                "env": [
                    {"name": "AIRFLOW_IS_K8S_EXECUTOR_POD", "value": "True"},
                    {"name": "TIDEMARK_IMAGE", "value": "tidemark:1"},
                    {
                        "name": "TIDEMARK_LEDGER_URL",
                        "valueFrom": {"secretKeyRef": {"name": "tidemark-ledger", "key": "connection"}},
                    },
                ],
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},
                    {
                        "name": "config",
                        "mountPath": "/opt/airflow/airflow.cfg",
                        "subPath": "airflow.cfg",
                        "readOnly": True,
                    },
                    {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                ],
            },
            {"name": "sidecar", "image": "sidecar:1"},
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "config", "configMap": {"name": "tidemark-config"}},
            {
                "name": "kube-api-access-x",
                "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]},
            },
        ],
        "tolerations": [{"key": "batch", "operator": "Exists"}],
    },
    "status": {"phase": "Running"},
}


class Xcoms:
    """Stands in for a task instance."""

    dag_id, task_id, map_index, try_number = "shop", "lines", 0, 1
    bundle_instance = SimpleNamespace(name="shops", version="c0ffee")

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


class Task:
    """The asset's task in one run: the container that it starts is played by the command, in this process."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop = shop
        self.pipeline = load_catalog(shop.dags).pipeline("shop")
        self.dag = build_dag(self.pipeline)
        self.xcoms = Xcoms()
        self.cluster = Cluster(pod_of(OWN), self.works)
        self.plan = 0
        self.context: Any = {}
        monkeypatch.setattr(pods.PodBatchOperator, "client", self.cluster, raising=False)
        hook = SimpleNamespace(is_in_cluster=True, get_namespace=lambda: None, get_pod=self.cluster.read_namespaced_pod)
        monkeypatch.setattr(pods.PodBatchOperator, "hook", hook, raising=False)
        monkeypatch.setattr(pods.PodBatchOperator, "_incluster_namespace", NAMESPACE, raising=False)
        monkeypatch.setattr("socket.gethostname", lambda: "shop-lines-abc")

    def prepare(self) -> None:
        """Plan, and work off what comes before."""
        with self.shop.deployment() as deployment:
            made = prepare(deployment, self.pipeline, as_of=self.shop.as_of, run="r", actor="x")
        self.plan = made.plan_id
        assert main(["run-batch", str(self.plan), "0", "raw", "--pipeline", "shop"]) == 0

    def works(self, pod: V1Pod) -> list[Any]:
        """Do as the container would, and end with its exit code."""
        [container] = pod.spec.containers
        assert container.command == ["tidemark"]
        words = [each for each in container.args if not each.startswith(("--bundle", "--version"))]
        return [status("Pending"), running(), ended(main(words))]

    def execute(self, lane: int = 0) -> Any:
        mapped = self.dag.get_task("lines")
        operator = pods.PodBatchOperator(task_id="lines", asset="lines", lane=[self.plan, lane])
        operator.startup_check_interval_seconds = 0.01
        started_by = SimpleNamespace(triggering_user_name="ada", run_type="manual")
        self.context = {
            "ti": self.xcoms,
            "dag": self.dag,
            "run_id": "manual__1",
            "dag_run": started_by,
            "task": mapped,
            "params": self.dag.params.dump(),
            "outlet_events": OutletEventAccessors(),
        }
        return operator.execute(self.context)

    @property
    def told(self) -> set[str]:
        """The partitions of which Airflow would be told."""
        accessors = self.context["outlet_events"]._dict
        return {key for each in accessors.values() for key in each.partition_keys}


@pytest.fixture
def task(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Task:
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    enter(shop, monkeypatch)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "KubernetesExecutor")
    made = Task(shop, monkeypatch)
    made.prepare()
    return made


def test_a_batch_runs_in_the_container_and_ends_as_any_other(task: Task) -> None:
    """Published by the container, told by the task, named after its partitions; and the pod is gone."""
    assert task.execute() == {"computed": 2}
    assert set(task.shop.live("lines")) == set(DAYS)
    assert task.told == set(DAYS)
    assert task.context["partitions"] == f"{DAYS[0]} … {DAYS[1]} (2)"
    assert task.xcoms.pushed["return_value"] == {"computed": 2}
    assert task.cluster.deleted == [task.cluster.made[0].metadata.name]
    [made] = task.shop.made("lines", DAYS[0])
    assert (made.run, made.actor) == ("airflow shop manual__1", "ada")


def test_the_container_is_told_all_that_the_task_knows(task: Task) -> None:
    task.execute()
    [container] = task.cluster.made[0].spec.containers
    known = {each.name: each.code.digest.hex() for each in task.pipeline.assets}
    assert container.args == [
        *("run-batch", str(task.plan), "0", "lines"),
        *("--pipeline=shop", "--run=airflow shop manual__1", "--actor=ada", "--bundle=shops", "--version=c0ffee"),
        *(f"--code={name}={digest}" for name, digest in known.items()),
    ]


def test_the_pod_is_like_the_workers_own_with_the_image_and_resources_of_the_asset(task: Task) -> None:
    """Environment, references to secrets, volumes, accounts and security come along; no token for Kubernetes does."""
    task.execute()
    pod = ApiClient().sanitize_for_serialization(task.cluster.made[0])
    spec = pod["spec"]
    [container] = spec["containers"]
    assert container["image"] == IMAGE
    assert container["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert container["env"] == [
        {
            "name": "TIDEMARK_LEDGER_URL",
            "valueFrom": {"secretKeyRef": {"name": "tidemark-ledger", "key": "connection"}},
        },
        {"name": "TIDEMARK_IMAGE", "value": IMAGE},
    ]
    assert container["envFrom"] == [{"secretRef": {"name": "tidemark-store"}}]
    assert container["securityContext"] == {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
    assert [each["name"] for each in container["volumeMounts"]] == ["tmp", "config"]
    assert [each["name"] for each in spec["volumes"]] == ["tmp", "config"]
    assert spec["securityContext"] == {"runAsUser": 50000, "fsGroup": 0, "runAsNonRoot": True}
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("tidemark-worker", False)
    assert (spec["imagePullSecrets"], spec["restartPolicy"]) == ([{"name": "registry"}], "Never")
    assert spec["terminationGracePeriodSeconds"] == 45
    assert {"nodeName", "priority"}.isdisjoint(spec)
    assert [each["name"] for each in spec["initContainers"]] == ["wait"]
    assert not spec["initContainers"][0].get("volumeMounts")
    assert "a token" not in json.dumps(pod)


def test_the_pod_is_named_after_the_asset_and_is_nobodys_worker(task: Task) -> None:
    """Labels of the chart stay, so that its network policies hold; the executor does not take it for one of its own."""
    task.execute()
    metadata = task.cluster.made[0].metadata
    assert metadata.name.startswith("lines-")
    assert metadata.namespace == NAMESPACE
    wanted = {
        **{"tier": "airflow", "component": "worker", "release": "tidemark", "team": "pricing"},
        **{"tidemark": "batch", "tidemark-pipeline": "shop", "tidemark-asset": "lines"},
    }
    assert wanted.items() <= metadata.labels.items()
    assert {"airflow-worker", "kubernetes_executor"}.isdisjoint(metadata.labels)
    assert metadata.annotations == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_the_pod_is_one_that_kubernetes_takes(task: Task, version: str) -> None:
    task.execute()
    kubernetes_validate.validate(ApiClient().sanitize_for_serialization(task.cluster.made[0]), version, strict=True)


def test_what_nobody_asks_for_is_as_the_template_has_it(task: Task) -> None:
    task.shop.edit(', resources={"cpu": "500m", "memory": "1Gi"}', "")
    task.pipeline = load_catalog(task.shop.dags).pipeline("shop")
    task.dag = build_dag(task.pipeline)
    task.execute()
    [container] = task.cluster.made[0].spec.containers
    assert container.resources.limits == {"cpu": "2", "memory": "512Mi"}


def test_a_partition_that_fails_ends_the_task_as_in_a_worker(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    """Red, without another try, and the rest is published."""
    task.shop.deliver("orders", DAYS[1], "bad\n")
    task.prepare()
    with pytest.raises(AirflowFailException, match="lines: 1 computed, 1 failed; everything else was published"):
        task.execute()
    assert set(task.shop.live("lines")) == {DAYS[0]}
    assert task.context["partitions"] == f"{DAYS[0]} … {DAYS[1]} (2)"
    assert task.cluster.deleted


def test_a_container_that_ends_badly_after_its_work_is_not_well(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published stays and is told; that something is wrong with the image is seen all the same."""
    works = task.works
    monkeypatch.setattr(task.cluster, "becomes", lambda pod: [*works(pod)[:-1], ended(2)])
    with pytest.raises(AirflowFailException, match="lines: its container ended with exit code 2 before it was done"):
        task.execute()
    assert set(task.shop.live("lines")) == task.told == set(DAYS)


def test_a_lane_without_work_starts_no_pod(task: Task) -> None:
    with pytest.raises(AirflowSkipException, match="nothing in this lane"):
        task.execute(lane=5)
    assert not task.cluster.made


def test_what_an_earlier_try_has_finished_starts_no_pod(task: Task) -> None:
    """The worker died after its pod had done everything: the ledger says what came out."""
    assert main(["run-batch", str(task.plan), "0", "lines", "--pipeline", "shop"]) == 0
    assert task.execute() == {"computed": 2}
    assert not task.cluster.made
    assert task.told == set(DAYS)


AGAIN, FAILS = AirflowException, AirflowFailException
DELETED = ended(75)


@pytest.mark.parametrize(
    ("statuses", "kind", "says"),
    [
        (
            [running(), None],
            AGAIN,
            "lines: its pod is gone: somebody deleted it, or its node was drained or lost: tried",
        ),
        ([None], AGAIN, "lines: its pod is gone"),
        ([running(), DELETED], AGAIN, "lines: its pod is gone"),
        (
            [running(), status("Failed", reason="Evicted", message="The node was low on resource: memory.")],
            AGAIN,
            r"its pod was taken from its node \(Evicted: The node was low on resource: memory.\): tried again",
        ),
        (
            [running(), ended(137, reason="OOMKilled")],
            FAILS,
            "more memory .* ask for more than memory='1Gi' in its resources=",
        ),
        (
            [ended(137, reason="OOMKilled")],
            FAILS,
            "lines: its container wanted more memory than it may have and was killed",
        ),
        ([running(), ended(137)], AGAIN, r"was killed \(exit code 137\) and nothing says by whom"),
        ([running(), ended(75)], AGAIN, r"could not reach the ledger or the store \(exit code 75\)"),
        ([running(), ended(143)], AGAIN, "its container was ended from outside"),
        (
            [running(), ended(2)],
            FAILS,
            "lines: its container ended with exit code 2 before it was done; its last lines",
        ),
        ([running(), ended(1)], FAILS, "lines: its container ended with exit code 1 before it was done"),
        ([running(), ended(0)], FAILS, "lines: its container ended with exit code 0 before it was done"),
        ([ended(128, reason="StartError")], FAILS, f"the image {IMAGE} has to have the command 'tidemark'"),
        (
            [waiting("ImagePullBackOff", "Back-off pulling image")],
            FAILS,
            rf"lines: its image {IMAGE} could not be pulled within 1 s \(TIDEMARK_POD_SECONDS\) "
            r"\(ImagePullBackOff: Back-off pulling image\): push it, correct image=",
        ),
        ([waiting("ErrImagePull")], FAILS, f"its image {IMAGE} could not be pulled"),
        (
            [waiting("CreateContainerConfigError", 'secret "x" not found')],
            FAILS,
            'could not be made .*secret "x" not found',
        ),
        (
            [unscheduled("0/1 nodes are available: 1 Insufficient memory.")],
            AGAIN,
            r"its pod did not start within 1 s .*\(0/1 nodes are available: 1 Insufficient memory.\): tried again",
        ),
        ([status("Pending")], AGAIN, "its pod did not start within 1 s .*nothing says why"),
    ],
)
def test_what_becomes_of_a_pod_ends_in_a_clear_message(
    task: Task, monkeypatch: pytest.MonkeyPatch, statuses: list[Any], kind: type[Exception], says: str
) -> None:
    """Airflow tries again what a moment can mend, and nothing else; no pod stays behind."""
    monkeypatch.setenv("TIDEMARK_POD_SECONDS", "1")
    task.cluster.becomes = lambda pod: list(statuses)
    task.cluster.going = [DELETED]
    with pytest.raises(AirflowException, match=says) as caught:
        task.execute()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert task.cluster.deleted or statuses[-1] is None


def test_a_pod_that_is_deleted_once_it_has_done_its_work_is_well(task: Task) -> None:
    """A node that is drained just then costs no other try."""

    def works(pod: V1Pod) -> list[Any]:
        statuses = task.works(pod)
        task.cluster.going = statuses[-1:]
        return statuses

    task.cluster.becomes = works
    assert task.execute() == {"computed": 2}


def test_an_image_that_will_never_be_there_is_not_waited_for(task: Task) -> None:
    task.cluster.becomes = lambda pod: [waiting("InvalidImageName", "couldn't parse image")]
    with pytest.raises(AirflowFailException, match="could not be pulled"):
        task.execute()


def test_an_image_that_comes_late_is_waited_for(task: Task) -> None:
    """A registry that is down for a moment costs no run."""
    works = task.cluster.becomes
    task.cluster.becomes = lambda pod: [waiting("ErrImagePull"), waiting("ImagePullBackOff"), *works(pod)]
    assert task.execute() == {"computed": 2}


@pytest.mark.parametrize(
    ("problem", "kind", "says"),
    [
        (
            ApiException(status=403, reason="Forbidden"),
            FAILS,
            r"Kubernetes refused its pod \(403 Forbidden\): give the workers' service account the right to make pods",
        ),
        (
            ApiException(status=422, reason="Unprocessable"),
            FAILS,
            "or correct resources= or the quota of the namespace",
        ),
        (ApiException(status=410, reason="Gone"), AGAIN, r"Kubernetes cannot be asked \(410 Gone\): tried again"),
        (ConnectionError("no route"), AGAIN, "lines: ConnectionError: no route: tried again"),
    ],
)
def test_a_pod_that_cannot_be_made_says_why(task: Task, problem: Exception, kind: type[Exception], says: str) -> None:
    task.cluster.refuses = problem
    with pytest.raises(AirflowException, match=says) as caught:
        task.execute()
    assert type(caught.value) is kind


def test_a_task_that_is_ended_deletes_its_pod(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the container has finished stays published; the pod ends as one that is deleted."""
    operators: list[Any] = []
    begin = pods.PodBatchOperator.await_pod_start
    monkeypatch.setattr(
        pods.PodBatchOperator, "await_pod_start", lambda self, pod: (operators.append(self), begin(self, pod))[1]
    )

    def killed(pod: V1Pod) -> list[Any]:
        return [running(), ended(75)]

    task.cluster.becomes = killed
    read = task.cluster.read_namespaced_pod_log
    monkeypatch.setattr(
        task.cluster, "read_namespaced_pod_log", lambda **options: (operators[0].on_kill(), read(**options))[1]
    )
    with pytest.raises(AirflowException, match="lines: the task was ended from outside, and its pod with it"):
        task.execute()
    assert task.cluster.deleted == [task.cluster.made[0].metadata.name]


def test_a_task_outside_of_a_pod_says_what_is_missing(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods.PodBatchOperator, "_incluster_namespace", None)
    with pytest.raises(AirflowFailException, match="its image needs a pod, and this task runs in none"):
        task.execute()


@pytest.mark.parametrize("seconds", ["x", "0", "-1", "nan", "1e9"])
def test_the_patience_with_pods_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("TIDEMARK_POD_SECONDS", seconds)
    with pytest.raises(AirflowFailException, match="write a number of seconds from 1 to 86400"):
        pods.start_seconds()


def test_a_worker_that_has_no_pods_says_that_the_image_is_not_used(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line; the asset runs like any other."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    enter(shop, monkeypatch)
    task = Task(shop, monkeypatch)
    task.prepare()
    from tidemark.airflow.operators import BatchOperator

    operator = BatchOperator(task_id="lines", asset="lines", lane=[task.plan, 0])
    started_by = SimpleNamespace(triggering_user_name="ada", run_type="manual")
    context: Any = {
        "ti": task.xcoms,
        "dag": task.dag,
        "run_id": "manual__1",
        "dag_run": started_by,
        "task": task.dag.get_task("lines"),
        "params": task.dag.params.dump(),
        "outlet_events": OutletEventAccessors(),
    }
    said: list[str] = []
    monkeypatch.setattr(operator.log, "info", lambda text, *words: said.append(text % words))
    assert operator.execute(context) == {"computed": 2}
    assert said[0] == f"The image {IMAGE} is not used here: Airflow runs no task in a pod of its own"
    [made] = shop.made("lines", DAYS[0])
    assert (made.image, made.bundle) == (None, "shops@c0ffee")
