"""What a scientist's file says: a source, an asset, an input of another pipeline.

A decorated function stays a plain function; its definition hangs on it as ``__tidemark__``. Whatever is wrong with a
definition is a :class:`DefinitionError` when the file is imported, naming the file, the function and the mend.
"""

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from tidemark.assets import Asset, Input, Ref, Source, champion_of, where_of
from tidemark.calendars import Calendar, Due, parse_duration
from tidemark.errors import DefinitionError, close
from tidemark.execution import Resources, image_of, pool_of, resources_of
from tidemark.hashing import canonical
from tidemark.mappings import InForce, Previous, Same
from tidemark.mappings import Mapping as PartitionMapping
from tidemark.partitions import Grain, Partition, TimeGrain, Unpartitioned
from tidemark.search import PARAMETER, Search
from tidemark.validation import Validation

F = TypeVar("F", bound=Callable[..., Any])
_N = TypeVar("_N", str, str | Path)

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def ref(name: str, mapping: PartitionMapping | None = None) -> Ref:
    """Name an asset of another pipeline as an input.

    For example ``inputs={"rates": ref("fx_rates", last_known(days=7))}``, where ``rates`` is a parameter.
    """
    return Ref(name, mapping or Same())


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
    resources: Resources | Mapping[str, str] | None = None,
    image: str | None = None,
    pool: str | None = None,
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
        resources: what a task of it needs of a machine, such as ``Resources(cpu="500m", memory="1Gi")``.
        image: the container image that it runs in, by tag or digest; part of the code version.
        pool: name of Airflow's pool of its tasks.

    Raises:
        DefinitionError: when the function and the arguments do not fit each other.

    """

    def declare(function: F) -> F:
        if not inspect.isfunction(inspect.unwrap(function)) or not hasattr(function, "__name__"):
            raise DefinitionError(f"@asset(...) stands above {function!r}: it can declare a function (def) only")
        where = where_of(function)
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
            resources=resources_of(resources, where),
            image=image_of(image, where),
            pool=pool_of(pool, where),
        )
        if ordered and key:
            raise DefinitionError(f"{where}: key= sorts the rows and ordered=True keeps them: choose one")
        function.__tidemark__ = definition  # type: ignore[attr-defined]
        return function

    return declare


def model(
    *,
    partitions: Grain,
    inputs: Mapping[str, PartitionMapping | Ref] | None = None,
    params: Mapping[str, object] | None = None,
    search: Search | None = None,
    validation: Validation | None = None,
    owner: str | None = None,
    files: Sequence[str | Path] = (),
    resources: Resources | Mapping[str, str] | None = None,
    image: str | None = None,
    pool: str | None = None,
) -> Callable[[F], F]:
    """Declare a function that trains as a model: each result is a candidate, and a person makes one the champion.

    The function returns a fitted scikit-learn estimator. Who reads the champion says so with :func:`in_force`.

    Args:
        partitions: the grain of training, such as ``Weekly()``.
        inputs: mapping of each parameter that does not read the same partition, or a :func:`ref`.
        params: values for parameters that are no inputs, in place of their defaults.
        search: how hyper-parameters are found: those parameters of the function that are in its space.
        validation: how each candidate is judged before a person is asked to approve it; without it nobody is asked.
        owner: who is asked about it.
        files: files that the function reads, relative to its own file.
        resources: what a task of it needs of a machine, such as ``Resources(cpu="500m", memory="1Gi")``.
        image: the container image that it runs in, by tag or digest; part of the code version.
        pool: name of Airflow's pool of its tasks.

    Raises:
        DefinitionError: when the function and the arguments do not fit each other.

    """

    def declare(function: F) -> F:
        given = {**dict.fromkeys(search.space if search else ()), **(params or {})}
        asset(
            partitions=partitions,
            inputs=inputs,
            params=given,
            owner=owner,
            files=files,
            resources=resources,
            image=image,
            pool=pool,
        )(function)
        definition = function.__tidemark__  # type: ignore[attr-defined]
        if not isinstance(definition.grain, TimeGrain):
            raise DefinitionError(f"{definition.where}: a model is trained by time: write partitions=Weekly() or such")
        if validation is not None:
            validation.check(definition.where, offered_by(definition))
        definition = replace(definition, is_model=True, validation=validation)
        if search is not None:
            search.check(definition.where, offered_by(definition) | definition.parameters.keys())
            definition = with_search(definition, search)
        function.__tidemark__ = definition  # type: ignore[attr-defined]
        return function

    return declare


def with_search(definition: Asset, search: Search) -> Asset:
    """Return a model whose hyper-parameters are found in another way: that is in its action key.

    Raises:
        DefinitionError: the model has a parameter of the name under which a search is known.

    """
    if definition.search is None and PARAMETER in definition.parameters:
        raise DefinitionError(f"{definition.where}: parameter {PARAMETER!r} means the search itself: rename it")
    values = {name: value for name, value in definition.parameters.items() if name not in search.space}
    return replace(definition, search=search, parameters={**values, PARAMETER: search.as_parameter()})


def offered_by(definition: Asset) -> set[str]:
    """Return the names under which an asset's function is given what it reads, and the partition."""
    return {*(each.parameter for each in definition.inputs), definition.partition_parameter or ""}


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
    if isinstance(chosen, InForce):
        if not optional:
            raise DefinitionError(
                f"{where}: before the first champion there is none: annotate {parameter.name!r} with '| None'"
            )
        # The ledger keeps it, whichever pipeline has the model.
        return Input(parameter.name, champion_of(upstream), chosen, annotation, optional, external=True)
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
