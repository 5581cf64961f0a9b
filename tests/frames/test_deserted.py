"""Claims about giving up a Dask cluster that cannot work; with a real one: tests/scale."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from tidemark.frames import deserted


class Work:
    """A future's state, as the client keeps it."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.why: str | None = None

    def cancel(self, *, reason: str, msg: str) -> None:
        self.status, self.why = "cancelled", msg


class Client:
    """Answers as a client of Dask does whose workers have these states."""

    def __init__(self, work: str, *workers: str) -> None:
        self.futures = {"a": Work(work)}
        self.scheduler = SimpleNamespace(identity=None)
        self.loop = SimpleNamespace(add_callback=lambda call: call())
        self.asked = 0
        self.workers = workers

    def sync(self, function: object, **options: Any) -> dict[str, Any]:
        self.asked += 1
        return {"workers": {str(number): {"status": each} for number, each in enumerate(self.workers)}}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deserted, "PATIENCE", 0.05)
    monkeypatch.setattr(deserted, "_PAUSED", 2)


def after(client: Client, seconds: float) -> deserted.Guard:
    guard = deserted.Guard(client)
    until = time.monotonic() + seconds
    while guard.said is None and time.monotonic() < until:
        time.sleep(0.01)
    guard.close()
    return guard


def test_workers_that_have_all_stopped_for_want_of_memory_are_not_waited_for() -> None:
    client = Client("pending", "paused", "paused")
    assert after(client, 10).said == "all its workers have stopped for want of memory: give them more, and that for 0 s"
    assert client.futures["a"].status == "cancelled"
    assert client.futures["a"].why is not None


@pytest.mark.parametrize("workers", [("running",), ("running", "paused"), ("init",)])
def test_work_that_is_worked_on_is_waited_for(workers: tuple[str, ...]) -> None:
    """However long it takes: for that there are other limits."""
    client = Client("pending", *workers)
    assert after(client, 0.5).said is None
    assert client.asked > 1
    assert client.futures["a"].status == "pending"


def test_a_cluster_may_have_no_worker_as_long_as_no_work_waits() -> None:
    """One that adapts to its work has none then."""
    client = Client("finished")
    assert after(client, 0.5).said is None
    assert client.asked == 0
