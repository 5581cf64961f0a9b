"""The store: immutable, content-addressed blobs in a folder or on S3.

The address of a blob is the SHA-256 of its bytes, in hex. Invariants, whatever crashes and whoever else writes:

- what is at an address has that content, or is not there: nothing is ever seen half written;
- when ``put`` has returned, the blob survives a loss of power;
- a blob is never changed, and putting it again changes nothing. So two writers of one blob need no lock, and a crash
  leaves blobs that nothing refers to, at worst.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tidemark.errors import UsageError
from tidemark.places import local_folder, redact, scheme


class Store(Protocol):
    """Where the content of every materialization and every accepted delivery lies."""

    @property
    def url(self) -> str:
        """Where it is, as people may see it."""

    def put(self, payload: bytes | Path) -> str:
        """Store some bytes, or the content of a file that nobody changes meanwhile, and return their address.

        Cheap when they are there already.

        Raises:
            Unavailable: if the store cannot be reached or written, or is full; nothing is half written then.

        """

    def path(self, address: str) -> Path:
        """Return a local file, only to be read, that holds the blob.

        Raises:
            Unavailable: if the blob is not there, the store cannot be reached, or what it holds is damaged.
            ValueError: if the address is not 64 hexadecimal digits.

        """

    def missing(self, addresses: Iterable[str]) -> set[str]:
        """Return those of the addresses at which there is no blob.

        Raises:
            Unavailable: if the store cannot be asked. An unmounted folder is not a store without blobs.
            ValueError: if an address is not 64 hexadecimal digits.

        """

    def check(self) -> None:
        """Make sure that blobs can be written and read, in less than 30 seconds.

        Raises:
            Unavailable: if not; the message says why and what to do.

        """


def open_store(url: str, *, cache: Path) -> Store:
    """Return the store at a URL, without touching it yet.

    Args:
        url: a folder, plain or as ``file:///...``, or ``s3://bucket/prefix``.
        cache: a local folder in which a remote store keeps copies of the blobs that were read or written here.
            Processes may share it, and it may be emptied when none runs.

    Raises:
        UsageError: if the URL is none of these.

    """
    match scheme(url):
        case "file":
            from tidemark.store.folder import FolderStore

            return FolderStore(local_folder(url))
        case "s3":
            from tidemark.store.s3 import S3Store

            return S3Store(url, cache=cache)
    raise UsageError(f"TIDEMARK_STORE_URL is {redact(url)}: the store is a folder or s3://bucket/prefix")
