"""How a candidate is judged before a person is asked: on what it has not seen, by limits and against the champion."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from tidemark.errors import DefinitionError
from tidemark.fingerprint import Fingerprint, fingerprint, together
from tidemark.hashing import digest


@dataclass(frozen=True)
class Limit:
    """What a metric has to keep; :func:`at_most` and :func:`at_least` make it.

    Attributes:
        value: the bound itself; None: only the champion counts.
        worse_by: how much worse than the champion's the metric may be, as a share of it; None: as much as it likes.
        less_is_better: the bound is the highest that is good, else the lowest.

    """

    value: float | None
    worse_by: float | None
    less_is_better: bool

    def bound(self, champion: float | None) -> float | None:
        """Return the bound that counts beside a champion with this value of the metric; None: there is none."""
        bounds = [] if self.value is None else [self.value]
        if champion is not None and self.worse_by is not None:
            sign = 1 if self.less_is_better else -1
            bounds.append(champion + sign * self.worse_by * abs(champion))
        if not bounds:
            return None
        return min(bounds) if self.less_is_better else max(bounds)


def _bounds(limit: Limit) -> bool:
    given = [each for each in (limit.value, limit.worse_by) if each is not None]
    if not given or not all(isinstance(each, int | float) and math.isfinite(each) for each in given):
        return False
    return limit.worse_by is None or limit.worse_by >= 0


def at_most(value: float | None, *, worse_by: float | None = None) -> Limit:
    """Say that less of a metric is better: at most a value, and at most a share more than the champion's."""
    return Limit(value, worse_by, less_is_better=True)


def at_least(value: float | None, *, worse_by: float | None = None) -> Limit:
    """Say that more of a metric is better: at least a value, and at most a share less than the champion's."""
    return Limit(value, worse_by, less_is_better=False)


@dataclass(frozen=True)
class Accuracy:
    """What says how accurate a model was in use; people can be told when it goes up or down.

    Attributes:
        column: the column with the number, in a table with one row a partition.
        less_is_better: it is an error, else a score.
        change: the share of the earlier number by which it has to go up or down to be told.

    """

    column: str
    less_is_better: bool = True
    change: float = 0.1

    def is_news(self, before: float, now: float) -> bool:
        """Return whether a number differs enough from the one before to be told."""
        return now != before and abs(now - before) >= self.change * abs(before)


@dataclass(frozen=True)
class Validation:
    """How a candidate is judged.

    Attributes:
        predictions: a function that is given the fitted model, and by name whatever the model's own function reads; it
            returns a table with the features and what they were predicted to be, of time that the model has not seen.
        metrics: a function of that table that returns a number for each metric.
        limits: what the metrics have to keep; those that are not named are only shown.
        business: the metric that the business understands; it is shown first.
        gate: the suite in ``expectations/`` that the table of predictions must pass, or None.
        pii: columns of the predictions with personal data: masked in what the gate says, and never an example.
        decide_within: how long an approver has; a weekly model's next candidate comes after a week.

    """

    predictions: Callable[..., Any]
    metrics: Callable[[Any], Mapping[str, float]]
    limits: Mapping[str, Limit] = field(default_factory=dict)
    business: str | None = None
    gate: str | None = None
    pii: frozenset[str] | Sequence[str] = frozenset()
    decide_within: timedelta = timedelta(days=6)

    def check(self, where: str, offered: set[str]) -> None:
        """Check that it fits its model.

        Args:
            where: file, line and name of the model, for messages.
            offered: the parameters of the model's function that have no value of their own.

        Raises:
            DefinitionError: the function reads what the model does not, or a limit is none.

        """
        names = list(inspect.signature(self.predictions).parameters)
        called = getattr(self.predictions, "__name__", "predictions")
        if not names:
            raise DefinitionError(f"{where}: {called}() has no parameter: the first receives the fitted model")
        for unknown in sorted(set(names[1:]) - offered):
            raise DefinitionError(
                f"{where}: {called}() reads {unknown!r}, which the model does not: name what it reads as the model does"
            )
        for name, limit in self.limits.items():
            if not isinstance(limit, Limit) or not _bounds(limit):
                raise DefinitionError(
                    f"{where}: the limit of {name!r} bounds nothing: write at_most(1.0), or at_most(None, "
                    "worse_by=0.05) for at most 5 % worse than the champion"
                )

    @cached_property
    def code(self) -> Fingerprint:
        """The code version of what judges."""
        return together(fingerprint(self.predictions), fingerprint(self.metrics))

    @property
    def rules(self) -> dict[str, Any]:
        """What it says beside its code, JSON-ready."""
        limits = {name: [each.value, each.worse_by, each.less_is_better] for name, each in self.limits.items()}
        return {"limits": limits, "business": self.business, "gate": self.gate}

    @cached_property
    def digest(self) -> bytes:
        """What it is made of: its code, its limits and the name of its gate."""
        return digest("validation", self.code.digest, self.rules)
