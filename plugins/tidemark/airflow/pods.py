"""An asset with an image of its own: its batch runs in a container of that image, in a pod beside the worker's.

Invariants: the pod is like the worker's own (environment, references to secrets, volumes, accounts, security), but for
image, command, resources and a token for Kubernetes, which it does not get; so the chart says in one place what tasks
may do. The ledger, not the container's word, says what came out. What a moment can mend is tried again by Airflow, as
for any other batch: a pod that is gone, was evicted, or found no room; an image that cannot be pulled and memory that
does not suffice are not.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import (
    V1Container,
    V1ContainerStateTerminated,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1EnvVar,
    V1ObjectMeta,
    V1Pod,
    V1PodSpec,
)
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tidemark.airflow.context import actor_of, bundle_of, pipeline_of, retrying_only_outages, run_of
from tidemark.airflow.executing import CONTAINER, requirements
from tidemark.airflow.form import asked_of_searches
from tidemark.airflow.operators import conclude
from tidemark.airflow.outlets import tell
from tidemark.assets import Asset, Pipeline

# Exit codes of `tidemark run-batch` whose meaning is in the ledger.
_WELL = 0
# ... and those of a container that was ended from outside, or could not reach something.
_AGAIN = (75, 143)
_KILLED = 137

# In these states a container waits for an image that will not come; in the first, no more is tried.
_NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_PULLING = _NEVER | {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"}
_MISCONFIGURED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
# ... and so a container ends that has never begun.
_NOT_BEGUN = frozenset({"StartError", "ContainerCannotRun"})

# By these the KubernetesExecutor knows its pods: what bears them would be taken for a worker, and cleaned away.
_EXECUTORS_LABELS = frozenset(
    {"airflow-worker", "kubernetes_executor", "airflow_version", "dag_id", "task_id", "run_id", "try_number"}
    | {"map_index", "logical_date", "execution_date"}
)
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_OWN_VARIABLES = frozenset({"AIRFLOW_IS_K8S_EXECUTOR_POD", "TIDEMARK_IMAGE"})

# What of a pod's description is the template's and not the cluster's answer to it.
_KEPT = (
    *("affinity", "dns_config", "dns_policy", "host_aliases", "image_pull_secrets", "node_selector"),
    *("priority_class_name", "runtime_class_name", "scheduler_name", "security_context", "service_account_name"),
    *("termination_grace_period_seconds", "tolerations", "topology_spread_constraints"),
)
_KEPT_OF_BASE = ("env_from", "image_pull_policy", "resources", "security_context", "working_dir")
_KEPT_OF_INIT = (*_KEPT_OF_BASE, "image", "command", "args")

_START_SECONDS = 300.0


class PodBatchOperator(KubernetesPodOperator):
    """Works off one lane of one asset's part of the plan in a container of the asset's own image.

    Args:
        asset: the asset's name.
        lane: `[plan id, lane number]`.

    """

    ui_color = "#d8efe6"
    # What it runs is worked out when it runs, and none of it is a template.
    template_fields = ()

    def __init__(self, *, asset: str, lane: list[int], **options: Any) -> None:
        super().__init__(
            kubernetes_conn_id=None,  # the account of the worker's own pod
            cmds=["tidemark"],
            base_container_name=CONTAINER,
            automount_service_account_token=False,
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,  # its environment is nobody's business
            on_finish_action="delete_pod",
            deferrable=False,
            do_xcom_push=False,  # would be another container; what came out is in the ledger
            startup_check_interval_seconds=2,
            **options,
        )
        self.asset = asset
        self.lane = lane

    def execute(self, context: Context) -> dict[str, int]:
        """Run the pod, tell what the ledger says came out, and end as any batch does."""
        from tidemark.deployment import open_deployment
        from tidemark.running.run import standing_of

        plan_id, lane = self.lane
        pipeline = pipeline_of(context)
        with retrying_only_outages():
            with open_deployment() as deployment:
                before = standing_of(deployment, pipeline, plan_id, lane, self.asset)
            code = _WELL if before.settled else self._run(context, pipeline)
            with open_deployment() as deployment:
                standing = standing_of(deployment, pipeline, plan_id, lane, self.asset)
                tell(context, deployment, pipeline, [self.asset], standing.report.partitions)
        if standing.unreached:
            self.log.error("%s: not reached: %s", self.asset, ", ".join(standing.unreached))
        counts = conclude(context, self.log, standing.report, force=bool(standing.unreached))
        if code != _WELL or standing.unreached:
            raise AirflowFailException(
                f"{self.asset}: its container ended with exit code {code} before it was done; its last lines say why"
            )
        context["ti"].xcom_push("return_value", counts)
        return counts

    # -- the pod

    def _run(self, context: Context, pipeline: Pipeline) -> int:
        """Run the pod, and return the exit code of its container.

        Raises:
            AirflowException: it did not come to an end that the ledger knows; worth another try.
            AirflowFailException: likewise, and another try would not mend it.

        """
        asset = pipeline.asset(self.asset)
        assert asset.image is not None
        self.image = asset.image
        self.container_resources = requirements(asset.resources) if asset.resources else None
        self.env_vars = [V1EnvVar(name="TIDEMARK_IMAGE", value=asset.image)]
        self.labels = {
            "tidemark": "batch",
            "tidemark-pipeline": make_safe_label_value(pipeline.name),
            "tidemark-asset": make_safe_label_value(asset.name),
        }
        self.arguments = _arguments(context, pipeline, asset, self.lane)
        problem: Exception | None = None
        try:
            self.full_pod_spec = like(self._own_pod())
            self.name = self._set_name(self.asset)
            self.execute_sync(context)  # all that the provider's `execute` does for one who waits
        except AirflowFailException:
            raise
        except (ApiException, HTTPError, OSError, AirflowException) as raised:
            problem = raised
        if self._killed:
            raise AirflowException(f"{asset.name}: the task was ended from outside, and its pod with it")
        return exit_code(asset, self.remote_pod, problem)

    def _own_pod(self) -> V1Pod:
        """Return the pod in which this task runs.

        Raises:
            AirflowFailException: it runs in none, or may not look at it.

        """
        name, namespace = socket.gethostname(), self._incluster_namespace
        if namespace is None:
            raise AirflowFailException(
                f"{self.asset}: its image needs a pod, and this task runs in none: let the {CONTAINER!r} container of "
                "Airflow's workers have its service account's token"
            )
        try:
            return self.client.read_namespaced_pod(name, namespace)
        except ApiException as problem:
            if problem.status == HTTPStatus.NOT_FOUND:
                raise AirflowFailException(
                    f"{self.asset}: there is no pod {name!r} in the namespace {namespace!r}: a worker's host name has "
                    "to be that of its pod"
                ) from problem
            raise

    def await_pod_start(self, pod: V1Pod) -> None:
        """Wait until the container runs, or has ended; an image that cannot be pulled now may be there in a moment.

        Raises:
            NotStartedError: it has not started in time, or never will.

        """
        until = time.monotonic() + start_seconds()
        while True:
            self.remote_pod = remote = self.pod_manager.read_pod(pod)
            if remote.status.phase not in ("Pending", "Unknown", None):
                return
            waiting = _waiting(remote)
            if (waiting is not None and waiting.reason in _NEVER) or time.monotonic() >= until:
                raise NotStartedError
            time.sleep(self.startup_check_interval_seconds)

    def cleanup(
        self, pod: V1Pod, remote_pod: V1Pod, xcom_result: dict[str, Any] | None = None, context: Context | None = None
    ) -> None:
        """Delete the pod; what it came to is said by those who know its exit code."""
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
        except (AirflowException, ApiException) as problem:
            self.log.debug("%s", problem)
        if remote_pod is None and self.pod is not None and not self._killed:
            self.process_pod_deletion(self.pod, reraise=False)  # the provider leaves one that it has not seen yet


class NotStartedError(AirflowException):
    """A pod has not started in time."""


def start_seconds() -> float:
    """Return how long a pod may take to start, its image being pulled (``TIDEMARK_POD_SECONDS``).

    Raises:
        AirflowFailException: it is no number of seconds.

    """
    text = os.environ.get("TIDEMARK_POD_SECONDS") or str(_START_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise AirflowFailException(f"TIDEMARK_POD_SECONDS={text!r}: write a number of seconds from 1 to 86400")
    return seconds


def like(own: V1Pod) -> V1Pod:
    """Return a pod that is like the worker's own in all that a template says, and is nobody's worker."""
    base = next((each for each in own.spec.containers if each.name == CONTAINER), own.spec.containers[0])
    containers = [base, *(own.spec.init_containers or [])]
    mounts = [mount for each in containers for mount in each.volume_mounts or []]
    # The token comes with the account: a container of somebody's image needs none.
    tokens = {mount.name for mount in mounts if mount.mount_path == _TOKEN}
    tokens -= {mount.name for mount in mounts if mount.mount_path != _TOKEN}
    metadata = own.metadata
    return V1Pod(
        metadata=V1ObjectMeta(
            namespace=metadata.namespace,
            labels={name: value for name, value in (metadata.labels or {}).items() if name not in _EXECUTORS_LABELS},
            annotations=_annotations(metadata.annotations or {}),
        ),
        spec=V1PodSpec(
            **{name: getattr(own.spec, name) for name in _KEPT},
            containers=[_container(base, tokens, kept=_KEPT_OF_BASE)],
            init_containers=[_container(each, tokens, kept=_KEPT_OF_INIT) for each in own.spec.init_containers or []],
            volumes=[each for each in own.spec.volumes or [] if each.name not in tokens],
        ),
    )


def _container(given: V1Container, tokens: set[str], *, kept: tuple[str, ...]) -> V1Container:
    return V1Container(
        name=given.name,
        env=[each for each in given.env or [] if each.name not in _OWN_VARIABLES],
        volume_mounts=[each for each in given.volume_mounts or [] if each.name not in tokens],
        **{name: getattr(given, name) for name in kept},
    )


def _annotations(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a template annotates a pod with, without what the executor, the network and admission write."""

    def is_the_clusters(name: str) -> bool:
        domain = name.partition("/")[0] if "/" in name else ""
        return name in _EXECUTORS_LABELS or domain == "kubernetes.io" or "cni" in domain.split(".")

    return {name: value for name, value in given.items() if not is_the_clusters(name)}


