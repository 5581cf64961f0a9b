"""Soundness, minimality and confluence: random histories of random deployments end as a naive oracle says.

After every run of a history: heads and marks are the oracle's, what was executed is the minimum, all of it was planned,
what was said to run has run, and a plan made right after holds nothing.
"""

import os
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.properties.playing import play
from tests.properties.shops import Ground
from tests.properties.worlds import START, Plot, World, plots
from tidemark.partitions import TimeGrain

numbers = st.integers(0, 30)
often = st.sampled_from([True, True, False])
texts = st.sampled_from(["a", "b", "c"])

GROUND = Ground()

# Histories of a plain test run, and into how many tests they are cut.
FEW = 40
SHARES = 8


class Histories(RuleBasedStateMachine):
    """Everything that can happen to one deployment, one thing after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = GROUND.shop()
        self.path = sys.path.copy()
        self.writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True

    def teardown(self) -> None:
        """Leave nothing behind."""
        GROUND.clear()
        sys.path[:] = self.path
        sys.dont_write_bytecode = self.writes_bytecode

    @initialize(plot=plots(), missing=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=6), text=texts)
    def begin(self, plot: Plot, missing: set[tuple[int, int]], text: str) -> None:
        """Define sources and assets, deliver the first files but for some, and run."""
        self.world = World(self.shop, plot)
        self.oracle = self.world.oracle
        for source in range(len(plot.sources)):
            for place in range(6):
                if (source, place) not in missing:
                    self.world.deliver(*self._place(source, place), text)
        self.run()

    # -- what is drawn

    def _place(self, source: int, place: int) -> tuple[str, int]:
        """A partition of a source, near the start."""
        chosen = self.world.plot.sources[source % len(self.world.plot.sources)]
        if not isinstance(chosen.grain, TimeGrain):
            return chosen.name, place % 2
        return chosen.name, chosen.grain.containing(START) + place % 7

    def _asset(self, number: int) -> Any:
        return self.world.plot.assets[number % len(self.world.plot.assets)]

    def _head(self, number: int) -> tuple[str, int]:
        """A partition that has a head."""
        live = sorted(self.oracle.live)
        return live[number % len(live)]

    @property
    def has_assets(self) -> bool:
        return hasattr(self, "world") and bool(self.world.plot.assets)

    @property
    def has_heads(self) -> bool:
        return hasattr(self, "world") and bool(self.oracle.live)

    @property
    def has_files(self) -> bool:
        return hasattr(self, "world") and bool(self.oracle.files)

    # -- files

    @rule(source=numbers, place=numbers, text=texts, then=often)
    def delivered(self, source: int, place: int, text: str, then: bool) -> None:
        """A file arrives, late or not, or comes again with the same content or another."""
        self.world.deliver(*self._place(source, place), text)
        self.run(then)

    @rule(source=numbers, place=numbers, then=often)
    def malformed(self, source: int, place: int, then: bool) -> None:
        """A file arrives that cannot be read."""
        self.world.deliver(*self._place(source, place), None)
        self.run(then)

    @precondition(lambda self: self.has_files)
    @rule(number=numbers, then=often)
    def withdrawn(self, number: int, then: bool) -> None:
        """A file is taken away."""
        files = sorted(self.oracle.files)
        self.world.withdraw(*files[number % len(files)])
        self.run(then)

    @rule(source=numbers, place=numbers, then=often)
    def declared_absent(self, source: int, place: int, then: bool) -> None:
        """A person says that a file will not come, or takes that back."""
        name, ordinal = self._place(source, place)
        self.world.declare_absent(name, ordinal)
        self.run(then)

    # -- the clock, the code

    @rule(hours=st.sampled_from([1, 6, 12, 24, 24, 48, 96]), then=often)
    def time_passes(self, hours: int, then: bool) -> None:
        """As-of moves on."""
        self.oracle.as_of += timedelta(hours=min(hours, 12) if self.world.plot.hours else hours)
        self.run(then)

    @precondition(lambda self: self.has_assets)
    @rule(number=numbers, salt=st.integers(0, 2), then=often)
    def code_edited(self, number: int, salt: int, then: bool) -> None:
        """A function changes, or is what it was before."""
        self.oracle.salts[self._asset(number).name] = salt
        self.world.define()
        self.run(then)

    @precondition(lambda self: self.has_assets)
    @rule(number=numbers, factor=st.integers(0, 1), then=often)
    def parameter_edited(self, number: int, factor: int, then: bool) -> None:
        """A parameter changes, or is what it was before."""
        self.oracle.factors[self._asset(number).name] = factor
        self.world.define()
        self.run(then)

    @precondition(lambda self: hasattr(self, "world") and self.oracle.suites)
    @rule(number=numbers, letters=st.sampled_from(["", "0", "01", "02468ace"]), then=often)
    def suite_edited(self, number: int, letters: str, then: bool) -> None:
        """A gate comes to block other results, or what it blocked before."""
        gated = sorted(self.oracle.suites)
        self.world.edit_suite(gated[number % len(gated)], letters)
        self.run(then)

    # -- what breaks, what people stop

    @precondition(lambda self: self.has_heads)
    @rule(number=numbers, then=often)
    def breaks_or_mends(self, number: int, then: bool) -> None:
        """A function raises for one partition from now on, or does no longer."""
        self.world.break_or_mend(*self._head(number))
        self.run(then)

    @precondition(lambda self: self.has_heads)
    @rule(number=numbers, whole=st.booleans(), then=often)
    def held(self, number: int, whole: bool, then: bool) -> None:
        """A person stops an asset or one partition."""
        name, ordinal = self._head(number)
        self.world.hold(name, None if whole else ordinal)
        self.run(then)

    @precondition(lambda self: hasattr(self, "world") and self.oracle.held)
    @rule(number=numbers, then=often)
    def let_go(self, number: int, then: bool) -> None:
        """A person lifts a hold."""
        held = sorted(self.oracle.held, key=repr)
        self.world.release(*held[number % len(held)])
        self.run(then)

    # -- runs

    @precondition(lambda self: self.has_assets and not self.oracle.broken)
    @rule(after=st.integers(0, 40))
    def crashed(self, after: int) -> None:
        """The power is cut in the middle of a run; the next one ends where one without a cut would have."""
        self.world.crash_and_run(after)
        self.world.settled()

    @precondition(lambda self: self.has_assets and not self.oracle.broken)
    @rule()
    def raced(self) -> None:
        """Two runs begin at once; each partition is computed once, and both end in one state."""
        self.world.race()
        self.world.settled()

    def run(self, indeed: bool = True) -> None:
        """Both run, if they are to; all is compared."""
        if not indeed:
            return
        outcome = self.world.run()
        if not outcome.failed:
            self.world.settled()


@pytest.mark.timeout(0)
@pytest.mark.parametrize("share", range(SHARES))
def test_every_history_ends_as_the_oracle_says(share: int) -> None:
    """Any random history; all of them are shared out, so that several processes can have a part each."""
    asked = int(os.environ.get("TIDEMARK_HISTORIES", str(FEW)))
    # The same ones each time, unless somebody asks for more.
    play(Histories, histories=-(-asked // SHARES), seed=None if "TIDEMARK_HISTORIES" in os.environ else share)
