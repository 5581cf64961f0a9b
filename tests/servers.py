"""Real servers for tests, on free ports of 127.0.0.1: S3 (moto), SFTP (paramiko), FTP (pyftpdlib) and MLflow.

Each is a context manager, for tests that need one of their own, and there are fixtures for the rest; conftest.py names
them: ``s3`` is the URL of a new bucket, with the environment set for it; ``sftp`` and ``ftp`` serve a new folder;
``mlflow_server`` is one server for all tests, which can be stopped and started.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import paramiko
import pytest

USER = "deliverer"
PASSWORD = "p@ss/w:rd"  # each of these characters ends a part of a URL that is not encoded

KEYS_A_PAGE = 20  # of our S3 server, so that listings have many pages


@dataclass(frozen=True)
class FileServer:
    """A running SFTP or FTP server: the folder that it serves as its root, and how to reach it."""

    scheme: str
    root: Path
    port: int

    @property
    def url(self) -> str:
        return self.url_as(PASSWORD)

    def url_as(self, password: str) -> str:
        return f"{self.scheme}://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/"


@contextlib.contextmanager
def growing(file: Path) -> Iterator[None]:
    """A delivery on its way: 20 MB of it are there, and more comes without a pause."""
    file.write_bytes(bytes(20_000_000))
    stop = threading.Event()

    def append() -> None:
        with file.open("ab", buffering=0) as growing:
            while not stop.wait(0.0005):
                growing.write(bytes(100))

    appending = threading.Thread(target=append)
    appending.start()
    try:
        yield
    finally:
        stop.set()
        appending.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class SilentServer:
    """A port that lets callers wait."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._callers: list[socket.socket] = []
        self.port: int = listener.getsockname()[1]

    def callers(self) -> int:
        """How many have called until now."""
        self._listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._callers.append(self._listener.accept()[0])
        return len(self._callers)


@contextlib.contextmanager
def silent_server() -> Iterator[SilentServer]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield SilentServer(listener)


@contextlib.contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Run moto in a process of its own; yields its endpoint."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(KEYS_A_PAGE)}
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):
                break
            assert server.poll() is None, f"moto ended: {log.read_text()}"
            time.sleep(0.1)
        else:
            raise AssertionError(f"moto did not start within a minute: {log.read_text()}")
        yield endpoint
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def credentials_checked(endpoint: str) -> Iterator[None]:
    """Let moto refuse who has no key of its own making, that is everybody."""

    def let_through(requests: str) -> None:
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", requests.encode(), plain)
        urllib.request.urlopen(request).close()

    let_through("0")
    try:
        yield
    finally:
        let_through("inf")


