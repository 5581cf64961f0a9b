"""Announcing a report: what is new of its newest partitions goes into the outbox, each once."""

from tidemark.deployment import Deployment
from tidemark.incidents.classes import Severity
from tidemark.ledger import heads, notices
from tidemark.reports.standing import live_partitions, registered_report

LAST = 3
"""So many of the newest partitions are announced, if they were not before."""


def announce(deployment: Deployment, asset: str) -> list[str]:
    """Queue the partitions of a report that nobody was told of for the mail; returns their keys, oldest first.

    Of the newest :data:`LAST` that is each that is new: a day whose data came late is told with the next one, or after
    it. Each is announced once, however often it is made anew. The first time it is the newest alone, and what is older
    than that, repaired or filled in, is never announced; nor is anything of a branch. The mail is made when it is sent:
    the notice only says of what.

    Raises:
        UsageError: there is no such report.

    """
    if deployment.environment != heads.PROD:
        return []
    with deployment.ledger.write() as connection:
        report = registered_report(connection, asset)
        newest = list(live_partitions(connection, deployment, report))[:LAST]
        before = notices.reported(connection, deployment.environment, asset)
        first = min(map(report.grain.ordinal, before or newest[:1]), default=0)
        new = [key for key in reversed(newest) if report.grain.ordinal(key) >= first and key not in before]
        for key in new:
            notices.write(
                connection,
                deployment.environment,
                kind=notices.REPORT,
                topic=asset,
                severity=Severity.INFO,
                pipeline=report.pipeline,
                owner=report.definition["owner"] or "",
                payload={"asset": asset, "partition": key},
                unique_key=f"report {asset} {key}",
            )
    return new
