"""From the bytes of a CSV file to its cells as text: what can be wrong with a file before cells have types.

Invariants: a file is read whole or refused, with the physical line to blame; nothing is guessed, repaired or skipped,
but for what is harmless: a byte order mark, the sort of line ends, the style of quoting, and blank lines. An empty cell
is null, quoted or not. The fast reader only ever sees text whose quoting is strict, which it would not check itself;
a slow one looks for the line once it is known that there is one.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pyarrow as pa
import pyarrow.csv as pa_csv

from tidemark.errors import DeliveryError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like UTF-16's, so it comes first
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
# Patterns begin with the quote, and look behind it, so that the search jumps from one to the next.
_OPENING_QUOTE = rb'"(?<![^,\r\n]")'
_QUOTED_CELL = re.compile(_OPENING_QUOTE + rb'(?:[^"]++|"")*+"(?![^,\r\n])')
_OPENED_CELL = re.compile(_OPENING_QUOTE)
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class _Malformed(Exception):
    """A line that is not CSV: which one, and what is wrong with it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_cells(payload: bytes, *, name: str, newline_at_end: bool) -> pa.Table:
    """Read a CSV file's cells: one text column for each name in its first line, null where a cell is empty.

    Raises:
        DeliveryError: the file is empty, not UTF-8, cut off (its last line has no end, unless that is allowed); its
            header has an empty or a repeated name; a line has too few or too many cells, or is not quoted properly.

    """
    text = _decoded(payload, name, newline_at_end)
    columns = _header(text, name)
    body = payload.removeprefix(codecs.BOM_UTF8) + (b"" if payload.endswith((b"\n", b"\r")) else b"\n")
    if b'"' in body and _OPENED_CELL.search(_QUOTED_CELL.sub(b"", body)):
        raise _to_blame(text, columns, name, "a quote is not closed, or followed by more text")
    try:
        return pa_csv.read_csv(
            io.BytesIO(body),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=min(len(body) + 1, 1 << 30)),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        raise _to_blame(text, columns, name, str(error)) from error


def line_of_row(payload: bytes, row: int) -> int:
    """The physical line, from 1, on which a data row, from 0, of a well-formed file begins."""
    with _cells_of_any_size():
        line, _ = next(islice(_records(payload.decode("utf-8-sig")), row + 1, None))
    return line


def _decoded(payload: bytes, name: str, newline_at_end: bool) -> str:
    if not payload.removeprefix(codecs.BOM_UTF8).strip():
        raise DeliveryError(f"{name}: the file is empty. Deliver it again; without data it still needs its header.")
    for mark, encoding in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            raise DeliveryError(f"{name}: byte 1: the file is {encoding}, by its byte order mark. Deliver it as UTF-8.")
    if b"\0" in payload:
        at = payload.index(b"\0")
        like = "like UTF-16 without a byte order mark" if payload.count(b"\0") > len(payload) // 3 else "damaged"
        raise DeliveryError(
            f"{name}: line {_line_of_byte(payload, at)}, byte {at + 1}: a zero byte: the file looks {like}. "
            "Deliver it as UTF-8."
        )
    if newline_at_end and not payload.endswith((b"\n", b"\r")):
        raise DeliveryError(
            f"{name}: line {_line_of_byte(payload, len(payload))}: the last line has no end: the file was cut off "
            "or is still being written. Deliver it whole; if its files never end in one, declare newline_at_end=False."
        )
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start
        meant = payload[at : at + 1].decode("cp1252", errors="replace")
        raise DeliveryError(
            f"{name}: line {_line_of_byte(payload, at)}, byte {at + 1}: not UTF-8 ({error.reason}): the file looks "
            f"like Latin-1 or Windows-1252, where byte 0x{payload[at]:02x} is {meant!r}. Deliver it as UTF-8."
        ) from error


def _line_of_byte(payload: bytes, position: int) -> int:
    head = payload[:position]
    return 1 + head.count(b"\n") + head.count(b"\r") - head.count(b"\r\n")


def _header(text: str, name: str) -> list[str]:
    try:
        with _cells_of_any_size():
            line, columns = next(_records(text))
    except _Malformed as error:
        raise DeliveryError(f"{name}: line {error.line}: {error}.") from error
    if "" in columns:
        raise DeliveryError(
            f"{name}: line {line}: column {columns.index('') + 1} has no name. Name it, or drop the comma too many."
        )
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise DeliveryError(f"{name}: line {line}: several columns are named {twice[0]!r}. Rename or drop one.")
    return columns


def other_delimiter(columns: list[str]) -> str | None:
    """What a file with this header seems to be separated by instead of commas, in words; None if by commas."""
    found = (word for delimiter, word in _OTHER_DELIMITERS.items() if len(columns) == 1 and delimiter in columns[0])
    return next(found, None)


def _to_blame(text: str, columns: list[str], name: str, otherwise: str) -> DeliveryError:
    """Find the first line that is no record of this file; ``otherwise`` is what the fast reader made of it."""
    try:
        with _cells_of_any_size():
            for line, cells in _records(text):
                if len(cells) != len(columns):
                    return DeliveryError(
                        f"{name}: line {line}: {len(cells)} cells, but the header has {len(columns)} columns. "
                        "Quote a cell that has a comma in it, and deliver the file again."
                    )
    except _Malformed as error:
        return DeliveryError(
            f"{name}: line {error.line}: {error}. A quote within a quoted cell is written twice; deliver again."
        )
    return DeliveryError(f"{name}: not a CSV file: {otherwise}.")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, the header included, with the physical line on which it begins."""
    reader = csv.reader((match.group() for match in _LINE.finditer(text)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            ends = "unexpected end" in str(error)
            raise _Malformed(line, "a quote is opened and never closed" if ends else f"not CSV: {error}") from error
        if cells:
            yield line, cells


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    # The csv module refuses cells of over 131,072 characters by default; it has one limit for the whole process.
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
