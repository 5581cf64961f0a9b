"""What stories about the watch share: a look, and what it came to."""

from datetime import UTC, datetime

from tests.scenario import Shop
from tidemark.watching.checks import act_on
from tidemark.watching.lateness import late_sources


def instant(text: str) -> datetime:
    """An instant in UTC, unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def look_for_late_ones(shop: Shop, now: str) -> list[str]:
    """Look for late sources at an instant; returns what became of incidents, a line each."""
    with shop.deployment() as deployment:
        return act_on(deployment, late_sources(deployment, instant(now)))
