"""A landing zone whose host, user and secret are in an Airflow connection."""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tidemark.errors import Unavailable, UsageError
from tidemark.landing import Landing
from tidemark.landing.filesystem import landing_on
from tidemark.landing.ftp import FtpTree, login
from tidemark.landing.remote import RemoteLanding
from tidemark.landing.sftp import SftpTree
from tidemark.places import CONNECT_SECONDS, READ_SECONDS, Address, redact, scheme, secrets

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from fsspec import AbstractFileSystem


def open_connection(url: str, name: str) -> Landing:
    """Return the landing zone at a URL, opened with an Airflow connection, without touching it yet.

    What ``ObjectStoragePath`` reads is read through the same file systems of the providers (but not through its cache,
    in which a password that was changed stays as it was). It has nothing for FTP, and for SFTP wants one package more;
    these two are opened by what :mod:`tidemark.landing` has for them, with the connection's fields.

    Args:
        url: the scheme and the path of the zone, and a bucket; host, user and secret are the connection's.
        name: the connection's id.

    Raises:
        UsageError: if the URL is a folder of this machine, or names a user or another host than the connection.
        Unavailable: if Airflow cannot tell the connection.

    """
    kind = scheme(url)
    if kind == "file":
        raise UsageError(
            f"TIDEMARK_LANDING_URL is the folder {url}: it needs no TIDEMARK_LANDING_CONNECTION. Unset one of them"
        )
    if secrets(url) or "@" in urlsplit(url).netloc:
        raise UsageError(
            f"{redact(url)}: user and password come from the Airflow connection {name!r}, which "
            f"TIDEMARK_LANDING_CONNECTION names. Write {kind}:///path"
        )
    connection = _connection(name)
    if kind in ("sftp", "ftp"):
        return _on_server(kind, url, connection)

    def filesystem() -> "tuple[AbstractFileSystem, str]":
        from airflow.sdk.io import get_fs, has_fs

        if not has_fs(kind):
            raise UsageError(f"No Airflow provider that is installed has a file system for {kind}://, to read {url}")
        opened: Any = get_fs(kind, name)
        return opened, opened._strip_protocol(url)

    return landing_on(url, filesystem, _secrets(connection))


def _connection(name: str) -> "Connection":
    from airflow.sdk import BaseHook

    try:
        return BaseHook.get_connection(name)
    except Exception as error:  # Airflow names a missing connection and a silent secrets backend alike
        raise Unavailable(
            f"Airflow tells nothing of a connection {name!r}, which TIDEMARK_LANDING_CONNECTION names "
            f"({type(error).__name__}). Is it defined, under Admin, Connections or as AIRFLOW_CONN_{name.upper()}?"
        ) from None


def _on_server(kind: str, url: str, connection: "Connection") -> RemoteLanding:
    parts = urlsplit(url)
    host, path = connection.host or "", unquote(parts.path)
    if parts.hostname and parts.hostname != host.lower():
        raise UsageError(
            f"{url} names the host {parts.hostname}, but the Airflow connection {connection.conn_id!r} {host}. "
            f"Write {kind}://{path or '/'}"
        )
    port = connection.port or {"sftp": 22, "ftp": 21}[kind]
    place = Address(host, port, connection.login or "", connection.password, path)
    shown = f"{kind}://{host}:{port}{path}"

    def sftp() -> SftpTree:
        from airflow.providers.ssh.hooks.ssh import SSHHook

        # Airflow's own hook, for its many ways of giving keys and host keys.
        hook = SSHHook(
            ssh_conn_id=connection.conn_id,
            conn_timeout=CONNECT_SECONDS,
            banner_timeout=READ_SECONDS,
            auth_timeout=READ_SECONDS,
        )
        return SftpTree(hook.get_conn())

    return RemoteLanding(shown, path, sftp if kind == "sftp" else lambda: FtpTree(login(place)), _secrets(connection))


def _secrets(connection: "Connection") -> tuple[str, ...]:
    """Return what of a connection must not be shown: its password, and each text among its extras."""
    extras = [value for value in connection.extra_dejson.values() if isinstance(value, str)]
    return tuple(value for value in (connection.password, *extras) if value and len(value) > 3)
