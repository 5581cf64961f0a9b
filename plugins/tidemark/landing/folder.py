"""A landing zone in a folder of this machine, or one that is mounted.

Deliveries may come from people who should not read the rest of the machine, so a file is opened folder by folder, none
of them a symbolic link, and only if it is a regular file.
"""

import errno
import os
import re
import stat
from datetime import timedelta
from pathlib import Path

from tidemark.errors import DeliveryError, Unavailable
from tidemark.landing import UNFINISHED, File, being_written, folder_in, is_inside
from tidemark.landing.listed import Listed, name_in, packed, token_in

TICK = timedelta(seconds=2)
"""The coarsest clock of a file system that is still in use, FAT's."""

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # what is not there, and what a symbolic link leads to
_TOKEN = re.compile(r"(?P<size>\d+)-(?P<changed>-?\d+)-(-?\d+)")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe would keep us waiting for its writer


class FolderLanding:
    """A landing zone in a folder.

    Args:
        root: the folder; it must be there when it is listed.

    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"FolderLanding({self.url!r})"

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._root)

    def files(self, prefix: str) -> list[File]:
        """Return all deliveries under a folder; see :class:`tidemark.landing.Landing`."""
        return self.listing(prefix).files

    def listing(self, prefix: str) -> Listed:
        """Return all deliveries under a folder as lines; see :class:`tidemark.landing.Landing`."""
        folder = folder_in(self.url, prefix)
        try:
            if folder and not self._has(folder):
                return Listed(b"", _file)
            found: list[str] = []
            folders = [f"{folder}/" if folder else ""]
            while folders:
                folders += _scan(self._root, folders.pop(), found)
        except OSError as error:
            raise self._unavailable(error) from error
        found.sort()
        return Listed(packed(found), _file)

    def read(self, name: str) -> tuple[bytes, str]:
        """Return a file's content and token; see :class:`tidemark.landing.Landing`."""
        if not is_inside(name):
            raise FileNotFoundError(f"{name!r} is not a name in the landing zone {self.url}")
        try:
            descriptor = self._open(name)
            with open(descriptor, "rb") as file:
                before = os.fstat(descriptor)
                content = file.read()
                after = os.fstat(descriptor)
        except OSError as error:
            self._require_root()
            if error.errno in _NO_FILE:
                raise FileNotFoundError(f"{name!r} is not a file in the landing zone {self.url}") from error
            raise Unavailable(
                f"{name!r} in the landing zone {self.url} cannot be read: {error.strerror or error}. "
                "May this user read it, and is the disk sound?"
            ) from error
        if _token(before) != _token(after) or len(content) != after.st_size:
            raise DeliveryError(being_written(name))
        return content, _token(after)

    def _has(self, folder: str) -> bool:
        """Whether the zone has this folder, reached without symbolic links."""
        self._require_root()
        place = self._root
        for part in folder.split("/"):
            place /= part
            try:
                if not stat.S_ISDIR(os.lstat(place).st_mode):
                    return False
            except FileNotFoundError:
                return False
        return True

    def _require_root(self) -> None:
        try:
            os.scandir(self._root).close()
        except OSError as error:
            raise self._unavailable(error) from error

    def _open(self, name: str) -> int:
        *folders, last = name.split("/")
        place = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER, dir_fd=place)
                os.close(place)
                place = inner
            descriptor = os.open(last, _FILE, dir_fd=place)
        finally:
            os.close(place)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "not a file", name)
        return descriptor

    def _unavailable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"the landing zone {self.url} cannot be listed: {error.strerror or error} ({error.filename}). "
            "Is it mounted, and may this user read it? TIDEMARK_LANDING_URL names it"
        )


def _scan(root: Path, folder: str, found: list[str]) -> list[str]:
    """Add the lines of a folder's deliveries to those found, and return the folders in it.

    This loop is what a run with nothing to do spends its time in: calls are kept out of it, also that of `_token`.
    """
    inner = []
    is_file = stat.S_ISREG
    try:
        entries = os.scandir(f"{root}/{folder}")
    except FileNotFoundError:
        if not folder:
            raise
        return []  # it was there a moment ago: its files are gone, and nothing is hidden by that
    with entries:
        for entry in entries:
            name = entry.name
            if name[0] == "." or name.endswith(UNFINISHED):
                continue
            if entry.is_dir(follow_symlinks=False):
                inner.append(f"{folder}{name}/")
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if is_file(status.st_mode):
                whole = folder + name if name.isascii() else _printable(folder + name)
                found.append(f"{whole}\0{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}")
    return inner


def _token(status: os.stat_result) -> str:
    """Return the stat token.

    The time of the last change to the inode is in it because nobody can set it: a tool that gives a corrected file of
    equal size the modification time of the one that it replaces is noticed.
    """
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _file(line: str) -> File:
    """Return the file of a line; all that is known of it is in its token."""
    token = token_in(line)
    told = _TOKEN.fullmatch(token)
    assert told is not None
    return File(name_in(line), token, int(told["changed"]) / 1e9, int(told["size"]), TICK)


def _printable(name: str) -> str:
    """Return a name with bytes that are not UTF-8 replaced, to be shown in a warning: no partition has such a name."""
    return os.fsencode(name).decode("utf-8", "replace")
