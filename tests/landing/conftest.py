"""Landing zones of every kind, each with a way to deliver into it."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.servers import PASSWORD, USER, FileServer, ftp_server
from tidemark.airflow.landing import open_connection
from tidemark.landing import Landing, open_landing


class Deliver(Protocol):
    """Put a file into a zone, or take it away with None."""

    def __call__(self, name: str, content: bytes | None) -> None: ...


@dataclass(frozen=True)
class Zone:
    """A landing zone: where it is, how to deliver into it, how to take all of it away, and its folder if it has one."""

    url: str
    connection: str | None
    deliver: Deliver
    unmount: Callable[[], None]
    folder: Path | None

    def open(self) -> Landing:
        return open_connection(self.url, self.connection) if self.connection else open_landing(self.url)


def in_folder(url: str, folder: Path, connection: str | None = None) -> Zone:
    folder.mkdir(parents=True)

    def deliver(name: str, content: bytes | None) -> None:
        file = folder / name
        if content is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    return Zone(url, connection, deliver, lambda: folder.rename(folder.with_name("unmounted")) and None, folder)


def in_bucket(bucket: str, client: Any) -> Zone:
    name = bucket.removeprefix("s3://")

    def deliver(key: str, content: bytes | None) -> None:
        if content is None:
            client.delete_object(Bucket=name, Key=f"in/{key}")
        else:
            client.put_object(Bucket=name, Key=f"in/{key}", Body=content)

    def unmount() -> None:
        for entry in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=entry["Key"])
        client.delete_bucket(Bucket=name)

    return Zone(f"{bucket}/in", None, deliver, unmount, None)


def in_memory(folder: str) -> Zone:
    from fsspec.implementations.memory import MemoryFileSystem

    memory = MemoryFileSystem()
    memory.makedirs(folder)

    def deliver(name: str, content: bytes | None) -> None:
        if content is None:
            memory.rm_file(f"{folder}/{name}")
        else:
            memory.pipe_file(f"{folder}/{name}", content)

    return Zone(f"memory:/{folder}", None, deliver, lambda: memory.rm(folder, recursive=True), None)


def connect(patch: pytest.MonkeyPatch, **fields: object) -> str:
    """Define an Airflow connection and return its id."""
    patch.setenv("AIRFLOW_CONN_DELIVERIES", json.dumps(fields))
    return "deliveries"


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Airflow with a home of its own, if it was not loaded before."""
    with pytest.MonkeyPatch.context() as patch:
        if "airflow" not in sys.modules and "AIRFLOW_HOME" not in os.environ:
            patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        import airflow.sdk  # noqa: F401 (reads its settings now)


KINDS = [
    "folder",
    "s3",
    "sftp",
    "ftp",
    "ftp without MLSD",
    "memory",
    "s3 connection",
    "sftp connection",
    "ftp connection",
]


@pytest.fixture(params=KINDS)
def zone(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """An empty landing zone, of each kind in turn."""
    with ExitStack() as servers:
        kind, _, way = request.param.partition(" ")
        if way == "connection":
            request.getfixturevalue("airflow")
        yield _zone(kind, way, request, tmp_path, monkeypatch, servers)


def _zone(
    kind: str,
    way: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    servers: ExitStack,
) -> Zone:
    if kind == "folder":
        return in_folder(str(tmp_path / "landing"), tmp_path / "landing")
    if kind == "memory":
        return in_memory(f"/{tmp_path.name}")
    if kind == "s3":
        zone = in_bucket(request.getfixturevalue("s3"), request.getfixturevalue("s3_client"))
        if way != "connection":
            return zone
        extra = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
        name = connect(monkeypatch, conn_type="aws", login="test", password="testing-secret", extra=extra)
        for variable in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.delenv(variable)  # all of it must come from the connection
        return Zone(zone.url, name, zone.deliver, zone.unmount, None)
    if way == "without MLSD":
        (tmp_path / "served").mkdir()
        server = servers.enter_context(ftp_server(tmp_path / "served", without=("MLSD", "MLST")))
    else:
        server = request.getfixturevalue(kind)
    if way != "connection":
        return in_folder(f"{server.url}in", server.root / "in")
    return in_folder(f"{kind}:///in", server.root / "in", connection_to(server, monkeypatch))


def connection_to(server: FileServer, patch: pytest.MonkeyPatch, password: str = PASSWORD) -> str:
    return connect(patch, conn_type=server.scheme, host="127.0.0.1", port=server.port, login=USER, password=password)
