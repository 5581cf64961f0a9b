"""The file that says who is told what: what it can say, and one clear sentence for each thing that it cannot."""

import copy
import logging
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerting.board import BAD, Diary
from tidemark.alerting import Alerting, load_alerting
from tidemark.alerting.routes import Route, parse_hours, routed
from tidemark.alerting.samples import sample_incident
from tidemark.config import settings
from tidemark.errors import UsageError
from tidemark.incidents.classes import CauseClass
from tidemark.ledger.incidents import Incident

GOOD = """
channels:
  on-call: {mail: [on-call@shop.test]}
  team: {mail: team@shop.test}
  pager: {pagerduty: $PAGERDUTY_KEY, region: eu, then: on-call}
  chat: {apprise: $SLACK_URL, then: on-call}
  hook: {webhook: https://hooks.shop.test/in, secret: $HOOK_SECRET, then: chat}
routes:
  - {severity: critical, hours: "Mon-Fri 08:00-18:00 Europe/London", channels: [chat]}
  - {owner: pricing, pipeline: [price_list, demand_model], channels: [pager, hook]}
  - {cause: [source_late], channels: []}
  - {channels: [on-call]}
subscriptions:
  - {topics: [model_promoted, repaired, report, drift], channels: [team]}
  - {pipeline: price_list, channels: [hook]}
updates: 30 minutes
links: {runbooks: "https://git.shop.test/docs/runbooks/", airflow: "https://airflow.shop.test"}
"""
SECRETS = {
    "PAGERDUTY_KEY": "0123456789abcdef0123456789abcdef",
    "SLACK_URL": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7Fq/#ops",
    "HOOK_SECRET": "hunter2-hunter2",
}

