"""Random deployments: a shop and its naive oracle, made from one draw, and kept in step."""

import contextlib
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from tests.gates import rule
from tests.properties import oracle
from tests.properties.oracle import AssetModel, Oracle, Outcome, Reading, SourceModel
from tests.properties.shops import QuickShop
from tidemark.deployment import Deployment
from tidemark.ledger import leases
from tidemark.partitions import Daily, Grain, Hourly, Monthly, Static, TimeGrain, Unpartitioned, Weekly

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
UNITS = {HOUR: "hours", DAY: "days", WEEK: "weeks"}
LENGTH = {Hourly: HOUR, Daily: DAY, Weekly: WEEK}

# As a definition file says them. A Monday, so that weeks, and the end of a month, are near.
GRAINS: dict[str, Grain] = {
    "Hourly()": Hourly(),
    "Daily()": Daily(),
    "Weekly()": Weekly(),
    "Monthly()": Monthly(),
    'Static(["x", "y"])': Static(["x", "y"]),
    "Unpartitioned()": Unpartitioned(),
}
START = datetime(2025, 1, 27, tzinfo=UTC)
WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]

MODULE = """
import zlib
from collections.abc import Mapping
from typing import Any


def rows(table, windowed):
    if table is None:
        return None
    texts = table["v"].to_pylist()
    return list(zip(table["partition"].to_pylist(), texts)) if windowed else texts[0]


"""


@dataclass(frozen=True)
class Plot:
    """The definitions of a world: grains as a file spells them, by member."""

    grains: dict[str, str]
    sources: tuple[SourceModel, ...]
    assets: tuple[AssetModel, ...]
    hours: bool


def _mappings(reader: Grain, upstream: Grain) -> list[tuple[str, timedelta]]:
    """Which mappings are defined between two grains, each with the unit that it is counted in."""
    found: list[tuple[str, timedelta]] = []
    timed = isinstance(reader, TimeGrain), isinstance(upstream, TimeGrain)
    if type(reader) is type(upstream):
        found.append(("same", DAY))
    if all(timed):
        found.append(("latest", DAY))
        unit = LENGTH.get(type(upstream))
        if unit is not None:
            found += [("trailing", unit), ("last_known", unit)]
        finer = {Daily: (Hourly,), Weekly: (Hourly, Daily), Monthly: (Hourly, Daily)}.get(type(reader), ())
        if isinstance(upstream, finer):
            found.append(("parts", DAY))
    elif isinstance(reader, Unpartitioned):
        found.append(("parts", DAY))
        if timed[1]:
            found.append(("latest", DAY))
    elif timed[1] or isinstance(upstream, Unpartitioned):
        found.append(("latest", DAY))
    return found