def _arguments(context: Context, pipeline: Pipeline, asset: Asset, lane: list[int]) -> list[str]:
    """Return what the container's `tidemark` is told."""
    bundle = bundle_of(context)
    asked = asked_of_searches(context["params"], pipeline)
    options = {
        "pipeline": pipeline.name,
        "run": run_of(context),
        "actor": actor_of(context),
        "bundle": bundle[0] if bundle else None,
        "version": bundle[1] if bundle else None,
        "asked": json.dumps(asked) if asked and pipeline is not context["dag"].pipeline else None,  # type: ignore[attr-defined]
    }
    return [
        *("run-batch", str(lane[0]), str(lane[1]), asset.name),
        *(f"--{name}={value}" for name, value in options.items() if value is not None),
        *(f"--code={each.name}={each.code.digest.hex()}" for each in pipeline.assets),
    ]


# -- how a pod ended


def exit_code(asset: Asset, pod: V1Pod | None, problem: Exception | None) -> int:
    """Return the exit code of a batch's container, where that is one of whose meaning the ledger knows more.

    Args:
        asset: whose batch it was.
        pod: as it was seen last; None: it was never made.
        problem: what went wrong while it was made, waited for or looked at.

    Raises:
        AirflowException: something happened to the pod that a moment can mend.
        AirflowFailException: something that another try would not mend.

    """
    again = "tried again; what was finished is published"
    if isinstance(problem, NotStartedError) and pod is not None:
        _raise_not_started(asset, pod)
    if isinstance(problem, ApiException):
        _raise_api(asset, problem, again)
    ended = _terminated(pod)
    if pod is not None and pod.metadata.deletion_timestamp is not None and (ended is None or ended.exit_code != 0):
        raise AirflowException(_gone(asset, again))
    status = pod.status if pod is not None else None
    if status is not None and status.reason and status.phase == "Failed" and status.reason != "OOMKilled":
        said = status.message or "its node says no more"
        raise AirflowException(f"{asset.name}: its pod was taken from its node ({status.reason}: {said}): {again}")
    if ended is None:
        said = f"{type(problem).__name__}: {problem}" if problem else "its pod ended and no container of it did"
        raise AirflowException(f"{asset.name}: {said}: {again}")
    if ended.reason == "OOMKilled":
        raise AirflowFailException(_out_of_memory(asset))
    if ended.reason in _NOT_BEGUN:
        raise AirflowFailException(
            f"{asset.name}: its container did not begin ({ended.reason}: {ended.message}): the image {asset.image} has "
            "to have the command 'tidemark': build it FROM the image that Airflow runs in"
        )
    if ended.exit_code == _KILLED:
        raise AirflowException(
            f"{asset.name}: its container was killed (exit code {_KILLED}) and nothing says by whom; if it wanted more "
            f"memory than it may have, {_more_memory(asset)}: {again}"
        )
    if ended.exit_code in _AGAIN:
        raise AirflowException(
            f"{asset.name}: its container was ended from outside, or could not reach the ledger or the store (exit "
            f"code {ended.exit_code}); its last lines say which: {again}"
        )
    return int(ended.exit_code)


