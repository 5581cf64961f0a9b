"""Observing sources: what is in the landing zone now, gated, copied into the store, and written down.

Invariants:

* A file is hashed again only when its stat token changed, or when the token could hide a change.
* A file that is listed as it was at the last look is not asked about: only listings are compared (see
  :mod:`tidemark.ledger.listings`).
* Nothing is read by an asset from the landing zone: an accepted delivery was copied into the store first.
* Of two runs of an environment that look at once, the one that wrote down first stands; what is newer still is for the
  next run.
* What a branch has not seen itself it need not read if ``prod`` has, in the same way; its own suite decides about it.
* A bad delivery leaves the last accepted one live; a listing that fails, or too many files vanishing at once, changes
  nothing at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tidemark.assets import Pipeline, Source
from tidemark.deployment import Deployment
from tidemark.facts import Names
from tidemark.ledger.sources import REJECTED
from tidemark.memory import uncollected
from tidemark.observe.look import check_vanished, look_at, seen_now
from tidemark.observe.taking import Change, Progress, changes_of
from tidemark.observe.writing import adopt, keep_listing, write

__all__ = ["Observed", "Progress", "observe"]

# Deliveries written down in one transaction: what a crash can cost is hashed again.
GROUP = 50

# Files that one warning names; a plan as JSON names all.
NAMED = 5


def _silent(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Observed:
    """What observing found.

    Attributes:
        rejected: deliveries that were rejected just now, as (source, key, problem); not those that are so still.
        warnings: sentences about files that were passed over.
        ignored: files that deliver no partition, as (source, file, why); the warnings name the first of them.

    """

    rejected: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    ignored: tuple[tuple[str, str, str], ...] = ()


@uncollected()
def observe(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    *,
    as_of: datetime,
    run: str,
    actor: str,
    confirmed: frozenset[str] = frozenset(),
    verify: bool = False,
    progress: Progress = _silent,
) -> Observed:
    """Look at all sources of a pipeline and write down what changed.

    Args:
        deployment: where.
        pipeline: whose sources.
        names: ids; keys that are met for the first time are added.
        as_of: the instant that is taken for now.
        run: the run that looks.
        actor: who started it.
        confirmed: sources of which a person has said that many files may be gone.
        verify: look at every file's observation, not only at those of files that are not listed as they were.
        progress: called with a source's name, files done and files to do.

    Raises:
        Refused: over a tenth of a source's files (at least two) vanished at once.
        Unavailable: the landing zone cannot be listed, or the store or ledger not written.

    """
    rejected: list[tuple[str, str, str]] = []
    warnings = list(names.warnings)
    ignored: list[tuple[str, str, str]] = []
    looks = []
    for source in pipeline.sources:
        look, strange = look_at(deployment, pipeline, names, source, as_of, verify=verify)
        if strange:
            warnings.append(_ignored_text(source, strange))
        ignored += [(source.name, file, why) for file, why in strange.items()]
        check_vanished(look, confirmed)
        looks.append(look)
    for look in looks:
        name, wrote = look.source.name, False
        for group in _grouped(changes_of(deployment, pipeline, look, progress, warnings)):
            wrote = True
            rejected += [
                (name, each.key, each.observation.problem or "")
                for each in write(deployment, look, names, group, run, actor)
                if each.observation.outcome == REJECTED and not each.again
            ]
        if wrote:
            look = replace(look, seen=seen_now(deployment, look, names))
        if look.files or not look.partial:
            adopt(deployment, look, names, run, actor)
        keep_listing(deployment, look)
    return Observed(tuple(rejected), tuple(warnings), tuple(ignored))


def _ignored_text(source: Source, strange: Mapping[str, str]) -> str:
    """Return one warning for all files of a source that deliver nothing; it names the first of them."""
    named = [f"{file!r} ({why})" for file, why in list(strange.items())[:NAMED]]
    more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
    return f"{source.name}: ignored {', '.join(named)}{more}"


def _grouped(changes: Iterator[Change]) -> Iterator[list[Change]]:
    group: list[Change] = []
    for each in changes:
        group.append(each)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group