@st.composite
def plots(draw: Callable[[Any], Any]) -> Plot:
    """Draw definitions: one to three sources, one to five assets, every mapping between every two grains."""
    hours = draw(st.booleans())
    timed = ["Hourly()", "Daily()"] if hours else ["Daily()", "Daily()", "Weekly()"]
    grains: dict[str, str] = {}
    sources, assets = [], []
    for number in range(draw(st.integers(1, 3))):
        name = f"s{number}"
        grains[name] = draw(st.sampled_from([*timed, *timed, 'Static(["x", "y"])'])) if number else timed[0]
        grain = GRAINS[grains[name]]
        expects: frozenset[int] = frozenset()
        due = None
        if isinstance(grain, TimeGrain):
            expects = frozenset(draw(st.sampled_from([(), range(7), range(5)])))
            due = draw(st.sampled_from([None, None, 30, 60])) if expects and isinstance(grain, Daily) else None
        sources.append(SourceModel(name, grain, expects, due))
    for number in range(draw(st.integers(1, 5))):
        name = f"a{number}"
        choices = [*timed, *timed, *timed, "Unpartitioned()", 'Static(["x", "y"])', *([] if hours else ["Monthly()"])]
        grains[name] = draw(st.sampled_from(choices))
        reader = GRAINS[grains[name]]
        readable = [each for each in grains if each != name and _mappings(reader, GRAINS[grains[each]])]
        inputs = []
        for upstream in (
            draw(st.lists(st.sampled_from(readable), min_size=1, max_size=3, unique=True)) if readable else ()
        ):
            mapping, unit = draw(st.sampled_from(_mappings(reader, GRAINS[grains[upstream]])))
            strict, early = draw(st.sampled_from([(False, False)] * 4 + [(True, False), (False, True)]))
            width = draw(st.sampled_from([1, 2, 3, 5]))
            inputs.append(Reading(upstream, mapping, width, unit, draw(st.booleans()), strict, early))
        if isinstance(reader, TimeGrain) and inputs and draw(st.booleans()):
            inputs.append(Reading(name, "previous", optional=True))
        # What nothing gives a start is refused.
        if not inputs or (isinstance(reader, TimeGrain) and not _has_start(inputs, grains)):
            del grains[name]
            continue
        closes = draw(st.sampled_from([None, None, None, 2, 5])) if isinstance(reader, TimeGrain) else None
        lossy, gated = draw(st.booleans()), draw(st.sampled_from([False] * 5 + [True]))
        assets.append(AssetModel(name, reader, tuple(inputs), lossy, closes, gated))
    return Plot(grains, tuple(sources), tuple(assets), hours)


def _has_start(inputs: list[Reading], grains: dict[str, str]) -> bool:
    return any(each.mapping != "previous" and isinstance(GRAINS[grains[each.upstream]], TimeGrain) for each in inputs)


class PowerCut(BaseException):
    """The process is gone."""


class Power:
    """Lasts for so many writes: each may be cut before it begins, before it is committed, or after that."""

    def __init__(self, after: int) -> None:
        self._left = after

    def use(self) -> None:
        """Use some; once there is none, there is none."""
        if self._left <= 0:
            raise PowerCut
        self._left -= 1

    def feed(self, deployment: Deployment) -> None:
        """Let the ledger and the store of a deployment depend on it."""
        write, put = deployment.ledger.write, deployment.store.put

        @contextlib.contextmanager
        def written() -> Iterator[sa.Connection]:
            self.use()
            with write() as connection:
                yield connection
                self.use()
            self.use()

        def stored(payload: bytes | Path) -> str:
            self.use()
            address = put(payload)
            self.use()
            return address

        deployment.ledger.__dict__["write"] = written
        deployment.store.__dict__["put"] = stored


