"""Claims about a report on its way: from the outbox through Airflow's connection to a real mail server, once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.mail import MailSink
from demo.services import _free_port
from tests.reports.reporting import BEFORE, DAY, open_for_business
from tests.scenario import Shop
from tidemark.airflow.mailing import open_alerting
from tidemark.alerting import drain
from tidemark.reports import announce


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    """A mail server, and Airflow's connection to it."""
    port = _free_port()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "Tidemark <tidemark@shop.test>"}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.test/")
    monkeypatch.setenv("TIDEMARK_MAIL_TO", "ann@shop.test, bob@shop.test")
    server = MailSink(tmp_path / "mails", port)
    server.start()
    yield server
    server.stop()


def test_the_newest_report_is_mailed_once_with_its_pictures_and_where_its_page_is(shop: Shop, sink: MailSink) -> None:
    open_for_business(shop)
    for _ in range(2):
        with shop.deployment() as deployment:
            announce(deployment, "takings")
            drain(deployment, open_alerting(deployment.settings))
        shop.force("takings", BEFORE)
    (mail,) = sink.wait(1, 10)
    assert mail["Subject"] == f"Shop {DAY}: GBP 23,456 (+4 % on last week), 87 orders, 2.1 % returned"
    assert mail["From"] == "Tidemark <tidemark@shop.test>"
    assert mail["To"] == "ann@shop.test, bob@shop.test"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.walk()].count("image/png") == 3
    page = f"http://airflow.test/plugin/tidemark-reports/tidemark/reports/takings/{DAY}"
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        assert page in body.get_content()


def test_what_is_mailed_is_how_the_report_stands_when_it_is_sent(shop: Shop, sink: MailSink) -> None:
    """Not how it stood when it was announced: in between a file may have come, or be no good."""
    open_for_business(shop)
    with shop.deployment() as deployment:
        announce(deployment, "takings")
    shop.deliver("orders", BEFORE, "k,v\na\n")
    shop.run()
    with shop.deployment() as deployment:
        drain(deployment, open_alerting(deployment.settings))
    (mail,) = sink.wait(1, 10)
    assert str(mail["Subject"]).endswith("[provisional]")
