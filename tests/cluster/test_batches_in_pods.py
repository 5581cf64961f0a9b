"""Claims about batches in pods, on a real cluster: what a pod gets, and what is left of a batch whose pod is lost.

Whatever happens to a pod, the ledger says what came of its batch, and the next run makes what is missing.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from installing import KEYS, Installation, Run, pipeline
from kube import PATIENCE, container, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(20 * PATIENCE)]  # longer than all that one of them waits for

SLOW = "time.sleep(25)"


def running(installation: Installation, asset: str) -> dict[str, Any]:
    """The pod in which an asset's batch is being computed, once its function is at work."""

    def look() -> dict[str, Any] | None:
        found = [pod for pod in installation.workers(asset) if pod["status"]["phase"] == "Running"]
        return found[0] if found and installation.leases(asset) else None

    return wait_for(look, f"a pod at work on {asset}", installation.namespace.told)


def repaired(installation: Installation, asset: str) -> None:
    """The next run makes what is missing, and the one after that finds nothing to do."""
    assert installation.trigger(asset).state == "success"
    assert installation.heads(asset) == KEYS
    assert installation.trigger(asset).states[asset] == "skipped"


def test_a_batch_runs_in_a_pod_that_has_what_its_asset_asks_for_and_may_do_as_little_as_any(
    installation: Installation,
) -> None:
    asked = 'resources={"cpu": "150m", "memory": "700Mi"}'
    commit = installation.push(asking=pipeline("asking", "time.sleep(8)", asked))
    begun = installation.begin("asking")
    pod = running(installation, "asking")
    found = container(pod)
    assert found["resources"] == {"requests": {"cpu": "150m", "memory": "700Mi"}, "limits": {"memory": "700Mi"}}
    assert found["image"] == installation.image
    assert found["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["securityContext"]["runAsUser"] == 50000
    run = installation.ended(begun)
    assert run.state == "success", run.told()
    assert installation.heads("asking") == KEYS
    made = installation.tidemark("explain", "asking", KEYS[0])
    assert installation.image in str(made)
    assert commit in str(made)


def test_an_asset_with_an_image_of_its_own_runs_in_a_container_of_that_image(installation: Installation) -> None:
    installation.push(own=pipeline("own", "time.sleep(8)", f"image={installation.other_image!r}"))
    begun = installation.begin("own")
    pod = wait_for(
        lambda: next((pod for pod in installation.pods_of_images("own") if pod["status"]["phase"] == "Running"), None),
        "the pod of the asset's own image",
        installation.namespace.told,
    )
    assert container(pod)["image"] == installation.other_image
    assert container(pod)["command"] == ["tidemark"]
    run = installation.ended(begun)
    assert run.state == "success", run.told()
    assert installation.heads("own") == KEYS
    assert installation.other_image in str(installation.tidemark("explain", "own", KEYS[0]))
    assert installation.pods_of_images("own") == [], "it was deleted when it had ended"


def lost(installation: Installation, asset: str, take_away: Callable[[str], None]) -> Run:
    """A run in which the pod of a batch is taken away while it computes."""
    installation.push(**{asset: pipeline(asset, SLOW)})
    begun = installation.begin(asset)
    take_away(running(installation, asset)["metadata"]["name"])
    return installation.ended(begun)


def test_a_pod_deleted_in_the_middle_of_a_batch_is_replaced_and_nothing_is_half_published(
    installation: Installation,
) -> None:
    run = lost(
        installation,
        "deleted",
        lambda pod: installation.namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force") and None,
    )
    assert run.state == "success", run.told()
    assert run.attempts("deleted") > 1
    assert installation.heads("deleted") == KEYS
    repaired(installation, "deleted")


def test_a_batch_whose_node_is_drained_goes_on_when_there_is_a_node_again(installation: Installation) -> None:
    node = installation.namespace.objects("nodes")[0]["metadata"]["name"]

    def drain(pod: str) -> None:
        # The rest of the installation has no other node to go to: of this one, only batches are driven away.
        chosen = ["--pod-selector=component=worker", "--ignore-daemonsets", "--force", "--delete-emptydir-data"]
        installation.namespace.kubectl("drain", node, *chosen, "--timeout=120s")
        time.sleep(5)
        installation.namespace.kubectl("uncordon", node)

    run = lost(installation, "drained", drain)
    assert run.state == "success", run.told()
    assert installation.heads("drained") == KEYS
    repaired(installation, "drained")


def test_an_image_that_cannot_be_pulled_is_said_by_name_and_the_next_run_repairs_it(
    installation: Installation,
) -> None:
    nowhere = "registry.invalid/shop/nowhere:1.0"
    installation.push(unpullable=pipeline("unpullable", options=f"image={nowhere!r}"))
    run = installation.trigger("unpullable")
    assert run.state == "failed"
    assert nowhere in run.log("unpullable")
    assert "could not be pulled" in run.log("unpullable")
    assert run.attempts("unpullable") == 1, "another try would not mend it"
    assert installation.heads("unpullable") == []
    assert "was never reached" in run.log("verdict")
    installation.push(unpullable=pipeline("unpullable", options=f"image={installation.other_image!r}"))
    repaired(installation, "unpullable")


HUNGRY = "hoard = [bytearray(1 << 20) for _ in range(4096)]"
LITTLE = 'resources={"cpu": "100m", "memory": "600Mi"}'


def test_a_container_that_wants_more_memory_than_it_may_have_says_so_and_the_next_run_repairs_it(
    installation: Installation,
) -> None:
    own = f"{LITTLE}, image={installation.other_image!r}"
    installation.push(starved=pipeline("starved", HUNGRY, own))
    run = installation.trigger("starved")
    assert run.state == "failed"
    assert "ask for more than memory='600Mi' in its resources=" in run.log("starved")
    assert run.attempts("starved") == 1, "another try would not mend it"
    assert installation.heads("starved") == []
    installation.push(starved=pipeline("starved", options=own))
    repaired(installation, "starved")


def run_out_of_memory(installation: Installation, run: Run, attempt: int) -> bool:
    """Whether an administrator sees of an attempt that there was too little memory.

    In its log, where the kernel ends the hungry process alone; from Kubernetes 1.28 on, with cgroups v2, the container
    is ended as a whole, and its pod says so.
    """
    if "Likely out of memory" in installation.client.log(run.dag, run.id, "hungry", attempt, 0):
        return True
    pods = [pod for pod in installation.workers("hungry") if pod["metadata"]["labels"]["try_number"] == str(attempt)]
    ended = [
        status["state"].get("terminated", {}) for pod in pods for status in pod["status"].get("containerStatuses", [])
    ]
    return any(each.get("reason") == "OOMKilled" for each in ended)


def test_a_partition_whose_worker_wants_more_memory_than_it_may_have_fails_when_two_workers_died_of_it(
    installation: Installation,
) -> None:
    """Airflow tries again, for it could be better next time; the third try leaves the partition alone."""
    hungry = f'if partition.key == "north": {HUNGRY}'
    installation.push(hungry=pipeline("hungry", hungry, LITTLE))
    run = installation.trigger("hungry")
    assert run.state == "failed", run.told()
    assert run.attempts("hungry") == 3, run.told()
    assert run_out_of_memory(installation, run, 1)
    assert run_out_of_memory(installation, run, 2)
    assert "its worker died 2 times while it was computed" in run.log("hungry")
    assert "its worker died 2 times while it was computed" in run.log("verdict")
    assert installation.heads("hungry") == ["south"], "what does not kill its worker is published"
    installation.push(hungry=pipeline("hungry", options=LITTLE))
    repaired(installation, "hungry")


BATCHES = int(os.environ.get("TIDEMARK_TEST_BATCHES", "100"))


def many(assets: list[str]) -> str:
    """A file of some assets of the same partitions, all in one pool; so little work is one batch of each."""
    declared = "@asset(partitions=PARTS, pool='six', resources={'cpu': '50m', 'memory': '600Mi'})"
    functions = "".join(
        f"{declared}\ndef {name}(partition: Partition) -> pl.DataFrame:\n"
        "    return pl.DataFrame({'part': [partition.key]})\n\n\n"
        for name in assets
    )
    return (
        '"""Many batches."""\n\nimport polars as pl\nfrom tidemark import Partition, Static, asset, pipeline\n\n'
        f"PARTS = Static({KEYS!r})\n\n\n{functions}"
        f"dag = pipeline('many', [{', '.join(assets)}], owner='shop')\n"
    )


def test_of_many_batches_at_most_six_run_at_once_and_each_is_computed_once(installation: Installation) -> None:
    """As many as `TIDEMARK_TEST_BATCHES` says; they wait for slots of a pool, as `pool=` has it."""
    names = [f"many_{number}" for number in range(BATCHES)]
    pool = {"name": "six", "slots": 6, "description": "", "include_deferred": False}
    installation.client.request("POST", "/pools", json=pool)
    installation.push(many=many(names))
    run = installation.ended(installation.begin("many"), 12 * PATIENCE)
    assert run.state == "success", run.told()
    assert 2 <= run.most_at_once(names) <= 6
    assert sum(each["task_id"] in names for each in run.tasks) == BATCHES
    for name in names:
        assert installation.heads(name) == KEYS
    assert installation.computed(names) == BATCHES * len(KEYS), "each once"
    assert installation.trigger("many").states["verdict"] == "skipped"
    assert installation.computed(names) == BATCHES * len(KEYS), "and not again"
