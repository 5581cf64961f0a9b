"""Rule 10: what a gate lets through, what it keeps back, and what happens when its suite changes. Real gates."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.gates import rule
from tests.scenario import Shop, news
from tidemark import interventions
from tidemark.catalog import load_catalog
from tidemark.errors import Refused
from tidemark.inspecting import status_of
from tidemark.ledger.schema import gate_result

GATED = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"k": str, "v": float})

    @asset(partitions=DAYS, gate="lines", key=["k"])
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=DAYS)
    def total(lines: pl.DataFrame) -> str:
        return str(lines["v"].sum())
"""

DAYS = ["2025-01-05", "2025-01-06"]


def at_most(limit: float, severity: str = "critical") -> dict[str, Any]:
    """A rule that no value may be larger."""
    return rule("expect_column_values_to_be_between", severity, column="v", max_value=limit)


@pytest.fixture
def gated(shop: Shop) -> Shop:
    """Two days of lines that passed their gate, which lets values through up to 10."""
    shop.suite("lines", at_most(10))
    shop.define(GATED)
    for key in DAYS:
        shop.deliver("orders", key, "k,v\na,1\n")
    shop.run()
    assert shop.counts("lines") == {"computed": 2}
    return shop


# -- severity


def test_critical_blocks(gated: Shop) -> None:
    """The last good head stays live, its readers know, the rest is published, and the verdict is red with the rows."""
    gated.deliver("orders", DAYS[0], "k,v\na,99\n")
    gated.deliver("orders", DAYS[1], "k,v\na,2\n")
    verdict = gated.run()
    assert gated.ran == {"lines": DAYS, "total": [DAYS[1]]}
    assert gated.counts("lines") == {"blocked": 1, "computed": 1, "provisional": 1}
    assert gated.heads("lines")[DAYS[0]] == [{"k": "a", "v": 1.0}]
    assert gated.heads("total") == {DAYS[0]: "1.0", DAYS[1]: "2.0"}
    mark = {DAYS[0]: {f"lines {DAYS[0]}"}}
    assert gated.provisional("lines") == gated.provisional("total") == mark
    [trouble] = verdict.troubles
    assert (trouble.asset, trouble.partition, trouble.what, trouble.new) == ("lines", DAYS[0], "blocked", True)
    assert "did not pass the gate 'lines'" in trouble.why
    assert "99" in trouble.why
    assert trouble.instead.startswith("its last good result")
    assert "everything else was published" in verdict.table()


def test_a_blocked_candidate_can_be_looked_at(gated: Shop) -> None:
    """It is quarantined: with its data, and with what the suite says of its rows."""
    gated.deliver("orders", DAYS[0], "k,v\na,99\n")
    gated.run()
    [candidate] = gated.explain("lines", DAYS[0])["quarantined"]
    assert candidate["blob"] in gated.blobs()
    [failure] = candidate["gate"]["failures"]
    assert failure["severity"] == "critical"
    assert failure["sample"] == [{"row_number": 1, "k": "a", "v": 99.0}]


def test_a_first_candidate_that_is_blocked_leaves_nothing_live(gated: Shop) -> None:
    """What reads it waits, and says for what."""
    gated.deliver("orders", "2025-01-07", "k,v\na,99\n")
    gated.run()
    assert "2025-01-07" not in gated.heads("lines")
    assert (
        gated.explain("total", "2025-01-07")["why"] == "lines cannot be read: lines 2025-01-07 failed or was rejected"
    )
    assert gated.counts("total") == {"unchanged": 2, "waiting": 1}


def test_a_blocked_candidate_is_not_computed_again(gated: Shop) -> None:
    """Its key is known: the next runs only say that it is still blocked, and that this is no news."""
    gated.deliver("orders", DAYS[0], "k,v\na,99\n")
    gated.run()
    verdict = gated.run()
    assert gated.ran == {}
    assert gated.counts("lines") == {"blocked": 1, "unchanged": 1, "provisional": 1}
    assert not verdict.ok
    assert not news(verdict)


def test_a_correction_publishes_and_clears_the_marks(gated: Shop) -> None:
    """All is as if nothing had been."""
    gated.deliver("orders", DAYS[0], "k,v\na,99\n")
    gated.run()
    gated.deliver("orders", DAYS[0], "k,v\na,9\n")
    assert gated.run().ok
    assert gated.heads("total")[DAYS[0]] == "9.0"
    assert gated.provisional("lines") == gated.provisional("total") == {}
    assert gated.state() == gated.rebuilt().state()


def test_a_reverted_delivery_unblocks_without_a_run(gated: Shop) -> None:
    """The last good head is again what would be computed: its mark and those of its readers go."""
    gated.deliver("orders", DAYS[0], "k,v\na,99\n")
    gated.run()
    gated.deliver("orders", DAYS[0], "k,v\na,1\n")
    assert gated.run().ok
    assert gated.ran == {}
    assert gated.provisional("lines") == gated.provisional("total") == {}


