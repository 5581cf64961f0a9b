"""Which of several watches acts: one at a time, and another takes over when that one gives no sign of life.

Even two that acted at once would open no incident twice, as the ledger holds each once: that they take turns spares
them their work, and people what is sent without the ledger.
"""

import os
import socket
import uuid
from datetime import UTC, datetime, timedelta

from tidemark.deployment import Deployment
from tidemark.ledger import heartbeats
from tidemark.ledger.heads import PROD

LIFETIME = timedelta(seconds=60)
"""After so long without a sign of life another one takes over."""


def heartbeat_name(environment: str) -> str:
    """Return the name under which the watch of an environment gives its signs of life."""
    return "watch" if environment == PROD else f"watch of {environment}"


class Standing:
    """Whether this watch is the one that acts, as the ledger said when it was asked last.

    Args:
        deployment: what is watched.

    Attributes:
        acts: this watch acts.
        stands_by: another one does; neither is so before the ledger could be asked.

    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._name = heartbeat_name(deployment.environment)
        self._holder = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:8]}"
        self.acts = self.stands_by = False

    def beat(self) -> bool:
        """Give a sign of life if this watch acts, or may take over; returns whether that has changed.

        Raises:
            Unavailable: the ledger cannot be used; who acts goes on, or nobody would tell that.

        """
        before, now = self.acts, datetime.now(UTC)
        with self._deployment.ledger.write() as connection:
            heartbeats.take_heartbeats(connection)
            found = heartbeats.read(connection, self._name)
            kept = found.detail if found else {}
            holder = kept.get("holder")
            self.acts = found is None or holder in (None, self._holder) or now - found.at > LIFETIME
            if self.acts:
                heartbeats.write(connection, self._name, {**kept, "holder": self._holder}, at=now)
        known, self.stands_by = self.acts or self.stands_by, not self.acts
        return self.acts != before or not known

    def leave(self) -> None:
        """Let another one take over at once.

        Raises:
            Unavailable: the ledger cannot be used; another one takes over when this one's time is up.

        """
        if not self.acts:
            return
        self.acts = False
        with self._deployment.ledger.write() as connection:
            heartbeats.take_heartbeats(connection)
            found = heartbeats.read(connection, self._name)
            if found is not None and found.detail.get("holder") == self._holder:
                heartbeats.write(connection, self._name, {**found.detail, "holder": None}, at=found.at)
