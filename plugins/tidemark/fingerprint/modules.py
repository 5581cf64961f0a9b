"""First-party modules: their captured text, what each of their names is made of, and where loaded code stands in it.

Invariants: a module's text is read once, when the module is first seen, and each loaded function that is looked up must
equal what that text compiles to; so what is digested is what runs, even after the file was edited. Nothing is imported.
"""

import ast
import builtins
import contextlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tidemark.errors import DefinitionError
from tidemark.fingerprint.codes import inner_codes, is_rewritten_by_pytest, same_code
from tidemark.fingerprint.places import first_party, inside, is_first_party, is_tidemark
from tidemark.fingerprint.syntax import Definition, Function, Imported, Reference, Scan, bindings, scan
from tidemark.fingerprint.texts import Text, captured, cells_of, file_token, forget, read, text_of

# Reaching one of these means that the text does not tell what is reached.
_SEARCHING = frozenset({"importlib", "runpy", "pkgutil", "imp", "zipimport"})
_UNCLEAR = _SEARCHING | {"inspect", "gc", "builtins", "sys.modules", "sys._getframe", "operator.attrgetter"}
# Of these, what leads from anywhere to whatever the process has loaded, such as the code of who calls.
_LOOKING_AROUND = frozenset({"gc", "sys.modules", "sys._getframe", "sys._current_frames"})
_LOOKING_AROUND |= {"inspect.stack", "inspect.currentframe"}
_HARMLESS = frozenset({"importlib.metadata", "importlib.resources"})

# Changing what these make acts on nothing else.
_DISPLAYS = (ast.Dict, ast.List, ast.Set, ast.Tuple, ast.Constant, ast.ListComp, ast.SetComp, ast.DictComp)
_CONTAINERS = frozenset({"dict", "list", "set", "defaultdict", "OrderedDict", "Counter", "deque", "getLogger"})


class StaleError(Exception):
    """A loaded function is not what the captured text of its module says; the text may be captured anew once."""

    def __init__(self, module: "Module", name: str) -> None:
        super().__init__(name)
        self.module = module
        self.name = name


@dataclass(eq=False)
class Statement:
    """One statement at the top level of a module.

    Attributes:
        module: the module.
        node: its syntax tree.
        scan: what it takes from outside and changes.
        binds: the names that it binds, each with what it imports or None.
        index: its place in the module.

    """

    module: "Module"
    node: ast.stmt
    scan: Scan
    binds: Mapping[str, Imported | None]
    index: int

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.node.lineno

    @property
    def label(self) -> str:
        """What people call it."""
        if self.binds:
            return f"{self.module.label}.{', '.join(self.binds)}"
        return f"{self.module.label}: {ast.unparse(self.node).splitlines()[0][:60]}"


@dataclass(frozen=True)
class Name:
    """A name of a first-party module: whatever defines it, in the text and as loaded."""

    module: "Module"
    name: str


@dataclass(frozen=True)
class Whole:
    """A whole first-party module and whatever it imports: where it is unclear what is reached."""

    module: "Module"


@dataclass(frozen=True)
class External:
    """Something of an installed distribution, of the standard library or of tidemark, by its full name."""

    path: str

    @property
    def unclear(self) -> bool:
        """Whether this leads to code by ways that no text tells."""
        return self._is_one_of(_UNCLEAR)

    @property
    def searches(self) -> bool:
        """Whether this can import modules that no text names."""
        return self._is_one_of(_SEARCHING)

    @property
    def looks_around(self) -> bool:
        """Whether this leads to what neither its module nor what that imports has to do with."""
        return self._is_one_of(_LOOKING_AROUND)

    def _is_one_of(self, names: frozenset[str]) -> bool:
        first, _, rest = self.path.partition(".")
        pair = f"{first}.{rest.partition('.')[0]}"
        return pair not in _HARMLESS and not names.isdisjoint({first, pair})


Link = Name | Whole
Target = tuple[Link | External, tuple[str, ...]]  # what is reached, and the attributes that are left


@dataclass(frozen=True)
class Located:
    """Where a loaded function stands: the statement and, if there is but one there, the function's own node."""

    statement: Statement
    node: Function | ast.Lambda | None


