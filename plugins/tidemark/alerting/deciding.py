"""Deciding: who is told of new notices, and which deliveries are to be sent now, wait, or are of no use any more.

The rules, all of which follow from the ledger and an instant:

* an opened incident goes to the channels of the first route that fits it as it is now; updates and the all-clear go to
  exactly the channels that were told of it, or may have been; an update that makes it worse than these were told, or of
  which nobody was told anything yet, also to the route that it has by then;
* what is over is not opened any more: its all-clear says all of it, and wakes nobody. If it was over before anybody
  could be told, that goes to the channels of its route that do not wake people, or not at all if it is long over;
* while an incident is silenced nothing is said of it, but for the all-clear to who was told before; if it ends before
  anybody was told, nothing ever is;
* of an incident that somebody has taken on there are no updates, nor another attempt to wake somebody; whoever sees it
  become worse takes that mark off;
* information and reports go to who has subscribed, and are given up after a day of failures; so is an incident that is
  no more than information;
* of one incident a channel is told one thing after another, and at most one update in the time that is set, unless it
  has become more severe; of several updates the newest is sent, and none once there is an all-clear.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import sqlalchemy as sa

from tidemark.alerting.config import Alerting
from tidemark.alerting.routes import routed, subscribed
from tidemark.incidents.classes import Severity
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import OPENED, REPORT, RESOLVED, UPDATED, Delivery, Notice

Act = Callable[[sa.Connection], None]

LONG_OVER = timedelta(days=7)
"""What has been over for so long, and nobody was told of, is no news any more."""

PATIENCE = timedelta(days=1)
"""So long information is tried; an incident for as long as it takes."""

log = logging.getLogger(__name__)


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
        self._opened: set[int | None] = set()  # the incidents that nobody was told of yet
        self._missed: set[int | None] = set()  # those of them that are over

    # -- who is told

    def of_notices(self) -> list[Decided]:
        """Return who is told of each new notice that can be decided now."""
        fresh = notices.unrouted(self._connection, environment=self._environment)
        opened, resolved = ({each.incident for each in fresh if each.kind == kind} for kind in (OPENED, RESOLVED))
        self._opened, self._missed = opened, opened & resolved
        return [done for each in fresh if (done := self._of_notice(each)) is not None]

    def _of_notice(self, notice: Notice) -> Decided | None:
        if notice.kind == REPORT and self._alerting.reporting is None:
            return None
        if notice.incident is None:
            return self._route(notice, subscribed(self._alerting.subscriptions, notice))
        one = self._incident(notice.incident)
        told = notices.told_channels(self._connection, one.id)
        if self._is_silenced(one.id) and not (notice.kind == RESOLVED and told):
            return None if one.is_open else self._route(notice, [])
        if one.id in self._missed:
            return self._route(notice, self._told_late(notice, one) if notice.kind == RESOLVED else [])
        if notice.kind == OPENED:
            return self._route(notice, self._first_told(notice, one))
        if one.id in self._opened:
            return self._route(notice, [])  # whoever is told that it has opened is told so as it is now
        return self._route(notice, self._told_on(notice, one, told))

    def _told_late(self, notice: Notice, one: Incident) -> list[str]:
        """Return who is told of what was over before anybody could be: where it would wake people, who comes next."""
        return [] if self._is_long_over(one) else list(dict.fromkeys(self._quiet(self._first_told(notice, one))))

    def _quiet(self, channels: Iterable[str]) -> Iterable[str]:
        for each in channels:
            line = self._alerting.lines[each]
            while line.pages and line.then is not None:
                line = self._alerting.lines[line.then]
            if not line.pages:
                yield line.name

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

    def _is_long_over(self, one: Incident) -> bool:
        return one.resolved_at is not None and self._now - one.resolved_at > LONG_OVER

    def _pages(self, channel: str) -> bool:
        return channel in self._alerting.lines and self._alerting.lines[channel].pages

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
        given_up = [each for each in queue if self._is_given_up(each)]
        useless = [each for each in queue if each not in given_up and self._is_useless(each, queue)]
        yield from (_given_up(each, self._now) for each in given_up)
        yield from (_dropped(each, self._now) for each in useless)
        left = [each for each in queue if each not in given_up and each not in useless]
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

    def _is_given_up(self, delivery: Delivery) -> bool:
        notice = delivery.notice
        # What wakes people takes no information: what it has of an incident that became no more than that, it must end.
        failing = delivery.attempts > 0 and self._now - notice.at > PATIENCE
        return notice.is_information and failing and not self._pages(delivery.channel)

    def _is_useless(self, delivery: Delivery, queue: list[Delivery]) -> bool:
        if delivery.notice.incident is None:
            return False
        one = self._incident(delivery.notice.incident)
        if delivery.notice.kind == RESOLVED:
            return self._ends_nothing(delivery, one, queue)
        if queue[-1].notice.kind == RESOLVED or (not one.is_open and self._is_silenced(one.id)):
            return True  # the all-clear, if there is one, says all of it
        if delivery.notice.kind == OPENED:
            # Another channel has told it; nobody is to be woken for what somebody sees to by now.
            return delivery.fell_back and one.acknowledged_at is not None and self._pages(delivery.channel)
        newest = [each for each in queue if each.notice.kind == UPDATED][-1]
        untold = queue[0].notice.kind == OPENED
        return untold or delivery is not newest or not one.is_open or one.acknowledged_at is not None

    def _ends_nothing(self, delivery: Delivery, one: Incident, queue: list[Delivery]) -> bool:
        """Return whether an all-clear is for who was never told, of what nobody has to hear any more."""
        if self._pages(delivery.channel):
            return False  # it wakes nobody, and ends what may have been opened by an attempt that seemed to fail
        quiet = self._is_silenced(one.id) or self._is_long_over(one)
        waited = queue[0].notice.kind != RESOLVED
        return quiet and waited and notices.last_told(self._connection, one.id, delivery.channel) is None

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


def _given_up(delivery: Delivery, now: datetime) -> Decided:
    def act(connection: sa.Connection) -> None:
        notices.finish(connection, delivery.id, notices.DROPPED, now)
        about = (delivery.notice.id, delivery.notice.topic, delivery.channel, delivery.problem)
        log.warning("notice %d, about %s, is given up: for a day %s did not take it: %s", *about)

    return Decided("dropped", act)


def _rank(severity: str) -> int:
    return Severity(severity).rank
