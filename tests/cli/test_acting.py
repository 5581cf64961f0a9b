"""Claims about the commands by which a person changes the state; each is in the audit log with its reason."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.cli.conftest import AS_OF, DAYS, ORDERS, Command, csv
from tests.gates import rule
from tests.scenario import Shop
from tidemark.ledger import acts
from tidemark.ledger.schema import audit_log


def audited(shop: Shop) -> list[tuple[str, str, dict[str, Any]]]:
    """Who did what, in order; the chain must be whole."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert acts.first_broken_entry(connection) is None
        return [(row.actor, row.act, row.detail) for row in connection.execute(sa.select(audit_log))]


# -- absent


@pytest.fixture
def gap(delivered: Shop, tidemark: Command) -> Shop:
    """A shop without the orders of its second day."""
    delivered.withdraw("orders", DAYS[1])
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    return delivered


def test_a_declaration_clears_marks_and_runs_nothing(gap: Shop, tidemark: Command) -> None:
    assert set(gap.provisional("totals")) == set(DAYS[1:])
    done = tidemark("absent", "orders", DAYS[1], "--why", "closed for stock-taking")
    assert done.out == "orders 2025-01-06 is declared absent; 2 marks changed, nothing ran\n"
    assert gap.provisional("totals") == {}
    account = tidemark.json("explain", "orders", DAYS[1])
    assert (account["state"], account["why"]) == ("absent", "declared: closed for stock-taking (ada)")
    assert tidemark.json("status")["pipelines"]["shop"]["sources"]["orders"]["missing"] == []
    assert audited(gap) == [
        ("ada", "declare absent", {"source": "orders", "partition": DAYS[1], "why": "closed for stock-taking"})
    ]


def test_a_declaration_that_is_taken_back_brings_the_marks_back(gap: Shop, tidemark: Command) -> None:
    marks = gap.provisional("totals")
    tidemark("absent", "orders", DAYS[1], "--why", "closed")
    data = tidemark.json("absent", "orders", DAYS[1], "--undo", "--why", "they will come")
    assert data == {"news": True, "marks_changed": 2, "expected": True, "delivered": False}
    assert gap.provisional("totals") == marks
    assert [act for _, act, _ in audited(gap)] == ["declare absent", "withdraw declaration"]


def test_a_declaration_that_is_no_news_is_told_and_not_audited_again(gap: Shop, tidemark: Command) -> None:
    again = "orders 2025-01-06 was declared absent before; 0 marks changed, nothing ran\n"
    undone = "orders 2025-01-07 was not declared absent; 0 marks changed, nothing ran\n"
    tidemark("absent", "orders", DAYS[1], "--why", "closed")
    assert tidemark("absent", "orders", DAYS[1], "--why", "closed").out == again
    assert tidemark("absent", "orders", DAYS[2], "--undo", "--why", "closed").out == undone
    assert len(audited(gap)) == 1


def test_a_declaration_for_a_day_that_nobody_expects_says_so(delivered: Shop, tidemark: Command) -> None:
    """It is taken down, and means nothing; a slip of the finger must not look like a success."""
    delivered.edit("expected=Calendar()", 'expected=Calendar("MON-FRI")')
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    said = "orders 2025-01-11 is declared absent, though no delivery is expected for it; 0 marks changed, nothing ran\n"
    undone = (
        "orders 2025-01-11 is no longer declared absent, though no delivery is expected for it; "
        "0 marks changed, nothing ran\n"
    )
    assert tidemark("absent", "orders", "2025-01-11", "--why", "closed").out == said
    assert tidemark.json("absent", "orders", "2025-01-11", "--why", "closed")["expected"] is False
    assert tidemark("absent", "orders", "2025-01-11", "--undo", "--why", "a slip").out == undone
    assert tidemark.json("absent", "orders", "2025-01-10", "--why", "closed")["expected"] is True


def test_a_declaration_for_a_source_without_a_calendar_says_so(delivered: Shop, tidemark: Command) -> None:
    delivered.define(ORDERS.replace("expected=Calendar(),", "").replace('due="1 day 02:00 UTC", ', ""))
    done = tidemark("absent", "orders", DAYS[0], "--why", "closed")
    assert "though no delivery is expected for it: its source has no calendar; 0 marks changed" in done.out


def test_what_comes_all_the_same_is_taken(gap: Shop, tidemark: Command) -> None:
    tidemark("absent", "orders", DAYS[1], "--why", "closed")
    gap.deliver("orders", DAYS[1], csv("apple,5,0.5"))
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"]["computed"] == 1


