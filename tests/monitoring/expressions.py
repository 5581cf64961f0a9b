"""The metrics that the dashboard and the alert rules name, found in their expressions."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.prometheus import ROOT

MONITORING = ROOT / "monitoring"

# What Airflow tells by StatsD and we show. The end-to-end test sees each of them come from a real run.
AIRFLOWS = {
    "airflow_dag_processing_import_errors",
    "airflow_dag_processor_heartbeat_total",
    "airflow_dagrun_duration_failed_seconds_count",
    "airflow_dagrun_duration_failed_seconds_sum",
    "airflow_dagrun_duration_success_seconds_count",
    "airflow_dagrun_duration_success_seconds_sum",
    "airflow_executor_open_slots",
    "airflow_scheduler_heartbeat_total",
    "airflow_task_duration_seconds_count",
    "airflow_task_duration_seconds_sum",
    "airflow_task_scheduled_duration_seconds_count",
    "airflow_task_scheduled_duration_seconds_sum",
    "airflow_ti_finish_total",
    "airflow_triggerer_heartbeat_total",
}
# What Prometheus makes of each scrape.
ITS_OWN = {"up"}

# Words of the language that can stand where a metric could.
_WORDS = {"and", "count", "increase", "max", "min", "offset", "on", "or", "rate", "sort_desc", "sum", "time", "unless"}
_WORDS |= {"vector", "by"}


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics in an expression: every word outside labels, durations, groupings and the language."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without) \([^)]*\)|\b\d\w*\b", " ", expression)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - _WORDS


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    read: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    return read


def panels() -> list[dict[str, Any]]:
    """Its panels, but for those that are headings."""
    return [each for each in dashboard()["panels"] if each["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """What each panel asks in the environment ``prod``, and the panel's title."""
    for panel in panels():
        for target in panel["targets"]:
            asked = target["expr"].replace("$environment", "prod").replace("$__rate_interval", "1m")
            assert "$" not in asked
            yield panel["title"], asked


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, and where it is."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        yield from ((panel["title"], each["expr"]) for each in panel["targets"])
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"].removeprefix("label_values(").partition(",")[0]
