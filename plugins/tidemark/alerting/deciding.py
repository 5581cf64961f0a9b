"""Deciding: who is told of new notices, and which deliveries are to be sent now, wait, or are of no use any more.

The rules, all of which follow from the ledger and an instant:

* an opened incident goes to the channels of the first route that fits it as it is now; updates and the all-clear go to
  exactly the channels that were told of it; an update that makes it worse than these were told, or of which nobody was
  told anything yet, also to the route that it has by then;
* while an incident is silenced nothing is said of it, but for the all-clear to who was told before; if it ends before
  anybody was told, nothing ever is;
* of an incident that somebody has taken on there are no updates;
* information and reports go to who has subscribed; so does an incident that is no more than information;
* of one incident a channel is told one thing after another, and at most one update in the time that is set, unless it
  has become more severe; of several updates the newest is sent, and none once there is an all-clear.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from tidemark.alerting.config import Alerting
from tidemark.alerting.routes import routed, subscribed
from tidemark.incidents.classes import Severity
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import OPENED, REPORT, RESOLVED, UPDATED, Delivery, Notice

Act = Callable[[sa.Connection], None]


@dataclass(frozen=True)
class Decided:
    """What is to become of a notice or a delivery.

    Attributes:
        what: routed, dropped, fell back, waits or claimed.
        act: writes it down.
        delivery: what is claimed.

    """

    what: str
    act: Act
    delivery: Delivery | None = None


class Deciding:
    """Decides by what one transaction sees.

    Args:
        connection: the transaction.
        environment: whose notices.
        alerting: who is told what.
        now: the instant that it takes for now.

    """

    def __init__(self, connection: sa.Connection, environment: str, alerting: Alerting, now: datetime) -> None:
        self._connection, self._environment = connection, environment
        self._alerting, self._now = alerting, now
        self._incident = cache(lambda number: incidents.read(connection, number))
        self._is_silenced = cache(self._silenced)

    # -- who is told

    def of_notices(self) -> list[Decided]:
        """Return who is told of each new notice that can be decided now."""
        fresh = notices.unrouted(self._connection, environment=self._environment)
        opened = {each.incident for each in fresh if each.kind == OPENED}
        return [done for each in fresh if (done := self._of_notice(each, opened)) is not None]

    def _of_notice(self, notice: Notice, opened: set[int | None]) -> Decided | None:
        if notice.kind == REPORT and self._alerting.reporting is None:
            return None
        if notice.incident is None:
            return self._route(notice, subscribed(self._alerting.subscriptions, notice))
        one = self._incident(notice.incident)
        told = notices.told_channels(self._connection, one.id)
        if self._is_silenced(one.id) and not (notice.kind == RESOLVED and told):
            return None if one.is_open else self._route(notice, [])
        if notice.kind == OPENED:
            return self._route(notice, self._first_told(notice, one))
        if notice.incident in opened:
            # Whoever is told that it has opened is told so as it is now; who is told that it is over is not known yet.
            return self._route(notice, []) if notice.kind == UPDATED else None
        return self._route(notice, self._told_on(notice, one, told))

    def _first_told(self, notice: Notice, one: Incident) -> list[str]:
        if one.severity == Severity.INFO:
            return subscribed(self._alerting.subscriptions, notice)
        return routed(self._alerting.routes, one, self._now)

    def _told_on(self, notice: Notice, one: Incident, told: dict[str, str]) -> list[str]:
        if notice.kind == RESOLVED:
            return list(told)
        worse = all(_rank(severity) < _rank(one.severity) for severity in told.values())
        return list(dict.fromkeys([*told, *(self._first_told(notice, one) if worse else ())]))

    def _route(self, notice: Notice, channels: list[str]) -> Decided:
        what = "routed" if channels else "dropped"
        return Decided(what, lambda connection: notices.route(connection, notice.id, channels, self._now))

    def _silenced(self, number: int) -> bool:
        """Return whether an incident is silenced now, or was as it ended."""
        one = self._incident(number)
        at = min(one.resolved_at or self._now, self._now)
        live = incidents.silences(self._connection, self._environment, at)
        return incidents.silencing(one, live, at) is not None

    # -- what is sent

    def of_deliveries(self, lease: datetime) -> list[Decided]:
        """Return what is to become of the deliveries that are pending; what is due is claimed until ``lease``."""
        queues: dict[tuple[str, int], list[Delivery]] = {}
        for each in notices.pending(self._connection, self._environment):
            # What is of no incident waits for nothing else.
            about = each.notice.incident if each.notice.incident is not None else -each.notice.id
            queues.setdefault((each.channel, about), []).append(each)
        return [done for queue in queues.values() for done in self._of_queue(queue, lease)]

    def _of_queue(self, queue: list[Delivery], lease: datetime) -> Iterable[Decided]:
        """Decide about what one channel is to be told of one incident, oldest first."""
        useless = [each for each in queue if self._is_useless(each, queue)]
        yield from (_dropped(each, self._now) for each in useless)
        left = [each for each in queue if each not in useless]
        if not left or left[0].next_at > self._now:
            return
        first = left[0]
        if first.channel not in self._alerting.lines:
            yield self._handed_over(first)
        elif self._waits_silently(first):
            return
        elif (until := self._earliest(first)) > self._now:
            yield Decided("waits", lambda connection: notices.wait(connection, first.id, until))
        else:
            yield Decided("claimed", lambda connection: notices.wait(connection, first.id, lease), first)

    def _is_useless(self, delivery: Delivery, queue: list[Delivery]) -> bool:
        if delivery.notice.incident is None:
            return False
        one, untold = self._incident(delivery.notice.incident), queue[0].notice.kind == OPENED
        if untold and not one.is_open and self._is_silenced(one.id):
            return True
        if delivery.notice.kind != UPDATED:
            return False
        newest = [each for each in queue if each.notice.kind == UPDATED][-1]
        return untold or delivery is not newest or not one.is_open or one.acknowledged_at is not None

    def _waits_silently(self, delivery: Delivery) -> bool:
        notice = delivery.notice
        return notice.incident is not None and notice.kind != RESOLVED and self._is_silenced(notice.incident)

    def _earliest(self, delivery: Delivery) -> datetime:
        notice = delivery.notice
        if notice.kind != UPDATED or notice.incident is None:
            return self._now
        told = notices.last_told(self._connection, notice.incident, delivery.channel)
        if told is None or _rank(told.severity) < _rank(notice.severity):
            return self._now
        return told.at + self._alerting.updates

    def _handed_over(self, delivery: Delivery) -> Decided:
        """Decide anew about a channel that the file does not name any more."""
        notice, now = delivery.notice, self._now
        if notice.incident is None:
            channels = subscribed(self._alerting.subscriptions, notice)
        else:
            channels = self._first_told(notice, self._incident(notice.incident))

        def act(connection: sa.Connection) -> None:
            notices.hand_to(connection, notice.id, channels, now)
            notices.finish(connection, delivery.id, notices.FELL_BACK if channels else notices.DROPPED, now)

        return Decided("fell back" if channels else "dropped", act)


def _dropped(delivery: Delivery, now: datetime) -> Decided:
    return Decided("dropped", lambda connection: notices.finish(connection, delivery.id, notices.DROPPED, now))


def _rank(severity: str) -> int:
    return Severity(severity).rank
