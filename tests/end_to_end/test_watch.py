"""What no task can tell is told by the watch: once, and once more when it is over."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Deployment, services_in, wait_for

from tidemark.ledger import incidents
from tidemark.ledger.schema import notice

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

ANSWER = """
    from tidemark import asset, pipeline

    @asset()
    def {name}_answer() -> str:
        return "42"

    product = pipeline("{name}", [{name}_answer], schedule="0 6 * * *")
    """


def told_of(deployment: Deployment, **wanted: str) -> list[str]:
    """What became of the incidents of a cause, an asset or a pipeline, each as ``kind cause``, in that order."""
    with deployment.opened() as (opened, _), opened.ledger.read() as connection:
        ours = {
            one.id: one.cause
            for one in incidents.some(connection, "prod", only_open=False)
            if all(getattr(one, name) == value for name, value in wanted.items())
        }
        rows = connection.execute(notice.select().order_by(notice.c.id)).all()
        return [f"{row.kind} {row.topic}" for row in rows if row.incident_id in ours]


def wait_told(deployment: Deployment, *expected: str, **wanted: str) -> None:
    """Wait until just this was told."""
    wait_for(
        lambda: told_of(deployment, **wanted) == list(expected),
        f"{expected} of {wanted}",
        lambda: f"There is {told_of(deployment, **wanted)}. {deployment.services.log('watch').read_text()[-3000:]}",
    )


@pytest.mark.usefixtures("slow")  # meanwhile its minute passes
def test_a_file_that_no_longer_imports_is_told_until_it_does(deployment: Deployment) -> None:
    """With the message's last line; by mail, from the outbox."""
    deployment.push("watched_file", ANSWER.format(name="watched_file"))
    file = deployment.dags / "watched_file.py"
    good = file.read_text()
    file.write_text(good.replace("from tidemark import asset", "from tidemark import aset"))
    wait_told(deployment, "opened dag_broken", cause="dag_broken", asset="watched_file.py")
    with deployment.opened() as (opened, _), opened.ledger.read() as connection:
        (one,) = [each for each in incidents.open_ones(connection, "prod") if each.cause == "dag_broken"]
    assert one.pipeline == "watched_file"
    assert "so watched_file cannot run" in one.summary
    assert one.detail["why"].startswith("ImportError: cannot import name 'aset' from 'tidemark'")
    file.write_text(good)
    wait_told(deployment, "opened dag_broken", "resolved dag_broken", cause="dag_broken", asset="watched_file.py")
    wait_for(lambda: len(deployment.mails("watched_file.py")) == 2, "two mails")


def test_a_dag_that_is_paused_and_has_a_schedule_is_told_until_it_runs(deployment: Deployment) -> None:
    """One without a schedule is nobody's business."""
    deployment.push("watched_pause", ANSWER.format(name="watched_pause"))
    unscheduled = ANSWER.format(name="watched_form").replace(', schedule="0 6 * * *"', "")
    deployment.push("watched_form", unscheduled)
    deployment.client.pause("watched_form")
    deployment.client.pause("watched_pause")
    wait_told(deployment, "opened dag_paused", pipeline="watched_pause")
    deployment.client.unpause("watched_pause")
    wait_told(deployment, "opened dag_paused", "resolved dag_paused", pipeline="watched_pause")
    assert told_of(deployment, pipeline="watched_form") == []


# The DAG that Airflow imports gets no second try of a task, so that nobody need wait for the last of five; and its
# asset, or its verdict, waits until the test lets it go.
HELD = """
    import time
    from pathlib import Path

    from tidemark import asset, pipeline

    def wait(context: object = None) -> None:
        while not Path({go!r}).exists():
            time.sleep(0.05)

    @asset()
    def {name}_answer() -> str:
        if {held!r} != "verdict":
            wait()
        return "42"

    product = pipeline("{name}", [{name}_answer], {options})
    for task in getattr(product, "tasks", ()):
        if task.task_id == {held!r}:
            if task.is_mapped:
                task.partial_kwargs["retries"] = 0
            else:
                task.retries, task._pre_execute_hook = 0, wait
    """


def push_held(deployment: Deployment, name: str, go: Path, held: str, options: str = "") -> None:
    """Push a DAG one task of which waits for a file."""
    deployment.push(name, HELD.format(name=name, go=str(go), held=held, options=options))


def kill_worker(deployment: Deployment, dag: str, run: str, task: str) -> None:
    """End the process of a task that runs as a power cut or the kernel's OOM killer would."""

    def running() -> dict[str, Any] | None:
        tasks = deployment.client.tasks(dag, run)
        return next((each for each in tasks if each["task_id"] == task and each["state"] == "running"), None)

    found = wait_for(running, f"{task} of {run}")
    assert found is not None
    ours = {process.pid: process for process in deployment.services.processes}
    process = ours[int(found["pid"])]
    for child in process.children(recursive=True):
        child.kill()
    process.kill()


