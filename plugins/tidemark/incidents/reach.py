"""The reach of what is wrong: everything that is made from it, and how many partitions lack it right now.

From the ledger alone: definitions as they were registered, marks of heads, and gaps.
"""

from collections.abc import Collection, Iterator, Mapping

import sqlalchemy as sa

from tidemark.incidents.conditions import Reached
from tidemark.ledger.registry import Registered
from tidemark.ledger.schema import gap, head_log, partition

Root = tuple[str, str]


def reach_of(
    connection: sa.Connection,
    environment: str,
    asset: str,
    partitions: Collection[str],
    known: Mapping[str, Registered],
) -> tuple[Reached, ...]:
    """Return what depends on an asset, nearest first, and how many partitions lack some of its partitions.

    Args:
        connection: a transaction.
        environment: whose heads.
        asset: what is wrong.
        partitions: which of its partitions are.
        known: all registered assets, as :func:`tidemark.ledger.registry.assets` returns them.

    """
    roots = {(asset, key) for key in partitions}
    found = []
    for name in _below(asset, known):
        each = known[name]
        keys = sorted(_lacking(connection, environment, each, roots))
        ends = (keys[0], keys[-1]) if keys else ("", "")
        found.append(Reached(name, each.pipeline, _kind(each), len(keys), *ends))
    return tuple(found)


def _kind(each: Registered) -> str:
    if each.definition.get("model"):
        return "model"
    return "report" if each.definition.get("report") else "asset"


def _below(asset: str, known: Mapping[str, Registered]) -> Iterator[str]:
    """Yield every asset that reads this one, directly or not, nearest first."""
    readers: dict[str, list[str]] = {}
    for each in known.values():
        for upstream, _ in () if each.is_given_up else each.definition.get("inputs", ()):
            readers.setdefault(upstream, []).append(each.name)
    seen, turn = {asset}, [asset]
    while turn:
        level = sorted({reader for name in turn for reader in readers.get(name, ())} - seen)
        seen.update(level)
        yield from level
        turn = level


def _lacking(connection: sa.Connection, environment: str, asset: Registered, roots: set[Root]) -> set[str]:
    """Return the partitions of an asset whose head is provisional for, or that wait because of, one of the roots."""
    marked = sa.select(partition.c.key, head_log.c.missing).where(
        head_log.c.environment == environment,
        head_log.c.asset_id == asset.id,
        head_log.c.to_seq.is_(None),
        head_log.c.missing.is_not(None),
    )
    waiting = sa.select(partition.c.key, gap.c.missing).where(
        gap.c.environment == environment,
        gap.c.pipeline == asset.pipeline,
        gap.c.asset_id == asset.id,
        gap.c.missing.is_not(None),
    )
    queries = (
        marked.join(partition, partition.c.id == head_log.c.partition_id),
        waiting.join(partition, partition.c.id == gap.c.partition_id),
    )
    return {
        key
        for query in queries
        for key, missing in connection.execute(query)
        if any((name, part) in roots for name, part in missing or ())
    }