class Module:
    """A first-party module: its statements, and what its names are made of.

    Attributes:
        name: its name in this process: to find what it imports, never for a digest.
        path: its file, or None for a notebook and for text that was run.
        namespace: its names as loaded; empty if it is not loaded.
        loaded: whether it is.
        text: its source as captured.
        imports: names that are bound by imports only, and to one thing only.
        statements: its statements, in order.
        definitions: the statements that bind or change a name, in order.
        forms: what was worked out about its statements, kept as long as the module is.
        unsettled: names that function bodies rebind or change, so that their values depend on what ran before.

    """

    def __init__(self, name: str, path: str | None, namespace: dict[str, Any] | None, text: Text) -> None:
        self.name = name
        self.path = path
        self.loaded = namespace is not None
        self.namespace: dict[str, Any] = {} if namespace is None else namespace
        self.text = text
        self._trees = [tree for cell in text.cells if (tree := self._parse(cell)) is not None]
        bound = [(cell, node, bindings(node)) for cell, tree in enumerate(self._trees) for node in tree.body]
        self.imports = _plain_imports([binds for _, _, binds in bound])
        self.has_star = any("*" in binds for _, _, binds in bound)
        self._cells = [cell for cell, _, _ in bound]
        self.statements = [
            Statement(self, node, scan(node, self.is_definition), binds, index)
            for index, (_, node, binds) in enumerate(bound)
        ]
        self.definitions, self.unsettled = self._define()
        self.forms: dict[object, Any] = {}

    # -- text

    @property
    def is_notebook(self) -> bool:
        """Whether the text is a list of cells, of which a later one replaces what an earlier one defined."""
        return self.path is None

    @cached_property
    def is_package(self) -> bool:
        """Whether modules may be below it."""
        if self.path is None:
            return not self.loaded or "__path__" in self.namespace
        return Path(self.path).stem == "__init__"

    @property
    def is_outdated(self) -> bool:
        """Whether a module that was not loaded was edited, or loaded, since its text was captured."""
        if self.loaded or self.path is None:
            return False
        loaded = getattr(sys.modules.get(self.name), "__file__", None)
        return file_token(self.path) != self.text.token or loaded == self.path

    @cached_property
    def label(self) -> str:
        """What people call it: its path below the folder that it was imported from, without the suffix."""
        if self.path is None:
            return self.name
        file = os.path.realpath(self.path)
        base = max((root for root in roots() if inside(file, root)), key=len, default=os.path.dirname(file))
        parts = Path(os.path.relpath(file, base)).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)

    @cached_property
    def keeps_docstrings(self) -> bool:
        """Whether docstrings count: where the text speaks of ``__doc__``, they may decide a result."""
        return any("__doc__" in text for text in self.text.cells)

    @cached_property
    def defers_annotations(self) -> bool:
        """Whether the file asks for annotations that are not evaluated."""
        return self.imports.get("annotations") == Imported("__future__", 0, "annotations")

    def _parse(self, text: str) -> ast.Module | None:
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError) as error:
            if self.is_notebook:
                return None  # a cell that never ran
            raise DefinitionError(f"{self.path}: {error}: mend the file, then load it again") from error

    # -- tables

    def is_definition(self, decorator: Reference) -> bool:
        """Return whether a decorator is tidemark's: its arguments are definitions, which others compare."""
        what = decorator.base if isinstance(decorator.base, Imported) else self.imports.get(decorator.base)
        if what is not None and what.level == 0 and what.module.partition(".")[0] == "tidemark":
            return True
        value = self.namespace.get(decorator.base) if isinstance(decorator.base, str) else None
        for attribute in decorator.attributes:
            value = vars(value).get(attribute) if isinstance(value, ModuleType) else None
        while isinstance(value, partial):
            value = value.func
        return isinstance(value, FunctionType) and is_tidemark(value.__globals__)

    def _define(self) -> tuple[dict[str, list[Statement]], set[str]]:
        found: dict[str, dict[int, Statement]] = {}
        cell_of: dict[str, int] = {}
        for each in self.statements:
            for name in each.binds:
                cell = self._cells[each.index]
                if cell_of.setdefault(name, cell) != cell and self.is_notebook:
                    found[name].clear()
                cell_of[name] = cell
                found.setdefault(name, {})[each.index] = each
        changers: dict[str, set[str]] = {}
        for each in self.statements:
            for name in each.scan.changed - self.imports.keys():
                found.setdefault(name, {})[each.index] = each
                changers.setdefault(name, set()).update(each.binds)
            for name in self._changed_by(each) & found.keys():
                found[name][each.index] = each
        for name, functions in changers.items():
            # Who calls, at import, a function that changes the name has a part in its value: `@register`.
            found[name].update({each.index: each for each in self.statements if functions & each.scan.executed})
        return {name: [each[index] for index in sorted(each)] for name, each in found.items()}, set(changers)

    def _changed_by(self, statement: Statement) -> set[str]:
        """Return the names that a statement changes in place when it runs."""
        uses = (*statement.scan.acts, *statement.scan.registrations)
        names = {use.base for use in uses if use is not None and use.attributes and isinstance(use.base, str)}
        return (names | statement.scan.touched) - self.imports.keys()

    @cached_property
    def effects(self) -> list[Statement]:
        """The statements that are run for what they do, not for a name: options set, functions registered.

        A notebook has none: what people try out in one is no part of the code.
        """
        return [] if self.is_notebook else [each for each in self.statements if self._is_effect(each)]

    def _is_effect(self, statement: Statement) -> bool:
        if _is_guard(statement.node):
            return False
        return (
            any(self._acts(each) for each in statement.scan.acts)
            or any(self._registers(each) for each in statement.scan.registrations)
            or self._is_unused_import(statement)
        )

    def _acts(self, use: Reference | None) -> bool:
        """Return whether a use of something for its effect can reach further than the name itself."""
        if use is None or isinstance(use.base, Imported):
            return True
        if self.is_definition(use):
            return False
        if use.base in self.definitions and use.base not in self.imports:
            made_by = [each for each in self.definitions[use.base] if use.base in each.binds]
            return not (use.attributes and all(map(_is_container, made_by)))
        return use.base != "print"

    def _registers(self, decorator: Reference) -> bool:
        """Return whether a decorator makes something known elsewhere, as that for a data frame's namespace does."""
        what = decorator.base if isinstance(decorator.base, Imported) else self.imports.get(decorator.base)
        return what is not None and any("regist" in part for part in (what.name or "", *decorator.attributes))

    @cached_property
    def _identifiers(self) -> set[str]:
        return {name for each in self.statements for name in each.scan.identifiers}

    def _is_unused_import(self, statement: Statement) -> bool:
        """Return whether a statement imports something installed that the module never names: for its effect, then."""
        if not isinstance(statement.node, ast.Import | ast.ImportFrom) or self.is_package:
            return False
        return any(
            what is not None and name not in self._identifiers and self._is_installed(what)
            for name, what in statement.binds.items()
        )

    def _is_installed(self, what: Imported) -> bool:
        top = what.module.partition(".")[0]
        if what.level or top == "tidemark" or top in sys.stdlib_module_names:
            return False
        return find_module(what.module) is None

    # -- names

    def resolve(self, use: Reference, seen: frozenset[Name] = frozenset()) -> Target | None:
        """Return what a use of a name leads to, with the attributes that are left; None for a builtin."""
        if isinstance(use.base, Imported):
            return self._resolve_import(use.base, None, use.attributes, seen)
        what = self.imports.get(use.base)
        if what is not None:
            return self._resolve_import(what, self.namespace.get(use.base), use.attributes, seen)
        injected = use.base in self.namespace and not use.base.startswith("__") and use.base not in vars(builtins)
        if use.base in self.definitions or injected:
            return Name(self, use.base), use.attributes
        return None

    def _resolve_import(
        self, what: Imported, live: object, attributes: tuple[str, ...], seen: frozenset[Name]
    ) -> Target | None:
        path = self._absolute(what)
        if path is None:
            return None
        module = self._imported_module(path, what, live)
        if what.name == "*":
            return (Whole(module) if module else External(path)), ()
        attributes = attributes if what.name is None else (what.name, *attributes)
        if module is None:
            return External(".".join((path, *attributes))), ()
        while attributes:
            name = Name(module, attributes[0])
            if name not in seen and (name.name in module.definitions or name.name in module.imports):
                return module.resolve(Reference(name.name, attributes[1:]), seen | {name})
            below = module.below(name.name)
            if below is None:
                break
            module, attributes = below, attributes[1:]
        return Whole(module), attributes

    def _absolute(self, what: Imported) -> str | None:
        if not what.level:
            return what.module
        package = self.namespace.get("__package__") or (self.name if self.is_package else self.name.rpartition(".")[0])
        try:
            return importlib.util.resolve_name("." * what.level + what.module, package)
        except ImportError:
            return None

    def _imported_module(self, path: str, what: Imported, live: object) -> "Module | None":
        """Return the first-party module of an import, preferring what was bound to what now goes by that name.

        In one process the same name can have stood for two versions of a bundle, one after the other.
        """
        if what.name is None and isinstance(live, ModuleType):
            return module_of(live.__dict__) if is_first_party(live.__dict__) else None
        module = find_module(path)
        if module is None or what.name is None or live is None or module.namespace.get(what.name) is live:
            return module
        for home in (*captured(path), getattr(live, "__globals__", {})):
            if home.get("__name__") == path and home.get(what.name) is live:
                return module_of(home)
        return module

    @cached_property
    def loads_at_import(self) -> list["Module"]:
        """The first-party modules that are loaded when this one is, the packages around it first."""
        return list(dict.fromkeys(self._imported()))

    def _imported(self) -> Iterator["Module"]:
        for statement in self.statements:
            for what, at_once in statement.scan.loads:
                if at_once and not _is_guard(statement.node):
                    names = [name for name, each in statement.binds.items() if each == what]
                    yield from self.modules_of(what, self.namespace.get(names[0]) if names else None)

    def modules_of(self, what: Imported, live: object = None) -> Iterator["Module"]:
        """Yield the first-party modules that an import loads, the packages around them first.

        Args:
            what: the import.
            live: what it has bound, which tells of which version of a bundle the module is.

        """
        path = self._absolute(what)
        if path is None:
            return
        parts = path.split(".")
        module = None
        for end in range(len(parts)):
            last = end + 1 == len(parts)
            name = ".".join(parts[: end + 1])
            module = self._imported_module(name, what, live) if last else find_module(name)
            if module is not None:
                yield module
        if isinstance(live, ModuleType) and what.name is not None:
            if is_first_party(live.__dict__):
                yield module_of(live.__dict__)
            return
        below = module.below(what.name) if module is not None and what.name is not None else None
        if below is not None:
            yield below

    def below(self, name: str) -> "Module | None":
        """Return the module of a name inside this one, if this is a package and has one."""
        if not self.is_package or name in self.definitions or name in self.imports:
            return None
        live = self.namespace.get(name)
        if isinstance(live, ModuleType) and is_first_party(live.__dict__):
            return module_of(live.__dict__)  # by its name, another version of it may be meant by now
        return find_module(f"{self.name}.{name}")

    # -- loaded code

    def owns(self, code: CodeType) -> bool:
        """Return whether code was compiled from this module's text, not generated by a library."""
        if self.path is None:
            return not code.co_filename.startswith(("<string>", "<attrs"))
        return os.path.basename(code.co_filename) == os.path.basename(self.path)

    def locate(self, code: CodeType) -> Located:
        """Return where loaded code stands in the text.

        Raises:
            StaleError: if the text compiles to something else.

        """
        places = self._codes.get(code.co_qualname, [])
        same = [each for each in places if same_code(each[0], code)]
        if not same and is_rewritten_by_pytest(code):
            same = [each for each in places if each[0].co_firstlineno == code.co_firstlineno]
        if not same:
            raise StaleError(self, code.co_qualname)
        _, place = min(
            same, key=lambda each: (self._is_replaced(each[1]), each[0].co_firstlineno != code.co_firstlineno)
        )
        return place

    def _is_replaced(self, place: Located) -> bool:
        """Return whether a later cell has defined anew what stands there."""
        names = place.statement.binds
        return self.is_notebook and all(place.statement not in self.definitions[name] for name in names)

    @cached_property
    def _codes(self) -> dict[str, list[tuple[CodeType, Located]]]:
        """Each function that the text compiles to, by its qualified name."""
        found: dict[str, list[tuple[CodeType, Located]]] = {}
        for cell, tree in enumerate(self._trees):
            nodes: dict[tuple[int, str], list[Located]] = {}
            for statement in self.statements:
                if self._cells[statement.index] == cell:
                    for node in ast.walk(statement.node):
                        if isinstance(node, Function | ast.Lambda):
                            nodes.setdefault(_code_key(node), []).append(Located(statement, node))
            for code in self._compiled(tree):
                places = nodes.get((code.co_firstlineno, code.co_name))
                if places:
                    place = places[0] if len(places) == 1 else Located(places[0].statement, None)
                    found.setdefault(code.co_qualname, []).append((code, place))
        return found

    def _compiled(self, tree: ast.Module) -> Iterator[CodeType]:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if self.is_notebook else 0
        try:
            code = compile(tree, self.path or "<cell>", "exec", flags=flags, dont_inherit=True)
        except (SyntaxError, ValueError):
            return
        yield from inner_codes(code)


