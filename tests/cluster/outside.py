"""What an installation has of others, on 127.0.0.1 of this machine: PostgreSQL, S3, the git server of scientists."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port

AUTHOR = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@shop.test"}
AUTHOR |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@shop.test"}


@dataclass(frozen=True)
class Repository:
    """A repository of pipelines that is served, and a scientist's clone of it.

    Attributes:
        served: the repository itself.
        clone: the scientist's folder.
        port: where git serves it on this machine, under the path `/pipelines.git`.

    """

    served: Path
    clone: Path
    port: int

    def git(self, *arguments: str) -> str:
        """What git says in the scientist's folder."""
        done = subprocess.run(
            ["git", "-C", str(self.clone), *arguments], env=os.environ | AUTHOR, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def head(self) -> str:
        """The commit that was pushed last, by whomever."""
        return self.git("ls-remote", "origin", "main").split()[0]

    def pull(self) -> None:
        """Bring the scientist's folder to what was pushed last."""
        if self.git("ls-remote", "origin", "main"):
            self.git("pull", "--quiet", "--rebase", "origin", "main")

    def remove(self, name: str) -> None:
        """Push that a pipeline file is gone."""
        self.git("rm", "--quiet", f"dags/{name}.py")
        self.git("commit", "--quiet", "--message", f"{name}: not needed any more")
        self.git("push", "--quiet", "origin", "HEAD:main")

    def push(self, **files: str) -> str:
        """Push pipeline files, by their names without `.py`; returns the commit."""
        self.pull()
        for name, text in files.items():
            (self.clone / "dags" / f"{name}.py").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"{', '.join(sorted(files))}: as it is needed")
        self.git("push", "--quiet", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")


@contextlib.contextmanager
def git_server(folder: Path) -> Iterator[Repository]:
    """Serve a new repository in which nothing is yet by git's own server; everybody may read."""
    served, clone, port = folder / "served", folder / "scientist", free_port()
    bare = served / "pipelines.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    subprocess.run(["git", "clone", "--quiet", bare, clone], check=True, capture_output=True)
    (clone / "dags").mkdir()
    programs = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    command = [
        f"{programs}/git-daemon",
        "--reuseaddr",
        "--listen=127.0.0.1",
        f"--port={port}",
    ]  # `git` would stay behind
    command += ["--export-all", f"--base-path={served}", str(served)]
    repository = Repository(bare, clone, port)
    repository.push(about='"""Pipelines of the shop."""\n')
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
