"""The catalog: the pipelines that the files of a DAG folder define, found without Airflow."""

import ast
import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tidemark.assets import Pipeline
from tidemark.errors import DefinitionError, UsageError, close


@dataclass(frozen=True)
class Catalog:
    """What a folder defines.

    Attributes:
        pipelines: by name; one that several files define is none of them.
        problems: what keeps a file, or something in it, from being used, by file.

    """

    pipelines: dict[str, Pipeline]
    problems: dict[Path, str]

    def pipeline(self, name: str) -> Pipeline:
        """Return the pipeline of a name.

        Raises:
            UsageError: when there is none, or several files define it; with what keeps files from being used.

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
        return "\nfiles that could not be used:" + "".join(
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
    found: dict[str, list[tuple[Path, Pipeline]]] = {}
    problems: dict[Path, str] = {}
    for file, _ in _pipeline_files(folder):
        try:
            for each in _import(file):
                found.setdefault(each.name, []).append((file, each))
        except (Exception, SystemExit) as problem:  # whatever a file raises is that file's
            problems[file] = f"{type(problem).__name__}: {problem}{_place(problem, file)}"
    pipelines: dict[str, Pipeline] = {}
    for name, some in found.items():
        # A file that imports another's pipeline does not define it.
        defined = [(file, made) for file, made in some if made.file == file] or some
        pipelines[name] = defined[0][1]
        for file, made in defined:
            other = next((place for place, each in defined if each is not made), None)
            if other is not None:
                problems[file] = f"DefinitionError: {_twice(file, name, other)}"
                pipelines.pop(name, None)
    return Catalog(pipelines, problems)


def check_alone(pipeline: Pipeline) -> None:
    """Check that no other file defines a pipeline of the same name, for those who see one file at a time, as Airflow.

    What the others define is told from their text: to import them is not for the one who imports this.

    Raises:
        DefinitionError: one does.

    """
    if pipeline.file is None:
        return
    own = pipeline.file.resolve()
    for file, text in _pipeline_files(_root(own)):
        # Only a text that holds the name is worth parsing: this is done for each file, again and again.
        if pipeline.name in text and file.resolve() != own and pipeline.name in _names_in(text):
            raise DefinitionError(_twice(own, pipeline.name, file))


def _twice(file: Path, name: str, other: Path) -> str:
    where = f"{other} defines a pipeline of this name too" if other != file else "the file defines two of this name"
    return f"{file.name}: pipeline({name!r}): {where}: rename one, or take it away"


def _root(file: Path) -> Path:
    """Return the folder of pipeline files in which a file lies: the nearest that Python's path names, else its own."""
    named = {Path(each).resolve() for each in sys.path if each}
    return next((folder for folder in file.parents if folder in named), file.parent)


def _pipeline_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder that mention tidemark, with their text; not the copies that editors keep."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        found += [Path(place, each) for each in files if each.endswith(".py") and not each.startswith(".")]
    for file in sorted(found):
        text = _text(file)
        if "tidemark" in text:
            yield file, text


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # taken away since it was listed, or not ours to read
        return ""


def _names_in(text: str) -> set[str]:
    """Return the names of the pipelines that a file's text defines, where it says them outright."""
    if "pipeline(" not in text:
        return set()
    try:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and _is_pipeline(node.func)]
    except (SyntaxError, ValueError):
        return set()  # a problem of that file
    given = [each.args[:1] or [word.value for word in each.keywords if word.arg == "name"] for each in calls]
    return {each.value for some in given for each in some if isinstance(each, ast.Constant) and type(each.value) is str}


def _is_pipeline(called: ast.expr) -> bool:
    return getattr(called, "id", getattr(called, "attr", None)) == "pipeline"


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
