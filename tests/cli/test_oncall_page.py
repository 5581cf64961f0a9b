"""Claims about docs/on-call.md and ``tidemark incident``: what the page shows is what the command says."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from samples.unhappy import deliver, negative_rate
from tests.cli.conftest import AS_OF, Command
from tests.cli.test_command_page import ROOT, check_example, examples, settle_in
from tests.incidents.test_handling import broken
from tests.scenario import Shop
from tidemark.ledger import notices

PAGE = ROOT / "docs" / "on-call.md"
REFUSED = "tidemark: "


@pytest.mark.slow
def test_the_story_of_the_page_runs_and_says_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Rates with a negative one of them, until the file is corrected; `...` stands for anything."""
    rates = settle_in(tmp_path, monkeypatch, days=4) / "fx_rates" / "2011-06-30.csv"
    tidemark = Command(capsysbinary)
    assert tidemark("run", "price_list").code == 0
    good = rates.read_bytes()
    deliver(rates, negative_rate(good))
    assert tidemark("run", "price_list").code == 1
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        if section.startswith("When it is over"):
            deliver(rates, good)
            assert tidemark("run", "price_list").code == 0
        for command, shown in examples(section):
            if shown.startswith(REFUSED):
                said = re.escape(shown.strip()).replace(r"\.\.\.", ".*")
                assert re.fullmatch(said, _refused(tidemark, command).strip()), command
            else:
                check_example(tidemark, command, shown)


def _refused(tidemark: Command, command: str) -> str:
    done = tidemark(*shlex.split(command)[1:])
    assert done.code == 2
    return done.err


@pytest.fixture
def incident(shop: Shop, tidemark: Command) -> int:
    """One open incident."""
    return broken(shop)


def test_a_program_is_told_all_that_a_person_is(tidemark: Command, incident: int) -> None:
    (line,) = tidemark.json("incident", "list")
    assert (line["number"], line["state"], line["cause"], line["owner"]) == (incident, "open", "gate_failed", "intake")
    assert line["silenced"] is None
    found = tidemark.json("incident", "show", str(incident))
    assert {**found, **line} == found
    assert found["rows"][0]["v"] == -7.0
    assert [each["asset"] for each in found["reach"]] == ["lines", "totals", "trend"]
    assert (ROOT / found["runbook"]).exists()
    assert [(each["kind"], each["routed"], each["channel"]) for each in found["sent"]] == [("opened", False, None)]
    assert tidemark.json("incident", "ack", str(incident), "--why", "on it")["acknowledged_by"] == "ada"
    made = tidemark.json("incident", "silence", str(incident), "--for", "4 hours", "--why", "known")
    assert (made["what"], made["quiet"]) == ("gate_failed of orders in shop", [incident])
    (silence,) = tidemark.json("incident", "silences")
    assert {**made, **silence} == made
    (line,) = tidemark.json("incident", "list")
    assert (line["state"], line["silenced"]) == ("acknowledged", silence)
    assert tidemark.json("incident", "lift", str(silence["number"]), "--why", "over")["heard"] == [incident]
    assert tidemark.json("incident", "silences") == []
    assert tidemark.json("incident", "resolve", str(incident), "--why", "over")["number"] == incident
    assert tidemark.json("incident", "list") == []
    assert [each["state"] for each in tidemark.json("incident", "list", "--all")] == ["resolved"]


def test_who_was_told_and_what_could_not_be_sent_is_shown(shop: Shop, tidemark: Command, incident: int) -> None:
    """Each notice in each channel."""
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        (opened,) = notices.unrouted(connection, 10)
        notices.route(connection, opened.id, ["mail", "chat", "pager"], datetime.now(UTC))
        mail, chat, _ = notices.pending(connection)
        notices.finish(connection, mail.id, notices.SENT)
        notices.postpone(connection, chat.id, datetime.now(UTC), "503: try later")
    shown = tidemark("incident", "show", str(incident)).out
    assert re.search(r"opened +│ mail +│ sent ", shown)
    assert re.search(r"opened +│ chat +│ not sent yet, failed 1 times +│ 503: try later", shown)
    assert re.search(r"opened +│ pager +│ not sent yet +│ ", shown)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ack", "77", "--why", "x"], "there is no incident 77"),
        (["show", "77"], "there is no incident 77"),
        (["ack", "first", "--why", "x"], "'first' is no number"),
        (["ack", "1"], "required: --why"),
        (["silence", "1", "--asset", "orders", "--for", "4 hours", "--why", "x"], "not both"),
        (["silence", "1", "--why", "x"], "a silence without an end is forgotten"),
        (["silence", "--cause", "drifts", "--for", "4 hours", "--why", "x"], "did you mean 'drift'?"),
        (["lift", "5", "--why", "x"], "no silence 5 is in force: there is none"),
        ([], "required: COMMAND"),
    ],
)
def test_what_is_not_understood_is_told_with_the_exit_code_of_usage(
    tidemark: Command, incident: int, words: list[str], said: str
) -> None:
    done = tidemark("incident", *words)
    assert done.code == 2
    assert said in done.err


def test_what_depends_on_it_is_counted_and_nothing_is_said_in_words(tidemark: Command, incident: int) -> None:
    shown = tidemark("incident", "show", str(incident)).out
    assert "asset trend in shop: 3 partitions lack it, 2025-01-05 .. 2025-01-07" in shown
    assert "asset lines in shop: 2025-01-05 lacks it" in shown
    assert tidemark("incident", "silences").out == "nothing is silenced\n"


def test_a_run_from_the_command_line_tells_what_it_has_repaired(delivered: Shop, tidemark: Command) -> None:
    """As one of Airflow's does, and nobody is woken."""
    late = delivered.file("orders", "2025-01-06").read_text()
    delivered.withdraw("orders", "2025-01-06")
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    delivered.deliver("orders", "2025-01-06", late)
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    with delivered.deployment() as deployment, deployment.ledger.read() as connection:
        (told,) = notices.unrouted(connection, 10)
    assert (told.kind, told.topic, told.severity) == ("information", "repaired", "info")
    assert told.payload["repaired"] == [{"asset": "totals", "count": 1, "first": "2025-01-07", "last": "2025-01-07"}]
