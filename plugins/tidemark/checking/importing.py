"""Imports pipeline files as Airflow's DAG processor does, each in a process of its own.

Its `main` runs in a process that knows Airflow and nothing of the caller's: it reads a request and leaves reports.
Each file is imported in a fork of it, so that the cost of Airflow is paid once, one file's mistake is nobody else's,
and the seconds of CPU that are counted are the file's own, as with the DAG processor, which forks too.
"""

import ast
import hashlib
import importlib.machinery
import importlib.util
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from tidemark.checking.definitions import Defined, defined, findings_of, placed
from tidemark.checking.finding import Finding, Rule
from tidemark.checking.texts import read_text
from tidemark.errors import DefinitionError, UsageError
from tidemark.places import redact_text


@dataclass(frozen=True)
class Request:
    """What is to be imported.

    Attributes:
        folder: of pipeline files; it is on Python's path, so that files can share modules.
        budget: seconds of CPU that a file may cost.
        limit: seconds after which a file is given up.

    """

    folder: Path
    budget: float
    limit: float


@dataclass(frozen=True)
class Report:
    """What came of one file.

    Attributes:
        file: which.
        seconds: of CPU that it took, or None: it was not imported.
        findings: what is wrong with it.
        pipelines: what it defines.

    """

    file: Path
    seconds: float | None
    findings: tuple[Finding, ...] = ()
    pipelines: tuple[Defined, ...] = ()


def main(place: str) -> None:
    """Answer the request in a file, in that file."""
    import tidemark.airflow.factory  # noqa: F401  # paid once, before the forks

    file = Path(place)
    request: Request = pickle.loads(file.read_bytes())  # noqa: S301  # of the process that started this one
    if str(request.folder) not in sys.path:
        sys.path.append(str(request.folder))  # as Airflow does
    reports = [_looked_into(request, each) for each in _files(request.folder)]
    file.write_bytes(pickle.dumps(reports))


def _files(folder: Path) -> list[Path]:
    """Return the Python files that Airflow may look into: links are followed, .airflowignore is heeded.

    Raises:
        UsageError: links go in a circle.

    """
    from airflow.dag_processing.importers import get_importer_registry

    try:
        found = {Path(each) for each in get_importer_registry().list_dag_files(folder, safe_mode=False)}
    except RuntimeError as problem:
        raise UsageError(f"links in {folder} go in a circle, in which Airflow finds nothing: {problem}") from problem
    # Airflow passes over a link that points nowhere, without a word.
    found |= {each for each in folder.rglob("*.py") if each.is_symlink() and not each.exists()}
    shown = (each for each in found if not any(part.startswith(".") for part in each.relative_to(folder).parts))
    return sorted(each for each in shown if each.suffix == ".py")


def _looked_into(request: Request, file: Path) -> Report:
    text = read_text(file)
    if isinstance(text, Finding):
        return Report(file, None, (text,))
    return _apart(request, file, text.dismissed)


def _apart(request: Request, file: Path, dismissed: frozenset[str]) -> Report:
    """Import a file in a fork, and give it up when it takes too long."""
    forks = multiprocessing.get_context("fork")
    ours, theirs = forks.Pipe(duplex=False)
    with tempfile.TemporaryFile() as output:
        process = forks.Process(target=_child, args=(theirs, output.fileno(), request, file, dismissed))
        process.start()
        theirs.close()
        try:
            report: Report = ours.recv() if ours.poll(request.limit) else _late(file, request.limit)
        except EOFError:  # it ended Python itself, or Python ended
            process.join()
            report = _gone(file, process.exitcode)
        finally:
            ours.close()
            _end(process.pid)
            process.join()
        output.seek(0)
        said = output.read(1)
    return _with_output(report) if said and not any(each.rule is Rule.IMPORT for each in report.findings) else report


def _end(pid: int | None) -> None:
    """End a fork and everything that it has started."""
    if pid is not None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _late(file: Path, limit: float) -> Report:
    said = f"was still being imported after {limit:g} seconds: what takes long belongs into a function"
    return Report(file, None, (Finding(file, None, Rule.IMPORT, said),))


def _gone(file: Path, code: int | None) -> Report:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    said = f"ended Python as it was imported ({how}): a file that defines must come to its end"
    return Report(file, None, (Finding(file, None, Rule.IMPORT, said),))