def test_a_warning_publishes_and_is_flagged(gated: Shop) -> None:
    """It is live, final, and one can see what the suite says."""
    gated.suite("lines", at_most(10), at_most(5, "warning"))
    gated.deliver("orders", DAYS[0], "k,v\na,7\n")
    assert gated.run().ok
    assert gated.heads("total")[DAYS[0]] == "7.0"
    gate = gated.explain("lines", DAYS[0])["gate"]
    assert gate["outcome"] == "flagged"
    assert [each["severity"] for each in gate["failures"]] == ["warning"]


def test_info_is_recorded(gated: Shop) -> None:
    """And no more than that."""
    gated.suite("lines", at_most(10), at_most(5, "info"))
    gated.deliver("orders", DAYS[0], "k,v\na,7\n")
    assert gated.run().ok
    gate = gated.explain("lines", DAYS[0])["gate"]
    assert gate["outcome"] == "passed"
    assert [each["severity"] for each in gate["failures"]] == ["info"]


# -- what is asked, and how often


def _asked(shop: Shop) -> int:
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(gate_result)).scalar_one()


def test_a_suite_is_asked_once_about_the_same_data(gated: Shop) -> None:
    """Its answer is kept by suite and data version: two days of equal content are one question."""
    assert _asked(gated) == 1
    gated.edit("return orders", "return orders.head(100)")
    gated.run()
    assert gated.ran == {"lines": DAYS}
    assert _asked(gated) == 1


def test_how_a_suite_is_written_does_not_matter(gated: Shop) -> None:
    """The order of its rules, and its layout, are no change."""
    gated.suite("lines", at_most(10), at_most(20))
    gated.run()
    asked = _asked(gated)
    gated.suite("lines", at_most(20), at_most(10))
    gated.run()
    assert gated.plan is not None
    assert gated.plan.items == ()
    assert _asked(gated) == asked


# -- a changed suite


def test_a_changed_suite_never_recomputes(gated: Shop) -> None:
    """What is live is checked against it, and that is all."""
    gated.suite("lines", at_most(20))
    gated.run()
    assert gated.ran == {}
    assert gated.plan is not None
    assert {each.reason for each in gated.plan.items} == {"the gate 'lines' changed"}
    assert gated.explain("lines", DAYS[0])["gate"]["outcome"] == "passed"
    gated.run()
    assert gated.plan.items == ()


def test_a_quarantined_candidate_that_passes_now_is_published(gated: Shop) -> None:
    """Without running its function; what reads it runs."""
    gated.deliver("orders", DAYS[0], "k,v\na,99\n")
    gated.run()
    gated.suite("lines", at_most(100))
    assert gated.run().ok
    assert gated.ran == {"total": [DAYS[0]]}
    assert gated.counts("lines") == {"restored": 1, "unchanged": 1}
    assert gated.heads("total")[DAYS[0]] == "99.0"
    assert gated.provisional("lines") == gated.provisional("total") == {}


def test_a_live_head_that_fails_now_stays_live_and_is_flagged(gated: Shop) -> None:
    """Nobody takes away what people work with; explain says what the suite finds."""
    gated.deliver("orders", DAYS[0], "k,v\na,7\n")
    gated.run()
    gated.suite("lines", at_most(5))
    gated.run()
    assert gated.ran == {}
    assert gated.heads("total")[DAYS[0]] == "7.0"
    assert gated.provisional("lines") == {}
    account = gated.explain("lines", DAYS[0])
    assert account["gate"]["outcome"] == "blocked"
    assert account["quarantined"] == []  # it is live
    assert gated.outcomes("lines")[DAYS[0]] == "unchanged"
    with gated.deployment() as deployment:
        state = status_of(deployment, load_catalog(gated.dags))["pipelines"]["shop"]["assets"]["lines"]
    assert state["flagged"] == [DAYS[0]]


def test_what_is_restored_must_pass_the_suite_of_today(gated: Shop) -> None:
    """A known result comes back only if its data passed, or passes, the current suite."""
    gated.deliver("orders", DAYS[0], "k,v\na,7\n")
    gated.run()
    gated.deliver("orders", DAYS[0], "k,v\na,4\n")
    gated.run()
    gated.suite("lines", at_most(5))
    gated.run()
    gated.deliver("orders", DAYS[0], "k,v\na,7\n")
    gated.run()
    assert gated.ran == {}
    assert gated.counts("lines") == {"blocked": 1, "unchanged": 1, "provisional": 1}
    assert gated.heads("lines")[DAYS[0]] == [{"k": "a", "v": 4.0}]
    gated.deliver("orders", DAYS[0], "k,v\na,1\n")
    gated.run()
    assert gated.ran == {}
    assert gated.counts("lines") == {"restored": 1, "unchanged": 1}
    assert gated.heads("total")[DAYS[0]] == "1.0"


