"""The administrator's page on monitoring names what there is."""

import re

from demo.services import sending_metrics
from tests.monitoring.expressions import rules
from tests.monitoring.told import LISTENING, OURS
from tests.prometheus import ROOT

PAGE = (ROOT / "docs" / "monitoring.md").read_text()


def test_every_metric_is_explained_and_no_other() -> None:
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `tidemark_"))
    assert set(re.findall(r"`(tidemark_\w+)`", table)) == OURS | {LISTENING}


def test_airflow_is_told_what_the_page_says() -> None:
    """The end-to-end tests run with just these."""
    said = dict(re.findall(r"`(AIRFLOW__METRICS__\w+)=(\S+)`", PAGE))
    assert said == sending_metrics(8125)


def test_what_the_page_says_of_the_rules() -> None:
    """Every group is in its table, and the label by which incidents are told apart is there."""
    groups = re.findall(r"^  - name: (.*)$", (ROOT / "monitoring" / "alerts.yml").read_text(), re.MULTILINE)
    table = PAGE.partition("## Which alerts to use")[2]
    assert re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE) == groups
    assert [each["alert"] for each in rules() if each["labels"].get("source") == "incident"] == ["TidemarkIncidentOpen"]
