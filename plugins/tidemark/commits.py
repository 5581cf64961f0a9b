"""Commits: who last changed a piece of a file, as git knows it, where there is a git that knows.

Where git is missing, or the folder is no checkout, or a shallow one that ends before, nothing is known and nothing is
said: no error comes from here.
"""

import ast
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tidemark.checkouts import version_of
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
        place = _Place.of(file)
        git(place.folder, "rev-parse", place.head)
        if revision is None:
            return _as_it_is(place, file, line)
        extent = None if line is None else _extent(place.shown(revision), line)
        return _newest(place, extent, revision)
    except (OSError, ValueError, SyntaxError, subprocess.SubprocessError):
        return None


@dataclass(frozen=True)
class _Place:
    """Where git is asked about a file, and what the file is called there.

    Attributes:
        folder: in which git is asked.
        name: the file's, as git understands it in that folder.
        head: the commit that the file is of.

    """

    folder: Path
    name: str
    head: str

    @classmethod
    def of(cls, file: Path) -> "_Place":
        version = version_of(file)
        if version is None:
            return cls(file.parent, f"./{file.name}", "HEAD")
        return cls(version.bare, file.relative_to(version.folder).as_posix(), version.commit)

    def shown(self, revision: str) -> str:
        return git(self.folder, "show", f"{revision}:{self.name}")


def _as_it_is(place: _Place, file: Path, line: int | None) -> Commit | None:
    """Return who last changed what stands in a file now: its lines may be others in the newest commit."""
    try:
        committed = place.shown(place.head)
    except subprocess.CalledProcessError:  # git does not have the file
        return NOT_YET
    # The folder of a bundle's version may be gone, as in a pod that came later; what it held is known.
    text = committed if place.head != "HEAD" and not file.exists() else file.read_text()
    if line is None:
        return _newest(place, None, place.head) if text == committed else NOT_YET
    first, last = _extent(text, line)
    piece = "\n".join(text.split("\n")[first - 1 : last])
    found = f"\n{committed}\n".find(f"\n{piece}\n")
    if found < 0:
        return NOT_YET
    begins = committed[:found].count("\n") + 1
    return _newest(place, (begins, begins + last - first), place.head)


def _newest(place: _Place, extent: tuple[int, int] | None, revision: str) -> Commit | None:
    """Return the newest commit up to a revision that changed some lines of a file, or the file."""
    if extent is None:
        said = git(place.folder, "log", "-1", _FORMAT, revision, "--", place.name)
    else:
        lines = f"{extent[0]},{extent[1]}:{place.name}"
        said = git(place.folder, "log", "-1", "--no-patch", _FORMAT, "-L", lines, revision)
    found = Commit(*said.splitlines()[0].split("\0", 4)) if said.strip() else None
    return None if found is not None and found.id in _cut_off(place.folder) else found


def _cut_off(folder: Path) -> list[str]:
    """Return the commits at which a shallow clone ends: git takes them for who wrote everything that is older."""
    if git(folder, "rev-parse", "--is-shallow-repository").strip() != "true":
        return []
    return Path(folder, git(folder, "rev-parse", "--git-path", "shallow").strip()).read_text().split()


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