Load = Callable[..., Alerting]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads a text as the file, with the secrets at hand."""

    def load(text: str, **environ: str) -> Alerting:
        file = tmp_path / "alerts.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        given = settings({"TIDEMARK_HOME": str(tmp_path), "TIDEMARK_ALERTS": str(file)})
        return load_alerting(given, mailing=lambda to: Diary(), environ=SECRETS | environ)

    return load


def incident(**changes: str) -> Incident:
    return sample_incident("prod", datetime(2011, 1, 6, tzinfo=UTC))._replace(**changes)  # type: ignore[arg-type]


def test_it_says_who_is_told_by_what_it_is_whose_and_when(load: Load) -> None:
    """The first route that fits decides, alone."""
    alerting = load(GOOD)
    office, night = datetime(2011, 1, 6, 8, tzinfo=UTC), datetime(2011, 1, 6, 18, tzinfo=UTC)
    assert routed(alerting.routes, incident(), office) == ["chat"]
    assert routed(alerting.routes, incident(), night) == ["on-call"]
    assert routed(alerting.routes, incident(owner="pricing"), night) == ["pager", "hook"]
    assert routed(alerting.routes, incident(owner="pricing", pipeline="other"), night) == ["on-call"]
    assert routed(alerting.routes, incident(cause="source_late", severity="warning"), night) == []
    assert alerting.updates == timedelta(minutes=30)
    assert alerting.links.runbook("drift") == "https://git.shop.test/docs/runbooks/drift.md"
    assert [each.name for each in alerting.lines.values() if each.pages] == ["pager"]
    assert alerting.lines["hook"].then == "chat"


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("Mon-Fri 08:00-18:00 Europe/London", ["06-03 07:00", "06-03 16:59"], ["06-03 06:59", "06-05 10:00"]),
        ("Mon-Fri 08:00-18:00 Europe/London", ["06-03 12:00"], ["06-03 17:00"]),
        ("Sat,Sun 00:00-12:00 UTC", ["06-05 00:00"], ["06-03 00:00", "06-05 12:00"]),
        ("22:00-06:00 UTC", ["06-03 22:00", "06-03 05:59"], ["06-03 06:00", "06-03 21:59"]),
        ("Fri 22:00-06:00 UTC", ["06-03 23:00", "06-04 05:00"], ["06-03 05:00", "06-04 23:00"]),
        ("fri-mon 00:00-23:59 UTC", ["06-03 10:00", "06-06 10:00"], ["06-02 10:00", "06-07 10:00"]),
    ],
)  # fmt: skip
def test_hours_are_a_part_of_the_week_by_a_zones_clock(hours: str, inside: list[str], outside: list[str]) -> None:
    """June 3 of 2011 is a Friday, and London is an hour ahead of UTC; a night belongs to the day on which it begins."""

    def held(text: str) -> bool:
        return parse_hours(hours).hold(datetime.fromisoformat(f"2011-{text}+00:00"))

    assert all(map(held, inside))
    assert not any(map(held, outside))


WRONG = {
    "no YAML": ("channels: {", "it is no YAML"),
    "no keys": ("- a", "it has no keys; write channels, links"),
    "an unknown key": (GOOD + "chanels: {}\n", "the file: there is no key 'chanels': did you mean 'channels'?"),
    "a key twice": (GOOD + "updates: 1 hour\n", "line 18: 'updates' is there twice; keep one of them"),
    "a channel twice": (
        GOOD.replace("  team: {", "  chat: {mail: a@b.test}\n  team: {"),
        "line 7: 'chat' is there twice",
    ),
    "no channel of that name": (
        GOOD.replace("[pager, hook]", "[pagr, hook]"),
        "routes, entry 2.channels: there is no channel 'pagr': did you mean 'pager'?",
    ),
    "no such severity": (
        GOOD.replace("severity: critical", "severity: critcal"),
        "routes, entry 1.severity: there is no 'critcal': did you mean 'critical'?",
    ),
    "information as a route": (GOOD.replace("severity: critical", "severity: info"), "goes by subscription"),
    "no such cause": (GOOD.replace("[source_late]", "[source_lat]"), "did you mean 'source_late'?"),
    "no such topic": (
        GOOD.replace("repaired, report", "repared, report"),
        "subscriptions, entry 1.topics: there is no 'repared': did you mean 'repaired'?",
    ),
    "hours that are none": (GOOD.replace("08:00-18:00", "8-18"), "routes, entry 1.hours: 'Mon-Fri 8-18 Europe/London'"),
    "an hour that is none": (GOOD.replace("18:00 Eu", "25:00 Eu"), "are no hours: hour must be in 0..23"),
    "a day that is none": (GOOD.replace("Mon-Fri", "Mon-Fry"), "'Fry' is no day of the week"),
    "a zone that is none": (GOOD.replace("Europe/London", "Europe/Londn"), "No time zone found with key Europe/Londn"),
    "a secret in the file": (
        GOOD.replace("$HOOK_SECRET", "hunter2-hunter2"),
        "channels.hook.secret: a secret is not written here: write $NAME",
    ),
    "a webhook without a secret": (GOOD.replace(", secret: $HOOK_SECRET", ""), "channels.hook: a webhook is signed"),
    "a webhook to nowhere": (GOOD.replace("https://hooks.shop.test/in", "hooks"), "channels.hook.webhook: write https"),
    "no variable": (
        GOOD.replace("$PAGERDUTY_KEY", "$PAGER_KEY"),
        "channels.pager.pagerduty: the environment variable PAGER_KEY is not set, or empty",
    ),
    "a URL that Apprise does not know": (
        GOOD.replace("$SLACK_URL", "$HOOK_SECRET"),
        "channels.chat: Apprise does not know such a URL",
    ),
    "no such region": (GOOD.replace("region: eu", "region: de"), "channels.pager.region: there is no 'de'"),
    "an option of another channel": (
        GOOD.replace("region: eu", "secret: $HOOK_SECRET"),
        "channels.pager: there is no key 'secret'",
    ),
    "two ways at once": (GOOD.replace("region: eu", "mail: a@b.test"), "channels.pager: write one of"),
    "no way": (GOOD.replace("pagerduty: $PAGERDUTY_KEY, region: eu, ", ""), "channels.pager: write one of"),
    "no address": (GOOD.replace("[on-call@shop.test]", "[on-call]"), "channels.on-call: 'on-call' is no mail address"),
    "an address with a line end": (
        GOOD.replace("[on-call@shop.test]", '["a@b.test\\nBcc: c@d.test"]'),
        "channels.on-call: 'a@b.test\\nBcc: c@d.test' is no mail address",
    ),
    "no next channel": (GOOD.replace("then: chat", "then: chatt"), "channels.hook.then: there is no channel 'chatt'"),
    "next channels that go round": (
        GOOD.replace("{mail: [on-call@shop.test]}", "{mail: [on-call@shop.test], then: hook}"),
        "goes round; let one be the last",
    ),
    "a route that is never reached": (
        GOOD.replace("  - {channels: [on-call]}\n", "  - {channels: [on-call]}\n  - {owner: a, channels: [chat]}\n"),
        "routes, entry 5: it is never reached, since all that fits it fits entry 4",
    ),
    "a narrower route below a wider one": (
        GOOD.replace("  - {cause:", "  - {owner: pricing, pipeline: price_list, channels: [chat]}\n  - {cause:"),
        "routes, entry 3: it is never reached, since all that fits it fits entry 2",
    ),
    "alerts without a route": (
        GOOD.replace("  - {channels: [on-call]}\n", ""),
        "routes: an alert that fits no route would be lost",
    ),
    "no routes": ("channels: {a: {mail: a@b.test}}\nroutes: []\n", "an alert that fits no route would be lost"),
    "a route without channels": (GOOD.replace(", channels: [chat]}", "}"), "routes, entry 1: name the channels"),
    "a condition that nothing fits": (GOOD.replace("[source_late]", "[]"), "routes, entry 3.cause: there is none"),
    "information that pages": (
        GOOD.replace("channels: [team]", "channels: [pager]"),
        "subscriptions, entry 1.channels: 'pager' wakes people, and information never does",
    ),
    "a time that is none": (GOOD.replace("30 minutes", "soon"), "updates: 'soon' is no time: write '30 minutes'"),
    "a link that is none": (GOOD.replace('"https://airflow.shop.test"', "airflow"), "links.airflow: 'airflow' is no"),
    "a list where keys are wanted": ("channels: [a]\nroutes: []\n", "channels: write keys with values"),
    "keys where a list is wanted": ("channels: {}\nroutes: {}\n", "routes: write a list"),
    "numbers for names": ("channels: {1: {mail: a@b.test}}\nroutes: []\n", "channels: write keys with values"),
    "templates that are nowhere": (GOOD + "templates: words\n", "templates: there is no folder"),
}  # fmt: skip


EVERY_KEY = yaml.safe_load(GOOD.replace("updates:", "templates: words\nupdates:"))
EVERY_KEY["routes"].insert(0, {**EVERY_KEY["routes"][0], "cause": "drift", "pipeline": "a", "owner": "b"})
EVERY_KEY["subscriptions"].insert(0, {**EVERY_KEY["subscriptions"][0], "pipeline": "a", "owner": "b"})
WRONG_TYPES = (True, 7, 1.5, date(2025, 1, 5), b"x", [None], [7], [["a"]], [{}], {"a": 7})
ODD = (None, "", "\0", "no such thing", [], {})


def places(said: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Every place of a file at which something stands."""
    if path:
        yield path
    if isinstance(said, dict | list):
        for key, each in said.items() if isinstance(said, dict) else enumerate(said):
            yield from places(each, *path, key)


