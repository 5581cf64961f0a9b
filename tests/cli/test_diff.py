"""Claims about `tidemark diff`: which two versions it compares, and what it shows of them."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import AS_OF, DAYS, ORDERS, Command, csv
from tests.gates import rule
from tests.scenario import Shop


@pytest.fixture
def corrected(open_shop: Shop, tidemark: Command) -> Shop:
    """The last day's orders came again: apples at another price, no pears, plums."""
    open_shop.deliver("orders", DAYS[2], csv("apple,3,0.75", "plum,1,1"))
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    return open_shop


def versions(tidemark: Command, asset: str, key: str) -> list[str]:
    return [each["version"] for each in tidemark.json("history", asset, key)]


def test_what_is_live_is_compared_with_what_was_live_before(corrected: Shop, tidemark: Command) -> None:
    """By the asset's key, with the columns that changed."""
    before, after = versions(tidemark, "lines", DAYS[2])
    data = tidemark.json("diff", "lines", DAYS[2])
    assert (data["before"]["version"], data["after"]["version"]) == (before, after)
    assert (data["before"]["live"], data["after"]["live"]) == (False, True)
    assert data["totals"] == {"before": 2, "after": 2, "added": 1, "removed": 1, "changed": 1}
    assert data["changed"] == [
        {
            "key": {"item": "apple"},
            "values": {"price": {"before": 0.5, "after": 0.75}, "value": {"before": 1.5, "after": 2.25}},
        }
    ]
    assert [row["item"] for row in (*data["added"], *data["removed"])] == ["plum", "pear"]
    done = tidemark("diff", "lines", DAYS[2])
    assert done.out.startswith(f"lines 2025-01-07: {before[:12]} (made ")
    assert f" -> {after[:12]} (live, made " in done.out
    assert "by item: 1 added, 1 removed, 1 changed; 2 rows before, 2 after" in done.out
    assert "changed in: price (1 rows), value (1 rows)" in done.out
    assert "0.5 -> 0.75" in done.out


def test_two_versions_are_compared_in_the_order_in_which_they_are_named(corrected: Shop, tidemark: Command) -> None:
    """By their first characters, as history shows them; also those of a source."""
    first, second = (each[:6] for each in versions(tidemark, "orders", DAYS[2]))
    data = tidemark.json("diff", "orders", DAYS[2], second, first)
    assert (data["by"], data["totals"]["added"], data["totals"]["removed"]) == ([], 2, 2)
    assert {row["item"] for row in data["added"]} == {"apple", "pear"}
    assert "by whole rows: 2 added, 2 removed; 2 rows before, 2 after" in (
        tidemark("diff", "orders", DAYS[2], first, second).out
    )


def test_a_version_that_is_live_again_is_compared_with_what_was_between(corrected: Shop, tidemark: Command) -> None:
    before, between = versions(tidemark, "lines", DAYS[2])
    assert tidemark("restore", "lines", DAYS[2], before[:8], "--why", "x").code == 0
    data = tidemark.json("diff", "lines", DAYS[2])
    assert (data["before"]["version"], data["after"]["version"]) == (between, before)