def _with_output(report: Report) -> Report:
    said = "prints as it is imported, into the log of each look at it: take that away"
    found = Finding(report.file, None, Rule.OUTPUT, said, warning=True)
    return replace(report, findings=(*report.findings, found))


def _child(answer: Connection, output: int, request: Request, file: Path, dismissed: frozenset[str]) -> None:
    os.setpgid(0, 0)
    signal.alarm(int(request.limit) + 5)  # should nobody be left to end it
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nobody is there to be asked
    os.dup2(output, 1)
    os.dup2(output, 2)
    answer.send(_report(request, file, dismissed))
    os._exit(0)  # whatever the file has started does not keep us


def _report(request: Request, file: Path, dismissed: frozenset[str]) -> Report:
    started = time.process_time()
    try:
        module = _imported(file)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # whatever a file raises is that file's
        return Report(file, None, (_raised(problem, file, request.folder),))
    seconds = time.process_time() - started
    sys.stdout.flush()
    findings = []
    if seconds > request.budget:
        said = (
            f"took {seconds:.1f} seconds of CPU to import; the budget is {request.budget:g}, for the DAG processor "
            "imports it again and again: move work and imports into the functions that need them"
        )
        findings.append(Finding(file, None, Rule.BUDGET, said))
    pipelines = []
    for dag, line in _dags(module, file):
        try:
            dag.check_cycle()
        except Exception as problem:
            findings.append(_raised(problem, file, request.folder))
        pipeline = getattr(dag, "pipeline", None)
        if pipeline is not None:
            findings += findings_of(pipeline, file, line, dismissed)
            pipelines.append(defined(pipeline, file, line))
    return Report(file, seconds, tuple(findings), tuple(pipelines))


def _imported(file: Path) -> ModuleType:
    """Import a file as the DAG processor does: its pipelines become DAGs."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    name = f"tidemark_checked_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{file.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    DagContext.current_autoregister_module_name = name
    loader.exec_module(module)
    DagContext.current_autoregister_module_name = None
    return module


def _dags(module: ModuleType, file: Path) -> Iterator[tuple[Any, int | None]]:
    """Yield the DAGs that a file defines, each with the line of its definition; not those that it imports."""
    from airflow.sdk import DAG
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    bound = [value for value in vars(module).values() if isinstance(value, DAG)]
    unbound = [dag for dag, _ in DagContext.autoregistered_dags]  # with DAG(...): without a name, as Airflow finds it
    for dag in {id(each): each for each in (*bound, *unbound)}.values():
        if _is_of(dag, file):
            yield dag, _line_of(dag.dag_id, file)


def _is_of(dag: Any, file: Path) -> bool:
    pipeline = getattr(dag, "pipeline", None)
    return pipeline is None or pipeline.file is None or pipeline.file == file


def _line_of(name: str, file: Path) -> int | None:
    """Return the line in which a pipeline is defined, where the text says its name outright."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", None)) == "pipeline":
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "name")]
            if any(isinstance(each, ast.Constant) and each.value == name for each in given):
                return node.lineno
    return None


def _raised(problem: BaseException, file: Path, folder: Path) -> Finding:
    """Return what a file has raised, in the line where it did."""
    lines = [each.lineno for each in traceback.extract_tb(problem.__traceback__) if each.filename == str(file)]
    line = lines[-1] if lines else None
    if isinstance(problem, DefinitionError):
        named, said = placed(redact_text(str(problem)), file)
        return Finding(file, named or line, Rule.DEFINITION, said.replace(f"{folder}/", ""))
    if isinstance(problem, SystemExit):
        said = f"ends Python as it is imported (exit code {problem.code!r}): a file that defines must come to its end"
        return Finding(file, line, Rule.IMPORT, said)
    return Finding(file, line, Rule.IMPORT, f"cannot be imported: {_in_words(problem)}")


def _in_words(problem: BaseException) -> str:
    said = redact_text(" ".join(str(problem).split()))  # it may quote an address with a password in it
    said = f"{type(problem).__name__}: {said}" if said else type(problem).__name__
    if isinstance(problem, ModuleNotFoundError):
        return f"{said}; put the module into this folder, or ask for the package where requirements are kept"
    if type(problem).__module__.startswith("airflow."):
        return f"{said}; what Airflow's database holds is not there as a file is checked: read it within a task"
    return f"{said}; mend it, or move what needs it into a function"
