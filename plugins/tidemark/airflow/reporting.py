"""Announcing a report after its asset's task: what is new of the newest partitions is queued for the mail, once."""

from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from tidemark.airflow.context import retrying_only_outages


class AnnounceOperator(BaseOperator):
    """Puts the newest partitions of a report into the outbox, from where they are mailed.

    Args:
        asset: the report.

    """

    ui_color = "#e3e0f5"

    def __init__(self, *, asset: str, **options: Any) -> None:
        super().__init__(**options)
        self.asset = asset

    def execute(self, context: Context) -> list[str]:
        """Queue what nobody was told of and return it, or skip."""
        from tidemark.deployment import open_deployment
        from tidemark.reports import announce

        with retrying_only_outages(), open_deployment() as deployment:
            partitions = announce(deployment, self.asset)
        if not partitions:
            raise AirflowSkipException("the newest reports were announced before")
        self.log.info("%s %s will be mailed", self.asset, ", ".join(partitions))
        return partitions
