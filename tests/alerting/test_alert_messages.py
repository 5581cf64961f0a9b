"""What people read: all of it in one message, bounded and escaped, in the administrator's words or else in ours."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tidemark.alerting.facts import partitions, span
from tidemark.alerting.messages import Links, Message, incident_message, information_message
from tidemark.alerting.samples import sample_incident, sample_notice
from tidemark.alerting.wording import NAMES, Wording
from tidemark.errors import UsageError
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import Detail, Reached
from tidemark.ledger.incidents import Incident

NOW = datetime(2011, 1, 6, 8, 2, tzinfo=UTC)
LINKS = Links("https://git.test/runbooks", "https://airflow.test")
EVIL = '<script>alert("x")</script> & <img src=http://evil.test/x> {{ 7 * 7 }} {% raw %} naïve 価格 🙂'


def worded(kind: str = "opened", one: Incident | None = None, wording: Wording | None = None, **said: Any) -> Message:
    about = one or sample_incident("prod", NOW, number=12)
    notice = sample_notice("prod", kind, NOW)
    notice = notice._replace(payload={**notice.payload, **said})
    return incident_message(notice, about, wording=wording or Wording(), links=LINKS, now=NOW)


def changed(**detail: Any) -> Incident:
    one = sample_incident("prod", NOW, number=12)
    return one._replace(detail=replace(Detail.from_json(one.detail), **detail).to_json())


class Page(HTMLParser):
    """The words of a page, its tags, and where it leads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.tags, self.attributes = "", [], []
        self.feed(html)
        self.words = " ".join(self.words.split())

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes


def test_one_message_tells_it_all() -> None:
    """What and why with rows, since when, what depends on it, what is served instead, what to do, links, owner."""
    message = worded()
    assert message.title == "CRITICAL: orders 2011-01-05: did not pass its gate"
    for said in (message.text, Page(message.html).words):
        for words in (
            "orders 2011-01-05: did not pass its gate",
            "2 of 1,204 values fail: at least 0 was expected, such as -3.75 on line 17",
            "-0.85",
            "•••",
            "Thu 2011-01-06 07:20 UTC",
            "42 minutes",
            "business_report (report)",
            "demand_model (model)",
            "2011-01-05 … 2011-02-01 (28)",
            "the last good result, made 2011-01-05 06:02 UTC (26 hours ago)",
            "Look at the rows at fault.",
            "intake",
            "ncident 12",
        ):
            assert words in said
    for place in ("https://git.test/runbooks/gate_failed.md", "https://airflow.test/dags/price_list"):
        assert place in message.text
        assert ("href", place) in Page(message.html).attributes


@pytest.mark.parametrize(
    ("keys", "total", "said"),
    [
        ([], 0, ""),
        (["a", "b", "c"], 3, "a, b, c"),
        (["a", "b", "c", "d"], 4, "a … d (4)"),
        (["a", "b"], 900, "a and 899 more"),
    ],
)
def test_partitions_are_said_in_a_few_words(keys: list[str], total: int, said: str) -> None:
    """Of those that were left out nobody says which is the last."""
    assert partitions(keys, total) == said


def test_who_is_told_can_say_that_they_are_at_it() -> None:
    """Until somebody has, or it is over."""
    command = "tidemark incident ack 12 --why ..."
    one = sample_incident("prod", NOW, number=12)
    for taken, wanted in ((one, True), (one._replace(acknowledged_at=NOW), False), (one._replace(id=0), False)):
        assert (command in worded(one=taken).text) is wanted
        assert (command in Page(worded(one=taken).html).words) is wanted


def test_an_update_says_first_what_is_new() -> None:
    message = worded("updated")
    assert message.title.startswith("CRITICAL, update: ")
    assert message.text.startswith("NEW: 2 partitions, 1 before\n")
    words = Page(message.html).words
    assert words.index("2 partitions, 1 before") < words.index("1,204 values fail")


def test_the_all_clear_says_how_long_it_lasted() -> None:
    over = sample_incident("prod", NOW)._replace(resolved_at=NOW + timedelta(hours=3))
    message = worded("resolved", over, said="ann: the file came by hand")
    assert message.title == "Over after 3 hours 42 minutes: orders 2011-01-05: did not pass its gate"
    assert "from Thu 2011-01-06 07:20 UTC to Thu 2011-01-06 11:02 UTC" in message.text
    assert "ann: the file came by hand" in message.text
    assert "3 hours 42 minutes" in Page(message.html).words


