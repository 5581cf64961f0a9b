"""Whether the state is whole: is everything that is live in the store, and is the audit log as it was written."""

from dataclasses import dataclass

import sqlalchemy as sa

from tidemark.deployment import Deployment
from tidemark.ledger import acts
from tidemark.ledger.schema import asset, audit_log, head_log, materialization, partition


@dataclass(frozen=True)
class Lost:
    """A live partition whose data is not in the store.

    Attributes:
        environment: where it is live.
        pipeline: whose it is.
        asset: the asset's or source's name.
        partition: its key.
        blob: the address at which there is nothing.
        is_source: it was delivered; else it was computed.

    """

    environment: str
    pipeline: str
    asset: str
    partition: str
    blob: str
    is_source: bool


def lost_blobs(deployment: Deployment) -> tuple[int, list[Lost]]:
    """Return how many partitions are live with data, in all environments, and those whose data is not in the store.

    Raises:
        Unavailable: the ledger or the store cannot be used.

    """
    query = (
        sa.select(
            head_log.c.environment,
            asset.c.pipeline,
            asset.c.name,
            asset.c.kind,
            partition.c.key,
            materialization.c.blob,
        )
        .join(asset, asset.c.id == head_log.c.asset_id)
        .join(partition, partition.c.id == head_log.c.partition_id)
        .join(materialization, materialization.c.id == head_log.c.materialization_id)
        .where(head_log.c.to_seq.is_(None), materialization.c.blob.is_not(None))
        .order_by(head_log.c.environment, asset.c.pipeline, asset.c.name, partition.c.key)
    )
    with deployment.ledger.read() as connection:
        live = connection.execute(query).all()
    gone = deployment.store.missing({row.blob for row in live})
    lost = [
        Lost(row.environment, row.pipeline, row.name, row.key, row.blob, row.kind == "source")
        for row in live
        if row.blob in gone
    ]
    return len(live), lost


@dataclass(frozen=True)
class Chain:
    """How the audit log stands.

    Attributes:
        entries: how many there are.
        newest: the digest of the newest one, which vouches for all before it; None: there is none.
        broken: the number of the first entry that is not as it was written, or whose predecessor is gone; or None.

    """

    entries: int
    newest: bytes | None
    broken: int | None


def audit_chain(deployment: Deployment) -> Chain:
    """Verify the chain of the audit log.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    with deployment.ledger.read() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(audit_log)).scalar_one()
        newest = connection.execute(sa.select(audit_log.c.digest).order_by(audit_log.c.seq.desc()).limit(1)).scalar()
        return Chain(count, newest, acts.first_broken_entry(connection))


def digest_at(deployment: Deployment, number: int) -> bytes | None:
    """Return the digest of an entry of the audit log, None where there is no such entry."""
    with deployment.ledger.read() as connection:
        found = connection.execute(sa.select(audit_log.c.digest).where(audit_log.c.seq == number)).scalar()
    return bytes(found) if found is not None else None