def test_a_declaration_for_what_is_delivered_says_so(open_shop: Shop, tidemark: Command) -> None:
    done = tidemark("absent", "orders", DAYS[1], "--why", "closed")
    assert done.out == (
        "orders 2025-01-06 is declared absent; it is delivered, and stays in use; 0 marks changed, nothing ran\n"
    )
    told = tidemark("explain", "orders", DAYS[1]).out
    assert told.startswith("orders 2025-01-06: delivered\n")
    assert "declared absent: closed (ada)" in told
    assert "in use" not in tidemark("absent", "orders", DAYS[1], "--undo", "--why", "a slip").out
    assert "declared absent" not in tidemark("explain", "orders", DAYS[1]).out


# -- hold


def test_what_is_held_stays_as_it_is_until_the_hold_is_lifted(open_shop: Shop, tidemark: Command) -> None:
    before = open_shop.heads("lines")
    done = tidemark("hold", "lines", "--why", "prices look wrong")
    assert done.out == "lines is held: what is live stays; 'tidemark release-hold lines --why ...' lifts it\n"
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"]["unchanged"] == 3
    assert open_shop.heads("lines") == before
    account = tidemark("explain", "lines", DAYS[2]).out
    assert "held: prices look wrong (ada); else it would run: orders 2025-01-07 changed" in account
    assert "held: prices look wrong (ada)" in tidemark("explain", "lines", DAYS[0]).out
    assert tidemark("release-hold", "lines", "--why", "they were right").out == "lines is no longer held by itself\n"
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"]["computed"] == 1
    assert [(act, detail["why"]) for _, act, detail in audited(open_shop)] == [
        ("hold", "prices look wrong"),
        ("release hold", "they were right"),
    ]


def test_a_partition_is_held_by_itself(open_shop: Shop, tidemark: Command) -> None:
    done = tidemark("hold", "lines", DAYS[2], "--why", "being looked at")
    assert "'tidemark release-hold lines 2025-01-07 --why ...' lifts it" in done.out
    open_shop.deliver("orders", DAYS[1], csv("apple,7,0.5"))
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"]["computed"] == 1
    assert tidemark.json("release-hold", "lines", DAYS[2], "--why", "seen") == {
        "released": True,
        "still_held": None,
        "partitions_held": [],
    }


def test_a_hold_that_is_there_is_no_news(open_shop: Shop, tidemark: Command) -> None:
    tidemark("hold", "lines", "--why", "first")
    assert tidemark("hold", "lines", "--why", "second").out == (
        "lines is held already: first (ada); 'tidemark release-hold lines --why ...' lifts it\n"
    )
    assert tidemark.json("hold", "lines", "--why", "third") == {"held": False, "held_before": "first (ada)"}
    assert "held: first (ada)" in tidemark("explain", "lines", DAYS[0]).out
    assert len(audited(open_shop)) == 1


def test_who_lifts_a_hold_that_is_not_there_is_told_what_holds(open_shop: Shop, tidemark: Command) -> None:
    assert tidemark("release-hold", "lines", "--why", "x").out == "nothing held lines by itself\n"
    tidemark("hold", "lines", "--why", "under review")
    assert tidemark("release-hold", "lines", DAYS[0], "--why", "x").out == (
        "nothing held lines 2025-01-05 by itself\nall of lines is still held: under review (ada)\n"
    )


def test_lifting_the_hold_of_an_asset_leaves_those_of_its_partitions_and_names_them(
    open_shop: Shop, tidemark: Command
) -> None:
    """Somebody held them for a reason of their own."""
    for words in (["lines"], ["lines", DAYS[1]], ["lines", DAYS[0]]):
        tidemark("hold", *words, "--why", "x")
    assert tidemark("release-hold", "lines", "--why", "x").out == (
        "lines is no longer held by itself\n"
        "lines 2025-01-05 is still held: 'tidemark release-hold lines 2025-01-05 --why ...' lifts it\n"
        "lines 2025-01-06 is still held: 'tidemark release-hold lines 2025-01-06 --why ...' lifts it\n"
    )
    assert tidemark.json("status")["pipelines"]["shop"]["assets"]["lines"]["held_partitions"] == DAYS[:2]
    assert tidemark.json("release-hold", "lines", "--why", "x")["partitions_held"] == DAYS[:2]


# -- restore


@pytest.fixture
def corrected(open_shop: Shop, tidemark: Command) -> tuple[str, str]:
    """The version of a day before and after its orders were corrected."""
    before = open_shop.versions("lines")[DAYS[2]]
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    return before, open_shop.versions("lines")[DAYS[2]]


