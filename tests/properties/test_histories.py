"""Soundness, minimality and confluence: random histories of random deployments end as a naive oracle says.

After every run of a history: heads and marks are the oracle's, in every environment; what was executed is the minimum,
all of it was planned, what was said to run has run, and a plan made right after holds nothing. At its end, all that is
settled is what a clean rebuild gives.
"""

import pytest

from tests.properties.machine import Histories
from tests.properties.playing import ASKED, play, seed_of
from tests.properties.shops import Ground

# Histories of a plain test run, into how many tests they are cut, and of how many the ledger is on PostgreSQL.
FEW = 40
SHARES = 8
ON_POSTGRESQL = 8


@pytest.mark.timeout(0)
@pytest.mark.parametrize("share", range(SHARES))
def test_every_history_ends_as_the_oracle_says(ground: Ground, share: int) -> None:
    """Any random history; all of them are shared out, so that several processes can have a part each."""
    play(Histories, ground, histories=-(-int(ASKED or FEW) // SHARES), seed=seed_of(share))


@pytest.mark.timeout(0)
def test_every_history_ends_as_the_oracle_says_on_postgresql(postgres_ground: Ground) -> None:
    """A few of them, among them crashes and two runners at once."""
    asked = max(int(ASKED or 0) // 20, ON_POSTGRESQL)
    play(Histories, postgres_ground, histories=asked, seed=seed_of(SHARES))
