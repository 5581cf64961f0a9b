"""What the grammar alone tells about a statement: the names it takes from outside, its own, and what it changes.

Invariant: scopes are resolved as the compiler does it: a parameter that shares its name with something of the module is
no reference to that.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_NAMED: Any = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_VARIABLES = (ast.Name, ast.MatchMapping, *_NAMED)
_NAMED += tuple(getattr(ast, name) for name in ("TypeVar", "ParamSpec", "TypeVarTuple") if hasattr(ast, name))
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

# What these reach cannot be read off the text.
_BY_NAME = frozenset({"getattr", "setattr", "delattr"})
_UNCLEAR_NAMES = _BY_NAME | {"exec", "eval", "compile", "globals", "locals", "vars", "__import__", "__builtins__"}
_UNCLEAR_ATTRIBUTES = frozenset({"__subclasses__", "__globals__", "__builtins__", "f_globals", "f_back"})

# Methods that change the object they are called on.
_CHANGING = frozenset({"append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault"})
_CHANGING |= {"pop", "popitem", "remove", "discard", "clear", "sort", "reverse", "register"}

# DuckDB, polars and pandas look up names inside the text that is given to these among the caller's variables.
_QUERYING = frozenset({"sql", "query", "eval", "execute"})
_WORD = re.compile(r"[^\W\d]\w*")

# Code that speaks of these can see what the local variables of the functions around or above it are called.
_SEEING_NAMES = frozenset({"dir", "breakpoint", "NameError", "UnboundLocalError", "_getframe", "_current_frames"})
_SEEING_NAMES |= {"currentframe", "settrace", "setprofile", "f_locals", "tb_frame", "gi_frame", "cr_frame", "ag_frame"}
_SEEING_NAMES |= {"__traceback__", "__code__", "__closure__", "co_varnames", "co_freevars", "co_cellvars", "__doc__"}


def words_in(text: str) -> list[str]:
    """Return whatever in a text could be a variable's name."""
    return _WORD.findall(text)


@dataclass(frozen=True)
class Imported:
    """What a name stands for after an import: a module, or something taken out of one.

    Attributes:
        module: the module's name as written, without leading dots.
        level: how many leading dots there are.
        name: what is taken out of the module; None for the module itself.

    """

    module: str
    level: int = 0
    name: str | None = None


@dataclass(frozen=True)
class Reference:
    """A use of something from outside: a name of the module or a local import, and the attributes that follow it."""

    base: str | Imported
    attributes: tuple[str, ...] = ()


@dataclass(eq=False)
class Local:
    """A local variable of a function or a comprehension, which may be called anything.

    No parameter is one, as callers name it; nor is a name that the grammar binds and a result can show: that of a
    function or class, of an import, or of what ``nonlocal`` declares.

    Attributes:
        name: what it is called.
        kept: its name counts all the same.

    """

    name: str
    kept: bool = False


@dataclass
class _Scope:
    bound: dict[str, Imported | None] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)  # declared global
    around: set[str] = field(default_factory=set)  # declared nonlocal
    is_class: bool = False
    named: set[str] = field(default_factory=set)  # bound by what shows their name
    locals: dict[str, Local] = field(default_factory=dict)

    def bind(self, name: str, what: Imported | None = None, *, named: bool = False) -> None:
        """Bind a name; one that is bound to different things is an import no longer."""
        self.bound[name] = what if self.bound.get(name, what) == what else None
        if named:
            self.named.add(name)

    def local(self, name: str) -> Local | None:
        """Return the local variable of a name that is bound here, or None if the name itself counts."""
        if self.is_class or name in self.named:
            return None
        return self.locals.setdefault(name, Local(name))

    def collect(self, nodes: Iterable[ast.AST]) -> "_Scope":
        """Bind what the nodes bind in their own scope."""
        for node in nodes:
            self._collect(node)
        return self

    def _collect(self, node: ast.AST) -> None:
        if isinstance(node, Definition):
            self.bind(node.name, named=True)
        elif isinstance(node, Comprehension):
            self.collect(each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                self.bind(bound_name(alias), binding(node, alias), named=True)
        elif isinstance(node, ast.Global):
            self.outer.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            self.around.update(node.names)
        elif not isinstance(node, ast.Lambda):
            for name in _names_bound_by(node):
                self.bind(name, named=not isinstance(node, _VARIABLES))
            self.collect(ast.iter_child_nodes(node))


def _names_bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, _NAMED):
        if node.name is not None:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        yield node.rest
    elif isinstance(node, ast.arg):
        yield node.arg


