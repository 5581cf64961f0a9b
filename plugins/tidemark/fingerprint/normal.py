"""The normal form of a syntax tree: what the code says, without how it is written.

Invariants: two trees have the same normal form exactly if they differ in nothing but comments, layout, docstrings,
positions and the names of locals, given that the nodes replaced in both stand for the same things. It is the same for
every Python version that parses the text.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemark.fingerprint.syntax import Local
from tidemark.hashing import canonical

_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})

# The field in which a node that is no ast.Name holds the name that it binds.
_BINDING_FIELDS = {"ExceptHandler": "name", "MatchAs": "name", "MatchStar": "name", "MatchMapping": "rest"}


def normal_form(
    node: ast.AST, replaced: Mapping[int, bytes], locals_: Mapping[int, Local], keep_docstrings: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Encode a syntax tree without what does not count.

    Args:
        node: the tree.
        replaced: what to write in place of some nodes, by their ``id``.
        locals_: which local variable a node names, by its ``id``.
        keep_docstrings: whether docstrings count.

    Returns:
        The encoding, with numbers for the local variables, and the name that each number stands for.

    """
    writer = _Writer(replaced, locals_, keep_docstrings)
    writer.write(node)
    return b"".join(writer.out), tuple(each.name for each in writer.numbers)


@dataclass
class _Writer:
    replaced: Mapping[int, bytes]
    locals_: Mapping[int, Local]
    keep_docstrings: bool
    out: list[bytes] = field(default_factory=list)
    numbers: dict[Local, int] = field(default_factory=dict)  # in the order in which the tree names them

    def write(self, node: object) -> None:
        """Add a node, or what a field of one holds."""
        if not isinstance(node, ast.AST):
            self.out.append(b"..." if node is ... else canonical(node))
            return
        replacement = self.replaced.get(id(node))
        if replacement is not None:
            self.out.append(replacement)
        elif isinstance(node, ast.Constant):
            self.write(node.value)
        elif isinstance(node, ast.Name) and id(node) in self.locals_:
            self._write_local(self.locals_[id(node)])
        elif not isinstance(node, ast.Expr) or self.keep_docstrings or not isinstance(node.value, ast.Constant):
            self._write_node(node)

    def _write_node(self, node: ast.AST) -> None:
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        self.out.append(b"(Import" if imports else f"({type(node).__name__}".encode())
        for name in ("names",) if imports else node._fields:
            if name in _SKIPPED_FIELDS:
                continue
            if name == _BINDING_FIELDS.get(type(node).__name__) and id(node) in self.locals_:
                self.out.append(f" {name}=".encode())
                self._write_local(self.locals_[id(node)])
                continue
            value = getattr(node, name, None)
            if isinstance(node, ast.JoinedStr):
                # Python 3.12 closes some formats with an empty text.
                value = [each for each in node.values if getattr(each, "value", None) != ""]
            self._write_field(name, value)
        self.out.append(b")")

    def _write_local(self, local: Local) -> None:
        self.out.append(b"$" + canonical(self.numbers.setdefault(local, len(self.numbers))))

    def _write_field(self, name: str, value: object) -> None:
        if value is None:
            return
        start = len(self.out)
        self.out.append(f" {name}=".encode())
        if isinstance(value, list):
            for item in value:
                if item is None:
                    self.out.append(b"_")
                else:
                    self.write(item)
            if not any(self.out[start + 1 :]):
                del self.out[start:]
        else:
            self.write(value)
