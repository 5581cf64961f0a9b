"""Reading and writing data frames by type annotation, and the digests of their content.

Invariants: definitions can be checked without importing a single frame library (the DAG processor does so every few
seconds), so that what needs pyarrow is loaded on first use; everything that is stored has passed through one canonical
form, so that equal content has one version, one blob and one shape for its readers, whatever engine made it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tidemark.frames.annotations import accepts_none, check_annotation, check_output, check_schema, cluster_engines

if TYPE_CHECKING:
    from tidemark.frames.content import bytes_version, data_version, schema_digest, text_version
    from tidemark.frames.deliveries import TABULAR, Delivery, read_delivery, read_table
    from tidemark.frames.inputs import load
    from tidemark.frames.members import Part
    from tidemark.frames.outputs import Encoded, encode

__all__ = [
    "RAW",
    "TABULAR",
    "Delivery",
    "Encoded",
    "Part",
    "accepts_none",
    "bytes_version",
    "check_annotation",
    "check_output",
    "check_schema",
    "cluster_engines",
    "data_version",
    "encode",
    "load",
    "read_delivery",
    "read_table",
    "schema_digest",
    "text_version",
]

RAW = frozenset({"text", "bytes", "skops"})
"""The stored formats that have no rows."""

_HOMES = {
    "content": ("bytes_version", "data_version", "schema_digest", "text_version"),
    "deliveries": ("TABULAR", "Delivery", "read_delivery", "read_table"),
    "inputs": ("load",),
    "members": ("Part",),
    "outputs": ("Encoded", "encode"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            # Found at once from now on: these are asked for with every partition.
            globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
