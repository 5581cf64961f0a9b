"""Comparing two versions of one partition: which two are meant, and what of their data differs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from tidemark.assets import Asset, Pipeline, Source
from tidemark.deployment import Deployment
from tidemark.difference import Difference, compare_sizes, compare_tables, compare_texts
from tidemark.errors import Refused, UsageError
from tidemark.explain import short
from tidemark.facts import read_heads, register
from tidemark.frames import TABULAR, Part, load
from tidemark.ledger import records
from tidemark.ledger.records import Made
from tidemark.telling import history_with
from tidemark.versions import chosen

if TYPE_CHECKING:
    import polars as pl


def difference_of(
    deployment: Deployment, pipeline: Pipeline, name: str, key: str, versions: Sequence[str] = (), *, limit: int
) -> dict[str, Any]:
    """Say what differs between two versions of a partition's data; JSON-ready but for the values of rows.

    Args:
        deployment: where.
        pipeline: the pipeline that defines the asset or source.
        name: the asset or source.
        key: the partition.
        versions: the first characters of two data versions, the earlier first; none: what is live, and what was before.
        limit: how many rows, or lines, of each sort are shown.

    Raises:
        UsageError: the asset, the key or a version is none, or there are no two versions.
        Refused: the data of one is no longer in the store.

    """
    member = pipeline[name]
    what = f"{name} {key}"
    names = register(deployment, pipeline)
    ordinal = member.grain.ordinal(key)
    with deployment.ledger.read() as connection:
        number = names.met(name, key)
        made = records.made_for(connection, names.assets[name], number) if number is not None else []
        there = [each for each in made if each.data_version is not None and each.blob is not None]
        head = read_heads(connection, deployment, names, name, ordinal).get(ordinal)
        live = head.materialization if head else None
        if versions:
            before, after = (chosen(there, what, each) for each in versions)
        else:
            before, after = _last_two(connection, deployment, what, names.assets[name], number, live, there)
    difference = _compared(deployment, member, what, before, after, limit)
    return {
        "asset": name,
        "partition": key,
        "before": _version(before, live),
        "after": _version(after, live),
        **difference.to_json(),
    }


def _version(made: Made, live: int | None) -> dict[str, Any]:
    return {
        "version": (made.data_version or b"").hex(),
        "at": made.created_at.isoformat(),
        "run": made.run,
        "by": made.actor,
        "live": made.id == live,
    }


def _last_two(
    connection: sa.Connection,
    deployment: Deployment,
    what: str,
    asset_id: int,
    partition_id: int | None,
    live: int | None,
    there: Sequence[Made],
) -> tuple[Made, Made]:
    """Return what was live before with other content than what is live, and what is."""
    by_id = {each.id: each for each in there}
    known = list(dict.fromkeys(short(each.data_version) for each in there))
    name_two = f"name two versions; there are: {', '.join(known)}"
    if live is None or partition_id is None:
        nothing = f"nothing is live for {what}"
        raise UsageError(f"{nothing}: {name_two}" if len(known) > 1 else f"{nothing}, and there are no two versions")
    now = by_id[live]
    for entry in reversed(history_with(connection, deployment, asset_id, partition_id, live)):
        if entry.materialization in by_id and entry.data_version != now.data_version:
            return by_id[entry.materialization], now
    only = f"{what}: {short(now.data_version)} is the only version that was ever live"
    raise UsageError(f"{only}: {name_two}" if len(known) > 1 else f"{only}: there is nothing to compare it with")


def _compared(
    deployment: Deployment, member: Source | Asset, what: str, before: Made, after: Made, limit: int
) -> Difference:
    old, new = (_file(deployment, what, each) for each in (before, after))
    if before.format in TABULAR and after.format in TABULAR:
        key = member.key or () if isinstance(member, Asset) else ()
        first, second = (_table(what, each, file) for each, file in ((before, old), (after, new)))
        return compare_tables(first, second, key, pii=member.pii, limit=limit)
    if before.format == after.format == "text":
        return compare_texts(old.read_text("utf-8"), new.read_text("utf-8"), limit=limit)
    note = "" if before.format == after.format else f"it was {before.format}, and is {after.format}"
    return compare_sizes(old.stat().st_size, new.stat().st_size, note)


def _file(deployment: Deployment, what: str, made: Made) -> Path:
    assert made.blob is not None
    if deployment.store.missing([made.blob]):
        raise Refused(f"{what}: the data of version {short(made.data_version)} is no longer in the store")
    return deployment.store.path(made.blob)


def _table(what: str, made: Made, file: Path) -> "pl.DataFrame":
    import polars as pl

    part = Part(made.partition, file, made.stored.format, made.stored.declared)
    return cast("pl.DataFrame", load([part], pl.DataFrame, windowed=False, name=what))
