"""The doorbell: an event trigger that wakes a pipeline up when deliveries have arrived and settled, or time has come.

Time has come when the clock has reached the instant at which it alone changes something, as the pipeline's newest plan
says: a period ends, a delivery becomes due, a partition is closed.

Invariants: it says that something changed, never what: the plan finds that out, and whatever the doorbell misses, the
next scheduled run does not. A listing that fails is no change, and neither is a ledger that cannot be reached. It rings
once for an instant: if no run follows, a DAG that is paused is not rung for again. What it last rang for is kept by
Airflow, so that a triggerer that starts again does not ring for nothing. It takes for now what a plan would: where
``TIDEMARK_AS_OF`` lets time stand still, no instant comes. It only reads.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from tidemark.landing import Landing

_SETTLE_SECONDS = 10.0

_Seen = TypeVar("_Seen")

# How often the ledger is asked for the newest plan.
_PLAN_SECONDS = 60.0

# Under these names Airflow keeps what was last rung for.
_DELIVERIES, _INSTANT = "rung_for", "rung_for_instant"


class Doorbell(BaseEventTrigger):
    """Rings once deliveries have been the same for a while, and when the newest plan wants to be woken.

    A hundred files that arrive together ring once.

    Args:
        pipeline: the pipeline's name.
        folders: the folders of the landing zone that are watched, relative to it.

    """

    def __init__(self, pipeline: str, folders: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pipeline = pipeline
        self.folders = folders

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how Airflow makes this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"pipeline": self.pipeline, "folders": self.folders}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch for as long as the triggerer lives."""
        settle = float(os.environ.get("TIDEMARK_SETTLE_SECONDS", _SETTLE_SECONDS))
        watch = Settling(await self._kept(_DELIVERIES), settle=settle, patience=30 * settle)
        clock = Clock(await self._kept(_INSTANT))
        zone = _Lookout("look into the landing zone", _Landing(self.folders).look, self.log)
        ledger = _Lookout("read the newest plan in the ledger", lambda: _newest_plan(self.pipeline), self.log)
        asked = float("-inf")
        while True:
            await asyncio.sleep(settle / 2)
            seen = await asyncio.to_thread(zone.look)
            if seen is not None and watch.rings(seen, time.monotonic()):
                self.log.info("Deliveries have changed and settled: ringing")
                yield TriggerEvent({"deliveries": seen})  # type: ignore[no-untyped-call]
                await self._keep(_DELIVERIES, seen)
            if time.monotonic() - asked < _PLAN_SECONDS:
                continue
            asked = time.monotonic()
            wakes = await asyncio.to_thread(ledger.look)
            if wakes is not None and clock.rings(*wakes):
                instant = wakes[0].isoformat()
                self.log.info("The newest plan is to be made anew from %s on: ringing", instant)
                yield TriggerEvent({"instant": instant})  # type: ignore[no-untyped-call]
                await self._keep(_INSTANT, instant)

    async def _kept(self, name: str) -> str | None:
        """Return what was last rung for, or None if nothing is known of it: then it rings once too often."""
        value = None
        if self.asset_state_store is not None:
            with self._tolerating("read"):
                value = await self.asset_state_store.aget(name)
        return value if isinstance(value, str) else None

    async def _keep(self, name: str, value: str) -> None:
        if self.asset_state_store is not None:
            with self._tolerating("keep"):
                await self.asset_state_store.aset(name, value)

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


class Clock:
    """Decides whether to ring for the instant at which the newest plan wants to be woken.

    Args:
        rung_for: the instant that was last rung for.

    """

    def __init__(self, rung_for: str | None) -> None:
        self._rung_for = rung_for

    def rings(self, wakes_at: datetime, now: datetime) -> bool:
        """Hear the instant and what is taken for now, and say whether to ring."""
        if now < wakes_at or wakes_at.isoformat() == self._rung_for:
            return False
        self._rung_for = wakes_at.isoformat()
        return True


class _Lookout(Generic[_Seen]):
    """Looks again and again at what may be out of reach for a while; of one trouble it warns once.

    Args:
        what: what cannot be done then, in words.
        look: how to look.
        log: where to warn.

    """

    def __init__(self, what: str, look: Callable[[], _Seen], log: Any) -> None:
        self._what, self._look, self._log = what, look, log
        self._trouble = ""

    def look(self) -> _Seen | None:
        """Return what is seen, None if nothing can be."""
        try:
            seen = self._look()
        except Exception as problem:  # whatever it raises: it may be back at the next look
            if str(problem) != self._trouble:
                self._trouble = str(problem)
                self._log.warning("The doorbell cannot %s: %s", self._what, self._trouble)
            return None
        self._trouble = ""
        return seen


class _Landing:
    """The landing zone, through a connection that is kept for as long as it works."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._landing: Landing | None = None

    def look(self) -> str:
        """Return a digest of the names and stat tokens of everything delivered."""
        landing, self._landing = self._landing or _open_landing(), None
        seen = _digest(landing.listing(folder).packed for folder in self._folders)
        self._landing = landing
        return seen


def _newest_plan(pipeline: str) -> tuple[datetime, datetime] | None:
    """Return when the newest plan of a pipeline wants to be woken, and now; None: no plan, or it never does.

    Nothing stays open: a connection for each pipeline, for one question a minute, would be more than the ledger is due.
    """
    from tidemark.config import settings
    from tidemark.ledger import Ledger, plans

    given = settings()
    with closing(Ledger(given.ledger_url)) as ledger:
        if ledger.version() is None:
            return None
        ledger.check()
        with ledger.read() as connection:
            newest = plans.newest(connection, given.environment, pipeline)
    if newest is None or newest.wakes_at is None:
        return None
    return newest.wakes_at, given.as_of or datetime.now(UTC)


def _open_landing() -> "Landing":
    from tidemark.airflow.landing import open_connection
    from tidemark.config import settings
    from tidemark.landing import open_landing

    given = settings()
    name = given.landing_connection
    return open_connection(given.landing_url, name) if name else open_landing(given.landing_url)


def _digest(listings: Iterable[bytes]) -> str:
    """Return a digest of what folders hold; that of no folders and that of empty ones are the same."""
    found = hashlib.sha256()
    for each in filter(None, listings):
        found.update(len(each).to_bytes(8, "big"))
        found.update(each)
    return found.hexdigest()
