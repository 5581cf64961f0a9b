"""Everything else that fsspec knows, and what an Airflow connection opens.

fsspec keeps what it has listed; that is dropped before each question, or a delivery would not be seen. Some of its file
systems wait for minutes for a silent server; they are given up earlier.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from tidemark.errors import Unavailable, UsageError
from tidemark.landing.remote import TICK, RemoteLanding, Stat
from tidemark.places import DEADLINE_SECONDS, redact, scheme, within

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Answer = TypeVar("Answer")

# What file systems call the time of the last change.
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


class FilesystemTree:
    """The folders of an fsspec file system.

    Args:
        filesystem: the file system.
        prefix: what it wants before each path: a bucket, or nothing.

    """

    def __init__(self, filesystem: "AbstractFileSystem", prefix: str = "") -> None:
        self._filesystem: Any = filesystem  # fsspec is not typed
        self._prefix = prefix

    def list(self, folder: str) -> list[tuple[str, Stat | None]]:
        """Return what is in a folder; see :class:`tidemark.landing.remote.Tree`."""
        path = self._prefix + folder
        entries = self._ask(lambda: self._filesystem.ls(path, detail=True))
        return [
            (entry["name"].rstrip("/").rpartition("/")[2], None if entry["type"] == "directory" else _stat(entry))
            for entry in entries
            # Object stores show the folder itself among what is in it.
            if entry["type"] in ("directory", "file") and entry["name"].strip("/") != path.strip("/")
        ]

    def stat(self, path: str) -> Stat:
        """Return the stat of a file; see :class:`tidemark.landing.remote.Tree`."""
        entry = self._ask(lambda: self._filesystem.info(self._prefix + path))
        if entry["type"] != "file":
            raise FileNotFoundError(path)
        return _stat(entry)

    def read(self, path: str) -> bytes:
        """Return the content of a file; see :class:`tidemark.landing.remote.Tree`."""
        content: bytes = self._filesystem.cat_file(self._prefix + path)
        return content

    def close(self) -> None:
        """Leave the connection to fsspec, which shares it."""

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        self._filesystem.invalidate_cache()
        return within(DEADLINE_SECONDS, f"the server of {type(self._filesystem).__name__}", question)


def open_filesystem(url: str) -> RemoteLanding:
    """Return the landing zone at a URL of another scheme that fsspec knows, as ``memory://`` or ``gs://``."""
    from fsspec import available_protocols
    from fsspec.core import url_to_fs

    if scheme(url) not in available_protocols():  # type: ignore[no-untyped-call]
        raise UsageError(
            f"TIDEMARK_LANDING_URL is {redact(url)}: nothing is known about {scheme(url)}://. "
            "Write a folder, or a URL that begins with s3://, sftp://, ftp:// or another scheme of fsspec"
        )
    return landing_on(url, lambda: url_to_fs(url, skip_instance_cache=True))  # type: ignore[no-untyped-call]


def landing_on(
    url: str, connect: Callable[[], tuple["AbstractFileSystem", str]], hidden: tuple[str, ...] = ()
) -> RemoteLanding:
    """Return the landing zone on a file system.

    Args:
        url: where it is, for messages.
        connect: returns the file system and the path of the zone in it; called when the zone is first asked.
        hidden: what must not be seen in messages.

    """

    def tree() -> FilesystemTree:
        filesystem, root = connect()
        return FilesystemTree(filesystem, root.rstrip("/"))

    return RemoteLanding(url, "", tree, hidden)


def _stat(entry: dict[str, Any]) -> Stat:
    size = entry.get("size")
    if size is None:
        raise Unavailable(f"the server does not tell the size of {entry['name']!r}: it cannot be a landing zone")
    tag = entry.get("ETag") or entry.get("etag")
    modified = _time(next((entry[name] for name in _TIMES if entry.get(name) is not None), None))
    if tag:
        return Stat(size, str(tag).strip('"'), modified, None)
    return Stat(size, f"{size}-{modified and modified.timestamp()}", modified, TICK)


def _time(value: object) -> datetime | None:
    """Return a time, which each file system writes in its own way."""
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return None
