"""Publishing: finished partitions become visible together, under their leases, in one transaction."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from tidemark.config import running_image
from tidemark.ledger import events, gaps, heads, leases, plans, records
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.heads import Move
from tidemark.running.batch import Batch, Done
from tidemark.running.watch import Watch

# A commit covers at most about this much work, so that a crash costs no more.
COMMIT_SECONDS = 1.0


@dataclass(frozen=True)
class Committed:
    """What became of a group of finished partitions.

    Attributes:
        published: written down.
        dropped: never to be written down, because another worker has taken the lease over.
        outdated: others changed something meanwhile: nothing was written down, and what waits is to be judged again.
        ids: the ids of the published records, by the numbers that stood for them.

    """

    published: Sequence[Done] = ()
    dropped: Sequence[Done] = ()
    outdated: bool = False
    ids: Mapping[int, int] = field(default_factory=dict)


class _OutdatedError(Exception):
    """Others changed something that the group was judged by; it may be another result of the same action key."""

    def __init__(self, *, nondeterministic: bool = False) -> None:
        super().__init__()
        self.nondeterministic = nondeterministic


class Publisher:
    """Collects what is finished and writes it down in groups."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._waiting: list[Done] = []
        self._since = 0.0

    def begin(self) -> None:
        """Note that work on a partition begins."""
        if not self._waiting:
            self._since = time.monotonic()

    def add(self, done: Done) -> None:
        """Keep a finished partition for the next commit."""
        self._waiting.append(done)

    @property
    def due(self) -> bool:
        """Whether a commit is due."""
        return bool(self._waiting) and time.monotonic() - self._since >= COMMIT_SECONDS

    def take(self) -> list[Done]:
        """Return what is finished and not written down, and wait for it no longer."""
        taken, self._waiting = self._waiting, []
        return taken

    def commit(self, watch: Watch, *, own_only: bool) -> Committed:
        """Write down what is finished, unless others have changed what it was judged by.

        Args:
            watch: tells what others changed.
            own_only: whether only changes of the batch's own partitions count.

        Raises:
            SupersededError: a later run has taken over; nothing was written.
            Unavailable: the ledger cannot be written; nothing was.

        """
        group = self._waiting
        if not group:
            return Committed()
        batch, mine = self._batch, [each.lease for each in self._waiting]
        try:
            with batch.deployment.ledger.write() as connection:
                held = leases.still_held(connection, batch.environment, batch.asset_id, mine, batch.holder)
                lost = [each for each in group if each.lease.partition_id not in held]
                real, seq = ({}, None) if lost else self._write(connection, group, watch, own_only=own_only)
        except _OutdatedError as outdated:
            if outdated.nondeterministic:
                with batch.deployment.ledger.write() as connection:
                    records.mark_nondeterministic(connection, batch.asset_id)
            return Committed(outdated=True)
        self._waiting = [each for each in group if each not in lost] if lost else []
        if lost:  # what a chain made of them is not to be published either
            return Committed(dropped=lost, outdated=True)
        if seq is not None:
            batch.own.add(seq)
        return Committed(group, ids=real)

    def _write(
        self, connection: sa.Connection, group: Sequence[Done], watch: Watch, *, own_only: bool
    ) -> tuple[dict[int, int], int | None]:
        """Write a group down; returns the ids of its records by their numbers, and the number of the change, if any."""
        batch = self._batch
        # From here on nobody else changes anything before this is written down: what is seen now stays so.
        take_turn(connection, Turn.HEADS)
        self._check_results(connection, group)
        real = self._write_records(connection, group)
        if any(each.nondeterministic for each in group):
            records.mark_nondeterministic(connection, batch.asset_id)
        seq = self._move_heads(connection, group, real, watch, own_only=own_only)
        outcomes = [(batch.asset_id, each.lease.partition_id, each.result.value, each.detail or None) for each in group]
        plans.write_outcomes(connection, batch.plan_id, outcomes)
        track = batch.survey.tracks[batch.asset.name]
        lacking = {each.lease.partition_id: track.gap(each.judged.ordinal) for each in group}
        gaps.write(connection, batch.environment, batch.pipeline.name, batch.asset_id, lacking)
        leases.release(connection, batch.environment, batch.asset_id, [each.lease for each in group], batch.holder)
        return real, seq

    def _check_results(self, connection: sa.Connection, group: Sequence[Done]) -> None:
        """Refuse results of action keys for which another environment has just recorded other ones: those stay."""
        results = [each.record for each in group if each.record is not None and each.record.status == records.COMPUTED]
        batch = self._batch
        others = records.other_results(connection, results, environment=batch.environment, image=batch.asset.image)
        if len(others) > len(batch.deployment.store.missing(others)):
            raise _OutdatedError(nondeterministic=True)

    def _write_records(self, connection: sa.Connection, group: Sequence[Done]) -> dict[int, int]:
        batch = self._batch
        recorded = [(each.number, each.record) for each in group if each.record is not None]
        numbers = [number if number is not None else 0 for number, _ in recorded]
        ids = records.write(
            connection,
            [record for _, record in recorded],
            environment=batch.environment,
            run=batch.run,
            actor=batch.actor,
            image=running_image(),
            bundle=batch.bundle,
            provisional_ids=numbers,
        )
        for each in group:
            if each.checked is not None:
                version, result = each.checked
                records.write_gate_result(
                    connection, result.suite, result.suite_digest, version, result.outcome.value, result.to_json()
                )
        return {number: made for number, made in zip(numbers, ids, strict=True) if number}

    def _move_heads(
        self,
        connection: sa.Connection,
        group: Sequence[Done],
        real: Mapping[int, int],
        watch: Watch,
        *,
        own_only: bool,
    ) -> int | None:
        """Move the heads of a group, and tell of what is live now; returns the number of the change, if any moved."""
        batch = self._batch
        moves: list[Move] = []
        told: list[tuple[int, int, str, str, bytes]] = []
        for each in group:
            head, partition_id = each.judged.head, each.lease.partition_id
            before = head.materialization if head else None
            after = None if each.void else each.materialization(real) if each.publishes else before
            missing = each.missing if after is not None else heads.FINAL
            if after == before and (head is None or head.missing == missing):
                continue
            reason = each.judged.reason or (f"{each.result.value}: {each.reason}" if each.publishes else each.reason)
            moves.append(Move(batch.asset_id, partition_id, before, after, missing, reason))
            if each.version is not None and each.publishes and (head is None or head.data_version != each.version):
                state = "provisional" if missing else "final"
                told.append((batch.asset_id, partition_id, state, reason, each.version))
        if not moves:
            return None
        watch.check_current(connection)
        if watch.sees_change(connection, own_only=own_only):
            raise _OutdatedError
        seq = heads.new_change(connection, run=batch.run, actor=batch.actor)
        heads.move(connection, batch.environment, moves, seq)
        events.write(connection, batch.environment, told, seq)
        return seq
