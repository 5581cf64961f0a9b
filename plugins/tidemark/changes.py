"""What has changed since a pipeline's newest plan, so that the next one looks at nothing else.

What can change a decision: deliveries, heads, declarations and holds (numbered changes of the ledger), what that plan
left to be done, what other pipelines lack by now, the definitions, and the clock. Where the definitions changed, or
where everything begins, there is no such start, and everything is looked at.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Pipeline
from tidemark.deployment import Deployment
from tidemark.facts import LedgerFacts, Names, definitions_digest
from tidemark.ledger import gaps, heads, plans
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.gaps import Gap
from tidemark.ledger.plans import StoredPlan
from tidemark.survey import Changes, EdgeMovedError, Edges, Selection, Survey, Sweep, Upstream
from tidemark.survey.clock import ticked


def edges_data(edges: Edges) -> dict[str, Any]:
    """Return where everything begins as JSON keeps it."""
    begins = {name: each.isoformat() if each else None for name, each in edges.begins.items()}
    oldest = {name: each.isoformat() for name, each in edges.oldest.items()}
    return {"first": dict(edges.first), "begins": begins, "oldest": oldest}


def edges_from(data: Mapping[str, Any]) -> Edges:
    """Return what :func:`edges_data` wrote."""
    begins = {name: datetime.fromisoformat(each) if each else None for name, each in data["begins"].items()}
    oldest = {name: datetime.fromisoformat(each) for name, each in data["oldest"].items()}
    return Edges(data["first"], begins, oldest)


class _Found:
    """Changes as they are collected."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._assets = {number: name for name, number in names.assets.items()}
        self.changes = Changes({name: set() for name in names.assets}, {name: set() for name in names.assets})

    def concerns(self, asset_id: int) -> bool:
        """Return whether an asset is one of the pipeline's, or read by it."""
        return asset_id in self._assets

    def add(self, to: Mapping[str, set[int]], partitions: Iterable[tuple[int, int]]) -> None:
        """Add partitions, as (asset id, partition id); lost keys and others' assets are left out."""
        for asset_id, number in partitions:
            name = self._assets.get(asset_id)
            ordinal = self._names.ordinal(name, number) if name is not None else None
            if name is not None and ordinal is not None:
                to[name].add(ordinal)


def changes_since(
    connection: sa.Connection,
    facts: LedgerFacts,
    base: StoredPlan | None,
    *,
    definitions: bytes,
    as_of: datetime,
    selection: Selection,
) -> Changes | None:
    """Return what may be otherwise than a plan has left it; None: that plan is no start.

    Args:
        connection: the transaction in which facts are read.
        facts: the ledger's answers.
        base: the plan.
        definitions: digest of the definitions as they are now.
        as_of: the instant that is taken for now.
        selection: which partitions were asked for.

    """
    if base is None or base.definitions != definitions or as_of < base.as_of:
        return None
    found = _Found(facts.names)
    judge, tell = found.changes
    environment, pipeline = facts.environment, facts.pipeline
    changed = [
        each
        for each in heads.changes_since(connection, base.seq if base.settled is None else base.settled)
        if found.concerns(each.asset_id) and each.environment in (None, heads.PROD, environment)
    ]
    if any(each.partition_id is None for each in changed):
        return None  # all of an asset
    found.add(tell, ((each.asset_id, each.partition_id) for each in changed if each.partition_id is not None))
    found.add(judge, gaps.open_ones(connection, environment, pipeline.name, as_of))
    # While a plan is not settled, all that it asked for may have come out in any way.
    found.add(judge, plans.places(connection, base.id, left_over=True))
    found.add(tell, plans.places(connection, base.id, left_over=False) if base.settled is None else ())
    for name, ordinals in _of_others(connection, facts):
        judge[name].update(ordinals)
    for name, ordinals in ticked(pipeline, facts.externals, base.as_of, as_of).items():
        judge[name].update(ordinals)
    for name, ordinals in _forced(facts, selection):
        judge[name].update(ordinals)
    return found.changes


def _of_others(connection: sa.Connection, facts: LedgerFacts) -> Iterator[tuple[str, Iterable[int]]]:
    """Yield what other pipelines lack by now of what is read of them, and what they have lacked."""
    for name, upstream in facts.externals.items():
        if isinstance(upstream, Upstream):
            kept = gaps.read(connection, facts.environment, facts.pipeline.name, facts.names.assets[name])
            yield name, {*upstream.gaps, *upstream.unreached, *facts.names.by_ordinal(name, kept)}


