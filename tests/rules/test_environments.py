"""Environments: a branch shows what prod has for all that it did not change itself, however late that comes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.gates import rule
from tests.scenario import Shop, on_both_ledgers
from tidemark import interventions
from tidemark.config import settings

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


def test_a_declaration_in_a_new_branch_takes_the_instant_of_prod(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fell due since then makes nothing provisional; without any plan the instant that is set counts."""
    shop.define("""
        rates = source("rates", files="rates/{partition}.txt", partitions=Daily(start="2025-01-05"),
                       expected=Calendar("MON-SUN"))

        @asset(partitions=Unpartitioned(), inputs={"rates": latest()})
        def board(rates: bytes) -> str:
            return rates.decode()
    """)
    taken: list[datetime] = []
    real = interventions.make_plan

    def noted(*given: Any, as_of: datetime, **options: Any) -> Any:
        taken.append(as_of)
        return real(*given, as_of=as_of, **options)

    monkeypatch.setattr(interventions, "make_plan", noted)
    monkeypatch.setattr(
        Shop, "settings", property(lambda shop: settings({**shop.environ, "TIDEMARK_AS_OF": "2025-01-07T06:00Z"}))
    )
    shop.environment = "branch"
    shop.declare_absent("rates", "2025-01-05")
    assert taken.pop() == datetime(2025, 1, 7, 6, tzinfo=UTC)
    shop.environment = "prod"
    shop.now("2025-01-08T06:00")
    shop.deliver_days("rates", "2025-01-05", "2025-01-07")
    shop.run()
    assert shop.provisional("board") == {}
    shop.environment = "branch"
    shop.declare_absent("rates", "2025-01-06")
    assert taken.pop() == shop.as_of
    assert shop.provisional("board") == {}


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


SOURCE = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS%s)

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> str:
        return repr(orders.rows())
"""

READER = """
    @asset(partitions=DAYS, inputs={"orders": ref("orders", same())})
    def tops(orders: pl.DataFrame) -> str:
        return str(orders.height)
"""

DAY = DAYS[0]


def _only(*values: str) -> dict[str, Any]:
    return rule("expect_column_values_to_be_in_set", column="k", value_set=list(values))


@on_both_ledgers
def test_a_later_start_in_a_branch_withdraws_nothing_elsewhere(shop: Shop) -> None:
    """The branch leaves the files out; what prod has seen of them stays, also for its other pipelines."""
    shop.define(SOURCE % "")
    shop.define(READER, "other")
    for key in DAYS[:3]:
        shop.deliver("orders", key, "k\na\n")
    shop.run()
    shop.run("other")
    before = shop.state()
    shop.environment = "branch"
    shop.edit("partitions=DAYS)\n\n", f'partitions=Daily(start="{DAYS[2]}"))\n\n')
    shop.run()
    assert list(shop.heads("orders")) == list(shop.heads("lines")) == [DAYS[2]]
    shop.run("other")
    assert list(shop.heads("tops")) == [DAYS[2]]
    shop.environment = "prod"
    shop.edit(f'Daily(start="{DAYS[2]}")', "DAYS")
    shop.run("other")
    assert shop.state() == before


@on_both_ledgers
def test_a_schema_of_a_branch_rejects_nothing_elsewhere(shop: Shop) -> None:
    """In the branch the last accepted delivery stays, and its readers are provisional, those of other pipelines too."""
    shop.define(SOURCE % ', schema={"k": str}')
    shop.define(READER, "other")
    shop.deliver("orders", DAY, "k\na\n")
    shop.run()
    shop.run("other")
    before = shop.state()
    shop.environment = "branch"
    shop.edit('{"k": str}', '{"k": int}')
    shop.run()
    shop.run("other")
    assert shop.heads("lines") == {DAY: "[('a',)]"}
    assert shop.provisional("lines") == shop.provisional("tops") == {DAY: {f"orders {DAY}"}}
    shop.environment = "prod"
    shop.edit('{"k": int}', '{"k": str}')
    shop.run("other")
    assert shop.state() == before


@pytest.fixture
def strict(shop: Shop) -> Shop:
    """A branch whose suite allows less than that of prod; run each with :func:`_run_in`."""
    shop.suite("orders", _only("a"))
    shop.define(SOURCE % ', schema={"k": str}, gate="orders"')
    return shop


def _run_in(shop: Shop, environment: str) -> None:
    shop.environment = environment
    shop.suite("orders", _only("a", "b") if environment == "prod" else _only("a"))
    shop.run()


LOOKS = pytest.mark.parametrize("looks", [("branch", "prod", "branch"), ("prod", "branch")], ids=" ".join)


@LOOKS
def test_a_suite_decides_for_its_own_environment(strict: Shop, looks: tuple[str, ...]) -> None:
    """What a branch's suite rejects is not read there, whoever has looked first, and is live in prod all the same."""
    strict.deliver("orders", DAY, "k\nb\n")
    for environment in looks:
        _run_in(strict, environment)
    assert strict.heads("orders") == strict.heads("lines") == {}
    _run_in(strict, "prod")
    assert list(strict.heads("lines")) == [DAY]
    assert strict.provisional("lines") == {}


@LOOKS
def test_a_branch_keeps_the_last_delivery_that_its_suite_accepts(strict: Shop, looks: tuple[str, ...]) -> None:
    """When prod goes on to a correction that the branch rejects, whoever has looked first."""
    strict.deliver("orders", DAY, "k\na\n")
    _run_in(strict, "prod")
    strict.deliver("orders", DAY, "k\nb\n", age=1800)
    for environment in looks:
        _run_in(strict, environment)
    assert strict.heads("lines") == {DAY: "[('a',)]"}
    assert strict.provisional("lines") == {DAY: {f"orders {DAY}"}}
    strict.deliver("orders", DAY, "k\nb\n", age=900)
    _run_in(strict, "branch")
    assert strict.provisional("lines") == {DAY: {f"orders {DAY}"}}
    _run_in(strict, "prod")
    assert strict.heads("lines") == {DAY: "[('b',)]"}
    assert strict.provisional("lines") == {}


def test_a_suite_of_a_branch_accepts_for_the_branch_alone(strict: Shop) -> None:
    """What prod has rejected."""
    strict.deliver("orders", DAY, "k\na\n")
    _run_in(strict, "branch")
    strict.deliver("orders", DAY, "k\nc\n", age=1800)
    _run_in(strict, "prod")
    strict.environment = "branch"
    strict.suite("orders", _only("c"))
    strict.run()
    assert strict.heads("lines") == {DAY: "[('c',)]"}
    assert strict.provisional("lines") == {}
    _run_in(strict, "prod")
    assert strict.heads("lines") == {}