def _raise_not_started(asset: Asset, pod: V1Pod) -> None:
    waiting = _waiting(pod)
    seconds = f"{start_seconds():.0f} s (TIDEMARK_POD_SECONDS)"
    if waiting is not None and waiting.reason in _PULLING:
        raise AirflowFailException(
            f"{asset.name}: its image {asset.image} could not be pulled within {seconds} ({_said(waiting)}): push it, "
            "correct image=, or give the workers' pods the secret of its registry (imagePullSecrets)"
        )
    if waiting is not None and waiting.reason in _MISCONFIGURED:
        raise AirflowFailException(
            f"{asset.name}: its container could not be made ({_said(waiting)}): {asset.image} has no command "
            "'tidemark', or the workers' pods name a Secret or a volume that is not there"
        )
    why = next(
        (each.message for each in pod.status.conditions or [] if each.type == "PodScheduled" and each.message),
        _said(waiting) if waiting is not None else "nothing says why",
    )
    raise AirflowException(f"{asset.name}: its pod did not start within {seconds} ({why}): tried again")


def _raise_api(asset: Asset, problem: ApiException, again: str) -> None:
    if problem.status == HTTPStatus.NOT_FOUND:
        raise AirflowException(_gone(asset, again)) from problem
    if problem.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST):
        raise AirflowFailException(
            f"{asset.name}: Kubernetes refused its pod ({problem.status} {_reason(problem)}): give the workers' "
            "service account the right to make pods, or correct resources= or the quota of the namespace"
        ) from problem
    raise AirflowException(
        f"{asset.name}: Kubernetes cannot be asked ({problem.status} {problem.reason}): {again}"
    ) from problem


