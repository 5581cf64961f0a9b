"""Plots: random definitions, with every grain, every mapping between every two of them, and near every odd hour."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.properties.oracle import AssetModel, Reading, SourceModel
from tidemark.mappings import Mapping, last_known, latest, parts, same, trailing
from tidemark.partitions import Daily, Grain, Hourly, Monthly, Static, TimeGrain, Unpartitioned, Weekly

WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
UNITS = ("hours", "days", "weeks", "months")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Scene:
    """When and where a history plays.

    Attributes:
        begins: near which instant.
        zones: of its grains.
        first: how long after that the first run takes place.
        steps: by how many hours as-of moves on.
        closes: after how many hours partitions close.
        kinds: the grains of its sources and assets; a name that comes twice is drawn twice as often.

    """

    begins: datetime
    zones: tuple[str, ...]
    first: timedelta
    steps: tuple[int, ...]
    closes: tuple[int, ...]
    kinds: tuple[type[TimeGrain], ...]


_DAYS = (timedelta(days=4, hours=6), (1, 6, 12, 24, 24, 48, 96), (24, 48, 120), (Daily, Daily, Daily, Weekly))
_HOURS = (timedelta(hours=13), (1, 3, 6, 12), (2, 6, 12), (Hourly, Hourly, Daily))
_MONTHS = (timedelta(days=26, hours=6), (24, 96, 240, 240), (120, 480), (Daily, Weekly, Monthly, Monthly, Hourly))

# Each begins on a Monday, before the end of a month or the night in which clocks are set; or in the evening before it.
SCENES = (
    Scene(_at("2025-01-27"), ("UTC",), *_DAYS),
    Scene(_at("2025-01-27"), ("UTC", "Asia/Kathmandu"), *_DAYS),
    Scene(_at("2025-03-24"), ("Europe/London", "Europe/Berlin", "UTC"), *_DAYS),  # forward on Sunday
    Scene(_at("2025-10-20"), ("Europe/London", "Europe/London", "America/New_York"), *_DAYS),  # back on Sunday
    Scene(_at("2025-09-01"), ("America/Santiago",), *_DAYS),  # forward at midnight: that day begins at one
    Scene(_at("2025-03-29T20:00"), ("Europe/Berlin", "UTC"), *_HOURS),
    Scene(_at("2025-10-25T20:00"), ("Europe/London", "UTC"), *_HOURS),
    Scene(_at("2025-09-06T20:00"), ("America/Santiago",), *_HOURS),
    Scene(_at("2025-09-01"), ("UTC", "America/Santiago"), timedelta(days=31), *_MONTHS[1:]),  # when a month has ended
    Scene(_at("2025-09-30T20:00"), ("Europe/London",), *_MONTHS),
)


@dataclass(frozen=True)
class Plot:
    """The definitions of a world.

    Attributes:
        scene: when and where.
        sources: of the first pipeline.
        assets: each after what it reads.
        cut: how many of them are of the first pipeline; the others are of a second one, which reads it by reference.

    """

    scene: Scene
    sources: tuple[SourceModel, ...]
    assets: tuple[AssetModel, ...]
    cut: int


def spelled(grain: Grain) -> str:
    """Return a grain as a definition file says it."""
    if isinstance(grain, Static):
        return f"Static({list(grain.keys)!r})"
    if not isinstance(grain, TimeGrain):
        return "Unpartitioned()"
    said = {"tz": grain.tz, "start": grain.start}
    given = {name: value for name, value in said.items() if value not in (None, "UTC")}
    return f"{type(grain).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def mappings(reader: Grain, upstream: Grain) -> Iterator[tuple[str, str]]:
    """Yield every mapping that is defined between two grains, with the unit that it is counted in."""
    plain: list[tuple[str, Mapping]] = [("same", same()), ("parts", parts()), ("latest", latest())]
    yield from ((name, "days") for name, each in plain if each.check(reader, upstream) is None)
    for unit in UNITS:
        for name, counted in (("trailing", trailing), ("last_known", last_known)):
            if counted(**{unit: 1}).check(reader, upstream) is None:
                yield name, unit


Draw = Callable[[Any], Any]


def _grain(draw: Draw, scene: Scene, kind: type[TimeGrain], starts: tuple[int | None, ...]) -> TimeGrain:
    zone = "UTC" if kind is Hourly else draw(st.sampled_from(scene.zones))
    grain = kind(tz=zone)
    start = draw(st.sampled_from(starts))
    return grain if start is None else kind(tz=zone, start=grain.key(grain.containing(scene.begins) + start))


def _source(draw: Draw, scene: Scene, number: int) -> SourceModel:
    name, gated = f"s{number}", draw(st.sampled_from([False, False, True]))
    if number and draw(st.sampled_from([True, False, False, False])):
        return SourceModel(name, Static(["x", "y"]), gated=gated)
    grain = _grain(draw, scene, draw(st.sampled_from(scene.kinds)), (None, None, None, None, None, 1))
    # In a story of months only a few hours are delivered, and none are expected.
    many = isinstance(grain, Hourly) and Monthly in scene.kinds
    expects = frozenset[int]() if many else frozenset(draw(st.sampled_from([(), range(7), range(5)])))
    due = None
    if expects and not isinstance(grain, Hourly):
        due = draw(st.sampled_from([None, None, "30 hours", "1 day 02:30 Europe/Berlin", "2 days"]))
    return SourceModel(name, grain, expects, due, gated)


def _inputs(draw: Draw, reader: Grain, known: dict[str, Grain]) -> Iterator[Reading]:
    readable = [name for name, grain in known.items() if next(mappings(reader, grain), None)]
    chosen = draw(st.lists(st.sampled_from(readable), min_size=1, max_size=3, unique=True)) if readable else ()
    for upstream in chosen:
        found = list(mappings(reader, known[upstream]))
        # Each mapping is as likely as another, in however many units it can be counted.
        name = draw(st.sampled_from(sorted({name for name, _ in found})))
        unit = draw(st.sampled_from([unit for each, unit in found if each == name]))
        strict, early = draw(st.sampled_from([(False, False)] * 4 + [(True, False), (False, True)]))
        width = draw(st.sampled_from([1, 2, 3, 5]))
        yield Reading(upstream, name, width, unit, draw(st.booleans()), strict, early)


def _asset(draw: Draw, scene: Scene, number: int, known: dict[str, Grain]) -> AssetModel | None:
    name = f"a{number}"
    reader: Grain
    kind = draw(st.sampled_from([*scene.kinds, *scene.kinds, Static, Unpartitioned]))
    if kind is Static:
        reader = Static(draw(st.sampled_from([["x", "y"], ["y"]])))
    elif kind is Unpartitioned:
        reader = Unpartitioned()
    elif kind is Hourly and Monthly in scene.kinds:
        reader = _grain(draw, scene, Daily, (None,))
    else:
        reader = _grain(draw, scene, kind, (None,) * 7 + (1,))
    inputs = list(_inputs(draw, reader, known))
    timed = isinstance(reader, TimeGrain)
    if timed and inputs and draw(st.booleans()):
        inputs.append(Reading(name, "previous", optional=True, strict=draw(st.sampled_from([False, False, True]))))
    # What nothing gives a start is refused.
    starts = isinstance(reader, TimeGrain) and reader.start is not None
    if not inputs or (
        timed and not starts and not any(isinstance(known.get(read.upstream), TimeGrain) for read in inputs)
    ):
        return None
    closes = draw(st.sampled_from([None, None, None, *scene.closes])) if timed else None
    lossy, gated = draw(st.booleans()), draw(st.sampled_from([False, False, False, True]))
    return AssetModel(name, reader, tuple(inputs), lossy, None if closes is None else timedelta(hours=closes), gated)


@st.composite
def plots(draw: Draw, scenes: tuple[Scene, ...] = SCENES) -> Plot:
    """Draw definitions: one to three sources, one to five assets, and where a second pipeline begins, if one does."""
    scene = draw(st.sampled_from(scenes))
    sources = [_source(draw, scene, number) for number in range(draw(st.integers(1, 3)))]
    known: dict[str, Grain] = {each.name: each.grain for each in sources}
    assets: list[AssetModel] = []
    for number in range(draw(st.sampled_from([1, 2, 3, 3, 4, 4, 5]))):
        made = _asset(draw, scene, number, known)
        if made is not None:
            assets.append(made)
            known[made.name] = made.grain
    if not assets:
        # There is always something to compute: what all have.
        assets.append(AssetModel("a0", Unpartitioned(), (Reading(sources[0].name, "parts", optional=True),)))
    cut = draw(st.sampled_from([len(assets), len(assets), max(1, len(assets) // 2), 1]))
    return Plot(scene, tuple(sources), tuple(assets), cut)
