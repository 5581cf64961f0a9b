"""Searching for hyper-parameters: trials are proposed by Optuna, remembered by the ledger, and the best one wins.

Invariant: what is proposed follows from the definition and the version of Optuna alone, and what a trial comes to from
its key. So it does not matter which process runs a trial: workers may run them beside each other, and who trains runs
what is missing. Where a model asks for an image, that holds within it alone: see `Place`.
"""

import inspect
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tidemark.assets import Asset
from tidemark.config import running_image
from tidemark.deployment import Deployment
from tidemark.errors import OutputError, Unavailable
from tidemark.fingerprint import fingerprint
from tidemark.hashing import digest
from tidemark.ledger import trials
from tidemark.ledger.trials import Trial
from tidemark.running.batch import Batch
from tidemark.search import PARAMETER, Range, Search
from tidemark.survey import Judgement

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Proposal = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a trial runs: a model's image stands in its key for packages that no other place need have.

    So a trial of a model with an image, run outside of it, counts in its own environment alone, as a result does.

    Attributes:
        environment: of whom.
        image: in which container image, None for in none.

    """

    environment: str
    image: str | None


@dataclass(frozen=True)
class Tried:
    """A trial that was proposed: its number, its hyper-parameters, and what it came to if that is known."""

    number: int
    parameters: Proposal
    trial: Trial | None


def proposals(search: Search) -> list[Proposal]:
    """Return the hyper-parameters of each trial; the same for the same search, and more trials begin like fewer."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=search.seed))
    space = {name: _distribution(each) for name, each in sorted(search.space.items())}
    return [dict(study.ask(space).params) for _ in range(search.trials)]


def _distribution(given: Range) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if "choices" in given:
        return CategoricalDistribution(tuple(given["choices"]))
    low, high, log = given["low"], given["high"], given.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def tried(deployment: Deployment, asset: Asset, judged: Judgement, place: Place | None = None) -> list[Tried]:
    """Return the trials of one partition of a model, in their order, with what is known of them at a place: here."""
    assert asset.search is not None
    proposed = proposals(asset.search)
    place = place or _here(deployment)
    keys = [_key(asset, judged, each, place) for each in proposed]
    with deployment.ledger.read() as connection:
        known = trials.read(connection, keys)
    return [
        Tried(number, each, known.get(key)) for number, (each, key) in enumerate(zip(proposed, keys, strict=True), 1)
    ]


def best(batch: Batch, judged: Judgement, read: Callable[[], Mapping[str, object]]) -> Proposal:
    """Return the hyper-parameters of the best trial of one partition, running those that nobody has run.

    Args:
        batch: the model's batch.
        judged: which partition, and what it reads.
        read: reads its inputs, by parameter: anew for each trial, whatever the one before did to what it was given.

    Raises:
        OutputError: no trial came to a number.
        Unavailable: the store or the ledger cannot be used, or there is no room for a trial: worth another try.

    """
    found, problems, ran = list[Tried](), dict[str, str](), dict[str, Trial]()
    for each in tried(batch.deployment, batch.asset, judged):
        same = _named(each.parameters)  # the same hyper-parameters may be proposed twice
        try:
            trial = each.trial or ran.get(same) or run(batch, judged, read, each.parameters)
            ran[same] = trial
            found.append(replace(each, trial=trial))
        except Unavailable:
            raise
        except Exception as problem:  # whatever the objective raises
            problems.setdefault(f"{type(problem).__name__}: {problem}", _named(each.parameters))
    chosen = best_of(found)
    if chosen is None:
        said = "; ".join(f"{problem} ({which})" for problem, which in problems.items())
        raise OutputError(f"{batch.asset.where}: no trial came to a number: {said}")
    return chosen


def best_of(found: Iterable[Tried]) -> Proposal | None:
    """Return the hyper-parameters of the trial with the least value, the first of equal ones; None: none has one."""
    valued = [(each.trial.value, each.number, each.parameters) for each in found if each.trial is not None]
    return min(valued, key=lambda each: each[:2])[2] if valued else None


def run(batch: Batch, judged: Judgement, read: Callable[[], Mapping[str, object]], proposal: Proposal) -> Trial:
    """Run a trial and write down what it came to.

    Raises:
        ValueError: it came to no number.
        Unavailable: the store or the ledger cannot be used, or there is no room for it: another try may come to one.
        Exception: whatever the objective raises.

    """
    search = batch.asset.search
    assert search is not None
    given = {**batch.asset.parameters, **read(), **proposal}
    wanted = {name: given[name] for name in inspect.signature(search.objective).parameters}
    started = time.perf_counter()
    try:
        value = float(search.objective(**wanted))
    except (MemoryError, OSError) as problem:  # the next best would be taken for the best, for good
        said = f"{type(problem).__name__}: {problem}"
        raise Unavailable(f"a trial of {batch.asset.name} had to stop: {said}") from problem
    seconds = time.perf_counter() - started
    if not math.isfinite(value):
        raise ValueError(f"the objective returned {value}")
    key = _key(batch.asset, judged, proposal, _here(batch.deployment))
    with batch.deployment.ledger.write() as connection:
        trials.write(connection, batch.asset_id, key, proposal, value=value, seconds=seconds, run=batch.run)
    return Trial(proposal, value, seconds)


def _here(deployment: Deployment) -> Place:
    return Place(deployment.environment, running_image())


def _key(asset: Asset, judged: Judgement, proposal: Proposal, place: Place) -> bytes:
    """Return a digest over all that a trial follows from: how many there are is not part of it."""
    assert asset.search is not None
    others = {name: value for name, value in asset.parameters.items() if name != PARAMETER}
    code = fingerprint(asset.search.objective, resources=asset.files, image=asset.image).digest
    reads = [[read.input.parameter, str(read.input.annotation), read.digest] for read in judged.reads]
    outside = [place.environment] if asset.image not in (None, place.image) else []
    return digest("trial", asset.name, judged.key, code, others, reads, proposal, *outside)


def _named(proposal: Proposal) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in proposal.items())
