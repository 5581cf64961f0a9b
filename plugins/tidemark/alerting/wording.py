"""Wording: from facts to title, text and HTML, by templates that an administrator may replace one by one.

Invariant: whatever an administrator's template does, a message goes out: the built-in words then say what happened.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tidemark.alerting.facts import Facts, clean, line
from tidemark.errors import UsageError, close

KINDS = ("incident", "information")
PARTS = {"title": ".title.j2", "text": ".text.j2", "html": ".html.j2"}
NAMES = tuple(f"{kind}{ending}" for kind in KINDS for ending in PARTS.values())
"""The templates there are; an administrator's file of such a name replaces one."""

MOST_TITLE, MOST_TEXT, MOST_HTML = 200, 16_000, 100_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wording:
    """How things are said.

    Attributes:
        folder: an administrator's templates, or None.

    """

    folder: Path | None = None

    @cached_property
    def _environment(self) -> Environment:
        return _environment(self.folder)

    def words(self, kind: str, facts: Facts) -> dict[str, str]:
        """Return the title, the text and the HTML of an ``incident`` or of ``information``."""
        if self.folder is None:
            return _words(_environment(None), kind, {**facts, "broken": ""})
        try:
            return _words(self._environment, kind, {**facts, "broken": ""})
        except Exception as problem:  # a template can raise whatever Python can
            broken = line(f"{type(problem).__name__}: {problem}")
            log.warning("a template in %s is broken, and the built-in words were sent: %s", self.folder, broken)
            return _words(_environment(None), kind, {**facts, "broken": broken})

    def check(self, samples: Mapping[str, list[Facts]]) -> None:
        """Try every template of the administrator on samples of each kind.

        Raises:
            UsageError: the folder is not there, a file in it replaces nothing, or a template is broken.

        """
        if self.folder is None:
            return
        if not self.folder.is_dir():
            raise UsageError(f"templates: there is no folder {self.folder}: make it, or leave the key out")
        for file in sorted(self.folder.glob("*.j2")):
            if file.name not in NAMES:
                raise UsageError(f"templates: {file} replaces no template{close(file.name, NAMES)}")
            kind = file.name.partition(".")[0]
            for facts in samples[kind]:
                self._try(file, {**facts, "broken": ""})

    def _try(self, file: Path, facts: Facts) -> None:
        try:
            self._environment.get_template(file.name).render(facts)
        except Exception as problem:
            at = f", line {number}" if (number := getattr(problem, "lineno", None)) else ""
            raise UsageError(
                f"templates: {file}{at} is broken for {facts['kind']}: {line(f'{type(problem).__name__}: {problem}')}"
            ) from problem


@cache
def _environment(folder: Path | None) -> Environment:
    own: list[BaseLoader] = [FileSystemLoader(folder)] if folder else []
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([*own, PackageLoader("tidemark.alerting")]),
        autoescape=lambda name: bool(name and name.endswith(".html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _words(environment: Environment, kind: str, facts: Facts) -> dict[str, str]:
    parts = {part: environment.get_template(f"{kind}{ending}").render(facts) for part, ending in PARTS.items()}
    if len(parts["html"]) > MOST_HTML:
        raise ValueError(f"{kind}.html.j2 makes a page of {len(parts['html'])} characters; {MOST_HTML} are the most")
    return {"title": line(parts["title"], MOST_TITLE), "text": clean(parts["text"], MOST_TEXT), "html": parts["html"]}
