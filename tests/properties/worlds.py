"""Random deployments: a shop and its naive oracle, made from one plot, and kept in step."""

import contextlib
import copy
import gc
import inspect
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import tests.scenario
import tidemark.interventions
import tidemark.plan
import tidemark.running.run
from tests.properties import oracle
from tests.properties.oracle import AssetModel, Keyed, Oracle, Outcome, Place, Reading, Roots, SourceModel
from tests.properties.plots import WEEKDAYS, Plot, spelled
from tests.properties.shops import QuickShop
from tests.scenario import pipeline_text
from tidemark.deployment import Deployment
from tidemark.ledger import leases
from tidemark.plan import Plan
from tidemark.plan import make_plan as plan_it
from tidemark.store.folder import FolderStore
from tidemark.survey import EVERYTHING, Certainty, Selection, State

# How often one looks again where another runner changed something between the two plans that are compared.
PATIENCE = 10

WINDOWS = ("trailing", "parts")
COUNTED = ("trailing", "last_known")

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


class PowerCut(BaseException):
    """The process is gone."""


class Power:
    """Lasts for so many writes: each may be cut before it begins, at a statement of it, before and after its end.

    Args:
        after: how much there is; None for no end.
        statements: whether every statement of a transaction uses some too, and every step of storing a blob.

    """

    def __init__(self, after: int | None, *, statements: bool = False) -> None:
        self._left = after
        self._statements = statements
        self.used = 0

    def use(self) -> None:
        """Use some; once there is none, there is none."""
        if self._left is not None and self.used >= self._left:
            raise PowerCut
        self.used += 1

    def _statement(self, *_: object) -> None:
        self.use()

    def feed(self, deployment: Deployment) -> None:
        """Let the ledger and the store of a deployment depend on it."""
        assert isinstance(deployment.store, FolderStore)
        write, put, receive = deployment.ledger.write, deployment.store.put, deployment.store.receive

        @contextlib.contextmanager
        def written() -> Iterator[sa.Connection]:
            self.use()
            with write() as connection:
                if self._statements:
                    sa.event.listen(connection, "after_cursor_execute", self._statement)
                yield connection
                self.use()
            self.use()

        def stored(payload: bytes | Path) -> str:
            self.use()
            address = put(payload)
            self.use()
            return address

        def received(address: str, chunks: Iterable[bytes]) -> Path:
            def cut() -> Iterator[bytes]:
                self.use()
                yield from chunks
                self.use()  # all is written, and nothing is in its place yet

            return receive(address, cut() if self._statements else chunks)

        deployment.ledger.__dict__["write"] = written
        deployment.store.__dict__.update(put=stored, receive=received)


def differences(plan: Plan, full: Plan) -> list[str]:
    """Say in what a plan differs from the one that verifies everything: in items, moves or gaps."""
    return [
        f"{what}: {sorted(map(str, one - other))} and not {sorted(map(str, other - one))}"
        for what, one, other in (
            ("items", _items(plan), _items(full)),
            ("moves", set(plan.moves), set(full.moves)),
            ("gaps", _gaps(plan), _gaps(full)),
            ("rejections", set(plan.rejected), set(full.rejected)),
            ("edges", _edges(plan), _edges(full)),
        )
        if one != other
    ]


def _gaps(plan: Plan) -> set[Any]:
    return {(asset, ordinal, gap) for asset, found in plan.gaps.items() for ordinal, gap in found.items()}


def _edges(plan: Plan) -> set[Any]:
    return {*plan.edges.first.items(), *plan.edges.begins.items(), *plan.edges.oldest.items()}


def _items(plan: Plan) -> set[tuple[str, str, str]]:
    return {(item.asset, item.key, item.certainty.value) for item in plan.items}


def verified(*given: Any, **options: Any) -> Plan:
    """Make a plan, and hold it against one that verifies everything at the same instant; both write nothing.

    What differs because another runner has changed something between the two does not differ again and again.
    """
    found: list[str] = []
    for _ in range(PATIENCE):
        plan = plan_it(*given, **options)
        full = plan_it(*given, **{**options, "verify": True})
        found = differences(plan, full) or _before_waking(full, given, options)
        if not found:
            return plan
        time.sleep(0.02)
    raise AssertionError(
        "the plan is not that of a full verification, now or until the clock wakes:\n  " + "\n  ".join(found)
    )


