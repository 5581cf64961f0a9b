"""``tidemark alert``: whether the file can be used, and whether what is sent arrives."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.mail import MailSink
from demo.services import _free_port
from tests.alerting.receiving import Receiver, receiver
from tests.cli.conftest import ORDERS, Command
from tests.scenario import Shop

FILE = """
channels:
  on-call: {{mail: [on-call@shop.test]}}
  hook: {{webhook: "{url}/in", secret: $HOOK_SECRET, then: on-call}}
  pager: {{pagerduty: $PAGER_KEY, then: on-call}}
routes: [{{channels: [pager, hook]}}]
"""
KINDS = ["opened", "updated", "resolved", "information"]
SECRETS = {"HOOK_SECRET": "hunter2-hunter2", "PAGER_KEY": "0123456789abcdef0123456789abcdef"}


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    port = _free_port()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "tidemark@shop.test"}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    server = MailSink(tmp_path / "mails", port)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def alerts(shop: Shop, tidemark: Command, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, with a receiver for everything but mail."""
    from apprise.plugins import pagerduty

    monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", f"{hook.url}/v2/enqueue")
    file = shop.home / "alerts.yaml"
    file.write_text(FILE.format(url=hook.url))
    monkeypatch.setenv("TIDEMARK_ALERTS", str(file))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return file


def test_one_of_each_kind_goes_through_every_channel(
    tidemark: Command, alerts: Path, hook: Receiver, sink: MailSink
) -> None:
    """But no information to a pager; and the incident that never was is closed again there."""
    said = tidemark.json("alert", "test")
    assert [each["kind"] for each in said if each["channel"] == "hook"] == KINDS
    outcomes = {(each["channel"], each["kind"]): each["outcome"] for each in said}
    assert len(outcomes) == 12
    assert outcomes.pop(("pager", "information")) == "not sent: it wakes people"
    assert set(outcomes.values()) == {"delivered"}
    assert len(sink.wait(4)) == 4
    assert all("[TEST]" in mail["Subject"] for mail in sink.mails)
    events = [each.said for each in hook.got if each.path == "/v2/enqueue"]
    assert [each["event_action"] for each in events] == ["trigger", "trigger", "resolve"]
    assert len({each["dedup_key"] for each in events}) == 1


def test_one_channel_alone_can_be_tried(tidemark: Command, alerts: Path, hook: Receiver) -> None:
    done = tidemark("alert", "test", "--channel", "hook")
    assert done.code == 0
    assert done.out.count("delivered") == 4
    assert [each.said["kind"] for each in hook.got] == KINDS
    wrong = tidemark("alert", "test", "--channel", "hok")
    assert (wrong.code, wrong.err) == (2, "tidemark: there is no channel 'hok': did you mean 'hook'?\n")


def test_what_fails_is_told_and_is_exit_code_1(tidemark: Command, alerts: Path, hook: Receiver, sink: MailSink) -> None:
    """Whatever the others do; and no secret is told."""
    hook.answers = [500] * 7
    done = tidemark("alert", "test", "--json")
    assert done.code == 1
    failed = {each["channel"] for each in done.data if each["outcome"] == "answered 500"}
    assert failed == {"hook", "pager"}
    assert "7 of 12 messages were not delivered" in done.err
    assert not [each for each in SECRETS.values() if each in done.out + done.err]


def test_check_reads_the_file_and_sends_nothing(tidemark: Command, alerts: Path, hook: Receiver) -> None:
    assert tidemark("alert", "check").out == "well: 3 channels, 1 routes, 0 subscriptions\n"
    assert tidemark.json("alert", "check")["channels"] == ["hook", "on-call", "pager"]
    assert hook.got == []
    alerts.write_text(alerts.read_text().replace("[pager, hook]", "[pagr]"))
    wrong = tidemark("alert", "check")
    assert wrong.code == 2
    assert wrong.err == (
        f"tidemark: TIDEMARK_ALERTS, {alerts}: routes, entry 1.channels: there is no channel 'pagr': "
        "did you mean 'pager'?\n"
    )


def test_check_warns_of_pipelines_and_owners_that_no_plan_has_had(
    tidemark: Command, alerts: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be of tomorrow, so it is no error; before the first plan there is nothing to compare with."""
    told = "routes: [{owner: [stok, stock], channels: [hook]}, {pipeline: shp, channels: [hook]}, {channels: [hook]}]"
    alerts.write_text(alerts.read_text().replace("routes: [{channels: [pager, hook]}]", told))
    assert tidemark("alert", "check").err == ""
    shop.define(ORDERS.replace('source("orders",', 'source("orders", owner="stock",'))
    shop.run()
    done = tidemark("alert", "check")
    assert (done.code, done.out) == (0, "well: 3 channels, 3 routes, 0 subscriptions\n")
    assert done.err.splitlines() == [
        "routes, entry 1.owner: no plan has had the owner 'stok': did you mean 'stock'?",
        "routes, entry 2.pipeline: no plan has had the pipeline 'shp': did you mean 'shop'?",
    ]
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql+psycopg2://nobody@127.0.0.1:9/none")
    away = tidemark("alert", "check")
    assert away.code == 0
    assert "whether there are the pipelines and owners that it names is not known" in away.err


def test_check_says_that_nobody_is_told_of_anything(tidemark: Command, alerts: Path, shop: Shop) -> None:
    """And how that is changed; it is not well."""
    alerts.write_text("channels: {}\nroutes: [{channels: []}]\n")
    done = tidemark("alert", "check")
    assert (done.code, " ".join(done.out.split())) == (
        1,
        f"nobody is told of anything, for there is no channel: name channels in {alerts}",
    )
    assert "nobody is told of anything" in tidemark("alert", "check", "--json").err


def test_check_says_that_there_is_no_file(tidemark: Command) -> None:
    done = tidemark("alert", "check")
    assert (done.code, " ".join(done.out.split())) == (
        1,
        "nobody is told of anything, for there is no channel: set TIDEMARK_ALERTS, or at least TIDEMARK_MAIL_TO",
    )


def test_nobody_to_tell_is_said(tidemark: Command) -> None:
    done = tidemark("alert", "test")
    assert done.code == 2
    assert "there is no channel: set TIDEMARK_ALERTS, or at least TIDEMARK_MAIL_TO" in done.err


def test_the_settings_name_the_file_and_no_secret(tidemark: Command, alerts: Path) -> None:
    said = tidemark("config", "--json")
    assert said.data["TIDEMARK_ALERTS"] == str(alerts)
    assert not [each for each in SECRETS.values() if each in said.out]
