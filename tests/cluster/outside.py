"""What an installation has of others, on 127.0.0.1 of this machine: PostgreSQL, S3, the git server of scientists."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import free_port

AUTHOR = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@shop.test"}
AUTHOR |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@shop.test"}


@dataclass(frozen=True)
class Repository:
    """A repository of pipelines that is served, and a scientist's clone of it.

    Attributes:
        clone: the scientist's folder.
        port: where git serves it on this machine, under the path `/pipelines.git`.

    """

    clone: Path
    port: int

    def git(self, *arguments: str) -> str:
        """What git says in the scientist's folder."""
        done = subprocess.run(
            ["git", "-C", str(self.clone), *arguments], env=os.environ | AUTHOR, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, **files: str) -> str:
        """Push pipeline files, by their names without `.py`; returns the commit."""
        for name, text in files.items():
            (self.clone / "dags" / f"{name}.py").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"{', '.join(sorted(files))}: as it is needed")
        self.git("push", "--quiet", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")


@contextlib.contextmanager
def git_server(folder: Path, expectations: Path) -> Iterator[Repository]:
    """Serve a new repository with suites and no pipeline yet by git's own server; everybody may read."""
    served, clone, port = folder / "served", folder / "clone", free_port()
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", served / "pipelines.git"], check=True)
    subprocess.run(["git", "clone", "--quiet", served / "pipelines.git", clone], check=True, capture_output=True)
    shutil.copytree(expectations, clone / "expectations")
    (clone / "dags").mkdir()
    command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    command += ["--export-all", f"--base-path={served}", str(served)]
    repository = Repository(clone, port)
    repository.push(README="'''Pipelines of the shop.'''\n")
    with (folder / "git.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None, (folder / "git.log").read_text()
            time.sleep(0.1)
        yield repository
    finally:
        server.terminate()
        server.wait()


def client_of(endpoint: str) -> Any:
    """A client of an S3 server that takes any credentials."""
    from boto3.session import Session

    session = Session(aws_access_key_id="test", aws_secret_access_key="testing-secret", region_name="us-east-1")
    return session.client("s3", endpoint_url=endpoint)
