"""Addresses: the SHA-256 of a blob's bytes, in hex, and where a blob lies by its address."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from tidemark.errors import Unavailable

CHUNK_BYTES = 1 << 20

_ADDRESS = re.compile(r"[0-9a-f]{64}")


def address_of(payload: bytes | Path) -> str:
    """Return the address of some bytes or of a file's content."""
    if isinstance(payload, bytes):
        return hashlib.sha256(payload).hexdigest()
    with payload.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_of(payload: bytes | Path) -> int:
    """Return how many bytes there are."""
    return len(payload) if isinstance(payload, bytes) else payload.stat().st_size


def chunks_of(payload: bytes | Path) -> Iterator[bytes]:
    """Return the bytes in pieces that fit into memory."""
    if isinstance(payload, bytes):
        yield payload
        return
    with payload.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def location(address: str) -> str:
    """Return where the blob of an address lies, relative to the store: spread over 256 folders.

    Raises:
        ValueError: if it is no address: it would name a place outside of the store.

    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            f"{address!r} is not an address: a blob's address is the SHA-256 of its bytes, 64 hexadecimal digits"
        )
    return f"{address[:2]}/{address[2:]}"


def lost(url: str, address: str) -> Unavailable:
    """Return the error for a blob that somebody relies on and that is not there."""
    return Unavailable(
        f"the store {url} has no blob {address}. Is it the store that the ledger was written with, and mounted? "
        "If the blob was deleted, bring it back from a backup, or have it computed again"
    )
