"""Claims about what definitions mean to the ledger: names across pipelines, and what counts as a changed definition."""

import pytest

from tests.gates import rule
from tests.scenario import Shop
from tidemark.errors import DefinitionError
from tidemark.facts import definitions_digest, register

SHOP = """
    orders = source("orders", files="orders/{partition}", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders

    @asset(partitions=DAYS)
    def totals(lines: str) -> str:
        return lines
"""


def registered(shop: Shop, pipeline: str) -> None:
    with shop.deployment() as deployment:
        register(deployment, shop.pipelines[pipeline])


def refused(shop: Shop, pipeline: str) -> str:
    """The message with which a pipeline is refused; nothing of it is kept."""
    with pytest.raises(DefinitionError) as refusal:
        registered(shop, pipeline)
    return str(refusal.value)


# -- names across pipelines


def test_what_another_pipeline_owns_is_read_by_ref(shop: Shop) -> None:
    shop.define(SHOP)
    shop.define(
        '@asset(partitions=Weekly(), inputs={"days": ref("totals", latest())})\ndef week(days: str) -> str:\n'
        "    return days\n",
        name="weekly",
    )
    shop.deliver_days("orders", "2024-12-30", "2025-01-05")
    shop.now("2025-01-06 06:00")
    shop.run()
    shop.run("weekly")
    assert shop.heads("week") == {"2024-12-30": "orders 2025-01-05\n"}


def test_a_second_claim_to_a_name_is_refused_with_its_place(shop: Shop) -> None:
    shop.define(SHOP)
    shop.define("@asset()\ndef totals() -> str:\n    return ''\n", name="rival")
    registered(shop, "shop")
    message = refused(shop, "rival")
    assert message == (
        "rival.py:7: totals(): the name 'totals' belongs to the pipeline 'shop': "
        "choose another, or read that one with ref('totals')"
    )


def test_who_comes_first_owns_the_name(shop: Shop) -> None:
    shop.define(SHOP)
    shop.define("@asset()\ndef totals() -> str:\n    return ''\n", name="rival")
    registered(shop, "rival")
    assert "shop.py:13: totals(): the name 'totals' belongs to the pipeline 'rival'" in refused(shop, "shop")


def test_each_reader_of_another_pipelines_asset_is_checked_by_its_own_grain(shop: Shop) -> None:
    shop.define(SHOP)
    shop.define(
        """
        @asset(partitions=DAYS, inputs={"x": ref("totals")})
        def fits(x: str) -> str:
            return x

        @asset(partitions=Weekly(), inputs={"x": ref("totals")})
        def does_not(x: str) -> str:
            return x
        """,
        name="other",
    )
    registered(shop, "shop")
    assert "other.py:11: does_not(): input 'x': same() needs equal grains" in refused(shop, "other")


def test_pipelines_may_read_each_other_as_long_as_no_asset_reads_itself(shop: Shop) -> None:
    """The shop reads what another makes of its own lines."""
    shop.define(SHOP)
    registered(shop, "shop")
    shop.define(
        '@asset(partitions=DAYS, inputs={"x": ref("lines")})\ndef clean(x: str) -> str:\n    return x.upper()\n',
        name="other",
    )
    registered(shop, "other")
    shop.edit(
        "@asset(partitions=DAYS)\ndef totals(",
        '@asset(partitions=DAYS, inputs={"c": ref("clean")})\ndef totals(c: str, ',
    )
    shop.deliver_days("orders", "2025-01-05")
    shop.now("2025-01-06 06:00")
    for pipeline in ("shop", "other", "shop"):
        shop.run(pipeline)
    assert list(shop.heads("totals")) == ["2025-01-05"]


def test_a_circle_across_pipelines_is_refused_with_its_way(shop: Shop) -> None:
    shop.define(SHOP)
    registered(shop, "shop")
    shop.define(
        '@asset(partitions=DAYS, inputs={"x": ref("totals")})\ndef other(x: str) -> str:\n    return x\n', name="other"
    )
    registered(shop, "other")
    shop.edit(
        "@asset(partitions=DAYS)\ndef lines(", '@asset(partitions=DAYS, inputs={"o": ref("other")})\ndef lines(o: str, '
    )
    assert refused(shop, "shop") == (
        "shop.py:9: lines(): lines reads other reads totals reads lines, a circle across pipelines: "
        "take one of these inputs away"
    )
    registered(shop, "other")  # what was refused has left no trace


# -- what is a changed definition


DEFINED = """
    RATE = 1
    orders = source("orders", files="orders/{partition}", partitions=DAYS, gate="orders", schema={"a": str},
                    expected=Calendar("MON-FRI"), due="1 day")

    @asset(partitions=DAYS, key=["a"], params={"limit": 1}, inputs={"orders": trailing(days=2)}, closes_after="9 days")
    def lines(orders: pl.DataFrame, limit: int) -> pl.DataFrame:
        return orders.head(limit * RATE)
"""


@pytest.fixture
def defined(shop: Shop) -> Shop:
    shop.suite("orders", rule("expect_column_to_exist", column="a"))
    shop.define(DEFINED)
    return shop


def digest(shop: Shop) -> bytes:
    with shop.deployment() as deployment:
        return definitions_digest(deployment, shop.pipelines["shop"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RATE = 1", "RATE = 2"),
        ('{"limit": 1}', '{"limit": 2}'),
        ("trailing(days=2)", "trailing(days=3)"),
        ("trailing(days=2)", "trailing(days=2, early=True)"),
        ("trailing(days=2)", "trailing(days=2, strict=True)"),
        ("9 days", "10 days"),
        ('"MON-FRI"', '"MON-SAT"'),
        ('"1 day"', '"2 days"'),
        ('{"a": str}', '{"a": int}'),
        ('"orders/{partition}"', '"o/{partition}"'),
        ('key=["a"], ', ""),
        ('key=["a"]', "ordered=True"),
        (', gate="orders"', ""),
    ],
)
def test_whatever_can_change_a_decision_changes_the_digest(defined: Shop, before: str, after: str) -> None:
    first = digest(defined)
    defined.edit(before, after)
    assert digest(defined) != first


def test_an_edited_suite_changes_the_digest(defined: Shop) -> None:
    first = digest(defined)
    defined.suite("orders", rule("expect_column_to_exist", column="b"))
    assert digest(defined) != first


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RATE = 1", "RATE = 1  # as agreed"),
        ("    return orders", '    """The lines."""\n    return orders'),
        ('due="1 day"', 'due="1 day", owner="ada", pii=["a"], doc="Orders."'),
        ("def lines(", "def lines(\n    "),
    ],
)
def test_what_changes_no_decision_changes_no_digest(defined: Shop, before: str, after: str) -> None:
    first = digest(defined)
    defined.edit(before, after)
    assert digest(defined) == first
