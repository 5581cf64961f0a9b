"""Soundness, minimality and confluence: random histories of random deployments end as a naive oracle says.

After every run of a history: heads and marks are the oracle's, in every environment; what was executed is the minimum,
all of it was planned, what was said to run has run, and a plan made right after holds nothing. At its end, all that is
settled is what a clean rebuild gives.
"""

import os
from collections.abc import Iterator

import pytest

from tests.properties.machine import Histories
from tests.properties.playing import play
from tests.properties.shops import Ground

# Histories of a plain test run, and into how many tests they are cut.
FEW = 40
SHARES = 8


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Where one history takes place after the other."""
    opened = Ground()
    yield opened
    opened.leave()


@pytest.mark.timeout(0)
@pytest.mark.parametrize("share", range(SHARES))
def test_every_history_ends_as_the_oracle_says(ground: Ground, share: int) -> None:
    """Any random history; all of them are shared out, so that several processes can have a part each."""
    asked = int(os.environ.get("TIDEMARK_HISTORIES", str(FEW)))
    # The same ones each time, unless somebody asks for more.
    play(Histories, ground, histories=-(-asked // SHARES), seed=None if "TIDEMARK_HISTORIES" in os.environ else share)
