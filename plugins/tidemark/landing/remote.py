"""A landing zone on a server that keeps a connection: SFTP, FTP, and what else fsspec knows.

Servers disagree on what they tell of a folder that may not be read, so nothing is believed to be missing that the
folder above it shows. The clock is the server's: what changed less than :data:`TICK` ago may change again unnoticed.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeVar

from tidemark.errors import DeliveryError, TidemarkError, Unavailable
from tidemark.landing import File, being_written, folder_in, is_finished, is_inside
from tidemark.landing.listed import Listed, listed
from tidemark.places import DEADLINE_SECONDS, redact, scrub, secrets, within

Answer = TypeVar("Answer")

TICK = timedelta(minutes=5)
"""A server's clock may tell whole minutes only, and be some minutes off."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What a server tells of a file; for the fields see :class:`tidemark.landing.File`."""

    size: int
    token: str
    modified: datetime | None
    tick: timedelta | None = TICK


class Tree(Protocol):
    """An open connection to a server's folders. Paths begin with a slash; any failure may be raised as it comes."""

    def list(self, folder: str) -> list[tuple[str, Stat | None]]:
        """Return what is in a folder: the name of each file with its stat, of each folder with None; nothing else.

        Raises:
            FileNotFoundError: if there is no such folder, or the server does not tell that from one that is closed.

        """

    def stat(self, path: str) -> Stat:
        """Return what the server tells of a file.

        Raises:
            FileNotFoundError: if there is no such file, or the server does not tell that from one that is closed.

        """

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: as in `stat`.

        """

    def close(self) -> None:
        """End the connection."""


class RemoteLanding:
    """A landing zone on a server, through one connection, made when it is needed and made again when it broke.

    Args:
        url: where it is, for messages.
        root: the path of the zone on the server.
        connect: opens a connection.
        hidden: what must not be seen in messages.

    """

    def __init__(self, url: str, root: str, connect: Callable[[], Tree], hidden: Sequence[str] = ()) -> None:
        self._url = redact(url)
        self._root = root.rstrip("/")
        self._connect = connect
        self._hidden = sorted({*hidden, *secrets(url)}, key=len, reverse=True)
        self._tree: Tree | None = None
        self._process = 0
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"RemoteLanding({self.url!r})"

    @property
    def url(self) -> str:
        """The URL, without its password."""
        return self._url

    def files(self, prefix: str) -> list[File]:
        """Return all deliveries under a folder; see :class:`tidemark.landing.Landing`."""
        folder = folder_in(self.url, prefix)
        found = self._ask("listed", lambda tree: list(self._walk(tree, folder)))
        found.sort(key=lambda file: file.name)
        return found

    def listing(self, prefix: str) -> Listed:
        """Return all deliveries under a folder as lines; see :class:`tidemark.landing.Landing`."""
        return listed(self.files(prefix))

    def read(self, name: str) -> tuple[bytes, str]:
        """Return a file's content and token; see :class:`tidemark.landing.Landing`."""
        if not is_inside(name):
            raise FileNotFoundError(f"{name!r} is not a name in the landing zone {self.url}")
        return self._ask("read", lambda tree: self._read(tree, name))

    def _walk(self, tree: Tree, folder: str) -> Iterator[File]:
        if folder and self._kind(tree, folder) != "folder":
            return
        folders = [folder]
        while folders:
            current = folders.pop()
            for name, stat in self._list(tree, current):
                inner = f"{current}/{name}" if current else name
                if "/" in name or not is_inside(name) or not is_finished(name):
                    continue
                if stat is None:
                    folders.append(inner)
                else:
                    changed = stat.modified.timestamp() if stat.modified is not None else None
                    yield File(inner, stat.token, changed, stat.size, stat.tick)

    def _kind(self, tree: Tree, name: str) -> Literal["file", "folder", "absent"]:
        """Return what the zone shows under this name, followed down from its root."""
        above, _, last = name.rpartition("/")
        if above and self._kind(tree, above) != "folder":
            return "absent"
        there = dict(self._list(tree, above))
        if last not in there:
            return "absent"
        return "folder" if there[last] is None else "file"

    def _list(self, tree: Tree, folder: str) -> list[tuple[str, Stat | None]]:
        try:
            return tree.list(f"{self._root}/{folder}" if folder else self._root or "/")
        except FileNotFoundError:
            what = f"the folder {folder!r} of the landing zone {self.url}" if folder else f"the landing zone {self.url}"
            raise Unavailable(
                f"{what} cannot be listed: it is not there, or may not be opened. "
                "Make it or correct TIDEMARK_LANDING_URL, or let this user read it"
            ) from None

    def _read(self, tree: Tree, name: str) -> tuple[bytes, str]:
        path = f"{self._root}/{name}"
        try:
            before = tree.stat(path)
            content = tree.read(path)
            after = tree.stat(path)
        except FileNotFoundError:
            if self._kind(tree, name) == "file":
                raise Unavailable(
                    f"{name!r} in the landing zone {self.url} cannot be read: it is there, but the server does not "
                    "give it. May this user read it?"
                ) from None
            raise FileNotFoundError(f"{name!r} is not in the landing zone {self.url}") from None
        if before != after or len(content) != after.size:
            raise DeliveryError(being_written(name))
        return content, after.token

    def _ask(self, doing: str, question: Callable[[Tree], Answer]) -> Answer:
        """Ask over the open connection, or over a new one if there is none or it broke while it was idle."""
        with self._lock:
            if self._tree is not None and self._process == os.getpid():
                try:
                    return question(self._tree)
                except (TidemarkError, FileNotFoundError):
                    raise
                except Exception:  # a connection that broke while idle shows in any way, even by AttributeError
                    self._drop()  # what is really wrong comes up again over the new one, and is told then
            tree = self._opened()
            try:
                return question(tree)
            except (TidemarkError, FileNotFoundError):
                raise
            except Exception as error:
                self._drop()
                # A library's words and its traceback may hold the password: only the scrubbed words go on.
                raise Unavailable(f"the landing zone {self.url} cannot be {doing}: {self._words(error)}") from None

    def _opened(self) -> Tree:
        try:
            tree = within(DEADLINE_SECONDS, f"the landing zone {self.url}", self._connect)
        except TidemarkError:
            raise
        except Exception as error:
            raise Unavailable(f"the landing zone {self.url} cannot be reached: {self._words(error)}") from None
        self._tree, self._process = tree, os.getpid()
        return tree

    def _drop(self) -> None:
        tree, self._tree = self._tree, None
        if tree is not None:
            with contextlib.suppress(Exception):  # it is given up, and may be broken in any way
                tree.close()

    def _words(self, error: Exception) -> str:
        words = scrub(" ".join(str(error).split()), self._hidden)
        kind = type(error).__name__
        return f"{words} ({kind}). Is the server up and reachable from here, and are user and password right?"
