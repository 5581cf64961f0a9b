"""Telling people past the outbox, which is in the ledger: for a ledger that is out of reach."""

import logging

from tidemark.alerting import Alerting
from tidemark.ledger.incidents import Incident

log = logging.getLogger(__name__)


def send_directly(alerting: Alerting, one: Incident, kind: str, said: str) -> None:
    """Send an incident to all whom it concerns; what cannot be sent is logged."""
    raise NotImplementedError
