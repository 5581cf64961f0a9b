"""Checks a folder of pipeline files as a whole: every finding at once, sorted, and nothing of the caller's touched.

Needs no ledger, no database of Airflow's and no network.
"""

import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tidemark.checking.definitions import across
from tidemark.checking.finding import Finding, Rule
from tidemark.checking.importing import Report, Request
from tidemark.checking.texts import Text, heavy_imports, read_text, secrets
from tidemark.errors import DefinitionError, UsageError
from tidemark.suites import read_suite

BUDGET = 2.0
"""Seconds of CPU that the import of a file may cost."""

LIMIT = 30.0
"""Seconds after which a file's import is given up, as Airflow gives it up."""

_PROGRAM = "tidemark.checking.importing"


@dataclass(frozen=True)
class Checked:
    """What a check has come to.

    Attributes:
        folder: what was checked.
        files: how many Python files it has.
        pipelines: the names of the pipelines in it.
        seconds: of CPU that the import of each file took, where it could be imported.
        findings: what is wrong, by file and line.

    """

    folder: Path
    files: int
    pipelines: tuple[str, ...]
    seconds: dict[Path, float]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many findings must not be merged."""
        return sum(not each.warning for each in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings may be."""
        return sum(each.warning for each in self.findings)


def check_folder(folder: Path, *, budget: float = BUDGET, limit: float = LIMIT) -> Checked:
    """Check every Python file of a folder, and the suites that belong to it.

    Args:
        folder: what a DAG bundle shows to Airflow: the repository, or its subfolder of pipeline files.
        budget: seconds of CPU that the import of a file may cost.
        limit: seconds after which a file's import is given up.

    Raises:
        UsageError: there is no such folder, or no Python file in it.

    """
    if not folder.is_dir():
        what = "is a file: name the folder that it is in" if folder.exists() else "is not there: name a folder of DAGs"
        raise UsageError(f"{folder} {what}")
    folder = folder.resolve()
    reports = _reports(Request(folder, budget, limit))
    if not reports:
        raise UsageError(f"{folder} has no Python file that Airflow would look into: is it the right folder?")
    findings = [found for report in reports for found in report.findings]
    scans = importlib.util.find_spec("detect_secrets") is not None
    if not scans:
        said = "nothing was looked through for secrets: detect-secrets is not installed; install requirements.txt"
        findings.append(Finding(folder, None, Rule.SECRET, said))
    for text in (read_text(report.file) for report in reports):
        if isinstance(text, Text):
            findings += [*heavy_imports(text), *(secrets(text) if scans else ())]
    pipelines = [each for report in reports for each in report.pipelines]
    findings += across(pipelines, folder)
    findings += _suites(folder, findings)
    return Checked(
        folder,
        len(reports),
        tuple(sorted({each.name for each in pipelines})),
        {each.file: each.seconds for each in reports if each.seconds is not None},
        tuple(sorted(findings, key=lambda each: (str(each.file), each.line or 0, each.rule, each.said))),
    )


def _suites(folder: Path, known: Iterable[Finding]) -> Iterator[Finding]:
    """Yield what is wrong with the suites of a folder that no definition has told of: also with those unused."""
    told = "\n".join(each.said for each in known)
    places = [each for each in folder.rglob("expectations") if each.is_dir()]
    places += [each / "expectations" for each in (folder, folder.parent) if (each / "expectations").is_dir()]
    for file in sorted({each for place in places for each in place.glob("*.json")}):
        try:
            read_suite(file)
        except DefinitionError as problem:
            if str(problem).replace(f"{folder}/", "") not in told:
                yield Finding(file, None, Rule.GATE, str(problem).removeprefix(f"{file}, ").removeprefix(f"{file}: "))


def _reports(request: Request) -> list[Report]:
    """Import files in a process that knows nothing of this one's settings, and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="tidemark-check-") as home:
        place = Path(home, "request")
        place.write_bytes(pickle.dumps(request))
        # Not -m: what the module defines would be of __main__ there, and nothing that can be handed back.
        command = [sys.executable, "-c", f"from {_PROGRAM} import main; main({str(place)!r})"]
        done = subprocess.run(command, env=_environment(home), capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
            raise UsageError(f"nothing could be checked: {last.removeprefix('tidemark.errors.UsageError: ')}")
        reports: list[Report] = pickle.loads(place.read_bytes())  # noqa: S301  # of the process that was just run
    return reports


def _environment(home: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TIDEMARK_", "AIRFLOW")) or name.startswith(("AIRFLOW_VAR_", "AIRFLOW_CONN_"))
    }
    if suites := os.environ.get("TIDEMARK_EXPECTATIONS"):
        kept["TIDEMARK_EXPECTATIONS"] = suites
    return kept | {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
