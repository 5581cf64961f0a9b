"""A mail server that delivers to nobody: it keeps what it is sent, so that a failure mail can be shown and tested.

Invariant: it listens on 127.0.0.1 only, and every message that it accepted is both in memory and a file.
"""

import html
import re
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class MailSink:
    """Accepts every mail on 127.0.0.1 and keeps it as `0001.eml`, `0002.eml`, ... in a folder.

    Args:
        folder: where the files go; files that are there already count as caught earlier and are kept.
        port: the port to listen on.

    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._first = len(list(folder.glob("*.eml")))
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self.mails: list[EmailMessage] = []
        """What came in since the start, oldest first."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep one mail (the name is the server library's)."""
        content = cast(bytes, envelope.original_content)
        (self._folder / f"{self._first + len(self.mails) + 1:04}.eml").write_bytes(content)
        self.mails.append(message_from_bytes(content, policy=policy.default))
        return "250 kept"

    def start(self) -> None:
        """Listen, in a thread of this process. Raises OSError if the port is taken."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening; what was caught stays."""
        self._controller.stop(no_assert=True)

    def wait(self, count: int, timeout: float = 30) -> list[EmailMessage]:
        """Wait until `count` mails have come in since the start, at most `timeout` seconds; return what came."""
        end = time.monotonic() + timeout
        while len(self.mails) < count and time.monotonic() < end:
            time.sleep(0.05)
        return list(self.mails)


def mails_in(folder: Path) -> list[EmailMessage]:
    """Every mail that was ever caught in a folder, oldest first."""
    return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in sorted(folder.glob("*.eml"))]


def text(mail: EmailMessage) -> str:
    """The mail as a person reads it: sender, receiver, subject, and the body as text."""
    body = mail.get_body(("plain", "html"))
    words = body.get_content() if body else ""
    if body and body.get_content_subtype() == "html":
        words = html.unescape(re.sub(r"<[^>]*>", "", words))
    heads = "\n".join(f"{name}: {mail[name]}" for name in ("From", "To", "Subject"))
    return f"{heads}\n\n{words.strip()}"
