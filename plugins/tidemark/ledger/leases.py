"""Leases: who computes a partition now, with tokens that only rise: a worker that lost its lease cannot publish."""

import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import chunks, insert_new
from tidemark.ledger.schema import lease

# A worker renews its leases several times within this span; one that died on another machine blocks nobody for longer.
LIFETIME = timedelta(seconds=30)


class Lease(NamedTuple):
    """The right to publish one partition.

    Attributes:
        partition_id: the partition.
        token: larger than every earlier holder's.
        deaths: how many holders died with this lease and just this action key.

    """

    partition_id: int
    token: int
    deaths: int


def _started(pid: int) -> str:
    """Return when a process of this machine started, in clock ticks since boot; empty where that cannot be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def new_holder() -> str:
    """Name a runner of this process so that another on the same machine can tell whether it still lives."""
    # The last part tells two runners within one process apart.
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(4)}"


def is_dead(holder: str) -> bool:
    """Return whether a holder is certainly gone: a process of this machine that has ended."""
    host, pid, started, _ = holder.split("/")
    return host == socket.gethostname() and Path("/proc/self").exists() and _started(int(pid)) != started


class Taken(NamedTuple):
    """What a runner got of the leases that it asked for.

    Attributes:
        leases: those that are its own now.
        suspects: partitions whose last holder died of just this action key; each is taken only when it is asked
            for alone, so that one that kills its worker takes no others with it.

    """

    leases: list[Lease]
    suspects: list[int]


def acquire(
    connection: sa.Connection, environment: str, asset_id: int, claims: Mapping[int, bytes], holder: str
) -> Taken:
    """Take the leases of some partitions that nobody alive holds.

    Args:
        connection: a transaction that writes.
        environment: whose heads the holder will move.
        asset_id: the asset.
        claims: the action key that each partition, by id, is wanted for.
        holder: a name of :func:`new_holder`.

    """
    now = datetime.now(UTC)
    new = [
        {"environment": environment, "asset_id": asset_id, "partition_id": each, "token": 0, "deaths": 0}
        for each in claims
    ]
    if new:
        connection.execute(insert_new(connection, lease), new)
    taken: list[Lease] = []
    suspects: list[int] = []
    for row in _locked(connection, environment, asset_id, claims):
        abandoned = row.holder is not None and row.holder != holder
        if abandoned and row.expires_at > now and not is_dead(row.holder):
            continue
        deaths = row.deaths + 1 if abandoned and row.action_key == claims[row.partition_id] else 0
        if deaths and len(claims) > 1:
            suspects.append(row.partition_id)
        else:
            taken.append(Lease(row.partition_id, row.token + 1, deaths))
    if taken:
        columns = ("token", "deaths", "holder", "action_key", "expires_at")
        statement = sa.update(lease).where(
            lease.c.environment == environment,
            lease.c.asset_id == asset_id,
            lease.c.partition_id == sa.bindparam("b_partition"),
        )
        connection.execute(
            statement.values({name: sa.bindparam(f"b_{name}") for name in columns}),
            [
                {
                    "b_partition": got.partition_id,
                    "b_token": got.token,
                    "b_deaths": got.deaths,
                    "b_holder": holder,
                    "b_action_key": claims[got.partition_id],
                    "b_expires_at": now + LIFETIME,
                }
                for got in taken
            ],
        )
    return Taken(taken, suspects)


def _locked(connection: sa.Connection, environment: str, asset_id: int, partition_ids: Iterable[int]) -> list[Any]:
    """Read lease rows so that no other worker can change them before this transaction ends."""
    found: list[Any] = []
    for some in chunks(sorted(partition_ids)):
        query = sa.select(lease).where(
            lease.c.environment == environment, lease.c.asset_id == asset_id, lease.c.partition_id.in_(some)
        )
        found += connection.execute(query.order_by(lease.c.partition_id).with_for_update())
    return found


def still_held(
    connection: sa.Connection, environment: str, asset_id: int, leases: Iterable[Lease], holder: str
) -> set[int]:
    """Return the partitions whose leases are still this holder's, and keep them so until the transaction ends."""
    tokens = {each.partition_id: each.token for each in leases}
    rows = _locked(connection, environment, asset_id, tokens)
    return {row.partition_id for row in rows if row.holder == holder and row.token == tokens[row.partition_id]}


def renew(connection: sa.Connection, environment: str, asset_id: int, leases: Iterable[Lease], holder: str) -> None:
    """Prolong leases that are still this holder's."""
    for some in chunks(each.partition_id for each in leases):
        connection.execute(
            sa.update(lease)
            .where(
                lease.c.environment == environment,
                lease.c.asset_id == asset_id,
                lease.c.partition_id.in_(some),
                lease.c.holder == holder,
            )
            .values(expires_at=datetime.now(UTC) + LIFETIME)
        )


def release(connection: sa.Connection, environment: str, asset_id: int, leases: Iterable[Lease], holder: str) -> None:
    """Give leases back; the rows stay, so that tokens go on rising."""
    for some in chunks(each.partition_id for each in leases):
        connection.execute(
            sa.update(lease)
            .where(
                lease.c.environment == environment,
                lease.c.asset_id == asset_id,
                lease.c.partition_id.in_(some),
                lease.c.holder == holder,
            )
            .values(holder=None, action_key=None, deaths=0, expires_at=None)
        )
