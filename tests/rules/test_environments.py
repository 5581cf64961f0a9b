"""Environments: a branch shows what prod has for all that it did not change itself, however late that comes."""

import pytest

from tests.scenario import Shop, on_both_ledgers

SHOP = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

    @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
    def prices(orders: bytes, rates: bytes) -> str:
        return f"{orders.decode()} at {rates.decode()}"

    @asset(partitions=DAYS)
    def listed(prices: str) -> str:
        return prices.upper()
"""

DAYS = [f"2025-01-{day:02d}" for day in range(5, 10)]
LATE = DAYS[3]


@pytest.fixture
def priced(shop: Shop) -> Shop:
    """Five days in prod, one of them without its rates, and a branch that was planned and changed nothing."""
    shop.define(SHOP)
    for key in DAYS:
        shop.deliver("orders", key, "tea")
        shop.deliver("rates", key, "1.2")
    shop.withdraw("rates", LATE)
    shop.run()
    shop.environment = "branch"
    assert shop.run().ok
    assert shop.ran == {}
    return shop


def _in_prod(shop: Shop) -> None:
    shop.environment = "prod"
    shop.run()
    shop.environment = "branch"


@on_both_ledgers
def test_a_declared_absence_seen_from_a_branch_does_not_detach_it(priced: Shop) -> None:
    """The marks are the branch's own, and go; the data stays prod's, and follows it when it changes."""
    priced.declare_absent("rates", LATE)
    assert priced.provisional("prices") == priced.provisional("listed") == {}
    priced.environment = "prod"
    assert priced.provisional("prices") == priced.provisional("listed") == {LATE: {f"rates {LATE}"}}
    priced.deliver("rates", LATE, "1.3")
    _in_prod(priced)
    assert priced.heads("prices")[LATE] == "tea at 1.3"
    assert priced.heads("listed")[LATE] == "TEA AT 1.3"
    assert priced.provisional("prices") == priced.provisional("listed") == {}
    assert priced.run().ok
    assert priced.ran == {}


@on_both_ledgers
def test_what_fails_in_a_branch_goes_on_showing_what_prod_has(priced: Shop) -> None:
    """It is marked there and not in prod; when prod has something newer, the branch has it too, and plans anew."""
    priced.edit("prices.upper()", "prices.title()")
    priced.breaks("listed", DAYS[0])
    priced.run()
    own = {DAYS[0]: {f"listed {DAYS[0]}"}, LATE: {f"rates {LATE}"}}
    assert priced.provisional("listed") == own
    priced.mends("listed", DAYS[0])
    priced.edit("prices.title()", "prices.upper()")
    priced.deliver("orders", DAYS[0], "coffee")
    _in_prod(priced)
    assert priced.heads("listed")[DAYS[0]] == "COFFEE AT 1.2"
    assert priced.heads("listed")[DAYS[1]] == "Tea At 1.2"  # which the branch has computed for itself
    assert priced.provisional("listed") == {LATE: {f"rates {LATE}"}}
    priced.edit("prices.upper()", "prices.title()")
    assert priced.run().ok
    assert priced.ran == {"listed": [DAYS[0]]}
    assert priced.heads("listed")[DAYS[0]] == "Coffee At 1.2"


def test_marks_of_a_branch_change_on_top_of_each_other(priced: Shop) -> None:
    """As often as need be, before and after prod has moved on."""
    priced.declare_absent("rates", LATE)
    priced.withdraw("rates", DAYS[2])
    priced.edit("prices.upper()", "prices.title()")
    priced.breaks("listed")
    for _ in range(3):
        priced.run()
    failed = {key: {f"listed {key}"} for key in DAYS}
    for key in (DAYS[2], LATE):  # the declared day reads the one before as well
        failed[key].add(f"rates {DAYS[2]}")
    assert priced.provisional("listed") == failed
    priced.mends("listed")
    priced.edit("prices.title()", "prices.upper()")
    priced.run()
    assert priced.provisional("listed") == {key: {f"rates {DAYS[2]}"} for key in (DAYS[2], LATE)}
    priced.deliver("rates", DAYS[2], "1.4")
    _in_prod(priced)
    assert priced.heads("listed")[DAYS[2]] == "TEA AT 1.4"
    assert priced.run().ok
    assert priced.ran == {}


def test_a_hold_is_of_its_environment(priced: Shop) -> None:
    """What is stopped in prod goes on in a branch."""
    priced.environment = "prod"
    priced.hold("listed")
    priced.edit("prices.upper()", "prices.title()")
    priced.run()
    assert priced.ran == {}
    priced.environment = "branch"
    priced.run()
    assert priced.ran == {"listed": DAYS}
