"""The doorbell: an event trigger that wakes a pipeline up when deliveries have arrived and settled.

Invariants: it says that something changed, never what: the plan finds that out, and whatever the doorbell misses, the
next scheduled run does not. A listing that fails is no change. What it last rang for is kept by Airflow, so that a
triggerer that starts again does not ring for nothing.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from tidemark.landing import Landing

_SETTLE_SECONDS = 10.0

_KEPT = "rung_for"


class Doorbell(BaseEventTrigger):
    """Rings once deliveries have been the same for a while: a hundred files that arrive together ring once.

    Args:
        folders: the folders of the landing zone that are watched, relative to it.

    """

    def __init__(self, folders: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.folders = folders

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how Airflow makes this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"folders": self.folders}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch for as long as the triggerer lives."""
        settle = float(os.environ.get("TIDEMARK_SETTLE_SECONDS", _SETTLE_SECONDS))
        watch = Settling(await self._kept(), settle=settle, patience=30 * settle)
        lookout = _Lookout(self.folders)
        trouble = ""
        while True:
            await asyncio.sleep(settle / 2)
            try:
                seen = await asyncio.to_thread(lookout.look)
                trouble = ""
            except Exception as problem:  # whatever a landing zone raises: it may be back at the next look
                if str(problem) != trouble:
                    trouble = str(problem)
                    self.log.warning("The doorbell cannot look into the landing zone: %s", trouble)
                continue
            if watch.rings(seen, time.monotonic()):
                self.log.info("Deliveries have changed and settled: ringing")
                yield TriggerEvent({"deliveries": seen})  # type: ignore[no-untyped-call]
                await self._keep(seen)

    async def _kept(self) -> str | None:
        """Return what was last rung for, or None if nothing is known of it: then it rings once too often."""
        value = None
        if self.asset_state_store is not None:
            with self._tolerating("read"):
                value = await self.asset_state_store.aget(_KEPT)
        return value if isinstance(value, str) else None

    async def _keep(self, seen: str) -> None:
        if self.asset_state_store is not None:
            with self._tolerating("keep"):
                await self.asset_state_store.aset(_KEPT, seen)

    @contextmanager
    def _tolerating(self, what: str) -> Iterator[None]:
        """Go on without Airflow's memory where it fails: a doorbell that rings too often is better than a dead one."""
        try:
            yield
        except Exception as problem:  # whatever the API server or the way to it comes up with
            self.log.warning("Airflow cannot %s what the doorbell last rang for: %s", what, problem)


class Settling:
    """Decides when to ring, from what is seen at which time.

    Args:
        rung_for: what was last rung for; nothing delivered at all is no reason to ring.
        settle: seconds for which what is seen must stay the same.
        patience: seconds after which deliveries that never settle are rung for all the same.

    """

    def __init__(self, rung_for: str | None, *, settle: float, patience: float) -> None:
        self._rung_for = rung_for or _digest(())
        self._settle = settle
        self._patience = patience
        self._seen = self._rung_for
        self._since = self._restless_since = 0.0

    def rings(self, seen: str, now: float) -> bool:
        """Take a look at what is there at a time in seconds, and say whether to ring for it."""
        if seen == self._rung_for:
            self._seen = seen
            return False
        if self._seen == self._rung_for:
            self._restless_since = now
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < self._settle and now - self._restless_since < self._patience:
            return False
        self._rung_for = seen
        return True


class _Lookout:
    """Looks into the landing zone, through a connection that is kept for as long as it works."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._landing: Landing | None = None

    def look(self) -> str:
        """Return a digest of the names and stat tokens of everything delivered."""
        landing, self._landing = self._landing or _open_landing(), None
        seen = _digest((file.name, file.token) for folder in self._folders for file in landing.files(folder))
        self._landing = landing
        return seen


def _open_landing() -> "Landing":
    from tidemark.airflow.landing import open_connection
    from tidemark.config import settings
    from tidemark.landing import open_landing

    given = settings()
    name = given.landing_connection
    return open_connection(given.landing_url, name) if name else open_landing(given.landing_url)


def _digest(files: Iterable[tuple[str, str]]) -> str:
    found = hashlib.sha256()
    for name, token in files:
        found.update(f"{len(name)}:{name}{len(token)}:{token}".encode())
    return found.hexdigest()
