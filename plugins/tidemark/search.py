"""A search for hyper-parameters: which ones, where, how many trials, and what a trial is judged by."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidemark.errors import DefinitionError

Range = Mapping[str, Any]
"""``{"low": 0.001, "high": 1.0, "log": True}``, whole numbers if both ends are, or ``{"choices": ["a", "b"]}``."""

PARAMETER = "search"
"""The name under which trials and space are among a model's parameters, and so in its action key."""

FOUND = "search."
"""What the names begin with under which a materialization keeps the hyper-parameters that were found."""


@dataclass(frozen=True)
class Search:
    """How a model's hyper-parameters are found: the trial with the least value wins, the first of equal ones.

    Attributes:
        objective: a function that is given by name what the model's own function is given, with the hyper-parameters of
            a trial; it returns a number, and less is better. It must not look at what the candidate is judged by later.
        space: where each hyper-parameter is looked for.
        trials: how many are tried. More of them try the same ones first.
        seed: what the proposals are drawn with.

    """

    objective: Callable[..., float]
    space: Mapping[str, Range]
    trials: int = 4
    seed: int = 0

    def check(self, where: str, offered: set[str]) -> None:
        """Check that it fits its model.

        Args:
            where: file, line and name of the model, for messages.
            offered: the parameters of the model's function.

        Raises:
            DefinitionError: a range is none, or the objective reads what the model does not.

        """
        called = getattr(self.objective, "__name__", "objective")
        for unknown in sorted(set(inspect.signature(self.objective).parameters) - offered):
            raise DefinitionError(f"{where}: {called}() reads {unknown!r}, which the model does not")
        for unknown in sorted(set(self.space) - offered):
            raise DefinitionError(f"{where}: the search looks for {unknown!r}, which is no parameter of the model")
        problem = problem_of(self.trials, self.space)
        if problem is not None:
            raise DefinitionError(f"{where}: {problem}")

    def as_parameter(self) -> dict[str, Any]:
        """Return what of it enters the action key beside its code."""
        space = {name: dict(sorted(each.items())) for name, each in sorted(self.space.items())}
        return {"trials": self.trials, "space": space, "seed": self.seed}


def problem_of(trials: object, space: object) -> str | None:
    """Return what is wrong with a number of trials and a space, in words; None: nothing."""
    if not isinstance(trials, int) or isinstance(trials, bool) or not 1 <= trials <= 1000:
        return f"trials={trials!r}: give a whole number from 1 to 1000"
    if not isinstance(space, Mapping) or not space:
        return 'the space of the search is empty: give it as {"alpha": {"low": 0.001, "high": 1.0, "log": True}}'
    return next((said for name, each in space.items() if (said := _problem(name, each)) is not None), None)


def _problem(name: str, given: object) -> str | None:
    example = f'{name}: write {{"low": 0.001, "high": 1.0, "log": True}} or {{"choices": [1, 2]}}'
    if not isinstance(given, Mapping):
        return f"{given!r} is no range; {example}"
    if set(given) == {"choices"}:
        choices = given["choices"]
        fine = isinstance(choices, Sequence) and not isinstance(choices, str) and choices
        return None if fine and all(isinstance(each, (str, int, float, bool)) for each in choices) else example
    if not {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        return f"{dict(given)!r} is no range; {example}"
    low, high, log = given["low"], given["high"], given.get("log", False)
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (low, high))
    if not numbers or not all(math.isfinite(each) for each in (low, high)) or not low < high:
        return f"{name}: low={low!r} has to be less than high={high!r}"
    if not isinstance(log, bool) or (log and low <= 0):
        return f"{name}: a range with log=True has to begin above 0, and this one begins at {low!r}"
    return None
