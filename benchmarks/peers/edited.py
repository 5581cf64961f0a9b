"""How each peer is given the function that `benchmarks.code_matrix` edits, and asked to bring its result up to date.

Each is set up as its guide says for a step whose result is kept between processes, and nothing is listed by hand that
a step calls. A run is a process of its own, in a folder with the modules in `dags` and the input in `numbers.txt`. What
a peer keeps lies in that folder, and it reports to nobody. The server that Prefect starts for a run listens on
127.0.0.1.
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

INPUT = "5"

Run = Callable[[Path], str]
"""Brings the result in a folder up to date, and returns it."""


@dataclass(frozen=True)
class Edited:
    """How one peer is given the function and asked for its result.

    Attributes:
        command: what brings the result up to date; its first word is found in the peer's environment.
        above: what its users write above the function.
        below: what its users write at the end of the function's module.
        files: what else has to lie in the folder, by name.
        result: the file that the result is in; None: it is the last word that is printed.

    """

    command: tuple[str, ...]
    above: str = ""
    below: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    result: str | None = None


_HAMILTON = """
import step
from hamilton import driver
built = driver.Builder().with_modules(step).with_cache(path="cache").build()
print(built.execute(["total"], inputs={"numbers": open("numbers.txt").read()})["total"])
"""

_PREFECT = """from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE


@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
"""

_PREFECT_FLOW = """

@flow
def matrix() -> str:
    return total(open("numbers.txt").read())


if __name__ == "__main__":
    print(matrix())
"""

_REDUN = """from redun import task

redun_namespace = "matrix"


@task()
"""

_SNAKEMAKE = """

with open(snakemake.input[0]) as given, open(snakemake.output[0], "w") as made:
    made.write(total(given.read()))
"""

_SNAKEFILE = """
rule total:
    input: "numbers.txt"
    output: "total.txt"
    script: "dags/step.py"
"""

_DVC = """

with open("numbers.txt") as given, open("total.txt", "w") as made:
    made.write(total(given.read()))
"""

_DVC_STAGES = """
stages:
  total:
    cmd: python dags/step.py
    deps: [numbers.txt, dags/step.py]
    outs: [total.txt]
"""

_DVC_CONFIG = """
[core]
    no_scm = true
    analytics = false
    check_update = false
"""

PEERS = {
    "hamilton": Edited(("python", "-c", _HAMILTON)),
    "prefect": Edited(("python", "dags/step.py"), above=_PREFECT, below=_PREFECT_FLOW),
    "redun": Edited(("redun", "run", "dags/step.py", "total", "--numbers", INPUT), above=_REDUN),
    "snakemake": Edited(
        ("snakemake", "--cores", "1", "--quiet", "all"),
        below=_SNAKEMAKE,
        files={"Snakefile": _SNAKEFILE},
        result="total.txt",
    ),
    "dvc": Edited(
        ("dvc", "repro", "--quiet"),
        below=_DVC,
        files={"dvc.yaml": _DVC_STAGES, ".dvc/config": _DVC_CONFIG},
        result="total.txt",
    ),
}


def run_of(peer: str, python: Path) -> Run:
    """Return how a peer brings the result in a folder up to date, by the Python of its environment."""
    edited = PEERS[peer]

    def run(folder: Path) -> str:
        for name, text in {"numbers.txt": INPUT, **edited.files}.items():
            # What is there already is not written again: some look at times of change.
            if not (folder / name).exists():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text)
        command = [str(python.parent / edited.command[0]), *edited.command[1:]]
        done = subprocess.run(command, cwd=folder, env=_given(python, folder), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{peer} failed:\n{done.stdout}{done.stderr[-3000:]}")
        if edited.result is not None:
            return (folder / edited.result).read_text()
        return done.stdout.split()[-1].strip("'")

    return run


def _given(python: Path, folder: Path) -> dict[str, str]:
    """The environment variables of a peer's process: its home is in the folder, and nothing is sent to anybody."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: text for name, text in os.environ.items() if name in ("BENCHMARK_RAN", "LANG", "LC_ALL", "TMPDIR")}
    return kept | {
        "HOME": str(home),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(folder / "dags"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "HAMILTON_TELEMETRY_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "REDUN_CONFIG": str(folder / ".redun"),
    }
