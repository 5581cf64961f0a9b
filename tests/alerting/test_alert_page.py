"""The page about alerts does what it says: its file is read, its routes route, its receiver tells true from false."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.alerting.board import Diary
from tests.alerting.receiving import Receiver
from tests.alerting.test_alert_channels import message
from tests.alerting.test_alert_file import SECRETS, incident
from tidemark.alerting import load_alerting
from tidemark.alerting.config import TOPICS
from tidemark.alerting.routes import routed, subscribed
from tidemark.alerting.samples import sample_notice
from tidemark.alerting.webhook import Webhook
from tidemark.alerting.wording import NAMES
from tidemark.config import settings
from tidemark.incidents.topics import Topic

PAGE = (Path(__file__).parents[2] / "docs/alerting.md").read_text()


def example(name: str) -> str:
    found = re.search(rf"<!-- runs: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.S)
    assert found is not None
    return found[1]


def test_the_file_that_the_page_shows_does_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(example("alerts.yaml"))
    given = settings({"TIDEMARK_ALERTS": str(tmp_path / "alerts.yaml")})
    environ = SECRETS | {"DESK_SECRET": "hunter2-hunter2"}
    alerting = load_alerting(given, mailing=lambda to: Diary(), environ=environ)
    office, night = datetime(2011, 1, 6, 9, tzinfo=UTC), datetime(2011, 1, 6, 3, tzinfo=UTC)
    assert routed(alerting.routes, incident(), office) == ["chat", "desk"]
    assert routed(alerting.routes, incident(), night) == ["pager", "desk"]
    assert routed(alerting.routes, incident(severity="warning", owner="pricing"), night) == ["chat"]
    assert routed(alerting.routes, incident(severity="warning"), night) == ["on-call"]
    notice = sample_notice("prod", "information", night)
    assert subscribed(alerting.subscriptions, notice) == ["chat"]
    assert subscribed(
        alerting.subscriptions, notice._replace(kind="report", topic="business_report", pipeline="business_report")
    ) == ["team"]
    topics = {each: subscribed(alerting.subscriptions, notice._replace(topic=each)) for each in Topic}
    assert topics.pop(Topic.ACCURACY) == topics.pop(Topic.OUTLIERS) == ["team"]
    assert set(map(tuple, topics.values())) == {("chat",)}


def test_the_receiver_that_the_page_shows_tells_true_from_false(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: dict[str, Any] = {}
    exec(compile(example("verify.py"), "verify.py", "exec"), space)
    is_genuine = space["is_genuine"]
    Webhook(hook.url, "both know it").send(message())
    (got,) = hook.got
    assert is_genuine(got.headers, got.body, "both know it")
    assert not is_genuine(got.headers, got.body + b" ", "both know it")
    assert not is_genuine(got.headers, got.body, "somebody else's")
    assert not is_genuine(got.headers | {"X-Tidemark-Timestamp": str(int(time.time()) + 1)}, got.body, "both know it")
    assert not is_genuine({}, got.body, "both know it")
    monkeypatch.setattr(space["time"], "time", lambda: float(got.headers["X-Tidemark-Timestamp"]) + 301)
    assert not is_genuine(got.headers, got.body, "both know it")


def test_the_page_names_every_topic_and_template() -> None:
    assert [each for each in Topic if f"`{each}`" not in PAGE] == []
    assert "report" in TOPICS
    assert [each for each in NAMES if each.startswith("incident") and f"`{each}`" not in PAGE] == []
