"""Channels: the ways by which a message leaves the house."""

from typing import Protocol

from tidemark.alerting.messages import Message


class Undelivered(Exception):
    """A message was not delivered, as far as the channel can tell; worth another attempt.

    Attributes:
        reason: why, in words that hold no secret.
        retry_after: how many seconds the other side asks to be left alone, or None.

    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.retry_after = reason, retry_after


class Channel(Protocol):
    """A way out."""

    def send(self, message: Message) -> None:
        """Bring a message to whoever is at the other end.

        Raises:
            Undelivered: that has failed, or nobody knows whether it has not.

        """