def bindings(node: ast.stmt) -> dict[str, Imported | None]:
    """Return the names that a module's statement binds when it runs, each with what it imports or None."""
    return _Scope().collect([node]).bound


def bound_name(alias: ast.alias) -> str:
    """Return the name that an import binds: ``import a.b`` binds ``a``."""
    return alias.asname or alias.name.partition(".")[0]


def binding(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Imported:
    """Return what the bound name of an import stands for."""
    if isinstance(node, ast.ImportFrom):
        return Imported(node.module or "", node.level, alias.name)
    return Imported(alias.name if alias.asname else alias.name.partition(".")[0])


def chain(node: ast.expr) -> tuple[ast.Name, tuple[str, ...]] | None:
    """Take ``a.b.c`` apart into its name and attributes; None if there is anything but a name at its root."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node, tuple(reversed(attributes))) if isinstance(node, ast.Name) else None


def _root(node: ast.expr, through_calls: bool = True) -> ast.expr:
    """Return what an expression such as ``a.b[0].c()`` starts from."""
    while True:
        if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
            node = node.value
        elif through_calls and isinstance(node, ast.Call):
            node = node.func
        else:
            return node


@dataclass
class Scan:
    """What one statement, or one nested function, has to do with the world around it.

    Attributes:
        references: use of something from outside, by ``id`` of the node that it would replace.
        others: uses that replace no node: names inside SQL text, and names that a class body may take from the module.
        aliases: what each import inside the statement binds, and under which name, by ``id`` of the alias.
        hidden: ``id`` of aliases that need not be shown, because each use of the local name is a reference.
        dropped: ``id`` of decorators that are definitions, not code.
        loads: modules that the statement imports, each with whether it does so when the statement runs.
        executed: names of the module that are evaluated when the statement runs, not only inside function bodies.
        changed: names of the module, or of the functions around, that function bodies rebind or change in place.
        touched: names of the module on which the statement, when it runs, calls a method that changes them.
        acts: what the statement, when it runs, calls for its effect alone or stores into, with the attributes called;
            None where the root is no name.
        registrations: what it decorates with, where it runs.
        identifiers: every name and attribute that occurs.
        unclear: what it reaches cannot be read off its text.
        annotated: it holds annotations.
        locals: which local variable a node names, by ``id`` of the node.
        words: every word of every text in it but docstrings.
        sees_names: it may see what local variables are called.

    """

    references: dict[int, Reference] = field(default_factory=dict)
    others: dict[Reference, None] = field(default_factory=dict)
    aliases: dict[int, tuple[str, Imported]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    loads: list[tuple[Imported, bool]] = field(default_factory=list)
    executed: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    acts: list[Reference | None] = field(default_factory=list)
    registrations: list[Reference] = field(default_factory=list)
    identifiers: set[str] = field(default_factory=set)
    unclear: bool = False
    annotated: bool = False
    locals: dict[int, Local] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    sees_names: bool = False
    # Trees parsed from annotations that are text: kept, so that no other node gets their ids.
    parsed: list[ast.expr] = field(default_factory=list)


def scan(node: ast.AST, ours: Callable[[Reference], bool], free: Iterable[str] = ()) -> Scan:
    """Look through a statement of a module, or through a nested function with the names it takes from around it.

    Args:
        node: the statement or function.
        ours: tells of a decorator whether it is a definition, not code.
        free: names that are bound in the functions around.

    """
    scanner = _Scanner(node, ours, free)
    scanner.visit(node)
    found = scanner.found
    found.locals = {each: local for each, local in found.locals.items() if not local.kept}
    found.sees_names |= found.unclear or not _SEEING_NAMES.isdisjoint(found.identifiers)
    return found


class _Scanner(ast.NodeVisitor):
    """Walks a tree as the compiler would, with a stack of scopes."""

    def __init__(self, node: ast.AST, ours: Callable[[Reference], bool], free: Iterable[str]) -> None:
        self.found = Scan()
        self._ours = ours
        self._scopes = [_Scope(dict.fromkeys(free))]
        self._deferred = 0  # how many function bodies are around: these run later, the rest when the module is imported
        self._queries = any(isinstance(each, ast.Call) and _called_name(each) in _QUERYING for each in ast.walk(node))
        self.found.sees_names = self._queries
        self._annotating = False

    # -- scopes

    def _home(self, name: str) -> _Scope | None:
        """Return the scope that a name is bound in, or None if it is the module's."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if name in scope.outer:
                return None
            if name in scope.bound and (depth == 0 or not scope.is_class):
                return scope
        return None

    def _base(self, name: str) -> str | Imported | None:
        """Return the name if it is the module's, what it imports if a local import binds it, None if it is local."""
        home = self._home(name)
        return name if home is None else home.bound[name]

    def _note_local(self, node: ast.AST, name: str | None) -> None:
        """Note which local variable a node names, if it does."""
        home = self._home(name) if name is not None else None
        local = home.local(name) if home is not None and name is not None and home is not self._scopes[0] else None
        if local is not None:
            # An annotation may be kept as text.
            local.kept |= self._annotating
            self.found.locals[id(node)] = local

    def _reference(self, node: ast.expr) -> Reference | None:
        found = chain(node)
        base = self._base(found[0].id) if found else None
        return Reference(base, found[1]) if found and base is not None else None

    def _changes(self, node: ast.expr) -> None:
        """Note that the object behind an expression is changed in place."""
        root = _root(node)
        base = self._base(root.id) if isinstance(root, ast.Name) else None
        if self._deferred:
            if isinstance(base, str):
                self.found.changed.add(base)
            elif isinstance(root, ast.Name):
                self._changes_free(root.id)
        elif base is not None:
            self.found.acts.append(Reference(base, ("",)))
        elif not isinstance(root, ast.Name):
            self.found.acts.append(None)

    def _touches(self, node: ast.expr) -> None:
        """Note that a method which changes its object is called on an expression; a call's result is a new object."""
        root = _root(node, through_calls=False)
        base = self._base(root.id) if isinstance(root, ast.Name) else None
        if isinstance(base, str):
            (self.found.changed if self._deferred else self.found.touched).add(base)
        elif isinstance(root, ast.Name):
            self._changes_free(root.id)

    def _changes_free(self, name: str) -> None:
        """Note that a name is changed, if it is one of the functions around."""
        if name in self._scopes[0].bound and not any(name in scope.bound for scope in self._scopes[1:]):
            self.found.changed.add(name)

    # -- definitions

    def _decorators(self, node: Definition) -> None:
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            reference = self._reference(called)
            if reference is not None and self._ours(reference):
                self.found.dropped.add(id(decorator))
                continue
            if reference is not None and not self._deferred:
                self.found.registrations.append(reference)
            self.visit(decorator)

    def _function(self, node: Function | ast.Lambda, body: list[ast.AST]) -> None:
        arguments = node.args
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        for argument in every:
            self._annotation(argument.annotation)
        scope = _Scope().collect([*every, *getattr(node, "type_params", ()), *body])
        self.found.changed.update(scope.outer & scope.bound.keys())
        for name in scope.around:
            scope.bound.pop(name, None)
            self._changes_free(name)
            if (home := self._home(name)) is not None:
                home.named.add(name)
                home.locals.setdefault(name, Local(name)).kept = True
        self._scopes.append(scope)
        self._deferred += 1
        for each in (*getattr(node, "type_params", ()), *body):
            self.visit(each)
        self._deferred -= 1
        self._scopes.pop()

    def visit_FunctionDef(self, node: Function) -> None:
        self._decorators(node)
        self._annotation(node.returns)
        self._function(node, list(node.body))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._decorators(node)
        for each in (*node.bases, *node.keywords):
            self.visit(each)
        scope = _Scope(is_class=True).collect([*getattr(node, "type_params", ()), *node.body])
        self._scopes.append(scope)
        for statement in (*getattr(node, "type_params", ()), *node.body):
            self.visit(statement)
        self._scopes.pop()

    def _comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        self._scopes.append(_Scope().collect(each.target for each in node.generators))
        for generator in node.generators:
            self.visit(generator.target)
            if generator is not node.generators[0]:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self._scopes.pop()

    visit_ListComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self.found.identifiers.add("set")
        self._comprehension(node)

    def visit_Set(self, node: ast.Set) -> None:
        self.found.identifiers.add("set")
        self.generic_visit(node)

    # -- annotations

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        self.found.annotated = True
        around, self._annotating = self._annotating, True
        self.visit(node)
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                try:
                    parsed = ast.parse(each.value, mode="eval").body
                except (SyntaxError, ValueError):
                    continue
                self.found.parsed.append(parsed)
                self.visit(parsed)
        self._annotating = around

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    # -- uses

    def _use(self, node: ast.expr, reference: Reference) -> None:
        self.found.references[id(node)] = reference
        if isinstance(reference.base, str):
            if not self._deferred:
                self.found.executed.add(reference.base)
            self.found.unclear |= reference.base in _UNCLEAR_NAMES

    def visit_Name(self, node: ast.Name) -> None:
        self.found.identifiers.add(node.id)
        self._note_local(node, node.id)
        if not isinstance(node.ctx, ast.Load):
            return
        innermost = self._scopes[-1]
        base = self._base(node.id)
        if base is not None:
            self._use(node, Reference(base))
        elif innermost.is_class and node.id in innermost.bound:
            # A class body sees the module's name until it has bound its own.
            self.found.others[Reference(node.id)] = None

    def _variable(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        self._note_local(node, node.name)
        self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = _variable

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._note_local(node, node.rest)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.found.identifiers.add(node.attr)
        self.found.unclear |= node.attr in _UNCLEAR_ATTRIBUTES
        if not isinstance(node.ctx, ast.Load):
            self._changes(node)
        elif (reference := self._reference(node)) is not None:
            self.found.identifiers.update(reference.attributes)
            if isinstance(reference.base, str):
                self.found.identifiers.add(reference.base)
            self.found.unclear |= not _UNCLEAR_ATTRIBUTES.isdisjoint(reference.attributes)
            self._use(node, reference)
            return
        self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._changes(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called_name(node)
        if isinstance(node.func, ast.Attribute) and name in _CHANGING:
            self._touches(node.func.value)
        if name in _QUERYING and node.args:
            query = self._reference(node.args[0])
            self.found.unclear |= query is not None and isinstance(query.base, str)
        if isinstance(node.func, ast.Name) and name in _BY_NAME and self._base(name) == name:
            if name != "getattr" and node.args:
                self._changes(node.args[0])
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                self.found.identifiers.add(str(node.args[1].value))
                self.found.unclear |= node.args[1].value in _UNCLEAR_ATTRIBUTES
                for each in (*node.args, *node.keywords):
                    self.visit(each)
                return
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str):
            return
        words = words_in(node.value)
        self.found.words.update(words)
        if self._queries:
            for word in words:
                base = self._base(word)
                if base is not None:
                    self.found.others[Reference(base)] = None

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if not self._deferred:
            called = node.value.func if isinstance(node.value, ast.Call) else None
            reference = self._reference(called) if called is not None else None
            if reference is not None:
                self.found.acts.append(reference)
            elif called is not None:
                self._changes(called)
            else:
                self.found.acts.append(None)
        self.visit(node.value)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            what = binding(node, alias)
            self.found.aliases[id(alias)] = bound_name(alias), what
            if self._base(bound_name(alias)) == what and not self._scopes[-1].is_class:
                self.found.hidden.add(id(alias))
            whole = what if isinstance(node, ast.ImportFrom) else Imported(alias.name)
            self.found.loads.append((whole, not self._deferred))

    visit_Import = visit_ImportFrom = _import


def _called_name(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
