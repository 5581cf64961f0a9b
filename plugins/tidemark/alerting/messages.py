"""Messages: what people read of a notice, and of its incident as that is now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any

from tidemark.alerting.facts import Facts, incident_facts, information_facts, line
from tidemark.alerting.wording import MOST_TITLE, Wording
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import Notice


@dataclass(frozen=True)
class Message:
    """What a channel sends.

    Attributes:
        id: the same whenever this notice is sent again, so that a receiver can tell a repetition.
        key: of the incident, the same from the first alert to the all-clear; of other notices, as ``id``.
        kind: opened, updated, resolved, information or report.
        severity: critical, warning or info.
        title: it in one line.
        text: all of it, as plain text.
        html: all of it, as a page for mail clients that fetches nothing.
        link: where to look, or empty.
        facts: the same, JSON-ready, for machines.
        mail: a mail that is ready to be sent instead of ``text`` and ``html``, or None.

    """

    id: str
    key: str
    kind: str
    severity: str
    title: str
    text: str
    html: str
    link: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    mail: EmailMessage | None = None


@dataclass(frozen=True)
class Links:
    """Where people find more.

    Attributes:
        runbooks: the address of the folder of runbooks, or empty: they are named by their path in the repository.
        airflow: the address of the Airflow UI, or empty.

    """

    runbooks: str = ""
    airflow: str = ""

    def runbook(self, cause: str) -> str:
        """Return where the runbook of a cause class is."""
        return f"{self.runbooks or 'docs/runbooks'}/{cause}.md"

    def page(self, pipeline: str) -> str:
        """Return the page of a pipeline, or of all of Airflow; empty: nobody knows where Airflow is."""
        return f"{self.airflow}/dags/{pipeline}" if self.airflow and pipeline else self.airflow


def incident_key(environment: str, number: int) -> str:
    """Return by what an incident is known outside, from the first alert to the all-clear."""
    return f"tidemark-{environment}-{number}"


def notice_id(notice: Notice) -> str:
    """Return by what a notice is known outside, however often it is sent."""
    return f"tidemark-{notice.environment}-notice-{notice.id}"


def incident_message(notice: Notice, one: Incident, *, wording: Wording, links: Links, now: datetime) -> Message:
    """Return what people read of an incident.

    Args:
        notice: opened, updated or resolved.
        one: the incident as it is now.
        wording: how things are said.
        links: where people find more.
        now: the instant for which it is said.

    """
    page, runbook = links.page(one.pipeline), links.runbook(one.cause)
    facts = incident_facts(notice, one, runbook=runbook, page=page, now=now)
    return _message(
        notice, incident_key(one.environment, one.id), one.severity, wording.words("incident", facts), facts
    )


def information_message(notice: Notice, *, wording: Wording, links: Links) -> Message:
    """Return what people read of a piece of information."""
    facts = information_facts(notice, page=links.page(notice.pipeline))
    return _message(notice, notice_id(notice), notice.severity, wording.words("information", facts), facts)


def report_message(notice: Notice, mail: EmailMessage) -> Message:
    """Return a report, which is a mail already; channels that send no mail send its text."""
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    return Message(
        id=notice_id(notice),
        key=notice_id(notice),
        kind=notice.kind,
        severity=notice.severity,
        title=line(mail["Subject"] or notice.topic, MOST_TITLE),
        text=text.get_content() if text else "",
        html=html.get_content() if html else "",
        facts={"kind": notice.kind, "topic": notice.topic, "pipeline": notice.pipeline, **notice.payload},
        mail=mail,
    )


def _message(notice: Notice, key: str, severity: str, words: Mapping[str, str], facts: Facts) -> Message:
    return Message(
        id=notice_id(notice),
        key=key,
        kind=notice.kind,
        severity=severity,
        title=words["title"],
        text=words["text"],
        html=words["html"],
        link=facts["link"],
        facts=facts,
    )
