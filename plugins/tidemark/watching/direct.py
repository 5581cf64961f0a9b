"""Telling people past the outbox, which is in the ledger: for a ledger that is out of reach."""

import logging
from datetime import UTC, datetime

from tidemark.alerting import Alerting, Message, Undelivered
from tidemark.alerting.messages import incident_message
from tidemark.alerting.routes import routed
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import Notice

log = logging.getLogger(__name__)


def send_directly(alerting: Alerting, one: Incident, kind: str, said: str) -> bool:
    """Send an incident to all whom it concerns.

    Args:
        alerting: who is told what, and how.
        one: the incident, which is in no ledger.
        kind: opened or resolved.
        said: what is new of it.

    Returns:
        Whether somebody was told, or nobody is to be; what could not be sent is logged.

    """
    now = datetime.now(UTC)
    notice = Notice(
        id=one.id,
        environment=one.environment,
        kind=kind,
        topic=one.cause,
        incident=one.id,
        unique_key=None,
        severity=one.severity,
        pipeline=one.pipeline,
        owner=one.owner,
        payload={"said": said},
        at=now,
    )
    message = incident_message(notice, one, wording=alerting.wording, links=alerting.links, now=now)
    channels = routed(alerting.routes, one, now)
    if not channels:
        log.warning("nobody is told of it: no route names a channel for it")
        return True
    return any([_delivered(alerting, name, message) for name in channels])


def _delivered(alerting: Alerting, channel: str, message: Message) -> bool:
    """Send a message by a channel, or by the one that takes over from it."""
    line = alerting.lines[channel]
    try:
        line.deliver(message)
    except Undelivered as problem:
        log.warning("the channel %s: %s", channel, problem.reason)
        return line.then is not None and _delivered(alerting, line.then, message)
    return True
