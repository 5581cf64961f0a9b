"""Each way out, against a real receiver: what arrives, what is told when it does not, and that nothing waits for ever.

Apprise's plugins for Slack and PagerDuty know one address each, and Teams' speaks HTTPS only: for these tests that
constant, or the scheme, is turned to the receiver on 127.0.0.1; all else is as it is.
"""

import hashlib
import hmac
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from demo.services import _free_port
from tests.alerting.receiving import Receiver
from tidemark.alerting import Channel, Message, Undelivered
from tidemark.alerting.apprising import Apprised, PagerDuty
from tidemark.alerting.channels import MOST_HANGING, Line
from tidemark.alerting.webhook import Webhook, seconds_of
from tidemark.errors import UsageError

SECRET = "s3cr3t-of-the-hook"
TOKEN = "TIiajkdnlazkcOXrIdevi7Fq"
SLACK = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#ops"
KEY = "0123456789abcdef0123456789abcdef"
EVIL = "<!channel> <b>&amp;</b> *bold* [a](http://evil.test) naïve 価格 {{ 1 }}"


def message(kind: str = "opened", **changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": f"tidemark-prod-notice-{kind}",
        "key": "tidemark-prod-12",
        "kind": kind,
        "severity": "critical",
        "title": "CRITICAL: orders 2011-01-05: did not pass its gate",
        "text": f"orders 2011-01-05: did not pass its gate\n\nWHY\n{EVIL}",
        "html": "<p>orders</p>",
        "link": "http://airflow.test/dags/price_list",
        "facts": {"asset": "orders", "pipeline": "price_list", "cause": "gate_failed", "rows": [["a", "価格"]]},
    }
    return Message(**{**values, **changes})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apprise waits some seconds between two messages of one service; these tests have none to lose."""
    from apprise.plugins.base import NotifyBase
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifyBase, "request_rate_per_sec", 0)
    monkeypatch.setattr(NotifySlack, "request_rate_per_sec", 0)


@pytest.fixture
def slack(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Channel:
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"{hook.url}/services")
    return Apprised(SLACK)


@pytest.fixture
def pager(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Channel:
    from apprise.plugins import pagerduty

    monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", f"{hook.url}/v2/enqueue")
    return PagerDuty(KEY)


@pytest.fixture
def teams(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Channel:
    post = requests.post
    monkeypatch.setattr(requests, "post", lambda url, **rest: post(url.replace("https:", "http:"), **rest))
    return Apprised(f"workflows://{hook.url.removeprefix('http://')}/WORKFLOW/{TOKEN}")


@pytest.fixture
def web(hook: Receiver) -> Channel:
    return Webhook(f"{hook.url}/in?token={TOKEN}", SECRET)


@pytest.fixture(params=["slack", "pager", "teams", "web"])
def channel(request: pytest.FixtureRequest) -> Channel:
    """Each of the channels."""
    return request.getfixturevalue(request.param)


# -- what arrives


def test_slack_gets_the_title_the_text_and_the_colour_and_no_markup(slack: Channel, hook: Receiver) -> None:
    """What is in the data neither calls the whole channel nor becomes bold or a link."""
    slack.send(message())
    (got,) = hook.got
    (shown,) = got.said["attachments"]
    assert got.path == f"/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}"
    assert shown["title"].startswith("CRITICAL: orders")
    assert "&lt;!channel&gt; &lt;b&gt;" in shown["text"]
    assert "naïve 価格 {{ 1 }}" in shown["text"]
    assert got.said["mrkdwn"] is False
    assert b"<!channel>" not in got.body
    assert b"github.com" not in got.body  # no picture is fetched from elsewhere


def test_teams_gets_one_card_however_long_it_is(teams: Channel, hook: Receiver) -> None:
    """Apprise would cut it into pieces of a thousand characters, of which a card can have twenty-eight."""
    teams.send(message(text=f"{EVIL}\n" + "a line of the alert\n" * 500))
    (got,) = hook.got
    text = " ".join(each.get("text", "") for each in got.said["attachments"][0]["content"]["body"])
    assert "CRITICAL: orders" in text
    assert "<b>" not in text
    assert "\\*bold\\*" in text
    assert text.count("a line of the alert") == 500


def test_what_does_not_fit_is_cut_at_a_line_and_says_where_the_rest_is(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message tells what matters most; a service with room for less gets no second one."""
    from apprise.plugins.custom_json import NotifyJSON

    monkeypatch.setattr(NotifyJSON, "body_maxlen", 200)
    Apprised(hook.url.replace("http:", "json:")).send(message(text="a line of the alert\n" * 500))
    (got,) = hook.got
    text = got.said["message"]
    assert len(text) <= 200
    assert text.startswith("a line of the alert\na line")
    assert text.endswith("a line of the alert\n… and more: http://airflow.test/dags/price_list")


