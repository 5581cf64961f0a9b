"""The commands about alerts: whether what the file says can be used, and whether what is sent arrives."""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemark.cli import shown
from tidemark.cli.answers import Answer
from tidemark.config import Settings, settings
from tidemark.deployment import open_deployment
from tidemark.errors import Refused, Unavailable, UsageError, close
from tidemark.ledger import registry

if TYPE_CHECKING:
    from tidemark.alerting import Alerting
    from tidemark.alerting.channels import Line
    from tidemark.alerting.messages import Message
    from tidemark.alerting.routes import Route, Subscription


def check(options: argparse.Namespace) -> Answer:
    """Read the file of alerts, and say what it comes to; what it says wrongly is one sentence, and exit code 2.

    Pipelines and owners that the ledger does not know are warned of. Exit code 1 if nobody is told of anything.
    """
    given = settings()
    alerting = _alerting(given)
    data = {
        "channels": sorted(alerting.lines),
        "routes": [list(each.channels) for each in alerting.routes],
        "subscriptions": [list(each.channels) for each in alerting.subscriptions],
    }
    if not alerting.lines:
        mend = f"name channels in {given.alerts}" if given.alerts else _NO_FILE
        problem = f"nobody is told of anything, for there is no channel: {mend}"
        return Answer(data, problem, ok=False, problem=problem)
    for each in _unknown_names(alerting, given):
        shown.warn(each)
    numbers = (len(alerting.lines), len(alerting.routes), len(alerting.subscriptions))
    return Answer(data, "well: {} channels, {} routes, {} subscriptions".format(*numbers))


def test(options: argparse.Namespace) -> Answer:
    """Send one alert of each kind through every channel, and say what came of each.

    It opens, updates and resolves an incident that never was, and sends a piece of information to those channels that
    do not wake people. Nothing of it is kept in the ledger. Exit code 1 if anything was not delivered.
    """
    given = settings()
    alerting = _alerting(given)
    names = list(alerting.lines)
    if options.channel is not None:
        if options.channel not in alerting.lines:
            raise UsageError(f"there is no channel {options.channel!r}{close(options.channel, names)}")
        names = [options.channel]
    if not names:
        raise UsageError(f"there is no channel: {_NO_FILE}")
    messages = _messages(alerting, given.environment)
    with shown.progress() as tell, ThreadPoolExecutor(len(names)) as threads:

        def sent(name: str) -> list[tuple[str, str, str]]:
            done: list[tuple[str, str, str]] = []
            for kind, outcome in _sent(alerting.lines[name], messages):
                done.append((name, kind, outcome))
                tell(name, len(done), len(messages))
            return done

        rows = [row for some in threads.map(sent, names) for row in some]
    failed = [row for row in rows if row[2] not in (DELIVERED, LEFT_OUT)]
    data = [{"channel": name, "kind": kind, "outcome": outcome} for name, kind, outcome in rows]
    problem = f"{len(failed)} of {len(rows)} messages were not delivered"
    return Answer(data, shown.alerts_text(rows), ok=not failed, problem=problem)


def _unknown_names(alerting: "Alerting", given: Settings) -> list[str]:
    """Return a sentence for each pipeline and owner that a file names and no plan ever had: a slip, or of tomorrow."""
    kinds: dict[str, Sequence[Route | Subscription]]
    kinds = {"routes": alerting.routes, "subscriptions": alerting.subscriptions}
    asked = [
        (f"{kind}, entry {number}", what, name)
        for kind, entries in kinds.items()
        for number, each in enumerate(entries, 1)
        for what, names in (("pipeline", each.pipeline), ("owner", each.owner))
        for name in sorted(names)
    ]
    if not asked:
        return []
    try:
        with open_deployment(given) as deployment, deployment.ledger.read() as connection:
            found = [each for each in registry.assets(connection).values() if not each.is_given_up]
    except (Refused, Unavailable) as problem:
        return [f"whether there are the pipelines and owners that it names is not known: {problem}"]
    known: dict[str, set[str]] = {"pipeline": {each.pipeline for each in found}}
    known["owner"] = {owner for each in found if (owner := each.definition.get("owner"))}
    return [
        f"{where}.{what}: no plan has had the {what} {name!r}{close(name, known[what])}"
        for where, what, name in asked
        if known[what] and name not in known[what]
    ]


_NO_FILE = "set TIDEMARK_ALERTS, or at least TIDEMARK_MAIL_TO"

DELIVERED, LEFT_OUT = "delivered", "not sent: it wakes people"


def _sent(line: "Line", messages: "list[Message]") -> Iterator[tuple[str, str]]:
    """Send messages one after another, and yield the kind of each with what came of it."""
    from tidemark.alerting import Undelivered
    from tidemark.ledger.notices import INFORMATION

    for each in messages:
        if line.pages and each.kind == INFORMATION:
            yield each.kind, LEFT_OUT
            continue
        try:
            line.deliver(each)
        except Undelivered as problem:
            yield each.kind, problem.reason
        else:
            yield each.kind, DELIVERED


def _alerting(given: Settings) -> "Alerting":
    from tidemark.airflow.mailing import open_alerting  # brings Airflow, whose connection sends the mails

    return open_alerting(given)


def _messages(alerting: "Alerting", environment: str) -> "list[Message]":
    from dataclasses import replace

    from tidemark.alerting.messages import incident_message, information_message
    from tidemark.alerting.samples import sample_incident, sample_notice
    from tidemark.ledger.notices import INFORMATION, OPENED, RESOLVED, UPDATED

    now = datetime.now(UTC)
    key = f"tidemark-{environment}-test-{now:%Y%m%dT%H%M%S}"
    made = []
    for kind in (OPENED, UPDATED, RESOLVED, INFORMATION):
        notice = sample_notice(environment, kind, now, test="[TEST] ")
        one = sample_incident(environment, now, test="[TEST] ")
        one = one._replace(resolved_at=now) if kind == RESOLVED else one
        message = (
            information_message(notice, wording=alerting.wording, links=alerting.links)
            if kind == INFORMATION
            else incident_message(notice, one, wording=alerting.wording, links=alerting.links, now=now)
        )
        number = f"{key}-{kind}"
        made.append(replace(message, id=number, key=number if kind == INFORMATION else key))
    return made