def _forced(facts: LedgerFacts, selection: Selection) -> Iterator[tuple[str, Iterable[int]]]:
    """Yield what a person wants to be computed whatever is known of it."""
    for name, key in selection.force:
        if key is not None:
            yield name, {facts.pipeline[name].grain.ordinal(key)}
        else:
            stored = facts.stored(name, None)
            yield name, {*stored.heads, *stored.gaps}


def sweep_since(survey: Survey, facts: LedgerFacts, base: StoredPlan | None, definitions: bytes) -> Sweep:
    """Begin a survey from what has changed since a plan, or from nothing where that is no start.

    Args:
        survey: what is gone through; it forgets what it was.
        facts: the ledger's answers.
        base: the plan; None: everything is to be looked at.
        definitions: digest of the definitions as they are now.

    """
    with facts.reading() as connection:
        changes = changes_since(
            connection, facts, base, definitions=definitions, as_of=survey.as_of, selection=survey.selection
        )
    if base is not None and changes is not None:
        survey.begin(facts, since=base.as_of, edges=edges_from(base.context["edges"]))
        try:
            return Sweep(survey, changes)
        except EdgeMovedError:
            pass
    survey.begin(facts)
    return Sweep(survey, None)


def survey_since(
    deployment: Deployment,
    pipeline: Pipeline,
    names: Names,
    stored: StoredPlan,
    selection: Selection,
    *,
    connection: sa.Connection | None = None,
) -> tuple[Survey, Sweep]:
    """Return the survey of those who work off a stored plan, or look at what became of it, and the sweep over it.

    Args:
        deployment: where.
        pipeline: the definitions.
        names: ids.
        stored: the plan.
        selection: what was asked for, as far as it is still to be done.
        connection: a transaction in which everything is read; None: each answer is read when it is asked for.

    """
    facts = LedgerFacts(deployment, pipeline, names, connection)
    survey = Survey(pipeline, facts, stored.as_of, selection, planning=False, tried_after=stored.context["made"])
    definitions = definitions_digest(deployment, pipeline, names.externals)
    return survey, sweep_since(survey, facts, stored, definitions)


def settle(
    deployment: Deployment, survey: Survey, names: Names, plan_id: int, is_own: Callable[[heads.Changed], bool]
) -> bool:
    """Note that a plan was worked off and nobody has changed anything meanwhile, so that nobody looks at it all again.

    What was worked off by other definitions than the plan was made by may be wrong by those that come back later.

    Args:
        deployment: where.
        survey: which knows what became of everything.
        names: ids.
        plan_id: the plan.
        is_own: whether a change was made by who worked it off.

    Returns:
        Whether that is so.

    """
    environment, pipeline = deployment.environment, survey.pipeline.name
    environments, mine = (None, heads.PROD, environment), set(names.assets.values())
    definitions = definitions_digest(deployment, survey.pipeline, names.externals)
    with deployment.ledger.write() as connection:
        take_turn(connection, Turn.HEADS)
        newest = plans.newest(connection, environment, pipeline)
        if newest is None or newest.id != plan_id or newest.definitions != definitions:
            return False
        if plans.was_left(connection, plan_id):
            return False
        if heads.changed_since(
            connection,
            newest.seq,
            (),
            lambda each: each.environment in environments and each.asset_id in mine and not is_own(each),
        ):
            return False
        write_gaps(connection, environment, pipeline, names, changed_gaps(survey))
        plans.settle(connection, plan_id, heads.newest_change(connection))
    return True


def changed_gaps(survey: Survey) -> dict[str, dict[int, Gap | None]]:
    """Return what has to be kept besides heads, where that is not what is kept, by asset and ordinal."""
    return {name: found for name, track in survey.tracks.items() if (found := track.changed_gaps())}


def write_gaps(
    connection: sa.Connection,
    environment: str,
    pipeline: str,
    names: Names,
    changed: Mapping[str, Mapping[int, Gap | None]],
) -> None:
    """Write down what has to be kept besides heads, by asset and ordinal."""
    for asset, found in changed.items():
        grain = names.grains[asset]
        names.ensure(connection, asset, [grain.key(ordinal) for ordinal, each in found.items() if each is not None])
        met = {names.id_at(asset, ordinal): each for ordinal, each in found.items() if names.is_met(asset, ordinal)}
        gaps.write(connection, environment, pipeline, names.assets[asset], met)
