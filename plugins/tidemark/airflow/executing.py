"""What an asset asks for of the place where it is executed, as options of its Airflow tasks.

Invariant: where Airflow does not run on Kubernetes, nothing of Kubernetes is imported and no task has another option
than it would have otherwise, but for its pool. Only what an asset asks for costs the import of its client: a process
that looks at a file with resources in it 0.4 s of CPU and 45 MB more, at one with an image 0.9 s and 85 MB.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from tidemark.assets import Asset
from tidemark.execution import Resources

if TYPE_CHECKING:
    from kubernetes.client import V1ResourceRequirements

KUBERNETES = "KubernetesExecutor"

CONTAINER = "base"
"""The name that Airflow's own container has in each of its pods."""


def on_kubernetes() -> bool:
    """Return whether Airflow can run a task in a pod of its own."""
    # Some pod templates tell a worker that it is a LocalExecutor's: it must see the same DAG as the DAG processor.
    return KUBERNETES in _executors() or "AIRFLOW_IS_K8S_EXECUTOR_POD" in os.environ


def options_of(asset: Asset) -> dict[str, Any]:
    """Return the options of a task that does an asset's work in its own process: resources and pool."""
    options = pool_of(asset)
    if asset.resources is None or not on_kubernetes():
        return options
    from kubernetes.client import V1Container, V1Pod, V1PodSpec

    container = V1Container(name=CONTAINER, resources=requirements(asset.resources))
    override = {"pod_override": V1Pod(spec=V1PodSpec(containers=[container]))}
    return options | executor_option() | {"executor_config": override}


def pool_of(asset: Asset) -> dict[str, Any]:
    """Return the pool of a task of an asset, if it asks for one."""
    return {} if asset.pool is None else {"pool": asset.pool}


def executor_option() -> dict[str, Any]:
    """Return the option that brings a task to the KubernetesExecutor: none where all tasks go there."""
    known = _executors()
    return {"executor": KUBERNETES} if KUBERNETES in known and known[0] != KUBERNETES else {}


def requirements(resources: Resources) -> "V1ResourceRequirements":
    """Return resources as Kubernetes has them: both are reserved, and more memory than that is never given."""
    from kubernetes.client import V1ResourceRequirements

    return V1ResourceRequirements(
        requests={"cpu": resources.cpu, "memory": resources.memory}, limits={"memory": resources.memory}
    )


def _executors() -> Sequence[str]:
    """Return the names of the classes of Airflow's executors, the first of which is the usual one."""
    every = conf.get("core", "executor", fallback="").replace(";", ",").split(",")
    # ALIAS:PATH, and TEAM=LIST: the last part of the path is the class.
    return [each.rpartition("=")[2].rpartition(":")[2].rpartition(".")[2].strip() for each in every if each.strip()]
