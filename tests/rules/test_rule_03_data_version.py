"""Rule 3: a data version is the logical content of a partition, whatever made it and in whatever order it came."""

import threading

import pytest

from tests.scenario import Shop, on_both_ledgers
from tidemark.ledger import registry

TABLE = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"k": str, "v": int})

    @asset(partitions=DAYS%s)
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=DAYS)
    def firsts(lines: pl.DataFrame) -> str:
        return str(lines["k"].to_list())
"""

DAY = "2025-01-05"


def test_the_order_of_rows_is_no_content(shop: Shop) -> None:
    """Rows in another order are the same data: readers get the stored order, and do not run again."""
    shop.define(TABLE % "")
    shop.deliver("orders", DAY, "k,v\nb,2\na,1\n")
    shop.run()
    assert shop.heads("firsts") == {DAY: "['a', 'b']"}
    before = shop.versions("lines")
    shop.deliver("orders", DAY, "k,v\na,1\nb,2\n")
    shop.run()
    assert shop.ran == {"lines": [DAY]}
    assert shop.versions("lines") == before


def test_rows_are_stored_sorted_by_the_key(shop: Shop) -> None:
    """A declared key decides the order, in numbers as numbers."""
    shop.define(TABLE % ', key=["v"]')
    shop.deliver("orders", DAY, "k,v\na,10\nb,9\n")
    shop.run()
    assert shop.heads("firsts") == {DAY: "['b', 'a']"}


def test_a_key_is_checked(shop: Shop) -> None:
    """Two rows of one key fail the partition, which is told which key, and the last good head stays."""
    shop.define(TABLE % ', key=["k"]')
    shop.deliver("orders", DAY, "k,v\na,1\n")
    shop.run()
    shop.deliver("orders", DAY, "k,v\na,1\na,2\n")
    verdict = shop.run()
    assert shop.counts("lines") == {"failed": 1, "provisional": 1}
    assert "key=['k']" in verdict.troubles[0].why
    assert shop.heads("lines") == {DAY: [{"k": "a", "v": 1}]}


def test_another_key_sorts_what_is_there_anew(shop: Shop) -> None:
    """Readers get the order of the key that is declared now, without an edit of any function."""
    shop.define(TABLE % ', key=["k"]')
    shop.deliver("orders", DAY, "k,v\na,10\nb,9\n")
    shop.run()
    assert shop.heads("firsts") == {DAY: "['a', 'b']"}
    shop.define(TABLE % ', key=["v"]')
    shop.run()
    assert shop.heads("firsts") == {DAY: "['b', 'a']"}


def test_an_ordered_output_keeps_its_order(shop: Shop) -> None:
    """With ordered=True the order is content: another order is another version, and readers run."""
    shop.define(TABLE % ", ordered=True")
    shop.deliver("orders", DAY, "k,v\nb,2\na,1\n")
    shop.run()
    assert shop.heads("firsts") == {DAY: "['b', 'a']"}
    shop.deliver("orders", DAY, "k,v\na,1\nb,2\n")
    shop.run()
    assert shop.ran == {"lines": [DAY], "firsts": [DAY]}
    assert shop.heads("firsts") == {DAY: "['a', 'b']"}


@pytest.mark.parametrize(
    ("annotation", "expression"),
    [
        ('"pandas.DataFrame"', "orders.to_pandas()"),
        ("pl.LazyFrame", "orders.lazy()"),
        ("pl.DataFrame", "pl.concat([orders[:1], orders[1:]], rechunk=False)"),
    ],
)
def test_the_engine_is_no_content(shop: Shop, annotation: str, expression: str) -> None:
    """The same rows from pandas, from a lazy frame or in several chunks are the same data: nothing below runs."""
    shop.define(TABLE % "")
    shop.deliver("orders", DAY, "k,v\nb,2\na,1\n")
    shop.run()
    before = shop.versions("lines")
    shop.edit("-> pl.DataFrame:\n    return orders", f"-> {annotation}:\n    return {expression}")
    shop.run()
    assert shop.ran == {"lines": [DAY]}
    assert shop.versions("lines") == before


def test_types_are_content(shop: Shop) -> None:
    """1 and 1.0 are not the same data."""
    shop.define(TABLE % "")
    shop.deliver("orders", DAY, "k,v\na,1\n")
    shop.run()
    shop.edit("return orders\n", "return orders.cast({'v': pl.Float64})\n")
    shop.run()
    assert shop.ran == {"lines": [DAY], "firsts": [DAY]}


NOISY = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def noise(orders: bytes) -> str:
        return Path(os.environ["NOISE"]).read_text()

    @asset(partitions=DAYS)
    def louder(noise: str) -> str:
        return noise.upper()
"""


def test_another_result_for_one_key_marks_the_asset_and_the_recorded_one_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that gives another result for the same inputs and code is told on, and moves nothing."""
    noise = shop.home / "noise"
    monkeypatch.setenv("NOISE", str(noise))
    noise.write_text("one")
    shop.define(NOISY)
    shop.deliver_days("orders", DAY)
    shop.run()
    assert not _nondeterministic(shop)
    shop.force("noise", DAY)
    assert shop.ran == {"noise": [DAY]}
    assert not _nondeterministic(shop)
    noise.write_text("two")
    shop.force("noise", DAY)
    assert shop.ran == {"noise": [DAY]}
    assert shop.heads("noise") == {DAY: "one"}
    assert shop.heads("louder") == {DAY: "ONE"}
    assert _nondeterministic(shop)
    assert len(shop.history("noise", DAY)) == 1


def _nondeterministic(shop: Shop) -> bool:
    from tidemark.ledger import registry

    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return registry.assets(connection)["noise"].nondeterministic


def test_the_digest_of_the_blob_is_kept_beside(shop: Shop) -> None:
    """What is stored can be checked by its own bytes, whatever the content is called."""
    shop.define(TABLE % "")
    shop.deliver("orders", DAY, "k,v\na,1\n")
    shop.run()
    live = shop.explain("lines", DAY)["live"]
    assert live["blob"] in shop.blobs()
    assert live["blob"] != live["version"]


@on_both_ledgers
def test_of_two_environments_that_compute_one_key_the_first_result_stays(shop: Shop) -> None:
    """They come to different ones at the same time: the later takes the earlier one's, and the asset is marked."""
    value = shop.home / "value"
    value.write_text("one")
    shop.define(f"""
        orders = source("orders", files="orders/{{partition}}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def lines(orders: bytes) -> str:
            return Path({str(value)!r}).read_text()
    """)
    shop.deliver_days("orders", "2025-01-05")
    shop.pauses("lines", "2025-01-05")
    branch = shop.twin()
    branch.environment = "dev"
    slow = threading.Thread(target=shop.twin().run)
    slow.start()
    shop.wait_for("lines", "2025-01-05")
    shop.breaks("lines", "2025-01-05", "None")  # the file stays, so that the first goes on waiting; the second does not
    branch.run()
    value.write_text("two")
    shop.mends("lines", "2025-01-05")
    slow.join()
    assert shop.heads("lines") == branch.heads("lines") == {"2025-01-05": "one"}
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert registry.assets(connection)["lines"].nondeterministic
