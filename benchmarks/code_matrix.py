"""After which edits of code a step runs again, and whether what is then served is right: ours, and peers beside it.

    python -m benchmarks.code_matrix [--peer NAME | --peer all] [--peers-dir FOLDER] [--json]

One function with a constant and a helper in another module is run, edited, and run again, each time on a memory of its
own. That it ran is told by a line that it writes, what is served by the number that comes out.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.peers import edited
from benchmarks.peers.edited import INPUT, Run
from tidemark.catalog import load_catalog
from tidemark.config import parse_instant, settings
from tidemark.deployment import open_deployment
from tidemark.reading import read
from tidemark.running.run import prepare, run_plan

HELPER = """
def shifted(number):
    return number + 1
"""

STEP = """
import os

import shifting

FACTOR = 2


{above}def total(numbers: str) -> str:
    with open(os.environ["BENCHMARK_RAN"], "a") as log:
        log.write("ran\\n")
    return str(shifting.shifted(int(numbers)) * FACTOR)
{below}"""

OURS = (
    "from tidemark import Daily, asset, pipeline, source\n"
    'numbers = source("numbers", files="numbers/{partition}.txt", partitions=Daily())\n'
    + STEP.format(above="@asset(partitions=Daily())\n", below='dag = pipeline("matrix", [numbers, total])\n')
)

DAY = "2025-01-05"


@dataclass(frozen=True)
class Edit:
    """An edit of one file, and the number that the step makes then; 12 before."""

    what: str
    file: str
    old: str
    new: str
    result: str

    @property
    def must_run(self) -> bool:
        return self.result != "12"


EDITS = (
    Edit("comment in the step", "step.py", "    with open", "    # twice as much\n    with open", "12"),
    Edit("docstring in the step", "step.py", "    with open", '    """Twice as much."""\n    with open', "12"),
    Edit("body of the step", "step.py", "* FACTOR)", "* FACTOR + 100)", "112"),
    Edit("constant in the same module", "step.py", "FACTOR = 2", "FACTOR = 3", "18"),
    Edit("helper in another module", "shifting.py", "number + 1", "number + 7", "24"),
)


@dataclass(frozen=True)
class Answer:
    """What a system did after an edit.

    Attributes:
        ran: the step ran again.
        result: what is served.
        verdict: right, needless (it ran for nothing) or stale (what is served is not what the code gives).

    """

    ran: bool
    result: str
    verdict: str


def answers(step: str, run: Run) -> dict[str, Answer]:
    """Make each edit, in a folder of its own, and return what became of it."""
    found = {}
    for edit in EDITS:
        with tempfile.TemporaryDirectory(prefix="tidemark-benchmark-") as name:
            folder = Path(name)
            files = {"step.py": step, "shifting.py": HELPER}
            ran = folder / "ran"
            os.environ["BENCHMARK_RAN"] = str(ran)
            _write(folder, files)
            if run(folder) != "12" or not ran.exists():
                raise SystemExit(f"{edit.what}: the first run went wrong")
            ran.unlink()
            if files[edit.file].count(edit.old) != 1:
                raise SystemExit(f"{edit.what}: {edit.old!r} is not in {edit.file} once")
            # What is not edited is not written again.
            _write(folder, {edit.file: files[edit.file].replace(edit.old, edit.new)})
            found[edit.what] = _judge(edit, run(folder), ran.exists())
    return found


def _write(folder: Path, files: dict[str, str]) -> None:
    (folder / "dags").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "dags" / name).write_text(text)


def _judge(edit: Edit, result: str, ran: bool) -> Answer:
    if result != edit.result:
        return Answer(ran, result, "stale")
    return Answer(ran, result, "right" if ran == edit.must_run else "needless")


def run_ours(folder: Path) -> str:
    """Observe, plan and run the pipeline, with modules loaded as a new process would."""
    landing = folder / "landing" / "numbers"
    landing.mkdir(parents=True, exist_ok=True)
    (landing / f"{DAY}.txt").write_text(INPUT)
    sys.modules.pop("shifting", None)
    sys.path.insert(0, str(folder / "dags"))
    try:
        pipeline = load_catalog(folder / "dags").pipeline("matrix")
        given = settings({"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(folder / "landing")})
        with open_deployment(given) as deployment:
            as_of = parse_instant("2025-01-06T06:00 UTC")
            prepared = prepare(deployment, pipeline, as_of=as_of, run="benchmark", actor="benchmark")
            run_plan(deployment, pipeline, prepared, run="benchmark", actor="benchmark")
            return str(read("total", DAY, deployment=deployment))
    finally:
        sys.path.remove(str(folder / "dags"))


def measure(asked: Sequence[str] = (), folder: Path = peers.CACHE) -> dict[str, dict[str, Answer]]:
    """Return what became of each edit, ours first and then each peer's, of which environments are made in a folder."""
    found = {"tidemark": answers(OURS, run_ours)}
    for peer in asked:
        python = peers.environment(peer, folder)
        given = edited.PEERS[peer]
        found[peer] = answers(STEP.format(above=given.above, below=given.below), edited.run_of(peer, python))
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=[*edited.PEERS, "all"], help="who is asked beside us")
    parser.add_argument("--peers-dir", type=Path, default=peers.CACHE, help=f"their environments: {peers.CACHE}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.dont_write_bytecode = True  # a module that is edited twice within a second must not be taken from bytecode
    asked = list(edited.PEERS) if options.peer == "all" else [options.peer] if options.peer else []
    found = measure(asked, options.peers_dir)
    if options.json:
        json.dump({who: {what: asdict(each) for what, each in some.items()} for who, some in found.items()}, sys.stdout)
        return
    print(f"{'edit':<30}{'must run':<10}" + "".join(f"{who:<22}" for who in found))
    for edit in EDITS:
        told = [some[edit.what] for some in found.values()]
        cells = "".join(f"{('ran, ' if each.ran else 'did not run, ') + each.verdict:<22}" for each in told)
        print(f"{edit.what:<30}{'yes' if edit.must_run else 'no':<10}{cells}")
    if any(each.verdict != "right" for each in found["tidemark"].values()):
        raise SystemExit("tidemark gave a wrong answer")


if __name__ == "__main__":
    main()
