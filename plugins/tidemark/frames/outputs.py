"""From what an asset's function returns to the one blob that is stored for it.

Invariants: equal content gives equal bytes, whatever engine made it and in whatever order it came (unless the order is
declared to matter); every refusal is an `OutputError` that says what came, what was declared, and what to do.
"""

import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tidemark.errors import OutputError
from tidemark.frames.annotations import SUPPORTED, Kind, declared_kind, kind_of
from tidemark.frames.content import bytes_version, canonical_version, schema_digest, text_version
from tidemark.frames.engines import to_table
from tidemark.frames.sorting import arranged
from tidemark.frames.stored import CANONICAL_MARK, canonical_table
from tidemark.hashing import digest


@dataclass(frozen=True)
class Encoded:
    """An output, ready to be stored.

    ``payload`` is what the blob will hold, or the file that holds it, which lives as long as this does; ``format`` is
    "parquet", "text", "bytes" or "skops"; ``rows`` is None for what has no rows.
    """

    payload: bytes | Path
    format: str
    data_version: bytes
    schema_digest: bytes
    rows: int | None
    kept: pa.Table | None = field(default=None, repr=False)

    @property
    def table(self) -> pa.Table | None:
        """What a gate checks: the canonical, sorted frame, read from the payload if it was never in memory as a whole.

        None for what has no rows.
        """
        if self.kept is None and isinstance(self.payload, Path) and self.rows is not None:
            return canonical_table(self.payload)
        return self.kept


def encode(
    value: object,
    *,
    annotation: object = None,
    key: Sequence[str] | None = None,
    ordered: bool = False,
    pii: frozenset[str] = frozenset(),
    name: str,
) -> Encoded:
    """Turn the value that the function of asset ``name`` returned into what is stored.

    A frame becomes one Parquet file, its rows sorted by ``key`` (checked: unique, never null), else by all columns, or
    left as they are if ``ordered``. Text is stored as UTF-8, bytes as they are, of a Path the file's bytes, and of a
    fitted scikit-learn estimator a skops archive. What is lazy is computed here; of Dask and Spark, what is large
    passes by in pieces. Values of the columns in
    ``pii`` are in no message.

    Raises:
        OutputError: the value is no frame, text, bytes, Path or fitted estimator, or not what ``annotation`` declares;
            or it cannot be stored: a pandas index that is not a plain count, names that are no text or are there twice,
            no column at all, a type that Parquet lacks, a key that is missing, null or there twice.
        DefinitionError: ``annotation`` itself is not supported.

    """
    where = f"asset {name!r}"
    kind = _checked_kind(value, annotation, where)
    if key is not None and not kind.is_frame:
        raise OutputError(f"{where} has key={list(key)}, but returned a {kind.value}: a key needs a frame.")
    match value:
        case str():
            return _raw(_utf8(value, where), "text", text_version(value))
        case bytes():
            return _raw(value, "bytes", bytes_version(value))
        case Path():
            return _raw(_file(value, where), "bytes", bytes_version(value))
    if kind is Kind.ESTIMATOR:
        from tidemark.frames.estimators import dumped  # scikit-learn is there by now, skops takes its time

        archive = dumped(value, where)
        return _raw(archive, "skops", bytes_version(archive))
    if kind.is_distributed:
        return _gathered(value, kind, key, ordered, where, pii)
    return _framed(arranged(to_table(value, kind, where), key, ordered, where, pii))


def _framed(table: pa.Table) -> Encoded:
    version = canonical_version(table)
    return Encoded(_parquet(table), "parquet", version, schema_digest(table.schema), table.num_rows, table)


def _gathered(
    value: object, kind: Kind, key: Sequence[str] | None, ordered: bool, where: str, pii: frozenset[str]
) -> Encoded:
    from tidemark.frames.gathering import gathered

    heap = gathered(value, kind, where)
    try:
        if not heap.spilled:
            return _framed(arranged(heap.table(), key, ordered, where, pii))
        file = heap.merged(key, ordered, pii)
        version, schema, rows = heap.version(file)
    except BaseException:
        heap.remove()
        raise
    encoded = Encoded(file, "parquet", version, schema_digest(schema), rows)
    weakref.finalize(encoded, shutil.rmtree, heap.folder, ignore_errors=True)
    return encoded


def _raw(payload: bytes | Path, form: str, version: bytes) -> Encoded:
    return Encoded(payload, form, version, digest("schema", form), None)


def _checked_kind(value: object, annotation: object, where: str) -> Kind:
    kind = kind_of(type(value))
    declared = declared_kind(annotation, f"{where}, its return value")
    if kind is not None and declared in (None, kind):
        return kind
    came = "None" if value is None else f"a {kind.value if kind else type(value).__qualname__}"
    if declared is None:
        raise OutputError(f"{where} returned {came}. Return one of {SUPPORTED}.")
    mend = "Call .collect() on it, or correct the annotation." if kind is Kind.LAZY else "Correct one of the two."
    raise OutputError(f"{where} returned {came}, but its return annotation declares {declared.value}. {mend}")


def _file(path: Path, where: str) -> Path:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a path where there is no file"
        raise OutputError(f"{where} returned {what}: {path}. Return the path of one existing file.")
    return path


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise OutputError(
            f"{where} returned text that is not Unicode: half a surrogate pair at character {error.start + 1}. "
            "Decode it properly, or return bytes."
        ) from error


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(CANONICAL_MARK), sink, compression="zstd", version="2.6")
    return sink.getvalue().to_pybytes()
