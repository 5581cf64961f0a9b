"""Decisions about models: which candidates people promoted or rejected, from when on a champion is in force, and why.

They are decisions of ``prod``, whose champions all environments read.

Invariant: the head of each partition of a model's champions is the newest promotion of that partition that is not void,
or there is none. Whoever writes or voids a promotion moves that head in the same transaction.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import chunks
from tidemark.ledger.schema import change, decision

PROMOTED = "promoted"
REJECTED = "rejected"


class Decision(NamedTuple):
    """What a person has decided about one candidate.

    Attributes:
        id: its number, which rises.
        candidate: the materialization of the model.
        outcome: promoted or rejected.
        champion: the materialization that readers have read since; None of a rejection.
        partition_id: the partition of the champions from which it is in force; None of a rejection.
        why: the person's reason.
        actor: who decided.
        at: when.
        void_at: when the promotion was rolled back; None: it stands.
        void_by: who did that.
        void_why: and why.

    """

    id: int
    candidate: int
    outcome: str
    champion: int | None
    partition_id: int | None
    why: str
    actor: str
    at: datetime
    void_at: datetime | None
    void_by: str | None
    void_why: str | None

    @property
    def stands(self) -> bool:
        """Whether it was a promotion that nobody has rolled back."""
        return self.outcome == PROMOTED and self.void_at is None


def read(connection: sa.Connection, asset_id: int) -> list[Decision]:
    """Return all decisions about a model, oldest first."""
    columns = decision.c
    query = (
        sa.select(
            columns.id,
            columns.candidate_id,
            columns.outcome,
            columns.champion_id,
            columns.partition_id,
            columns.why,
            columns.actor,
            change.c.at,
            columns.void_at,
            columns.void_by,
            columns.void_why,
        )
        .join(change, change.c.seq == columns.seq)
        .where(columns.asset_id == asset_id)
        .order_by(columns.id)
    )
    return [Decision(*row) for row in connection.execute(query)]


def write(
    connection: sa.Connection,
    asset_id: int,
    candidate: int,
    *,
    seq: int,
    why: str,
    actor: str,
    champion: int | None = None,
    partition_id: int | None = None,
) -> None:
    """Write a decision down under a change: a promotion with its champion and partition, else a rejection."""
    values = {
        "asset_id": asset_id,
        "candidate_id": candidate,
        "outcome": REJECTED if champion is None else PROMOTED,
        "champion_id": champion,
        "partition_id": partition_id,
        "seq": seq,
        "why": why,
        "actor": actor,
    }
    connection.execute(sa.insert(decision).values(**values))


def void(connection: sa.Connection, ids: Iterable[int], *, why: str, actor: str) -> None:
    """Note that promotions were rolled back."""
    values = {"void_at": datetime.now(UTC), "void_by": actor, "void_why": why}
    for some in chunks(ids):
        connection.execute(sa.update(decision).where(decision.c.id.in_(some)).values(**values))