class World:
    """A shop and its oracle, side by side.

    Attributes:
        shop: the real one.
        oracle: the naive one.
        plot: what both define.

    """

    def __init__(self, shop: QuickShop, plot: Plot) -> None:
        self.shop = shop
        self.plot = plot
        self.oracle = Oracle(
            {each.name: each for each in plot.sources},
            {each.name: each for each in plot.assets},
            START + timedelta(days=1 if plot.hours else 4, hours=6),
            salts={each.name: 0 for each in plot.assets},
            suites={each.name: "" for each in plot.assets if each.gated},
            factors={each.name: 0 for each in plot.assets},
        )
        self._contents: dict[bytes, str] = {}
        for each in self.oracle.suites:
            self.edit_suite(each, "")
        shop.module("texts", MODULE + inspect.getsource(oracle.made))
        self.define()

    def define(self) -> None:
        """Write the definitions as they are now, and load them as a new process would."""
        lines = ["import pyarrow as pa", "from texts import made, rows"]
        lines += [self._source(each) for each in self.plot.sources]
        lines += [self._asset(each) for each in self.plot.assets]
        self.shop.define("\n".join(lines))

    def _source(self, source: SourceModel) -> str:
        options = f', expected=Calendar("MON-{WEEKDAYS[len(source.expects) - 1]}")'
        due = f', due="{source.due_hours} hours"' if source.due_hours is not None else ""
        grain = self.plot.grains[source.name]
        name = source.name
        text = f'{name} = source("{name}", files="{name}/{{partition}}.csv", partitions={grain}, schema={{"v": str}}'
        return f"{text}{options if source.expects else ''}{due})"

    def _asset(self, asset: AssetModel) -> str:
        def mapping(read: Reading) -> str:
            flags = "".join(f"{name}=True, " for name in ("strict", "early") if getattr(read, name))
            width = f"{UNITS[read.unit]}={read.width}, " if read.mapping in ("trailing", "last_known") else ""
            return f"{read.mapping}({width}{flags})"

        inputs = ", ".join(f'"{each.upstream}": {mapping(each)}' for each in asset.inputs)
        closes = f', closes_after="{asset.closes_days} days"' if asset.closes_days is not None else ""
        gate = f', gate="{asset.name}"' if asset.gated else ""
        parameters = "".join(
            f"{each.upstream}: pa.Table{' | None' if each.optional else ''}, " for each in asset.inputs
        )
        values = ", ".join(
            f'"{each.upstream}": rows({each.upstream}, {each.mapping in ("trailing", "parts")})'
            for each in asset.inputs
        )
        salt, factor = self.oracle.salts[asset.name], self.oracle.factors[asset.name]
        return textwrap.dedent(f"""
            @asset(partitions={self.plot.grains[asset.name]}, inputs={{{inputs}}}{closes}{gate})
            def {asset.name}({parameters}factor: int = {factor}) -> pa.Table:
                return pa.table({{"v": [made("{asset.name}", {salt}, factor, {asset.lossy}, {{{values}}})]}})
        """)

    # -- the files

    def deliver(self, source: str, ordinal: int, text: str | None) -> None:
        """Put a file into the landing zone; None: one that cannot be read."""
        content = "w\nx\n" if text is None else f"v\n{text}\n"
        self.shop.deliver(source, self.oracle.sources[source].grain.key(ordinal), content)
        self.oracle.files[source, ordinal] = text

    def withdraw(self, source: str, ordinal: int) -> None:
        """Take a file away."""
        self.shop.withdraw(source, self.oracle.sources[source].grain.key(ordinal))
        del self.oracle.files[source, ordinal]

    # -- what people and accidents do

    def edit_suite(self, asset: str, letters: str) -> None:
        """Let an asset's gate block texts that end with one of some letters."""
        pattern = f"[{letters}]$" if letters else "never"
        self.shop.suite(asset, rule("expect_column_values_to_not_match_regex", column="v", regex=pattern))
        self.oracle.suites[asset] = letters

    def declare_absent(self, source: str, ordinal: int) -> None:
        """Declare that a file will not come, or take that back."""
        key, place = self.oracle.sources[source].grain.key(ordinal), (source, ordinal)
        self.shop.as_of = self.oracle.as_of
        if place in self.oracle.absent:
            self.shop.withdraw_declaration(source, key)
        else:
            self.shop.declare_absent(source, key)
        self.oracle.absent ^= {place}
        self.oracle.unforeseen.discard(place)

    def break_or_mend(self, asset: str, ordinal: int) -> None:
        """Let a function raise for a partition, or no longer."""
        key, place = self.oracle.assets[asset].grain.key(ordinal), (asset, ordinal)
        if place in self.oracle.broken:
            self.shop.mends(asset, key)
        else:
            self.shop.breaks(asset, key)
        self.oracle.broken ^= {place}

    def hold(self, asset: str, ordinal: int | None) -> None:
        """Stop an asset, or one partition."""
        self.shop.hold(asset, None if ordinal is None else self.oracle.assets[asset].grain.key(ordinal))
        self.oracle.held.add((asset, ordinal))

    def release(self, asset: str, ordinal: int | None) -> None:
        """Lift the hold of an asset as a whole, or of one partition."""
        self.shop.release(asset, None if ordinal is None else self.oracle.assets[asset].grain.key(ordinal))
        self.oracle.held.discard((asset, ordinal))

    # -- runs

    def run(self) -> Outcome:
        """Run both, and compare everything."""
        plan = self._run_shop()
        outcome = self.oracle.run()
        self.compare()
        executed = sorted((asset, key) for asset, keys in self.shop.ran.items() for key in keys)
        assert executed == sorted(outcome.executed), "what was executed is the minimum"
        planned = {(item.asset, item.key): item.certainty.value for item in plan.items}
        assert set(executed) <= planned.keys(), "what is executed was planned"
        if not outcome.failed and not outcome.blocked:
            # What is planned for its gate alone is looked at, and does not run.
            looked_at = {(item.asset, item.key) for item in plan.items if item.reason.startswith("the gate ")}
            will = {place for place, certainty in planned.items() if certainty == "will"} - looked_at
            assert will <= {*executed, *outcome.restored}, "what will run has run"
        assert self.shop.verdict is not None
        assert self.shop.verdict.ok == (not outcome.failed and not outcome.blocked and not self._rejections())
        return outcome

    def crash_and_run(self, after: int) -> None:
        """Cut the power in the middle of a run, at one of its writes, and run again; both together are one run."""
        self.shop.as_of = self.oracle.as_of
        before = len(self.shop.journal())
        power = Power(after)
        self.shop.equip = power.feed  # type: ignore[method-assign]
        try:
            with contextlib.suppress(PowerCut):
                self._run_shop()
        finally:
            del self.shop.equip  # type: ignore[method-assign]
        with pytest.MonkeyPatch.context() as patch:
            # Who had the power cut is not dead indeed, so that others cannot tell.
            patch.setattr(leases, "is_dead", lambda holder: True)
            self._run_shop()
        again = [line for line in self.shop.journal()[before:]]
        wanted = {f"{asset} {key}" for asset, key in self.oracle.run().executed}
        self.compare()
        assert set(again) == wanted, "nothing more was executed than without the crash"
        assert all(count <= 2 for count in Counter(again).values())

    def race(self) -> None:
        """Let two runners begin at once."""
        self.shop.as_of = self.oracle.as_of
        before = len(self.shop.journal())
        confirmed = frozenset(self.oracle.sources)
        with ThreadPoolExecutor() as runners:
            for done in [runners.submit(self.shop.twin().run, confirmed=confirmed) for _ in range(2)]:
                done.result()
        wanted = sorted(f"{asset} {key}" for asset, key in self.oracle.run().executed)
        self.compare()
        assert sorted(self.shop.journal()[before:]) == wanted, "each partition was computed by one of them"

    def _rejections(self) -> set[tuple[str, int]]:
        return self.oracle.rejected - (self.oracle.absent - self.oracle.unforeseen)

    def _run_shop(self) -> Any:
        self.shop.as_of = self.oracle.as_of
        self.shop.run(confirmed=frozenset(self.oracle.sources))
        return self.shop.plan

    def compare(self) -> None:
        """Compare what is live, and what it is provisional for."""
        wanted: dict[tuple[str, str], tuple[str, frozenset[tuple[str, str]]]] = {}
        for (name, ordinal), head in self.oracle.live.items():
            wanted[name, self.oracle.assets[name].grain.key(ordinal)] = (head.content, head.missing)
        assert self.found() == wanted, "heads and marks are those of the oracle"

    def found(self) -> dict[tuple[str, str], tuple[str, frozenset[tuple[str, str]]]]:
        """Return content and marks of what is live, by asset and key."""
        heads = self.shop.everything(each.name for each in self.plot.assets)
        lacking = {head.materialization for head in heads.values() if head.data_version not in self._contents}
        self._contents.update(self.shop.contents(lacking))
        return {place: (self._contents[head.data_version], head.missing) for place, head in heads.items()}

    def settled(self) -> None:
        """After a run that failed nothing there is nothing to do."""
        self.shop.as_of = self.oracle.as_of
        plan = self.shop.planned(confirmed=frozenset(self.oracle.sources))
        assert plan.items == ()
        assert plan.moves == ()
