"""Messages: what people read of a notice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any


@dataclass(frozen=True)
class Message:
    """What a channel sends.

    Attributes:
        id: the same whenever this notice is sent again, so that a receiver can tell a repetition.
        key: of the incident, the same from the first alert to the all-clear; of other notices, as ``id``.
        kind: opened, updated, resolved, information or report.
        severity: critical, warning or info.
        title: it in one line.
        text: all of it, as plain text.
        html: all of it, as a page for mail clients that fetches nothing.
        link: where to look, or empty.
        facts: the same, JSON-ready, for machines.
        mail: a mail that is ready to be sent instead of ``text`` and ``html``, or None.

    """

    id: str
    key: str
    kind: str
    severity: str
    title: str
    text: str
    html: str
    link: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    mail: EmailMessage | None = None
