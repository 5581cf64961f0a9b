"""What the pipelines of one file, and those of a whole folder, lack: owners, schedules, columns declared personal."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tidemark.assets import CHAMPIONS, Asset, Input, Pipeline, Source, model_of
from tidemark.checking.finding import Finding, Rule, shown_path
from tidemark.checking.personal import looks_personal
from tidemark.config import expectations_of, settings
from tidemark.errors import close
from tidemark.mappings import Previous
from tidemark.partitions import Grain
from tidemark.suites import find_suite, read_suite

_PLACE = re.compile(r"(?P<file>[^:/]+\.py)(?::(?P<line>\d+))?: (?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class Claim:
    """A name that a pipeline claims: as much of a definition as can be handed from process to process.

    Attributes:
        name: of a source or an asset.
        line: where it is defined, or None: in another file.
        grain: how it is partitioned.
        reads: what it reads, without annotations.

    """

    name: str
    line: int | None
    grain: Grain
    reads: tuple[Input, ...]


@dataclass(frozen=True)
class Defined:
    """A pipeline that a file defines: as much of it as can be handed from process to process.

    Attributes:
        name: the pipeline's.
        file: where.
        line: in which line.
        claims: the names of its members.

    """

    name: str
    file: Path
    line: int | None
    claims: tuple[Claim, ...]


def defined(pipeline: Pipeline, file: Path, line: int | None) -> Defined:
    """Return what others must know of a pipeline."""
    claims = []
    for each in pipeline.members:
        reads = each.inputs if isinstance(each, Asset) else ()
        bare = tuple(replace(read, annotation=None) for read in reads)
        claims.append(Claim(each.name, _line(each.where, file), each.grain, bare))
    return Defined(pipeline.name, file, line, tuple(claims))


def findings_of(
    pipeline: Pipeline, file: Path, line: int | None, dismissed: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    """Yield what a pipeline lacks.

    Args:
        pipeline: whose definitions fit each other.
        file: where it is defined.
        line: in which line.
        dismissed: columns that are said not to be personal data.

    """
    yield from _schedule(pipeline, file, line)
    for each in pipeline.members:
        place = _line(each.where, file)
        what = each.name if place is not None else f"{each.name} ({each.where})"
        if not (each.owner or "").strip():
            yield Finding(
                file,
                place,
                Rule.OWNER,
                f"{what} has no owner, so that nobody is asked about it: give pipeline(..., owner='...')",
            )
        columns = sorted(name for name in _columns(pipeline, each) - each.pii - dismissed if looks_personal(name))
        if columns:
            named = ", ".join(columns)
            yield Finding(
                file,
                place,
                Rule.PII,
                f"{what}: {named} looks like personal data, which is shown in full in alerts and reports unless it is "
                f"declared: add pii={sorted(each.pii | set(columns))!r}; if it is none, write a comment "
                f"'# not personal: {named}' into the file",
            )


def _schedule(pipeline: Pipeline, file: Path, line: int | None) -> Iterator[Finding]:
    if pipeline.schedule is not None:
        return
    where = f"pipeline({pipeline.name!r})"
    awaited = [each.name for each in pipeline.sources if each.expected is not None]
    if pipeline.on_arrival:
        said = f"{where} runs on arrival only; an arrival that goes unheard is not made up for: give schedule= too"
        yield Finding(file, line, Rule.SCHEDULE, said, warning=True)
    elif awaited or pipeline.reports:
        what = f"{awaited[0]} is expected at times" if awaited else f"{pipeline.reports[0]} is a report"
        said = f"{where}: {what}, but nothing starts a run: give schedule='0 6 * * *' or such, and on_arrival=True"
        yield Finding(file, line, Rule.SCHEDULE, said)
    else:
        said = f"{where} has neither schedule= nor on_arrival=True: it runs only when a person asks for it"
        yield Finding(file, line, Rule.SCHEDULE, said, warning=True)


def _columns(pipeline: Pipeline, member: Source | Asset) -> set[str]:
    """Return the columns of a member that its file or its suite names."""
    named = set(member.schema or ()) if isinstance(member, Source) else set(member.key or ())
    if member.gate is not None:
        suite = read_suite(find_suite(member.gate, expectations_of(settings(), pipeline)))
        for rule in suite.rules:
            named |= {*rule.columns, *map(str, rule.kwargs.get("column_set") or ())}
    return named


def _line(where: str, file: Path) -> int | None:
    place = _PLACE.fullmatch(where)
    return int(place["line"]) if place and place["line"] and place["file"] == file.name else None


def placed(said: str, file: Path) -> tuple[int | None, str]:
    """Return the line that a message names of its own file, and the message without the file's name."""
    place = _PLACE.fullmatch(said)
    if place is None or place["file"] != file.name:
        return None, said
    return int(place["line"]) if place["line"] else None, place["rest"]


def across(pipelines: Iterable[Defined], folder: Path) -> Iterator[Finding]:
    """Yield what does not fit between the pipelines of a folder: names that two claim, and what one reads of others."""
    every = list(pipelines)
    owners: dict[str, tuple[Defined, Claim]] = {}
    names: dict[str, Defined] = {}
    for each in every:
        first = names.setdefault(each.name, each)
        if first is not each:
            yield _twice(each, first, folder)
            continue
        for claim in each.claims:
            other, _ = owners.setdefault(claim.name, (each, claim))
            if other is not each:
                where = f"pipeline {other.name!r} in {shown_path(other.file, folder)}"
                said = f"the name {claim.name!r} is also claimed by {where}: choose another, or read it by ref()"
                yield Finding(each.file, claim.line, Rule.NAME, said)
    known = {name: claim for name, (_, claim) in owners.items()}
    for each in names.values():
        for claim in each.claims:
            for line, said, warning in _misread(claim, known):
                yield Finding(each.file, line, Rule.DEFINITION, f"{claim.name}: {said}", warning)
    yield from _circle(owners)


def _twice(each: Defined, first: Defined, folder: Path) -> Finding:
    where = f"{shown_path(first.file, folder)} defines" if first.file != each.file else "the file also defines"
    said = f"pipeline({each.name!r}): {where} a pipeline of this name: rename one, or take it away"
    return Finding(each.file, each.line, Rule.NAME, said)


def _misread(claim: Claim, known: Mapping[str, Claim]) -> Iterator[tuple[int | None, str, bool]]:
    """Yield what an asset reads of other pipelines that does not fit; other repositories' assets are not known here."""
    for read in claim.reads:
        wanted = model_of(read.upstream) or read.upstream
        if not read.external:
            continue
        if wanted in known:
            grain = CHAMPIONS if model_of(read.upstream) else known[wanted].grain
            problem = read.mapping.check(claim.grain, grain)
            if problem:
                yield claim.line, f"input {read.parameter!r}: {problem}", False
        elif "did you mean" in (hint := close(wanted, known)):
            yield claim.line, f"ref({wanted!r}): no pipeline of this folder has it{hint}", True


def _circle(owners: Mapping[str, tuple[Defined, Claim]]) -> Iterator[Finding]:
    """Yield a circle of assets that read each other across pipelines, if there is one."""
    graph = {
        name: {read.upstream for read in claim.reads if not isinstance(read.mapping, Previous)}
        for name, (_, claim) in owners.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        circle = list(problem.args[1])[::-1]
        pipeline, claim = owners[circle[0]]
        said = f"{' reads '.join(circle)}, a circle across pipelines: take one of these inputs away"
        yield Finding(pipeline.file, claim.line, Rule.DEFINITION, said)