def test_a_branch_compares_what_it_has_from_prod(
    corrected: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it has computed itself with what it had from there."""
    here = tidemark.json("diff", "lines", DAYS[2])
    monkeypatch.setenv("TIDEMARK_ENVIRONMENT", "try")
    assert tidemark.json("diff", "lines", DAYS[2]) == here
    corrected.edit('pl.col("price"))', 'pl.col("price") * 2)')
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    data = tidemark.json("diff", "lines", DAYS[2])
    assert (data["before"]["version"], data["cells"]) == (here["after"]["version"], {"value": 2})


@pytest.mark.slow
def test_a_candidate_that_its_gate_stopped_can_be_compared(corrected: Shop, tidemark: Command) -> None:
    """Before anybody lets it through: with what is live instead."""
    corrected.suite("lines", rule("expect_column_values_to_be_between", column="value", max_value=10))
    corrected.edit('key=["item"])\ndef lines', 'key=["item"], gate="lines")\ndef lines')
    corrected.deliver("orders", DAYS[2], csv("apple,100,0.75", "plum,1,1"))
    corrected.deliver("orders", DAYS[0], csv("apple,100,0.75"))
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 1
    assert "ever live: name two versions; there are: " in tidemark("diff", "lines", DAYS[0]).err
    account = tidemark.json("explain", "lines", DAYS[2])
    [candidate] = account["quarantined"]
    data = tidemark.json("diff", "lines", DAYS[2], account["live"]["version"][:12], candidate["version"][:12])
    assert data["changed"][0]["values"]["units"] == {"before": 3, "after": 100}
    assert not data["after"]["live"]


def test_a_text_is_compared_by_its_lines(corrected: Shop, tidemark: Command) -> None:
    corrected.edit("lines, naïve", "rows, naïve")
    tidemark("run", "shop", "--as-of", AS_OF)
    done = tidemark("diff", "label", DAYS[0])
    assert done.out.endswith("@@ -1 +1 @@\n-2 lines, naïve\n+2 rows, naïve\n")
    assert "by whole lines: 1 added, 1 removed; 1 lines before, 1 after" in done.out


def test_what_became_something_else_is_told_by_its_size(corrected: Shop, tidemark: Command) -> None:
    corrected.edit(') -> str:\n    return f"{lines.height} lines, naïve"', ') -> bytes:\n    return b"abc"')
    tidemark("run", "shop", "--as-of", AS_OF)
    done = tidemark("diff", "label", DAYS[0])
    assert "it was text, and is bytes" in done.out
    assert "15 bytes before, 3 after" in done.out


def test_other_columns_are_named(corrected: Shop, tidemark: Command) -> None:
    corrected.edit('value=pl.col("units") * pl.col("price")', 'value=pl.col("units"), more=pl.lit("x")')
    tidemark("run", "shop", "--as-of", AS_OF)
    done = tidemark("diff", "lines", DAYS[0])
    assert "column value is Int64, and was Float64\n" in done.out
    assert "column more was added (String)\n" in done.out


def test_rows_that_keep_their_order_are_compared_whole(corrected: Shop, tidemark: Command) -> None:
    """Their order is content: another order is told where it is all that changed."""
    corrected.edit('key=["item"])\ndef lines', "ordered=True)\ndef lines")
    tidemark("run", "shop", "--as-of", AS_OF)
    corrected.edit("return orders.with_columns", "return orders.reverse().with_columns")
    tidemark("run", "shop", "--as-of", AS_OF)
    data = tidemark.json("diff", "lines", DAYS[0])
    assert (data["by"], data["totals"]["added"], data["note"]) == ([], 0, "the rows are the same, in another order")


def test_values_of_personal_columns_are_masked(shop: Shop, tidemark: Command) -> None:
    """On the screen and as data; of sources and assets."""
    shop.define(
        ORDERS.replace('key=["item"]', 'key=["item"], pii=["item"]').replace('"orders",', '"orders", pii=["item"],')
    )
    for orders in (csv("apple,1,0.5"), csv("apple,2,0.5", "plum,1,1")):
        shop.deliver("orders", DAYS[0], orders)
        assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    for asset in ("orders", "lines"):
        done = tidemark("diff", asset, DAYS[0])
        data = json.dumps(tidemark.json("diff", asset, DAYS[0]))
        assert done.code == 0
        assert "•••" in done.out
        assert not [word for word in ("apple", "plum") if word in done.out + data]
        assert "1 added" in done.out or "2 added" in done.out


def test_a_long_list_of_rows_is_cut_and_says_how_to_see_all(corrected: Shop, tidemark: Command) -> None:
    corrected.deliver("orders", DAYS[2], csv(*(f"item{number},1,1" for number in range(30))))
    tidemark("run", "shop", "--as-of", AS_OF)
    assert "... and 10 more: --limit 30 shows all" in tidemark("diff", "lines", DAYS[2]).out
    data = tidemark.json("diff", "lines", DAYS[2], "--limit", "3")
    assert (data["totals"]["added"], len(data["added"])) == (30, 3)
    assert len(tidemark.json("diff", "lines", DAYS[2], "--limit", "30")["added"]) == 30


def test_data_that_is_gone_from_the_store_is_told(corrected: Shop, tidemark: Command) -> None:
    [before] = [
        each
        for each in corrected.made("lines", DAYS[2])
        if each.data_version.hex() == versions(tidemark, "lines", DAYS[2])[0]
    ]
    [blob] = [each for each in (corrected.home / "store").rglob("*") if each.parent.name + each.name == before.blob]
    Path(blob).unlink()
    done = tidemark("diff", "lines", DAYS[2])
    assert (done.code, done.out) == (1, "")
    assert (
        f"lines 2025-01-07: the data of version {before.data_version.hex()[:12]} is no longer in the store" in done.err
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([DAYS[0]], " is the only version that was ever live: there is nothing to compare it with"),
        (["2025-02-01"], "nothing is live for lines 2025-02-01, and there are no two versions"),
        ([DAYS[2], "abcd"], "name two versions, the earlier first, or none"),
        ([DAYS[2], "zz", "abcd"], "'zz' is no version"),
        ([DAYS[2], "ffffffff", "ffffffff"], "no version begins with 'ffffffff'; there are: "),
        ([DAYS[2], "--limit", "-1"], "'-1' is no number: 0 or more"),
        ([DAYS[2], "--limit", "x"], "'x' is no number: 0 or more"),
    ],
)
def test_what_cannot_be_compared_is_an_error_of_usage(
    corrected: Shop, tidemark: Command, words: list[str], says: str
) -> None:
    done = tidemark("diff", "lines", *words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
