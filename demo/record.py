"""What the ledger says: what is live, and what became of the plans made since a moment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from demo.expected import Heads, Live, Partitions
from tidemark.assets import Pipeline
from tidemark.deployment import Deployment
from tidemark.facts import read_heads, register
from tidemark.ledger import plans
from tidemark.ledger.schema import plan


@dataclass(frozen=True)
class Work:
    """What became of the items of some plans.

    Attributes:
        results: partitions of each asset by what became of them; None: no worker has reached them yet.

    """

    results: dict[str | None, Partitions]

    def came_to(self, *results: str) -> Partitions:
        """Return the partitions that came to one of some results."""
        found: Partitions = {}
        for result in results:
            for asset, days in self.results.get(result, {}).items():
                found.setdefault(asset, set()).update(days)
        return found

    def came_to_nothing(self) -> Partitions:
        """Return the partitions that no worker has reached (yet)."""
        return {asset: days for asset, days in self.results.get(None, {}).items() if days}

    @property
    def done(self) -> int:
        """How many items something has become of."""
        return self.planned - count(self.came_to_nothing())

    @property
    def planned(self) -> int:
        """How many items there are."""
        return sum(count(some) for some in self.results.values())


def count(partitions: Partitions) -> int:
    """Return how many partitions there are, over all assets."""
    return sum(map(len, partitions.values()))


def newest_plan(deployment: Deployment) -> int:
    """Return the number of the newest plan, 0 before the first."""
    with deployment.ledger.read() as connection:
        return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(plan.c.id), 0))).scalar_one())


def definitions_of(deployment: Deployment, pipeline: str) -> bytes | None:
    """Return the digest of a pipeline's definitions that the newest plan was made from, None before the first."""
    with deployment.ledger.read() as connection:
        newest = plans.newest(connection, deployment.environment, pipeline)
    return newest.definitions if newest else None


def work_since(deployment: Deployment, mark: int) -> Work:
    """Return what became of the items of all plans after the one of a number.

    What no worker reached in a run that was stopped counts as what a later one made of it.
    """
    results: dict[str | None, Partitions] = {}
    with deployment.ledger.read() as connection:
        numbers = connection.execute(sa.select(plan.c.id).where(plan.c.id > mark).order_by(plan.c.id)).scalars()
        for number in list(numbers):
            for item in plans.items(connection, number):
                day = date.fromisoformat(item.partition)
                results.setdefault(item.outcome, {}).setdefault(item.asset, set()).add(day)
    for outcome, some in results.items():
        for asset, days in some.items() if outcome else ():
            results.get(None, {}).get(asset, set()).difference_update(days)
    return Work(results)


def heads_of(deployment: Deployment, pipelines: Iterable[Pipeline]) -> Heads:
    """Return what is live of some pipelines whose assets and sources are all by day."""
    found: dict[str, dict[date, Live]] = {}
    for pipeline in pipelines:
        names = register(deployment, pipeline)
        with deployment.ledger.read() as connection:
            for member in pipeline.members:
                live = read_heads(connection, deployment, names, member.name)
                found[member.name] = {
                    date.fromisoformat(member.grain.key(ordinal)): Live(
                        head.data_version.hex(),
                        frozenset((name, date.fromisoformat(key)) for name, key in head.missing),
                    )
                    for ordinal, head in live.items()
                }
    return found
