"""Channels: the ways by which a message leaves the house, each held to a time limit.

Invariant: what an :class:`Undelivered` says holds no secret, so that it may be kept in the ledger and written to a log.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tidemark.alerting.messages import Message
from tidemark.errors import TidemarkError, Unavailable
from tidemark.places import within

SECONDS = 10.0
"""How long one attempt may take in all, also when the other side sends a byte now and then."""

MOST_HANGING = 5
"""Attempts of one channel that may hang at the same time, given up but not over: no thread can be told to stop."""

# What the libraries below us write to their logs: URLs, of which some are the secret itself.
_TALKATIVE = ("apprise", "httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "urllib3.connectionpool")


class Undelivered(Exception):
    """A message was not delivered, as far as the channel can tell; worth another attempt.

    Attributes:
        reason: why, in words that hold no secret.
        retry_after: how many seconds the other side asks to be left alone, or None.
        hung: whether there was no answer in time.

    """

    def __init__(self, reason: str, retry_after: float | None = None, *, hung: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.retry_after, self.hung = reason, retry_after, hung


class Channel(Protocol):
    """A way out."""

    def send(self, message: Message) -> None:
        """Bring a message to whoever is at the other end.

        Raises:
            Undelivered: that has failed, or nobody knows whether it has not.

        """


class Line:
    """A channel by its name, held to its time limit.

    Args:
        name: as the file calls it.
        channel: the way out.
        then: the name of the channel that takes over when this one fails, or None.
        pages: whether it wakes people: information never goes through it.

    """

    def __init__(self, name: str, channel: Channel, *, then: str | None = None, pages: bool = False) -> None:
        self.name, self.then, self.pages = name, then, pages
        self._channel = channel
        self._hanging = threading.BoundedSemaphore(MOST_HANGING)

    def deliver(self, message: Message, *, seconds: float = SECONDS) -> None:
        """Send a message, and give up after some seconds.

        Raises:
            Undelivered: that has failed, or took too long.

        """
        if not self._hanging.acquire(blocking=False):
            raise Undelivered(f"{MOST_HANGING} earlier attempts still hang", hung=True)
        try:
            within(seconds, self.name, lambda: self._send(message))
        except Unavailable as problem:  # of our own limit: the channel's failures are all Undelivered
            raise Undelivered(f"gave no answer within {seconds:g} seconds", hung=True) from problem

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except Undelivered:
            raise
        except TidemarkError as problem:  # our own words, which hold no secret
            raise Undelivered(str(problem)) from None
        except (
            Exception
        ) as problem:  # whatever a library comes up with: its words may hold the URL, so they are not told
            raise Undelivered(f"failed with {type(problem).__name__}") from None
        finally:
            self._hanging.release()


@contextmanager
def hushed() -> Iterator[list[str]]:
    """Keep what HTTP libraries say in this thread out of every log; yields it, for who wants to know why it failed."""
    thread, heard = threading.get_ident(), list[str]()

    def hear(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        heard.append(record.getMessage())
        return False

    loggers = [logging.getLogger(each) for each in _TALKATIVE]
    for each in loggers:
        each.addFilter(hear)
    try:
        yield heard
    finally:
        for each in loggers:
            each.removeFilter(hear)
