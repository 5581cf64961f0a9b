"""What the clock alone changes: periods end, deliveries are expected, partitions are closed."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from tidemark.assets import Asset, Pipeline, Source
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.given import Upstream
from tidemark.survey.sources import is_closed

# How far ahead the next expected delivery is looked for, in periods.
_AHEAD = 400


def ticked(
    pipeline: Pipeline, externals: Mapping[str, Source | Upstream], since: datetime, as_of: datetime
) -> dict[str, set[int]]:
    """Return the partitions, by asset, of which the clock alone may have changed something between two instants.

    What was not yet due, and is by now, is not among them: gaps say when that is.
    """
    if since == as_of:
        return {}
    found: dict[str, set[int]] = {}
    for source in [*pipeline.sources, *(each for each in externals.values() if isinstance(each, Source))]:
        found[source.name] = set(_expected(source, since, as_of))
    for name, upstream in externals.items():
        if isinstance(upstream, Upstream):
            found[name] = set(_closed(upstream.grain, upstream.closes_after, since, as_of))
    grains = {each.name: each.grain for each in pipeline.members} | {
        name: each.grain for name, each in externals.items()
    }
    for asset in pipeline.assets:
        found[asset.name] = {
            *_ended(asset, grains, since, as_of),
            *_closed(asset.grain, asset.closes_after, since, as_of),
        }
    return found


def _expected(source: Source, since: datetime, as_of: datetime) -> Iterator[int]:
    grain = source.grain
    if source.expected is not None and isinstance(grain, TimeGrain):
        every = range(grain.containing(since) + 1, grain.containing(as_of) + 1)
        yield from (ordinal for ordinal in every if source.expects(ordinal))


def _ended(asset: Asset, grains: Mapping[str, Grain], since: datetime, as_of: datetime) -> Iterable[int]:
    """Return the partitions whose period has ended, or that see periods of what they read end."""
    grain = asset.grain
    if isinstance(grain, TimeGrain):
        return range(grain.last_ended(since) + 1, grain.last_ended(as_of) + 1)
    timed = [each for each in (grains[read.upstream] for read in asset.inputs) if isinstance(each, TimeGrain)]
    if any(each.last_ended(since) != each.last_ended(as_of) for each in timed):
        return range(len(getattr(grain, "keys", ("all",))))
    return ()


def _closed(grain: Grain, closes_after: timedelta | None, since: datetime, as_of: datetime) -> Iterator[int]:
    if closes_after is None or not isinstance(grain, TimeGrain):
        return
    for ordinal in range(grain.containing(since - closes_after) - 1, grain.containing(as_of - closes_after) + 1):
        if is_closed(grain, closes_after, ordinal, as_of) and not is_closed(grain, closes_after, ordinal, since):
            yield ordinal


def next_tick(pipeline: Pipeline, externals: Mapping[str, Source | Upstream], as_of: datetime) -> datetime | None:
    """Return the first instant after as-of at which the clock alone may change something; None: it never does.

    What is waited for becomes due at instants of its own, which gaps say.
    """
    found: list[datetime] = []
    for source in pipeline.sources:
        found += _next_expected(source, as_of)
    for each in [*pipeline.members, *externals.values()]:
        grain, closes_after = each.grain, getattr(each, "closes_after", None)
        if not isinstance(grain, TimeGrain):
            continue
        found.append(grain.ends(grain.last_ended(as_of) + 1))
        if closes_after is not None:
            # Closed is what is older than this: the instant itself is the last at which it is open.
            ordinal = grain.containing(as_of - closes_after)
            instants = (grain.ends(near) + closes_after for near in (ordinal - 1, ordinal, ordinal + 1))
            found.append(min(instant for instant in instants if instant >= as_of) + timedelta.resolution)
    return min(found, default=None)


def _next_expected(source: Source, as_of: datetime) -> list[datetime]:
    grain = source.grain
    if source.expected is None or not isinstance(grain, TimeGrain):
        return []
    first = grain.containing(as_of) + 1
    return [grain.begins(each) for each in range(first, first + _AHEAD) if source.expects(each)][:1]
