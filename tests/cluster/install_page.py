"""Plays the commands of `docs/install.md`, in order and in one shell, as an administrator does who goes through it.

What cannot be had where tests run is taken from here: Airflow's chart comes from the stand-in beside this file, `aws`
is a few lines over its own library, and the last file of values says what is particular about this cluster.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube import Namespace

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "install.md"
STAND_IN = Path(__file__).parent / "airflow-chart"

_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is not run as it stands, and what is run instead.
_INSTEAD = {
    "helm repo add apache-airflow https://airflow.apache.org\n": "",
    "helm dependency build helm/tidemark\n": "",
    "make install\n": "",
    'kubectl port-forward "service/$RELEASE-api-server" 8080:8080 &\n': "",
    ".venv/bin/python ": shlex.quote(sys.executable) + " ",
    "--values mine.yaml": "--values mine.yaml --values here.yaml",
}

_AWS = """
import os, sys
from pathlib import Path
from boto3.session import Session

client = Session().client("s3")
words = [each for each in sys.argv[1:] if not each.startswith("--")]
match words:
    case ["s3", "mb", url]:
        client.create_bucket(Bucket=url.removeprefix("s3://"))
    case ["s3", "cp", folder, url]:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        for file in Path(folder).rglob("*"):
            if file.is_file():
                client.upload_file(str(file), bucket, f"{prefix}/{file.relative_to(folder)}")
    case _:
        sys.exit(f"this aws knows no {words}")
"""


def blocks(page: str = "") -> dict[str, list[str]]:
    """The page's blocks of commands by the heading under which they stand, in its order."""
    text = page or PAGE.read_text()
    parts = re.split(r"^##+ (.*)$", text, flags=re.MULTILINE)
    return {heading: _FENCE.findall(body) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


@dataclass
class Administrator:
    """Somebody with a clone of the repository and a shell, in which variables stay from one command to the next.

    Args:
        folder: the clone; made by this.
        given: environment variables of the shell.

    """

    folder: Path
    given: Mapping[str, str]
    helm: str
    instead: dict[str, str] = field(default_factory=lambda: dict(_INSTEAD))
    _state: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        for name in ("helm", "dags", "expectations", "samples"):
            shutil.copytree(ROOT / name, self.folder / name)
        shutil.copytree(STAND_IN, self.folder / "helm" / "tidemark" / "charts" / "airflow")
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "helm").symlink_to(shutil.which(self.helm) or self.helm)
        (programs / "aws.py").write_text(_AWS)
        (programs / "aws").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{programs}/aws.py" "$@"\n')
        (programs / "aws").chmod(0o755)
        self._state = self.folder / "shell"
        self._state.write_text("")

    def play(self, *commands: str, namespace: Namespace | None = None, timeout: float = 1800) -> str:
        """Run blocks of the page, or other commands; returns what they say.

        One that fails fails the test, with what is to be seen in a namespace.
        """
        script = "\n".join(commands)
        for what, instead in self.instead.items():
            script = script.replace(what, instead)
        begin, end = (
            f"set -a; . {self._state}; set -euo pipefail",
            f"declare -px | grep -v '^declare -[a-z]*r' > {self._state}",
        )
        script = f"{begin}\n{script}\n{end}\n"
        environment = {**os.environ, **self.given, "PATH": f"{self.folder}/programs:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
        seen = namespace.told() if namespace and done.returncode else ""
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{seen}"
        return done.stdout

    def variable(self, name: str) -> str:
        """A variable of the shell."""
        return self.play(f'printf %s "${name}"')
