"""The generator really produces what the histories claim to be about; nothing is run here but the naive oracle."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, seed, settings

from tests.properties.machine import Histories
from tests.properties.playing import REPEATABLE, play
from tests.properties.plots import Plot, plots
from tests.properties.worlds import COUNTED, World
from tidemark.partitions import Daily, Static, TimeGrain, Unpartitioned

PLOTS = 400
HISTORIES = 400


def _features(plot: Plot) -> Iterator[str]:
    """Yield what is in a plot."""
    yield from _of_members(plot)
    for asset in plot.assets:
        for read in asset.inputs:
            yield f"{read.mapping} {read.unit if read.mapping in COUNTED else ''}".strip()
            yield from (flag for flag in ("optional", "strict", "early") if getattr(read, flag))
            if read.mapping == "previous" and read.strict:
                yield "previous, strict"
    first = {each.name for each in (*plot.sources, *plot.assets[: plot.cut])}
    if any(read.upstream in first for each in plot.assets[plot.cut :] for read in each.inputs):
        yield "ref"
    if any(_changes(plot, each.grain.tz) for each in plot.assets if isinstance(each.grain, TimeGrain)):
        yield "a zone that changes its clock"


def _of_members(plot: Plot) -> Iterator[str]:
    """Yield what the sources and assets of a plot are."""
    for member in (*plot.sources, *plot.assets):
        kind = "asset" if member in plot.assets else "source"
        yield f"{kind}: {member.grain.name}"
        if member.gated:
            yield f"{kind}: gated"
        if isinstance(member.grain, TimeGrain) and member.grain.start:
            yield f"{kind}: start="
    for source in plot.sources:
        if source.expects:
            yield f"due: {source.due}"
    for asset in plot.assets:
        if asset.closes is not None:
            yield "closes_after"


def _changes(plot: Plot, zone: str) -> bool:
    """Return whether a zone's clock is set within the weeks in which a plot plays."""
    begins = plot.scene.begins.astimezone(ZoneInfo(zone))
    return begins.utcoffset() != (begins + timedelta(days=30)).utcoffset()


EVERY_PLOT = [
    *(f"asset: {name}" for name in ("hourly", "daily", "weekly", "monthly", Static.name, Unpartitioned.name)),
    *(f"source: {name}" for name in ("hourly", "daily", "weekly", "monthly", Static.name)),
    *(f"{mapping} {unit}" for mapping in COUNTED for unit in ("hours", "days", "weeks", "months")),
    *("same", "parts", "latest", "previous", "previous, strict", "optional", "strict", "early"),
    *("source: gated", "asset: gated", "source: start=", "asset: start=", "closes_after", "ref"),
    *(f"due: {due}" for due in (None, "30 hours", "1 day 02:30 Europe/Berlin", "2 days")),
    "a zone that changes its clock",
]


def test_every_grain_and_mapping_is_drawn() -> None:
    """In at least one plot in a hundred, and most of them much more often."""
    seen: Counter[str] = Counter()

    @seed(1)
    @settings(
        max_examples=PLOTS, backend=REPEATABLE, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(plots())
    def draw(plot: Plot) -> None:
        seen.update(set(_features(plot)))

    draw()
    lacking = {each: seen[each] for each in EVERY_PLOT if seen[each] < PLOTS // 100}
    assert not lacking, f"of {PLOTS} plots: {lacking}; {dict(seen)}"


EVERY_EVENT = [
    *("arrived", "arrived late", "delivered again", "corrected", "withdrawn", "malformed", "rejected by a gate"),
    *("broken", "mended", "failed 1 times", "failed 2 times", "not tried again", "tried again, with success"),
    *("retried by a person", "time passed", "code edited", "code reverted", "parameter edited", "parameter reverted"),
    *("mapping edited", "calendar edited"),
    *("suite of a source edited", "suite of an asset edited", "declared absent", "declaration taken back", "held"),
    *("released", "crashed", "raced", "run", "run in lanes", "moved to branch", "moved to prod"),
    *("executed", "restored", "blocked", "blocked by a gate", "blocked by a strict input", "waiting", "provisional"),
    *("held with a change pending", "closed with a change pending", "came out as it was", "a last good head stands in"),
    *("a branch has its own", "a branch marks what is of prod", "an hour that the clock skips or repeats", "a month"),
]


class Dry(Histories):
    """Histories without a shop, which count what happens in them."""

    def end(self, world: World) -> None:
        """Count each kind of thing that has happened once."""
        super().end(world)
        happened = {each for each, times in world.seen.items() if times} | set(_state(world))
        SEEN.update(happened)
        SEEN["histories"] += 1


SEEN: Counter[str] = Counter()


def _state(world: World) -> Iterator[str]:
    branch, prod = world.environments.get("branch"), world.environments["prod"]
    if branch is not None and branch.own:
        yield "a branch has its own"
    if branch is not None and branch.follows:
        yield "a branch marks what is of prod"
    if any(sight.word == "rejected" and sight.text is not None for some in prod.sights.values() for sight in some):
        yield "rejected by a gate"
    for name, ordinal in prod.live:
        grain = prod.assets[name].grain
        if grain.name == "monthly":
            yield "a month"
        if isinstance(grain, Daily) and grain.ends(ordinal) - grain.begins(ordinal) != timedelta(days=1):
            yield "an hour that the clock skips or repeats"


def test_every_kind_of_event_takes_place() -> None:
    """In at least one history in a hundred, and most of them much more often."""
    SEEN.clear()
    play(Dry, None, histories=HISTORIES, seed=1)
    wanted = SEEN["histories"] // 100
    assert wanted
    lacking = {each: SEEN[each] for each in EVERY_EVENT if SEEN[each] < wanted}
    assert not lacking, f"of {SEEN['histories']} histories: {lacking}; {dict(SEEN)}"