def test_one_incident_has_one_key_and_each_notice_its_own_id() -> None:
    keys = {worded(kind).key for kind in ("opened", "updated", "resolved")}
    assert keys == {"tidemark-prod-12"}
    assert worded().id == "tidemark-prod-notice-0"


@pytest.mark.parametrize("cause", CauseClass)
def test_every_cause_class_has_something_to_do(cause: CauseClass) -> None:
    """Nothing of a template is left in it, whatever is wrong."""
    one = sample_incident("prod", NOW)._replace(cause=cause.value)
    text = worded(one=one).text
    todo = text.partition("WHAT TO DO\n")[2].partition("\n")[0]
    assert len(todo) > 30
    assert not re.search(r"[{}]", todo)
    assert f"/{cause.value}.md" in text


def test_an_incident_of_the_deployment_needs_no_pipeline_asset_rows_or_links() -> None:
    bare = changed(why="", rows=(), reach=(), instead="", partitions=(), total=0)
    one = bare._replace(pipeline="", asset="", owner="", summary="the store cannot be reached", cause="unreachable")
    message = incident_message(sample_notice("prod", "opened", NOW), one, wording=Wording(), links=Links(), now=NOW)
    assert "Owner: nobody is named" in message.text
    assert "docs/runbooks/unreachable.md" in message.text
    assert "ROWS" not in message.text
    assert message.link == ""
    assert "a" not in Page(message.html).tags


# -- whatever is in the data


def test_what_is_in_the_data_is_text_and_nothing_else() -> None:
    """It is no markup, no template, no header, and nothing is fetched for it."""
    one = changed(
        why=EVIL,
        rows=({EVIL: EVIL, "n": None},),
        instead=EVIL,
        do=EVIL,
        also=(EVIL,),
        link=f'javascript:alert("{EVIL}")',
        reach=(Reached(EVIL, EVIL, "asset", 1, EVIL, EVIL),),
        partitions=(EVIL,),
    )
    one = one._replace(summary=f"{EVIL}\r\nBcc: evil@evil.test", owner=EVIL, asset=EVIL)
    message = worded("updated", one, said=EVIL)
    page = Page(message.html)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.words.count('<script>alert("x")</script> & <img src=http://evil.test/x> {{ 7 * 7 }}') >= 9
    assert "naïve 価格 🙂" in page.words
    assert EVIL in message.text
    assert "49" not in message.text
    assert "\n" not in message.title
    links = [value for name, value in page.attributes if name in ("href", "src", "background")]
    assert links == ["https://git.test/runbooks/gate_failed.md"]
    assert not any(name.startswith("on") for name, _ in page.attributes)


def test_nothing_unseen_gets_through() -> None:
    """No escape sequence for a terminal, no text that runs backwards."""
    hidden = "a\x1b[2Jb\x00c\u202ed\u2066e\x85f"
    message = worded(one=changed(why=hidden, rows=({"v": hidden},)))
    for each in (message.text, message.html, message.title, str(message.facts)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", each)
    assert "a�[2Jb�c�d�e�f" in message.text


def test_whatever_comes_a_message_stays_short() -> None:
    """Ten thousand rows, a megabyte of exception, a thousand readers and columns."""
    huge = "x" * 1_000_000
    wide = {f"column {number}": huge for number in range(100)}
    one = changed(
        why=huge,
        rows=tuple(wide for _ in range(10_000)),
        reach=tuple(Reached(f"asset {number}", "shop", "asset", 1, huge, huge) for number in range(1_000)),
        also=(huge,) * 1_000,
        partitions=(huge,) * 200,
        total=10_000,
        instead=huge,
        do=huge,
        link=f"https://airflow.test/{huge}",
    )
    one = one._replace(summary=huge, owner=huge, pipeline=huge, asset=huge)
    message = worded("updated", one, said=huge)
    assert len(message.title) <= 200
    assert len(message.text) < 16_000
    assert len(message.html) < 60_000
    assert len(str(message.facts)) < 20_000
    assert "and 9999 more" in message.text
    assert "992 more" in message.text


def test_a_wide_row_names_each_value() -> None:
    """A table of twelve columns is not readable on a telephone."""
    row = {f"c{number}": number for number in range(20)}
    message = worded(one=changed(rows=(row,)))
    assert "c0=0, c1=1" in message.text
    assert "8 columns are left out" in Page(message.html).words
    assert "th" not in Page(message.html).tags


def test_a_page_fetches_nothing() -> None:
    """No picture, no style, no font from elsewhere: a mail is read where there is no network, and tells nobody so."""
    for message in (
        worded(),
        information_message(sample_notice("prod", "information", NOW), wording=Wording(), links=LINKS),
    ):
        assert not re.search(r"src=|url\(|@import|<link", message.html)


def test_a_mail_of_another_environment_says_so() -> None:
    one = sample_incident("branch", NOW)
    assert worded(one=one).title.endswith("[branch]")


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=1, minutes=5), "1 hour 5 minutes"),
        (timedelta(days=2, minutes=3), "2 days"),
        (timedelta(days=2, hours=3, minutes=4), "2 days 3 hours"),
        (timedelta(seconds=-5), "less than a minute"),
    ],
)
def test_a_time_is_said_in_the_two_units_that_matter(length: timedelta, said: str) -> None:
    assert span(length) == said


