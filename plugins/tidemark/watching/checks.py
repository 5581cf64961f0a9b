"""What a check is, and what comes of it: the incidents of its scope follow what it finds.

Invariant: a check says everything that is wrong in its scope, or raises: what it cannot see, it does not resolve.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tidemark.deployment import Deployment
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.incidents.reconciling import Within, reconcile
from tidemark.ledger import incidents
from tidemark.ledger.incidents import Incident

ACTOR = "watch"


@dataclass(frozen=True)
class Found:
    """What a look has found.

    Attributes:
        conditions: everything that is wrong in the scope.
        within: whether an open incident is of the scope, so that it is over where it is not among the conditions.
        after: what remains to be done when the incidents follow it, such as to keep in mind what was seen.

    """

    conditions: tuple[Condition, ...]
    within: Within
    after: Callable[[], None] = lambda: None


Look = Callable[[], Found]
Clock = Callable[[], float]
Key = tuple[str, str, str]


def of_cause(cause: CauseClass, assets: Iterable[str] | None = None) -> Within:
    """Return a scope: all incidents of a cause class; if asked, those of some assets only."""
    some = None if assets is None else frozenset(assets)

    def within(one: Incident) -> bool:
        return one.cause == cause and (some is None or one.asset in some)

    return within


def lasting(look: Look, *, wrong_for: float = 0.0, well_for: float = 0.0, clock: Clock = time.monotonic) -> Look:
    """Return a look that tells nobody of what comes and goes within seconds.

    Args:
        look: what is looked at.
        wrong_for: for how many seconds a condition must have been found by every look before it counts.
        well_for: for how many seconds no look may have found it before its incident is over.
        clock: seconds that only rise.

    """
    wrong: dict[Key, float] = {}
    well: dict[Key, float] = {}

    def steadily() -> Found:
        now, found = clock(), look()
        keys = {each.key for each in found.conditions}
        for key in wrong.keys() - keys:
            del wrong[key]
        for key in keys:
            wrong.setdefault(key, now)
            well.pop(key, None)

        def within(one: Incident) -> bool:
            # One that is not told for now is not over.
            return found.within(one) and one.key not in keys and now - well.setdefault(one.key, now) >= well_for

        lasts = tuple(each for each in found.conditions if now - wrong[each.key] >= wrong_for)
        return replace(found, conditions=lasts, within=within)

    return steadily


def act_on(deployment: Deployment, found: Found) -> list[str]:
    """Open, update and resolve the incidents of a look's scope; returns a line for each that changed.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    changed = reconcile(deployment, found.conditions, within=found.within, actor=ACTOR)
    found.after()
    if not changed:
        return []
    lines = []
    with deployment.ledger.read() as connection:
        for number in changed:
            one, newest = incidents.read(connection, number), incidents.events(connection, number)[-1]
            lines.append(f"incident {number} {newest.what} ({one.cause}): {one.summary}")
    return lines