def _gone(asset: Asset, again: str) -> str:
    return f"{asset.name}: its pod is gone: somebody deleted it, or its node was drained or lost: {again}"


def _reason(problem: ApiException) -> str:
    """Return what Kubernetes says beside a status; its whole answer has headers in it that say nothing."""
    try:
        return str(json.loads(problem.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(problem.reason)


def _out_of_memory(asset: Asset) -> str:
    return f"{asset.name}: its container wanted more memory than it may have and was killed: {_more_memory(asset)}"


def _more_memory(asset: Asset) -> str:
    if asset.resources is None:
        return "ask for more, as in resources=Resources(cpu='1', memory='4Gi')"
    return f"ask for more than memory={asset.resources.memory!r} in its resources="


def _status(pod: V1Pod | None) -> V1ContainerStatus | None:
    found = (pod.status.container_statuses or []) if pod is not None and pod.status is not None else []
    return next((each for each in found if each.name == CONTAINER), None)


def _terminated(pod: V1Pod | None) -> V1ContainerStateTerminated | None:
    status = _status(pod)
    return status.state.terminated if status is not None and status.state is not None else None


def _waiting(pod: V1Pod) -> V1ContainerStateWaiting | None:
    every = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    found = [each.state.waiting for each in every if each.state is not None and each.state.waiting is not None]
    known = _PULLING | _MISCONFIGURED
    return next((each for each in found if each.reason in known), found[0] if found else None)


def _said(waiting: V1ContainerStateWaiting) -> str:
    return f"{waiting.reason}: {waiting.message}" if waiting.message else str(waiting.reason)
