"""Watching: what others change while a worker works, so that it does not go by what it saw as it began.

Every change of the ledger that can change a decision has a number. A worker remembers up to which number it has seen
all, and asks under its leases whether a later one, not its own, concerns what it does.
"""

import sqlalchemy as sa

from tidemark.ledger import heads
from tidemark.ledger.heads import PROD
from tidemark.running.batch import Batch, above


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

    def sees_change(self, connection: sa.Connection, *, own_only: bool = False, ours: int | None = None) -> bool:
        """Return whether somebody else has changed something that may concern the batch since the survey looked.

        Args:
            connection: a transaction that writes.
            own_only: whether only changes of the batch's own partitions count.
            ours: number of the change that this transaction makes.

        """
        new = [seq for seq in heads.changes_since(connection, self._seen) if seq != ours]
        others = [seq for seq in new if seq not in self._batch.own]
        if others:
            moved = heads.moved_by(connection, others)
            # A change that moved no head is a person's word, or what was seen of a source.
            if any(seq not in moved or any(self._concerns(each, own_only) for each in moved[seq]) for seq in others):
                return True
        self._seen = new[-1] if new else self._seen
        return False

    def _concerns(self, moved: tuple[str, int, int], own_only: bool) -> bool:
        environment, asset_id, partition_id = moved
        if environment not in (PROD, self._batch.environment):
            return False
        if asset_id == self._batch.asset_id and partition_id in self._partitions:
            return True
        return asset_id in self._above and not own_only
