"""Announcing a report after its asset's task: the newest partition is queued for the mail, once."""

from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from tidemark.airflow.context import retrying_only_outages


class AnnounceOperator(BaseOperator):
    """Puts the newest partition of a report into the outbox, from where it is mailed.

    Args:
        asset: the report.

    """

    ui_color = "#e3e0f5"

    def __init__(self, *, asset: str, **options: Any) -> None:
        super().__init__(**options)
        self.asset = asset

    def execute(self, context: Context) -> str:
        """Queue it and return its partition, or skip."""
        from tidemark.deployment import open_deployment
        from tidemark.reports import announce

        with retrying_only_outages(), open_deployment() as deployment:
            partition = announce(deployment, self.asset)
        if partition is None:
            raise AirflowSkipException("the newest report was announced before")
        self.log.info("%s %s will be mailed", self.asset, partition)
        return partition
