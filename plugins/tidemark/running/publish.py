"""Publishing: finished partitions become visible together, under their leases, in one transaction."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from tidemark.ledger import events, heads, leases, plans, records
from tidemark.ledger.heads import Move
from tidemark.running.batch import Batch, Done

# A commit covers at most about this much work, so that a crash costs no more.
COMMIT_SECONDS = 1.0


@dataclass(frozen=True)
class Committed:
    """What became of a group of finished partitions.

    Attributes:
        published: written down.
        dropped: not written down, because another worker had taken the lease over.
        displaced: of those that were published, those whose head somebody had moved meanwhile: it stays as it is.
        ids: the ids of the published records, by the numbers that stood for them.

    """

    published: Sequence[Done] = ()
    dropped: Sequence[Done] = ()
    displaced: Sequence[Done] = ()
    ids: Mapping[int, int] = field(default_factory=dict)


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

    def commit(self) -> Committed:
        """Write down what is finished.

        Raises:
            Unavailable: the ledger cannot be written; nothing was.

        """
        group = self._waiting
        if not group:
            return Committed()
        batch = self._batch
        with batch.deployment.ledger.write() as connection:
            held = leases.still_held(
                connection, batch.environment, batch.asset_id, [each.lease for each in group], batch.holder
            )
            mine = [each for each in group if each.lease.partition_id in held]
            real = self._write_records(connection, mine)
            if any(each.nondeterministic for each in mine):
                records.mark_nondeterministic(connection, batch.asset_id)
            displaced = self._move_heads(connection, mine, real)
            outcomes = [
                (batch.asset_id, each.lease.partition_id, each.result.value, each.detail or None) for each in mine
            ]
            plans.write_outcomes(connection, batch.plan_id, outcomes)
            leases.release(connection, batch.environment, batch.asset_id, [each.lease for each in mine], batch.holder)
        self._waiting = []
        return Committed(mine, [each for each in group if each.lease.partition_id not in held], displaced, real)

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
            provisional_ids=numbers,
        )
        for each in group:
            if each.checked is not None:
                version, result = each.checked
                records.write_gate_result(
                    connection, result.suite, result.suite_digest, version, result.outcome.value, result.to_json()
                )
        return {number: made for number, made in zip(numbers, ids, strict=True) if number}

    def _move_heads(self, connection: sa.Connection, group: Sequence[Done], real: Mapping[int, int]) -> list[Done]:
        """Move the heads of a group, and tell of what is live now; returns those whose head somebody else has moved."""
        batch = self._batch
        moves: dict[int, Move] = {}
        told: dict[int, tuple[int, int, str, str, bytes]] = {}
        for each in group:
            head, partition_id = each.judged.head, each.lease.partition_id
            before = head.materialization if head else None
            after = None if each.void else each.materialization(real) if each.publishes else before
            missing = each.missing if after is not None else heads.FINAL
            if after == before and (head is None or head.missing == missing):
                continue
            reason = each.judged.reason or (f"{each.result.value}: {each.reason}" if each.publishes else each.reason)
            moves[partition_id] = Move(batch.asset_id, partition_id, before, after, missing, reason)
            if each.version is not None and each.publishes and (head is None or head.data_version != each.version):
                state = "provisional" if missing else "final"
                told[partition_id] = (batch.asset_id, partition_id, state, reason, each.version)
        if not moves:
            return []
        seq = heads.new_change(connection, run=batch.run, actor=batch.actor)
        moved = {each.partition_id for each in heads.move(connection, batch.environment, moves.values(), seq)}
        events.write(connection, batch.environment, [told[number] for number in told if number in moved], seq)
        return [each for each in group if each.lease.partition_id in moves.keys() - moved]
