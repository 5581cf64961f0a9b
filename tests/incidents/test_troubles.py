"""One cause is one incident, from the first failure to the all-clear: told by real runs of a real shop."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.gates import rule
from tests.incidents.story import LINK, notices_of, open_incidents, told
from tests.scenario import Shop
from tidemark.errors import MASK
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition, Detail, Reached
from tidemark.incidents.handling import Scope, asked_scope, silence
from tidemark.incidents.reconciling import reconcile
from tidemark.incidents.troubles import tell_no_plan, tell_verdict
from tidemark.ledger import incidents
from tidemark.survey import EVERYTHING

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
    made = datetime.fromisoformat(detail.instead_of)
    assert (
        detail.served(made + timedelta(hours=26))
        == f"the last good result, made {made:%Y-%m-%d %H:%M} UTC (26 hours ago)"
    )
    assert detail.link == LINK
    assert detail.reach == (
        Reached("lines", "shop", "asset", 1, DAYS[0], DAYS[0]),
        Reached("totals", "shop", "asset", 1, DAYS[0], DAYS[0]),
        Reached("trend", "shop", "asset", 3, DAYS[0], DAYS[2]),
    )


def test_a_file_that_cannot_be_read_is_another_cause_than_one_that_fails_its_gate(shop: Shop) -> None:
    gated(shop)
    shop.deliver("orders", DAYS[0], "k,card,v\na,1234\n")
    told(shop)
    one = open_incidents(shop)["orders source_malformed"]
    assert f"orders/{DAYS[0]}.csv: line 2" in one.detail["why"]
    assert one.detail["rows"] == []
    assert one.detail["instead"].startswith("nothing of these partitions")


def test_what_fails_below_is_told_with_its_cause(shop: Shop) -> None:
    """Not as a second incident; once the cause is mended and it fails still, it is one of its own."""
    gated(shop)
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    shop.deliver("orders", DAYS[0], GOOD.replace("1\n", "2\n"))
    shop.breaks("lines", DAYS[0])
    shop.breaks("totals", DAYS[0])
    told(shop)
    assert list(open_incidents(shop)) == ["lines asset_failed"]
    shop.edit('return str(lines["v"].sum())', 'return str(lines["v"].sum() + 1)')
    told(shop)  # totals runs by itself now, from the last good lines, and fails
    (one,) = open_incidents(shop).values()
    assert one.detail["also"] == [f"totals {DAYS[0]}: RuntimeError: broken on purpose (<string>:1)"]
    shop.mends("lines", DAYS[0])
    shop.force("lines", DAYS[0])
    told(shop)
    assert list(open_incidents(shop)) == ["totals asset_failed"]
    assert notices_of(shop)[:2] == ["opened asset_failed", "updated asset_failed"]


DOUBLED = """
    @asset(partitions=DAYS, inputs={"lines": ref("lines", same())})
    def doubled(lines: pl.DataFrame) -> str:
        return str(2 * lines["v"].sum())
"""


def test_what_fails_below_in_another_pipeline_is_told_there_only(shop: Shop) -> None:
    """While its cause is open; what depends on that is in its alert. If it fails still afterwards, it is told."""
    gated(shop)
    shop.define(DOUBLED, name="other")
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    told(shop, "other")
    shop.deliver("orders", DAYS[0], BAD)
    told(shop)
    shop.edit("2 * lines", "3 * lines", file="other.py")
    shop.breaks("doubled", DAYS[0])
    told(shop, "other")
    assert list(open_incidents(shop)) == ["orders gate_failed"]
    reached = {each["asset"] for each in open_incidents(shop)["orders gate_failed"].detail["reach"]}
    assert reached == {"lines", "totals", "trend", "doubled"}
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    told(shop, "other")
    assert list(open_incidents(shop)) == ["doubled asset_failed"]


@pytest.mark.parametrize("hidden_by", ["late", "silenced"])
def test_a_failure_hides_behind_nothing_that_is_only_late_or_silenced(shop: Shop, hidden_by: str) -> None:
    """A warning somewhere above explains no exception, and what nobody hears of explains nothing."""
    gated(shop)
    shop.define(DOUBLED, name="other")
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    shop.deliver("orders", DAYS[0], BAD)
    told(shop)
    with shop.deployment() as deployment:
        (one,) = open_incidents(shop).values()
        if hidden_by == "silenced":
            scope = asked_scope(deployment, one.id, Scope())
            silence(deployment, scope, until=datetime.now(UTC) + timedelta(hours=1), why="known", actor="ann")
        else:
            with deployment.ledger.write() as connection:
                incidents.change(connection, one.id, cause="source_late", severity="warning")
    shop.breaks("doubled", DAYS[0])
    told(shop, "other")
    assert "doubled asset_failed" in open_incidents(shop)


def test_personal_data_in_the_words_of_an_exception_is_not_told(shop: Shop) -> None:
    """Of what reads a column with personal data only the exception's class and place are; so is a cell at fault."""
    gated(shop)
    shop.breaks("lines", DAYS[0], "raise ValueError('no such card: 4111-1111')")
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    why = open_incidents(shop)["lines asset_failed"].detail["why"]
    assert why == (
        f"ValueError (<string>:1); what it says may quote personal data: 'tidemark explain lines {DAYS[0]}' shows it"
    )
    shop.edit('"card": str', '"card": int')
    shop.deliver("orders", DAYS[1], "k,card,v\na,jane-4111,1\n")
    told(shop)
    why = open_incidents(shop)["orders source_malformed"].detail["why"]
    assert "line 2, column 'card': '•••' is not int" in why
    assert "jane" not in why


def test_a_run_of_some_partitions_resolves_nothing(shop: Shop) -> None:
    """It has not looked at the others, and a whole run afterwards has nothing to tell."""
    gated(shop)
    for key in DAYS[:2]:
        shop.deliver("orders", key, GOOD)
        shop.breaks("lines", key)
    told(shop)
    shop.deliver("orders", DAYS[2], GOOD)
    later = EVERYTHING._replace(first=datetime(2025, 1, 6, tzinfo=UTC))
    for selection in (EVERYTHING._replace(first=datetime(2025, 1, 7, tzinfo=UTC)), later):
        verdict = shop.run(selection=selection)
        assert len(verdict.troubles) < 2, "it sees less than there is"
        with shop.deployment() as deployment:
            assert tell_verdict(deployment, shop.pipelines["shop"], verdict, link=LINK, actor="tester") == []
        assert open_incidents(shop)["lines asset_failed"].detail["partitions"] == DAYS[:2]
    assert told(shop) == []


def test_a_step_that_has_failed_beside_the_verdict_is_not_over_by_it(shop: Shop) -> None:
    """Of a promotion or an announcement the verdict knows nothing."""
    gated(shop)
    step = Condition(CauseClass.RUN_FAILED, "shop", "totals", "shop: totals.announce failed")
    with shop.deployment() as deployment:
        reconcile(deployment, [step], within=lambda one: False, actor="watch")
    told(shop)
    assert list(open_incidents(shop)) == ["totals run_failed"]


def test_no_plan_is_an_incident_until_the_next_verdict(shop: Shop) -> None:
    gated(shop)
    with shop.deployment() as deployment:
        tell_no_plan(deployment, shop.pipelines["shop"], "Refused: too many files are gone", link=LINK, actor="tester")
    one = open_incidents(shop)[" run_failed"]
    assert (one.severity, one.detail["why"]) == ("critical", "Refused: too many files are gone")
    told(shop)
    assert open_incidents(shop) == {}
