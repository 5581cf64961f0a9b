"""Rule 6: what was computed before is brought back without running."""

from tests.scenario import Shop
from tidemark.ledger import registry

LINES = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()

    @asset(partitions=DAYS)
    def loud(lines: str) -> str:
        return lines.upper()
"""

DAYS = ["2025-01-05", "2025-01-06"]


def test_a_reverted_delivery_is_free(shop: Shop) -> None:
    """The first content again: the first results again, at every depth, and no function runs."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    before = shop.state()
    shop.deliver("orders", DAYS[0], "corrected")
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]], "loud": [DAYS[0]]}
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    assert shop.ran == {}
    assert shop.counts("lines") == shop.counts("loud") == {"restored": 1, "unchanged": 1}
    assert shop.state() == before


def test_reverted_code_is_free(shop: Shop) -> None:
    """Taking an edit back takes its results back."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    before = shop.state()
    shop.edit("lines.upper()", "lines.title()")
    shop.run()
    assert shop.ran == {"loud": DAYS}
    shop.edit("lines.title()", "lines.upper()")
    shop.run()
    assert shop.ran == {}
    assert shop.state() == before


def test_a_result_whose_data_is_gone_is_computed_again(shop: Shop) -> None:
    """A known key is worth nothing without its blob."""
    shop.define(LINES)
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    blob = shop.explain("loud", DAYS[0])["live"]["blob"]
    shop.edit("lines.upper()", "lines.title()")
    shop.run()
    (shop.home / "store" / blob[:2] / blob[2:]).unlink()
    shop.edit("lines.title()", "lines.upper()")
    shop.run()
    assert shop.ran == {"loud": [DAYS[0]]}
    assert shop.counts("loud") == {"computed": 1}
    assert shop.heads("loud") == {DAYS[0]: "ORDERS 2025-01-05\n"}
    shop.edit("lines.upper()", "lines.title()")
    shop.run()
    shop.edit("lines.title()", "lines.upper()")
    shop.run()
    assert shop.ran == {}


def test_a_branch_computes_only_what_it_changed(shop: Shop) -> None:
    """An environment falls back to prod for the rest, and prod does not see it."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    before = shop.state()
    shop.environment = "louder"
    shop.edit("lines.upper()", "lines.upper() + '!'")
    shop.run()
    assert shop.ran == {"loud": DAYS}
    assert shop.heads("loud")[DAYS[0]] == "ORDERS 2025-01-05\n!"
    assert shop.heads("lines")[DAYS[0]] == "orders 2025-01-05\n"
    shop.environment = "prod"
    assert shop.state() == before


def test_a_merge_is_free(shop: Shop) -> None:
    """What a branch computed is live in prod without a run, once prod has the branch's code."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    shop.environment = "louder"
    shop.edit("lines.upper()", "lines.upper() + '!'")
    shop.run()
    shop.environment = "prod"
    shop.run()
    assert shop.ran == {}
    assert shop.counts("loud") == {"restored": 2}
    assert shop.heads("loud")[DAYS[0]] == "ORDERS 2025-01-05\n!"
    assert shop.state() == shop.rebuilt().state()


def test_a_branch_sees_what_is_delivered_meanwhile(shop: Shop) -> None:
    """Also where prod has seen it first, and what is withdrawn is gone there too."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    shop.environment = "louder"
    shop.edit("lines.upper()", "lines.upper() + '!'")
    shop.run()
    shop.environment = "prod"
    shop.deliver("orders", DAYS[0], "corrected")
    shop.withdraw("orders", DAYS[1])
    shop.run()
    shop.environment = "louder"
    shop.run()
    assert shop.heads("loud") == {DAYS[0]: "CORRECTED!"}
    assert shop.heads("lines") == {DAYS[0]: "corrected"}


UNSTEADY = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return Path(%r).read_text() + "x"
"""


def _lose(shop: Shop, blob: str) -> None:
    (shop.home / "store" / blob[:2] / blob[2:]).unlink()


def test_of_two_results_of_a_key_the_one_that_is_there_is_brought_back(shop: Shop) -> None:
    """The data of the first is gone; the second came out otherwise, so the asset is known to be nondeterministic."""
    value = shop.home / "value"
    value.write_text("one")
    shop.define(UNSTEADY % str(value))
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    _lose(shop, shop.explain("lines", DAYS[0])["live"]["blob"])
    value.write_text("two")
    for before, after, ran in (('"x"', '"y"', 1), ('"y"', '"x"', 1), ('"x"', '"y"', 0), ('"y"', '"x"', 0)):
        shop.edit(before, after)
        shop.run()
        assert len(shop.ran) == ran
    assert shop.heads("lines") == {DAYS[0]: "twox"}
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert registry.assets(connection)["lines"].nondeterministic


def test_a_known_key_whose_data_is_gone_is_not_tried_for_ever(shop: Shop) -> None:
    """Where its function fails by now, it has failed after two attempts."""
    shop.define(LINES)
    shop.edit("return orders.decode()", "return orders.decode() + '?'")
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    blob = shop.explain("lines", DAYS[0])["live"]["blob"]
    shop.edit("decode() + '?'", "decode() + '!'")
    shop.run()
    _lose(shop, blob)
    shop.edit("decode() + '!'", "decode() + '?'")
    shop.breaks("lines")
    runs = []
    for _ in range(4):
        shop.run()
        runs.append(len(shop.ran))
    assert runs == [1, 1, 0, 0]
