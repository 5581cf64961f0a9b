"""What the text of a file tells without being run: encoding, syntax, imports that cost too much, secrets."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tidemark.checking.finding import Finding, Rule

# Each costs a second of CPU or more; the DAG processor imports pipeline files again and again. Polars costs a tenth.
HEAVY = frozenset(
    {"dask", "distributed", "great_expectations", "lightgbm", "matplotlib", "mlflow", "optuna", "pandas", "pyspark"}
    | {"scipy", "seaborn", "sklearn", "statsmodels", "tensorflow", "torch", "xgboost"}
)

_DISMISSAL = re.compile(r"#\s*not personal:\s*(?P<columns>.+)")


@dataclass(frozen=True)
class Text:
    """A file's text, read and parsed.

    Attributes:
        file: where.
        text: all of it.
        tree: its syntax tree.

    """

    file: Path
    text: str
    tree: ast.Module

    @cached_property
    def imports(self) -> tuple[tuple[str, int], ...]:
        """Each package that is imported as the file is, with the line; what only type checkers import is not."""
        return tuple(_imports(self.tree))

    @property
    def packages(self) -> frozenset[str]:
        """The packages that are imported as the file is."""
        return frozenset(package for package, _ in self.imports)

    @property
    def is_foreign(self) -> bool:
        """Whether it is a DAG of Airflow's own kind, with nothing of Tidemark's."""
        return "airflow" in self.packages and "tidemark" not in self.packages

    @cached_property
    def dismissed(self) -> frozenset[str]:
        """The columns of which a comment ``# not personal: name, ...`` says that they are not personal data."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        said = [_DISMISSAL.match(each.string) for each in tokens if each.type == tokenize.COMMENT]
        return frozenset(name.strip() for each in said if each for name in each["columns"].split(","))


def read_text(file: Path) -> Text | Finding:
    """Read and parse a file; return what keeps it from being Python, if something does."""
    try:
        payload = file.read_bytes()
    except OSError as problem:
        said = "a link that points nowhere: take it away" if file.is_symlink() else f"{problem.strerror}"
        return Finding(file, None, Rule.ENCODING, f"cannot be read: {said}")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(payload).readline)
        text = io.TextIOWrapper(io.BytesIO(payload), encoding).read()
    except (UnicodeDecodeError, SyntaxError):  # also where its first line declares an encoding that there is not
        return Finding(file, _undecoded(payload), Rule.ENCODING, "is not UTF-8 text: save the file as UTF-8")
    try:
        return Text(file, text, ast.parse(text))
    except SyntaxError as problem:
        return Finding(
            file, problem.lineno, Rule.SYNTAX, f"is no Python: {problem.msg}; look there and at the line above"
        )
    except (ValueError, RecursionError, MemoryError) as problem:  # null bytes; nesting without end
        return Finding(file, None, Rule.SYNTAX, f"is no Python: {problem}; write it anew")


def _undecoded(payload: bytes) -> int:
    try:
        payload.decode()
    except UnicodeDecodeError as problem:
        return payload.count(b"\n", 0, problem.start) + 1
    return 1


def heavy_imports(text: Text) -> Iterator[Finding]:
    """Yield the imports of a file that cost too much each time that it is looked into."""
    for package, line in text.imports:
        if package in HEAVY:
            yield Finding(
                text.file,
                line,
                Rule.HEAVY,
                f"imports {package} at module level, which costs seconds each time that the file is looked into: "
                "import it within the function that needs it; for annotations under 'if TYPE_CHECKING:', as text",
                warning=text.is_foreign,
            )


def secrets(text: Text) -> Iterator[Finding]:
    """Yield the lines of a file that look as if they held a password, a token or a key; what it is, is never told."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    with default_settings():  # in which nothing is asked over the network
        found = {(each.line_number, each.type) for each in scan_file(str(text.file))}
    kinds: dict[int, list[str]] = {}
    for line, kind in sorted(found):
        kinds.setdefault(line, []).append(kind)
    for line, some in kinds.items():
        yield Finding(
            text.file,
            line,
            Rule.SECRET,
            f"looks like a secret in code ({', '.join(some)}): take it out, change it wherever it opens something, and "
            "read it from an Airflow connection; if it is none, end the line with '# pragma: allowlist secret'",
        )


def _imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from ((each.name.partition(".")[0], child.lineno) for each in names)
            case ast.ImportFrom(level=0, module=str() as module):
                yield module.partition(".")[0], child.lineno
            case ast.If(test=test, orelse=orelse) if _is_for_type_checkers(test):
                yield from (found for other in orelse for found in _imports(ast.Module([other], [])))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                pass
            case _:
                yield from _imports(child)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"
