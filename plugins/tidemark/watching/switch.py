"""The dead man's switch: a service outside that tells people when this deployment's watch falls silent."""

from datetime import UTC, datetime, timedelta

from tidemark.deployment import Deployment
from tidemark.errors import Unavailable
from tidemark.ledger import notices
from tidemark.ledger.notices import Delivery

_SECONDS = 10.0

STUCK = timedelta(minutes=10)
"""So long a notice may be on its way."""


def why_not(deployment: Deployment, drained_at: datetime | None, now: datetime | None = None) -> str:
    """Say why people may not be told of what is wrong: then the switch is not pressed; empty: they are.

    Only incidents count, not information: a channel that takes no reports keeps nobody from hearing what is wrong. Nor
    does a delivery that another channel has taken over, for then that one's own counts.

    Args:
        deployment: where.
        drained_at: when the outbox was last seen to; None: it never was. What still waits there may be silenced.
        now: the instant that is taken for now, by default the clock's.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    since = (now or datetime.now(UTC)) - STUCK
    if drained_at is None or drained_at < since:
        return "nobody sees to the outbox"
    with deployment.ledger.read() as connection:
        waiting = notices.pending(connection, deployment.environment)
    stuck = [each for each in waiting if _counts(each) and each.notice.at < since]
    return f"the channel {stuck[0].channel} takes nothing: {stuck[0].problem}" if stuck else ""


def _counts(delivery: Delivery) -> bool:
    return delivery.attempts > 0 and not delivery.fell_back and not delivery.notice.is_information


def press(url: str) -> None:
    """Fetch the address of the switch.

    Raises:
        Unavailable: nobody answers, or refuses; the address is not repeated, for it is a secret.

    """
    import httpx

    try:
        answer = httpx.get(url, timeout=_SECONDS, follow_redirects=True)
    except httpx.HTTPError as problem:
        raise Unavailable(f"the dead man's switch does not answer: {type(problem).__name__}") from None
    if answer.is_error:
        raise Unavailable(f"the dead man's switch refuses: {answer.status_code}")