def use_s3(endpoint: str, patch: pytest.MonkeyPatch) -> None:
    """Point the AWS tools at an endpoint that takes any credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ENDPOINT_URL", endpoint)
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    patch.setenv("AWS_REGION", "us-east-1")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


def _files_of(root: Path) -> type[paramiko.SFTPServerInterface]:
    class Files(paramiko.SFTPServerInterface):
        """Serves a folder to read from; what the file system refuses, the client hears."""

        def _real(self, path: str) -> str:
            return str(root) + self.canonicalize(path)

        def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
            try:
                with os.scandir(self._real(path)) as entries:
                    return [
                        paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name)
                        for entry in entries
                    ]
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        def stat(self, path: str) -> paramiko.SFTPAttributes | int:
            try:
                return paramiko.SFTPAttributes.from_stat(os.stat(self._real(path)))
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
            try:
                return paramiko.SFTPAttributes.from_stat(os.lstat(self._real(path)))
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
            try:
                file = open(self._real(path), "rb")  # noqa: SIM115 (the handle closes it)
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)
            handle = paramiko.SFTPHandle(flags)
            handle.readfile = file
            handle.stat = lambda: paramiko.SFTPAttributes.from_stat(os.fstat(file.fileno()))
            return handle

    return Files


@contextlib.contextmanager
def sftp_server(root: Path, host_key: paramiko.PKey) -> Iterator[FileServer]:
    """An SFTP server over a folder; :data:`USER` and :data:`PASSWORD` get in."""
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = listener.accept()
                transport = paramiko.Transport(connection)
                transport.add_server_key(host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _files_of(root))
                transports.append(transport)
                with contextlib.suppress(paramiko.SSHException, EOFError):  # a client that left at once
                    transport.start_server(server=_Login())

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield FileServer("sftp", root, listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()


@contextlib.contextmanager
def ftp_server(
    root: Path, *, without: tuple[str, ...] = (), closed: Path | None = None, listing: str | None = None
) -> Iterator[FileServer]:
    """An FTP server over a folder.

    Args:
        root: the folder.
        without: commands that it does not know, as older servers do not.
        closed: a folder in it that may not be opened.
        listing: what it answers to LIST, whatever is there.

    """
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

    class Handler(FTPHandler):
        """The handler of this server: its users and commands are attributes of its class."""

    Handler.authorizer = DummyAuthorizer()
    Handler.auth_failed_timeout = 0  # seconds that it lets a wrong password wait
    Handler.unicode_errors = "surrogateescape"  # names go out as they are on disk
    Handler.proto_cmds = {name: what for name, what in FTPHandler.proto_cmds.items() if name not in without}
    Handler.authorizer.add_user(USER, PASSWORD, str(root), perm="elr")
    if closed:
        Handler.authorizer.override_perm(USER, str(closed), perm="", recursive=True)
    if listing:

        class Listing(AbstractedFS):
            """A file system that shows itself in a form of its own."""

            def format_list(self, *args: object, **options: object) -> Iterator[bytes]:
                yield f"{listing}\r\n".encode()

        Handler.abstracted_fs = Listing
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), Handler, ioloop=loop)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            loop.loop(timeout=0.05, blocking=False)

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    try:
        yield FileServer("ftp", root, server.address[1])
    finally:
        ended.set()
        serving.join()
        server.close_all()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of one moto server for all tests of this process."""
    with s3_server(tmp_path_factory.mktemp("moto") / "log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Any:
    """A client of that server, to look behind what is tested."""
    from boto3.session import Session

    session = Session(aws_access_key_id="test", aws_secret_access_key="testing-secret", region_name="us-east-1")
    return session.client("s3", endpoint_url=s3_endpoint)


@pytest.fixture
def s3(s3_endpoint: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new, empty bucket, and the environment set to reach it."""
    use_s3(s3_endpoint, monkeypatch)
    name = f"test-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def host_key() -> paramiko.PKey:
    """A key for SFTP servers."""
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def sftp(tmp_path: Path, host_key: paramiko.PKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """An SFTP server over a new folder, whose host key this user knows."""
    root, home = tmp_path / "served", tmp_path / "home"
    root.mkdir()
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    with sftp_server(root, host_key) as server:
        line = f"[127.0.0.1]:{server.port} {host_key.get_name()} {host_key.get_base64()}\n"
        (home / ".ssh" / "known_hosts").write_text(line)
        yield server


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[FileServer]:
    """An FTP server over a new folder."""
    root = tmp_path / "served"
    root.mkdir()
    with ftp_server(root) as server:
        yield server


class MlflowServer:
    """An MLflow server over a folder, on one port, that can be down for a while.

    Attributes:
        url: its address, up or down.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, if it does not run, and wait until it answers."""
        if self._process is not None:
            return
        files, log = self._folder / "files", self._folder / "log"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(files)]
        # Of its background jobs none is needed here, and each kind is a process that takes seconds to start.
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)  # a server of its own would take that for its store
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5):
                return
            assert self._process.poll() is None, f"MLflow ended: {log.read_text()}"
            time.sleep(0.1)
        raise AssertionError(f"MLflow did not start within a minute: {log.read_text()}")

    def stop(self) -> None:
        """End it with its workers at once, as a power cut would; who asks is refused then."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One MLflow server for all tests of this process; who stops it starts it again."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()
