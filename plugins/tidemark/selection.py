"""A selection of partitions: as a person asks for it, and as JSON keeps it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from tidemark.assets import Pipeline
from tidemark.errors import UsageError
from tidemark.partitions import TimeGrain
from tidemark.survey import Selection


def read_selection(
    pipeline: Pipeline,
    first: str | None,
    last: str | None,
    force: Iterable[str],
    *,
    names: tuple[str, str] = ("--from", "--to"),
) -> Selection:
    """Return the selection that a person asks for.

    Args:
        pipeline: what it is of; days are days of its first asset of time.
        first: the day on which the first partition begins, such as ``2011-01-05``; None for no limit.
        last: the same for the last one.
        force: ``ASSET`` or ``ASSET:PARTITION`` each: computed whatever is known of it.
        names: how the person calls first and last, for messages.

    Raises:
        UsageError: what should be a day is none, the first lies after the last, or there is no such asset or key.

    """
    zone = next((each.grain.zone for each in pipeline.assets if isinstance(each.grain, TimeGrain)), UTC)
    days = [_day(text, name) for text, name in zip((first, last), names, strict=True)]
    if days[0] and days[1] and days[0] > days[1]:
        raise UsageError(f"{names[0]} {first} lies after {names[1]} {last}: there is nothing between them")
    limits = [
        datetime.combine(day, moment, zone).astimezone(UTC) if day else None
        for day, moment in zip(days, (time.min, time.max), strict=True)
    ]
    return Selection(limits[0], limits[1], frozenset(_forced(pipeline, text) for text in force))


def _day(text: str | None, name: str) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as problem:
        raise UsageError(f"{name}={text!r} is no day: write it as 2011-01-05") from problem


def _forced(pipeline: Pipeline, text: str) -> tuple[str, str | None]:
    asset, colon, key = text.partition(":")
    grain = pipeline.asset(asset).grain
    return asset, grain.key(grain.ordinal(key)) if colon else None


def selection_data(selection: Selection) -> dict[str, Any]:
    """Return a selection as JSON keeps it."""
    first, last, force = selection
    return {
        "first": first.isoformat() if first else None,
        "last": last.isoformat() if last else None,
        "force": sorted([asset, key or ""] for asset, key in force),
    }


def selection_from(data: Mapping[str, Any]) -> Selection:
    """Return the selection that :func:`selection_data` wrote."""
    return Selection(
        datetime.fromisoformat(data["first"]) if data["first"] else None,
        datetime.fromisoformat(data["last"]) if data["last"] else None,
        frozenset((asset, key or None) for asset, key in data["force"]),
    )
