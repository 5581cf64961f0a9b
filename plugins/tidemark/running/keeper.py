"""Keeping leases alive for as long as their worker works."""

import contextlib
import threading
from collections.abc import Sequence
from types import TracebackType

from tidemark.deployment import Deployment
from tidemark.errors import Unavailable
from tidemark.ledger import leases
from tidemark.ledger.leases import Lease


class Keeper:
    """Renews a worker's leases from a thread for as long as it works."""

    def __init__(self, deployment: Deployment, asset_id: int, holder: str) -> None:
        self.deployment = deployment
        self.asset_id = asset_id
        self.holder = holder
        self._leases: dict[int, Lease] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="tidemark-leases", daemon=True)

    def keep(self, taken: Sequence[Lease]) -> None:
        """Renew these from now on."""
        with self._guard:
            self._leases.update({each.partition_id: each for each in taken})

    def drop(self, given_back: Sequence[Lease]) -> None:
        """Renew these no longer."""
        with self._guard:
            for each in given_back:
                self._leases.pop(each.partition_id, None)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._leases:  # claimed and never worked on: something went wrong above
            with contextlib.suppress(Unavailable), self.deployment.ledger.write() as connection:
                leases.release(
                    connection, self.deployment.environment, self.asset_id, self._leases.values(), self.holder
                )

    def _renew(self) -> None:
        while not self._stop.wait(leases.LIFETIME.total_seconds() / 3):
            with self._guard:
                mine = list(self._leases.values())
            # A ledger that is away for a moment is no reason to stop: the commit will tell.
            with contextlib.suppress(Unavailable), self.deployment.ledger.write() as connection:
                leases.renew(connection, self.deployment.environment, self.asset_id, mine, self.holder)
