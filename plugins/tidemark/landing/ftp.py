"""FTP, through the standard library.

Listings are machine-readable (MLSD) where the server has them. Where it has not, as vsftpd, the names come from LIST
and the times from one MDTM a file, because the times in LIST are in an unknown zone and have no seconds, or no year. A
line of LIST that is not understood fails the listing: it could be a delivery. (fsspec's FTP shows a folder that it may
not open as an empty one.) Nothing is encrypted: prefer SFTP.
"""

import contextlib
import ftplib
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tidemark.errors import Unavailable
from tidemark.landing.remote import RemoteLanding, Stat
from tidemark.places import READ_SECONDS, Address, address

_NOT_UNDERSTOOD = ("500", "501", "502", "504")
_ABSENT = "550"  # or closed: servers have no other code for that
# -rw-r--r--   1 owner    group         120 Jan  5 06:00 name with spaces
_LINE = re.compile(r"(?P<kind>[-a-z])\S{9,}\s+\d+\s+\S+\s+\S+\s+(?P<size>\d+)\s+\w{3}\s+\d+\s+[\d:]+\s(?P<name>.+)")


class FtpTree:
    """The folders of an FTP server, over a connection that is logged in.

    Names go over the wire as Latin-1 and are UTF-8 inside of that, so that one name in another encoding does not make
    the folder unreadable.
    """

    def __init__(self, connection: ftplib.FTP) -> None:
        self._ftp = connection
        self._ftp.voidcmd("TYPE I")  # servers refuse to tell sizes otherwise
        self._has_mlsd = True

    def list(self, folder: str) -> list[tuple[str, Stat | None]]:
        """Return what is in a folder; see :class:`tidemark.landing.remote.Tree`."""
        with _absences(folder):
            self._ftp.cwd(_wire(folder))
            if self._has_mlsd:
                try:
                    return list(self._mlsd())
                except ftplib.error_perm as error:
                    if not str(error).startswith(_NOT_UNDERSTOOD):
                        raise
                    self._has_mlsd = False
            return list(self._lines(folder))

    def stat(self, path: str) -> Stat:
        """Return the stat of a file; see :class:`tidemark.landing.remote.Tree`."""
        with _absences(path):
            self._ftp.voidcmd("TYPE I")
            size = self._ftp.size(_wire(path))
            if size is None:
                raise Unavailable(f"the FTP server does not tell the size of {path!r}; use SFTP")
            return _stat(size, self._mdtm(path))

    def read(self, path: str) -> bytes:
        """Return the content of a file; see :class:`tidemark.landing.remote.Tree`."""
        chunks: list[bytes] = []
        with _absences(path):
            self._ftp.retrbinary(f"RETR {_wire(path)}", chunks.append)
        return b"".join(chunks)

    def close(self) -> None:
        """End the connection."""
        self._ftp.close()

    def _mlsd(self) -> Iterator[tuple[str, Stat | None]]:
        for name, facts in self._ftp.mlsd(facts=["type", "size", "modify"]):
            kind = facts["type"].lower()
            if kind == "dir":
                yield _text(name), None
            elif kind == "file":
                yield _text(name), _stat(int(facts["size"]), facts.get("modify"))

    def _lines(self, folder: str) -> Iterator[tuple[str, Stat | None]]:
        lines: list[str] = []
        self._ftp.retrlines("LIST", lines.append)
        self._ftp.voidcmd("TYPE I")  # a listing is text, and switches to it
        for line in map(_text, lines):
            if line.startswith("total ") or not line:
                continue
            entry = _LINE.fullmatch(line)
            if entry is None:
                raise Unavailable(
                    f"the FTP server's listing is of an unknown form: {line!r}; use SFTP, or a server with MLSD"
                )
            if entry["kind"] == "d":
                if entry["name"] not in (".", ".."):
                    yield entry["name"], None
            elif entry["kind"] == "-":
                yield entry["name"], _stat(int(entry["size"]), self._mdtm(f"{folder.rstrip('/')}/{entry['name']}"))

    def _mdtm(self, path: str) -> str | None:
        try:
            return self._ftp.sendcmd(f"MDTM {_wire(path)}").partition(" ")[2]
        except ftplib.error_perm:
            return None  # the server does not know the command, or the file is gone: reading it will tell


def open_ftp(url: str) -> RemoteLanding:
    """Return the landing zone at ``ftp://user:password@host:port/path``; the path is absolute on the server."""
    place = address(url, port=ftplib.FTP_PORT)
    return RemoteLanding(url, place.path, lambda: FtpTree(login(place)))


def login(place: Address) -> ftplib.FTP:
    """Return a connection that is logged in, anonymously if no user is named."""
    connection = ftplib.FTP(timeout=READ_SECONDS, encoding="latin-1")  # noqa: S321 (what suppliers offer)
    try:
        connection.connect(place.host, place.port)
        connection.login(_wire(place.user), _wire(place.password or ""))
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _absences(path: str) -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        if str(error).startswith(_ABSENT):
            raise FileNotFoundError(path) from None
        raise


def _stat(size: int, modify: str | None) -> Stat:
    """Return a stat from a time as MLSD and MDTM write it: in UTC, and with or without fractions of a second."""
    time = modify[:14] if modify else None
    modified = None if time is None else datetime.strptime(time, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return Stat(size, f"{size}-{time}", modified)


def _wire(text: str) -> str:
    return text.encode().decode("latin-1")


def _text(wire: str) -> str:
    return wire.encode("latin-1").decode("utf-8", "replace")
