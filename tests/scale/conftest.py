"""Engines for the tests of what outgrows one machine; where they are not installed, the tests say so."""

import importlib.util
import shutil
from collections.abc import Iterator

import pytest

from tests.lacking import lacking
from tidemark.frames import clusters, deserted


@pytest.fixture
def dask_here() -> None:
    """Dask is installed; its cluster on this machine is the same for all tests of a process."""
    if importlib.util.find_spec("distributed") is None:
        lacking("Dask is not installed: make test-scale")


@pytest.fixture
def spark_here() -> None:
    """PySpark and Java are installed; its session on this machine is the same for all tests of a process."""
    if importlib.util.find_spec("pyspark") is None:
        lacking("PySpark is not installed: make test-scale")
    if shutil.which("java") is None:
        lacking("Java is not installed, and Spark needs it: apt-get install openjdk-17-jre-headless")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests takes its time to start workers."""
    monkeypatch.setattr(clusters, "PATIENCE", 180)
    monkeypatch.setattr(deserted, "PATIENCE", 180)


@pytest.fixture(scope="session", autouse=True)
def ended() -> Iterator[None]:
    """End the engines of this machine when all is done."""
    yield
    clusters.close()