def _plain_imports(bound: Sequence[Mapping[str, Imported | None]]) -> dict[str, Imported]:
    """Return the names that are bound to one import and nothing else."""
    every: dict[str, set[Imported | None]] = {}
    for binds in bound:
        for name, what in binds.items():
            every.setdefault(name, set()).add(what)
    return {name: what for name, whats in every.items() for what in whats if what is not None and len(whats) == 1}


_IS_SCRIPT = ("__name__ == '__main__'", "'__main__' == __name__")


def _is_guard(node: ast.stmt) -> bool:
    """Return whether a statement runs only where no pipeline does: in a script, or in a type checker.

    One with an ``else`` does not: that part runs everywhere else.
    """
    if not isinstance(node, ast.If) or node.orelse:
        return False
    test = node.test
    if isinstance(test, ast.Compare):
        return ast.unparse(test) in _IS_SCRIPT
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _is_container(statement: Statement) -> bool:
    """Return whether a statement defines something on which a change acts no further than itself."""
    node = statement.node
    if isinstance(node, Definition):
        return True
    value = getattr(node, "value", None)
    if isinstance(value, ast.Call):
        return (getattr(value.func, "id", None) or getattr(value.func, "attr", None)) in _CONTAINERS
    return isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(value, _DISPLAYS)


