"""What the annotations of an asset's parameters and return value mean; imports no frame library.

Invariant: a class is recognised by its package and name, and an annotation written as text by the usual short names of
the packages, so that a definition file is checked without paying for pandas, polars, pyarrow, DuckDB, Dask or
PySpark.
"""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, ForwardRef, Union, get_args, get_origin

from tidemark.errors import DefinitionError

SCHEMA_TYPES: tuple[type, ...] = (str, int, float, bool, date, datetime, Decimal)


class Kind(Enum):
    """What data is handed over to an asset's function as, and what the function may return."""

    PANDAS = "pandas.DataFrame"
    POLARS = "polars.DataFrame"
    LAZY = "polars.LazyFrame"
    ARROW = "pyarrow.Table"
    DUCKDB = "duckdb.DuckDBPyRelation"
    DASK = "dask.dataframe.DataFrame"
    SPARK = "pyspark.sql.DataFrame"
    TEXT = "str"
    BYTES = "bytes"
    PATH = "pathlib.Path"
    ESTIMATOR = "sklearn.base.BaseEstimator"

    @property
    def is_frame(self) -> bool:
        """Whether it holds rows and columns."""
        return self not in (Kind.TEXT, Kind.BYTES, Kind.PATH, Kind.ESTIMATOR)

    @property
    def is_distributed(self) -> bool:
        """Whether its rows are with the workers of a cluster."""
        return self in (Kind.DASK, Kind.SPARK)


_KINDS = {
    ("pandas", "DataFrame"): Kind.PANDAS,
    ("polars", "DataFrame"): Kind.POLARS,
    ("polars", "LazyFrame"): Kind.LAZY,
    ("pyarrow", "Table"): Kind.ARROW,
    ("duckdb", "DuckDBPyRelation"): Kind.DUCKDB,
    ("_duckdb", "DuckDBPyRelation"): Kind.DUCKDB,
    ("dask", "DataFrame"): Kind.DASK,
    ("pyspark", "DataFrame"): Kind.SPARK,
    ("builtins", "str"): Kind.TEXT,
    ("builtins", "bytes"): Kind.BYTES,
    ("pathlib", "Path"): Kind.PATH,
    ("sklearn", "BaseEstimator"): Kind.ESTIMATOR,
}
_SHORT = {"pd": "pandas", "pl": "polars", "pa": "pyarrow", "dd": "dask"}
# It has a frame of the same name as pyspark.sql, which is another.
_NOT_SQL = "pyspark.pandas"

SUPPORTED = ", ".join(kind.value for kind in Kind)


def kind_of(cls: type) -> Kind | None:
    """The kind of a class or of what it inherits from; None if data cannot be handed over as it."""
    for base in cls.__mro__:
        kind = _KINDS.get((base.__module__.partition(".")[0], base.__qualname__))
        if kind is not None and not base.__module__.startswith(_NOT_SQL):
            return kind
    return None


def declared_kind(annotation: object, where: str) -> Kind | None:
    """The kind that an annotation declares, ``| None`` aside; None if there is no annotation.

    Raises:
        DefinitionError: it is none of the supported ones, or several; ``where`` says whose it is.

    """
    if _undeclared(annotation):
        return None
    kinds = {_kind(alternative) for alternative in _alternatives(annotation) if alternative is not NoneType}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        raise DefinitionError(
            f"{where}: data cannot be handed over as {_shown(annotation)}. "
            f"Annotate one of {SUPPORTED} (an input may add `| None`), or nothing."
        )
    return kind


def cluster_engines(annotations: Iterable[object]) -> frozenset[str]:
    """Return the packages of the engines whose frames are annotated and are with the workers of a cluster."""
    kinds = [declared_kind(each, "an annotation") for each in annotations]
    return frozenset(kind.value.partition(".")[0] for kind in kinds if kind is not None and kind.is_distributed)


def accepts_none(annotation: object) -> bool:
    """Whether the annotation allows the input to be absent: ``X | None`` or ``Optional[X]``, as a type or as text."""
    return not _undeclared(annotation) and NoneType in _alternatives(annotation)


