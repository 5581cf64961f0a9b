"""Claims about annotations: what they mean as types and as text, and what checking them costs."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Optional, Union

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidemark.errors import DefinitionError
from tidemark.frames import accepts_none, check_annotation, check_schema
from tidemark.frames.annotations import Kind, declared_kind


class Orders(pd.DataFrame):
    """A frame class of a user's own."""


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        # Their packages are imported for type checkers alone, so that all there is of them is text.
        ("dd.DataFrame", Kind.DASK),
        ("dask.dataframe.DataFrame", Kind.DASK),
        ("pyspark.sql.DataFrame", Kind.SPARK),
        (pd.DataFrame, Kind.PANDAS),
        (Orders, Kind.PANDAS),
        (pl.DataFrame, Kind.POLARS),
        (pl.LazyFrame, Kind.LAZY),
        (pa.Table, Kind.ARROW),
        (duckdb.DuckDBPyRelation, Kind.DUCKDB),
        (str, Kind.TEXT),
        (bytes, Kind.BYTES),
        (Path, Kind.PATH),
        (Annotated[pl.DataFrame, "of one day"], Kind.POLARS),
        ("pd.DataFrame", Kind.PANDAS),
        ("pandas.core.frame.DataFrame", Kind.PANDAS),
        ("pl.DataFrame", Kind.POLARS),
        ("polars.LazyFrame", Kind.LAZY),
        ("LazyFrame", Kind.LAZY),
        ("pa.Table", Kind.ARROW),
        ("duckdb.DuckDBPyRelation", Kind.DUCKDB),
        ("str", Kind.TEXT),
        ("Path", Kind.PATH),
        ("pathlib.Path", Kind.PATH),
        ("Annotated[pl.DataFrame, 'of one day']", Kind.POLARS),
        (" 'pl.DataFrame' ", Kind.POLARS),
        (ForwardRef("pl.DataFrame"), Kind.POLARS),
        (None, None),
        (Parameter.empty, None),
    ],
)
def test_annotations_mean_the_same_as_types_and_as_text(annotation: object, kind: Kind | None) -> None:
    """Each supported annotation is understood, by itself and as something that may be absent."""
    assert declared_kind(annotation, "here") is kind
    assert not accepts_none(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        pl.DataFrame | None,
        Optional[pl.DataFrame],  # noqa: UP045
        Union[None, pl.DataFrame],  # noqa: UP007
        Optional["pl.DataFrame"],
        "pl.DataFrame | None",
        "None | pl.DataFrame",
        "Optional[pl.DataFrame]",
        "typing.Union[pl.DataFrame, None]",
        "Optional['pl.DataFrame']",
        Annotated[pl.DataFrame | None, "yesterday's"],
    ],
)
def test_none_aside_an_annotation_means_the_same(annotation: object) -> None:
    """Whatever way it is written that an input may be absent, that is seen, and what arrives otherwise too."""
    assert accepts_none(annotation)
    assert declared_kind(annotation, "here") is Kind.POLARS


@pytest.mark.parametrize(
    "annotation",
    [
        dict,
        dict[str, int],
        Any,
        int,
        type(None),
        pl.Series,
        pl.DataFrame | pd.DataFrame,
        Callable[[], str],
        "DataFrame",  # pandas' or polars'?
        "pl.DataFrame | pd.DataFrame",
        "dask.bag.Bag",
        "pyspark.pandas.DataFrame",  # not the one of pyspark.sql
        "not an annotation",
        "None",
        3,
    ],
)
def test_an_unsupported_annotation_is_a_definition_error(annotation: object) -> None:
    """The error says where it is, what was found, and what is possible."""
    with pytest.raises(DefinitionError) as error:
        check_annotation(annotation, "dags/a.py, order_lines(), parameter orders")
    assert "dags/a.py, order_lines(), parameter orders" in str(error.value)
    assert "polars.LazyFrame" in str(error.value)


def test_a_window_arrives_as_a_frame_only() -> None:
    """Several partitions as one text or one path is refused at definition."""
    check_annotation(str, "here")
    check_annotation("pl.LazyFrame | None", "here", windowed=True)
    check_annotation(None, "here", windowed=True)
    for annotation in (str, "bytes", Path):
        with pytest.raises(DefinitionError, match="one frame"):
            check_annotation(annotation, "here", windowed=True)


def test_a_schema_declares_types_that_cells_can_have() -> None:
    """The seven types are accepted; another one is named with its column."""
    check_schema(dict(zip("abcdefg", (str, int, float, bool, date, datetime, Decimal), strict=True)), "here")
    with pytest.raises(DefinitionError, match=r"source orders: column 'price' is declared as complex\. Use one of str"):
        check_schema({"sku": str, "price": complex}, "source orders")


def test_checking_a_definition_imports_no_frame_library() -> None:
    """The DAG processor reads definitions every few seconds: it must not pay for pyarrow, polars, pandas or DuckDB."""
    program = (
        "import sys; from tidemark.frames import accepts_none, check_annotation;"
        "check_annotation('pl.DataFrame | None', 'here'); accepts_none('pd.DataFrame');"
        "print(sorted({'pyarrow', 'polars', 'pandas', 'duckdb', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
