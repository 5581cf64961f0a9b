"""A real Prometheus scrapes what we serve, by the files that an administrator gets."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import Command, enter
from tests.monitoring.expressions import queries
from tests.monitoring.told import LISTENING, OURS, play, told, told_by
from tests.prometheus import configured, prometheus_server, promtool
from tests.scenario import Shop
from tests.servers import free_port
from tidemark.errors import UsageError
from tidemark.metrics.addresses import Address
from tidemark.metrics.serving import serve, serve_if_asked

pytestmark = pytest.mark.timeout(180)

# What is another at the next look.
CHANGING = {"tidemark_collect_seconds", "tidemark_freshness_seconds", "tidemark_oldest_provisional_seconds"}


def scraped(address: object) -> bytes:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        read: bytes = answer.read()
    return read


@pytest.mark.slow
def test_prometheus_knows_what_the_ledger_says(shop: Shop, tmp_path: Path) -> None:
    """Each metric is there by its name, with the values that we tell, and the rules find what is wrong."""
    play(shop)
    with (
        shop.deployment() as deployment,
        serve(deployment, Address("127.0.0.1", 0), statsd=Address("127.0.0.1", free_port())) as address,
        prometheus_server(configured(tmp_path, str(address)), tmp_path) as prometheus,
    ):
        (labels,) = prometheus.wait_for("tidemark_up == 1")
        assert dict(labels) == {"__name__": "tidemark_up", "instance": str(address), "job": "tidemark"}
        # A heartbeat has no value before there is something that shows one.
        assert prometheus.names() >= (OURS | {LISTENING}) - {"tidemark_heartbeat_timestamp_seconds"}
        for name in OURS - CHANGING:
            ours = sorted(told(shop).of(name).values())
            assert sorted(value for value in prometheus.query(name).values() if value) == ours, name
        firing = prometheus.wait_for('ALERTS{alertname="TidemarkIncidentOpen", alertstate="firing"}')
        assert {dict(each)["cause"] for each in firing} == {"gate_failed", "asset_failed"}
        for title, expression in queries():
            if "airflow" not in expression and "heartbeat" not in expression:
                assert prometheus.wait_for(expression), title
        kinds = {name: each["type"] for name, (each, *_) in prometheus.ask("metadata").items()}
        assert kinds["tidemark_heads"] == "gauge"
        assert kinds["tidemark_batch_seconds"] == "summary"
        assert kinds["tidemark_gate_failures"] == "counter"


def test_a_scrape_of_a_ledger_that_is_gone_says_so(shop: Shop) -> None:
    """It is no error, and it does not hang."""
    play(shop)
    with shop.deployment() as deployment, serve(deployment, Address("127.0.0.1", 0)) as address:
        assert told_by(scraped(address)).of("tidemark_up") == {(): 1}
        deployment.ledger.close()
        (shop.home / "ledger.db").rename(shop.home / "elsewhere.db")
        for each in shop.home.glob("ledger.db-*"):
            each.unlink()
        began = time.monotonic()
        assert told_by(scraped(address)) == {("tidemark_up",): 0}
        assert time.monotonic() - began < 10


def test_nobody_serves_who_was_not_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables say where, and what is wrong with them is said."""
    with shop.deployment() as deployment:
        with serve_if_asked(deployment) as address:
            assert address is None
        monkeypatch.setenv("TIDEMARK_STATSD", "0")
        with pytest.raises(UsageError, match="TIDEMARK_METRICS is not"), serve_if_asked(deployment):
            pass
        monkeypatch.setenv("TIDEMARK_METRICS", f"{free_port()}")
        monkeypatch.setenv("TIDEMARK_STATSD", f"{free_port()}")
        with serve_if_asked(deployment) as address:
            assert told_by(scraped(address))["tidemark_up",] == 1
            with pytest.raises(UsageError, match="Address already in use"), serve(deployment, address):
                pass


def test_the_command_prints_them_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """As text for Prometheus's textfile collectors, or as data."""
    play(shop)
    enter(shop, monkeypatch)
    tidemark = Command(capsysbinary)
    printed = tidemark("metrics")
    assert printed.code == 0
    assert promtool("check", "metrics", text=printed.out.encode()).returncode == 0
    assert told_by(printed.out.encode())["tidemark_heads", "motto", "prod", "final"] == 1
    data = tidemark.json("metrics")
    assert {"name": "tidemark_up", "labels": {}, "value": 1.0} in data
    assert tidemark("metrics", "--serve").code == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(shop: Shop, how: signal.Signals) -> None:
    """With a line that says where, and without a fuss at Ctrl-C."""
    play(shop)
    port = free_port()
    code = "import sys; from tidemark.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "metrics", "--serve"]
    environ = os.environ | shop.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TIDEMARK_METRICS": str(port)}
    serving = subprocess.Popen(command, env=environ, cwd=shop.home, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr is not None
        assert f"serving http://127.0.0.1:{port}/metrics" in serving.stderr.readline()
        assert told_by(scraped(f"127.0.0.1:{port}"))["tidemark_up",] == 1
        serving.send_signal(how)
        assert serving.wait(20) == 0
    finally:
        serving.kill()
        serving.wait()