def check_annotation(annotation: object, where: str, *, windowed: bool = False) -> None:
    """Check, when a definition is read, that data can be handed over as the annotation says.

    Takes a type or its text (``"pl.DataFrame"``; ``pd``, ``pl``, ``pa`` and ``dd`` are understood), None or
    ``inspect.Parameter.empty`` for no annotation; ``windowed`` says that several partitions arrive at once.

    Raises:
        DefinitionError: naming ``where`` and the supported annotations.

    """
    kind = declared_kind(annotation, where)
    if windowed and kind is not None and not kind.is_frame:
        raise DefinitionError(
            f"{where}: several partitions arrive as one frame, not as {kind.value}. "
            f"Annotate one of {', '.join(each.value for each in Kind if each.is_frame)}."
        )


def check_output(annotation: object, where: str, *, gate: str | None) -> None:
    """Check, when a definition is read, that what a function says it returns can be stored, and gated if it is to be.

    Raises:
        DefinitionError: naming ``where`` and the mend.

    """
    kind = declared_kind(annotation, f"{where}: what it returns")
    if gate is not None and kind is not None and not kind.is_frame:
        raise DefinitionError(
            f"{where}: gate={gate!r} checks the rows of a frame, and {kind.value} has none. "
            "Return a frame, or drop the gate."
        )


def check_schema(schema: Mapping[str, type], where: str) -> None:
    """Check, when a definition is read, that each declared column has a type that deliveries can be read as.

    Raises:
        DefinitionError: naming ``where``, the column and the supported types.

    """
    for column, declared in schema.items():
        if declared not in SCHEMA_TYPES:
            raise DefinitionError(
                f"{where}: column {column!r} is declared as {_shown(declared)}. "
                f"Use one of {', '.join(each.__name__ for each in SCHEMA_TYPES)}."
            )


def _undeclared(annotation: object) -> bool:
    return annotation is None or annotation is inspect.Parameter.empty


def _kind(alternative: object) -> Kind | None:
    if isinstance(alternative, str):
        return _kind_of_name(alternative)
    return kind_of(alternative) if isinstance(alternative, type) else None


def _kind_of_name(dotted: str) -> Kind | None:
    package, name = dotted.partition(".")[0], dotted.rpartition(".")[2]
    if dotted.startswith(_NOT_SQL):
        return None
    if package != name:
        return _KINDS.get((_SHORT.get(package, package), name))
    # A bare name counts if only one package can be meant: DataFrame is two.
    found = {kind for (_, known), kind in _KINDS.items() if known == name}
    return found.pop() if len(found) == 1 else None


def _alternatives(annotation: object) -> Iterator[object]:
    """Yield the members of a union, at any depth: classes, NoneType, or dotted names where all there is is text."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None:
        yield NoneType
    elif isinstance(annotation, str):
        yield from _spelled_out(annotation)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _alternatives(argument)
    elif origin is Annotated:
        yield from _alternatives(arguments[0])
    else:
        yield origin or annotation


def _spelled_out(text: str) -> Iterator[object]:
    try:
        yield from _of_node(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        yield text


def _of_node(node: ast.expr) -> Iterator[object]:
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            yield from _of_node(left)
            yield from _of_node(right)
        case ast.Constant(value=None):
            yield NoneType
        case ast.Constant(value=str() as text):
            yield from _spelled_out(text)
        case ast.Subscript(value=generic, slice=inner):
            yield from _of_subscript(ast.unparse(generic), inner)
        case _:
            yield ast.unparse(node)


def _of_subscript(generic: str, inner: ast.expr) -> Iterator[object]:
    members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match generic.rpartition(".")[2]:
        case "Optional":
            yield from _of_node(inner)
            yield NoneType
        case "Union":
            for member in members:
                yield from _of_node(member)
        case "Annotated":
            yield from _of_node(members[0])
        case _:
            yield generic


def _shown(annotation: object) -> str:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__qualname__ if annotation.__module__ == "builtins" else inspect.formatannotation(annotation)
    return str(annotation)
