"""What a piece of code says, apart from what it is called and where it stands: its form, and links to what it uses.

Invariant: no name of a first-party module and no path is part of a form; what is used is replaced by the number of a
link. So a form stays the same when what it uses is moved or imported in another way, and changes when a name comes to
stand for something else. The names of local variables are beside it: whether they count depends on what else is
reached.
"""

import ast
from collections.abc import Iterable, Set
from dataclasses import dataclass

from tidemark.fingerprint.modules import External, Link, Module, Statement, Whole, modules_around
from tidemark.fingerprint.normal import normal_form
from tidemark.fingerprint.syntax import Function, Imported, Reference, Scan, scan
from tidemark.hashing import canonical, digest


@dataclass(frozen=True)
class Nested:
    """A function that stands inside another, with the names that it takes from there."""

    module: Module
    node: Function | ast.Lambda
    free: tuple[str, ...]
    label: str

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.node.lineno


# Packages that look up names among the local variables of who calls them, or show those or the source text.
_SEEING_PACKAGES = frozenset({"duckdb", "numexpr", "patsy", "formulaic", "formulae", "statsmodels", "linearmodels"})
_SEEING_PACKAGES |= {"lifelines", "bambi", "plotnine", "pandasql", "chdb", "fugue", "daft", "varname", "executing"}
_SEEING_PACKAGES |= {"icecream", "sorcery", "snoop", "pysnooper", "inspect", "traceback", "linecache", "pdb", "dill"}


def sees_names(path: str) -> bool:
    """Return whether something from outside the first-party code may see what its callers' variables are called."""
    return path.partition(".")[0] in _SEEING_PACKAGES


@dataclass(frozen=True)
class Form:
    """What a piece of code says.

    Attributes:
        digest: digest of the code, with numbers for what it uses and for its local variables.
        links: what the numbers stand for; further ones are reached as a whole.
        externals: full names of what it uses from outside the first-party code.
        identifiers: every name in it, its own and those of what it imports.
        loads: first-party modules that it imports while it runs.
        changes: names around it that it rebinds or changes in place while it runs.
        locals: what the local variables are called, in the order of their numbers.
        words: every word of its texts.
        sees_names: it may see what local variables are called, its own or those of who calls it.
        looks_around: it may reach whatever is loaded.

    """

    digest: bytes
    links: tuple[Link, ...]
    externals: frozenset[str]
    identifiers: frozenset[str]
    loads: tuple[Module, ...] = ()
    changes: frozenset[str] = frozenset()
    locals: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    sees_names: bool = False
    looks_around: bool = False


def form_of(code: Statement | Nested | Whole) -> Form:
    """Return the form of a statement, of a nested function or of a whole module; it is worked out once."""
    forms = code.module.forms
    if code not in forms:
        forms[code] = _form_of_whole(code.module) if isinstance(code, Whole) else _form_of_code(code)
    form: Form = forms[code]
    return form


class _Links:
    """Numbers what a piece of code uses, in the order in which it does."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.links: dict[Link, int] = {}
        self.externals: set[str] = set()
        self.unclear = module.has_star

    def show(self, use: Reference) -> bytes | None:
        """Return what to write in place of a use; None for a builtin, whose name is written as it is."""
        target = self.module.resolve(use)
        if target is None:
            return None
        link, attributes = target
        if isinstance(link, External):
            self.externals.add(link.path)
            self.unclear |= link.unclear
            return b"<" + canonical(link.path) + b">"
        return b"<" + canonical((self.links.setdefault(link, len(self.links)), attributes)) + b">"

    def add(self, links: Iterable[Link]) -> None:
        """Add what is reached without being named."""
        for link in links:
            self.links.setdefault(link, len(self.links))


def _form_of_code(code: Statement | Nested) -> Form:
    module = code.module
    seen = code.scan if isinstance(code, Statement) else scan(code.node, module.is_definition, code.free)
    links = _Links(module)
    replaced = dict.fromkeys(seen.dropped, b"")
    for node, use in seen.references.items():
        shown = links.show(use)
        if shown is not None:
            replaced[node] = shown
    for node, (name, what) in seen.aliases.items():
        replaced[node] = b"" if node in seen.hidden else canonical(name) + _shown_import(links, what)
    for use in seen.others:
        links.show(use)
    loads = [each for what, at_once in seen.loads if not at_once for each in _modules_of(links, what)]
    if seen.unclear or links.unclear:
        links.add([Whole(module)])
    text, names = normal_form(code.node, replaced, seen.locals, module.keeps_docstrings)
    return Form(
        digest(_marks(module, seen), text),
        tuple(links.links),
        frozenset(links.externals),
        frozenset(seen.identifiers).union(*(path.split(".") for path in links.externals)),
        tuple(loads),
        frozenset(seen.changed),
        names,
        frozenset(seen.words),
        seen.sees_names or links.unclear or any(map(sees_names, links.externals)),
        _looks_around(seen.identifiers, links.externals),
    )


def _looks_around(identifiers: Set[str], externals: Iterable[str]) -> bool:
    found = not identifiers.isdisjoint({"__subclasses__", "f_back", "f_globals"})
    return found or any(External(path).looks_around for path in externals)


def _marks(module: Module, seen: Scan) -> list[str]:
    """Return what the file says at its top that changes what the code means."""
    return ["annotations"] if seen.annotated and module.defers_annotations else []


def _shown_import(links: _Links, what: Imported) -> bytes:
    shown = links.show(Reference(what))
    return canonical(f"{what.module}.{what.name}") if shown is None else shown


def _modules_of(links: _Links, what: Imported) -> list[Module]:
    """Return the first-party modules that an import loads; one from elsewhere counts as used."""
    modules = list(links.module.modules_of(what))
    if not modules and not what.level:
        links.externals.add(".".join(part for part in (what.module, what.name) if part))
    return modules


def _form_of_whole(module: Module) -> Form:
    links = _Links(module)
    replaced: dict[int, bytes] = {}
    for statement in module.statements:
        replaced.update(dict.fromkeys(statement.scan.dropped, b""))
        for (node, (name, what)), (loaded, _) in zip(statement.scan.aliases.items(), statement.scan.loads, strict=True):
            wholes = [Whole(each) for each in _modules_of(links, loaded)]
            links.add(wholes)
            places = [links.links[each] for each in wholes]
            replaced[node] = canonical((name, places, what.name if places else f"{what.module}.{what.name}"))
    identifiers = frozenset().union(*(each.scan.identifiers for each in module.statements))
    if "__import__" in identifiers or any(External(path).searches for path in links.externals):
        links.add(map(Whole, modules_around(module)))
    text = [normal_form(each.node, replaced, {}, module.keeps_docstrings) for each in module.statements]
    return Form(
        digest(module.text.binary, module.defers_annotations, [encoded for encoded, _ in text]),
        tuple(links.links),
        frozenset(links.externals),
        identifiers,
        words=frozenset().union(*(each.scan.words for each in module.statements)),
        sees_names=any(each.scan.sees_names for each in module.statements) or any(map(sees_names, links.externals)),
        looks_around=_looks_around(identifiers, links.externals),
    )
