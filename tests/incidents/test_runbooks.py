"""Claims about docs/runbooks: a page for each cause class, and everything that it names is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gates import rule
from tests.incidents.story import open_incidents, told
from tests.incidents.test_troubles import BAD, DAYS, GOOD, gated
from tests.scenario import ROOT, Shop
from tidemark import interventions
from tidemark.catalog import load_catalog
from tidemark.cli.main import build_parser
from tidemark.config import in_force
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.topics import Topic
from tidemark.survey import Selection

FOLDER = ROOT / "docs" / "runbooks"
RUNBOOKS = sorted(FOLDER.glob("*.md"))
PAGES = [*RUNBOOKS, ROOT / "docs" / "on-call.md"]
HEADINGS = ["How to see it", "How to mend it", "How to know that it is over"]

FORMS = {"acknowledge_incident", "silence_incidents", "resolve_incident"}
# Single words in backquotes that are none of ours: programs, and folders.
OTHERS = {"cache", "data_docs"}


def spans(page: Path) -> list[str]:
    """What stands between backquotes."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", text)


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of ours that a page names, as words; capitals stand for what is to be filled in."""
    for span in spans(page):
        if span.startswith("tidemark "):
            yield ["1" if word == "NUMBER" else word for word in shlex.split(span)[1:]]


def test_every_cause_class_has_its_runbook_and_no_runbook_is_without_one() -> None:
    assert {page.stem for page in RUNBOOKS} - {"README"} == {each.value for each in CauseClass}
    index = (FOLDER / "README.md").read_text()
    for each in CauseClass:
        (line,) = (line for line in index.splitlines() if line.startswith(f"| [{each}]({each}.md) |"))
        assert f"| {each.said.severity}" in line


@pytest.mark.parametrize("cause", CauseClass)
def test_a_runbook_says_how_to_see_it_how_to_mend_it_and_how_to_know_that_it_is_over(cause: CauseClass) -> None:
    text = (FOLDER / f"{cause}.md").read_text()
    assert text.startswith(f"# {cause}: ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert all(len(part.strip()) > 60 for part in re.split(r"^## .*$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_that_a_runbook_names_is_understood(page: Path) -> None:
    for words in commands(page):
        try:
            build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: tidemark {shlex.join(words)}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_dag_and_asset_that_a_runbook_names_is_there(page: Path) -> None:
    catalog = load_catalog(ROOT / "dags")
    known = {each.value for each in (*CauseClass, *Topic)} | FORMS | OTHERS | {"plan", "verdict"}
    known |= {member.name for each in catalog.pipelines.values() for member in each.members} | catalog.pipelines.keys()
    for span in spans(page):
        if re.fullmatch(r"TIDEMARK_[A-Z_]+", span):
            assert span in in_force(), span
        elif re.fullmatch(r"[a-z_]+", span):
            assert span in known, span
        elif re.fullmatch(r"[a-z_]+/", span):
            assert (ROOT / span).is_dir(), span
        elif re.fullmatch(r"[a-z_]+=", span):  # a setting of a definition
            assert span in {"expected=", "due=", "schema=", "limits=", "deadline="}, span


@pytest.mark.parametrize("command", ["incident", "model", "run", "absent", "hold"])
def test_the_runbooks_need_the_commands_that_they_are_tested_for(command: str) -> None:
    """A page whose commands nobody finds would pass in silence."""
    assert any(words[0] == command for page in RUNBOOKS for words in commands(page))


# -- what they say works


def test_a_bad_file_that_is_declared_absent_is_over_with_the_next_run(shop: Shop) -> None:
    """As gate_failed and source_malformed say; a last good file stays in use."""
    gated(shop)
    shop.deliver("orders", DAYS[0], GOOD)
    told(shop)
    shop.deliver("orders", DAYS[0], BAD)
    shop.deliver("orders", DAYS[1], "nonsense\n1\n")
    told(shop)
    assert set(open_incidents(shop)) == {"orders gate_failed", "orders source_malformed"}
    for day in DAYS[:2]:
        shop.declare_absent("orders", day)
    told(shop)
    assert open_incidents(shop) == {}
    assert set(shop.heads("orders")) == {"2025-01-04", DAYS[0]}


def test_a_rule_that_was_wrong_is_mended_in_the_suite_and_nothing_is_computed(shop: Shop) -> None:
    shop.suite("sums", rule("expect_column_values_to_be_between", "critical", column="v", max_value=1))
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": float})

        @asset(partitions=DAYS, gate="sums")
        def sums(orders: pl.DataFrame) -> pl.DataFrame:
            return orders
    """)
    shop.deliver("orders", DAYS[0], "v\n2\n")
    told(shop)
    assert set(open_incidents(shop)) == {"sums gate_failed"}
    shop.suite("sums", rule("expect_column_values_to_be_between", "critical", column="v", max_value=5))
    told(shop)
    assert open_incidents(shop) == {}
    assert shop.ran == {}


def test_a_hiccup_is_over_when_the_partition_is_forced(shop: Shop) -> None:
    """As asset_failed says: the next plan tries once more, after that a person has to say so; a hold stops that."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def lines(orders: str) -> str:
            return orders
    """)
    shop.deliver_days("orders", DAYS[0])
    shop.breaks("lines")
    for _ in range(3):
        told(shop)
    assert shop.called("lines", DAYS[0]) == 2
    shop.mends("lines")
    with shop.deployment() as deployment:
        pipeline = shop.pipelines["shop"]
        interventions.hold(deployment, pipeline, "lines", DAYS[0], why="waits for release 12", actor="ann")
        interventions.release_hold(deployment, pipeline, "lines", DAYS[0], why="released", actor="ann")
    assert set(open_incidents(shop)) == {"lines asset_failed"}
    told(shop, selection=Selection(force=frozenset([("lines", DAYS[0])])))
    assert open_incidents(shop) == {}
