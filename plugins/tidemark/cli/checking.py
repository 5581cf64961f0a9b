"""The command that looks at pipeline files before they are merged."""

import argparse
from pathlib import Path
from typing import Any

from tidemark.cli.answers import Answer


def check(options: argparse.Namespace) -> Answer:
    """Check every Python file of a folder before it is merged, and tell everything that is wrong at once.

    That each imports, that its definitions fit, and that gates, owners, schedules and columns with personal data are
    declared; what an import costs; secrets in code. Needs no ledger, no database of Airflow's and no network; but it
    imports the files, as Airflow does: what they do at import is done.
    """
    from tidemark.checking import check_folder

    checked = check_folder(Path(options.folder), budget=options.budget, limit=options.timeout)
    well = not checked.errors and not (options.strict and checked.warnings)
    problem = f"{_counted(checked.errors, 'error')}, {_counted(checked.warnings, 'warning')}"
    what = f"{_counted(checked.files, 'file')}, {_counted(len(checked.pipelines), 'pipeline')}"
    cost = sum(checked.seconds.values())
    summed = f"{what}, {cost:.1f} seconds of CPU to import: {problem if checked.findings else 'all is well'}"
    lines = [each.text(checked.folder) for each in checked.findings]
    data: dict[str, Any] = {
        "folder": str(checked.folder),
        "ok": well,
        "pipelines": list(checked.pipelines),
        "seconds": {str(file.relative_to(checked.folder)): round(each, 3) for file, each in checked.seconds.items()},
        "findings": [each.to_json(checked.folder) for each in checked.findings],
    }
    return Answer(data, "\n".join([*lines, summed]), ok=well, problem=problem)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
