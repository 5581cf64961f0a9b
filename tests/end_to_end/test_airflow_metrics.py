"""A running Airflow's metrics are in Prometheus, beside ours, by nothing but what an administrator sets."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Deployment, wait_for

from tests.monitoring.expressions import AIRFLOWS, queries
from tests.prometheus import configured, prometheus_server
from tests.servers import free_port

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

WELL = """
    from tidemark import asset, pipeline

    @asset()
    def measured() -> str:
        return "42"

    product = pipeline("measured", [measured])
    """

# One that is not ours: that a run of ours fails is told to people, and other tests count what they are told.
WRONG = """
    from airflow.sdk import DAG, task

    with DAG("goes_wrong"):

        @task
        def fails() -> None:
            raise ValueError("broken on purpose")

        fails()
    """


@contextmanager
def exporter(deployment: Deployment) -> Iterator[str]:
    """The command that serves metrics, at the address to which Airflow's processes send theirs; yields its own."""
    address = f"127.0.0.1:{free_port()}"
    environ = deployment.services.environment
    environ |= {"TIDEMARK_METRICS": address, "TIDEMARK_STATSD": environ["AIRFLOW__METRICS__STATSD_PORT"]}
    code = "import sys; from tidemark.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "metrics", "--serve"]
    serving = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr is not None
        assert address in serving.stderr.readline()
        yield address
    finally:
        serving.terminate()
        serving.wait()


def test_prometheus_knows_what_airflow_and_the_ledger_tell(deployment: Deployment, tmp_path: Path) -> None:
    """Every metric of Airflow's that dashboard and rules name comes from runs that are real, with its labels."""
    deployment.push("measured", WELL)
    deployment.push("goes_wrong", WRONG)
    with exporter(deployment) as address, prometheus_server(configured(tmp_path, address), tmp_path) as prometheus:
        assert deployment.trigger("measured").state == "success"
        assert deployment.trigger("goes_wrong").state == "failed"
        wait_for(
            lambda: prometheus.names() >= AIRFLOWS,
            "all metrics of Airflow's",
            lambda: str(sorted(AIRFLOWS - prometheus.names())),
        )
        for title, expression in queries():
            if "airflow" in expression:
                assert prometheus.wait_for(expression), title
        by_state = "sum by (state) (airflow_ti_finish_total{%s})"
        assert prometheus.query(by_state % 'dag_id="measured"') == {(("state", "success"),): 3}
        assert prometheus.query(by_state % 'dag_id="goes_wrong"') == {(("state", "failed"),): 1}
        assert prometheus.query('sum(tidemark_heads{asset="measured"})') == {(): 1}
        assert prometheus.query("sum(tidemark_statsd_lost_lines_total)") == {(): 0}
        fired = prometheus.wait_for('ALERTS{alertname="AirflowRunFailed", dag_id="goes_wrong"}')
        assert [dict(each)["cause"] for each in fired] == ["run_failed"]
    for name in ("measured", "goes_wrong"):
        (deployment.dags / f"{name}.py").unlink()
