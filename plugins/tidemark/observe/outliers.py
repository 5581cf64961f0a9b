"""Dates that may be typing errors: far from all others, or far ahead of the clock."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from tidemark.assets import Source
from tidemark.facts import Names
from tidemark.ledger import heads, sources
from tidemark.partitions import TimeGrain

# A date further than this from all others may be a typing error, unless start= says otherwise.
OUTLIER = timedelta(days=370)


def outliers(source: Source, ordinals: list[int], standing: frozenset[int], as_of: datetime) -> list[int]:
    """Return partitions before the declared start, far in the future, or far from all others.

    Only what is new can be far off: what was taken once is ``standing`` for as long as its file is there. Nothing new
    is taken far before all that stands (at first: before the most files), and one file alone not far after it. So
    without a declared start the order of arrival decides between dates that lie far apart, on purpose: of two lone
    dates nobody knows which one is the typing error.
    """
    grain = source.grain
    if not isinstance(grain, TimeGrain):
        return []
    horizon = grain.containing(max(as_of, datetime.now(UTC)) + OUTLIER)
    kept = [each for each in ordinals if each in standing or each <= horizon]
    if grain.first is not None:
        kept = [each for each in kept if each >= grain.first]
    else:
        spans: list[list[int]] = []
        for each in kept:
            if not spans or _far(grain, spans[-1][-1], each):
                spans.append([])
            spans[-1].append(each)
        given = [span for span in spans if not standing.isdisjoint(span)] or [max(reversed(spans), key=len, default=[])]
        spans = [span for span in spans if span in given or (len(span) > 1 and span[0] > given[0][0])]
        kept = [each for span in spans for each in span]
    inside = set(kept)
    return [each for each in ordinals if each not in inside]


def _far(grain: TimeGrain, earlier: int, later: int) -> bool:
    return later - earlier > 1 and grain.begins(later) - grain.begins(earlier) > OUTLIER


def fits(connection: sa.Connection, names: Names, source: Source, ordinals: Iterable[int], as_of: datetime) -> bool:
    """Return whether every partition lies near one that stands, so that none can be out of the source's range."""
    grain = source.grain
    if not isinstance(grain, TimeGrain):
        return True
    horizon = max(as_of, datetime.now(UTC)) + OUTLIER
    for ordinal in ordinals:
        begins = grain.begins(ordinal)
        if begins > horizon or (grain.first is not None and ordinal < grain.first):
            return False
        near = range(grain.containing(begins - OUTLIER) + 1, grain.containing(begins + OUTLIER))
        ids = names.id_at(source.name, near.start), names.id_at(source.name, near.stop)
        if not sources.stands_within(connection, heads.PROD, names.assets[source.name], *ids):
            return False
    return True
