"""Digests of typed values: each part is prefixed with its type and its length, so that no two values share an encoding.

Invariant: ``canonical(a) == canonical(b)`` only if ``a`` and ``b`` are equal *and* of the same type, at every depth.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

DIGEST_SIZE = 32

# The exact type decides the tag: bool is an int and datetime is a date, and neither may pass for the other.
_SCALARS: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
    type(None): (b"N", lambda value: b""),
    bool: (b"B", lambda value: b"1" if value else b"0"),
    int: (b"I", lambda value: str(value).encode()),
    float: (b"F", lambda value: b"nan" if value != value else struct.pack(">d", value)),
    complex: (b"C", lambda value: struct.pack(">dd", value.real, value.imag)),
    str: (b"S", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: (b"Y", lambda value: value),
    Decimal: (b"D", lambda value: str(value).encode()),
    datetime: (b"T", lambda value: value.isoformat().encode()),
    date: (b"A", lambda value: value.isoformat().encode()),
    timedelta: (b"L", lambda value: f"{value.days},{value.seconds},{value.microseconds}".encode()),
}


def _framed(tag: bytes, payload: bytes) -> bytes:
    return tag + len(payload).to_bytes(8, "big") + payload


def canonical(value: object) -> bytes:
    """Encode a value so that no other type, value or way of writing it (1.0 and 1.00, 0.0 and -0.0) has these bytes.

    Takes None, bool, int, float, complex, str, bytes, Decimal, date, datetime, timedelta, and tuples, lists, sets and
    mappings of these (a list and a tuple of the same items are the same sequence).

    Raises:
        TypeError: for a value of any other type.

    """
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        tag, encode = scalar
        return _framed(tag, encode(value))
    if isinstance(value, (tuple, list)):
        return _framed(b"Q", b"".join(map(canonical, value)))
    if isinstance(value, Mapping):
        pairs = sorted(canonical(key) + canonical(item) for key, item in value.items())
        return _framed(b"M", b"".join(pairs))
    if isinstance(value, Set):
        return _framed(b"E", b"".join(sorted(map(canonical, value))))
    raise TypeError(
        f"cannot digest a {type(value).__name__}: give numbers, text, dates, or sequences and mappings of them"
    )


def digest(*parts: object) -> bytes:
    """SHA-256 over the canonical encoding of the parts, in their order: 32 bytes."""
    return hashlib.sha256(canonical(parts)).digest()
