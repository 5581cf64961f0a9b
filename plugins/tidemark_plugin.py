"""The only file of this folder that Airflow scans; `.airflowignore` keeps the rest from it."""

import gc
import importlib
import sys
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from tidemark.airflow.navigation import APPS, VIEWS

# What tasks import anyway: seconds of CPU, most of them for the gate.
_HEAVY = (
    "great_expectations",
    "polars",
    "tidemark.airflow.factory",
    "tidemark.airflow.landing",
    "tidemark.frames.deliveries",
    "tidemark.frames.inputs",
    "tidemark.frames.outputs",
    "tidemark.landing.folder",
    "tidemark.running.run",
    "tidemark.store.folder",
    "tidemark.verdict",
)


class TidemarkPlugin(AirflowPlugin):
    """Brings the pages of reports into the UI, and lets tasks start quickly where they are forked."""

    name = "tidemark"
    fastapi_apps = APPS
    external_views = VIEWS

    @classmethod
    def on_load(cls, *args: Any, **options: Any) -> None:
        """Import what tasks need in a scheduler that is about to fork its workers, so that no task does it again."""
        if sys.argv[1:2] == ["scheduler"] and "LocalExecutor" in conf.get("core", "executor"):
            from tidemark.evaluation import quiet

            with quiet():
                for module in _HEAVY:
                    importlib.import_module(module)
            # None of it is garbage, and to look through it again and again takes a fifth of a second each time.
            gc.freeze()
