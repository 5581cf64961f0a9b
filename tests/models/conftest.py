"""An empty model registry on a real MLflow server, for the tests of this folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import Shop, new_shop
from tests.servers import MlflowServer


class Registry:
    """What the server says of one model, asked with MLflow's own client."""

    def __init__(self, server: MlflowServer, name: str = "demand") -> None:
        from mlflow import MlflowClient

        self.server = server
        self.name = name
        self.url = server.url
        self.client = MlflowClient(tracking_uri=server.url, registry_uri=server.url)

    def versions(self) -> list[Any]:
        """Every registered version, the oldest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(found, key=lambda each: int(each.version))

    def content(self) -> list[str]:
        """What of the ledger's each version is, the oldest first."""
        return [each.tags["tidemark.version"] for each in self.versions()]

    def alias(self, name: str = "champion") -> str | None:
        """Which version has an alias."""
        aliases: dict[str, str] = self.client.get_registered_model(self.name).aliases if self.versions() else {}
        return str(aliases[name]) if name in aliases else None

    def runs(self) -> list[Any]:
        """Every run of the model's experiment, the newest first."""
        experiment = self.client.get_experiment_by_name(self.name)
        return list(self.client.search_runs([experiment.experiment_id])) if experiment is not None else []

    def forget_everything(self) -> None:
        """Start anew: nothing is registered, and no experiment has the model's name."""
        if self.client.search_registered_models(f"name = '{self.name}'"):
            self.client.delete_registered_model(self.name)
        experiment = self.client.get_experiment_by_name(self.name)
        if experiment is not None:
            # What is deleted keeps its name.
            self.client.rename_experiment(experiment.experiment_id, f"before {experiment.experiment_id}")


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's server is asked, whatever the environment of who runs the tests says."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def registry(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch, no_registry: None) -> Iterator[Registry]:
    """An empty registry, and the environment set to use it."""
    mlflow_server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    found = Registry(mlflow_server)
    found.forget_everything()
    yield found
    mlflow_server.start()


@contextmanager
def standing_shop(folder: Path, registry: str | None = None) -> Iterator[Shop]:
    """A shop for several tests, and the environment in which it and a registry are the only ones."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith(("TIDEMARK_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        if registry is not None:
            patch.setenv("MLFLOW_TRACKING_URI", registry)
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr(sys, "path", sys.path.copy())
        shop = new_shop(folder / "shop")
        yield shop
        shop.forget_modules()
