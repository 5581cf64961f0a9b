"""A stand-in for Kubernetes' own server: it keeps pods, and lets a test say what becomes of them."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from kubernetes.client import (
    ApiClient,
    CoreV1EventList,
    V1ContainerState,
    V1ContainerStateRunning,
    V1ContainerStateTerminated,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1ListMeta,
    V1Pod,
    V1PodCondition,
    V1PodList,
    V1PodStatus,
)
from kubernetes.client.exceptions import ApiException

NAMESPACE = "airflow"


def pod_of(description: dict[str, Any]) -> V1Pod:
    """A pod from its JSON, as the server reads it."""
    return ApiClient().deserialize(SimpleNamespace(data=json.dumps(description)), "V1Pod")


def status(phase: str, state: V1ContainerState | None = None, **options: Any) -> V1PodStatus:
    found = None
    if state is not None:
        found = [V1ContainerStatus(name="base", image="x", image_id="", ready=False, restart_count=0, state=state)]
    return V1PodStatus(phase=phase, container_statuses=found, **options)


def waiting(reason: str, message: str = "") -> V1PodStatus:
    """A pod whose container does not begin."""
    scheduled = [V1PodCondition(type="PodScheduled", status="True")]
    return status(
        "Pending",
        V1ContainerState(waiting=V1ContainerStateWaiting(reason=reason, message=message)),
        conditions=scheduled,
    )


def unscheduled(message: str) -> V1PodStatus:
    """A pod for which there is no room."""
    return status("Pending", conditions=[V1PodCondition(type="PodScheduled", status="False", message=message)])


def running() -> V1PodStatus:
    return status("Running", V1ContainerState(running=V1ContainerStateRunning(started_at=datetime.now(UTC))))


def ended(code: int, reason: str = "", **options: Any) -> V1PodStatus:
    """A pod whose container has ended."""
    last = V1ContainerStateTerminated(
        exit_code=code, reason=reason or ("Completed" if code == 0 else "Error"), finished_at=datetime.now(UTC)
    )
    return status("Succeeded" if code == 0 else "Failed", V1ContainerState(terminated=last), **options)


class _Log:
    """What the server streams of a container's log."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def stream(self, **_: Any) -> Any:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        yield "".join(f"{now} {line}\n" for line in self._lines).encode()

    def close(self) -> None:
        pass


@dataclass
class Cluster:
    """Keeps pods by name; what is made here becomes what ``becomes`` says, one status at each look.

    Attributes:
        own: the pod in which the task runs.
        becomes: called with a new pod; returns its statuses in turn, the last of which stays; None: it is gone.
        made: the pods that were made, as they were asked for.
        deleted: the names of those that were deleted.
        lines: what the container says.
        going: statuses in which a pod is being deleted.
        refuses: raised when a pod is to be made.

    """

    own: V1Pod
    becomes: Callable[[V1Pod], list[V1PodStatus | None]]
    made: list[V1Pod] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=lambda: ["working"])
    going: list[V1PodStatus] = field(default_factory=list)
    refuses: Exception | None = None
    api_client: ApiClient = field(default_factory=ApiClient)
    _pods: dict[str, tuple[V1Pod, list[V1PodStatus | None]]] = field(default_factory=dict)

    def read_namespaced_pod(self, name: str, namespace: str, **_: Any) -> V1Pod:
        if name == self.own.metadata.name:
            return self.own
        if name not in self._pods or name in self.deleted:
            raise ApiException(status=404, reason="Not Found")
        pod, statuses = self._pods[name]
        now = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if now is None:
            raise ApiException(status=404, reason="Not Found")
        pod.status = now
        if now in self.going:
            pod.metadata.deletion_timestamp = datetime.now(UTC)
        return copy.deepcopy(pod)

    def create_namespaced_pod(self, body: dict[str, Any], namespace: str, **_: Any) -> V1Pod:
        if self.refuses is not None:
            raise self.refuses
        pod = pod_of(body)
        self.made.append(copy.deepcopy(pod))
        self._pods[pod.metadata.name] = (pod, self.becomes(pod))
        pod.status = status("Pending")
        return copy.deepcopy(pod)

    def list_namespaced_pod(self, namespace: str, label_selector: str, **_: Any) -> V1PodList:
        wanted = dict(each.split("=", 1) for each in label_selector.split(",") if "=" in each and "!" not in each)
        found = [
            copy.deepcopy(pod)
            for name, (pod, _) in self._pods.items()
            if name not in self.deleted and wanted.items() <= pod.metadata.labels.items()
        ]
        return V1PodList(items=found)

    def read_namespaced_pod_log(self, **_: Any) -> _Log:
        return _Log(self.lines)

    def delete_namespaced_pod(self, name: str, namespace: str, **_: Any) -> None:
        self.deleted.append(name)

    def patch_namespaced_pod(self, name: str, namespace: str, body: dict[str, Any], **_: Any) -> None:
        self._pods[name][0].metadata.labels.update(body["metadata"]["labels"])

    def list_namespaced_event(self, **_: Any) -> CoreV1EventList:
        return CoreV1EventList(items=[], metadata=V1ListMeta())
