"""Real deliveries, where there are any: nobody can ship them with the tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_deliveries() -> Path:
    """The folder that TIDEMARK_TEST_DATA names, with ``orders/`` and ``fx_rates/`` of real deliveries."""
    folder = os.environ.get("TIDEMARK_TEST_DATA")
    if not folder:
        # They belong to others and lie in no repository, so that also CI may run where nobody has them.
        pytest.skip("TIDEMARK_TEST_DATA names no folder of real deliveries")
    for source in ("orders", "fx_rates"):
        # A folder that is named and wrong is no reason to skip.
        assert any(Path(folder, source).glob("*.csv")), f"TIDEMARK_TEST_DATA={folder}: there is no file in {source}/"
    return Path(folder)
