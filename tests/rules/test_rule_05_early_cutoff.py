"""Rule 5: where content comes out equal, nothing below runs."""

from tests.scenario import Shop

CHAIN = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def stripped(orders: bytes) -> str:
        return orders.decode().strip()

    @asset(partitions=DAYS)
    def doubled(stripped: str) -> str:
        return stripped * 2

    @asset(partitions=DAYS, inputs={"doubled": latest()})
    def newest(doubled: str) -> str:
        return doubled
"""

DAY = "2025-01-09"


def test_equal_content_stops_the_run(shop: Shop) -> None:
    """A correction that makes no difference to the first asset runs the first asset alone."""
    shop.define(CHAIN)
    shop.deliver("orders", DAY, "a")
    shop.run()
    assert shop.ran == {"stripped": [DAY], "doubled": [DAY], "newest": [DAY]}
    shop.deliver("orders", DAY, "a\n\n")
    shop.run()
    assert shop.ran == {"stripped": [DAY]}
    assert shop.counts("doubled") == shop.counts("newest") == {"unchanged": 1}


def test_an_edit_without_an_effect_stops_there(shop: Shop) -> None:
    """The same holds for code."""
    shop.define(CHAIN)
    shop.deliver("orders", DAY, "a")
    shop.run()
    shop.edit("stripped * 2", "2 * stripped")
    shop.run()
    assert shop.ran == {"doubled": [DAY]}


def test_what_differs_goes_on(shop: Shop) -> None:
    """As far as it differs."""
    shop.define(CHAIN)
    shop.deliver("orders", DAY, "a")
    shop.run()
    shop.edit("return orders.decode().strip()", "return orders.decode().strip().upper()")
    shop.run()
    assert shop.ran == {"stripped": [DAY], "doubled": [DAY], "newest": [DAY]}
    assert shop.heads("newest") == {DAY: "AA"}


def test_workers_of_their_own_cut_off_as_early(shop: Shop) -> None:
    """Each asset's worker decides from the ledger, not from what the plan expected."""
    shop.define(CHAIN)
    shop.deliver("orders", DAY, "a")
    shop.run(lanes=True)
    assert shop.ran == {"stripped": [DAY], "doubled": [DAY], "newest": [DAY]}
    shop.deliver("orders", DAY, "a\n\n")
    shop.run(lanes=True)
    assert shop.ran == {"stripped": [DAY]}
    assert shop.outcomes("doubled") == {DAY: "unchanged"}
