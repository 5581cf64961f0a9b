"""Rule 2 for local variables, on the standard library's code, with Python's own symbol table and compiler as oracles."""

import ast
import copy
import dis
import random
import symtable
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from tidemark.fingerprint.forms import form_of
from tidemark.fingerprint.modules import Module
from tidemark.fingerprint.texts import Text

LIBRARY = Path(ast.__file__).parent
FILES = ["calendar", "csv", "difflib", "fractions", "heapq", "textwrap"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def form(tree: ast.stmt) -> bytes:
    """Return the digest of the only statement of a file: what it says whatever its local variables are called."""
    return form_of(Module("m", "/nowhere/m.py", None, Text((ast.unparse(tree),))).statements[0]).digest


def definitions() -> Iterator[ast.stmt]:
    """Yield every function and class of some files of the standard library."""
    for name in FILES:
        for node in ast.parse((LIBRARY / f"{name}.py").read_text()).body:
            if isinstance(node, Function | ast.ClassDef):
                yield ast.parse(ast.unparse(node)).body[0]


def plain_locals(tree: ast.stmt) -> Iterator[tuple[int, set[str]]]:
    """Yield the line of each function in a statement, with those local variables that stand in it alone."""
    pending = [symtable.symtable(ast.unparse(tree), "m", "exec")]
    while pending:
        table = pending.pop()
        pending += table.get_children()
        if isinstance(table, symtable.Function) and table.get_name() not in (
            "lambda",
            "listcomp",
            "genexpr",
            "setcomp",
            "dictcomp",
        ):
            inner = {name for child in table.get_children() for name in child.get_identifiers()}
            yield (
                table.get_lineno(),
                {
                    each.get_name()
                    for each in table.get_symbols()
                    if each.is_local()
                    and not (each.is_parameter() or each.is_imported() or each.is_namespace() or each.is_annotated())
                    and each.get_name() not in inner
                },
            )


class Renamed(ast.NodeTransformer):
    """Renames a variable in a function, wherever the name stands in it."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.new, node.ctx) if node.id == self.old else node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = self.new if node.name == self.old else node.name
        return self.generic_visit(node)


@pytest.mark.slow
def test_a_local_variable_may_be_called_anything() -> None:
    """Each local variable, as Python's symbol table tells it, is renamed throughout its function: the form is the same."""
    count = 0
    for tree in definitions():
        before = form(tree)
        for line, names in plain_locals(tree):
            for name in sorted(names):
                other = copy.deepcopy(tree)
                for node in ast.walk(other):
                    if isinstance(node, Function) and line in (
                        node.lineno,
                        *(each.lineno for each in node.decorator_list),
                    ):
                        node.body = [Renamed(name, f"{name}_x").visit(each) for each in node.body]
                assert form(other) == before, f"{name}, line {line}:\n{ast.unparse(tree)}"
                count += 1
    print(count, "variables renamed")
    assert count > 300


def same_but_for_locals(one: CodeType, other: CodeType) -> bool:
    """Return whether two code objects do the same, though their local variables may have other names."""
    names: dict[object, object] = {}
    steps, others = list(dis.get_instructions(one)), list(dis.get_instructions(other))
    if (len(steps), one.co_varnames[: one.co_argcount]) != (len(others), other.co_varnames[: other.co_argcount]):
        return False
    for a, b in zip(steps, others, strict=True):
        if a.opcode != b.opcode:
            return False
        if isinstance(a.argval, CodeType) and isinstance(b.argval, CodeType):
            if not same_but_for_locals(a.argval, b.argval):
                return False
        elif a.opcode in dis.haslocal or a.opcode in dis.hasfree:
            if names.setdefault(a.argval, b.argval) != b.argval:
                return False
        elif repr(a.argval) != repr(b.argval):
            return False
    return len(set(names.values())) == len(names)


def code_of(tree: ast.stmt) -> CodeType | None:
    try:
        return compile(ast.unparse(tree), "m", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None


def renamed(tree: ast.stmt, chance: random.Random) -> ast.stmt:
    """Return a copy of a statement in which one name, at one place or at all, is another one of it or a new one."""
    other = copy.deepcopy(tree)
    names = [each for each in ast.walk(other) if isinstance(each, ast.Name)]
    old = chance.choice(names).id
    new = chance.choice([f"{old}_", *sorted({each.id for each in names})])
    places = [each for each in names if each.id == old]
    for each in [chance.choice(places)] if chance.random() < 0.5 else places:
        each.id = new
    return other


@pytest.mark.slow
def test_no_other_change_of_names_passes_for_that() -> None:
    """Where names are changed at random and the form is the same, the compiler makes the same of both."""
    chance = random.Random(2)
    trees = [each for each in definitions() if any(isinstance(node, ast.Name) for node in ast.walk(each))]
    told = same = 0
    while told + same < 500:
        tree = chance.choice(trees)
        other = renamed(tree, chance)
        before, after = code_of(tree), code_of(other)
        if before is None or after is None or ast.dump(tree) == ast.dump(other) or has_cells(before):
            continue
        if form(tree) != form(other):
            told += 1
            continue
        assert same_but_for_locals(before, after), f"{ast.unparse(tree)}\n\nis taken for\n\n{ast.unparse(other)}"
        same += 1
    print(told, "changes told,", same, "not")
    assert told > 300
    assert same > 20


def has_cells(code: CodeType) -> bool:
    """Return whether functions share variables: the compiler sorts these by their names."""
    return bool(code.co_cellvars) or any(isinstance(each, CodeType) and has_cells(each) for each in code.co_consts)


def test_the_oracle_knows_one_variable_from_another() -> None:
    """It is no test of nothing: names that changed places are something else, names that are new are not."""
    text = "def f(x):\n    a = x\n    b = {}\n    return a, b"
    codes = [compile(text.format(b), "m", "exec") for b in ("x", "a")]
    assert not same_but_for_locals(*codes)
    assert same_but_for_locals(codes[1], compile(text.format("a").replace("a", "c"), "m", "exec"))
