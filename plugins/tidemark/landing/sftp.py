"""SFTP, through paramiko.

A server must be known (``~/.ssh/known_hosts`` or ``/etc/ssh/ssh_known_hosts``): one that took the place of the right
one would deliver our prices, and be told our password. Without a password in the URL, the keys in ``~/.ssh`` and of the
agent are tried. (fsspec's SFTP takes every server for the right one, waits for a silent one without end, and fetches
32 KiB a round trip.)
"""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.errors import Unavailable
from tidemark.landing.remote import RemoteLanding, Stat
from tidemark.places import CONNECT_SECONDS, READ_SECONDS, Address, address

if TYPE_CHECKING:
    from paramiko import SFTPAttributes, SSHClient  # type: ignore[import-untyped]

_REQUESTS_AT_ONCE = 64
_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("~/.ssh/known_hosts"))


class SftpTree:
    """The folders of an SFTP server, over a client that is logged in."""

    def __init__(self, client: "SSHClient") -> None:
        self._client = client
        self._sftp = client.open_sftp()
        channel = self._sftp.get_channel()
        assert channel is not None  # it was opened just now
        channel.settimeout(READ_SECONDS)

    def list(self, folder: str) -> list[tuple[str, Stat | None]]:
        """Return what is in a folder; see :class:`tidemark.landing.remote.Tree`."""
        return [
            (entry.filename, None if _is(stat.S_IFDIR, entry) else _stat(entry))
            for entry in self._sftp.listdir_attr(folder)
            if _is(stat.S_IFDIR, entry) or _is(stat.S_IFREG, entry)
        ]

    def stat(self, path: str) -> Stat:
        """Return the stat of a file; see :class:`tidemark.landing.remote.Tree`."""
        status = self._sftp.lstat(path)
        if not _is(stat.S_IFREG, status):
            raise FileNotFoundError(path)
        return _stat(status)

    def read(self, path: str) -> bytes:
        """Return the content of a file; see :class:`tidemark.landing.remote.Tree`."""
        with self._sftp.open(path, "rb") as file:
            # Many requests at once: not one round trip for every 32 KiB.
            file.prefetch(file.stat().st_size, max_concurrent_requests=_REQUESTS_AT_ONCE)
            content: bytes = file.read()
        return content

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def open_sftp(url: str) -> RemoteLanding:
    """Return the landing zone at ``sftp://user:password@host:port/path``; the path is absolute on the server."""
    place = address(url, port=22)
    return RemoteLanding(url, place.path, lambda: SftpTree(_login(place)))


def _login(place: Address) -> "SSHClient":
    from paramiko import BadHostKeyException, RejectPolicy, SSHClient, SSHException

    client = SSHClient()
    client.set_missing_host_key_policy(RejectPolicy())
    for known in _KNOWN_HOSTS:
        if known.expanduser().is_file():
            client.load_system_host_keys(str(known.expanduser()))
    scan = f"ssh-keyscan -p {place.port} {place.host} >> ~/.ssh/known_hosts"
    try:
        client.connect(
            place.host,
            place.port,
            place.user or None,
            place.password,
            timeout=CONNECT_SECONDS,
            banner_timeout=READ_SECONDS,
            auth_timeout=READ_SECONDS,
            channel_timeout=READ_SECONDS,
            # A password is meant: other keys tried first would use up the attempts that the server grants.
            look_for_keys=place.password is None,
            allow_agent=place.password is None,
        )
    except BadHostKeyException:
        client.close()
        raise Unavailable(
            f"{place.host}:{place.port} is not the SFTP server that it was: its host key is another. Ask who runs it "
            f"whether the key was changed; if so: ssh-keygen -R '[{place.host}]:{place.port}' && {scan}"
        ) from None
    except SSHException as error:
        client.close()
        if "not found in known_hosts" not in str(error):
            raise
        raise Unavailable(
            f"the SFTP server {place.host}:{place.port} is not known yet. Compare its host key with what its operator "
            f"says, and add it: {scan}"
        ) from None
    except BaseException:
        client.close()
        raise
    return client


def _is(kind: int, status: "SFTPAttributes") -> bool:
    return stat.S_IFMT(status.st_mode or 0) == kind


def _stat(status: "SFTPAttributes") -> Stat:
    modified = None if status.st_mtime is None else datetime.fromtimestamp(status.st_mtime, UTC)
    return Stat(status.st_size or 0, f"{status.st_size}-{status.st_mtime}", modified)
