"""Crashes at every ledger write and every store write: what was cut off ends, one run later, as if it had not been."""

import copy
from collections import Counter

import pytest

from tests.properties.oracle import AssetModel, Oracle, Outcome, Reading, SourceModel, made
from tests.properties.playing import ASKED
from tests.properties.plots import SCENES, Plot
from tests.properties.shops import Ground, QuickShop
from tests.properties.worlds import Power, World, resuming
from tidemark.ledger import acts
from tidemark.partitions import Daily, Unpartitioned

# On PostgreSQL one in so many of the places is tried: there the shop is made anew for each.
EVERY = 47

# How often two runners race in a plain test run; a lease that holds nothing was seen in six of eight races.
RACES = 8

# Into how many tests the others are cut, so that several processes can have a part each.
PARTS = 4

DAYS = Daily()
RICH = Plot(
    SCENES[0],
    (SourceModel("s0", DAYS, frozenset(range(7)), gated=True), SourceModel("s1", DAYS)),
    (
        AssetModel("a0", DAYS, (Reading("s0", "same"),), gated=True),
        AssetModel("a1", DAYS, (Reading("a0", "trailing", 3, optional=True), Reading("s1", "last_known", 1))),
        AssetModel("a2", DAYS, (Reading("a1", "same"), Reading("a2", "previous", optional=True)), lossy=True),
        AssetModel("a3", Unpartitioned(), (Reading("a1", "parts"),)),
    ),
    cut=3,
)


def rich(shop: QuickShop) -> World:
    """Bring a world to where much is to be done: every kind of work that a run knows is among it."""
    world = World(shop, RICH)
    first = DAYS.containing(RICH.scene.begins)
    for day in range(first, first + 4):
        world.deliver("s0", day, "a")
        world.deliver("s1", day, "a")
    world.run()
    world.edit_code("a1", 1)
    world.run()
    world.edit_code("a1", 0)  # what was computed before is brought back
    world.deliver("s0", first, "b")  # corrected to what a gate will stop
    world.deliver("s0", first + 3, "c")  # corrected
    world.deliver("s0", first + 1, None)  # malformed
    world.deliver("s1", first + 1, "c")
    world.withdraw("s1", first + 2)
    world.edit_suite("s0", "d")
    world.edit_suite("a0", made("a0", 0, 0, False, {"s0": "b"})[-1])
    world.hold("a0", first + 2)
    world.declare_absent("s1", first + 2)
    world.break_or_mend("a2", first + 2)
    world.edit_code("a2", 1)
    return world


def expected(world: World) -> tuple[Oracle, Outcome]:
    """Return the oracle as it is after one run, and what that run does."""
    future = copy.deepcopy(world.oracle)
    return future, future.run()


def check_cut(world: World, power: Power) -> bool:
    """Cut the power, run again, and check that all is as without the cut; returns whether there was one."""
    shop = world.shop
    assert shop is not None
    future, outcome = expected(world)
    before = len(shop.journal())
    whole = world.cut_power(power)
    with resuming():
        world.run_shop()
    world.same(future, "prod", {each.name for each in world.plot.assets})
    called = Counter(shop.journal()[before:])
    assert called.keys() == {f"{asset} {key}" for asset, key in outcome.executed}
    # What was computed and not written down is computed again: of one asset, since a commit is of one; and what failed
    # the next run tries once more anyway.
    assert max(called.values()) <= 2
    twice = {call.partition(" ")[0] for call, times in called.items() if times > 1}
    assert len(twice - {asset for asset, _ in outcome.failed}) <= 1
    assert shop.lost_blobs() == set(), "something is live whose data is not in the store"
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert acts.first_broken_entry(connection) is None
    return not whole


def test_the_rich_world_has_every_kind_of_work(ground: Ground) -> None:
    """Else a cut at every write of it would say little."""
    _, outcome = expected(rich(ground.shop()))
    assert {asset for asset, _ in outcome.executed} == {"a0", "a1", "a2", "a3"}
    assert outcome.restored
    assert outcome.failed
    assert outcome.blocked


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_cut_at_any_write_loses_nothing(ground: Ground, part: int) -> None:
    """Before and after every transaction, at each statement of it, and at every step of storing every blob.

    A plain test run tries one in ten of them; all of them ``make test-histories`` does.
    """
    shop = ground.shop()
    world = rich(shop)
    shop.save()
    whole = Power(None, statements=True)
    assert world.cut_power(whole)
    assert whole.used > 200
    for after in range(part, whole.used, PARTS * (1 if ASKED else 10)):
        shop.bring_back()
        assert check_cut(world, Power(after, statements=True)), f"after {after} of {whole.used} there was no cut"


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_two_runners_at_once_compute_each_partition_once(ground: Ground) -> None:
    """In a world with so much to do that they meet: one alone may be through before the other has begun."""
    for _ in range(RACES * (4 if ASKED else 1)):
        rich(ground.shop()).race()
        ground.clear()


@pytest.mark.timeout(0)
def test_a_cut_at_some_writes_loses_nothing_on_postgresql(postgres_ground: Ground) -> None:
    """The same, here and there."""
    after, cut = 3, True
    while cut:
        cut = check_cut(rich(postgres_ground.shop()), Power(after, statements=True))
        postgres_ground.clear()
        after += EVERY
    assert after > 200
