"""Claims about the tree of causes: why a partition would run, why it has run, and why something is missing."""

import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gates import rule
from tests.scenario import Shop
from tidemark import interventions
from tidemark.causes import BREADTH, Cause, Code, Kind, code_causes
from tidemark.fingerprint import Component
from tidemark.telling import DEPTH

TABLES = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, expected=Calendar(),
                    due="1 day 02:00 UTC", schema={"k": str, "v": int})

    def scaled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(v=pl.col("v") * 2)

    @asset(partitions=DAYS, key=["k"])
    def lines(orders: pl.DataFrame, factor: int = 1) -> pl.DataFrame:
        return scaled(orders).with_columns(v=pl.col("v") * factor)

    @asset(partitions=DAYS, inputs={"lines": trailing(days=28)})
    def totals(lines: pl.DataFrame) -> pl.DataFrame:
        return lines.select(pl.col("v").sum())

    @asset(partitions=DAYS, inputs={"best": previous()})
    def best(lines: pl.DataFrame, best: pl.DataFrame | None) -> pl.DataFrame:
        return lines if best is None else pl.concat([lines, best]).group_by("k").agg(pl.col("v").sum())

    @asset(partitions=DAYS)
    def joined(lines: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([lines, orders])

    @asset(partitions=DAYS, inputs={"orders": last_known(days=3)})
    def label(orders: pl.DataFrame) -> str:
        return str(orders["v"].sum())
"""

DAYS = [f"2025-01-{day:02}" for day in range(1, 10)]


def told(causes: list[dict[str, Any]], depth: int = 0) -> Iterator[str]:
    """Each sentence of a tree, indented by dots; versions and instants, which no story knows, are left out."""
    for each in causes:
        said = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC in ", "", each["said"])
        said = re.sub(r"\(before: .*? UTC\)", "(before)", said)
        said = re.sub(r": [0-9a-f]{12} -> [0-9a-f]{12}", "", said)
        yield "." * depth + said
        yield from told(each["causes"], depth + 1)


def depth_of(causes: list[dict[str, Any]]) -> int:
    return 1 + max((depth_of(each["causes"]) for each in causes), default=-1) if causes else 0


def row(number: int) -> str:
    return f"k,v\na,{number}\n"


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    """Nine days of orders, after the first run."""
    shop.define(TABLES)
    for number, day in enumerate(DAYS, 1):
        shop.deliver("orders", day, row(number))
    shop.run()
    return shop


def why(shop: Shop, asset: str, key: str) -> list[str]:
    """Why it would run."""
    return list(told(shop.explain(asset, key)["causes"]))


def became(shop: Shop, asset: str, key: str) -> list[str]:
    """What made it what it is."""
    return list(told(shop.explain(asset, key)["became"]["causes"]))


# -- code and parameters


def test_an_edited_helper_is_named_with_its_file_and_line(open_shop: Shop) -> None:
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    account = open_shop.explain("lines", DAYS[0])
    assert account["why"] == "would run: code changed"
    [code] = account["causes"]
    line = next(
        n for n, text in enumerate((open_shop.dags / "shop.py").read_text().splitlines(), 1) if "def sc" in text
    )
    [cause] = code["causes"]
    assert cause["said"] == f"shop.scaled changed (shop.py:{line})"
    assert (cause["kind"], cause["file"], cause["line"]) == ("definition", str(open_shop.dags / "shop.py"), line)
    assert code["before"] == account["live"]["code"]["version"] != code["after"]


def test_git_says_who_edited_it(open_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        who = {"NAME": "Ada Lovelace", "EMAIL": "ada@example.org", "DATE": "2025-01-05T06:00:00Z"}
        given = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}
        command = ["git", "-C", str(open_shop.dags), *words]
        subprocess.run(command, check=True, env=os.environ | given, capture_output=True)

    git("init", "-q")
    git("add", "shop.py")
    git("commit", "-qm", "First shop")
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    assert why(open_shop, "lines", DAYS[0])[1].endswith(", not committed yet")
    git("commit", "-qam", "Three times as much")
    found = open_shop.explain("lines", DAYS[0])["causes"][0]["causes"][0]
    assert re.search(r"\), commit [0-9a-f]{12} by Ada Lovelace, 2025-01-05: Three times as much$", found["said"])
    assert (found["commit"]["author"], found["commit"]["subject"]) == ("Ada Lovelace", "Three times as much")


def test_a_parameter_is_told_with_both_values(open_shop: Shop) -> None:
    open_shop.edit("factor: int = 1", "factor: int = 3")
    assert "parameter factor: 1 -> 3" in why(open_shop, "lines", DAYS[0])
    open_shop.run()
    assert "parameter factor: 1 -> 3" in became(open_shop, "lines", DAYS[0])


def test_an_upgraded_package_is_told_with_both_versions() -> None:
    function = (Component("shop.f", "shop.py", 1, b"f"),)
    before, now = (Code(version.encode(), function, (("polars", version), ("same", "1"))) for version in ("1.0", "2.0"))
    assert [(each.kind, each.said) for each in code_causes(before, now)] == [
        (Kind.DISTRIBUTION, "package polars: 1.0 -> 2.0")
    ]


@pytest.mark.parametrize(("before", "now"), [("shop:1", "shop:2"), (None, "shop:1"), ("shop:1", None)])
def test_another_image_is_told_and_the_packages_that_it_stands_for_are_not(before: str | None, now: str | None) -> None:
    """What is installed where one asks says nothing of what an image has."""
    function = (Component("shop.f", "shop.py", 1, b"f"),)

    def code(image: str | None) -> Code:
        return Code(str(image).encode(), function, () if image else (("polars", "1.0"),), image=image)

    assert [(each.kind, each.said, each.before, each.after) for each in code_causes(code(before), code(now))] == [
        (Kind.IMAGE, f"image {before or 'none'} -> {now or 'none'}", before, now)
    ]


def test_a_long_list_of_definitions_is_cut() -> None:
    many = tuple(Component(f"shop.f{number}", None, None, b"") for number in range(BREADTH + 3))
    found = list(code_causes(Code(b"1", many, ()), Code(b"2", (), ())))
    assert [each.said for each in found[-2:]] == ["shop.f4 removed", "and 3 more"]


def test_another_key_to_sort_by_is_a_reason_of_its_own(open_shop: Shop) -> None:
    """It is in the action key, and in neither code, parameters nor inputs."""
    open_shop.edit('@asset(partitions=DAYS, key=["k"])\ndef lines', "@asset(partitions=DAYS)\ndef lines")
    assert open_shop.explain("lines", DAYS[0])["why"] == "would run: key= or ordered= changed"
    assert why(open_shop, "lines", DAYS[0]) == ["key= or ordered= changed"]
    assert {item.reason for item in open_shop.planned().items if item.asset == "lines"} == {"key= or ordered= changed"}


@pytest.mark.parametrize("mapping", ["trailing(days=2)", "trailing(days=4)", "last_known(days=3)"])
def test_another_mapping_is_told_with_what_it_was(open_shop: Shop, mapping: str) -> None:
    """And of what is read no longer, or not before, nothing: it has neither gone nor arrived."""
    open_shop.edit("trailing(days=28)", "trailing(days=3)")
    open_shop.run()
    open_shop.edit("trailing(days=3)", mapping)
    reason = f"lines is read by {mapping}, before by trailing(days=3)"
    assert why(open_shop, "totals", DAYS[6]) == [reason]
    (item,) = (each for each in open_shop.planned().items if (each.asset, each.key) == ("totals", DAYS[6]))
    assert item.reason == reason


def test_what_changed_besides_the_mapping_is_told_too(open_shop: Shop) -> None:
    open_shop.edit("trailing(days=28)", "trailing(days=3)")
    open_shop.run()
    open_shop.deliver("orders", DAYS[5], row(30))
    open_shop.run()
    open_shop.hold("totals")
    open_shop.deliver("orders", DAYS[5], row(31))
    open_shop.run()
    open_shop.edit("trailing(days=3)", "trailing(days=2)")
    open_shop.release("totals")
    (item,) = (each for each in open_shop.planned().items if (each.asset, each.key) == ("totals", DAYS[6]))
    assert item.reason == "lines is read by trailing(days=2), before by trailing(days=3), lines 2025-01-06 changed"


# -- inputs


def test_a_corrected_file_is_told_down_to_its_delivery(open_shop: Shop) -> None:
    """Before the run from what is still to be computed, after it from what was computed."""
    open_shop.deliver("orders", DAYS[2], row(30))
    open_shop.planned()
    assert why(open_shop, "totals", DAYS[3]) == [
        "lines 2025-01-03 will run",
        ".orders 2025-01-03 changed",
        "..orders/2025-01-03.csv was delivered again with other content (before), seen plan by tester",
    ]
    open_shop.run()
    assert became(open_shop, "totals", DAYS[3]) == [
        "lines 2025-01-03 changed",
        ".orders 2025-01-03 changed",
        "..orders/2025-01-03.csv was delivered again with other content (before), seen plan by tester",
    ]


def test_what_came_first_names_the_last_delivery_that_it_waited_for(open_shop: Shop) -> None:
    assert became(open_shop, "totals", DAYS[3]) == [
        "computed for the first time, run 1 by tester; the last of what it is made from was orders 2025-01-04",
        ".orders/2025-01-04.csv was delivered, seen run 1 by tester",
    ]


def test_a_substitute_is_told_with_what_it_stands_in_for_and_why(open_shop: Shop) -> None:
    open_shop.withdraw("orders", DAYS[3])
    open_shop.run()
    assert became(open_shop, "label", DAYS[3]) == [
        "orders 2025-01-04 is gone, 2025-01-03 stands in",
        ".withdrawn, seen run 2 by tester",
    ]
    assert list(told(open_shop.explain("label", DAYS[3])["lacks"])) == [
        "orders 2025-01-04: missing: expected, due 2025-01-05 02:00 UTC, and not there",
        "orders 2025-01-03 stands in for orders 2025-01-04",
    ]
    open_shop.deliver("orders", DAYS[3], row(4))
    open_shop.run()
    assert became(open_shop, "label", DAYS[3]) == [
        "orders 2025-01-04 arrived",
        ".orders/2025-01-04.csv was delivered, seen run 3 by tester",
    ]


def test_a_mark_that_comes_through_an_input_says_why(open_shop: Shop) -> None:
    """Of a rejected delivery the file's fault; and that the last good one stands in for its readers."""
    open_shop.deliver("orders", DAYS[3], "k\na\n")
    open_shop.run()
    [lack] = told(open_shop.explain("totals", DAYS[5])["lacks"])
    assert lack.startswith("orders 2025-01-04: rejected: the last good delivery stays live: ")
    assert "column 'v' is missing" in lack
    assert list(told(open_shop.explain("lines", DAYS[3])["lacks"]))[1:] == [
        "the last good version of orders 2025-01-04 stands in for its newest"
    ]


def test_what_failed_says_why_it_was_computed(open_shop: Shop) -> None:
    open_shop.deliver("orders", DAYS[8], row(90))
    open_shop.breaks("lines", DAYS[8])
    for _ in range(2):
        open_shop.run()
    found = list(told(open_shop.explain("totals", DAYS[8])["lacks"]))
    assert found[0].startswith("lines 2025-01-09: failed 2 times: RuntimeError: broken on purpose")
    assert found[1] == ".orders 2025-01-09 changed"
    assert found[-1] == "the last good version of lines 2025-01-09 stands in for its newest"


def test_a_head_that_failed_itself_lacks_nothing_else(open_shop: Shop) -> None:
    """What failed is in its account already, and no input of its own."""
    open_shop.deliver("orders", DAYS[8], row(90))
    open_shop.breaks("lines", DAYS[8])
    open_shop.run()
    account = open_shop.explain("lines", DAYS[8])
    assert (account["provisional_for"], account["lacks"]) == (["lines 2025-01-09"], [])
    [lack] = told(open_shop.explain("totals", DAYS[8])["lacks"])
    assert re.match(r"lines 2025-01-09: failed once \(RuntimeError: broken on purpose.*\): tried once more$", lack)


def test_what_waits_says_for_what(open_shop: Shop) -> None:
    open_shop.withdraw("orders", DAYS[8])
    open_shop.run()
    assert why(open_shop, "lines", DAYS[8]) == [
        "orders 2025-01-09: missing: expected, due 2025-01-10 02:00 UTC, and not there"
    ]


def test_a_change_of_marks_alone_made_nothing_live(open_shop: Shop) -> None:
    """A head is told by what brought it, also after marks on it came and went."""
    open_shop.withdraw("orders", DAYS[3])
    open_shop.run()
    open_shop.declare_absent("orders", DAYS[3])
    assert open_shop.history("label", DAYS[3])[-1]["reason"] == "final now"
    found = open_shop.explain("label", DAYS[3])["became"]
    assert (found["reason"], found["run"]) == ("computed: orders 2025-01-04 is gone, 2025-01-03 stands in", "run 2")


# -- what is bounded


def test_what_many_partitions_share_is_told_once(open_shop: Shop) -> None:
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    said = why(open_shop, "totals", DAYS[8])
    assert said[:2] == ["lines 2025-01-01 will run", ".code of lines changed"]
    assert said[3:] == ["lines 2025-01-02, 2025-01-03, 2025-01-04 and 5 more will or may run likewise"]
    open_shop.run()
    said = became(open_shop, "totals", DAYS[8])
    assert said[:2] == ["lines 2025-01-01 changed", ".code of lines changed"]
    assert said[3:] == ["lines 2025-01-02, 2025-01-03, 2025-01-04 and 5 more changed likewise"]


def test_what_brings_nothing_new_is_cut_to_a_word(open_shop: Shop) -> None:
    """Its past changed for the same edit as the day itself."""
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    open_shop.run()
    said = became(open_shop, "best", DAYS[8])
    assert said[:2] == ["lines 2025-01-09 changed", ".code of lines changed"]
    assert len(said) == 4
    assert said[3].startswith("best 2025-01-08 changed")
    assert said[3].endswith(", and so has its own past back to 2025-01-01, as told above")


def test_a_tree_of_very_many_partitions_is_cut(open_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, day in enumerate(DAYS):
        open_shop.deliver("orders", day, row(100 + number))
    open_shop.run()
    monkeypatch.setattr("tidemark.telling.MOST", 4)
    said = became(open_shop, "totals", DAYS[8])
    assert sum("was delivered" in each for each in said) == 2
    assert ".and so on: 'tidemark explain' of this one goes on from here" in said


def test_what_each_has_for_itself_is_told_up_to_a_few(open_shop: Shop) -> None:
    for number, day in enumerate(DAYS):
        open_shop.deliver("orders", day, row(100 + number))
    open_shop.run()
    found = open_shop.explain("totals", DAYS[8])["became"]["causes"]
    assert [each["partition"] for each in found] == [*DAYS[:BREADTH], None]
    assert found[-1]["said"] == "and 4 more"


def test_an_assets_own_past_is_followed_to_where_the_change_came_in(open_shop: Shop) -> None:
    """The days between have no other reason, and are not told one by one."""
    open_shop.deliver("orders", DAYS[1], row(20))
    open_shop.planned()
    delivered = "orders/2025-01-02.csv was delivered again with other content (before), seen plan by tester"
    assert why(open_shop, "best", DAYS[8]) == [
        "best 2025-01-08 may run, and so does its own past back to 2025-01-02",
        ".lines 2025-01-02 will run",
        "..orders 2025-01-02 changed",
        f"...{delivered}",
    ]
    open_shop.run()
    assert [each.replace(" changed,", "") for each in became(open_shop, "best", DAYS[8])] == [
        "best 2025-01-08 and so has its own past back to 2025-01-02",
        ".lines 2025-01-02 changed",
        "..orders 2025-01-02 changed",
        f"...{delivered}",
    ]


def test_a_past_that_is_closed_or_held_is_said_to_stay(open_shop: Shop) -> None:
    """The chain is followed no further: what is closed does not run, though its marks may change."""
    open_shop.edit(
        '@asset(partitions=DAYS, inputs={"best"', '@asset(partitions=DAYS, closes_after="3 days", inputs={"best"'
    )
    open_shop.deliver("orders", DAYS[1], row(20))
    open_shop.planned()
    assert why(open_shop, "best", DAYS[8]) == [
        "best 2025-01-08 may run, and so does its own past back to 2025-01-07",
        ".best 2025-01-06 stays as it is (closed: its period ended too long ago); only its marks may change",
    ]


CHAIN = "\n".join(
    f"""
    @asset(partitions=DAYS)
    def step{number}(step{number - 1}: str) -> str:
        return step{number - 1}
"""
    for number in range(1, DEPTH + 6)
)


def test_a_deep_tree_is_cut_and_says_how_to_go_on(shop: Shop) -> None:
    shop.define(
        'step0 = source("step0", files="step0/{partition}.txt", partitions=DAYS)\n' + CHAIN.replace("\n    ", "\n")
    )
    shop.deliver("step0", DAYS[0], "a")
    shop.run()
    shop.deliver("step0", DAYS[0], "b")
    shop.run()
    causes = shop.explain(f"step{DEPTH + 5}", DAYS[0])["became"]["causes"]
    assert depth_of(causes) == DEPTH + 2
    assert list(told(causes))[-1].endswith("and so on: 'tidemark explain' of this one goes on from here")
    assert list(told(shop.explain("step2", DAYS[0])["became"]["causes"]))[-1].startswith("..step0/2025-01-01.txt was")


# -- gates


def test_a_changed_suite_is_named_by_its_file(shop: Shop) -> None:
    shop.suite("lines", rule("expect_column_values_to_be_between", column="v", max_value=100))
    shop.define(TABLES.replace('key=["k"])', 'key=["k"], gate="lines")'))
    shop.deliver("orders", DAYS[0], row(1))
    shop.run()
    shop.suite("lines", rule("expect_column_values_to_be_between", column="v", max_value=200))
    account = shop.explain("lines", DAYS[0])
    assert account["why"] == "would be checked: the gate 'lines' changed"
    assert list(told(account["causes"])) == ["the gate 'lines' has not seen this data as it is now: lines.json"]


def test_what_a_gate_stopped_says_at_which_expectation(open_shop: Shop) -> None:
    """To who reads it, too."""
    open_shop.suite("lines", rule("expect_column_values_to_be_between", column="v", max_value=100))
    open_shop.edit('key=["k"])', 'key=["k"], gate="lines")')
    open_shop.run()
    open_shop.deliver("orders", DAYS[8], row(500))
    open_shop.run()
    found = list(told(open_shop.explain("totals", DAYS[8])["lacks"]))
    assert found[0].startswith("lines 2025-01-09: its candidate ")
    assert re.match(r"\.the gate 'lines' stopped its candidate [0-9a-f]{12}$", found[1])
    assert found[2].startswith("..critical: ")
    assert "1000" in found[2]


# -- people, other pipelines, environments


def test_a_restored_version_names_the_person_and_the_reason(open_shop: Shop) -> None:
    before = open_shop.versions("lines")[DAYS[0]]
    open_shop.deliver("orders", DAYS[0], row(10))
    open_shop.run()
    with open_shop.deployment() as deployment:
        pipeline = open_shop.pipelines["shop"]
        interventions.restore(deployment, pipeline, "lines", DAYS[0], before, why="wrong price", actor="ada")
    assert became(open_shop, "lines", DAYS[0]) == ["restored: wrong price, restore by ada"]
    account = open_shop.explain("lines", DAYS[0])
    assert account["why"].endswith("else it would run: orders 2025-01-01 changed")
    assert [each["kind"] for each in account["causes"]] == ["input"]


def test_an_earlier_code_that_comes_back_is_known(open_shop: Shop) -> None:
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    open_shop.run()
    open_shop.edit('pl.col("v") * 3', 'pl.col("v") * 2')
    account = open_shop.explain("lines", DAYS[0])
    assert account["why"] == "would be brought back without running: code changed, result known"
    said = list(told(account["causes"]))
    assert said[0] == "code of lines changed"
    assert re.match(r"the same was computed before: [0-9a-f]{12}, run 1 by tester; it is brought back", said[-1])


def test_a_change_in_another_pipeline_is_told_down_to_the_delivery(open_shop: Shop) -> None:
    open_shop.define(
        """
        @asset(partitions=DAYS, inputs={"lines": ref("lines")})
        def report(lines: pl.DataFrame) -> str:
            return str(lines["v"].sum())
        """,
        name="reports",
    )
    open_shop.run("reports")
    open_shop.deliver("orders", DAYS[0], row(10))
    open_shop.run()
    open_shop.run("reports")
    assert [each.lstrip(".").partition(" ")[0] for each in became(open_shop, "report", DAYS[0])] == [
        "lines",
        "orders",
        "orders",
    ]
    open_shop.deliver("orders", DAYS[8], "k\na\n")
    open_shop.run()
    open_shop.run("reports")
    assert list(told(open_shop.explain("report", DAYS[8])["lacks"])) == [
        "orders 2025-01-09: of the pipeline shop, which knows why"
    ]


def test_a_branch_tells_what_prod_has_made(open_shop: Shop) -> None:
    open_shop.deliver("orders", DAYS[0], row(10))
    open_shop.run()
    open_shop.environment = "try"
    assert became(open_shop, "lines", DAYS[0])[0] == "orders 2025-01-01 changed"


def test_what_a_branch_computes_is_compared_with_what_it_took_from_prod(open_shop: Shop) -> None:
    """It was no first computation there: the branch has shown what prod had."""
    open_shop.environment = "try"
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    open_shop.run()
    assert became(open_shop, "lines", DAYS[0])[0] == "code of lines changed"
    open_shop.environment = "prod"
    assert became(open_shop, "lines", DAYS[0])[0].startswith("computed for the first time")


def test_what_is_brought_back_above_is_not_said_to_run(open_shop: Shop) -> None:
    open_shop.edit('pl.col("v") * 2', 'pl.col("v") * 3')
    open_shop.run()
    open_shop.edit('pl.col("v") * 3', 'pl.col("v") * 2')
    assert why(open_shop, "totals", DAYS[0])[0] == "lines 2025-01-01 is brought back without running"


# -- agreement


@pytest.mark.parametrize("late", [False, True])
def test_explain_and_plan_say_the_same(open_shop: Shop, late: bool) -> None:
    """Of each partition: whether it will or may run, and why."""
    open_shop.deliver("orders", DAYS[2], row(30))
    open_shop.edit("factor: int = 1", "factor: int = 2") if late else open_shop.withdraw("orders", DAYS[6])
    plan = open_shop.planned()
    assert {item.certainty.value for item in plan.items} == {"will", "may"}
    # What it reads besides is still to be computed, but it runs whatever comes out of that.
    assert ("joined", DAYS[2], "will") in {(item.asset, item.key, item.certainty.value) for item in plan.items}
    words = {"will": "would", "may": "may"}
    for item in plan.items:
        # What cannot run says why; the plan holds it for its marks.
        stays = item.reason.endswith("; only its marks may change")
        told = item.reason.removesuffix("; only its marks may change")
        said = told if stays else f"{words[item.certainty.value]} run: {told}"
        assert open_shop.explain(item.asset, item.key)["why"] == said


def test_every_cause_has_the_same_keys() -> None:
    inner = Cause(Kind.MORE, "and 3 more")
    data = Cause(Kind.CODE, "code changed", causes=(inner,)).to_json()
    assert data.keys() == data["causes"][0].keys()
    assert list(data) == [
        "kind",
        "said",
        "asset",
        "partition",
        "before",
        "after",
        "file",
        "line",
        "commit",
        "causes",
    ]
