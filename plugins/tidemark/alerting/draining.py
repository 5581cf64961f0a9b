"""Draining the outbox: who is told is decided, what is due is sent, what failed is tried again."""

from dataclasses import dataclass
from datetime import datetime

from tidemark.alerting.config import Alerting
from tidemark.deployment import Deployment


@dataclass(frozen=True)
class Drained:
    """What one round came to.

    Attributes:
        routed: notices of which it was decided who is told.
        sent: messages that were delivered.
        failed: attempts that were not; they are made again.
        fell_back: messages that another channel has taken over.
        dropped: messages that nobody needs any more, such as an update that a newer one replaces.
        problems: what failed attempts came up with, a sentence each, without secrets.

    """

    routed: int = 0
    sent: int = 0
    failed: int = 0
    fell_back: int = 0
    dropped: int = 0
    problems: tuple[str, ...] = ()


def drain(deployment: Deployment, alerting: Alerting, *, now: datetime | None = None) -> Drained:
    """Do one round: decide who is told of new notices, send what is due, and note what came of it.

    It returns within half a minute, however channels behave; several processes may drain one ledger at once.

    Args:
        deployment: whose notices.
        alerting: who is told what, and how.
        now: the instant that it takes for now; the clock by default.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    raise NotImplementedError
