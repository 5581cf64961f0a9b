"""Which installed distributions a module belongs to, and which they need at run time.

Invariant: nothing is imported, and only the metadata of what is asked for is parsed: the index of the files that the
distributions install is searched as text, as ``importlib.metadata.packages_distributions`` takes ten times as long.
"""

import functools
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

_REQUIREMENT = re.compile(r"^Requires-Dist:[ \t]*(.*)$", re.MULTILINE)


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


@functools.cache
def _owners(module: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the distributions that install a module, looking for the longest part that is a file."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == "tidemark":
        return ()
    candidates = [(each, files) for each, files in _installed(path) if f"\n{parts[0]}" in files]
    for end in range(len(parts), 0, -1):
        place = "/".join(parts[:end])
        owners = [each for each, files in candidates if f"\n{place}/__init__." in files or f"\n{place}." in files]
        if owners:
            return tuple(sorted({each.name for each in owners}))
    # A namespace package has no file of its own.
    return tuple(sorted({each.name for each, files in candidates if f"\n{parts[0]}/" in files}))


@functools.cache
def _installed(path: tuple[str, ...]) -> list[tuple[Distribution, str]]:
    """Return each distribution with the list of its files, as text with a line end before each."""
    found: list[tuple[Distribution, str]] = []
    for each in distributions(path=list(path)):
        files = each.read_text("RECORD") or each.read_text("installed-files.txt") or ""
        if not files:
            files = "\n".join(f"{name}/__init__.py" for name in (each.read_text("top_level.txt") or "").split())
        found.append((each, "\n" + files.replace("\n../", "\n")))
    return found


@functools.cache
def _needs(name: str, extra: str, path: tuple[str, ...]) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return a distribution's version, or None if it is not installed, and what it needs, as name and extra."""
    from packaging.requirements import Requirement

    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None, ()
    needs: list[tuple[str, str]] = []
    for text in found.requires or ():
        if not extra and "extra ==" in text:
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            needs.append((_normal(requirement.name), ""))
            needs.extend((_normal(requirement.name), each) for each in sorted(requirement.extras))
    return found.version, tuple(needs)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
