"""The closure of a function: all first-party code that it can reach, as a graph, and the digest of that graph.

Invariants: the digest depends on what the code says and on which name stands for what, not on the order in which
anything is defined, nor on where it stands. What is reached by ways that no link shows enters too: what a registry
holds, what was bound to a name afterwards, and what statements with an effect of their own do when they are imported.
What a local variable is called counts only where something in the closure could tell: a text that has its name as a
word, or code that looks into frames.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FunctionType

from tidemark.fingerprint.forms import Nested, form_of, sees_names
from tidemark.fingerprint.live import Encoder, code_behind, held, located_function, plain, words_of
from tidemark.fingerprint.modules import Link, Module, Name, StaleError, Statement, Whole, import_closure
from tidemark.fingerprint.normal import normal_form
from tidemark.fingerprint.texts import file_token
from tidemark.hashing import digest

# Where one of these is in the code behind a constant, its value differs between processes without any code being
# different: clocks, chance, this process and this machine, and the order of sets of text. Such a value is left out.
_UNREPEATABLE = frozenset(
    {"now", "today", "utcnow", "time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "random"}
    | {"secrets", "urandom", "uuid1", "uuid4", "token_hex", "default_rng", "getpid", "getcwd", "cwd", "tempfile"}
    | {"gethostname", "getuser", "home", "expanduser", "argv", "executable", "id", "hash", "set", "frozenset"}
    | {"__name__"}
)

# A set itself is written down in an order of ours, whatever its own is.
_SETS = frozenset({"set", "frozenset"})

# These are Python's own only where no module has defined the name.
_BUILTIN = frozenset({"id", "hash"}) | _SETS


@dataclass(frozen=True)
class Value:
    """What a name stands for as loaded, where its text does not tell; ``what`` and ``module`` are for people."""

    encoded: bytes
    words: frozenset[str] = field(compare=False)
    what: str = field(compare=False)
    module: Module = field(compare=False)


@dataclass(frozen=True)
class Held:
    """What a function was made with: the content of its closure, the arguments of a partial.

    Attributes:
        encoded: all of it, with numbers for code.
        code: what the numbers stand for.
        what: the function's name, for people.
        has_values: there is more to it than code.
        words: every word of the texts in it.

    """

    encoded: bytes
    code: tuple[Link | Statement | Nested, ...]
    what: str = field(compare=False)
    has_values: bool = field(compare=False)
    words: frozenset[str] = field(compare=False)


Node = Statement | Nested | Whole | Value | Held


_Walk = list[tuple[Node, list[list[int]]]]  # nodes, each with the places in this list that its links lead to


class Closure:
    """The closure of one function.

    Attributes:
        nodes: the code that is reached, in the order in which it is.
        externals: full names of what it uses from outside the first-party code.

    Args:
        function: the function.
        files: content of files that it reads as it runs.

    """

    def __init__(self, function: Callable[..., object], files: Iterable[bytes] = ()) -> None:
        self.nodes: dict[Node, None] = {}
        encoder = Encoder()
        what = getattr(function, "__qualname__", type(function).__qualname__)
        encoder.write(function, what)
        self.externals: set[str] = set(encoder.externals)
        words = frozenset(encoder.words)
        self._root = Held(b"".join(encoder.parts), tuple(encoder.code), what, encoder.holds_values, words)
        # What these modules import when they are loaded is loaded in every process that has the function, so what
        # names stand for there may count. What a function imports while it runs is loaded in some only: there, the
        # text alone counts.
        self._loaded = set(import_closure(encoder.modules))
        self._named: dict[Name, list[Node]] = {}
        self._behind: dict[Name, list[Statement | Whole]] = {}
        self._homes = list(encoder.modules)
        self._main = self._walk_from(self._root)
        self._more: list[_Walk] = []
        while pending := [node for node in self._unlinked() if node not in self.nodes]:
            # All of them are taken before any is marked, so that their order has no part in which are.
            self._more += [self._walk_from(node) for node in pending]
        self._words = frozenset(words_of(list(files))).union(*map(_words_of, self.nodes))
        seeing = any(form_of(node).sees_names for node in self.nodes if not isinstance(node, (Value, Held)))
        self._sees_names = seeing or any(map(sees_names, self.externals))

    def digest(self) -> bytes:
        """Return the digest of everything that the function can reach."""
        return digest(self._digest_of(self._main), {self._digest_of(walk) for walk in self._more})

    def digest_of(self, node: Node) -> bytes:
        """Return the digest of what one node of the closure says, whatever its links lead to."""
        if isinstance(node, (Value, Held)):
            return digest(node.encoded)
        form = form_of(node)
        return digest(form.digest, [name if self._shows(name) else None for name in form.locals])

    def _digest_of(self, walk: _Walk) -> bytes:
        return digest(*([self.digest_of(node), below] for node, below in walk))

    def _shows(self, name: str) -> bool:
        """Return whether something in the closure could tell that a local variable has this name."""
        return self._sees_names or name in self._words

    def _unlinked(self) -> Iterator[Node]:
        """Yield the code that is reached by ways that no link shows."""
        yield from self._hidden()
        yield from self._effects()
        if any(form_of(node).looks_around for node in self.nodes if not isinstance(node, (Value, Held))):
            # Of what is loaded, only that can be meant on purpose which the function's own files load.
            yield from map(Whole, self._homes)

    def _hidden(self) -> Iterator[Node]:
        """Yield the code that hangs on loaded objects which the closure names."""
        for nodes in self._behind.values():
            yield from nodes

    def _effects(self) -> Iterator[Node]:
        """Yield what is done when the modules of the closure, and those that they import, are loaded."""
        modules: dict[Module, None] = {}
        for node in self.nodes:
            if isinstance(node, (Statement, Nested, Whole)):
                modules.setdefault(node.module)
                modules.update(dict.fromkeys(form_of(node).loads))
        for module in import_closure(modules):
            yield from module.effects

    def _walk_from(self, root: Node) -> _Walk:
        """Walk the graph below a node: every node, with the numbers of those that its links lead to."""
        numbers: dict[Node, int] = {root: 0}
        walked: list[Node] = [root]
        walk: _Walk = []
        for node in walked:
            below = [self._nodes_of(link) for link in self._links_of(node)]
            for each in (each for group in below for each in group):
                if each not in numbers:
                    numbers[each] = len(walked)
                    walked.append(each)
            walk.append((node, [[numbers[each] for each in group] for group in below]))
        self.nodes.update(dict.fromkeys(walked))
        return walk

    def _links_of(self, node: Node) -> tuple[Link | Statement | Nested, ...]:
        if isinstance(node, Value):
            return ()
        if isinstance(node, Held):
            return node.code
        form = form_of(node)
        self.externals |= form.externals
        if isinstance(node, Whole):
            return (*form.links, *(Name(node.module, name) for name in sorted(node.module.definitions)))
        return form.links

    def _nodes_of(self, link: Link | Statement | Nested) -> list[Node]:
        if not isinstance(link, Name):
            return [link]
        if link not in self._named:
            self._named[link] = self._nodes_named(link)
        return self._named[link]

    def _nodes_named(self, name: Name) -> list[Node]:
        nodes: list[Node] = [*name.module.definitions.get(name.name, ())]
        if name.name in name.module.namespace:
            behind = list(code_behind(name.module.namespace[name.name]))
            if name.module in self._loaded:
                self._behind[name] = behind
                value = _value_of(name)
                nodes += [] if value is None else [value]
        return nodes


def _words_of(node: Node) -> frozenset[str]:
    return node.words if isinstance(node, (Value, Held)) else form_of(node).words


# -- values


def _value_of(name: Name) -> Value | None:
    """Return what a name stands for as loaded, where its text does not tell.

    A literal tells its value, so it counts only where something else is loaded: the name was bound anew from
    elsewhere. What is worked out when the module is imported may come from the environment or from a file: it counts,
    unless it cannot be repeated. What functions change as they run depends on what ran before: it does not count.
    """
    module = name.module
    if name.name in module.unsettled:
        return None
    value, written = _loaded_and_written(name)
    try:
        encoded = plain(value)
    except TypeError:
        value, written = held(value), None
        if not value:
            return None
        encoded = plain(value)
    literal = _literal(written)
    if encoded == literal:
        return None
    if literal is not None and file_token(module.path) != module.text.token:
        raise StaleError(module, name.name)
    identifiers, homes = _behind(name)
    ordered = _SETS if isinstance(module.namespace[name.name], (set, frozenset)) else frozenset()
    if literal is None and not identifiers.isdisjoint(_UNREPEATABLE - ordered):
        return None
    return Value(plain(value, homes), frozenset(words_of(value)), name.name, module)


def _loaded_and_written(name: Name) -> tuple[object, list[ast.expr] | None]:
    """Return the value of a name, of a function the values of its defaults, and the expressions that give it."""
    value = name.module.namespace[name.name]
    statements = name.module.definitions.get(name.name, [])
    node = statements[0].node if len(statements) == 1 else None
    if isinstance(value, FunctionType):
        located = located_function(value)
        if located is None or located.statement not in statements or located.node is None:
            return value, None
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or located.node is not node:
            # One of several: which of them may depend on the environment.
            return normal_form(located.node, {}, {}, keep_docstrings=False)[0], None
        written = [each for each in (*node.args.defaults, *node.args.kw_defaults) if each is not None]
        given = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        if any(isinstance(each, (dict, list, set)) for each in given):
            return value, None  # one that the function fills, like as not
        return given, written
    if isinstance(value, type) and isinstance(node, ast.ClassDef):
        return _worked_out(value, node), None
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if all(isinstance(each, ast.Name) for each in targets):
            return [value], [node.value]
    return value, None


def _worked_out(kind: type, node: ast.ClassDef) -> list[tuple[str, object]] | None:
    """Return the attributes of a class, and the defaults of its methods, that its text does not tell."""
    found: list[tuple[str, object]] = []
    for each in node.body:
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = getattr(vars(kind).get(each.name), "__func__", vars(kind).get(each.name))
            if isinstance(function, FunctionType) and _literal(each.args.defaults) is None:
                found.append((each.name, function.__defaults__))
        elif isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value and _literal([each.value]) is None:
            names = [
                name.id for name in ast.walk(each) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            ]
            found += [(name, vars(kind).get(name)) for name in names]
    return found or None


def _literal(written: list[ast.expr] | None) -> bytes | None:
    """Return the encoded values of literals; None if any of the expressions is none."""
    if written is None:
        return None
    try:
        return plain([ast.literal_eval(each) for each in written])
    except (ValueError, TypeError):
        return None


def _behind(name: Name) -> tuple[frozenset[str], list[Module]]:
    """Return all identifiers in the text that a name leads to, and the modules in which that asks for its own place."""
    known: tuple[frozenset[str], list[Module]] | None = name.module.forms.get(name)
    if known is None:
        text: list[Statement | Whole] = list(name.module.definitions.get(name.name, ()))
        seen = set(text)
        for code in text:
            for link in form_of(code).links:
                below = [link] if isinstance(link, Whole) else link.module.definitions.get(link.name, ())
                new = [each for each in below if each not in seen]
                seen.update(new)
                text.extend(new)
        forms = [form_of(each) for each in text]
        homes = [each.module for each, form in zip(text, forms, strict=True) if "__file__" in form.identifiers]
        own = _BUILTIN.intersection(link.name for form in forms for link in form.links if isinstance(link, Name))
        identifiers = frozenset().union(*(form.identifiers for form in forms)) - own
        known = identifiers, list(dict.fromkeys(homes))
        name.module.forms[name] = known
    return known
