"""The failure mail, sent through Airflow's notifier to a real mail server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from products import shop

from demo.mail import MailSink, text
from demo.services import _free_port
from tidemark.airflow.factory import build_dag
from tidemark.airflow.mail import MOST, send_failure, send_invalid, send_no_plan, send_swapped
from tidemark.verdict import Trouble, Verdict


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    """A mail server, and Airflow's connection to it."""
    port = _free_port()
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port}
    connection["extra"] = {
        "disable_ssl": True,
        "disable_tls": True,
        "from_email": "tidemark@localhost",
        "retry_limit": 0,
    }
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.test:8080/")
    monkeypatch.setenv("TIDEMARK_MAIL_TO", "oncall@shop.test, boss@shop.test")
    server = MailSink(tmp_path, port)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def context() -> Any:
    """What the mail needs to know of the running task."""
    return {"dag": build_dag(shop()), "run_id": "manual__1"}


def trouble(partition: str, why: str = "ValueError: no", *, new: bool = True) -> Trouble:
    """One partition that failed."""
    return Trouble("lines", partition, "failed", why, "its last good result 6d495981ec8a", new)


def test_it_says_what_failed_why_what_is_served_instead_and_where_to_look(sink: MailSink, context: Any) -> None:
    """In plain words, to everybody who is named."""
    send_failure(context, shop(), Verdict("shop", {}, (trouble("2011-01-05"),), 3))
    (mail,) = sink.wait(1)
    assert mail["To"] == "oncall@shop.test, boss@shop.test"
    assert mail["Subject"] == "shop: 1 failed"
    said = text(mail)
    for words in (
        "lines 2011-01-05: failed",
        "why: ValueError: no",
        "served instead: its last good result 6d495981ec8a",
        "3 partitions wait because of it.",
        "Owner: pricing",
        "Run: http://airflow.test:8080/dags/shop/runs/manual__1",
    ):
        assert words in said


def test_the_words_of_an_exception_arrive_as_they_are(sink: MailSink, context: Any) -> None:
    """They are neither a template nor markup."""
    why = "ValueError: {{ 1 / 0 }} <b>&amp;</b> {% raw %}"
    send_failure(context, shop(), Verdict("shop", {}, (trouble("2011-01-05", why),), 0))
    assert f"why: {why}" in text(sink.wait(1)[0])


def test_it_names_what_is_new_and_counts_the_rest(sink: MailSink, context: Any) -> None:
    """Somebody who was told once is not told again, and nobody reads a thousand lines."""
    many = [trouble(f"partition {number}") for number in range(MOST + 5)]
    send_failure(context, shop(), Verdict("shop", {}, (trouble("2011-01-05", new=False), *many), 0))
    said = text(sink.wait(1)[0])
    assert "2011-01-05" not in said
    assert "... and 5 more" in said


def test_a_plan_that_could_not_be_made_is_told_too(sink: MailSink, context: Any) -> None:
    """Nothing ran, and nobody would notice."""
    send_no_plan(context, shop())
    assert "What was live before is still served." in text(sink.wait(1)[0])


def test_a_candidate_that_did_not_pass_is_told_with_all_that_is_wrong(sink: MailSink, context: Any) -> None:
    send_invalid(context, shop(), "forecast 1f3a5c7e9b0d", ["off_by is 7, and may be at most 5", "the gate said <no>"])
    (mail,) = sink.wait(1)
    assert mail["Subject"] == "forecast 1f3a5c7e9b0d did not pass"
    said = text(mail)
    assert "off_by is 7, and may be at most 5" in said
    assert "the gate said <no>" in said
    assert "The champion stays, and nothing was registered." in said


def test_a_champion_that_was_swapped_is_told(sink: MailSink, context: Any) -> None:
    send_swapped(context, shop(), ["forecast: the alias was moved from version 1 to 2"])
    (mail,) = sink.wait(1)
    assert mail["Subject"] == "shop: a champion was swapped in the registry"
    assert "the alias was moved from version 1 to 2" in text(mail)


def test_a_mail_that_cannot_be_sent_changes_nothing(
    context: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The verdict is what matters; the log has the mail and the reason."""
    monkeypatch.setenv("TIDEMARK_MAIL_TO", "oncall@shop.test")
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{_free_port()}")
    send_no_plan(context, shop())
    assert "The mail to oncall@shop.test could not be sent" in caplog.text
    assert "What was live before is still served." in caplog.text


def test_nobody_named_is_nobody_told(sink: MailSink, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TIDEMARK_MAIL_TO no connection is needed either."""
    monkeypatch.delenv("TIDEMARK_MAIL_TO")
    send_no_plan(context, shop())
    assert sink.wait(1, timeout=0.5) == []
