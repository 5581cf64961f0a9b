"""The state machine: everything that can happen to one deployment, one thing after the other, in any order."""

import sys
from collections.abc import Iterable
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.properties.explaining import check_explained
from tests.properties.oracle import AssetModel, Oracle, Place
from tests.properties.plots import Plot, plots
from tests.properties.rebuilding import check_rebuild
from tests.properties.shops import Ground
from tests.properties.worlds import World
from tidemark.partitions import Hourly, Monthly, TimeGrain

numbers = st.integers(0, 30)
texts = st.sampled_from(["a", "b", "c"])

# What the text of any result may end with.
ALL = "0123456789abcdef"

# What follows something that happens: mostly a run, sometimes in lanes as by the workers of Airflow, or nothing yet.
runs = st.sampled_from(["run", "run", "run", "lanes", ""])


def place_of(plot: Plot, source: int, place: int) -> Place:
    """Return a partition of one of a plot's sources, near the start."""
    chosen = plot.sources[source % len(plot.sources)]
    if not isinstance(chosen.grain, TimeGrain):
        return chosen.name, place % 2
    first = chosen.grain.containing(plot.scene.begins)
    if isinstance(chosen.grain, Hourly) and Monthly in plot.scene.kinds:
        return chosen.name, first + place % 7 * 9
    return chosen.name, first + place % 7


