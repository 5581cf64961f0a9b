"""What on-call gets, through the real scheduler, the watch, a mail server and a receiver: one alert a cause."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import Deployment, Run, new_database, services_in, wait_for

from tests.gates import rule, write_suite

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

SECRET = "a secret of the receiver's"
ALERTS = """
channels:
  on-call: {mail: [oncall@shop.test]}
  hook: {webhook: "$HOOK_URL", secret: $HOOK_SECRET, then: on-call}
routes:
  - {owner: [intake], channels: [hook, on-call]}
  - {channels: [on-call]}
updates: 0 minutes
"""
SHOP = '''
    """A shop of which five tables depend on what is delivered."""
    import polars as pl
    from tidemark import Calendar, Daily, Static, asset, last_known, pipeline, source

    DAYS = Daily()
    sales = source("sales", files="sales/{partition}.csv", partitions=DAYS, gate="sales", owner="intake",
                   schema={"sku": str, "card": str, "units": int}, pii=["card"])
    rates = source("rates", files="rates/{partition}.csv", partitions=DAYS, schema={"rate": float}, owner="treasury",
                   expected=Calendar("MON-SUN"), due="1 day 02:00")

    @asset(partitions=DAYS)
    def lines(sales: pl.DataFrame) -> pl.DataFrame:
        return sales.drop("card")

    @asset(partitions=DAYS)
    def totals(lines: pl.DataFrame) -> pl.DataFrame:
        return lines.select(pl.col("units").sum())

    @asset(partitions=DAYS)
    def shares(lines: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
        return lines.with_columns(share=pl.col("units") / totals["units"].item())

    @asset(partitions=DAYS)
    def best(shares: pl.DataFrame) -> pl.DataFrame:
        return shares.sort("share").tail(1)

    @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
    def worth(totals: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
        return totals.with_columns(eur=pl.col("units") / rates["rate"].item())

    @asset(partitions=Static([f"part-{number:03}" for number in range(500)]))
    def parts() -> str:
        raise ValueError("no machine has <five> hundred parts: größer")

    product = pipeline("shop", [sales, rates, lines, totals, shares, best, worth], owner="shop")
    five_hundred = pipeline("five_hundred", [parts], owner="shop")
    '''
GOOD, BAD = "sku,card,units\na,4111-1111,1\n", "sku,card,units\n<b>ä</b>,4111-1111,-7\n"


class Receiver(ThreadingHTTPServer):
    """A receiver of signed alerts on this machine; it believes nothing that is not signed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.alerts: list[dict[str, Any]] = []
        self.forged = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"

    def of(self, cause: str) -> list[str]:
        """The kinds of alerts that came of a cause class, in order."""
        return [each["kind"] for each in self.alerts if each["facts"]["cause"] == cause]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        at = self.headers["X-Tidemark-Timestamp"]
        wanted = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(self.headers["X-Tidemark-Signature"], f"sha256={wanted}"):
            self.server.alerts.append(json.loads(body))
        else:
            self.server.forged += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *said: Any) -> None:
        """Say nothing."""


@dataclass
class OnCall:
    """Who is on call for a deployment of its own, whose time a test moves on with each run."""

    deployment: Deployment
    receiver: Receiver

    def run(self, dag: str, day: str, clock: str = "06:00") -> Run:
        """Run a pipeline as of a morning."""
        return self.deployment.trigger(dag, as_of=f"{day}T{clock}:00+00:00")

    def deliver(self, day: str, sales: str = GOOD, *, rates: bool = True) -> None:
        self.deployment.deliver(f"sales/{day}.csv", sales)
        if rates:
            self.deployment.deliver(f"rates/{day}.csv", "rate\n2\n")

    def mails(self, about: str) -> list[EmailMessage]:
        """The mails whose subject names something, oldest first."""
        return [mail for mail in self.deployment.services.mails if about in mail["Subject"]]

    def heard(self, cause: str, *kinds: str) -> None:
        """Wait until just these alerts of a cause class have come to the receiver."""
        wait_for(
            lambda: self.receiver.of(cause)[len(kinds) - 1 :], f"{kinds[-1]} {cause}", lambda: str(self.receiver.alerts)
        )
        assert self.receiver.of(cause) == list(kinds)

    def watched(self) -> None:
        """Let the watch look and send several times: it does so every two seconds."""
        time.sleep(8)


