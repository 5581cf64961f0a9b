"""Draining the outbox: who is told is decided, what is due is sent, what failed is tried again.

Invariants: a delivery is noted as sent only after its channel has taken it, so everything is sent at least once, and a
repetition has the same id; what a process had claimed when it died is sent by the next once the claim has run out.
"""

import logging
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from tidemark.alerting.channels import Line, Undelivered
from tidemark.alerting.config import Alerting
from tidemark.alerting.deciding import Decided, Deciding
from tidemark.alerting.messages import Message, incident_message, information_message, report_message
from tidemark.deployment import Deployment
from tidemark.incidents.classes import Severity
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import FELL_BACK, OPENED, REPORT, SENT, Delivery, Notice

LEASE = timedelta(seconds=60)
"""How long a claim lasts: longer than a round, so that two processes do not send the same."""

ROUND_SECONDS = 5
"""After so long no channel begins another message in this round; the rest is sent in the next."""

ATTEMPTS = 3
"""After so many failed attempts the next channel tells it too; a critical incident that opens waits for no second."""

FIRST_PAUSE, LONGEST_PAUSE, LONGEST_ASKED = timedelta(seconds=10), timedelta(minutes=10), timedelta(hours=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drained:
    """What one round came to.

    Attributes:
        routed: notices of which it was decided who is told.
        sent: messages that were delivered.
        failed: attempts that were not; they are made again, or another channel takes over.
        fell_back: messages that another channel has taken over; of an incident, its own tries on all the same.
        dropped: notices and messages that nobody needs, such as an update that a newer one replaces.
        problems: what failed attempts came up with, a sentence each, without secrets.

    """

    routed: int = 0
    sent: int = 0
    failed: int = 0
    fell_back: int = 0
    dropped: int = 0
    problems: tuple[str, ...] = ()


def drain(deployment: Deployment, alerting: Alerting, *, now: datetime | None = None) -> Drained:
    """Do one round: decide who is told of new notices, send what is due, and note what came of it.

    It returns within half a minute, however channels behave; several processes may drain one ledger at once.

    Args:
        deployment: whose notices.
        alerting: who is told what, and how.
        now: the instant that it takes for now; the clock by default.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    at = now or datetime.now(UTC)
    decided = _decide(deployment, alerting, at)
    queues: dict[str, list[Delivery]] = {}
    for each in decided:
        if each.delivery is not None:
            queues.setdefault(each.delivery.channel, []).append(each.delivery)
    sendings = [_Sending(deployment, alerting, alerting.lines[name], at) for name in queues]
    if sendings:
        with ThreadPoolExecutor(len(sendings), thread_name_prefix="tidemark sends") as threads:
            list(threads.map(_Sending.send_all, sendings, queues.values()))
    count = [each.what for each in decided].count
    return Drained(
        routed=count("routed"),
        sent=sum(each.sent for each in sendings),
        failed=sum(len(each.problems) for each in sendings),
        fell_back=count("fell back") + sum(each.fell_back for each in sendings),
        dropped=count("dropped"),
        problems=tuple(problem for each in sendings for problem in each.problems),
    )


def _decide(deployment: Deployment, alerting: Alerting, now: datetime) -> list[Decided]:
    """Decide in two steps, so that what was routed is due at once; returns all that was decided."""
    lease = now + LEASE
    with deployment.ledger.read() as connection:
        deciding = Deciding(connection, deployment.environment, alerting, now)
        if not deciding.of_notices() and not deciding.of_deliveries(lease):
            return []  # most rounds find nothing, and cost no writing transaction
    with deployment.ledger.write() as connection:
        notices.take_notices(connection)
        decided = []
        while some := Deciding(connection, deployment.environment, alerting, now).of_notices():
            decided += _done(some, connection)
        decided += _done(Deciding(connection, deployment.environment, alerting, now).of_deliveries(lease), connection)
        return decided


def _done(decided: list[Decided], connection: sa.Connection) -> list[Decided]:
    for each in decided:
        each.act(connection)
    return decided


@dataclass
class _Sending:
    """One channel's part of a round, in a thread of its own."""

    deployment: Deployment
    alerting: Alerting
    line: Line
    now: datetime
    sent: int = 0
    fell_back: int = 0
    problems: list[str] = field(default_factory=list)

    def send_all(self, queue: Sequence[Delivery]) -> None:
        """Send what was claimed, oldest first, until it hangs, is asked to pause, or the round has lasted enough."""
        began, stopped = time.monotonic(), None
        for each in queue:
            if stopped is None and time.monotonic() - began > ROUND_SECONDS:
                self._give_back(each)
                continue
            try:
                if stopped is not None:
                    raise stopped
                self.line.deliver(self._message(each.notice))
            except Undelivered as problem:
                self._failed(each, problem)
                stopped = problem if problem.hung or problem.retry_after is not None else None
            else:
                self._finish(each, SENT)
                self.sent += 1

    def _message(self, notice: Notice) -> Message:
        """Return what is said of a notice, of its incident as that is now."""
        one = None
        if notice.incident is not None:
            with self.deployment.ledger.read() as connection:
                one = incidents.read(connection, notice.incident)
        try:
            return self._worded(notice, one)
        except Exception as problem:  # one message that cannot be made holds up nothing else
            log.exception("the message of notice %d, about %s, could not be made", notice.id, notice.topic)
            raise Undelivered(f"the message could not be made: {type(problem).__name__}") from problem

    def _worded(self, notice: Notice, one: Incident | None) -> Message:
        wording, links, reporting = self.alerting.wording, self.alerting.links, self.alerting.reporting
        if one is not None:
            return incident_message(notice, one, wording=wording, links=links, now=self.now)
        if notice.kind == REPORT and reporting is not None:
            return report_message(notice, reporting(self.deployment, notice))
        return information_message(notice, wording=wording, links=links)

    # -- what came of it

    def _finish(self, delivery: Delivery, outcome: str) -> None:
        with self.deployment.ledger.write() as connection:
            notices.finish(connection, delivery.id, outcome, self.now)

    def _give_back(self, delivery: Delivery) -> None:
        with self.deployment.ledger.write() as connection:
            notices.wait(connection, delivery.id, self.now)

    def _failed(self, delivery: Delivery, problem: Undelivered) -> None:
        said = f"{self.line.name}: {problem.reason}"
        self.problems.append(said)
        then = self._takes_over(delivery)
        log.warning(
            "notice %d was not delivered by %s%s", delivery.notice.id, said, f"; {then} tells it" if then else ""
        )
        with self.deployment.ledger.write() as connection:
            until = self.now + _pause(delivery.attempts + 1, problem.retry_after)
            notices.postpone(connection, delivery.id, until, problem.reason)
            if then is None:
                return
            notices.fall_back(connection, delivery.id, then, self.now)
            self.fell_back += 1
            # An attempt of which only the answer was lost has opened what nothing but this channel can close again.
            if delivery.notice.incident is None:
                notices.finish(connection, delivery.id, FELL_BACK, self.now)

    def _takes_over(self, delivery: Delivery) -> str | None:
        """Return the channel that tells it from now on, or None: there is none, or not yet, or it was told before."""
        notice, then = delivery.notice, self.line.then
        at_once = notice.kind == OPENED and notice.severity == Severity.CRITICAL
        if then is None or delivery.fell_back or delivery.attempts + 1 < (1 if at_once else ATTEMPTS):
            return None
        return None if notice.is_information and self.alerting.lines[then].pages else then


def _pause(failures: int, asked: float | None) -> timedelta:
    """Return how long to leave a channel alone: twice as long each time, not all at one instant, as long as it asks."""
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311
    return max(pause, min(timedelta(seconds=asked or 0), LONGEST_ASKED))