@pytest.mark.parametrize("path", places(EVERY_KEY), ids=lambda path: ".".join(map(str, path)))
def test_whatever_stands_at_a_key_is_used_or_refused_in_a_sentence(load: Load, tmp_path: Path, path: Any) -> None:
    """What is of a wrong type is always refused, and nobody meets a traceback."""
    (tmp_path / "words").mkdir()
    assert load(yaml.safe_dump(EVERY_KEY, sort_keys=False)).lines
    for said in (*WRONG_TYPES, *ODD):
        changed = copy.deepcopy(EVERY_KEY)
        at = changed
        for each in path[:-1]:
            at = at[each]
        at[path[-1]] = said
        with suppress(UsageError) if said in ODD else pytest.raises(UsageError):
            load(yaml.safe_dump(changed, sort_keys=False))


@pytest.mark.parametrize(
    "text",
    [
        "updates: 2011-13-45",
        "updates: !!float a",
        "updates: !!bool a",
        "updates: !!timestamp a",
        "updates: 99999999999999 days",
        "updates: &a [*a]",
        "updates: {<<: 5}",
        "templates: !!python/name:os.system",
        "links: {airflow: 'https://a.test:99999'}",
        "links: {airflow: 'https://[::1'}",
        "x: " + "[" * 5000,
    ],
)
def test_what_yaml_makes_of_odd_values_is_refused_in_a_sentence(load: Load, text: str) -> None:
    """PyYAML raises all sorts of errors where a value is not what it looks like."""
    key = text.partition(":")[0]
    rest = "\n".join(each for each in GOOD.splitlines() if not each.startswith(key))
    with pytest.raises(UsageError) as refused:
        load(f"{rest}\n{text}\n")
    assert "alerts.yaml: " in str(refused.value)


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_one_sentence_that_names_the_file_and_the_key(load: Load, text: str, said: str) -> None:
    """At the start, before anything is wrong: and without the secrets that it has read."""
    with pytest.raises(UsageError) as refused:
        load(text)
    problem = str(refused.value)
    assert said in problem
    assert problem.startswith("TIDEMARK_ALERTS, /")
    assert "alerts.yaml: " in problem
    assert "\n" not in problem
    assert not [each for each in SECRETS.values() if each in problem and each not in text]


