"""Places that must be within reach: the store and the landing zone. The ledger is one too: see ``outage``."""

from collections.abc import Callable

from tidemark.deployment import Deployment
from tidemark.errors import TidemarkError
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.watching.checks import Found, Look, of_cause

STORE, LANDING = "store", "landing zone"

# No delivery: a zone that is not there is told from a folder that is not in it, and the second costs one question.
_NO_FOLDER = "tidemark-watch"


def store_within_reach(deployment: Deployment) -> Look:
    """Return the look at whether blobs can be written and read."""
    return lambda: _looked(STORE, lambda: deployment.store.check(), "nothing new can be published; what is live stays")


def landing_within_reach(deployment: Deployment) -> Look:
    """Return the look at whether the landing zone can be listed."""

    def ask() -> None:
        deployment.landing.files(_NO_FOLDER)

    return lambda: _looked(LANDING, ask, "the last good deliveries are served; nobody sees new ones")


def _looked(name: str, ask: Callable[[], None], instead: str) -> Found:
    try:
        ask()
    except TidemarkError as problem:
        summary = f"the {name} {CauseClass.UNREACHABLE.said.title}"
        wrong = Condition(CauseClass.UNREACHABLE, "", name, summary, why=str(problem), instead=instead, happened=0)
        return Found((wrong,), of_cause(CauseClass.UNREACHABLE, [name]))
    return Found((), of_cause(CauseClass.UNREACHABLE, [name]))
