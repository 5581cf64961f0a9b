"""Models: candidates that training has made, the champions that people made of them, and taking that back.

``known`` is what the ledger says of a model, ``deciding`` what people do about it.
"""

from tidemark.models.deciding import Promoted, RolledBack, promote, reject, rollback
from tidemark.models.known import (
    CANDIDATE,
    CHAMPION,
    FORMER,
    REJECTED,
    ROLLED_BACK,
    SUPERSEDED,
    Reign,
    Version,
    reigns,
    versions,
)

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "FORMER",
    "REJECTED",
    "ROLLED_BACK",
    "SUPERSEDED",
    "Promoted",
    "Reign",
    "RolledBack",
    "Version",
    "promote",
    "reigns",
    "reject",
    "rollback",
    "versions",
]
