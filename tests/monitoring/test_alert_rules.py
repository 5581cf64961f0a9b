"""The alert rules are sound, name what there is, and fire when they should and not else."""

import re
from pathlib import Path

import pytest

from tests.monitoring.expressions import AIRFLOWS, ITS_OWN, MONITORING, expressions, metrics_in, rules
from tests.monitoring.told import LISTENING, OURS
from tests.prometheus import ROOT, promtool
from tidemark.incidents.classes import CauseClass

STORIES = sorted(Path(__file__).parent.glob("alerts*.yml"))
KNOWN = {each.value for each in CauseClass}


@pytest.mark.parametrize(
    ("what", "file"), [("rules", "alerts.yml"), ("config", "prometheus.yml")], ids=["rules", "configuration"]
)
def test_prometheus_takes_the_files(what: str, file: str) -> None:
    done = promtool("check", what, MONITORING / file)
    assert done.returncode == 0, done.stderr


def test_each_rule_fires_when_it_should_and_not_else() -> None:
    """By promtool's own unit tests, whose series say what has happened."""
    done = promtool("test", "rules", *STORIES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_rule_is_without_a_test() -> None:
    told = {name for story in STORIES for name in re.findall(r"alertname: (\w+)", story.read_text())}
    assert {each["alert"] for each in rules()} == told


def test_every_rule_says_how_bad_it_is_and_names_its_runbook() -> None:
    """Causes are those of incidents; the rule for incidents takes cause and severity from them."""
    for each in rules():
        labels, said = each["labels"], each["annotations"]
        assert said["summary"]
        assert said["description"]
        if labels.get("source") == "incident":
            assert said["runbook"] == "docs/runbooks/{{ $labels.cause }}.md"
            continue
        assert labels["cause"] in KNOWN, each["alert"]
        assert labels["severity"] in ("critical", "warning", "info")
        assert said["runbook"] == f"docs/runbooks/{labels['cause']}.md"


def test_every_cause_has_a_runbook() -> None:
    """Whatever the label of an incident names, the page is there."""
    assert [name for name in KNOWN if not (ROOT / "docs" / "runbooks" / f"{name}.md").exists()] == []


@pytest.mark.parametrize(("where", "expression"), [*expressions()], ids=[where for where, _ in expressions()])
def test_every_metric_that_is_named_is_there(where: str, expression: str) -> None:
    """In rules and dashboard: one that we tell, or one of Airflow's that a real run is seen to send."""
    named = metrics_in(expression)
    assert named
    assert named <= OURS | {LISTENING} | AIRFLOWS | ITS_OWN, where


def test_each_of_airflows_is_used() -> None:
    """What nobody shows need not be seen to come."""
    assert {name for _, text in expressions() for name in metrics_in(text) if name.startswith("airflow")} == AIRFLOWS
