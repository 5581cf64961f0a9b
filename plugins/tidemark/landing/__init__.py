"""The landing zone: where others deliver files. It is only ever read.

Invariants:

- A listing is whole, or it fails: what cannot be seen is never taken for what is not there.
- What ``read`` returns is what the file held at one moment, with the token that it had then.
- Nothing outside of the zone is read: symbolic links are not followed, names that lead out are passed over.
- Hidden and temporary names (``.x``, ``x.tmp``, ``x.part``, ``x.filepart``, ``x~``) are deliveries that are not
  finished, and passed over; folders too.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tidemark.errors import UsageError
from tidemark.places import local_folder, redact, scheme

if TYPE_CHECKING:
    from tidemark.landing.listed import Listed

UNFINISHED = (".tmp", ".part", ".filepart", "~")


class File(NamedTuple):
    """A delivered file, as a listing shows it.

    Attributes:
        name: its path relative to the landing zone, with ``/`` between folders.
        token: made of what the listing tells of the content (an ETag; else size and times).
        changed: when the content last changed, in seconds since 1970; None if the server does not say.
        size: in bytes.
        tick: how coarse the clock behind `changed` is and how far it may be from ours: two changes within it can leave
            one token. None if no clock is involved, as with an ETag.

    """

    name: str
    token: str
    changed: float | None
    size: int
    tick: timedelta | None

    @property
    def modified(self) -> datetime | None:
        """When the content last changed, in UTC; None if nobody says, or in a year that no calendar has."""
        try:
            return None if self.changed is None else datetime.fromtimestamp(self.changed, UTC)
        except (ValueError, OverflowError):
            return None

    def settled(self, seen_at: datetime) -> bool:
        """Whether the token, seen at an instant, stands for one content: equal token, equal content from then on.

        A file that is not settled is hashed again the next time, though its token has not changed.
        """
        modified = self.modified
        return self.tick is None or (modified is not None and seen_at - modified > self.tick)


class Landing(Protocol):
    """Where others deliver."""

    @property
    def url(self) -> str:
        """Where it is, as people may see it: without the password."""

    def files(self, prefix: str) -> list[File]:
        """Return all deliveries under a folder and its folders, by name; none if there is no such folder.

        Args:
            prefix: the folder, relative to the landing zone; empty for all of it.

        Raises:
            Unavailable: if the zone is not there, or any part of the listing fails.
            UsageError: if the folder leads out of the zone.

        """

    def listing(self, prefix: str) -> "Listed":
        """Return the same as lines, each of which is another one when the file's name or token is.

        Raises:
            Unavailable: if the zone is not there, or any part of the listing fails.
            UsageError: if the folder leads out of the zone.

        """

    def read(self, name: str) -> tuple[bytes, str]:
        """Return the content of a file and the token that it had.

        Raises:
            DeliveryError: if it changed while it was read: it is still being written.
            FileNotFoundError: if it is not there any more, or the name leads out of the zone.
            Unavailable: if the zone cannot be reached, or the file not be read.

        """


def open_landing(url: str) -> Landing:
    """Return the landing zone at a URL, without touching it yet.

    Args:
        url: a folder, plain or as ``file:///...``; ``s3://bucket/prefix``; ``sftp://user:password@host:port/path``;
            ``ftp://...``; or another that fsspec knows.

    Raises:
        UsageError: if nothing is known about such a URL.

    """
    match scheme(url):
        case "file":
            from tidemark.landing.folder import FolderLanding

            return FolderLanding(local_folder(url))
        case "s3":
            from tidemark.landing.s3 import S3Landing

            return S3Landing(url)
        case "sftp":
            from tidemark.landing.sftp import open_sftp

            return open_sftp(url)
        case "ftp":
            from tidemark.landing.ftp import open_ftp

            return open_ftp(url)
    from tidemark.landing.filesystem import open_filesystem

    return open_filesystem(url)


def is_finished(name: str) -> bool:
    """Whether a file or folder of this name is a delivery: not hidden, and not still on its way."""
    return not name.startswith(".") and not name.endswith(UNFINISHED)


def is_inside(name: str) -> bool:
    """Whether a name, relative to the zone, stays in it."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and "\0" not in name


def folder_in(url: str, prefix: str) -> str:
    """Return a folder of the zone without a slash at its end, empty for the zone itself.

    Raises:
        UsageError: if it leads out of the zone.

    """
    folder = prefix.removesuffix("/")
    if folder and not is_inside(folder):
        raise UsageError(f"{prefix!r} is no folder of the landing zone {redact(url)}: write it relative, without '..'")
    return folder


def being_written(name: str) -> str:
    """Return the words for a file that changed while it was read."""
    return (
        f"{name!r} changed while it was read: it is still being written. "
        "Deliver under a temporary name (such as one that ends with .part), and rename it when it is complete"
    )
