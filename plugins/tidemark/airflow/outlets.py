"""Telling Airflow what was published: one asset event a partition, with state, reason and data version in its `extra`.

Invariants: an event is told at least once, and marked as told only when Airflow has taken it. No event is told without
a partition key, except for an asset without partitions, whose events wake up every DAG that is scheduled on the asset.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import Asset, Context
from airflow.sdk.definitions.asset import AssetUniqueKey
from airflow.sdk.execution_time.context import OutletEventAccessor, OutletEventAccessors

from tidemark.assets import Pipeline
from tidemark.partitions import Unpartitioned

if TYPE_CHECKING:
    from tidemark.deployment import Deployment
    from tidemark.ledger.events import Event

_TOLD = "tidemark_told"

MOST = 250
"""Events that one task tells: its last call to Airflow carries them all, and takes about 10 ms for each."""


class _OneOf(AssetUniqueKey):
    """An asset's identity that stands for one of several events.

    Airflow keeps one `extra` for all partitions that a task adds to an asset. Keys that are not equal get each their
    own, and Airflow takes them for the same asset, for it looks at name and URI only.
    """

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def airflow_asset(name: str) -> Asset:
    """Return Airflow's asset for a source or an asset: an ordinary DAG schedules on `Asset(name)`."""
    return Asset(name)


def tell(
    context: Context,
    deployment: "Deployment",
    pipeline: Pipeline,
    names: Iterable[str],
    keys: Iterable[str] | None = None,
) -> int:
    """Let the running task tell Airflow, as it succeeds, what was published and is not told yet; returns how many.

    Args:
        context: the running task's.
        deployment: whose ledger holds the events.
        pipeline: whose assets they are.
        names: the assets.
        keys: only these partitions, so that tasks of one asset side by side do not tell the same; None for all.

    """
    from tidemark.ledger import events

    with deployment.ledger.read() as connection:
        found = events.unsent(connection, deployment.environment, names, limit=100 * MOST)
    wanted = None if keys is None else set(keys)
    mine = [each for each in found if wanted is None or each.partition in wanted][:MOST]
    # A task that succeeds tells of each of its outlets, if need be without a partition: keep those with news.
    context["task"].outlets = [airflow_asset(name) for name in sorted({each.asset for each in mine})]
    # The public methods know no `extra` for each partition.
    accessors = cast("OutletEventAccessors", context["outlet_events"])._dict
    for each in mine:
        key = _OneOf(each.asset, airflow_asset(each.asset).uri)
        whole = isinstance(pipeline.asset(each.asset).grain, Unpartitioned)
        accessors[key] = OutletEventAccessor(
            key=key, extra=_extra(each), partition_keys=set() if whole else {each.partition}
        )
    cast("dict[str, Any]", context)[_TOLD] = [each.id for each in mine]
    return len(mine)


def mark_told(context: Context) -> None:
    """Remember that Airflow took the events of a task; called back once it has."""
    from tidemark.deployment import open_deployment
    from tidemark.ledger import events

    ids = cast("dict[str, Any]", context).get(_TOLD)
    if ids:
        with open_deployment() as deployment, deployment.ledger.write() as connection:
            events.mark_sent(connection, ids)


def _extra(event: "Event") -> dict[str, Any]:
    return {"state": event.state, "reason": event.reason, "data_version": event.data_version.hex()}