def test_pagerduty_is_triggered_updated_and_resolved_with_one_key(pager: Channel, hook: Receiver) -> None:
    for kind in ("opened", "updated", "resolved"):
        pager.send(message(kind))
    opened, updated, resolved = (each.said for each in hook.got)
    assert [each["event_action"] for each in (opened, updated, resolved)] == ["trigger", "trigger", "resolve"]
    assert {each["dedup_key"] for each in (opened, updated, resolved)} == {"tidemark-prod-12"}
    assert {each["routing_key"] for each in (opened, updated, resolved)} == {KEY}
    event = opened["payload"]
    assert event["summary"] == "CRITICAL: orders 2011-01-05: did not pass its gate"
    assert (event["severity"], event["component"], event["group"]) == ("critical", "orders", "price_list")
    assert (event["class"], opened["links"]) == ("gate_failed", [{"href": "http://airflow.test/dags/price_list"}])
    assert EVIL in event["custom_details"]["alert"]


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_pagerduty_knows_how_bad_it_is(pager: Channel, hook: Receiver, severity: str) -> None:
    pager.send(message(severity=severity))
    assert hook.got[0].said["payload"]["severity"] == severity


def test_a_webhook_is_json_and_signed_over_time_and_body(web: Channel, hook: Receiver) -> None:
    web.send(message())
    (got,) = hook.got
    stamp = got.headers["X-Tidemark-Timestamp"]
    wanted = hmac.new(SECRET.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Tidemark-Signature"] == f"sha256={wanted}"
    assert abs(time.time() - int(stamp)) < 60
    assert got.headers["X-Tidemark-Id"] == got.said["id"] == "tidemark-prod-notice-opened"
    assert got.said["text"] == message().text
    assert got.said["facts"]["rows"] == [["a", "価格"]]


# -- what does not


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_an_answer_that_is_no_success_is_told(channel: Channel, hook: Receiver, status: int) -> None:
    hook.answers = [status]
    with pytest.raises(Undelivered, match=f"^answered {status}$"):
        channel.send(message())
    channel.send(message())  # and the next one goes through


def test_a_redirect_is_no_delivery(web: Channel, hook: Receiver) -> None:
    """A signed alert is not carried on to where somebody else says."""
    hook.answers = [(302, {"Location": f"{hook.url}/elsewhere"})]
    with pytest.raises(Undelivered, match="answered 302"):
        web.send(message())
    assert len(hook.got) == 1


def test_a_webhook_that_has_had_enough_says_for_how_long(web: Channel, hook: Receiver) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    hook.answers = [(429, {"Retry-After": "120"}), (503, {"Retry-After": until}), (429, {"Retry-After": "soon"}), 429]
    asked = []
    for _ in range(4):
        with pytest.raises(Undelivered) as failed:
            web.send(message())
        asked.append(failed.value.retry_after)
    assert asked[0] == 120
    assert 80 <= asked[1] <= 90
    assert asked[2:] == [None, None]


@pytest.mark.parametrize(("said", "seconds"), [("-5", 0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0), ("", None)])
def test_a_time_that_is_past_asks_for_nothing(said: str, seconds: float | None) -> None:
    assert seconds_of(said) == seconds


def test_a_connection_that_is_closed_or_refused_is_told(channel: Channel, hook: Receiver) -> None:
    hook.answers = ["closes"]
    with pytest.raises(Undelivered, match="could not be reached"):
        channel.send(message())
    hook.stop()
    with pytest.raises(Undelivered, match="could not be reached"):
        channel.send(message())


@pytest.mark.parametrize("how", ["hangs", "trickles"])
def test_what_hangs_is_given_up(channel: Channel, hook: Receiver, how: str) -> None:
    """Also when a byte comes now and then, so that no timeout of a library ever ends it."""
    hook.answers = [how]
    line = Line("it", channel)
    began = time.monotonic()
    with pytest.raises(Undelivered, match=r"no answer within 0\.7 seconds") as failed:
        line.deliver(message(), seconds=0.7)
    assert time.monotonic() - began < 2
    assert failed.value.hung
    line.deliver(message(), seconds=5)  # the next attempt is a new one


def test_no_more_than_a_few_attempts_hang_at_once(web: Channel, hook: Receiver) -> None:
    """A thread that waits cannot be ended, so there is a limit to how many there are."""
    hook.answers = ["trickles"] * (MOST_HANGING + 1)
    line = Line("hook", web)
    for _ in range(MOST_HANGING):
        with pytest.raises(Undelivered, match="no answer"):
            line.deliver(message(), seconds=0.1)
    with pytest.raises(Undelivered, match="earlier attempts still hang"):
        line.deliver(message(), seconds=0.1)
    assert len(hook.wait(MOST_HANGING)) == MOST_HANGING


def test_whatever_a_channel_raises_is_told_without_its_words() -> None:
    """They may hold the URL."""

    class Broken:
        def send(self, message: Message) -> None:
            raise RuntimeError(f"cannot do https://host/{TOKEN}")

    with pytest.raises(Undelivered, match=r"^failed with RuntimeError$"):
        Line("it", Broken()).deliver(message())


# -- secrets


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that any library would write to a log if it were asked for everything."""
    names = [None, "apprise", "httpx", "httpcore", "urllib3", "requests"]
    for name in names:
        caplog.set_level(logging.DEBUG, name)
    return caplog


@pytest.mark.parametrize("answer", [200, 403, 500, "closes"])
def test_no_secret_is_logged_shown_or_told(
    channel: Channel, hook: Receiver, everything_logged: pytest.LogCaptureFixture, answer: int | str
) -> None:
    """Neither a key, nor a token, nor the URL in which it is: the log of all libraries at their most talkative."""
    hook.answers = [answer]
    said = repr(channel)
    try:
        Line("it", channel).deliver(message())
    except Undelivered as problem:
        said += str(problem) + repr(problem) + repr(problem.__cause__) + repr(problem.__context__)
    said += everything_logged.text
    assert len(hook.got) == 1
    for secret in (TOKEN, SECRET, KEY):
        assert secret not in said


def test_other_threads_may_go_on_talking(caplog: pytest.LogCaptureFixture, hook: Receiver) -> None:
    """Only what is said while an alert is sent is kept quiet."""
    caplog.set_level(logging.DEBUG, "httpx")
    Webhook(hook.url, SECRET).send(message())
    logging.getLogger("httpx").info("somebody else's request")
    assert "somebody else's request" in caplog.text


def test_a_url_that_apprise_does_not_know_is_refused_without_being_told() -> None:
    with pytest.raises(UsageError, match="Apprise does not know such a URL") as refused:
        Apprised(f"slck://{TOKEN}")
    assert TOKEN not in str(refused.value)


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(Undelivered, match="could not be reached: ConnectError"):
        Webhook(f"http://127.0.0.1:{_free_port()}", SECRET).send(message())
    assert time.monotonic() - began < 2


def test_what_a_webhook_posts_is_what_the_page_says(hook: Receiver) -> None:
    Webhook(hook.url, SECRET).send(message())
    assert set(json.loads(hook.got[0].body)) == {"id", "key", "kind", "severity", "title", "text", "link", "facts"}
