"""Searching for hyper-parameters: trials are proposed by Optuna, remembered by the ledger, and the best one wins.

Invariant: what is proposed follows from the definition and the version of Optuna alone, and what a trial comes to from
its key. So it does not matter which process runs a trial: workers may run them beside each other, and who trains runs
what is missing. A model's image stands in the key for packages that no other place need have: a trial that ran outside
of it counts in its own environment alone, as a result does.
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


def tried(deployment: Deployment, asset: Asset, judged: Judgement, environment: str | None = None) -> list[Tried]:
    """Return the trials of one partition of a model, in their order, with what is known of them.

    Args:
        deployment: where.
        asset: the model.
        judged: which partition, and what it reads.
        environment: whose trials count beside those that ran in the model's image; None: the deployment's.

    Raises:
        Unavailable: the ledger cannot be used.

    """
    assert asset.search is not None
    proposed = proposals(asset.search)
    keys = [_keys(asset, judged, each, environment or deployment.environment) for each in proposed]
    with deployment.ledger.read() as connection:
        known = trials.read(connection, [key for each in keys for key in each])
    return [
        Tried(number, each, next((known[key] for key in some if key in known), None))
        for number, (each, some) in enumerate(zip(proposed, keys, strict=True), 1)
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
        Unavailable: the store, the ledger or the cluster cannot be used, or there is no room for it: another try may
            come to one.
        Exception: whatever the objective raises.

    """
    from tidemark.frames.clusters import computation

    search = batch.asset.search
    assert search is not None
    try:
        # A cluster that was lost is told apart from an objective that failed, here and not by who trains: the next
        # best would be taken for the best, for good.
        with computation(f"a trial of {batch.asset.name!r}"):
            given = {**batch.asset.parameters, **read(), **proposal}
            wanted = {name: given[name] for name in inspect.signature(search.objective).parameters}
            started = time.perf_counter()
            value = float(search.objective(**wanted))
            seconds = time.perf_counter() - started
    except (MemoryError, OSError) as problem:  # likewise
        said = f"{type(problem).__name__}: {problem}"
        raise Unavailable(f"a trial of {batch.asset.name} had to stop: {said}") from problem
    if not math.isfinite(value):
        raise ValueError(f"the objective returned {value}")
    everywhere, *here = _keys(batch.asset, judged, proposal, batch.environment)
    key = here[0] if here and running_image() != batch.asset.image else everywhere
    with batch.deployment.ledger.write() as connection:
        trials.write(connection, batch.asset_id, key, proposal, value=value, seconds=seconds, run=batch.run)
    return Trial(proposal, value, seconds)


def _keys(asset: Asset, judged: Judgement, proposal: Proposal, environment: str) -> tuple[bytes, ...]:
    """Return digests over all that a trial follows from: how many there are is not part of it.

    Under the first is what counts in every environment; of a model with an image there is a second, for what this
    environment has tried outside of it.
    """
    assert asset.search is not None
    others = {name: value for name, value in asset.parameters.items() if name != PARAMETER}
    code = fingerprint(asset.search.objective, resources=asset.files, image=asset.image).digest
    reads = [[read.input.parameter, str(read.input.annotation), read.digest] for read in judged.reads]
    parts = ("trial", asset.name, judged.key, code, others, reads, proposal)
    return (digest(*parts),) if asset.image is None else (digest(*parts), digest(*parts, environment))


def _named(proposal: Proposal) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in proposal.items())
