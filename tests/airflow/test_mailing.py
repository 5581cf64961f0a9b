"""Alerts as mails, through Airflow's connection, to a real mail server."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from demo.mail import MailSink
from demo.services import _free_port
from tests.reports.reporting import DAY, open_for_business
from tests.scenario import Shop
from tidemark.airflow.mailing import MailChannel, open_alerting
from tidemark.alerting import Message, Undelivered, drain
from tidemark.alerting.channels import Line
from tidemark.alerting.messages import Links, incident_message, report_message
from tidemark.alerting.samples import sample_incident, sample_notice
from tidemark.alerting.wording import Wording
from tidemark.config import settings
from tidemark.reports import announce

TO = MailChannel(("oncall@shop.test", "boss@shop.test"))
NOW = datetime(2011, 1, 6, 8, 2, tzinfo=UTC)
PASSWORD = "hunter2-of-the-mail"


def connect(monkeypatch: pytest.MonkeyPatch, port: int, **more: Any) -> None:
    """Let Airflow know of a mail server."""
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "Tidemark <tidemark@shop.test>"}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra} | more
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    """A mail server, and Airflow's connection to it."""
    port = _free_port()
    connect(monkeypatch, port)
    server = MailSink(tmp_path / "mails", port)
    server.start()
    yield server
    server.stop()


def alert(kind: str = "opened", number: int = 7, **changes: Any) -> Message:
    """One alert of an incident; the notice's number is another for each kind."""
    one = sample_incident("prod", NOW, number=12)._replace(**changes)
    notice = sample_notice("prod", kind, NOW)._replace(id=number)
    return incident_message(notice, one, wording=Wording(), links=Links("https://git.test/r"), now=NOW)


def test_an_alert_is_one_mail_with_text_and_html(sink: MailSink) -> None:
    """To everybody who is named, and both say it all."""
    TO.send(alert(summary="orders 2011-01-05: naïve 価格 did not pass"))
    (mail,) = sink.wait(1)
    assert mail["Subject"] == "CRITICAL: orders 2011-01-05: naïve 価格 did not pass"
    assert mail["From"] == "Tidemark <tidemark@shop.test>"
    assert mail["To"] == "oncall@shop.test, boss@shop.test"
    assert (mail["Importance"], mail["Auto-Submitted"]) == ("high", "auto-generated")
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "naïve 価格" in text.get_content()
    assert "SERVED INSTEAD" in text.get_content()
    assert "<b>business_report</b> (report)" in html.get_content()
    assert max(map(len, mail.as_bytes().splitlines())) < 998


def test_the_mails_of_one_incident_are_one_thread(sink: MailSink) -> None:
    """And a mail that is sent again is the same mail."""
    for message in (alert(), alert("updated", 8), alert("resolved", 9, resolved_at=NOW), alert("resolved", 9)):
        TO.send(message)
    opened, updated, resolved, again = sink.wait(4)
    assert resolved["Subject"] == "Over after 42 minutes: orders 2011-01-05: did not pass its gate"
    assert opened["Message-ID"] == "<tidemark-prod-12@shop.test>"
    assert "In-Reply-To" not in opened
    for each in (updated, resolved):
        assert each["In-Reply-To"] == each["References"] == opened["Message-ID"]
    assert len({each["Message-ID"] for each in (opened, updated, resolved)}) == 3
    assert again["Message-ID"] == resolved["Message-ID"]
    assert updated["Importance"] is None


def test_a_mail_that_is_ready_is_sent_as_it_is(sink: MailSink) -> None:
    """A report with its pictures; only who sends it to whom, and when, is said anew."""
    ready = EmailMessage()
    ready["Subject"], ready["From"], ready["To"] = (
        "The shop on 2011-01-05",
        "nobody@nowhere.test",
        "nobody@nowhere.test",
    )
    ready.set_content("Revenue: 12 €")
    ready.add_alternative("<img src='cid:chart'>", subtype="html")
    ready.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<chart>")  # type: ignore[union-attr,index]
    notice = sample_notice("prod", "information", NOW)._replace(kind="report", payload={"asset": "business_report"})
    TO.send(report_message(notice, ready))
    (mail,) = sink.wait(1)
    assert (mail["From"], mail["To"]) == ("Tidemark <tidemark@shop.test>", "oncall@shop.test, boss@shop.test")
    assert "In-Reply-To" not in mail
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    assert ready["From"] == "nobody@nowhere.test"  # the one at hand is not changed


@pytest.mark.parametrize("length", [60, 70, 75, 80, 190])
def test_a_subject_begins_where_it_should(sink: MailSink, length: int) -> None:
    """However long it is: of one that nearly fills a line Python makes two, the first of them empty."""
    TO.send(alert(summary="x" * length))
    (mail,) = sink.wait(1)
    assert mail["Subject"] == f"CRITICAL: {'x' * length}"


def test_no_line_of_the_data_becomes_a_header(sink: MailSink) -> None:
    TO.send(alert(summary="orders\r\nBcc: evil@evil.test\r\n\r\nbody", owner="x\r\nX-Evil: 1"))
    (mail,) = sink.wait(1)
    assert mail["Bcc"] is None
    assert mail["X-Evil"] is None
    assert mail["Subject"] == "CRITICAL: orders Bcc: evil@evil.test body"