def test_an_earlier_version_is_live_again_and_held(
    corrected: tuple[str, str], open_shop: Shop, tidemark: Command
) -> None:
    before, after = corrected
    done = tidemark("restore", "lines", DAYS[2], before[:8].upper(), "--why", "the correction was wrong")
    assert done.out == (
        f"lines 2025-01-07 is {before[:12]} again (was {after[:12]}), and held; "
        "'tidemark release-hold lines 2025-01-07 --why ...' lets it follow its inputs again\n"
    )
    assert open_shop.versions("lines")[DAYS[2]] == before
    run = tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]
    assert open_shop.versions("lines")[DAYS[2]] == before
    assert (run["lines"]["unchanged"], run["totals"]["restored"]) == (3, 1)
    assert tidemark.json("history", "lines", DAYS[2])[-1]["reason"] == "restored: the correction was wrong"
    [(_, act, detail)] = audited(open_shop)
    assert (act, detail["version"], detail["before"]) == ("restore", before, after)
    assert detail["why"] == "the correction was wrong"


def test_once_the_hold_is_lifted_it_follows_its_inputs_again(
    corrected: tuple[str, str], open_shop: Shop, tidemark: Command
) -> None:
    before, after = corrected
    assert tidemark.json("restore", "lines", DAYS[2], before[:6], "--why", "x") == {"version": before, "before": after}
    tidemark("release-hold", "lines", DAYS[2], "--why", "x")
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"]["restored"] == 1
    assert open_shop.versions("lines")[DAYS[2]] == after


def test_a_restored_partition_stays_when_its_asset_is_let_go(
    corrected: tuple[str, str], open_shop: Shop, tidemark: Command
) -> None:
    """What was brought back stays until it is let go itself."""
    tidemark("hold", "lines", "--why", "x")
    tidemark("restore", "lines", DAYS[2], corrected[0][:6], "--why", "x")
    assert "lines 2025-01-07 is still held" in tidemark("release-hold", "lines", "--why", "x").out
    tidemark("run", "shop", "--as-of", AS_OF)
    assert open_shop.versions("lines")[DAYS[2]] == corrected[0]


def test_what_is_live_already_is_not_restored(corrected: tuple[str, str], tidemark: Command, open_shop: Shop) -> None:
    done = tidemark("restore", "lines", DAYS[2], corrected[1][:6], "--why", "x")
    assert done.code == 2
    assert f"lines 2025-01-07 is {corrected[1][:12]} already: hold it to keep it so" in done.err
    assert audited(open_shop) == []


def test_a_version_whose_data_is_gone_is_not_restored(
    corrected: tuple[str, str], open_shop: Shop, tidemark: Command
) -> None:
    made = next(each for each in open_shop.made("lines", DAYS[2]) if each.data_version == bytes.fromhex(corrected[0]))
    assert made.blob is not None
    (open_shop.home / "store" / made.blob[:2] / made.blob[2:]).unlink()
    done = tidemark("restore", "lines", DAYS[2], corrected[0][:6], "--why", "x")
    assert done.code == 1
    assert "is no longer in the store" in done.err
    assert open_shop.versions("lines")[DAYS[2]] == corrected[1]


@pytest.mark.slow
def test_a_version_that_does_not_pass_the_gate_of_today_is_not_restored(
    corrected: tuple[str, str], open_shop: Shop, tidemark: Command
) -> None:
    open_shop.suite("lines", rule("expect_table_row_count_to_equal", value=1))
    open_shop.edit(
        '@asset(partitions=DAYS, key=["item"])\ndef lines',
        '@asset(partitions=DAYS, key=["item"], gate="lines")\ndef lines',
    )
    done = tidemark("restore", "lines", DAYS[2], corrected[0][:6], "--why", "x")
    assert done.code == 1
    assert "does not pass the gate 'lines' as it is now: nothing was changed" in done.err
    assert open_shop.versions("lines")[DAYS[2]] == corrected[1]


def test_a_declaration_of_a_static_key_that_is_gone_can_be_taken_back(shop: Shop, tidemark: Command) -> None:
    """The definition has lost the key; the ledger has not."""
    text = """
        lands = source("lands", files="lands/{partition}.txt", partitions=Static(%s))

        @asset(partitions=Static(%s))
        def named(lands: str) -> str:
            return lands
    """
    shop.define(text % (["uk", "fr"], ["uk", "fr"]))
    shop.deliver_days("lands", "uk")
    shop.run()
    tidemark("absent", "lands", "fr", "--why", "closed")
    shop.define(text % (["uk"], ["uk"]))
    undone = tidemark("absent", "lands", "fr", "--undo", "--why", "a slip")
    assert undone.code == 0
    assert undone.out.startswith("lands fr is no longer declared absent")
