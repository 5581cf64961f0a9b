"""Announcing a report: the newest one goes into the outbox, once."""

from tidemark.deployment import Deployment
from tidemark.incidents.classes import Severity
from tidemark.ledger import heads, notices
from tidemark.reports.standing import live_partitions, registered_report


def announce(deployment: Deployment, asset: str) -> str | None:
    """Queue the newest partition of a report for the mail; returns its key, None if it is not to be mailed.

    Each partition is announced once, however often it is made anew, and only while it is the newest; a branch announces
    nothing. The mail is made when it is sent: the notice only says of what.

    Raises:
        UsageError: there is no such report.

    """
    if deployment.environment != heads.PROD:
        return None
    with deployment.ledger.write() as connection:
        report = registered_report(connection, asset)
        newest = next(iter(live_partitions(connection, deployment, report)), None)
        if newest is None:
            return None
        fresh = notices.write(
            connection,
            deployment.environment,
            kind=notices.REPORT,
            topic=asset,
            severity=Severity.INFO,
            pipeline=report.pipeline,
            owner=report.definition["owner"] or "",
            payload={"asset": asset, "partition": newest},
            unique_key=f"report {asset} {newest}",
        )
    return newest if fresh else None
