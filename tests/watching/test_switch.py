"""The dead man's switch is pressed for as long as people would hear of what is wrong, and its address is not told."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.scenario import Shop
from tidemark.errors import Unavailable
from tidemark.ledger import incidents, notices
from tidemark.watching.switch import STUCK, press, why_not


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """A service outside: its address, and what it was asked for; of /full it has too much."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(429 if self.path == "/full" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_its_address_is_fetched(outside: tuple[str, list[str]]) -> None:
    url, asked = outside
    press(f"{url}/0c2f")
    assert asked == ["/0c2f"]


def test_why_it_was_not_pressed_never_tells_the_address(outside: tuple[str, list[str]]) -> None:
    url, _ = outside
    with pytest.raises(Unavailable, match=r"^the dead man's switch refuses: 429$"):
        press(f"{url}/full")
    with pytest.raises(Unavailable, match=r"^the dead man's switch does not answer: ConnectError$"):
        press("http://127.0.0.1:9/0c2f")


def test_what_keeps_nobody_from_hearing_of_incidents_does_not_count(shop: Shop) -> None:
    """Information that no channel takes, and what another channel tells in place of one that fails."""
    later = datetime.now(UTC) + STUCK + timedelta(seconds=1)
    with shop.deployment() as deployment:
        with deployment.ledger.write() as connection:
            notices.write(connection, "prod", kind="report", topic="drift", severity="warning", payload={})
            notices.write(connection, "prod", kind="information", topic="repaired", severity="info", payload={})
            values = {"pipeline": "", "asset": "", "cause": "drift", "severity": "warning", "owner": "", "summary": ""}
            number = incidents.write(connection, "prod", {**values, "detail": {}, "happened": 1})
            for severity in ("warning", "info"):
                notices.write(
                    connection, "prod", kind="opened", topic="drift", severity=severity, payload={}, incident=number
                )
            for notice in notices.unrouted(connection):
                notices.route(connection, notice.id, ["chat"], later)
            for each in notices.pending(connection, "prod"):
                notices.postpone(connection, each.id, later, "503")
        assert why_not(deployment, later, later) == "the channel chat takes nothing: 503"
        with deployment.ledger.write() as connection:
            (wrong,) = (each for each in notices.pending(connection, "prod") if not each.notice.is_information)
            notices.fall_back(connection, wrong.id, "mail", later)
        assert why_not(deployment, later, later) == ""
        with deployment.ledger.write() as connection:
            (other,) = (each for each in notices.pending(connection, "prod") if each.channel == "mail")
            notices.postpone(connection, other.id, later, "no route to host")
        assert why_not(deployment, later, later) == "the channel mail takes nothing: no route to host"


def test_it_is_not_pressed_while_notices_do_not_get_out(shop: Shop) -> None:
    """Nobody sees to the outbox, or a channel has failed with one for long; what is silenced waits, which is well."""
    now = datetime.now(UTC)
    later = now + STUCK + timedelta(seconds=1)
    with shop.deployment() as deployment:
        assert why_not(deployment, None) == "nobody sees to the outbox"
        assert why_not(deployment, now, later) == "nobody sees to the outbox"
        with deployment.ledger.write() as connection:
            values = {"pipeline": "", "asset": "", "cause": "drift", "severity": "warning", "owner": "", "summary": ""}
            number = incidents.write(connection, "prod", {**values, "detail": {}, "happened": 1})
            notices.write(
                connection, "prod", kind="opened", topic="drift", severity="warning", payload={}, incident=number
            )
        assert why_not(deployment, later, later) == ""
        with deployment.ledger.write() as connection:
            (notice,) = notices.unrouted(connection, 10)
            notices.route(connection, notice.id, ["pager"], datetime.now(UTC))
        assert why_not(deployment, later, later) == ""
        with deployment.ledger.write() as connection:
            (delivery,) = notices.pending(connection, "prod")
            notices.postpone(connection, delivery.id, later, "503")
        assert why_not(deployment, now, now) == ""
        assert why_not(deployment, later, later) == "the channel pager takes nothing: 503"
        with deployment.ledger.write() as connection:
            notices.finish(connection, delivery.id, notices.SENT, datetime.now(UTC))
        assert why_not(deployment, later, later) == ""
