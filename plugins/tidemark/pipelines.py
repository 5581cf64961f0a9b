"""Putting sources and assets together: that they fit each other, and in which order they are computed.

Whatever does not fit is a :class:`DefinitionError`, naming the file, the function and the mend.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidemark.assets import Asset, Input, Pipeline, Source
from tidemark.calendars import Due
from tidemark.errors import DefinitionError, close
from tidemark.mappings import Previous
from tidemark.partitions import Grain, TimeGrain, known_zone
from tidemark.validation import Accuracy


def pipeline(
    name: str,
    members: Sequence[Source | Callable[..., Any]],
    *,
    schedule: str | None = None,
    timezone: str = "UTC",
    on_arrival: bool = False,
    owner: str | None = None,
    tags: Sequence[str] = (),
    doc: str = "",
    file: Path | None = None,
    retrains: Mapping[str, str] | None = None,
    accuracy: Mapping[str, Accuracy] | None = None,
    reports: Sequence[str] = (),
    deadline: str | None = None,
) -> Pipeline:
    """Put sources and assets together, check that they fit, and order them.

    Raises:
        DefinitionError: a cycle, an unknown input, a mapping between grains that cannot map, a duplicate name, a
            deadline that cannot be read.

    """
    where = f"{file.name if file else 'pipeline'}: pipeline({name!r})"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise DefinitionError(f"{where}: use letters, digits, '_', '-' and '.' in the name: it becomes the DAG's")
    known_zone(timezone, f"{where}: timezone")
    sources, assets = _members(members, where)
    known: dict[str, Grain] = {each.name: each.grain for each in sources}
    known.update((each.name, each.grain) for each in assets)
    for each in assets:
        _check_inputs(each, known)
    ordered = _in_order(assets, where)
    for each in ordered:
        _check_start(each, known)
    made = Pipeline(
        name=name,
        sources=tuple(sources),
        assets=tuple(ordered),
        schedule=schedule,
        timezone=timezone,
        on_arrival=on_arrival,
        doc=inspect.cleandoc(doc),
        owner=owner,
        tags=tuple(tags),
        file=file,
        retrains=dict(retrains or {}),
        accuracy=dict(accuracy or {}),
        reports=_reports(reports, ordered, where),
        deadline=_deadline(deadline, schedule, where),
    )
    names = [each.name for each in ordered]
    for model, asking in made.retrains.items():
        if asking not in names:
            raise DefinitionError(
                f"{where}: retrains={{{model!r}: {asking!r}}}: {asking!r} is no asset of it{close(asking, names)}"
            )
    _check_accuracy(made, names, where)
    return made if owner is None else _owned(made, owner)


def _check_accuracy(made: Pipeline, names: Sequence[str], where: str) -> None:
    """Check that what says how accurate models are can say it."""
    for name, each in made.accuracy.items():
        said = f"{where}: accuracy={{{name!r}: ...}}"
        if name not in names:
            raise DefinitionError(f"{said}: {name!r} is no asset of it{close(name, names)}")
        if not isinstance(each, Accuracy) or not each.column or not each.change > 0:
            raise DefinitionError(f"{said}: write Accuracy('column'), and a change above 0")
        if not made.asset(name).grain.is_time:
            raise DefinitionError(f"{said}: it has no partitions of time, so that none comes before another")


def _reports(given: Sequence[str], assets: list[Asset], where: str) -> tuple[str, ...]:
    """Return the names of reports, each of which must be an asset of the pipeline that has a newest partition."""
    if isinstance(given, str):
        raise DefinitionError(f"{where}: reports={given!r}: give a list, reports=[{given!r}]")
    known = {each.name: each for each in assets}
    for name in given:
        if name not in known:
            raise DefinitionError(f"{where}: reports=[{name!r}]: it is no asset of the pipeline{close(name, known)}")
        if not isinstance(known[name].grain, TimeGrain):
            raise DefinitionError(
                f"{where}: reports=[{name!r}]: a report is of a time: write partitions=Daily() or such"
            )
    return tuple(given)


def _deadline(text: str | None, schedule: str | None, where: str) -> Due | None:
    """Read by when runs must be over."""
    if text is None:
        return None
    try:
        due = Due.parse(text)
    except DefinitionError as problem:
        raise DefinitionError(
            f"{where}: deadline={text!r}: write '07:30 Europe/London' (a run of the schedule is over by then), "
            "or '90 minutes' (each run may take so long)"
        ) from problem
    if due.clock is not None and schedule is None:
        raise DefinitionError(
            f"{where}: deadline={text!r} is counted from the schedule, and there is none: "
            "give schedule= too, or a duration such as '90 minutes'"
        )
    return due


def _owned(made: Pipeline, owner: str) -> Pipeline:
    """Give the pipeline's owner to the members that name none."""
    return replace(
        made,
        sources=tuple(replace(each, owner=each.owner or owner) for each in made.sources),
        assets=tuple(replace(each, owner=each.owner or owner) for each in made.assets),
    )