def test_a_person_cannot_restore_what_the_suite_of_today_blocks(gated: Shop) -> None:
    """Nothing changes, and nothing is held."""
    version = gated.versions("lines")[DAYS[0]]
    gated.deliver("orders", DAYS[0], "k,v\na,0\n")
    gated.run()
    gated.suite("lines", at_most(0.5))
    with gated.deployment() as deployment, pytest.raises(Refused, match=r"does not pass the gate 'lines' as it is now"):
        interventions.restore(
            deployment, gated.pipelines["shop"], "lines", DAYS[0], version[:12], why="it was better", actor="ada"
        )
    assert gated.heads("lines")[DAYS[0]] == [{"k": "a", "v": 0.0}]
    assert gated.explain("lines", DAYS[0])["state"] == "fresh"


def test_a_gate_that_is_new_checks_what_is_live(shop: Shop) -> None:
    """An asset that had none: its heads are checked, not computed."""
    shop.suite("lines", at_most(10))
    shop.define(GATED.replace(', gate="lines"', ""))
    shop.deliver("orders", DAYS[0], "k,v\na,7\n")
    shop.run()
    shop.define(GATED)
    shop.run()
    assert shop.ran == {}
    assert shop.explain("lines", DAYS[0])["gate"]["outcome"] == "passed"


# -- what cannot be checked


TEXT = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS)
    def said(orders: str):
        return orders

    @asset(partitions=DAYS)
    def loud(said: str) -> str:
        return said.upper()
"""
GATED_TEXT = TEXT.replace("@asset(partitions=DAYS)", '@asset(partitions=DAYS, gate="said")', 1)


def test_a_gate_cannot_check_text(shop: Shop) -> None:
    """A gated function that returns no frame fails its partition, which is told the mend; others go on."""
    shop.suite("said", at_most(10))
    shop.define(GATED_TEXT)
    shop.deliver("orders", DAYS[0], "k\na\n")
    verdict = shop.run()
    assert shop.counts("said") == {"failed": 1}
    assert "said(): gate='said' checks tables" in verdict.troubles[0].why


def test_a_gate_on_what_says_that_it_is_text_is_a_definition_error(shop: Shop) -> None:
    """Where the annotation tells, one need not wait for a run."""
    shop.suite("said", at_most(10))
    with pytest.raises(AssertionError, match=r"said\(\): gate='said' checks the rows of a frame, and str has none"):
        shop.define(GATED_TEXT.replace("def said(orders: str):", "def said(orders: str) -> str:"))


def test_a_gate_that_is_new_cannot_check_text_that_is_live_either(shop: Shop) -> None:
    """The text stays live, the partition is failed, and the rest of the run goes on."""
    shop.suite("said", at_most(10))
    shop.define(TEXT)
    shop.deliver("orders", DAYS[0], "k\na\n")
    shop.run()
    shop.define(GATED_TEXT)
    shop.deliver("orders", DAYS[1], "k\nb\n")
    verdict = shop.run()
    assert {(each.partition, each.what) for each in verdict.troubles} == {(DAYS[0], "failed"), (DAYS[1], "failed")}
    assert shop.heads("loud") == {DAYS[0]: "K\nA\n"}


# -- sources

SOURCE = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"k": str, "v": float},
                    gate="orders", pii=["k"])

    @asset(partitions=DAYS)
    def total(orders: pl.DataFrame) -> str:
        return str(orders["v"].sum())
"""


@pytest.fixture
def guarded(shop: Shop) -> Shop:
    """One day of orders that passed the gate, and one that did not."""
    shop.suite("orders", at_most(10))
    shop.define(SOURCE)
    shop.deliver("orders", DAYS[0], "k,v\nada,1\n")
    shop.deliver("orders", DAYS[1], "k,v\nada,99\n")
    shop.run()
    return shop


def test_a_delivery_is_gated_before_anything_reads_it(guarded: Shop) -> None:
    """What fails is never read; the verdict says why, without what nobody is to see."""
    assert guarded.ran == {"total": [DAYS[0]]}
    assert guarded.counts("total") == {"computed": 1, "waiting": 1}
    assert guarded.verdict is not None
    [trouble] = guarded.verdict.troubles
    assert (trouble.asset, trouble.partition, trouble.what) == ("orders", DAYS[1], "rejected")
    assert trouble.why == (
        "orders/2025-01-06.csv: did not pass the gate 'orders': orders.v: 1 of 1 values fails: values must be less "
        "than or equal to 10.0; e.g. 99.0 in row 1 (line 2). Deliver a corrected file, or declare this one absent "
        "('tidemark absent orders 2025-01-06 --why ...')"
    )
    assert "ada" not in trouble.why
    assert "ada" not in str(guarded.explain("orders", DAYS[1])["quarantined"])


