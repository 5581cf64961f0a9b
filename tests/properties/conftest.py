"""Where histories take place."""

import sys
from collections.abc import Iterator

import pytest

from tests.properties.shops import Ground


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A folder for one shop after the other, whose ledgers are on SQLite."""
    yield from _opened(Ground(), monkeypatch)


@pytest.fixture
def postgres_ground(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A folder for one shop after the other, whose ledgers are on PostgreSQL."""
    yield from _opened(Ground(postgres), monkeypatch)


def _opened(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield ground
    ground.leave()
