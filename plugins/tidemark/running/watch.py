"""Watching: what others change while a worker works, so that it does not go by what it saw as it began.

Every change of the ledger that can change a decision has a number. A worker remembers up to which number it has seen
all, and asks under its leases whether a later one, not its own, concerns what it does.
"""

import sqlalchemy as sa

from tidemark.ledger import heads, plans
from tidemark.ledger.heads import PROD, Changed
from tidemark.running.batch import Batch, above


class SupersededError(Exception):
    """A later run has taken over; the text says which."""


class Watch:
    """Notices changes by others that concern one batch.

    Args:
        batch: whose survey is watched.

    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        upstream = {each.name for each in above(batch.pipeline, batch.asset)}
        reads = {read.upstream for each in batch.pipeline.assets if each.name in upstream for read in each.inputs}
        reads |= upstream | {read.upstream for read in batch.asset.inputs}
        self._above = {batch.names.assets[name] for name in reads}  # the asset itself too, if it reads its own past
        self._partitions: set[int] = set()
        self._seen = 0
        self.renew()

    def over(self, partition_ids: set[int]) -> None:
        """Watch the heads of these partitions of the batch's asset too; other workers move its others."""
        self._partitions = partition_ids

    def renew(self) -> None:
        """Take it that the survey has just read the ledger's answers anew."""
        self._seen = self._batch.survey.facts.seq

    def sees_change(self, connection: sa.Connection, *, own_only: bool = False) -> bool:
        """Return whether somebody else has changed something that may concern the batch since the survey looked.

        Args:
            connection: a transaction that writes.
            own_only: whether only changes of the batch's own partitions count.

        """
        watched = set() if own_only else self._above
        newest = heads.newest_change(connection)

        def concerns(each: Changed) -> bool:
            if each.environment not in (None, PROD, self._batch.environment):
                return False
            mine = each.asset_id == self._batch.asset_id and (
                each.partition_id is None or each.partition_id in self._partitions
            )
            return mine or each.asset_id in watched

        if heads.changed_since(connection, self._seen, self._batch.own, concerns):
            return True
        if not own_only:
            self._seen = newest
        return False

    def check_current(self, connection: sa.Connection) -> None:
        """Refuse to go on where a later plan of the pipeline has been made, as of a later instant.

        Raises:
            SupersededError: that plan holds what this one has left, and as-of never goes back.

        """
        batch = self._batch
        newest = plans.later_as_of(connection, batch.environment, batch.pipeline.name, batch.survey.as_of)
        if newest is not None:
            raise SupersededError(f"{plans.LEFT}, as of {newest:%Y-%m-%d %H:%M} UTC")
