"""A receiver of alerts for tests: a real HTTP server on 127.0.0.1 that answers as it is told, or does not."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request, as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Takes requests, and answers each by the next of ``answers``; after the last of these with 200.

    An answer is a status, a status with headers, or ``hangs``, ``trickles`` (headers that never end) or ``closes``.

    Attributes:
        url: its address.
        got: what came in, oldest first.

    """

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.answers: list[int | str | tuple[int, dict[str, str]]] = []
        self._over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(Received(self.path, dict(self.headers), body))
                receiver._answer(self)

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        answer = self.answers.pop(0) if self.answers else 200
        match answer:
            case "hangs":
                self._over.wait(60)
            case "trickles":
                request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not self._over.wait(0.2):
                    try:
                        request.wfile.write(b"x")
                        request.wfile.flush()
                    except OSError:
                        return
            case "closes":
                request.close_connection = True
            case (int(status), dict(headers)):
                self._say(request, status, headers)
            case int(status):
                self._say(request, status, {})

    @staticmethod
    def _say(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"ok")

    def wait(self, count: int, seconds: float = 10) -> list[Received]:
        """Wait until so many requests have come in; returns what came."""
        end = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < end:
            time.sleep(0.01)
        return list(self.got)

    def stop(self) -> None:
        """Let go of all who hang, and listen no more."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver."""
    made = Receiver()
    try:
        yield made
    finally:
        made.stop()