def _members(members: Sequence[Source | Callable[..., Any]], where: str) -> tuple[list[Source], list[Asset]]:
    found = [_definition(each, where) for each in members]
    places: dict[str, str] = {}
    for each in found:
        if each.name not in places:
            places[each.name] = each.where
        elif places[each.name] == each.where:
            raise DefinitionError(f"{where}: {each.name} stands twice among its members: once is enough")
        else:
            raise DefinitionError(f"{where}: {places[each.name]} and {each.where} have one name: rename one")
    assets = [each for each in found if isinstance(each, Asset)]
    if not assets:
        raise DefinitionError(f"{where}: there is nothing to compute: give at least one @asset function")
    return [each for each in found if isinstance(each, Source)], assets


def _definition(member: object, where: str) -> Source | Asset:
    definition = member if isinstance(member, Source) else getattr(member, "__tidemark__", None)
    if isinstance(definition, (Source, Asset)):
        return definition
    name = getattr(member, "__name__", repr(member))
    raise DefinitionError(f"{where}: {name} is neither a source() nor decorated with @asset(...)")


def _check_inputs(each: Asset, known: dict[str, Grain]) -> None:
    for read in each.inputs:
        if read.external:
            if read.upstream in known:
                raise DefinitionError(
                    f"{each.where}: {read.upstream!r} is of this pipeline: name the parameter after it, without ref()"
                )
            continue
        upstream = known.get(read.upstream)
        if upstream is None:
            raise DefinitionError(
                f"{each.where}: parameter {read.parameter!r} names no member of the pipeline"
                f"{close(read.upstream, known)}"
                " (an asset of another pipeline is inputs={...: ref(name)}; a plain parameter needs a default)"
            )
        check_mapping(each, read, upstream)


def _check_start(each: Asset, known: dict[str, Grain]) -> None:
    """Check that something tells with which partition an asset of time begins."""
    if not isinstance(each.grain, TimeGrain) or each.grain.first is not None:
        return
    others = [read for read in each.inputs if read.upstream != each.name]
    if not any(read.external or isinstance(known[read.upstream], TimeGrain) for read in others):
        grain = type(each.grain).__name__
        raise DefinitionError(
            f"{each.where}: it reads nothing that is partitioned by time, so nothing tells with which partition it "
            f"begins: say so, as in {grain}(start={each.grain.example!r})"
        )


def check_mapping(each: Asset, read: Input, upstream: Grain) -> None:
    """Check that an input's mapping fits the grains on both sides.

    Raises:
        DefinitionError: when it does not; says which mapping would.

    """
    problem = read.mapping.check(each.grain, upstream)
    if problem:
        raise DefinitionError(f"{each.where}: input {read.parameter!r}: {problem}")


def _in_order(assets: list[Asset], where: str) -> list[Asset]:
    """Order assets after what they read, keeping the given order where it is free."""
    waiting = list(assets)
    done: set[str] = set()
    ordered: list[Asset] = []
    names = {each.name for each in assets}
    while waiting:
        ready = next((each for each in waiting if _reads_of(each) & names <= done), None)
        if ready is None:
            raise DefinitionError(_circle({each.name: each for each in waiting}, where))
        waiting.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return ordered


def _circle(waiting: Mapping[str, Asset], where: str) -> str:
    """Say which assets read each other in a circle; each of those given reads another of them."""
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(min(_reads_of(waiting[path[-1]]) & waiting.keys()))
    circle = path[path.index(path[-1]) :]
    return (
        f"{where}: {waiting[circle[0]].where}: {' reads '.join(circle)}, a circle: take one of these parameters away; "
        "only an asset's own past can be read, by previous()"
    )


def _reads_of(each: Asset) -> set[str]:
    return {read.upstream for read in each.inputs if not isinstance(read.mapping, Previous)}
