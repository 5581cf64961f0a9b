"""A cluster as an administrator sees it: what `kubectl` says and does."""

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.servers import free_port

T = TypeVar("T")

PATIENCE = 300
"""Seconds: this machine may be busy with something else."""


@dataclass(frozen=True)
class Namespace:
    """A namespace of a cluster."""

    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = PATIENCE) -> str:
        """What `kubectl` says; an error is one of the test."""
        command = ["kubectl", "--namespace", self.name, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def delete(self) -> None:
        """Remove it with all that is in it."""
        subprocess.run(["kubectl", "delete", "namespace", self.name, "--timeout=180s"], capture_output=True, text=True)

    def objects(self, kind: str, labels: str = "") -> list[dict[str, Any]]:
        """The objects of a kind that bear some labels."""
        chosen = ["--selector", labels] if labels else []
        return list(json.loads(self.kubectl("get", kind, *chosen, "--output", "json"))["items"])

    def pods(self, labels: str = "") -> list[dict[str, Any]]:
        """The pods that bear some labels, those that have ended too."""
        return self.objects("pods", labels)

    @contextlib.contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[int]:
        """Reach a service or a pod at a port of 127.0.0.1, for as long as this is open."""
        own = free_port()
        command = ["kubectl", "--namespace", self.name, "port-forward", target, f"{own}:{port}"]
        ended = threading.Event()
        current: list[subprocess.Popen[bytes]] = []

        def keep() -> None:
            while not ended.is_set():  # it ends with the pod to which it goes
                current[:] = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
                current[0].wait()
                ended.wait(0.5)

        keeping = threading.Thread(target=keep, daemon=True)
        keeping.start()
        try:
            wait_for(lambda: _open(own), f"a way to {target}")
            yield own
        finally:
            ended.set()
            for each in current:
                each.terminate()
            keeping.join(10)

    def told(self) -> str:
        """What an administrator would look at when something does not come up."""
        said = [self.kubectl("get", "pods", "--output", "wide")]
        said.append(self.kubectl("get", "events", "--sort-by", ".lastTimestamp")[-3000:])
        for pod in self.pods():
            if pod["status"]["phase"] not in ("Succeeded",):
                name = pod["metadata"]["name"]
                done = subprocess.run(
                    ["kubectl", "--namespace", self.name, "logs", name, "--all-containers", "--tail=25"],
                    capture_output=True,
                    text=True,
                )
                said.append(f"--- {name}\n{done.stdout}{done.stderr}")
        return "\n".join(said)


def _open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
        return True
    return False


def wait_for(look: Callable[[], T], what: str, otherwise: Callable[[], str] = str, patience: float = PATIENCE) -> T:
    """Wait until a look finds something, and return it."""
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end, f"{what} did not come within {patience:g} s. {otherwise()}"
        time.sleep(0.5)
    return found


def container(pod: dict[str, Any], name: str = "base") -> dict[str, Any]:
    """A container of a pod, as it was asked for."""
    found: Sequence[dict[str, Any]] = pod["spec"]["containers"]
    return next(each for each in found if each["name"] == name)