# -- when it does not work


def test_a_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, _free_port())
    with pytest.raises(Undelivered, match="the mail server could not be used: ConnectionRefusedError"):
        TO.send(alert())


def test_a_connection_that_airflow_does_not_know_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words: Airflow's own exception would say nothing to who reads the ledger."""
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    with pytest.raises(Undelivered, match="Airflow knows of no connection smtp_default"):
        TO.send(alert())


def test_a_connection_without_a_sender_is_told(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, sink._controller.port, extra={"disable_ssl": True, "disable_tls": True})
    with pytest.raises(Undelivered, match="has no from_email"):
        TO.send(alert())


@pytest.mark.parametrize("trickles", [False, True])
def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, trickles: bool) -> None:
    """Also one that sends its greeting a byte at a time."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect(monkeypatch, server.getsockname()[1])

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                while not over.wait(0.1):
                    if trickles:
                        caller.sendall(b"2")

        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(Undelivered, match=r"no answer within 0\.7 seconds"):
            Line("on-call", TO).deliver(alert(), seconds=0.7)
        assert time.monotonic() - began < 3
        over.set()


class Refusing:
    """Refuses some receivers, and what it does not like the look of."""

    def __init__(self, *refused: str, data: str = "250 kept") -> None:
        self.refused, self.data, self.kept = refused, data, 0

    async def handle_RCPT(self, server: object, session: object, envelope: Any, address: str, options: object) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        self.kept += self.data.startswith("250")
        return self.data


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts a mail server with a handler."""
    running = []

    def start(handler: object, **options: Any) -> None:
        controller = Controller(handler, hostname="127.0.0.1", port=_free_port(), **options)
        controller.start()
        running.append(controller)
        connect(monkeypatch, controller.port, login="tidemark", password=PASSWORD)

    yield start
    for each in running:
        each.stop(no_assert=True)


def test_who_is_not_known_does_not_keep_it_from_the_others(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Sent again for one of them, the others would get it again and again."""
    handler = Refusing("boss@shop.test")
    serve(handler, auth_required=False, authenticator=lambda *_: AuthResult(success=True), auth_require_tls=False)
    TO.send(alert())
    assert handler.kept == 1
    assert "the mail server refuses boss@shop.test" in caplog.text


def test_a_mail_that_the_server_does_not_take_is_told(serve: Any) -> None:
    anyone = {"authenticator": lambda *_: AuthResult(success=True), "auth_require_tls": False}
    serve(Refusing(data="451 try later"), **anyone)
    with pytest.raises(Undelivered, match="the mail server answered 451"):
        TO.send(alert())
    serve(Refusing("boss@shop.test", "oncall@shop.test"), **anyone)
    with pytest.raises(Undelivered, match="could not be used: SMTPRecipientsRefused"):
        TO.send(alert())


def test_a_password_is_neither_told_nor_logged(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """When the server refuses it."""
    caplog.set_level(logging.DEBUG)
    asked: list[LoginPassword] = []

    def refuse(server: object, session: object, envelope: object, mechanism: str, given: Any) -> AuthResult:
        asked.append(given)
        return AuthResult(success=False, handled=False)

    serve(Refusing(), authenticator=refuse, auth_required=True, auth_require_tls=False)
    with pytest.raises(Undelivered, match="the mail server answered 535") as failed:
        TO.send(alert())
    assert asked[0].password.decode() == PASSWORD
    ours = "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith("mail."))
    assert PASSWORD not in ours + repr(failed.value) + repr(failed.value.__context__)


def test_a_report_is_mailed_to_who_has_subscribed(shop: Shop, sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its pictures, and the address of its page in Airflow."""
    monkeypatch.setenv("TIDEMARK_MAIL_TO", "boss@shop.test")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.test:8080/")
    open_for_business(shop)
    with shop.deployment() as deployment:
        assert announce(deployment, "takings") == [DAY]
        done = drain(deployment, open_alerting(deployment.settings))
    assert (done.sent, done.problems) == (1, ())
    (mail,) = sink.wait(1)
    assert mail["To"] == "boss@shop.test"
    assert mail["Subject"].startswith(f"Shop {DAY}: GBP 23,456")
    assert "image/png" in [part.get_content_type() for part in mail.walk()]
    text = mail.get_body(("plain",))
    assert text is not None
    assert f"http://airflow.test:8080/plugin/tidemark-reports/tidemark/reports/takings/{DAY}" in text.get_content()


def test_the_channel_is_handed_in_where_airflow_is_known(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, whom TIDEMARK_MAIL_TO names gets everything."""
    monkeypatch.setenv("TIDEMARK_MAIL_TO", "oncall@shop.test")
    alerting = open_alerting(settings({}))
    alerting.lines["mail"].deliver(replace(alert(), title="through the line"))
    (mail,) = sink.wait(1)
    assert re.match("through the line", mail["Subject"])
