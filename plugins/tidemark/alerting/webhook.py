"""A signed webhook: JSON that whoever shares the secret can trust.

The signature is HMAC-SHA256 over the timestamp, a full stop and the body, byte by byte; the timestamp keeps an old
request from being played again. ``docs/alerting.md`` shows how a receiver checks both.
"""

import email.utils
import hashlib
import hmac
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tidemark.alerting.channels import Undelivered, hushed
from tidemark.alerting.messages import Message

CONNECT_SECONDS, READ_SECONDS = 4.0, 8.0


@dataclass(frozen=True)
class Webhook:
    """Posts each message to a URL.

    Attributes:
        url: where; not shown, since it may hold a token.
        secret: what the receiver shares.

    """

    url: str = field(repr=False)
    secret: str = field(repr=False)

    def send(self, message: Message) -> None:
        """Post a message; any answer of 200 to 299 takes it.

        Raises:
            Undelivered: no such answer came.

        """
        import httpx  # costs a tenth of a second, which who only reads the configuration need not spend

        body = json.dumps(body_of(message), ensure_ascii=False, default=str).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Tidemark",
            "X-Tidemark-Id": message.id,
            "X-Tidemark-Timestamp": timestamp,
            "X-Tidemark-Signature": f"sha256={signature(self.secret, timestamp, body)}",
        }
        try:
            with (
                hushed(),
                httpx.Client(timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)) as client,
                client.stream("POST", self.url, content=body, headers=headers) as answer,
            ):
                status, asked = answer.status_code, answer.headers.get("Retry-After")
        except httpx.HTTPError as problem:
            raise Undelivered(f"could not be reached: {type(problem).__name__}") from None
        if not 200 <= status < 300:
            raise Undelivered(f"answered {status}", seconds_of(asked) if status in (429, 503) else None)


def body_of(message: Message) -> dict[str, object]:
    """Return what a webhook posts of a message."""
    said = ("id", "key", "kind", "severity", "title", "text", "link")
    return {**{name: getattr(message, name) for name in said}, "facts": dict(message.facts)}


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a request, in hexadecimal digits."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def seconds_of(retry_after: str | None) -> float | None:
    """Return how many seconds a ``Retry-After`` asks for, which may be a number or a date; None: it says neither."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(float(retry_after), 0.0)
    with suppress(ValueError, TypeError):
        until = email.utils.parsedate_to_datetime(retry_after)
        return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    return None
