"""Causes: reasons as values, each with what is behind it, and what two code versions differ in."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tidemark.assets import Asset
from tidemark.commits import Commit, last_commit
from tidemark.explain import edited, named, other_distributions
from tidemark.fingerprint import Component
from tidemark.ledger.schema import code_version

# How many causes of one level are told before the rest is counted.
BREADTH = 5


class Kind(StrEnum):
    """What sort of cause one is; stable, for programs."""

    CODE = "code"  # the code version is another one
    DEFINITION = "definition"  # one definition in it: a function, a constant, a class
    DISTRIBUTION = "distribution"  # an installed package
    IMAGE = "image"  # the container image that it is declared to run in
    PARAMETER = "parameter"
    MAPPING = "mapping"  # other partitions of an input are read
    SORTING = "sorting"  # how rows are sorted before they are stored
    INPUT = "input"  # a partition that is read changed, arrived or is gone
    PENDING = "pending"  # a partition that is read is itself still to be computed
    DELIVERY = "delivery"  # somebody delivered a file, or took it away
    COMPUTED = "computed"  # a run took it away
    NEW = "new"  # there was nothing before
    KNOWN = "known"  # the result was computed before
    GATE = "gate"
    MISSING = "missing"  # what is expected and is not there, or no good
    SUBSTITUTE = "substitute"  # an older partition is read in its place
    PERSON = "person"  # a person asked for it
    MORE = "more"  # the tree was cut here


@dataclass(frozen=True)
class Cause:
    """One reason, and what is behind it.

    Attributes:
        kind: what sort of cause it is.
        said: it in words.
        asset: whose partition it is about, or None.
        partition: the partition's key, or None.
        before: what was: a version, a parameter's value, a version of a package; None: there was none.
        after: what is.
        file: where the code is that changed, or None.
        line: in which line.
        commit: who last changed that, or None.
        causes: what is behind it.
        told: what is behind it was told before, in another place of the tree.

    """

    kind: Kind
    said: str
    asset: str | None = None
    partition: str | None = None
    before: Any = None
    after: Any = None
    file: str | None = None
    line: int | None = None
    commit: Commit | None = None
    causes: tuple["Cause", ...] = ()
    told: bool = False

    @property
    def is_news(self) -> bool:
        """Whether there is anything in it that was not told before."""
        return not self.told and (not self.causes or any(each.is_news for each in self.causes))

    def again(self) -> "Cause":
        """Return it without what is behind it, which was told before."""
        return replace(self, said=f"{self.said}, as told above", causes=(), told=True)

    def to_json(self) -> dict[str, Any]:
        """Return it as stable data: every cause has all of these keys."""
        commit = None
        if self.commit is not None:
            commit = {name: getattr(self.commit, name) for name in ("id", "author", "at", "subject")}
        return {
            "kind": self.kind.value,
            "said": self.said,
            "asset": self.asset,
            "partition": self.partition,
            "before": self.before,
            "after": self.after,
            "file": self.file,
            "line": self.line,
            "commit": commit,
            "causes": [each.to_json() for each in self.causes],
        }


def cut(causes: Iterable[Cause], total: int | None = None) -> tuple[Cause, ...]:
    """Return as many causes as one level shows, and how many more there are."""
    every = list(causes)
    more = (len(every) if total is None else total) - BREADTH
    return (*every[:BREADTH], Cause(Kind.MORE, f"and {more} more", told=True)) if more > 0 else tuple(every)


def folded(some: Sequence[Cause], keys: Sequence[str], what: str) -> tuple[Cause, ...]:
    """Return the causes of one level that bring news, and in one line those that are like them.

    Args:
        some: a cause for each of the first partitions of an input.
        keys: all of the input's partitions that are told of, also those that were not looked at.
        what: what became of them, with a place for the keys.

    """
    if len(keys) == 1:
        return tuple(some)
    news = [each for each in some if each.is_news]
    like = [each.partition or "" for each in some if not each.is_news]
    more = len(keys) - len(like) - min(len(news), BREADTH)
    causes = news[:BREADTH]
    if like:
        said = what.format(named(like))
        causes.append(Cause(Kind.MORE, f"{said} likewise" if news else f"{said}, as told above", told=True))
    if more:
        causes.append(Cause(Kind.MORE, f"and {more} more", told=True))
    return tuple(causes)


# -- code


@dataclass(frozen=True)
class Code:
    """A code version as it can be compared.

    ``revision`` is the commit at which its lines can be looked up, and ``image`` what stands for the packages, if any.
    """

    fingerprint: bytes
    components: tuple[Component, ...]
    distributions: tuple[tuple[str, str], ...]
    revision: str | None = None
    present: bool = False
    image: str | None = None


def present_code(asset: Asset) -> Code:
    """Return the code version that an asset has now."""
    code = asset.code
    return Code(code.digest, code.components, code.distributions, present=True, image=code.image)


def code_of(connection: sa.Connection, number: int) -> Code:
    """Return a code version as the ledger keeps it, by its id."""
    row = connection.execute(sa.select(code_version).where(code_version.c.id == number)).one()
    components = tuple(Component(label, file, line, bytes.fromhex(said)) for label, file, line, said in row.components)
    packages = tuple((name, version) for name, version in row.distributions)
    # With changes that were in no commit, the commit's lines are not those that ran.
    revision = None if row.git_dirty else row.git_commit
    return Code(row.fingerprint, components, packages, revision, image=row.image)


def code_causes(before: Code, now: Code) -> Iterator[Cause]:
    """Yield in which definitions, image and packages two code versions differ, with who changed them if git knows."""
    definitions = edited(before.components, now.components)
    imaged = before.image is not None or now.image is not None
    # What is installed where plans are made is not what an image has: the two cannot be compared.
    packages = [] if imaged else other_distributions(before.distributions, now.distributions)
    yield from cut(
        (_definition(each.what, each.label, each.file, each.line, now) for each in definitions[:BREADTH]),
        len(definitions),
    )
    if before.image != now.image:
        said = f"image {before.image or 'none'} -> {now.image or 'none'}"
        yield Cause(Kind.IMAGE, said, before=before.image, after=now.image)
    yield from cut(
        (
            Cause(Kind.DISTRIBUTION, f"package {name}: {old or 'none'} -> {new or 'none'}", before=old, after=new)
            for name, old, new in packages[:BREADTH]
        ),
        len(packages),
    )
    if not definitions and not packages and before.image == now.image:
        yield Cause(Kind.DEFINITION, "no single definition changed, but what names in them stand for")


def _definition(what: str, label: str, file: str | None, line: int | None, now: Code) -> Cause:
    place, commit = "", None
    if file is not None:
        path = Path(file)
        place = f" ({path.name}:{line})" if line and what != "removed" else f" ({path.name})"
        if now.present or now.revision is not None:
            commit = last_commit(path, line if what != "removed" else None, revision=now.revision)
    said = f"{label} {what}{place}{by(commit)}"
    return Cause(Kind.DEFINITION, said, file=file, line=line if what != "removed" else None, commit=commit)


def by(commit: Commit | None) -> str:
    """Return the end of a sentence that says in which commit something changed; empty where nobody knows."""
    return f", {commit}" if commit else ""