def _before_waking(full: Plan, given: tuple[Any, ...], options: dict[str, Any]) -> list[str]:
    """Say in what a full plan differs from the one of the last moment before the clock is to change something.

    Nobody goes by a plan whose moves are not made: those are made before it is stored.
    """
    if full.wakes_at is None or full.moves:
        return []
    late = plan_it(*given, **{**options, "verify": True, "as_of": full.wakes_at - timedelta.resolution})
    return [f"just before {full.wakes_at} other {each}" for each in differences(late, full)]


def _check_plannings(patch: pytest.MonkeyPatch) -> None:
    """Let every planning, whoever asks for it, be held against a full verification."""
    for module in (tidemark.plan, tidemark.running.run, tidemark.interventions, tests.scenario):
        patch.setattr(module, "make_plan", verified)


class World:
    """A shop and its oracle, side by side; what happens in one happens in the other.

    Attributes:
        shop: the real one; None where only the oracle's answers are wanted.
        plot: what both define.
        environments: the oracle of each environment, by its name.
        environment: the one in which things happen now.
        around: what all environments share.
        told: everything that has happened, in words.
        dirty: whether something has happened since the last run.

    """

    def __init__(self, shop: QuickShop | None, plot: Plot) -> None:
        self.shop = shop
        self.plot = plot
        self.told: list[str] = []
        self.dirty = True
        self.environment = "prod"
        prod = Oracle(
            {each.name: each for each in plot.sources},
            {each.name: each for each in plot.assets},
            plot.scene.begins + plot.scene.first,
            second=frozenset(each.name for each in plot.assets[plot.cut :]),
            salts={each.name: 0 for each in plot.assets},
            factors={each.name: 0 for each in plot.assets},
        )
        self.around = prod.around
        self.seen = self.around.seen
        self.environments = {"prod": prod}
        self._contents: dict[bytes, str] = {}
        self._patch = pytest.MonkeyPatch()
        _check_plannings(self._patch)
        for each in (*plot.sources, *plot.assets):
            if each.gated:
                self.edit_suite(each.name, "")
        if shop is not None:
            shop.module("texts", MODULE + inspect.getsource(oracle.made))
        self.define()

    def close(self) -> None:
        """Leave nothing behind."""
        self._patch.undo()

    @property
    def oracle(self) -> Oracle:
        """What must be so in the environment in which things happen now."""
        return self.environments[self.environment]

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The pipelines, each before what reads it."""
        return ("shop", "other") if self.plot.cut < len(self.plot.assets) else ("shop",)

    def owner(self, asset: str) -> str:
        """Return the pipeline of an asset."""
        return "shop" if asset in [each.name for each in self.plot.assets[: self.plot.cut]] else "other"

    def key(self, name: str, ordinal: int) -> str:
        """Return the key of a partition."""
        return {each.name: each.grain for each in (*self.plot.sources, *self.plot.assets)}[name].key(ordinal)

    def _tell(self, what: str, kind: str | None = None) -> None:
        self.dirty = True
        self.told.append(what)
        if kind:
            self.seen[kind] += 1

    def story(self) -> str:
        """Return the definitions as they are now, and everything that has happened, in words."""
        definitions = "\n".join(text.partition("DAYS = Daily()")[2].strip() for text in self.texts().values())
        return f"The definitions at the end:\n{textwrap.indent(definitions, '  ')}\nWhat happened:\n  " + "\n  ".join(
            self.told
        )

    # -- definitions

    def texts(self) -> dict[str, str]:
        """Return the pipeline files as they are now, by pipeline."""
        lines: dict[str, list[str]] = {
            name: ["import pyarrow as pa", "from texts import made, rows"] for name in self.pipelines
        }
        lines["shop"] += [_source_text(each) for each in self.oracle.sources.values()]
        for each in self.oracle.assets.values():
            lines[self.owner(each.name)].append(self._asset_text(each))
        return {name: pipeline_text("\n".join(some), name) for name, some in lines.items()}

    def define(self) -> None:
        """Write the definitions as they are now, and load them as a new process would."""
        if self.shop is not None:
            self.shop.environment = self.environment
            self.shop.load_texts(self.texts())

    def _asset_text(self, asset: AssetModel) -> str:
        here = self.owner(asset.name)

        def mapping(read: Reading) -> str:
            flags = "".join(f"{name}=True, " for name in ("strict", "early") if getattr(read, name))
            width = f"{read.unit}={read.width}, " if read.mapping in COUNTED else ""
            said = f"{read.mapping}({width}{flags})"
            foreign = read.upstream in self.oracle.assets and self.owner(read.upstream) != here
            foreign |= read.upstream in self.oracle.sources and here != "shop"
            return f'ref("{read.upstream}", {said})' if foreign else said

        inputs = ", ".join(f'"{each.upstream}": {mapping(each)}' for each in asset.inputs)
        closes = f', closes_after="{asset.closes // timedelta(hours=1)} hours"' if asset.closes is not None else ""
        gate = f', gate="{asset.name}"' if asset.gated else ""
        parameters = "".join(
            f"{each.upstream}: pa.Table{' | None' if each.optional else ''}, " for each in asset.inputs
        )
        values = ", ".join(
            f'"{each.upstream}": rows({each.upstream}, {each.mapping in WINDOWS})' for each in asset.inputs
        )
        salt, factor = self.oracle.salts[asset.name], self.oracle.factors[asset.name]
        return textwrap.dedent(f"""
            @asset(partitions={spelled(asset.grain)}, inputs={{{inputs}}}{closes}{gate})
            def {asset.name}({parameters}factor: int = {factor}) -> pa.Table:
                return pa.table({{"v": [made("{asset.name}", {salt}, factor, {asset.lossy}, {{{values}}})]}})
        """)

    def edit_code(self, asset: str, salt: int) -> None:
        """Let a function be another, or one that it was before."""
        before = self.oracle.salts[asset]
        self._tell(f"the code of {asset} becomes number {salt}", "code edited" if salt > before else None)
        self.seen["code reverted"] += salt < before
        self.oracle.salts[asset] = salt
        self.define()

    def edit_parameter(self, asset: str, factor: int) -> None:
        """Let a parameter be another, or what it was before."""
        before = self.oracle.factors[asset]
        self._tell(f"the parameter of {asset} becomes {factor}", "parameter edited" if factor > before else None)
        self.seen["parameter reverted"] += factor < before
        self.oracle.factors[asset] = factor
        self.define()

    def edit_mapping(self, asset: str, which: int, width: int, strict: bool) -> None:
        """Let an input be read over another width, or as a strict one, or as it was before."""
        model = self.oracle.assets[asset]
        inputs = list(model.inputs)
        before = inputs[which % len(inputs)]
        after = replace(before, width=width if before.mapping in COUNTED else before.width, strict=strict)
        inputs[which % len(inputs)] = after
        self.oracle.assets[asset] = replace(model, inputs=tuple(inputs))
        said = f"{after.mapping} of {after.width}{', strict' if strict else ''}"
        self._tell(f"{asset} reads {after.upstream} by {said}", "mapping edited" if after != before else None)
        self.define()

    def edit_calendar(self, source: str) -> None:
        """Let a source that is expected be so on weekends too, or no longer."""
        model = self.oracle.sources[source]
        expects = frozenset(range(5 if len(model.expects) == 7 else 7))
        self.oracle.sources[source] = replace(model, expects=expects)
        self._tell(f"{source} is expected on {len(expects)} days of a week", "calendar edited")
        self.define()

    def edit_suite(self, name: str, letters: str) -> None:
        """Let the gate of a source or an asset block texts that end with one of some letters."""
        before = self.around.suites.get(name)
        if before is not None and before != letters:
            self.seen[f"suite of {'a source' if name in self.oracle.sources else 'an asset'} edited"] += 1
        self._tell(f"the gate of {name} blocks what ends with one of {letters!r}")
        self.around.suites[name] = letters
        if self.shop is not None:
            self.shop.gate_blocks(name, letters)

    # -- the files

    def deliver(self, source: str, ordinal: int, text: str | None) -> None:
        """Put a file into the landing zone; None: one that cannot be read."""
        place, key = (source, ordinal), self.key(source, ordinal)
        before = self.around.files.get(place)
        kind = "arrived" if before is None else "delivered again" if before[1] == text else "corrected"
        late = self.oracle.sources[source].due_at(ordinal)
        self.seen["arrived late"] += before is None and late is not None and late < self.oracle.as_of
        self._tell(f"{source} {key} is delivered: {text!r}", "malformed" if text is None else kind)
        self.around.files[place] = (self.around.now(), text)
        if self.shop is not None:
            self.shop.deliver(source, key, unreadable() if text is None else f"v\n{text}\n")

    def withdraw(self, source: str, ordinal: int) -> None:
        """Take a file away."""
        key = self.key(source, ordinal)
        self._tell(f"{source} {key} is withdrawn", "withdrawn")
        del self.around.files[source, ordinal]
        if self.shop is not None:
            self.shop.withdraw(source, key)

    # -- what people and accidents do

    def declare_absent(self, source: str, ordinal: int) -> None:
        """Declare that a file will not come; where that stands already, take it back."""
        place, key = (source, ordinal), self.key(source, ordinal)
        clean = not self.dirty
        takes_back = self.oracle.declared(place)
        if takes_back:
            self._tell(f"the declaration that {source} {key} is absent is taken back", "declaration taken back")
            del self.around.absent[place]
        else:
            self._tell(f"{source} {key} is declared absent", "declared absent")
            self.around.absent[place] = self.around.now()
        if self.shop is None:
            return
        self.shop.as_of = self.oracle.as_of
        (self.shop.withdraw_declaration if takes_back else self.shop.declare_absent)(source, key)
        if clean:
            self._compare_marks()

    def _compare_marks(self) -> None:
        """Where a person's word lets nothing run, it has changed the marks at once: those of the source's pipeline."""
        future = copy.deepcopy(self.oracle)
        outcome = future.run()
        if not outcome.executed and not outcome.restored:
            self.seen["marks changed by a word"] += future.live != self.oracle.live
            mine = {each.name for each in self.plot.assets[: self.plot.cut]}
            self.same(future, self.environment, mine)

    def break_or_mend(self, asset: str, ordinal: int) -> None:
        """Let a function raise for a partition, or no longer."""
        place, key = (asset, ordinal), self.key(asset, ordinal)
        mends = place in self.around.broken
        self._tell(f"{asset} {key} {'is mended' if mends else 'breaks'}", "mended" if mends else "broken")
        self.around.broken ^= {place}
        if self.shop is not None:
            (self.shop.mends if mends else self.shop.breaks)(asset, key)

    def hold(self, asset: str, ordinal: int | None) -> None:
        """Stop an asset, or one partition."""
        key = None if ordinal is None else self.key(asset, ordinal)
        self._tell(f"{asset} {key or ''} is held", "held")
        self.oracle.held.add((asset, ordinal))
        if self.shop is not None:
            self.shop.hold(asset, key)

    def release(self, asset: str, ordinal: int | None) -> None:
        """Lift the hold of an asset as a whole, or of one partition."""
        key = None if ordinal is None else self.key(asset, ordinal)
        self._tell(f"the hold of {asset} {key or ''} is lifted", "released")
        self.oracle.held.discard((asset, ordinal))
        if self.shop is not None:
            self.shop.release(asset, key)

    def move_to(self, environment: str) -> None:
        """Let what follows happen in another environment; a branch begins with the definitions of prod."""
        self._tell(f"from here on in {environment}", f"moved to {environment}")
        if environment not in self.environments:
            prod = self.environments["prod"]
            self.environments[environment] = Oracle(
                dict(prod.sources),
                dict(prod.assets),
                prod.as_of,
                prod.around,
                prod,
                prod.second,
                salts=dict(prod.salts),
                factors=dict(prod.factors),
            )
        self.environment = environment
        self.define()

    def move_on(self, hours: int) -> None:
        """Let as-of move on."""
        self._tell(f"{hours} hours pass", "time passed")
        self.oracle.as_of += timedelta(hours=hours)

    # -- runs

    def run(self, *, lanes: bool = False, forced: Place | None = None) -> Outcome:
        """Run both, and compare everything; one partition may be computed whatever is known of it."""
        key = None if forced is None else (forced[0], self.key(*forced))
        how = "a run in lanes" if lanes else f"a run that is to compute {' '.join(key)}" if key else "a run"
        kind = "run in lanes" if lanes else "retried by a person" if forced else "run"
        self._tell(f"{how}, as of {self.oracle.as_of:%Y-%m-%d %H:%M}", kind)
        if self.shop is None:
            outcome = self.oracle.run(forced)
            self._ran(outcome)
            return outcome
        before, called = self._found(self.environment), len(self.shop.journal())
        plans, fine = self.run_shop(lanes=lanes, forced=key)
        outcome = self.oracle.run(forced)
        self._ran(outcome)
        self.compare()
        executed = sorted(
            (asset, key) for asset, _, key in (each.partition(" ") for each in self.shop.journal()[called:])
        )
        assert executed == sorted(outcome.executed), "what was executed is not the minimum"
        assert fine == (not outcome.failed and not outcome.blocked and not self._rejections()), "the verdict is wrong"
        after = self._found(self.environment)
        moved = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
        self._check_plans(plans, outcome, moved)
        if key is None or key not in outcome.failed | outcome.blocked:
            self._check_next_plan(outcome)
        return outcome

    def _ran(self, outcome: Outcome) -> None:
        self.dirty = False
        for kind in ("executed", "restored", "failed", "blocked", "waiting"):
            self.seen[kind] += len(getattr(outcome, kind))
        self.seen["provisional"] += sum(bool(head.missing) for head in self.oracle.live.values())

    def run_shop(self, *, lanes: bool = False, forced: Keyed | None = None) -> tuple[list[Plan], bool]:
        """Run every pipeline; returns the plans, and whether every verdict was good."""
        assert self.shop is not None
        return _run(self.shop, self.pipelines, self.oracle, self.environment, self.owner, lanes=lanes, forced=forced)

    def _check_plans(self, plans: Iterable[Plan], outcome: Outcome, moved: set[Keyed]) -> None:
        """Check that will is part of what was executed, and that of what will or may be; nothing else has changed.

        Exempt from having to run are only: what is planned for its gate alone; what is known, which is brought back
        instead; what turns out to be known when what it reads has been computed: brought back too, or failed or
        stopped by its gate before, and so not tried again; and what reads, at any depth, a planned partition that has
        failed or was blocked in this very run.
        """
        items = {(item.asset, item.key): item for plan in plans for item in plan.items}
        judged = {(each.asset, each.key): each for plan in plans for some in plan.judgements.values() for each in some}
        executed = set(outcome.executed)
        assert executed | outcome.restored <= items.keys(), "what was executed or brought back was not planned"
        marks = (
            {_keyed_move(self.shop, plan, move) for plan in plans for move in plan.moves}
            if moved - items.keys()
            else set()
        )
        assert moved <= items.keys() | marks, "something changed that was not planned"
        spoiled = outcome.below((outcome.failed | outcome.blocked) & items.keys())
        for place, item in items.items():
            state = judged[place].state
            if item.certainty is Certainty.MAY or place in spoiled:
                continue
            self.seen[f"will run: {state}"] += 1
            if judged[place].certainty is None:
                assert place not in executed, f"{place} was to be looked at by its gate alone"
            elif state is State.KNOWN:
                assert place in outcome.restored | outcome.blocked, f"{place} was to be brought back"
                assert place not in executed, f"{place} was known"
            else:
                known = outcome.restored | outcome.blocked | outcome.failed if state is State.UNSURE else set()
                assert place in executed | known, f"{place} was to run"

    def _check_next_plan(self, outcome: Outcome) -> None:
        """Check that a plan made right after a run is empty, but for what failed the first time and what reads it."""
        assert self.shop is not None
        below = outcome.below(outcome.again)
        for plan in self._planned():
            assert plan.moves == (), "a plan made right after a run moves something"
            judged = {(each.asset, each.key): each for some in plan.judgements.values() for each in some}
            # Where a gate has changed and a newer candidate was stopped or has failed just now, what stands in for it
            # is looked at by the gate one plan later; nothing runs for that.
            behind = outcome.failed | outcome.blocked
            items = {
                (item.asset, item.key): item
                for item in plan.items
                if (item.asset, item.key) not in behind or judged[item.asset, item.key].certainty is not None
            }
            strange = sorted(items.keys() - outcome.again - below)
            assert not strange, f"the next plan is not empty: {[(place, items[place].reason) for place in strange]}"
            surely = {place for place, item in items.items() if item.certainty is Certainty.WILL}
            mine = {place for place in outcome.again if self.owner(place[0]) == plan.pipeline}
            assert mine <= items.keys(), "what failed once is not tried again"
            # One that reads another that will be tried again may come out as its head is by then.
            assert mine - below <= surely, "what failed once is not sure to be tried again"

    def _planned(self) -> Iterator[Plan]:
        assert self.shop is not None
        self.shop.as_of = self.oracle.as_of
        for name in self.pipelines:
            yield self.shop.planned(name, confirmed=frozenset(self.oracle.sources))

    def crash_and_run(self, after: int) -> None:
        """Cut the power in the middle of a run, at one of its writes, and run again; both together are one run."""
        self.mend_all()
        self._tell(f"a run with power for {after} writes, and another", "crashed")
        if self.shop is None:
            self._ran(self.oracle.run())
            return
        before = len(self.shop.journal())
        self.cut_power(Power(after))
        with resuming():
            self.run_shop()
        again = self.shop.journal()[before:]
        outcome = self.oracle.run()
        self._ran(outcome)
        self.compare()
        wanted = {f"{asset} {key}" for asset, key in outcome.executed}
        assert set(again) == wanted, "not just that was executed which would have been without the crash"
        assert all(count <= 2 for count in Counter(again).values())
        self._check_next_plan(outcome)

    def cut_power(self, power: Power) -> bool:
        """Run as long as the power lasts; returns whether it lasted until the end."""
        assert self.shop is not None
        self.shop.equip = power.feed  # type: ignore[method-assign]
        try:
            self.run_shop()
            return True
        except PowerCut:
            return False
        finally:
            del self.shop.equip  # type: ignore[method-assign]
            # What was cut within a statement has its connection until nobody knows of it any more.
            gc.collect()

    def race(self) -> None:
        """Let two runners begin at once."""
        self.mend_all()
        self._tell("two runners at once", "raced")
        if self.shop is None:
            self._ran(self.oracle.run())
            return
        before = len(self.shop.journal())
        given = (self.pipelines, self.oracle, self.environment, self.owner)
        with ThreadPoolExecutor() as runners:
            for done in [runners.submit(_run, self.shop.twin(), *given) for _ in range(2)]:
                done.result()
        outcome = self.oracle.run()
        self._ran(outcome)
        self.compare()
        wanted = sorted(f"{asset} {key}" for asset, key in outcome.executed)
        assert sorted(self.shop.journal()[before:]) == wanted, "not each partition was computed by just one of them"
        self._check_next_plan(outcome)

    def mend_all(self) -> None:
        """Let nothing break: how often one that died, or two at once, have tried is a matter of chance."""
        for place in sorted(self.around.broken):
            self.break_or_mend(*place)

    def _rejections(self) -> set[Place]:
        places = {*self.oracle.sights, *(self.oracle.prod.sights if self.oracle.prod else ())}
        newest = {place: self.oracle.newest(place) for place in places}
        return {
            place
            for place, each in newest.items()
            if each is not None and each.word == "rejected" and not self.oracle.declared(place)
        }

    # -- comparing

    def compare(self) -> None:
        """Compare what is live, and what it is provisional for, in every environment."""
        for name, each in self.environments.items():
            self.same(each, name, {asset.name for asset in self.plot.assets})

    def same(self, wanted: Oracle, environment: str, assets: set[str]) -> None:
        """Check that content and marks of some assets' heads are those of an oracle."""
        live = {(name, self.key(name, ordinal)): head for (name, ordinal), head in wanted.live.items()}
        found = self._found(environment)
        check_equal(
            {place: head for place, head in found.items() if place[0] in assets},
            {place: (head.content, head.missing) for place, head in live.items() if place[0] in assets},
            f"heads or marks in {environment} are not those of the oracle",
        )

    def _found(self, environment: str) -> dict[Keyed, tuple[str, Roots]]:
        assert self.shop is not None
        return self.found_in(self.shop, environment)

    def found_in(self, shop: QuickShop, environment: str) -> dict[Keyed, tuple[str, Roots]]:
        """Return content and marks of what is live, by asset and key."""
        heads = shop.everything((each.name for each in self.plot.assets), environment)
        lacking = {head.materialization for head in heads.values() if head.data_version not in self._contents}
        self._contents.update(shop.contents(lacking))
        return {place: (self._contents[head.data_version], head.missing) for place, head in heads.items()}


