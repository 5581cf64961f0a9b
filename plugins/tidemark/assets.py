"""Definitions: sources, assets and pipelines, as a scientist's file declares them.

Nothing here reads data or knows Airflow. A decorated function stays a plain function; its definition hangs on it as
``__tidemark__``. Whatever is wrong with a definition is a :class:`DefinitionError` when the file is imported, naming
the file, the function and the mend.
"""

import difflib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from tidemark.calendars import Calendar, Due, parse_duration
from tidemark.errors import DefinitionError, UsageError
from tidemark.fingerprint import Fingerprint, fingerprint
from tidemark.hashing import canonical
from tidemark.mappings import Mapping as PartitionMapping
from tidemark.mappings import Previous, Same
from tidemark.partitions import Grain, Partition, Static, TimeGrain, Unpartitioned

F = TypeVar("F", bound=Callable[..., Any])
_N = TypeVar("_N", str, str | Path)

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Ref:
    """An input that another pipeline owns; the ledger knows its grain."""

    name: str
    mapping: PartitionMapping


def ref(name: str, mapping: PartitionMapping | None = None) -> Ref:
    """Name an asset of another pipeline as an input.

    For example ``inputs={"rates": ref("fx_rates", last_known(days=7))}``, where ``rates`` is a parameter.
    """
    return Ref(name, mapping or Same())


@dataclass(frozen=True)
class Input:
    """One input of an asset: which upstream, by which mapping, into which parameter, as what.

    Attributes:
        parameter: name of the function's parameter.
        upstream: name of the asset that is read.
        mapping: which of its partitions are read.
        annotation: the parameter's annotation; decides what arrives.
        optional: the annotation allows None, so the input may be absent.
        external: another pipeline owns the upstream.

    """

    parameter: str
    upstream: str
    mapping: PartitionMapping
    annotation: object
    optional: bool
    external: bool = False


@dataclass(frozen=True)
class Source:
    """An asset that others deliver into the landing zone: it is observed, never written.

    Attributes:
        name: the asset's name.
        files: path inside the landing zone, with ``{partition}`` where the key stands.
        grain: how it is partitioned.
        gate: name of the suite that a delivery must pass, or None.
        schema: type of each declared column of a CSV, or None to infer the types.
        expected: which partitions are expected, or None: only what was delivered exists.
        due: when an expected partition is late, counted from the start of its period.
        owner: who is asked about it.
        pii: columns with personal data: masked wherever rows are shown.
        doc: one paragraph for people.
        newline_at_end: a CSV without a final line end counts as cut off.
        where: file, line and name, for messages.

    """

    name: str
    files: str
    grain: Grain
    gate: str | None = None
    schema: Mapping[str, type] | None = None
    expected: Calendar | None = None
    due: Due | None = None
    owner: str | None = None
    pii: frozenset[str] = frozenset()
    doc: str = ""
    newline_at_end: bool = True
    where: str = field(default="", compare=False)

    @property
    def folder(self) -> str:
        """The part of ``files`` before the first varying folder: what has to be listed."""
        return self.files.partition("{partition}")[0].rpartition("/")[0]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        before, found, after = self.files.partition("{partition}")
        # A key holds no slash, so a delivery cannot name a file outside its folder.
        return re.compile(re.escape(before) + (r"([^/]+)" if found else "()") + re.escape(after))

    def key_of(self, file: str) -> str | None:
        """Return the partition key that a file's name stands for, or None if it matches no partition."""
        match = self._pattern.fullmatch(file)
        if match is None:
            return None
        key = match[1] or "all"
        try:
            self.grain.ordinal(key)
        except UsageError:
            return None
        return key

    def file_of(self, key: str) -> str:
        """Return the name of the file in which a partition is delivered."""
        return self.files.replace("{partition}", key)