def _code_key(node: Function | ast.Lambda) -> tuple[int, str]:
    """Return the line and the name that the code object of a function has."""
    if isinstance(node, ast.Lambda):
        return node.lineno, "<lambda>"
    return min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.name


# -- which modules there are

_modules: dict[int, Module] = {}
_unloaded: dict[tuple[str, tuple[int, int] | None], Module] = {}


def module_of(namespace: dict[str, Any]) -> Module:
    """Return the first-party module of a namespace; its text is captured when it is first asked for.

    Raises:
        DefinitionError: if the text cannot be read or parsed.

    """
    known = _modules.get(id(namespace))
    file = namespace.get("__file__")
    path = file if isinstance(file, str) else None
    if known is not None and (path is not None or known.text.cells == cells_of(namespace)):
        return known
    text = Text(cells_of(namespace)) if path is None else text_of(path, namespace)
    name = str(namespace.get("__name__", "__main__"))
    module = _modules[id(namespace)] = Module(name, path, namespace, text)
    return module


def find_module(name: str) -> Module | None:
    """Return the first-party module that a full name stands for, loaded or not; None if there is none of that name."""
    loaded = sys.modules.get(name)
    if isinstance(loaded, ModuleType):
        namespace: dict[str, Any] = object.__getattribute__(loaded, "__dict__")  # a lazy module would import itself
        return module_of(namespace) if is_first_party(namespace) else None
    spec = _find_spec(name)
    if spec is None:
        return None
    path = spec.origin if spec.has_location else None
    place = path or next(iter(spec.submodule_search_locations or ()), None)
    if place is None or not first_party(place):
        return None
    return _unloaded_module(name, place, path, spec.loader)