def test_an_empty_variable_counts_as_none(load: Load) -> None:
    with pytest.raises(UsageError, match="HOOK_SECRET is not set, or empty"):
        load(GOOD, HOOK_SECRET=" ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = settings({"TIDEMARK_ALERTS": str(tmp_path / "no.yaml")})
    with pytest.raises(UsageError, match=r"no\.yaml: it cannot be read: No such file"):
        load_alerting(given)


def test_a_route_of_other_hours_is_reached(load: Load) -> None:
    """Only what surely covers another stands in its way."""
    text = GOOD.replace(
        "  - {owner", "  - {severity: critical, hours: '22:00-06:00 UTC', channels: [hook]}\n  - {owner", 1
    )
    assert len(load(text).routes) == 5


def test_without_a_file_mail_to_gets_everything() -> None:
    """Incidents, information and reports: nobody has to write a file to be told."""
    to: list[tuple[str, ...]] = []

    def mailing(addresses: tuple[str, ...]) -> Diary:
        to.append(addresses)
        return Diary()

    alerting = load_alerting(
        settings({}), mailing=mailing, environ={"TIDEMARK_MAIL_TO": "oncall@shop.test, boss@shop.test"}
    )
    assert to == [("oncall@shop.test", "boss@shop.test")]
    assert routed(alerting.routes, incident(), datetime.now(UTC)) == ["mail"]
    assert [each.channels for each in alerting.subscriptions] == [("mail",)]
    with pytest.raises(UsageError, match="TIDEMARK_MAIL_TO: 'oncall' is no mail address"):
        load_alerting(settings({}), mailing=mailing, environ={"TIDEMARK_MAIL_TO": "oncall"})


def test_without_anything_nobody_is_told_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    alerting = load_alerting(settings({}), mailing=lambda to: Diary(), environ={})
    assert routed(alerting.routes, incident(), datetime.now(UTC)) == []
    assert "nobody is told of incidents: set TIDEMARK_ALERTS, or at least TIDEMARK_MAIL_TO" in caplog.text


def test_every_cause_class_can_be_routed_and_subscribed_to(load: Load) -> None:
    every = ", ".join(CauseClass)
    text = GOOD.replace("[source_late]", f"[{every}]").replace("repaired,", f"repaired, {every},")
    assert len(load(text.replace("  - {channels: [on-call]}", "  - {channels: [on-call]}")).routes) == 4
    assert BAD.cause in CauseClass


def test_a_route_covers_itself_and_what_is_narrower() -> None:
    wide, narrow = Route(severity=frozenset({"critical", "warning"})), Route(severity=frozenset({"critical"}))
    assert wide.covers(narrow)
    assert wide.covers(wide)
    assert not narrow.covers(wide)
    assert not narrow.covers(Route())