@pytest.fixture(scope="module")
def on_call(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnCall]:
    """A deployment of its own, since time goes on in it; its alerts are mailed, and sent to a receiver."""
    folder = tmp_path_factory.mktemp("on_call")
    receiver = Receiver()
    serving = threading.Thread(target=receiver.serve_forever, daemon=True)
    serving.start()
    suites = folder / "expectations"
    suites.mkdir()
    write_suite(suites, rule("expect_column_values_to_be_between", column="units", min_value=0), name="sales")
    (folder / "alerts.yml").write_text(ALERTS)
    services = services_in(
        folder,
        new_database(request, "airflow_for_on_call"),
        TIDEMARK_ALERTS=str(folder / "alerts.yml"),
        TIDEMARK_AS_OF="2011-03-01T00:00:00+00:00",
        TIDEMARK_EXPECTATIONS=str(suites),
        HOOK_SECRET=SECRET,
        HOOK_URL=receiver.url,
    )
    with services, services.client() as client:
        deployment = Deployment(services, client, folder / "dags", folder / "landing")
        found = OnCall(deployment, receiver)
        found.deliver("2011-03-01")
        deployment.push("shop", SHOP)
        yield found
    receiver.shutdown()
    serving.join()


def test_a_bad_file_is_one_alert_updates_and_one_all_clear(on_call: OnCall) -> None:
    """However many tables it blocks, and for however many days."""
    assert on_call.run("shop", "2011-03-02").state == "success"
    for number in (2, 3, 4):
        on_call.deliver(f"2011-03-0{number}", BAD)
        assert on_call.run("shop", f"2011-03-0{number + 1}").state == "failed"
        on_call.heard("gate_failed", "opened", *["updated"] * (number - 2))
    first, *_, newest = on_call.receiver.alerts
    reached = {each["asset"]: each["partitions"] for each in newest["facts"]["reach"]}
    assert reached == dict.fromkeys(("lines", "totals", "shares", "best", "worth"), 3)
    assert {each["key"] for each in on_call.receiver.alerts} == {first["key"]}
    for number in (2, 3, 4):
        on_call.deliver(f"2011-03-0{number}")
    assert on_call.run("shop", "2011-03-05").state == "success"
    on_call.heard("gate_failed", "opened", "updated", "updated", "resolved")
    mails = wait_for(lambda: on_call.mails("sales")[3:] and on_call.mails("sales"), "four mails")
    assert len(mails) == 4
    thread = mails[0]["Message-ID"]
    assert [mail["References"] for mail in mails] == [None, thread, thread, thread]
    everything = "".join(mail.as_string() for mail in mails) + json.dumps(on_call.receiver.alerts)
    assert "4111" not in everything, "personal data are masked"
    assert SECRET not in everything
    assert on_call.receiver.forged == 0


def test_a_late_file_is_told_of_when_it_matters_and_no_earlier(on_call: OnCall) -> None:
    """Nothing before it is due, one alert after, one all-clear when it comes; it is the treasury's, so by mail only."""
    on_call.deliver("2011-03-05", rates=False)
    on_call.run("shop", "2011-03-06", "01:00")
    on_call.watched()
    assert on_call.mails("rates") == []
    on_call.run("shop", "2011-03-06", "03:00")
    (mail,) = wait_for(lambda: on_call.mails("rates"), "the alert")
    assert "2011-03-05" in mail["Subject"]
    on_call.run("shop", "2011-03-06", "04:00")
    on_call.watched()
    assert len(on_call.mails("rates")) == 1
    on_call.deployment.deliver("rates/2011-03-05.csv", "rate\n2\n")
    on_call.run("shop", "2011-03-06", "05:00")
    wait_for(lambda: on_call.mails("rates")[1:], "the all-clear")
    on_call.watched()
    assert len(on_call.mails("rates")) == 2


def test_five_hundred_failures_of_one_cause_are_one_incident_with_a_count(on_call: OnCall) -> None:
    """A day's alerts are no hundred mails."""
    assert on_call.run("five_hundred", "2011-03-06").state == "failed"
    (mail,) = wait_for(lambda: on_call.mails("parts"), "the alert")
    on_call.watched()
    assert len(on_call.mails("parts")) == 1
    (one,) = [each for each in on_call.deployment.tidemark("incident", "list") if each["asset"] == "parts"]
    assert one["happened"] == 500
    said = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "500" in said
    assert "no machine has &lt;five&gt; hundred parts: größer" in said


def test_a_silence_silences_and_ends(on_call: OnCall) -> None:
    """What happens meanwhile is told at its end, if it is not over by then."""
    ends = datetime.now(UTC) + timedelta(minutes=1)
    on_call.deployment.tidemark(
        "incident", "silence", "--asset", "sales", "--until", ends.isoformat(), "--why", "we are trying this"
    )
    before = len(on_call.mails("sales")), len(on_call.receiver.alerts)
    on_call.deliver("2011-03-06", BAD)
    assert on_call.run("shop", "2011-03-07").state == "failed"
    on_call.watched()
    assert (len(on_call.mails("sales")), len(on_call.receiver.alerts)) == before
    assert datetime.now(UTC) < ends, "this machine is too slow for a silence of a minute"
    wait_for(lambda: len(on_call.receiver.alerts) > before[1], "the alert after the silence")
    assert datetime.now(UTC) >= ends
    assert on_call.receiver.alerts[-1]["kind"] == "opened"