def import_closure(modules: Iterable[Module]) -> list[Module]:
    """Return modules and all first-party ones that are loaded once these are, in the order of the imports."""
    growing = list(dict.fromkeys(modules))
    found = set(growing)
    for module in growing:
        new = [each for each in module.loads_at_import if each not in found]
        found.update(new)
        growing.extend(new)
    return growing


def modules_around(module: Module) -> list[Module]:
    """Return the first-party modules in the folder of a module and below it: what it may import by a computed name."""
    if module.path is None:
        return []
    loaded = {
        os.path.realpath(file): vars(each)
        for each in list(sys.modules.values())
        if type(each) is ModuleType and isinstance(file := vars(each).get("__file__"), str) and first_party(file)
    }
    found: list[Module] = []
    folder = Path(os.path.realpath(module.path)).parent
    for file in sorted(folder.rglob("*.py")):
        path = str(file)
        if first_party(path) and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            with contextlib.suppress(DefinitionError):  # what cannot be parsed cannot be imported
                found.append(module_of(loaded[path]) if path in loaded else _unloaded_module(file.stem, path, path))
    return found


def _unloaded_module(name: str, place: str, path: str | None, loader: object = None) -> Module:
    key = (place, file_token(path))
    if key not in _unloaded:
        text = read(path, name, {"__loader__": loader}) if path is not None else Text(())
        _unloaded[key] = Module(name, path, None, text)
    return _unloaded[key]


def _find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return what importing a name would load, without importing anything."""
    folders: Sequence[str] | None = None
    spec = None
    parts = name.split(".")
    for end in range(len(parts)):
        try:
            spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: end + 1]), folders)
        except (ImportError, ValueError):
            return None
        if spec is None or (end + 1 < len(parts) and spec.submodule_search_locations is None):
            return None
        folders = spec.submodule_search_locations
    return spec


def recapture(module: Module) -> None:
    """Forget the captured text of a module, and all that was derived from any."""
    forget(module.namespace)
    _modules.clear()
    _unloaded.clear()


def roots() -> list[str]:
    """Return the folders that modules are imported from."""
    return [os.path.realpath(each) for each in sys.path]
