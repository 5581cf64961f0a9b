"""What the clock alone changes: periods end, deliveries are expected, partitions are closed.

Two answers that belong together: :func:`ticked` says what has to be judged because time has passed, :func:`next_tick`
when there is something of that kind again. The first may name too much and the second be too early, never the reverse.
What is waited for becomes due at instants of its own, which gaps say.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from tidemark.assets import Asset, Pipeline, Source
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.given import Upstream
from tidemark.survey.sources import is_closed
from tidemark.survey.survey import Survey

# So many periods are looked at, from the next one on; where nothing is to come within them, one looks again then.
_AHEAD = 64


def ticked(
    pipeline: Pipeline, externals: Mapping[str, Source | Upstream], since: datetime, as_of: datetime
) -> dict[str, set[int]]:
    """Return the partitions, by asset, of which the clock alone may have changed something between two instants.

    What was not yet due, and is by now, is not among them.
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


def next_tick(survey: Survey, planned: Mapping[str, Collection[int]]) -> datetime | None:
    """Return the first instant after as-of at which the clock alone may change something; None: it never does.

    Args:
        survey: after everything that may have changed was judged.
        planned: partitions, by asset, that are still to be computed: nobody knows yet what they will lack.

    """
    return min([*_expectations(survey), *_endings(survey), *_closings(survey, planned)], default=None)


def _expectations(survey: Survey) -> Iterator[datetime]:
    """Yield when the next delivery of each source begins to be expected, of those that are not there yet."""
    for name, source in survey.upstreams.items():
        grain, track = source.grain, survey.tracks[name]
        if not isinstance(source, Source) or source.expected is None or not isinstance(grain, TimeGrain):
            continue
        first = survey.first_of(source)
        if first is None:  # it is expected from its first file on, and there is none
            continue
        start = max(first, grain.containing(survey.as_of) + 1)
        ahead = range(start, start + _AHEAD)
        yield grain.begins(
            next((each for each in ahead if source.expects(each) and track.view(each) is None), ahead.stop)
        )


def _endings(survey: Survey) -> Iterator[datetime]:
    """Yield when the next partition of each asset comes to exist, or is seen by readers that are not of time."""
    coming = _coming(survey)
    for asset in survey.pipeline.assets:
        timed = isinstance(asset.grain, TimeGrain)
        for name in [asset.name] if timed else {read.upstream for read in asset.inputs}:
            grain = survey.tracks[name].grain
            if name in coming and isinstance(grain, TimeGrain):
                yield grain.ends(min(coming[name], default=_ahead(grain, survey.as_of).stop))


def _coming(survey: Survey) -> dict[str, set[int]]:
    """Return the partitions, by asset, whose periods have not ended and that exist by then if only time passes.

    A partition that needs the same one of a source without a calendar comes with the delivery, not with the clock: the
    hours of such a source would else wake everybody every hour for nothing. Assets that begin nowhere are left out.
    """
    coming: dict[str, set[int]] = {}
    for name, upstream in survey.upstreams.items():
        if isinstance(upstream.grain, TimeGrain):
            # What is not delivered yet comes to be expected as its period begins, and that wakes by itself.
            coming[name] = set(survey.tracks[name].within(_ahead(upstream.grain, survey.as_of)))
    for asset in survey.pipeline.assets:
        grain, begins = asset.grain, survey.begins.get(asset.name)
        if not isinstance(grain, TimeGrain) or begins is None:
            continue
        ahead, first = _ahead(grain, survey.as_of), grain.first_since(begins)
        needed = [coming.get(read.upstream, set()) for read in asset.inputs if read.needs_same]
        found = {each for each in ahead if each >= first}.intersection(*needed)
        coming[asset.name] = found | {each for each in ahead if survey.keeps(asset, each)}
    return coming


def _ahead(grain: TimeGrain, as_of: datetime) -> range:
    first = grain.last_ended(as_of) + 1
    return range(first, first + _AHEAD)


def _closings(survey: Survey, planned: Mapping[str, Collection[int]]) -> Iterator[datetime]:
    """Yield when the next partition of each asset is closed of which readers may see something else then.

    Of what is live, final and in order they see the same: only marks and pending changes end with closing.
    """
    closing = {each.name: each for each in survey.pipeline.assets} | {
        name: each for name, each in survey.upstreams.items() if isinstance(each, Upstream)
    }
    for name, each in closing.items():
        grain, closes_after, track = each.grain, each.closes_after, survey.tracks[name]
        if closes_after is None or not isinstance(grain, TimeGrain):
            continue
        first = grain.containing(survey.as_of - closes_after)
        while not is_closed(grain, closes_after, first - 1, survey.as_of):
            first -= 1
        ahead = range(first, first + _AHEAD)
        odd = {ordinal for ordinal in track.odd(ahead) if track.head(ordinal) is not None}
        next_one = min(odd.union(set(planned.get(name, ())).intersection(ahead)), default=ahead.stop)
        # Closed is what is older than this: the instant itself is the last at which it is open.
        yield grain.ends(next_one) + closes_after + timedelta.resolution
