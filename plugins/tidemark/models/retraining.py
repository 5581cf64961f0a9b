"""Whether drift asks for a training: an asset says so, and the newest episode of it counts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.frames import Part, load
from tidemark.ledger import registry
from tidemark.models.known import Model
from tidemark.reading import live_parts

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("retrain", "since", "champion", "features")
"""What a table that asks for trainings has to have: one row a partition."""


@dataclass(frozen=True)
class Request:
    """A training that is asked for.

    Attributes:
        pipeline: the pipeline that has the model.
        newest: the newest partition that the model was trained for; None: it never was.
        since: the partition with which the episode began.
        champion: the champion that the data has drifted from.
        features: which features have drifted, in words.

    """

    pipeline: str
    newest: str | None
    since: str
    champion: str
    features: str

    @property
    def name(self) -> str:
        """Its name: the same for all days of an episode, of what Airflow takes in the name of a run."""
        return re.sub(r"[^A-Za-z0-9_.:-]", "-", f"drift_{self.since}_from_{self.champion}")


def requested(deployment: Deployment, model: str, asset: str) -> Request | None:
    """Return the training of a model that an asset's newest episode asks for; None: it asks for none.

    Raises:
        UsageError: the asset has no such columns, or the ledger knows no such model.

    """
    parts = live_parts(deployment, asset)
    newest = _rows(parts[-1:], model, asset)
    if newest.is_empty() or newest["since"][-1] is None:
        return None
    since, row = str(newest["since"][-1]), newest.row(-1, named=True)
    if not any(_rows([each], model, asset)["retrain"].any() for each in parts if each.partition >= since):
        return None
    with deployment.ledger.read() as connection:
        known = Model(connection, deployment, model)
        trained = known.made[known.newest].partition if known.newest is not None else None
        pipeline = registry.assets(connection)[model].pipeline
    return Request(pipeline, trained, since, str(row["champion"] or "none"), str(row["features"]))


def _rows(parts: Sequence[Part], model: str, asset: str) -> "pl.DataFrame":
    """Return what some partitions say, which must be what asks for a training.

    Raises:
        UsageError: a column is not there.

    """
    import polars as pl

    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    found = load(parts, pl.DataFrame, windowed=True, name=asset)
    assert isinstance(found, pl.DataFrame)
    lacking = [each for each in COLUMNS if each not in found.columns]
    if lacking:
        raise UsageError(f"{asset} cannot ask for trainings of {model}: it has no column {lacking[0]!r}")
    return found
