"""The catalog: the pipelines that the files of a DAG folder define, found without Airflow."""

import hashlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from tidemark.assets import Pipeline
from tidemark.errors import DefinitionError, UsageError, close


@dataclass(frozen=True)
class Catalog:
    """What a folder defines.

    Attributes:
        pipelines: by name.
        problems: what kept a file from being imported, by file.

    """

    pipelines: dict[str, Pipeline]
    problems: dict[Path, str]

    def pipeline(self, name: str) -> Pipeline:
        """Return the pipeline of a name.

        Raises:
            UsageError: when there is none; with what kept files from being imported.

        """
        if name in self.pipelines:
            return self.pipelines[name]
        raise UsageError(f"there is no pipeline {name!r}{close(name, self.pipelines)}{self._broken()}")

    def owner_of(self, asset: str) -> Pipeline:
        """Return the pipeline that defines an asset or source.

        Raises:
            UsageError: when none does.

        """
        for each in self.pipelines.values():
            if any(member.name == asset for member in each.members):
                return each
        names = [member.name for each in self.pipelines.values() for member in each.members]
        raise UsageError(f"no pipeline defines {asset!r}{close(asset, names)}{self._broken()}")

    def _broken(self) -> str:
        """Say which files are not in the catalog: what is looked for may be in one of them."""
        if not self.problems:
            return ""
        return "\nfiles that could not be imported:" + "".join(
            f"\n  {file.name}: {problem}" for file, problem in self.problems.items()
        )


def load_catalog(folder: Path) -> Catalog:
    """Import every file of a folder that mentions tidemark; one that fails harms no other.

    Raises:
        UsageError: when there is no such folder.

    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: name the folder of pipeline files in TIDEMARK_DAGS")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # as Airflow does, so that files can share modules
    pipelines: dict[str, Pipeline] = {}
    problems: dict[Path, str] = {}
    for file in sorted(folder.rglob("*.py")):
        if any(part.startswith(".") for part in file.relative_to(folder).parts):
            continue  # copies that editors and notebooks keep
        try:
            for each in _import(file) if "tidemark" in file.read_text(encoding="utf-8", errors="replace") else ():
                if each.name in pipelines:
                    raise DefinitionError(f"{file.name}: another file defines a pipeline {each.name!r}: rename one")
                pipelines[each.name] = each
        except (Exception, SystemExit) as problem:  # whatever a file raises is that file's
            problems[file] = f"{type(problem).__name__}: {problem}{_place(problem, file)}"
    return Catalog(pipelines, problems)


def _place(problem: BaseException, file: Path) -> str:
    """Return the line of a file from which something was raised, where the message does not name it."""
    lines = [each.lineno for each in traceback.extract_tb(problem.__traceback__) if each.filename == str(file)]
    return f" (line {lines[-1]})" if lines and f"{file.name}:" not in str(problem) else ""


def _import(file: Path) -> list[Pipeline]:
    """Import a file under a name of its own, and return the pipelines that it binds to names."""
    name = f"tidemark_dag_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return [value for value in vars(module).values() if isinstance(value, Pipeline)]
