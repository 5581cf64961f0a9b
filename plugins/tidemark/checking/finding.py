"""A finding: one thing that is wrong with a folder of pipeline files, where, and how to mend it."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Rule(StrEnum):
    """What a finding is about; stable, for programs."""

    ENCODING = "encoding"  # the file cannot be read as text
    SYNTAX = "syntax"
    IMPORT = "import"  # it raises as it is imported, exits, or takes too long
    DEFINITION = "definition"  # what it defines cannot be
    GATE = "gate"  # a suite is malformed
    OWNER = "owner"  # nobody is asked about an asset
    SCHEDULE = "schedule"  # nothing starts a run
    PII = "pii"  # a column looks like personal data and is not declared so
    BUDGET = "budget"  # importing costs too much
    HEAVY = "heavy-import"  # at module level
    SECRET = "secret"  # noqa: S105  # in the code
    OUTPUT = "output"  # it prints as it is imported
    NAME = "name"  # two pipelines claim one


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: where.
        line: in which line, or None: it is about the whole file.
        rule: what it is about.
        said: what is wrong, and the mend.
        warning: it keeps nothing from being merged.

    """

    file: Path
    line: int | None
    rule: Rule
    said: str
    warning: bool = False

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Return it as stable data."""
        severity = "warning" if self.warning else "error"
        place = {"file": shown_path(self.file, folder), "line": self.line}
        return {**place, "severity": severity, "rule": self.rule.value, "message": self.said}

    def text(self, folder: Path) -> str:
        """Return it as a line: ``file:line: what; mend``."""
        line = f":{self.line}" if self.line is not None else ""
        return f"{shown_path(self.file, folder)}{line}: {'warning: ' if self.warning else ''}{self.said}"


def shown_path(file: Path, folder: Path) -> str:
    """Return a file as people name it who know the folder."""
    return os.path.relpath(file, folder) if file.is_relative_to(folder.parent) else str(file)