def test_a_rejection_names_the_lines_of_the_file_wherever_its_rows_are(guarded: Shop) -> None:
    """Blank lines and cells of several lines are not rows; what was said of the same content before is said again."""
    guarded.deliver("orders", DAYS[1], 'k,v\n\n"ada\nlovelace",1\nada,98\n')
    first = guarded.run().troubles[0].why
    assert "98.0 in row 2 (line 5)" in first
    guarded.deliver("orders", DAYS[1], "k,v\nada,1\n")
    assert guarded.run().ok
    guarded.deliver("orders", DAYS[1], 'k,v\n\n"ada\nlovelace",1\nada,98\n')
    assert guarded.run().troubles[0].why == first


def test_a_rejected_delivery_keeps_the_last_accepted_one(guarded: Shop) -> None:
    """And its readers are provisional."""
    guarded.deliver("orders", DAYS[0], "k,v\nada,50\n")
    guarded.run()
    assert guarded.heads("total") == {DAYS[0]: "1.0"}
    assert guarded.provisional("total") == {DAYS[0]: {f"orders {DAYS[0]}"}}
    assert guarded.explain("orders", DAYS[0])["state"] == "rejected: the last good delivery stays live"


def test_a_rejected_delivery_that_passes_a_changed_suite_is_accepted(guarded: Shop) -> None:
    """It is not delivered again for that."""
    guarded.suite("orders", at_most(100))
    assert guarded.run().ok
    assert guarded.ran == {"total": [DAYS[1]]}
    assert guarded.heads("total") == {DAYS[0]: "1.0", DAYS[1]: "99.0"}


def test_a_rejected_delivery_is_accepted_by_a_suite_that_knows_it(guarded: Shop) -> None:
    """The suite goes to and fro, and the same content is delivered in between: what passes the suite of today is in."""
    guarded.suite("orders", at_most(0.5))
    guarded.deliver("orders", DAYS[1], "k,v\nada,1\n")
    guarded.run()
    assert guarded.explain("orders", DAYS[1])["state"] == "rejected"
    guarded.suite("orders", at_most(10))
    assert guarded.run().ok
    assert guarded.heads("total") == {DAYS[0]: "1.0", DAYS[1]: "1.0"}


def test_an_accepted_delivery_that_fails_a_changed_suite_stays(guarded: Shop) -> None:
    """It was read; explain says what the suite finds in it now."""
    guarded.suite("orders", at_most(0.5))
    guarded.run()
    assert guarded.ran == {}
    assert guarded.heads("total") == {DAYS[0]: "1.0"}
    assert guarded.provisional("total") == {}
    assert guarded.explain("orders", DAYS[0])["gate"]["outcome"] == "blocked"


def test_without_its_gate_a_rejected_delivery_is_accepted(guarded: Shop) -> None:
    """A source whose gate was taken away lets through what only the gate held back."""
    guarded.edit('gate="orders", ', "")
    assert guarded.run().ok
    assert guarded.heads("total") == {DAYS[0]: "1.0", DAYS[1]: "99.0"}


def test_a_source_that_is_gated_from_now_on_keeps_what_it_has(shop: Shop) -> None:
    """What was accepted without a gate stays; what comes has to pass."""
    shop.suite("orders", at_most(10))
    shop.define(SOURCE.replace('gate="orders", ', ""))
    shop.deliver("orders", DAYS[0], "k,v\nada,99\n")
    shop.run()
    shop.define(SOURCE)
    shop.deliver("orders", DAYS[1], "k,v\nada,99\n")
    shop.run()
    assert shop.ran == {}
    assert shop.heads("total") == {DAYS[0]: "99.0"}
    assert shop.explain("orders", DAYS[1])["state"] == "rejected"


def test_a_held_head_is_checked_by_a_changed_suite_too(shop: Shop) -> None:
    """It stays live whatever the suite says of it; but that it was asked is on record."""
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="k", value_set=["a", "b"]))
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=DAYS, gate="lines")
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders
    """)
    shop.deliver("orders", "2025-01-05", "k\nb\n")
    shop.run()
    shop.hold("lines")
    shop.deliver("orders", "2025-01-05", "k\na\n")
    shop.run()
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="k", value_set=["a"]))
    shop.run()
    assert shop.ran == {}
    assert shop.heads("lines") == {"2025-01-05": [{"k": "b"}]}
    assert "stays live, flagged" in shop.details("lines")["2025-01-05"]
    assert shop.planned().items == ()
