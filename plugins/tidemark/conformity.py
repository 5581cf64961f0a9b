"""Whether what runs here is what a lock, a release and the ledger say, and what follows for which results.

A result depends on the distributions in its asset's code version, and on Python, which is in no code version: nothing
runs again because Python is another one, so that is told here. Where it cannot be found out what results depend on,
each difference counts as one that matters.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from sqlalchemy.engine import make_url

from tidemark.catalog import Catalog
from tidemark.config import Settings
from tidemark.errors import Refused, TidemarkError, Unavailable
from tidemark.fingerprint.distributions import needs_of
from tidemark.installation import OURS, Installation
from tidemark.ledger import Ledger
from tidemark.ledger.heads import LiveCode, live_codes

LEDGER = "the ledger"
PYTHON = "Python"


@dataclass(frozen=True)
class Difference:
    """One thing that is not here as it is said to be.

    Attributes:
        what: a distribution's name, ``Python``, ``image`` or the like.
        here: what is here, or None if it is not.
        there: what is said to be, or None if nothing is.
        against: the file that says so, or ``the ledger``.
        assets: whose results depend on it, as far as that is known.
        is_error: whether a result may depend on it; else it is worth a look.

    """

    what: str
    here: str | None
    there: str | None
    against: str
    assets: tuple[str, ...] = ()
    is_error: bool = False

    @property
    def is_extra(self) -> bool:
        """Whether it is here, said nowhere, and no result is known to depend on it."""
        return self.there is None and not self.is_error


@dataclass(frozen=True)
class Closures:
    """Which distributions each asset's code version depends on.

    Attributes:
        names: the distributions by asset.
        unknown: a sentence for each reason why there may be more.

    """

    names: Mapping[str, frozenset[str]]
    unknown: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether it is known of every asset; without any asset nothing is known."""
        return bool(self.names) and not self.unknown

    def of(self, distribution: str) -> tuple[str, ...]:
        """Return the assets that depend on a distribution, by name."""
        return self._assets.get(distribution, ())

    @cached_property
    def _assets(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for asset, names in sorted(self.names.items()):
            for name in names:
                found.setdefault(name, []).append(asset)
        return {name: tuple(assets) for name, assets in found.items()}


@dataclass(frozen=True)
class Migration:
    """What another lock would change.

    Attributes:
        differences: what it names in another version; ``here`` is the first lock, ``there`` the other.
        recomputed: the assets whose code versions would be others.
        kept: the other assets.

    """

    differences: tuple[Difference, ...]
    recomputed: tuple[str, ...]
    kept: tuple[str, ...]


def closures_of(catalog: Catalog | None, live: Iterable[LiveCode]) -> Closures:
    """Return what assets depend on: those that files define as they are, others as their live results were made.

    Args:
        catalog: what the folder of pipeline files defines; None where there is no such folder.
        live: the code behind what is live.

    """
    found = {each.asset: frozenset(each.distributions) for each in live}
    if catalog is None:
        return Closures(found)
    unknown = [
        f"{file.name} cannot be used, so what it depends on is unknown: {problem}"
        for file, problem in catalog.problems.items()
    ]
    for pipeline in catalog.pipelines.values():
        for asset in pipeline.assets:
            try:
                names = {name for name, _ in asset.code.distributions}
            except TidemarkError as problem:
                unknown.append(f"{asset.name} has no code version: {problem}")
                continue
            # What is needed and not here is in no code version.
            found[asset.name] = frozenset(names.union(*(needs_of(name) for name in names)))
    return Closures(found, tuple(unknown))


def live_code(given: Settings) -> tuple[list[LiveCode], str | None]:
    """Return the code behind what is live, and why it cannot be told if so; a ledger that is not there is not made."""
    url = make_url(given.ledger_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return [], None
    try:
        ledger = Ledger(given.ledger_url)
        try:
            ledger.check()
            with ledger.read() as connection:
                return live_codes(connection, given.environment), None
        finally:
            ledger.close()
    except (Refused, Unavailable) as problem:
        return [], f"the ledger was not asked: {problem}"


def against_lock(here: Installation, lock: Mapping[str, str], said: str, closures: Closures) -> Iterator[Difference]:
    """Yield where the distributions here are not those of a lock, and whether this Python is none that it is made for.

    Args:
        here: what runs here.
        lock: its versions by name, as they hold here.
        said: the name of its file.
        closures: what assets depend on.

    """
    wanted = _pythons()
    if wanted is not None and not _allows(wanted, here.python):
        yield Difference(PYTHON, here.python, wanted, said, tuple(sorted(closures.names)), is_error=True)
    yield from _distributions(here.distributions, lock, said, closures)


def _pythons() -> str | None:
    """Return for which Pythons Tidemark and its lock are made, where it is installed."""
    try:
        said = metadata(OURS).json.get("requires_python")
    except PackageNotFoundError:
        return None
    return said if isinstance(said, str) else None


def _allows(wanted: str, version: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def _distributions(
    here: Mapping[str, str], there: Mapping[str, str], said: str, closures: Closures
) -> Iterator[Difference]:
    for name in sorted({*here, *there}):
        mine, other = here.get(name), there.get(name)
        if _same(mine, other):
            continue
        assets = closures.of(name)
        # What nobody names may be there for somebody else, as test tools are.
        yield Difference(name, mine, other, said, assets, bool(assets) or not (closures.complete or other is None))


def _same(one: str | None, other: str | None) -> bool:
    """Return whether two versions are one, however they are spelt."""
    if one is None or other is None or one == other:
        return one == other
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def against_release(here: Installation, release: Installation, said: str, closures: Closures) -> Iterator[Difference]:
    """Yield where what runs here is not what the record of a release says.

    Args:
        here: what runs here.
        release: what ran where the record was made.
        said: the name of its file.
        closures: what assets depend on.

    """
    if here.python != release.python:
        assets = tuple(sorted(closures.names))
        yield Difference(PYTHON, here.python, release.python, said, assets, _line(here.python) != _line(release.python))
    for what in ("tidemark", "image", "commit", "time_zone", "locale", "encoding"):
        mine, other = getattr(here, what), getattr(release, what)
        if other is not None and mine != other:
            yield Difference(what.replace("_", " "), mine, other, said)
    yield from _distributions(here.distributions, release.distributions, said, closures)


def _line(version: str) -> tuple[str, ...]:
    """Return the first two numbers of Python's version: within a line only errors are mended."""
    return tuple(version.split(".")[:2])


def against_ledger(here: Installation, live: Iterable[LiveCode]) -> Iterator[Difference]:
    """Yield with what else the live results were made.

    Another version of a distribution is no error: the next plan computes these assets again, which is what an upgrade
    is for. Another line of Python is one, as nothing would run again for it.
    """
    made: dict[tuple[str, str], list[str]] = {}
    for each in live:
        if each.python != here.python:
            made.setdefault((PYTHON, each.python), []).append(each.asset)
        for name, version in each.distributions.items():
            if not _same(here.distributions.get(name), version):
                made.setdefault((name, version), []).append(each.asset)
    for (what, version), assets in sorted(made.items()):
        mine = here.python if what == PYTHON else here.distributions.get(what)
        wrong = what == PYTHON and _line(version) != _line(here.python)
        yield Difference(what, mine, version, LEDGER, tuple(sorted(assets)), wrong)


def migration(before: Mapping[str, str], after: Mapping[str, str], said: str, closures: Closures) -> Migration:
    """Return what would follow if another lock were installed in place of one.

    Args:
        before: the versions of the one by name.
        after: those of the other.
        said: the name of its file.
        closures: what assets depend on.

    """
    differences = tuple(_distributions(before, after, said, closures))
    recomputed = {asset for each in differences for asset in each.assets}
    return Migration(differences, tuple(sorted(recomputed)), tuple(sorted(closures.names.keys() - recomputed)))
