"""Watches over work that a Dask cluster was given: Dask itself would wait for ever for workers that never come.

Invariant: whoever waits for a result of this client, an asset's function by ``.compute()`` too, is woken with an error
once the cluster has been unable to work for longer than its patience.
"""

import contextlib
import threading
import time
from typing import Any

PATIENCE = 60
"""Seconds for which a cluster may have no worker, or not answer, while work waits for it."""

# Workers that are short of memory stop to take work until they have spilled: that may take a while, and not for ever.
_PAUSED = 10


class Guard:
    """Looks after a client from a thread of its own.

    Args:
        client: of the cluster.

    Attributes:
        said: what is wrong with the cluster, once its work was given up; None until then.

    """

    def __init__(self, client: Any) -> None:
        self.said: str | None = None
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tidemark-dask-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no longer."""
        self._over.set()

    def _watch(self) -> None:
        wrong, since = "", 0.0
        while not self._over.wait(PATIENCE / 5):
            now, allowed = self._look() if self._waits() else ("", 0.0)
            if now != wrong:
                wrong, since = now, time.monotonic()
            if wrong and time.monotonic() - since >= allowed:
                self._give_up(f"{wrong}, and that for {allowed:.0f} s")
                return

    def _waits(self) -> bool:
        with contextlib.suppress(RuntimeError):  # another thread adds to it just now
            return any(state.status == "pending" for state in self._client.futures.values())
        return True

    def _look(self) -> tuple[str, float]:
        """Return what is wrong, or nothing, and for how long it may be."""
        try:
            workers = self._client.sync(self._client.scheduler.identity, n_workers=-1, callback_timeout=PATIENCE)
        except TimeoutError:
            return "its scheduler does not answer", PATIENCE
        except Exception:  # a connection that is gone: the client sees to that itself
            return "", 0.0
        states = {each.get("status", "running") for each in workers["workers"].values()}
        if not states:
            return "it has no worker: start some", PATIENCE
        if states == {"paused"}:
            return "all its workers have stopped for want of memory: give them more", _PAUSED * PATIENCE
        return "", 0.0

    def _give_up(self, said: str) -> None:
        self.said = said

        def cancel() -> None:
            for state in list(self._client.futures.values()):
                if state.status == "pending":
                    state.cancel(reason="tidemark", msg=said)

        self._client.loop.add_callback(cancel)
