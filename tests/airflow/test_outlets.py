"""What Airflow is told of what was published."""

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _serialize_outlet_events
from products import shop

from tidemark.airflow import outlets
from tidemark.airflow.factory import build_dag
from tidemark.airflow.outlets import mark_told, tell
from tidemark.deployment import Deployment, open_deployment
from tidemark.facts import register
from tidemark.ledger import events, heads


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A deployment of its own."""
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    with open_deployment() as opened:
        yield opened


def publish(deployment: Deployment, asset: str, *keys: str) -> None:
    """Write down what a run that published these partitions writes down."""
    names = register(deployment, shop())
    with deployment.ledger.write() as connection:
        names.ensure(connection, asset, keys)
        seq = heads.new_change(connection, run="a test", actor="somebody")
        rows = [(names.assets[asset], names.id_of(asset, key), "final", f"new {key}", key.encode()) for key in keys]
        events.write(connection, deployment.environment, rows, seq)


def running(task: str) -> Any:
    """The context of a running task."""
    dag = build_dag(shop())
    return {"task": dag.get_task(task), "dag": dag, "outlet_events": OutletEventAccessors()}


def told(context: Any) -> dict[tuple[str, str | None], dict[str, Any]]:
    """What Airflow's worker would report as the task succeeds: asset and partition -> extra."""
    outlet_names = {each.name for each in context["task"].outlets}
    found = list(_serialize_outlet_events(context["outlet_events"]))
    assert {each["dest_asset_key"]["name"] for each in found} == outlet_names, "an outlet without an event tells a lie"
    return {(each["dest_asset_key"]["name"], each.get("partition_key")): each["extra"] for each in found}


def test_every_partition_is_told_with_its_own_state_reason_and_version(deployment: Deployment) -> None:
    """Airflow's own calls would give all partitions of an asset one `extra`."""
    publish(deployment, "lines", "2011-01-05", "2011-01-06")
    context = running("plan")
    assert tell(context, deployment, shop(), ["lines", "stock"]) == 2
    assert told(context) == {
        ("lines", key): {"state": "final", "reason": f"new {key}", "data_version": key.encode().hex()}
        for key in ("2011-01-05", "2011-01-06")
    }


def test_nothing_published_is_nothing_told(deployment: Deployment) -> None:
    """A task that succeeds would otherwise tell of its outlets without a partition."""
    context = running("settings")
    assert tell(context, deployment, shop(), ["lines"]) == 0
    assert told(context) == {}


def test_an_asset_without_partitions_is_told_without_one(deployment: Deployment) -> None:
    """Airflow starts ordinary DAGs that are scheduled on an asset for events without a partition only."""
    publish(deployment, "settings", "all")
    context = running("plan")
    tell(context, deployment, shop(), ["settings"])
    assert set(told(context)) == {("settings", None)}


def test_what_airflow_took_is_not_told_again(deployment: Deployment) -> None:
    """And what it did not take is."""
    publish(deployment, "lines", "2011-01-05")
    lost, taken = running("plan"), running("plan")
    assert tell(lost, deployment, shop(), ["lines"]) == 1
    assert tell(taken, deployment, shop(), ["lines"]) == 1
    mark_told(taken)
    assert tell(running("plan"), deployment, shop(), ["lines"]) == 0


def test_one_task_tells_a_bounded_number_and_the_next_the_rest(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow takes a task's events in one call, which must not time out."""
    monkeypatch.setattr(outlets, "MOST", 2)
    publish(deployment, "lines", "2011-01-05", "2011-01-06", "2011-01-07")
    seen = []
    for _ in range(2):
        context = running("plan")
        tell(context, deployment, shop(), ["lines"])
        mark_told(context)
        seen.append([key for _, key in told(context)])
    assert seen == [["2011-01-05", "2011-01-06"], ["2011-01-07"]]


def test_two_lanes_of_one_asset_tell_each_its_own(deployment: Deployment) -> None:
    """They run side by side."""
    publish(deployment, "lines", "2011-01-05", "2011-01-06")
    context = running("plan")
    tell(context, deployment, shop(), ["lines"], ["2011-01-06"])
    assert set(told(context)) == {("lines", "2011-01-06")}
