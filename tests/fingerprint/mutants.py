"""Mutants of Python text: each differs in one place, found from the grammar, in what it says and not only in how."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

# Fields that say nothing by themselves, or that the rest of the node decides.
_PASSED_OVER = frozenset({"ctx", "kind", "type_comment", "type_ignores", "simple", "is_async", "level"})

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.operator: (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.BitXor),
    ast.unaryop: (ast.Not, ast.USub, ast.Invert),
    ast.boolop: (ast.And, ast.Or),
    ast.cmpop: (ast.Eq, ast.Lt, ast.GtE, ast.NotIn, ast.Is),
}


@dataclass(frozen=True)
class Mutant:
    """A text with one change.

    Attributes:
        text: the whole text.
        statement: index of the statement of the module that it is in.
        kinds: which kinds of nodes were changed: the one that has another part now, and that part.
        what: what was done, for people.
        decorator: it is inside the decorator that makes a function an asset.

    """

    text: str
    statement: int
    kinds: frozenset[str]
    what: str
    decorator: bool


def mutants_of(text: str) -> Iterator[Mutant]:
    """Yield the mutants of a text that compile: for each statement of the module, one of each kind of change.

    Each expression is replaced by a number, each operator by another, each name by another name, each constant by
    another constant; each statement, case, handler, base, argument and so on is taken out; branches change places.
    """
    tree = ast.parse(text)
    names = sorted({each.id for each in ast.walk(tree) if isinstance(each, ast.Name)})
    for index, statement in enumerate(tree.body):
        without = _text_of(ast.Module([*tree.body[:index], *tree.body[index + 1 :]], []))
        if without is not None and not _says_nothing(statement):
            kinds = frozenset({type(statement).__name__})
            yield Mutant(without, index, kinds, f"line {statement.lineno} goes", False)
        done = set()
        for node, decorator in _nodes(statement, False):
            for change in _mutate(node, names):
                mutated = _text_of(tree) if change not in done else None
                if mutated is not None:
                    done.add(change)
                    where = f"line {getattr(node, 'lineno', statement.lineno)}"
                    kinds = frozenset({type(node).__name__, change[1]})
                    yield Mutant(mutated, index, kinds, f"{where}: {' '.join(change)}", decorator)


def _says_nothing(node: object) -> bool:
    """Return whether a node is a docstring, or a constant on a line of its own."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text_of(tree: ast.Module) -> str | None:
    """Return the text of a tree, or None if there is none that says just that and compiles."""
    try:
        text = ast.unparse(tree)
        compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return text if ast.dump(ast.parse(text)) == ast.dump(tree) else None


def _nodes(node: ast.AST, decorator: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield a node and all below it but docstrings, each with whether it is in the decorator of an asset."""
    if _says_nothing(node):
        return
    yield node, decorator
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child, decorator or _is_definition(child))


def _is_definition(node: object) -> bool:
    """Return whether a node is the decorator that makes a function an asset."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "asset"


Change = tuple[str, str, str]
"""The field in which a node is changed, the kind of what was there, and what was done to it."""


def _mutate(node: ast.AST, names: list[str]) -> Iterator[Change]:
    """Change a node in place in one way after the other; at each yield it is changed, afterwards it is as it was."""
    for name, value in list(ast.iter_fields(node)):
        if name in _PASSED_OVER:
            continue
        if isinstance(value, list):
            yield from _mutate_list(node, name, value, names)
        else:
            for other in _instead_of(node, name, value, names):
                setattr(node, name, other)
                yield f"{type(node).__name__}.{name}", type(value).__name__, "is another"
                setattr(node, name, value)
    if isinstance(node, ast.If | ast.IfExp) and node.orelse:
        node.body, node.orelse = node.orelse, node.body  # type: ignore[assignment]
        yield type(node).__name__, "", "has its branches the other way round"
        node.body, node.orelse = node.orelse, node.body  # type: ignore[assignment]


def _mutate_list(node: ast.AST, name: str, items: list[object], names: list[str]) -> Iterator[Change]:
    for at, item in enumerate(list(items)):
        if _says_nothing(item) or _is_definition(item):
            continue
        what = f"{type(node).__name__}.{name}[]", type(item).__name__
        for other in _instead_of(node, name, item, names):
            items[at] = other
            yield *what, "is another"
            items[at] = item
        # A body is not left empty.
        left = [ast.Pass()] if isinstance(item, ast.stmt) and len(items) == 1 else []
        items[at : at + 1] = left
        yield *what, "goes"
        items[at : at + len(left)] = [item]


def _instead_of(node: ast.AST, name: str, value: object, names: list[str]) -> Iterator[object]:
    """Yield what may stand in place of what a field holds."""
    if isinstance(node, ast.Constant):
        yield _other_constant(value)
    elif isinstance(node, ast.Name) and name == "id":
        yield names[names.index(node.id) - 1]
    elif isinstance(value, str):
        yield f"{value}_x"
    elif isinstance(value, ast.expr):
        yield ast.Constant(97531)
    elif isinstance(value, ast.pattern):
        yield ast.MatchValue(ast.Constant(97531))
    elif isinstance(value, ast.AST):
        for kind, instead in _OPERATORS.items():
            if isinstance(value, kind):
                yield next(each for each in instead if not isinstance(value, each))()
    elif name == "conversion":
        yield ord("a") if value == -1 else -1


def _other_constant(value: object) -> object:
    if value is None or value is ...:
        return 0
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return value + b"x"
    return f"{value}x" if isinstance(value, str) else value + 1  # type: ignore[operator]


def kinds_in(text: str) -> set[str]:
    """Return the kinds of nodes in a text, but those that say only how another is used."""
    return {
        type(each).__name__ for each in ast.walk(ast.parse(text)) if not isinstance(each, ast.expr_context | ast.mod)
    }


def names_bound(node: ast.AST) -> set[str]:
    """Return the names that a statement of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.alias):
        return {node.asname or node.name}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return {name for child in ast.iter_child_nodes(node) for name in names_bound(child)}
