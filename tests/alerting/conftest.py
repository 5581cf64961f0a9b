"""Fixtures of the tests about alerts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerting.board import Board, open_board
from tests.alerting.receiving import Receiver, receiver


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with receiver() as made:
        yield made


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """An outbox on SQLite."""
    with open_board(tmp_path / "home") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def any_board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    """An outbox on each database."""
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with open_board(tmp_path / "home", url) as made:
        yield made
