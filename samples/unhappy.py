"""The unhappy days: what senders do to files, as functions of a file's content; and how files come and go.

Each takes and returns the bytes of a CSV file with a header, one that :func:`samples.simulate` wrote or a real one.
"""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path


def deliver(file: Path, content: bytes) -> None:
    """Put a file into the landing zone at once, never half: also again, with the same content or with another."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # The dot keeps the unfinished file from matching a source's pattern.
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_bytes(content)
    os.replace(unfinished, file)


def hold_back(file: Path) -> bytes:
    """Take a file out of the landing zone and return its content, to :func:`deliver` late or never."""
    content = file.read_bytes()
    file.unlink()
    return content


def corrected_order(content: bytes) -> bytes:
    """One line changed: of the first product sold, one more."""
    header, rows = _table(content)
    invoice, quantity, price = (header.index(name) for name in ("InvoiceNo", "Quantity", "UnitPrice"))
    sale = next(row for row in rows if row[invoice].isdigit() and float(row[price]) > 0)
    sale[quantity] = str(int(sale[quantity]) + 1)
    return _bytes(content, header, rows)


def corrected_rate(content: bytes, currency: str = "USD") -> bytes:
    """One line changed: the rate of a currency, by one per cent."""
    return _with_rate(content, currency, lambda rate: round(rate * 1.01, 4))


def negative_rate(content: bytes, currency: str = "USD") -> bytes:
    """A rate below zero: well formed, and nonsense."""
    return _with_rate(content, currency, lambda rate: -rate)


def without_rate(content: bytes, currency: str = "USD") -> bytes:
    """A currency left out."""
    header, rows = _table(content)
    return _bytes(content, header, [row for row in rows if row[header.index("currency")] != currency])


def without_column(content: bytes, column: str) -> bytes:
    """A column left out."""
    header, rows = _table(content)
    place = header.index(column)
    return _bytes(content, *_each(header, rows, lambda row: row[:place] + row[place + 1 :]))


def with_text(content: bytes, column: str, text: str = "n/a") -> bytes:
    """A word where the first row should have a number or a date."""
    header, rows = _table(content)
    rows[0][header.index(column)] = text
    return _bytes(content, header, rows)


def truncated(content: bytes) -> bytes:
    """The last line cut off by two characters and its line end: it still reads as a line, with another value."""
    return content.rstrip(b"\r\n")[:-2]


def in_utf_16(content: bytes) -> bytes:
    """Another encoding."""
    return content.decode("utf-8").encode("utf-16")


def emptied(content: bytes) -> bytes:
    """Nothing at all."""
    return content[:0]


def only_header(content: bytes) -> bytes:
    """The header and no row."""
    return content[: content.index(b"\n") + 1]


def with_bom(content: bytes) -> bytes:
    """A byte-order mark in front, as spreadsheets write it: harmless."""
    return b"\xef\xbb\xbf" + content


def with_other_line_ends(content: bytes) -> bytes:
    """CRLF for LF, or LF for CRLF: harmless."""
    return content.replace(b"\r\n", b"\n") if b"\r\n" in content else content.replace(b"\n", b"\r\n")


# By what a person would call them. None of these may be published, in whole or in part.
MALFORMED_ORDERS: dict[str, Callable[[bytes], bytes]] = {
    "a missing column": lambda content: without_column(content, "UnitPrice"),
    "a wrong type": lambda content: with_text(content, "Quantity", "six"),
    "a truncated last line": truncated,
    "another encoding": in_utf_16,
    "an empty file": emptied,
    "only a header": only_header,
}
MALFORMED_RATES: dict[str, Callable[[bytes], bytes]] = {
    "a missing column": lambda content: without_column(content, "currency"),
    "a wrong type": lambda content: with_text(content, "eur_rate"),
    "a negative rate": negative_rate,
    "a truncated last line": truncated,
    "another encoding": in_utf_16,
    "an empty file": emptied,
    "only a header": only_header,
}
HARMLESS: dict[str, Callable[[bytes], bytes]] = {
    "a byte-order mark": with_bom,
    "other line ends": with_other_line_ends,
}


def _table(content: bytes) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    return header, rows


def _bytes(like: bytes, header: list[str], rows: list[list[str]]) -> bytes:
    """Return the file's content, with the line ends of the one that it was made from."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n" if b"\r\n" in like else "\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _each(
    header: list[str], rows: list[list[str]], change: Callable[[list[str]], list[str]]
) -> tuple[list[str], list[list[str]]]:
    return change(header), [change(row) for row in rows]


def _with_rate(content: bytes, currency: str, change: Callable[[float], float]) -> bytes:
    header, rows = _table(content)
    row = next(row for row in rows if row[header.index("currency")] == currency)
    place = header.index("eur_rate")
    row[place] = str(change(float(row[place])))
    return _bytes(content, header, rows)
