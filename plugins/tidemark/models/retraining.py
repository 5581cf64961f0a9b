"""Whether drift asks for a training: an asset says so, and the newest episode of it counts."""

import re
from dataclasses import dataclass

from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.frames import load
from tidemark.ledger import registry
from tidemark.models.known import Model
from tidemark.reading import live_parts

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
    import polars as pl

    parts = live_parts(deployment, asset)
    if not parts:
        return None

    def rows(first: str) -> pl.DataFrame:
        wanted = [each for each in parts if each.partition >= first]
        found = load(wanted, pl.DataFrame, windowed=True, name=asset)
        assert isinstance(found, pl.DataFrame)
        lacking = [each for each in COLUMNS if each not in found.columns]
        if lacking:
            raise UsageError(f"{asset} cannot ask for trainings of {model}: it has no column {lacking[0]!r}")
        return found

    newest = rows(parts[-1].partition).row(0, named=True)
    if newest["since"] is None or not rows(newest["since"])["retrain"].any():
        return None
    with deployment.ledger.read() as connection:
        known = Model(connection, deployment, model)
        trained = known.made[known.newest].partition if known.newest is not None else None
        pipeline = registry.assets(connection)[model].pipeline
    return Request(pipeline, trained, newest["since"], newest["champion"] or "none", newest["features"])
