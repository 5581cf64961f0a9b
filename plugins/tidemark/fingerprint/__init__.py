"""Code versions: the fingerprint of all code that can change what a function returns.

Two invariants, in this order. *Sound*: no edit of a first-party file that can change a result leaves the fingerprint as
it was. *Fine-grained*: as few others as possible change it. So a fingerprint is that of a graph: the function's syntax
tree and, linked to it, everything in first-party code that it can reach, at any depth and in any module, with the
installed versions of the distributions that these import, and the content of declared resource files. Where the
function runs in a container image, the name of the image stands for the distributions.

What changes it and what does not:

- Comments, docstrings, layout, the order of definitions, the file and folder they stand in, how they are imported,
  and the names of modules do not. A docstring does in files that speak of ``__doc__``.
- What a local variable is called does not, unless something could tell: any text in the closure, or in a declared
  file, has the name as a word (SQL, ``DataFrame.query``, a formula: installed packages look such names up in frames),
  or anything looks into frames (``locals()``, ``sys._getframe``, ``inspect``, duckdb). Names of parameters, functions
  and classes always count, also of lambdas, of private helpers and of what is defined inside a function: callers and
  results show them. So does the order of what stands in a class.
- Names stand for what they lead to. A constant counts by its text and what that leads to. Its loaded value counts
  where the text does not tell it: a literal that was bound anew from elsewhere, or something worked out at import,
  from the environment or from a file, say, also inside a partial, a default, a class or a dataclass. It does not count
  if it cannot be repeated (clock, chance, the order of a set), as each process would have a version of its own, nor if
  functions change it while they run.
- A decorator that is tidemark's, and its arguments, do not count: they are definitions, which are compared elsewhere.
- Where the text does not tell what is reached (``getattr`` with a computed name, ``importlib``, ``exec``,
  ``globals()``, a star import), the whole module counts and all that it imports; where code looks around in the
  process (``sys.modules``, ``__subclasses__()``, frames of callers), that of the function does too.
- Statements that a module runs for their effect (``pandas.set_option(...)``) count for everything in that module and
  in those that import it; an installed package that is imported and never named is imported for its effect.

Not seen: local variables' names that an installed package finds out without being told any, unless it is known to
(``forms.py``); modules imported by a computed name from outside the folder of the module that does so; what a function
does beside its result where that is bound to a name at import; what objects of ordinary classes, and helpers made by
functions, were given from the environment; data files that are not declared; state that other assets leave in the
process; the Python version; C libraries outside distributions.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidemark.errors import DefinitionError
from tidemark.fingerprint.closure import Closure, Held, Node, Value
from tidemark.fingerprint.distributions import with_dependencies
from tidemark.fingerprint.forms import form_of
from tidemark.fingerprint.modules import Name, StaleError, Statement, Whole, recapture
from tidemark.fingerprint.texts import capture
from tidemark.hashing import digest

__all__ = ["Component", "Fingerprint", "capture", "fingerprint", "together"]

# What a fingerprint means: to be raised when the same code gets another one, or tidemark treats it in another way.
SCHEME = 2


@dataclass(frozen=True)
class Component:
    """One first-party definition in the closure of a function.

    Attributes:
        label: what people call it, such as ``helpers.cleaning.RATE``.
        file: where it stands, or None for what has no file.
        line: its first line there, or None.
        digest: what it says: 32 bytes. The other attributes are for people only and enter no digest.

    """

    label: str
    file: str | None
    line: int | None
    digest: bytes


@dataclass(frozen=True)
class Fingerprint:
    """The code version of a function.

    Attributes:
        digest: the code version: 32 bytes.
        components: what it is made of, in an order that is the same for the same code.
        distributions: name and version of each installed distribution that the code imports, and of what these need;
            none where an image stands for them.
        image: the container image that the function runs in, which says what is installed there; None: it runs here.

    """

    digest: bytes
    components: tuple[Component, ...]
    distributions: tuple[tuple[str, str], ...]
    image: str | None = None


def fingerprint(
    function: Callable[..., object], *, resources: Sequence[Path] = (), image: str | None = None
) -> Fingerprint:
    """Return the code version of a function.

    Nothing is imported. Modules must be loaded: call it once the function's own module is.

    Args:
        function: a function, or anything that can be called and is made of functions.
        resources: files that the function reads; their content counts, their place does not.
        image: the container image that it runs in, as it is declared. It counts in place of what is installed here,
            which is not what the function meets: planner and container come to the same code version.

    Raises:
        DefinitionError: if loaded code is not what its file says, if it has no text, if what a closure holds cannot be
            told, or if a resource cannot be read.

    """
    try:
        return _fingerprint(function, resources, image)
    except StaleError as stale:
        # The module may have been loaded again since its text was captured.
        recapture(stale.module)
    try:
        return _fingerprint(function, resources, image)
    except StaleError as stale:
        raise DefinitionError(
            f"{stale.module.path or stale.module.label}: {stale.name} is loaded in another form than the file has now: "
            "it was edited after it was imported, or an import hook rewrites it. Load it again (importlib.reload, or "
            "restart the process), so that what is recorded is what runs"
        ) from None


def together(*parts: Fingerprint) -> Fingerprint:
    """Return the code version of several functions that make one result."""
    components = {(each.label, each.digest): each for part in parts for each in part.components}
    distributions = sorted({each for part in parts for each in part.distributions})
    return Fingerprint(
        digest(SCHEME, [each.digest for each in parts]),
        tuple(components.values()),
        tuple(distributions),
        next((each.image for each in parts if each.image is not None), None),
    )


def _fingerprint(function: Callable[..., object], resources: Sequence[Path], image: str | None) -> Fingerprint:
    content = [_content(path) for path in resources]
    closure = Closure(function, content)
    for node in closure.nodes:
        if isinstance(node, (Statement, Whole)) and node.module.is_outdated:
            raise StaleError(node.module, node.module.label)
    files = [
        Component(path.name, str(path), None, hashlib.sha256(each).digest())
        for path, each in zip(resources, content, strict=True)
    ]
    distributions = with_dependencies(sorted(closure.externals)) if image is None else ()
    surroundings: object = distributions if image is None else ["image", image]
    components = [_component(node, closure) for node in closure.nodes if not isinstance(node, Held) or node.has_values]
    return Fingerprint(
        digest(SCHEME, closure.digest(), [each.digest for each in files], surroundings),
        (*components, *files),
        distributions,
        image,
    )


def _component(node: Node, closure: Closure) -> Component:
    said = closure.digest_of(node)
    if isinstance(node, Held):
        return Component(f"{node.what} (held)", None, None, said)
    if isinstance(node, Value):
        return Component(f"{node.module.label}.{node.what} (value)", node.module.path, None, said)
    if isinstance(node, Whole):
        return Component(f"{node.module.label} (whole)", node.module.path, None, said)
    # The names of what it uses: the form has but numbers for them, so two that changed places would not be seen.
    uses = [link.name if isinstance(link, Name) else "" for link in form_of(node).links]
    return Component(node.label, node.module.path, node.line, digest(said, uses))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DefinitionError(
            f"{path}: declared as a file that an asset reads, but {error.strerror}: name a file that is there"
        ) from error