# -- templates


def template(folder: Path, name: str, text: str) -> Wording:
    (folder / name).write_text(text, encoding="utf-8")
    return Wording(folder)


def samples() -> dict[str, list[dict[str, Any]]]:
    from tidemark.alerting.config import _sample_facts

    return _sample_facts()


def test_an_administrator_may_word_each_part_anew(tmp_path: Path) -> None:
    """The others stay as they are, and what comes from the data is escaped all the same."""
    wording = template(tmp_path, "incident.html.j2", "<h1>{{ owner }}: {{ why }}</h1>")
    wording.check(samples())
    message = worded(one=changed(why=EVIL), wording=wording)
    assert message.html.startswith("<h1>intake: &lt;script&gt;")
    assert message.title == worded().title


BROKEN = {
    "incident.text.j2": [
        ("{{ nobody_knows }}", "UndefinedError: 'nobody_knows' is undefined"),
        ("a\n{% if %}", "line 2"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ rows.append(1) }}", "SecurityError"),
        ("{% include '/etc/passwd' %}", "TemplateNotFound"),
    ],
    "incident.tekst.j2": [("x", "replaces no template: did you mean 'incident.text.j2'?")],
}


@pytest.mark.parametrize(("name", "text", "said"), [(name, *each) for name, some in BROKEN.items() for each in some])
def test_a_broken_template_is_told_at_the_start(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"^templates: ") as refused:
        template(tmp_path, name, text).check(samples())
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_a_template_that_breaks_later_is_replaced_by_our_words_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It passed every sample, and fails on what nobody had thought of: the alert goes out all the same."""
    wording = template(tmp_path, "incident.text.j2", "{{ rows[0][0] }}")
    wording.check({"incident": [samples()["incident"][0]], "information": []})
    message = worded(one=changed(rows=()), wording=wording)
    assert "WHAT TO DO" in message.text
    assert "(A template of yours is broken, so these are the built-in words: UndefinedError" in message.text
    assert "A template of yours is broken" in Page(message.html).words
    assert "is broken, and the built-in words were sent" in caplog.text


def test_a_template_that_never_stops_writing_is_replaced_too(tmp_path: Path) -> None:
    wording = template(tmp_path, "incident.html.j2", "{% for each in range(90000) %}xxxxxxxxxx{% endfor %}")
    assert "makes a page of 900000 characters" in worded(wording=wording).text


def test_every_template_can_be_replaced_and_ours_are_of_these_names() -> None:
    folder = Path(__file__).parents[2] / "plugins/tidemark/alerting/templates"
    assert {each.name for each in folder.glob("*.j2")} == {*NAMES, "page.html.j2"}


def test_information_says_what_it_is_about_and_why_one_gets_it() -> None:
    notice = sample_notice("prod", "information", NOW)
    notice = notice._replace(payload={"title": EVIL, "lines": [EVIL] * 30})
    message = information_message(notice, wording=Wording(), links=LINKS)
    assert message.severity == Severity.INFO
    assert "You get this because you have subscribed to model_promoted." in message.text
    assert "and 9 more" in message.text
    assert "script" not in Page(message.html).tags
    assert ("href", "https://airflow.test/dags/price_list") in Page(message.html).attributes
    assert message.key == message.id
