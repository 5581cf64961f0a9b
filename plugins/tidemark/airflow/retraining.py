"""Starting the training that drift asks for: one run of the model's DAG an episode, however many days that lasts."""

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from tidemark.airflow.context import retrying_only_outages


class RetrainOperator(TriggerDagRunOperator):
    """Starts the model's DAG if an asset asks for a training.

    The run is named after the episode, so that Airflow itself keeps it from being started twice. It trains the newest
    week by force, and asks the approver again where its candidate still waits: what drifted is the champion's data, and
    a week that was trained before gives the same candidate.

    Args:
        model: the model.
        asset: the asset that asks.

    """

    ui_color = "#f5e0d8"

    def __init__(self, *, model: str, asset: str, **options: Any) -> None:
        super().__init__(trigger_dag_id=model, skip_when_already_exists=True, **options)
        self.model = model
        self.asset = asset

    def execute(self, context: Context) -> None:
        """Start the run, or skip."""
        from tidemark.deployment import open_deployment
        from tidemark.models.retraining import requested

        with retrying_only_outages(), open_deployment() as deployment:
            request = requested(deployment, self.model, self.asset)
        if request is None:
            raise AirflowSkipException("nothing asks for a training")
        self.log.info("%s: %s asks for a training of %s", request.name, request.features, self.model)
        self.trigger_dag_id, self.trigger_run_id = request.pipeline, request.name
        self.conf = {"force": [f"{self.model}:{request.newest}"]} if request.newest else {}
        super().execute(context)