def unreadable() -> str:
    """Return a file that the schema of every source refuses."""
    return "w\nx\n"


def check_equal(found: dict[Keyed, Any], wanted: dict[Keyed, Any], problem: str) -> None:
    """Check that two sets of heads are the same, and say in what they differ."""
    differ = [place for place in sorted(found.keys() | wanted.keys()) if found.get(place) != wanted.get(place)]
    said = [f"{' '.join(each)}: {_said(found.get(each))}, and not {_said(wanted.get(each))}" for each in differ]
    assert not differ, f"{problem}:\n  " + "\n  ".join(said)


def _said(head: tuple[Any, ...] | None) -> str:
    if head is None:
        return "nothing"
    marks = "without " + ", ".join(map(" ".join, sorted(head[1]))) if head[1] else "final"
    return ", ".join([repr(head[0]), marks, *(each.hex()[:12] for each in head[2:])])


def _run(
    shop: QuickShop,
    pipelines: Iterable[str],
    wanted: Oracle,
    environment: str,
    owner: Callable[[str], str],
    *,
    lanes: bool = False,
    forced: Keyed | None = None,
) -> tuple[list[Plan], bool]:
    """Run some pipelines, each before what reads it; returns the plans, and whether every verdict was good."""
    shop.as_of, shop.environment = wanted.as_of, environment
    plans, fine = [], True
    with pytest.MonkeyPatch.context() as patch:
        if lanes:
            patch.setattr(tidemark.plan, "LANE_SECONDS", 1e-3)
        for name in pipelines:
            selection = EVERYTHING
            if forced is not None and owner(forced[0]) == name:
                selection = Selection(force=frozenset([forced]))
            judged = shop.run(name, lanes=lanes, slots=2, confirmed=frozenset(wanted.sources), selection=selection)
            assert shop.plan is not None
            plans.append(shop.plan)
            fine &= judged.ok
    return plans, fine


@contextlib.contextmanager
def resuming() -> Iterator[None]:
    """Take it that all who hold leases are dead: who had the power cut is not indeed, so that others cannot tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "is_dead", lambda holder: True)
        yield


def _keyed_move(shop: QuickShop | None, plan: Plan, move: Any) -> Keyed:
    assert shop is not None
    return shop.name_of(move.asset_id, move.partition_id)


def _source_text(source: SourceModel) -> str:
    options = ""
    if source.expects:
        options += f', expected=Calendar("MON-{WEEKDAYS[len(source.expects) - 1]}")'
    if source.due is not None:
        options += f', due="{source.due}"'
    if source.gated:
        options += f', gate="{source.name}"'
    name, grain = source.name, spelled(source.grain)
    return (
        f'{name} = source("{name}", files="{name}/{{partition}}.csv", partitions={grain}, schema={{"v": str}}{options})'
    )