def test_a_run_whose_worker_was_killed_is_told_once(deployment: Deployment, tmp_path: Path) -> None:
    """By its verdict, which counts what was never reached."""
    name, go = "watched_worker", tmp_path / "go"
    push_held(deployment, name, go, "watched_worker_answer")
    run = deployment.client.trigger(name)
    kill_worker(deployment, name, run, "watched_worker_answer")
    assert deployment.ended(name, run).state == "failed"
    wait_told(deployment, "opened asset_failed", pipeline=name)
    time.sleep(5)  # the watch looks twice
    assert told_of(deployment, pipeline=name) == ["opened asset_failed"]
    go.touch()
    assert deployment.trigger(name).state == "success"
    wait_told(deployment, "opened asset_failed", "resolved asset_failed", pipeline=name)


def test_a_run_whose_verdict_was_killed_is_told_once(deployment: Deployment, tmp_path: Path) -> None:
    """By the watch: nobody else is left to tell it."""
    name, go = "watched_verdict", tmp_path / "go"
    push_held(deployment, name, go, "verdict")
    run = deployment.client.trigger(name)
    kill_worker(deployment, name, run, "verdict")
    assert deployment.ended(name, run).state == "failed"
    wait_told(deployment, "opened run_failed", pipeline=name)
    with deployment.opened() as (opened, _), opened.ledger.read() as connection:
        (one,) = [each for each in incidents.open_ones(connection, "prod") if each.pipeline == name]
    assert one.detail["link"].endswith(f"/dags/{name}/runs/{run}")
    time.sleep(5)  # the watch looks twice
    assert told_of(deployment, pipeline=name) == ["opened run_failed"]
    go.touch()
    assert deployment.trigger(name).state == "success"
    wait_told(deployment, "opened run_failed", "resolved run_failed", pipeline=name)


def test_a_run_that_takes_longer_than_it_may_is_told_until_it_is_over(deployment: Deployment, slow: Path) -> None:
    """By Airflow's scheduler and triggerer, a minute after it was queued."""
    wait_told(deployment, "opened deadline_missed", pipeline="watched_slow")
    # Airflow keeps deadlines apart from the DAG, and reads its file every few seconds: that makes it no other one.
    assert deployment.client.request("GET", "/dags/watched_slow/dagVersions")["total_entries"] == 1
    slow.touch()
    wait_told(deployment, "opened deadline_missed", "resolved deadline_missed", pipeline="watched_slow")


@pytest.fixture(scope="module")
def slow(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that may take a minute is begun; it ends when this file is there."""
    go = tmp_path_factory.mktemp("slow") / "go"
    push_held(deployment, "watched_slow", go, "watched_slow_answer", "deadline='1 minute'")
    deployment.client.trigger("watched_slow")
    return go


@contextmanager
def held_up(process: psutil.Process) -> Iterator[None]:
    """A process that stands still meanwhile."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_a_scheduler_that_stands_still_is_told_until_it_goes_on(tmp_path: Path) -> None:
    """So is a triggerer that is gone; in an Airflow of its own, for others would be held up."""
    grace = {"TIDEMARK_GRACE_SECONDS": "20"}  # starting may take longer where others are busy: that is waited for
    with services_in(tmp_path, None, with_mlflow=False, **grace) as services, services.client() as client:
        deployment = Deployment(services, client, tmp_path / "dags", tmp_path / "landing")

        def calm() -> bool:
            with deployment.opened() as (opened, _), opened.ledger.read() as connection:
                return not incidents.open_ones(connection, "prod")

        wait_for(calm, "an Airflow that is well")
        before = told_of(deployment, asset="scheduler")
        # Other tests' Airflow runs too, and numbers of processes begin again: the newest of a name is ours.
        children = sorted(psutil.Process().children(), key=psutil.Process.create_time)
        parts = {word: each for each in children for word in each.cmdline()[1:]}
        parts["triggerer"].kill()
        with held_up(parts["scheduler"]):
            wait_told(deployment, *before, "opened heartbeat_missing", asset="scheduler")
        told = [*before, "opened heartbeat_missing", "resolved heartbeat_missing"]
        wait_told(deployment, *told, asset="scheduler")
        wait_for(lambda: len(deployment.mails("scheduler")) == len(told), "a mail of each")
        wait_for(lambda: told_of(deployment, asset="triggerer")[-1:] == ["opened heartbeat_missing"], "the triggerer's")
        assert told_of(deployment, asset="dag-processor") == []
