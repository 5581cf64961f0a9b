"""What trials of hyper-parameters came to, so that none is run twice, in whatever process it was run.

Invariant: a trial's key is over all that it follows from, so that what is written under it is never changed.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from tidemark.ledger.registry import chunks, insert_new
from tidemark.ledger.schema import trial


class Trial(NamedTuple):
    """A trial that came to a number: its hyper-parameters, its value, of which less is better, and the time it took."""

    parameters: dict[str, Any]
    value: float
    seconds: float


def read(connection: sa.Connection, keys: Iterable[bytes]) -> dict[bytes, Trial]:
    """Return what is known of some trials, by their keys."""
    found: dict[bytes, Trial] = {}
    for some in chunks(keys):
        query = sa.select(trial.c.key, trial.c.parameters, trial.c.value, trial.c.seconds)
        for key, parameters, value, seconds in connection.execute(query.where(trial.c.key.in_(some))):
            found[key] = Trial(parameters, value, seconds)
    return found


def write(
    connection: sa.Connection,
    asset_id: int,
    key: bytes,
    parameters: Mapping[str, Any],
    *,
    value: float,
    seconds: float,
    run: str,
) -> None:
    """Write down what a trial came to; what another process wrote meanwhile stays."""
    row = {"key": key, "asset_id": asset_id, "parameters": dict(parameters), "value": value, "seconds": seconds}
    connection.execute(insert_new(connection, trial), [{**row, "run": run, "at": datetime.now(UTC)}])
