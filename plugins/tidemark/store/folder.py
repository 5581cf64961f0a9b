"""A store in a folder: local, or on a file system that several machines mount.

A blob is written into ``.incoming``, brought to disk, and renamed to its place; only then is it seen. What a crash
leaves in ``.incoming`` is never read, and swept by ``check`` when it is a day old.
"""

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tidemark.errors import Unavailable
from tidemark.store.addresses import address_of, chunks_of, location, lost, size_of

_ABANDONED_SECONDS = 24 * 3600

_Done = TypeVar("_Done")

_MENDS = {
    errno.ENOSPC: "The disk is full: make room there, then run again",
    errno.EDQUOT: "The disk quota is used up: raise it or make room, then run again",
    errno.EFBIG: "The file is larger than the file system or the process limit (ulimit -f) allows",
    errno.EROFS: "It is mounted read-only: a disk error may have caused it; mount it read-write, then run again",
    errno.EACCES: "This user may not write there: give the folder to it",
    errno.EPERM: "This user may not write there: give the folder to it",
    errno.ENOTDIR: "A part of the path is a file, not a folder: correct the path",
}


class Damaged(Exception):
    """What arrived does not hash to the address that it was to be stored at; nothing was stored."""


class FolderStore:
    """A store in a folder, or the cache of a remote one.

    Args:
        root: the folder; made when first written to.
        role: what it is used as, for messages.
        durable: whether a blob must survive a loss of power. A cache need not, and saves the wait for the disk.

    """

    def __init__(self, root: Path, *, role: str = "store", durable: bool = True) -> None:
        self._root = os.fspath(root)
        self._role = role
        self._incoming = f"{self._root}/.incoming"
        self._durable = durable
        # Folders of blobs whose own names are known to be on disk: at most 256.
        self._synced: set[str] = set()

    def __repr__(self) -> str:
        return f"FolderStore({self.url!r})"

    @property
    def url(self) -> str:
        """The folder."""
        return self._root

    def put(self, payload: bytes | Path) -> str:
        """Store bytes or a file's content; see :class:`tidemark.store.Store`."""
        address = address_of(payload)
        blob = self._place(address)
        with self._writing():
            # A size that differs is a blob that the disk lost a part of; writing it again heals it.
            if _size_at(blob) == size_of(payload):
                self._sync_folders(blob)  # whoever wrote it may have crashed before this
                return address
        if isinstance(payload, bytes):
            with self._draft() as (draft, descriptor):
                self._write(descriptor, payload)
                self._publish(draft, descriptor, blob)
            return address
        try:
            self.receive(address, chunks_of(payload))
        except Damaged as error:
            raise Unavailable(f"{payload!r} changed while it was copied into the store; nothing was stored") from error
        return address

    def receive(self, address: str, chunks: Iterable[bytes]) -> Path:
        """Write a blob whose address is known, and return its file.

        Raises:
            Damaged: if the chunks do not hash to the address; nothing was stored.
            Unavailable: if the folder cannot be written; nothing was stored.

        """
        content = hashlib.sha256()
        with self._draft() as (draft, descriptor):
            for chunk in chunks:
                content.update(chunk)
                self._write(descriptor, chunk)
            if content.hexdigest() != address:
                raise Damaged(address)
            self._publish(draft, descriptor, self._place(address))
        return self.file(address)

    def path(self, address: str) -> Path:
        """Return the blob's own file; see :class:`tidemark.store.Store`."""
        file = self.file(address)
        if not os.path.isfile(file) and self.missing([address]):
            raise lost(self.url, address)
        return file

    def missing(self, addresses: Iterable[str]) -> set[str]:
        """Return the addresses without a blob; see :class:`tidemark.store.Store`."""
        try:
            absent = {address for address in addresses if _size_at(self._place(address)) is None}
            if absent:
                os.stat(self._incoming)
        except FileNotFoundError as error:
            raise Unavailable(
                f"there is no store in {self.url}: nothing was ever put there, or it is not mounted. "
                "Mount it, or correct TIDEMARK_STORE_URL"
            ) from error
        except OSError as error:
            raise self._unavailable("read", error) from error
        return absent

    def file(self, address: str) -> Path:
        """Return where the blob of an address lies, whether it is there or not."""
        return Path(self._place(address))

    def _place(self, address: str) -> str:
        # Text: this is asked for every blob that is read or written, and a Path costs more than the question.
        return f"{self._root}/{location(address)}"

    def check(self) -> None:
        """Write and remove a file, and sweep what crashes left; see :class:`tidemark.store.Store`."""
        probe = Path(self._incoming) / f"check-{uuid.uuid4().hex}"
        with self._writing():
            os.makedirs(self._incoming, exist_ok=True)
            probe.write_bytes(b"tidemark")
            probe.unlink()
            for left in os.scandir(self._incoming):
                with contextlib.suppress(FileNotFoundError):  # its writer ended, or somebody else sweeps too
                    if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                        os.unlink(left)

    @contextlib.contextmanager
    def _draft(self) -> Iterator[tuple[str, int]]:
        """Open a new file in ``.incoming``, and remove it unless it was renamed."""
        draft = f"{self._incoming}/{os.getpid()}-{uuid.uuid4().hex}"
        with self._writing():
            # Not even its owner may change a blob; the descriptor that made it still writes.
            descriptor = _with_folder(
                self._incoming, lambda: os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
            )
        try:
            yield draft, descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _write(self, descriptor: int, chunk: bytes) -> None:
        """Write all of the chunk: a disk that fills up takes a part first."""
        rest = memoryview(chunk)
        with self._writing():
            while rest:
                rest = rest[os.write(descriptor, rest) :]

    def _publish(self, draft: str, descriptor: int, blob: str) -> None:
        """Bring a draft to disk, and rename it to its place."""
        with self._writing():
            if self._durable:
                os.fsync(descriptor)
            _with_folder(os.path.dirname(blob), lambda: os.replace(draft, blob))
            self._sync_folders(blob)

    def _sync_folders(self, blob: str) -> None:
        """Bring the blob's name to disk, and the name of the folder that it is in, once for each folder."""
        if not self._durable:
            return
        folder = os.path.dirname(blob)
        _sync(folder)
        if folder not in self._synced:
            _sync(self._root)
            self._synced.add(folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unavailable("written", error) from error

    def _unavailable(self, done: str, error: OSError) -> Unavailable:
        mend = _MENDS.get(error.errno or 0, "Is it mounted, and the disk sound?")
        return Unavailable(f"the {self._role} {self.url} cannot be {done}: {error.strerror or error}. {mend}")


def _size_at(file: str) -> int | None:
    """Return the size of a file, None if there is none; other errors are not taken for an absence."""
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return None


def _sync(folder: str) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _with_folder(folder: str, act: Callable[[], _Done]) -> _Done:
    """Do what needs a folder; where it is not there yet, make it first."""
    try:
        return act()
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        return act()
