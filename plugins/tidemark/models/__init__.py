"""Models: candidates that training has made, the champions that people made of them, and taking that back.

``known`` is what the ledger says of a model. A run lets ``validating`` hold a candidate against the champion,
``tracking`` register it with MLflow, and ``presenting`` put it into words. ``deciding`` is what people do about it
then, and ``aliases`` makes the registry follow. ``retraining`` finds out whether drift asks for a training.
"""

from tidemark.models.deciding import Promoted, RolledBack, promote, reject, rollback
from tidemark.models.known import (
    CANDIDATE,
    CHAMPION,
    FORMER,
    INVALID,
    REJECTED,
    ROLLED_BACK,
    SUPERSEDED,
    Reign,
    Version,
    comparison,
    reigns,
    versions,
)

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "FORMER",
    "INVALID",
    "REJECTED",
    "ROLLED_BACK",
    "SUPERSEDED",
    "Promoted",
    "Reign",
    "RolledBack",
    "Version",
    "comparison",
    "promote",
    "reigns",
    "reject",
    "rollback",
    "versions",
]