@dataclass(frozen=True)
class Asset:
    """A step: a function, what it reads, and how its output is checked, kept and closed.

    Attributes:
        name: the asset's name, which is the function's.
        function: the plain function.
        grain: how the asset is partitioned.
        inputs: what it reads, in the order of the function's parameters.
        parameters: value of each parameter that is no input; enters the action key.
        partition_parameter: name of the parameter that receives the :class:`Partition`, or None.
        gate: name of the suite that a candidate must pass, or None.
        key: columns that identify a row; outputs are stored sorted by them.
        ordered: the order of the rows is content; outputs are stored as they come.
        closes_after: age after a period's end at which no plan re-runs the partition, or None for never.
        pii: columns with personal data.
        owner: who is asked about it.
        files: files that the function reads (SQL, YAML); their content is part of the code version.
        doc: the function's docstring.

    """

    name: str
    function: Callable[..., Any]
    grain: Grain
    inputs: tuple[Input, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    partition_parameter: str | None = None
    gate: str | None = None
    key: tuple[str, ...] | None = None
    ordered: bool = False
    closes_after: timedelta | None = None
    pii: frozenset[str] = frozenset()
    owner: str | None = None
    files: tuple[Path, ...] = ()
    doc: str = ""

    @cached_property
    def code(self) -> Fingerprint:
        """The code version, with its components."""
        return fingerprint(self.function, resources=self.files)

    @property
    def chained(self) -> bool:
        """Whether a partition reads the asset's own past, so that partitions must be computed in time order."""
        return any(isinstance(each.mapping, Previous) for each in self.inputs)

    @property
    def where(self) -> str:
        """File, line and function, for messages."""
        return _where(self.function)


@dataclass(frozen=True)
class Pipeline:
    """A data product: sources and assets that are planned and run together, as one DAG.

    Attributes:
        name: the pipeline's name, which is the DAG's.
        sources: what is delivered, in the order given.
        assets: the steps, each after what it reads.
        schedule: cron expression of the safety net, or None for runs on arrival or by hand only.
        timezone: zone of the schedule.
        on_arrival: a settled delivery starts a run.
        doc: the file's docstring, the DAG's page.
        owner: who is asked about it.
        tags: words to find the DAG by.
        file: the definition's file, or None.

    """

    name: str
    sources: tuple[Source, ...]
    assets: tuple[Asset, ...]
    schedule: str | None = None
    timezone: str = "UTC"
    on_arrival: bool = False
    doc: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def members(self) -> tuple[Source | Asset, ...]:
        """All sources, then all assets."""
        return self.sources + self.assets

    @cached_property
    def _by_name(self) -> dict[str, Source | Asset]:
        return {each.name: each for each in self.members}

    def __getitem__(self, name: str) -> Source | Asset:
        """Return the source or asset of a name.

        Raises:
            UsageError: when there is none; names the closest ones.

        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UsageError(f"pipeline {self.name!r} has no asset {name!r}{close(name, self._by_name)}") from None

    def asset(self, name: str) -> Asset:
        """Return the asset of a name, which must be none of the sources.

        Raises:
            UsageError: when there is none, or when it is a source.

        """
        found = self[name]
        if isinstance(found, Source):
            raise UsageError(f"{name!r} is a source: it is delivered, not computed")
        return found

    def source(self, name: str) -> Source:
        """Return the source of a name.

        Raises:
            UsageError: when there is none, or when it is computed.

        """
        found = self[name]
        if isinstance(found, Asset):
            raise UsageError(
                f"{name!r} is computed, not delivered: name one of {_listed(s.name for s in self.sources)}"
            )
        return found

    @property
    def externals(self) -> dict[str, list[Input]]:
        """The inputs that other pipelines own, by upstream name."""
        found: dict[str, list[Input]] = {}
        for each in self.assets:
            for read in each.inputs:
                if read.external:
                    found.setdefault(read.upstream, []).append(read)
        return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def close(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence that says a name is not there: the one that may be meant, or all there are."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f": did you mean {near[0]!r}?" if near else f"; there are {_listed(names)}"


def _where(function: Callable[..., Any]) -> str:
    code = inspect.unwrap(function).__code__
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}: {function.__name__}()"


def _several(names: Sequence[_N], what: str, where: str) -> tuple[_N, ...]:
    """Return a list of names as a tuple; one text would be taken for a list of its letters."""
    if isinstance(names, (str, Path)):
        raise DefinitionError(f"{where}: {what}={str(names)!r}: give a list, {what}=[{str(names)!r}]")
    return tuple(names)


def _grain(partitions: Grain | None, where: str) -> Grain:
    if partitions is None:
        return Unpartitioned()
    if not isinstance(partitions, Grain):
        shown = f"{partitions.__name__}()" if isinstance(partitions, type) else "a grain such as Daily()"
        raise DefinitionError(f"{where}: partitions={partitions!r}: write {shown}")
    return partitions


def _checked_name(name: str, where: str) -> str:
    if not _NAME.fullmatch(name):
        raise DefinitionError(f"{where}: {name!r} is no name for an asset: use lower-case letters, digits and '_'")
    return name


def _allows_none(annotation: object) -> bool:
    """Return whether an annotation, which may be a string, admits None."""
    if isinstance(annotation, str):
        return "Optional[" in annotation or "None" in re.split(r"[\s|\[\],.]+", annotation)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return type(None) in typing.get_args(annotation)
    return annotation is None


def source(
    name: str,
    *,
    files: str,
    partitions: Grain | None = None,
    gate: str | None = None,
    schema: Mapping[str, type] | None = None,
    expected: Calendar | None = None,
    due: str | None = None,
    owner: str | None = None,
    pii: Sequence[str] = (),
    doc: str = "",
    newline_at_end: bool = True,
) -> Source:
    """Declare what others deliver into the landing zone; see :class:`Source` for the arguments.

    Raises:
        DefinitionError: when the arguments contradict each other.

    """
    caller = sys._getframe(1)
    where = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}: source({name!r})"
    _checked_name(name, where)
    grain = _grain(partitions, where)
    wanted = 0 if isinstance(grain, Unpartitioned) else 1
    if files.count("{partition}") != wanted:
        mend = (
            "write {partition} once, where the key stands" if wanted else "give partitions=, or leave {partition} out"
        )
        raise DefinitionError(f"{where}: files={files!r}: {mend}")
    if files.startswith("/") or ".." in files.split("/"):
        raise DefinitionError(f"{where}: files={files!r}: give a path inside the landing zone, without '..'")
    if due is not None and expected is None:
        raise DefinitionError(f"{where}: due={due!r} without expected=: nothing can be late that nobody expects")
    if expected is not None and not isinstance(expected, Calendar):
        raise DefinitionError(f"{where}: expected={expected!r}: write a calendar, such as Calendar('MON-FRI')")
    if expected is not None and not isinstance(grain, TimeGrain):
        raise DefinitionError(f"{where}: expected= needs partitions of time, such as Daily()")
    return Source(
        name=name,
        files=files,
        grain=grain,
        gate=gate,
        schema=schema,
        expected=expected,
        due=_due(due, where),
        owner=owner,
        pii=frozenset(_several(pii, "pii", where)),
        doc=doc,
        newline_at_end=newline_at_end,
        where=where,
    )


def _due(text: str | None, where: str) -> Due | None:
    try:
        return Due.parse(text) if text is not None else None
    except DefinitionError as problem:
        raise DefinitionError(f"{where}: {problem}") from problem


def _age(text: str | None, grain: Grain, where: str) -> timedelta | None:
    if text is None:
        return None
    if not isinstance(grain, TimeGrain):
        raise DefinitionError(f"{where}: closes_after={text!r} needs partitions of time: others have no age")
    try:
        return parse_duration(text)
    except DefinitionError as problem:
        raise DefinitionError(f"{where}: closes_after: {problem}") from problem


def asset(
    *,
    partitions: Grain | None = None,
    inputs: Mapping[str, PartitionMapping | Ref] | None = None,
    params: Mapping[str, object] | None = None,
    gate: str | None = None,
    key: Sequence[str] | None = None,
    ordered: bool = False,
    closes_after: str | None = None,
    pii: Sequence[str] = (),
    owner: str | None = None,
    files: Sequence[str | Path] = (),
) -> Callable[[F], F]:
    """Declare a function as an asset; the function itself stays as it is.

    Args:
        partitions: the grain; without it the asset has one partition.
        inputs: mapping of each parameter that does not read the same partition, or a :func:`ref`.
        params: values for parameters that are no inputs, in place of their defaults.
        gate: name of the suite in ``expectations/`` that the output must pass.
        key: columns that identify a row.
        ordered: the order of the rows is content.
        closes_after: such as ``"35 days"``: older partitions are re-run by a person only.
        pii: columns with personal data.
        owner: who is asked about it.
        files: files that the function reads, relative to its own file.

    Raises:
        DefinitionError: when the function and the arguments do not fit each other.

    """

    def declare(function: F) -> F:
        if not inspect.isfunction(inspect.unwrap(function)) or not hasattr(function, "__name__"):
            raise DefinitionError(f"@asset(...) stands above {function!r}: it can declare a function (def) only")
        where = _where(function)
        grain = _grain(partitions, where)
        chosen = dict(inputs or {})
        given = dict(params or {})
        reads, values, partition_parameter = _parameters(function, where, chosen, given)
        folder = Path(inspect.unwrap(function).__code__.co_filename).parent
        definition = Asset(
            name=_checked_name(function.__name__, where),
            function=function,
            grain=grain,
            inputs=tuple(reads),
            parameters=values,
            partition_parameter=partition_parameter,
            gate=gate,
            key=_several(key, "key", where) if key is not None else None,
            ordered=ordered,
            closes_after=_age(closes_after, grain, where),
            pii=frozenset(_several(pii, "pii", where)),
            owner=owner,
            files=tuple(_declared_file(folder / each, where) for each in _several(files, "files", where)),
            doc=inspect.getdoc(function) or "",
        )
        if ordered and key:
            raise DefinitionError(f"{where}: key= sorts the rows and ordered=True keeps them: choose one")
        function.__tidemark__ = definition  # type: ignore[attr-defined]
        return function

    return declare


def _parameters(
    function: Callable[..., Any], where: str, chosen: dict[str, PartitionMapping | Ref], given: dict[str, object]
) -> tuple[list[Input], dict[str, object], str | None]:
    """Sort a function's parameters into inputs, values and the one that receives the partition."""
    reads: list[Input] = []
    values: dict[str, object] = {}
    partition_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(f"{where}: parameter {parameter.name!r}: an input is known by name, so no * and no /")
        if parameter.annotation is Partition or parameter.annotation in ("Partition", "tidemark.Partition"):
            partition_parameter = parameter.name
        elif parameter.name in chosen or (parameter.default is parameter.empty and parameter.name not in given):
            reads.append(_input(parameter, chosen.pop(parameter.name, Same()), function.__name__, where))
        else:
            values[parameter.name] = _value(parameter, given, where)
    for unknown in (*chosen, *given):
        names = inspect.signature(function).parameters
        raise DefinitionError(f"{where}: there is no parameter {unknown!r}{close(unknown, names)}")
    return reads, values, partition_parameter


def _input(parameter: inspect.Parameter, mapping: PartitionMapping | Ref, name: str, where: str) -> Input:
    if not isinstance(mapping, (PartitionMapping, Ref)):
        raise DefinitionError(
            f"{where}: inputs[{parameter.name!r}] is {mapping!r}: give a mapping such as trailing(days=28)"
        )
    external = isinstance(mapping, Ref)
    upstream = mapping.name if isinstance(mapping, Ref) else parameter.name
    chosen = mapping.mapping if isinstance(mapping, Ref) else mapping
    annotation = None if parameter.annotation is parameter.empty else parameter.annotation
    optional = annotation is not None and _allows_none(annotation)
    if isinstance(chosen, Previous) and upstream != name:
        raise DefinitionError(f"{where}: previous() reads the asset's own past, so its parameter is called {name!r}")
    if isinstance(chosen, Previous) and not optional:
        raise DefinitionError(
            f"{where}: the first partition has no previous one: annotate {parameter.name!r} with '| None'"
        )
    return Input(parameter.name, upstream, chosen, annotation, optional, external)


def _value(parameter: inspect.Parameter, given: dict[str, object], where: str) -> object:
    value = given.pop(parameter.name, parameter.default)
    try:
        canonical(value)
    except TypeError as problem:
        raise DefinitionError(f"{where}: parameter {parameter.name!r}: {problem}") from problem
    return value


def _declared_file(path: Path, where: str) -> Path:
    if not path.is_file():
        raise DefinitionError(f"{where}: files= names {path.name!r}, which is not beside its file")
    return path


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
) -> Pipeline:
    """Put sources and assets together, check that they fit, and order them.

    Raises:
        DefinitionError: a cycle, an unknown input, a mapping between grains that cannot map, a duplicate name.

    """
    where = f"{file.name if file else 'pipeline'}: pipeline({name!r})"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise DefinitionError(f"{where}: use letters, digits, '_', '-' and '.' in the name: it becomes the DAG's")
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as problem:
        raise DefinitionError(
            f"{where}: timezone={timezone!r} is no time zone: use one such as 'Europe/London'"
        ) from problem
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
    )
    return made if owner is None else _owned(made, owner)


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


def static_keys(grain: Grain) -> tuple[str, ...]:
    """Return the keys of a static grain, and none for others: what the ledger keeps to know the grain again."""
    return tuple(grain.keys) if isinstance(grain, Static) else ()
