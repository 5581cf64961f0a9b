"""Helm, for the tests of the chart."""

import pytest

from tests.chart.rendering import Helm, find_helm, with_stand_in


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(find_helm(), with_stand_in(tmp_path_factory.mktemp("chart")))