class Histories(RuleBasedStateMachine):
    """Everything that can happen to one deployment, one thing after the other.

    Attributes:
        ground: where its shop is; None for no shop, where only the oracle's answers are wanted.

    """

    ground: ClassVar[Ground | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.path = sys.path.copy()
        self.writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True

    def teardown(self) -> None:
        """Hold the end against a clean rebuild, tell the story of what failed, and leave nothing behind."""
        try:
            problem = sys.exc_info()[1]
            if self.world is not None and problem is None:
                self.end(self.world)
        except Exception as found:
            problem = found
            raise
        finally:
            if self.world is not None:
                if isinstance(problem, Exception):
                    problem.add_note(self.world.story())
                self.world.close()
            if self.ground is not None:
                self.ground.clear()
            sys.path[:] = self.path
            sys.dont_write_bytecode = self.writes_bytecode

    def end(self, world: World) -> None:
        """Run what has not been run yet, and hold what is there then against a clean rebuild."""
        if self.ground is not None:
            check_explained(world)
        if world.dirty:
            world.run()
        if self.ground is not None:
            check_rebuild(world, self.ground.shop("rebuilt"))

    @initialize(plot=plots(), missing=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=6), text=texts)
    def begin(self, plot: Plot, missing: set[tuple[int, int]], text: str) -> None:
        """Define sources and assets, deliver the first files but for some, and run."""
        self.world = World(self.ground.shop() if self.ground is not None else None, plot)
        for source in range(len(plot.sources)):
            for place in range(6):
                if (source, place) not in missing:
                    self.w.deliver(*self._place(source, place), text)
        self.run("run")

    # -- what is drawn

    @property
    def w(self) -> World:
        """The world, which has begun."""
        assert self.world is not None
        return self.world

    @property
    def oracle(self) -> Oracle:
        """What must be so now."""
        return self.w.oracle

    def _place(self, source: int, place: int) -> Place:
        return place_of(self.w.plot, source, place)

    def _asset(self, number: int) -> AssetModel:
        return self.w.plot.assets[number % len(self.w.plot.assets)]

    def _head(self, number: int) -> Place:
        """A partition that has a head, or will have one if it is let."""
        live = sorted({*self.oracle.live, *self.w.around.broken})
        return live[number % len(live)]

    @property
    def has_heads(self) -> bool:
        """Whether something is live."""
        return self.world is not None and bool(self.oracle.live)

    # -- files

    @rule(source=numbers, place=numbers, text=texts, then=runs)
    def delivered(self, source: int, place: int, text: str, then: str) -> None:
        """A file arrives, late or not, or comes again with the same content or another."""
        self.w.deliver(*self._place(source, place), text)
        self.run(then)

    @rule(source=numbers, place=numbers, then=runs)
    def malformed(self, source: int, place: int, then: str) -> None:
        """A file arrives that cannot be read."""
        self.w.deliver(*self._place(source, place), None)
        self.run(then)

    @precondition(lambda self: self.world is not None and self.world.around.files)
    @rule(number=numbers, then=runs)
    def withdrawn(self, number: int, then: str) -> None:
        """A file is taken away."""
        files = sorted(self.w.around.files)
        self.w.withdraw(*files[number % len(files)])
        self.run(then)

    @rule(source=numbers, place=numbers, back=st.booleans(), then=runs.filter(bool))
    def declared_absent(self, source: int, place: int, back: bool, then: str) -> None:
        """A person says that a file will not come, or takes that back.

        That changes marks at once, which the oracle does only in a run: where one takes place before it and after it,
        nothing comes between the two that would keep a mark of what is held as it was, or was not.
        """
        if self.w.dirty:
            self.run("run")
        declared = sorted(self.w.around.absent)
        chosen = declared[place % len(declared)] if back and declared else self._place(source, place)
        self.w.declare_absent(*chosen)
        self.run(then)

    # -- the clock, the code

    @rule(number=numbers, then=runs)
    def time_passes(self, number: int, then: str) -> None:
        """As-of moves on."""
        steps = self.w.plot.scene.steps
        self.w.move_on(steps[number % len(steps)])
        self.run(then)

    @rule(number=numbers, salt=st.integers(0, 2), then=runs)
    def code_edited(self, number: int, salt: int, then: str) -> None:
        """A function changes, or is what it was before."""
        self.w.edit_code(self._asset(number).name, salt)
        self.run(then)

    @rule(number=numbers, then=runs)
    def parameter_edited(self, number: int, then: str) -> None:
        """A parameter changes, or is what it was before."""
        name = self._asset(number).name
        self.w.edit_parameter(name, 1 - self.oracle.factors[name])
        self.run(then)

    @rule(number=numbers, which=numbers, width=st.sampled_from([1, 2, 3, 5]), strict=st.booleans(), then=runs)
    def mapping_edited(self, number: int, which: int, width: int, strict: bool, then: str) -> None:
        """An input is read in another way, or as it was before."""
        self.w.edit_mapping(self._asset(number).name, which, width, strict)
        self.run(then)

    @precondition(lambda self: self.world is not None and any(each.expects for each in self.oracle.sources.values()))
    @rule(number=numbers, then=runs)
    def calendar_edited(self, number: int, then: str) -> None:
        """Other days are expected."""
        expected = sorted(name for name, each in self.oracle.sources.items() if each.expects)
        self.w.edit_calendar(expected[number % len(expected)])
        self.run(then)

    @precondition(lambda self: self.world is not None and self.has_gates(self.oracle.assets))
    @rule(number=numbers, letters=st.sampled_from(["", "02468ace", ALL, ALL]), salt=st.integers(0, 2), then=runs)
    def suite_edited(self, number: int, letters: str, salt: int, then: str) -> None:
        """A gate comes to block other results, or what it blocked before; mostly just when there are other ones."""
        gated = sorted(self.w.around.suites.keys() & self.oracle.assets.keys())
        name = gated[number % len(gated)]
        self.w.edit_suite(name, letters)
        if salt:
            self.w.edit_code(name, salt)
        self.run(then)

    @precondition(lambda self: self.world is not None and self.has_gates(self.oracle.sources))
    @rule(number=numbers, place=numbers, text=texts, blocked=texts, then=runs)
    def suite_of_a_source_edited(self, number: int, place: int, text: str, blocked: str, then: str) -> None:
        """A gate comes to block other files, or what it blocked before, just when one arrives."""
        gated = sorted(self.w.around.suites.keys() & self.oracle.sources.keys())
        name = gated[number % len(gated)]
        self.w.edit_suite(name, "" if blocked in self.w.around.suites[name] else blocked)
        self.w.deliver(*self._place([each.name for each in self.w.plot.sources].index(name), place), text)
        self.run(then)

    def has_gates(self, members: Iterable[str]) -> bool:
        """Return whether some of these have a gate."""
        return not self.w.around.suites.keys().isdisjoint(members)

    # -- what breaks, what people stop

    @precondition(lambda self: self.has_heads)
    @rule(number=numbers, salt=st.integers(0, 2), then=runs)
    def breaks_or_mends(self, number: int, salt: int, then: str) -> None:
        """A function raises for one partition from now on, just when it is edited, or does no longer."""
        name, ordinal = self._head(number)
        self.w.break_or_mend(name, ordinal)
        if (name, ordinal) in self.w.around.broken:
            self.w.edit_code(name, salt)
        self.run(then)

    @precondition(lambda self: self.has_heads)
    @rule(number=numbers)
    def retried_by_a_person(self, number: int) -> None:
        """A person lets one partition be computed whatever is known of it."""
        if self.w.dirty:
            self.run("run")
        live = sorted({*self.oracle.live, *(place for place in self.w.around.broken if place in self.oracle.live)})
        if live:
            self.w.run(forced=live[number % len(live)])

    @precondition(lambda self: self.has_heads)
    @rule(number=numbers, whole=st.booleans(), then=runs)
    def held(self, number: int, whole: bool, then: str) -> None:
        """A person stops an asset or one partition."""
        name, ordinal = self._head(number)
        self.w.hold(name, None if whole else ordinal)
        self.run(then)

    @precondition(lambda self: self.world is not None and self.oracle.held)
    @rule(number=numbers, then=runs)
    def let_go(self, number: int, then: str) -> None:
        """A person lifts a hold."""
        held = sorted(self.oracle.held, key=repr)
        self.w.release(*held[number % len(held)])
        self.run(then)

    @rule(then=runs)
    def moved(self, then: str) -> None:
        """What follows happens in a branch, or in prod again."""
        self.w.move_to("branch" if self.w.environment == "prod" else "prod")
        self.run(then)

    # -- runs

    @rule(after=st.integers(0, 40))
    def crashed(self, after: int) -> None:
        """The power is cut in the middle of a run; the next one ends where one without a cut would have."""
        self.w.crash_and_run(after)

    @rule()
    def raced(self) -> None:
        """Two runs begin at once; each partition is computed once, and both end in one state."""
        self.w.race()

    def run(self, how: str) -> None:
        """Both run, if they are to; all is compared."""
        if how:
            self.w.run(lanes=how == "lanes")
