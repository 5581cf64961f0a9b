"""Which installed distributions a module belongs to, and which they need at run time.

Invariant: nothing of them is imported, and only the metadata of what is asked for is parsed: the list of files that a
distribution installs is searched as text, as ``importlib.metadata.packages_distributions`` takes ten times as long.
"""

import functools
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

# A requirement without a condition, as most are: name and extras. The rest is left to packaging, which costs 20 ms.
_REQUIREMENT = re.compile(r"([\w.-]+)[ \t]*(?:\[([\w.,\s-]*)\])?[^;@]*")


def with_dependencies(modules: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return name and version of each distribution that owns one of the modules, and of all that these need, sorted.

    Args:
        modules: full names, which may go on with attributes: ``polars.DataFrame``. The standard library owns none.

    """
    path = tuple(sys.path)
    owners = {name for module in modules for name in _owners(module, path)}
    found: dict[str, str] = {}
    pending = [(name, "") for name in sorted(owners)]
    seen = set(pending)
    for name, extra in pending:
        version, needs = _needs(name, extra, path)
        if version is not None:
            found[_normal(name)] = version
        new = [need for need in needs if need not in seen]
        seen.update(new)
        pending.extend(new)
    return tuple(sorted(found.items()))


def needs_of(name: str) -> frozenset[str]:
    """Return the names of what an installed distribution needs at run time here, whether that is installed or not."""
    return frozenset(need for need, _ in _needs(name, "", tuple(sys.path))[1])


@functools.cache
def _owners(module: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the distributions that install a module, looking for the longest part that is a file."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == "tidemark":
        return ()
    candidates = _installing(parts[0], path)
    for end in range(len(parts), 0, -1):
        place = "/".join(parts[:end])
        owners = {name for name, files in candidates if f"\n{place}/__init__." in files or f"\n{place}." in files}
        if owners:
            return tuple(sorted(owners))
    # A namespace package has no file of its own.
    return tuple(sorted({name for name, files in candidates if f"\n{parts[0]}/" in files}))


@functools.cache
def _installing(top: str, path: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the distributions that install what begins with a name, each with the list of its files."""
    installed = [each for folder in path for each in _installed_in(folder)]
    return [(each.name, files) for each, files in installed if f"\n{top}" in files]


@functools.cache
def _installed_in(folder: str) -> list[tuple[Distribution, str]]:
    """Return each distribution in a folder with the list of its files, as text with a line end before each."""
    found: list[tuple[Distribution, str]] = []
    for each in distributions(path=[folder]):
        files = each.read_text("RECORD") or each.read_text("installed-files.txt") or ""
        if not files:
            files = "\n".join(f"{name}/__init__.py" for name in (each.read_text("top_level.txt") or "").split())
        found.append((each, "\n" + files.replace("\n../", "\n")))
    return found


@functools.cache
def _needs(name: str, extra: str, path: tuple[str, ...]) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return a distribution's version, or None if it is not installed, and what it needs, as name and extra."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None, ()
    needs: list[tuple[str, str]] = []
    for text in found.requires or ():
        if extra or "extra ==" not in text:
            needs.extend((_normal(need), each) for need, extras in _needed(text, extra) for each in ("", *extras))
    return found.version, tuple(needs)


def _needed(text: str, extra: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the extras of a requirement, if it holds here."""
    simple = _REQUIREMENT.fullmatch(text)
    if simple is not None:
        yield simple[1], sorted(each.strip() for each in (simple[2] or "").split(",") if each.strip())
        return
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
        yield requirement.name, sorted(requirement.extras)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
