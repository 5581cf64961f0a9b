"""Playing state machines: how many histories, from which seed, and where what fails is kept."""

import os
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.machine import Histories
from tests.properties.shops import Ground

KEPT = Path(__file__).parents[2] / ".soak"
"""What failed is kept here: ``examples`` is Hypothesis's, which the next play begins with; ``found`` is for people."""

STEPS = 10

ASKED = os.environ.get("TIDEMARK_HISTORIES")
"""How many histories somebody asked for; None in a plain test run."""

SEED = int(os.environ.get("TIDEMARK_SEED", "0"))
"""Which ones: those of one seed are the same each time, so that a change and not chance turns a run red."""

REPEATABLE = "repeatable"
"""The backend that draws the same from a seed in every process."""


class _Repeatable(HypothesisProvider):
    """Never draws a number that was found in the modules of the process, as Hypothesis's own backend does now and then.

    Which modules these are depends on the tests that ran before, and so would the histories of a seed.
    """

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS[REPEATABLE] = _Repeatable


def seed_of(share: int) -> int:
    """Return the seed of one share of what is played."""
    return SEED * 1000 + share


def play(
    machine: type[Histories],
    ground: Ground | None,
    *,
    histories: int,
    seed: int | None = None,
    steps: int = STEPS,
    again: bool = True,
) -> None:
    """Let a state machine play histories, after those that have failed before.

    Args:
        machine: the state machine.
        ground: where they take place.
        histories: how many new ones.
        seed: the histories of one seed are the same each time; without one they are new.
        steps: of a history, at most.
        again: whether those that have failed before come first.

    """
    played = type(machine.__name__, (machine,), {"ground": ground})
    if seed is not None:
        seeded(seed)(played)
    phases = [Phase.reuse, Phase.generate, Phase.shrink]
    run_state_machine_as_test(
        played,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            derandomize=False,
            backend=REPEATABLE,
            database=DirectoryBasedExampleDatabase(KEPT / "examples"),
            phases=phases if again else phases[1:],
            suppress_health_check=list(HealthCheck),
        ),
    )
