"""Backups of the ledger that are no longer made: whoever loses it loses what people have decided since the newest."""

from datetime import UTC, datetime, timedelta

from tidemark.backups import HEARTBEAT
from tidemark.deployment import Deployment
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import Condition, age
from tidemark.ledger import heartbeats
from tidemark.watching.checks import Found, of_cause
from tidemark.watching.standing import heartbeat_name

_AWAITED = "backup awaited since"


def overdue_backup(deployment: Deployment, within: timedelta | None, now: datetime | None = None) -> Found:
    """Find whether the newest backup of the ledger is older than it may be.

    Args:
        deployment: where.
        within: how old it may be; where there never was one, as long is waited from the first look on. None: nobody
            wants to know.
        now: the instant that is taken for now, by default the clock's.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    now, scope = now or datetime.now(UTC), of_cause(CauseClass.HEARTBEAT_MISSING, [HEARTBEAT])
    with deployment.ledger.read() as connection:
        newest = heartbeats.read(connection, HEARTBEAT)
        watch = heartbeats.read(connection, heartbeat_name(deployment.environment))
    kept = watch.detail.get(_AWAITED) if watch else None
    if within is None:
        return Found((), scope, lambda: _await(deployment, None) if kept else None)
    if newest is not None:
        since, of_it = newest.at, f"the newest backup of the ledger, {newest.detail['backup']}, was begun {{}} ago"
    else:
        if kept is None:
            return Found((), scope, lambda: _await(deployment, now))
        since = datetime.fromisoformat(kept)
        of_it = "no backup of the ledger has been made for {}, since the watch looks for one"
    if now - since <= within:
        return Found((), scope)
    wrong = Condition(
        CauseClass.HEARTBEAT_MISSING,
        "",
        HEARTBEAT,
        "the ledger is no longer backed up",
        why=f"{of_it.format(age(now - since))}; it may be {age(within)} old",
        severity=Severity.WARNING,
        do="read the log of the last backup, mend what it says, and make one: tidemark backup make",
        happened=0,
    )
    return Found((wrong,), scope)


def _await(deployment: Deployment, now: datetime | None) -> None:
    """Keep in mind from when on a first backup is awaited; None: it is not any more."""
    with deployment.ledger.write() as connection:
        name = heartbeat_name(deployment.environment)
        heartbeats.remember(connection, name, _AWAITED, now.isoformat() if now else None)
