"""Commits: who last changed a piece of a file, as git knows it, where there is a git that knows.

Where git is missing, or the folder is no checkout, nothing is known and nothing is said: no error comes from here.
"""

import ast
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tidemark.config import git

_FORMAT = "--format=%H%x00%an%x00%aI%x00%s%x00%ae"


@dataclass(frozen=True)
class Commit:
    """The commit that last changed a piece of a file.

    Attributes:
        id: its whole hash; None: the piece is not committed as it is.
        author: who wrote it.
        at: when, in ISO form.
        subject: the first line of what was said of it.
        email: the author's; it is compared, and never shown.

    """

    id: str | None = None
    author: str | None = None
    at: str | None = None
    subject: str | None = None
    email: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return it in a few words."""
        if self.id is None or self.at is None:
            return "not committed yet"
        return f"commit {self.id[:12]} by {self.author}, {self.at[:10]}: {self.subject}"


NOT_YET = Commit()


def last_commit(file: Path, line: int | None = None, *, revision: str | None = None) -> Commit | None:
    """Return the commit that last changed a statement of a file, or the file.

    Args:
        file: where it is, or was.
        line: in which line the statement begins; without it the whole file is meant.
        revision: a commit at which the line was there; without it the file is taken as it is now.

    Returns:
        None: nobody knows; :data:`NOT_YET`: what stands there now is in no commit.

    """
    try:
        git(file.parent, "rev-parse", "HEAD")
        if revision is None:
            return _as_it_is(file, line)
        extent = None if line is None else _extent(_shown(file, revision), line)
        return _newest(file, extent, revision)
    except (OSError, ValueError, SyntaxError, subprocess.SubprocessError):
        return None


def _as_it_is(file: Path, line: int | None) -> Commit | None:
    """Return who last changed what stands in a file now: its lines may be others in the newest commit."""
    text = file.read_text()
    try:
        committed = _shown(file, "HEAD")
    except subprocess.CalledProcessError:  # git does not have the file
        return NOT_YET
    if line is None:
        return _newest(file, None, "HEAD") if text == committed else NOT_YET
    first, last = _extent(text, line)
    piece = "\n".join(text.split("\n")[first - 1 : last])
    place = f"\n{committed}\n".find(f"\n{piece}\n")
    if place < 0:
        return NOT_YET
    begins = committed[:place].count("\n") + 1
    return _newest(file, (begins, begins + last - first), "HEAD")


def _shown(file: Path, revision: str) -> str:
    return git(file.parent, "show", f"{revision}:./{file.name}")


def _newest(file: Path, extent: tuple[int, int] | None, revision: str) -> Commit | None:
    """Return the newest commit up to a revision that changed some lines of a file, or the file."""
    if extent is None:
        said = git(file.parent, "log", "-1", _FORMAT, revision, "--", f"./{file.name}")
    else:
        lines = f"{extent[0]},{extent[1]}:./{file.name}"
        said = git(file.parent, "log", "-1", "--no-patch", _FORMAT, "-L", lines, revision)
    return Commit(*said.splitlines()[0].split("\0", 4)) if said.strip() else None


def _extent(text: str, line: int) -> tuple[int, int]:
    """Return the first and the last line of the statement that begins in a line, with its decorators.

    Raises:
        SyntaxError, ValueError: the text is no Python.

    """
    for node in ast.walk(ast.parse(text)):  # from the outside in
        if isinstance(node, ast.stmt) and node.lineno == line:
            decorators = [each.lineno for each in getattr(node, "decorator_list", ())]
            return min([line, *decorators]), node.end_lineno or line
    return line, line
