"""One cause is one incident, from the first failure to the all-clear: told by real runs of a real shop."""

from tests.gates import rule
from tests.incidents.story import LINK, notices_of, open_incidents, told
from tests.scenario import Shop
from tidemark.findings import MASK
from tidemark.incidents.conditions import Detail, Reached

SHOP = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, gate="orders",
                    schema={"k": str, "card": str, "v": float}, owner="intake", pii=["card"])

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=DAYS)
    def totals(lines: pl.DataFrame) -> str:
        return str(lines["v"].sum())

    @asset(partitions=DAYS, inputs={"lines": trailing(days=3)})
    def trend(lines: pl.DataFrame) -> str:
        return str(lines["v"].mean())
"""
DAYS = ["2025-01-05", "2025-01-06", "2025-01-07"]
GOOD, BAD = "k,card,v\na,1234,1\n", "k,card,v\na,1234,-7\n"


def gated(shop: Shop) -> None:
    """A shop whose deliveries must hold no negative value, with one good day."""
    shop.suite("orders", rule("expect_column_values_to_be_between", "critical", column="v", min_value=0))
    shop.define(SHOP)
    shop.deliver("orders", "2025-01-04", GOOD)
    assert told(shop) == []


def test_a_bad_file_is_one_incident_until_a_good_one_comes(shop: Shop) -> None:
    """However many days it lasts, and whatever depends on it: opened once, updated as it grows, resolved once."""
    gated(shop)
    shop.deliver("orders", DAYS[0], BAD)
    (number,) = told(shop)
    one = open_incidents(shop)["orders gate_failed"]
    assert (one.id, one.severity, one.owner, one.happened) == (number, "critical", "intake", 1)
    assert told(shop) == []  # nothing is new
    assert open_incidents(shop)["orders gate_failed"] == one
    for key in DAYS[1:]:
        shop.deliver("orders", key, BAD)
        assert told(shop) == [number]
    one = open_incidents(shop)["orders gate_failed"]
    assert one.happened == 3
    assert one.detail["partitions"] == DAYS
    for key in DAYS:
        shop.deliver("orders", key, GOOD)
    assert told(shop) == [number]
    assert open_incidents(shop) == {}
    assert notices_of(shop) == [f"{kind} gate_failed" for kind in ("opened", "updated", "updated", "resolved")]


def test_it_says_what_failed_what_it_reaches_and_what_is_served_instead(shop: Shop) -> None:
    """All that somebody who is woken needs: rows, blast radius, substitute, link."""
    gated(shop)
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    shop.deliver("orders", DAYS[0], BAD)
    told(shop)
    one = open_incidents(shop)["orders gate_failed"]
    detail = Detail.from_json(one.detail)
    assert one.summary == f"orders {DAYS[0]}: did not pass its gate"
    assert "orders.v: 1 of 1 values fails" in detail.why
    assert detail.rows == ({"row_number": 1, "k": "a", "card": MASK, "v": -7.0},)
    assert detail.instead.startswith("the last good result, made ")
    assert detail.link == LINK
    assert detail.reach == (
        Reached("lines", "shop", "asset", 1, DAYS[0], DAYS[0]),
        Reached("totals", "shop", "asset", 1, DAYS[0], DAYS[0]),
        Reached("trend", "shop", "asset", 3, DAYS[0], DAYS[2]),
    )
