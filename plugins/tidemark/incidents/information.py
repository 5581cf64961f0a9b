"""What people are told though nothing is wrong: who has subscribed to its topic hears of it, and nobody is woken.

Invariant: each Monday's list is told once, however often and in whatever process somebody looks.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from tidemark.deployment import Deployment
from tidemark.incidents import accounts
from tidemark.incidents.handling import shown
from tidemark.incidents.topics import Topic
from tidemark.ledger import notices

MOST = 20
"""Of what is told in one notice, the first lines are said; all of it is counted."""

MONDAY = time(8, tzinfo=UTC)
"""From when on each Monday the silences are listed."""


def inform(
    connection: sa.Connection,
    environment: str,
    topic: Topic,
    *,
    title: str,
    lines: Iterable[str],
    pipeline: str = "",
    owner: str = "",
    unique_key: str | None = None,
    **data: Any,
) -> bool:
    """Write down what those who have subscribed to a topic are to be told, in the transaction of what it tells of.

    Args:
        connection: a transaction that writes.
        environment: where it happened.
        topic: what it is about.
        title: it in one line.
        lines: the rest of it; the first :data:`MOST` are kept.
        pipeline: whose, or empty.
        owner: who owns it, or empty.
        unique_key: by which it is told only once; None: what it tells of can only happen once.
        data: the same for programs, JSON-ready.

    Returns:
        Whether it is news.

    """
    every = list(lines)
    more = [f"... and {len(every) - MOST} more"] if len(every) > MOST else []
    return notices.write(
        connection,
        environment,
        kind=notices.INFORMATION,
        topic=topic.value,
        severity="info",
        payload={"title": title, "lines": every[:MOST] + more, **data},
        pipeline=pipeline,
        owner=owner,
        unique_key=unique_key,
    )


def list_silences(deployment: Deployment, now: datetime) -> bool:
    """List the silences that are in force, once each Monday from 08:00 UTC on; returns whether this call did.

    Who looks for the first time on a later day of the week makes up for it. What was silenced since that Monday is for
    the next one: who did it knows.

    Args:
        deployment: where.
        now: the instant of the look.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    instant = now.astimezone(UTC)
    monday = datetime.combine(instant.date() - timedelta(days=instant.weekday()), MONDAY)
    if instant < monday:
        return False
    year, week, _ = instant.isocalendar()
    key = f"silences {deployment.environment} {year}-W{week:02}"
    with deployment.ledger.read() as connection:
        if notices.is_written(connection, key):
            return False
    found = [each for each in accounts.silences(deployment, instant) if each["begins_at"] <= monday]
    if not found:
        return False
    with deployment.ledger.write() as connection:
        return inform(
            connection,
            deployment.environment,
            Topic.SILENCES,
            title=counted(len(found), "silence is", "silences are") + " in force",
            lines=[_silence_line(each) for each in found],
            unique_key=key,
            silences=[
                {**each, **{name: each[name].isoformat() for name in ("begins_at", "ends_at")}} for each in found
            ],
        )


def _silence_line(each: Mapping[str, Any]) -> str:
    return f"{each['number']}: {each['what']}, until {shown(each['ends_at'])}, by {each['by']}: {each['why']}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number and what there is so many of."""
    return f"{number} {one if number == 1 else many}"
