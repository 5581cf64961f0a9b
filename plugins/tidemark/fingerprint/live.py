"""Loaded objects: which first-party code hangs on them, and what they hold.

The text tells most; loaded objects tell the rest: what a closure holds, what a registry was filled with, what a name
was bound to afterwards. Every loaded first-party function that is met is looked up in the captured text, and refused
if it is not there.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType, SimpleNamespace

from tidemark.errors import DefinitionError
from tidemark.fingerprint.forms import Nested, form_of
from tidemark.fingerprint.modules import Located, Module, Name, Statement, Whole, module_of
from tidemark.fingerprint.places import is_first_party
from tidemark.fingerprint.syntax import words_in
from tidemark.fingerprint.texts import captured
from tidemark.hashing import canonical

_SCALARS = frozenset({type(None), bool, int, float, complex, bytes, Decimal, datetime, date, timedelta})
_SEQUENCES = frozenset({list, tuple})
_SETS = frozenset({set, frozenset})

Found = Statement | Whole | Name | Nested


def plain(value: object, homes: Sequence[Module] = ()) -> bytes:
    """Encode a value made of numbers, text, dates, paths and sequences, sets and dictionaries of these, in their order.

    Args:
        value: what to encode.
        homes: modules from whose own place the value may be worked out: the folders around them are left out of it.

    Raises:
        TypeError: for anything else; a subclass counts as something else.

    """
    kind = type(value)
    if kind in _SCALARS:
        return canonical(value)
    if isinstance(value, str) and kind is str:
        return canonical(without_places(value, homes))
    if isinstance(value, PurePath):
        return b"path" + canonical(without_places(str(value), homes))
    if kind in _SEQUENCES:
        return canonical([plain(item, homes) for item in value])  # type: ignore[attr-defined]
    if kind in _SETS:
        return canonical({plain(item, homes) for item in value})  # type: ignore[attr-defined]
    if isinstance(value, dict) and kind is dict:
        # A dictionary's order can become that of columns.
        return b"dict" + canonical([(plain(key, homes), plain(item, homes)) for key, item in value.items()])
    raise TypeError(f"{kind.__name__} is no plain value")


_DEEPEST = 5  # of objects in objects: no settings are deeper, and what holds itself has an end


def held(value: object, depth: int = 0) -> list[object] | None:
    """Return the plain values that an object holds, each with its place there; None if it is no object that tells.

    Those tell that are not meant to change: containers, partials, namespaces, and dataclasses, tuples and enumerations
    of a class of ours. What any other object holds may depend on what ran before, or on where a package is installed.
    """
    if isinstance(value, partial):
        parts: list[tuple[object, object]] = [*enumerate(value.args), *value.keywords.items()]
    elif type(value) is dict:
        parts = list(value.items())
    elif type(value) in _SEQUENCES or (isinstance(value, tuple) and _home_of(type(value)) is not None):
        parts = list(enumerate(value))  # type: ignore[arg-type]
    elif type(value) is SimpleNamespace or _is_our_record(value):
        parts = [("", value.value)] if isinstance(value, Enum) else list(getattr(value, "__dict__", {}).items())
    else:
        return None
    return [[key, leaf] for key, each in parts if _is_plain(key) and (leaf := _leaf(each, depth)) is not None]


def _is_our_record(value: object) -> bool:
    if isinstance(value, type) or not (is_dataclass(value) or isinstance(value, Enum)):
        return False
    return _home_of(type(value)) is not None


def _leaf(value: object, depth: int) -> object:
    if _is_plain(value):
        return value
    return held(value, depth + 1) or None if depth < _DEEPEST else None


def _is_plain(value: object) -> bool:
    try:
        plain(value)
    except TypeError:
        return False
    return True


def words_of(value: object) -> Iterator[str]:
    """Yield every word of every text in a plain value."""
    if isinstance(value, str | bytes | PurePath):
        yield from words_in(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
    elif isinstance(value, dict):
        yield from words_of([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from words_of(each)


def without_places(text: str, homes: Sequence[Module]) -> str:
    """Replace in a text the folders around modules by their distance, which is the same wherever the code is put."""
    for module in homes if os.sep in text else ():
        for level, folder in enumerate(Path(os.path.abspath(module.path or os.sep)).parents):
            if len(folder.parts) > 1:
                text = f"<{level}>" if text == str(folder) else text.replace(f"{folder}{os.sep}", f"<{level}>{os.sep}")
    return text


def code_behind(value: object) -> Iterator[Statement | Whole]:
    """Yield the first-party code that hangs on a loaded object: in containers, wrappers, closures, instances.

    Raises:
        StaleError: if a function is not in the captured text of its module.

    """
    seen: set[int] = set()
    pending = [value]
    while pending:
        each = pending.pop()
        if type(each) in _SCALARS or type(each) is str or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, FunctionType):
            located = located_function(each)
            if located is not None:
                yield located.statement
        elif isinstance(each, type):
            yield from _class_statements(each)
        elif isinstance(each, ModuleType) and is_first_party(each.__dict__):
            yield Whole(module_of(each.__dict__))
        pending.extend(reversed(_held_by(each)))


def located_function(function: FunctionType) -> Located | None:
    """Return where a first-party function stands in its module's text; None if it is not ours or was generated."""
    if not is_first_party(function.__globals__):
        return None
    module = module_of(function.__globals__)
    return module.locate(function.__code__) if module.owns(function.__code__) else None


def _held_by(value: object) -> list[object]:
    """Return the objects behind a loaded object in which code may be found."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, FunctionType):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        return [*cells, value.__dict__.get("__wrapped__")]
    if isinstance(value, type):
        return list(vars(value).values()) if _home_of(value) is not None else []
    return _held_by_instance(value)


def _held_by_instance(value: object) -> list[object]:
    held = getattr(value, "__dict__", None)
    if isinstance(value, ModuleType) or not isinstance(held, dict):
        return []
    if _home_of(type(value)) is not None:
        return [type(value), *held.values()]
    # What wraps a function for a library: functools.cache, staticmethod, numba.
    return [held.get("__wrapped__"), held.get("func")]


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # still empty: the function around has not come to bind it
        return None


def _home_of(kind: type) -> Module | None:
    """Return the first-party module of a class, or None."""
    for member in vars(kind).values():
        function = getattr(member, "__func__", member)
        # A library that makes methods for the class, as dataclasses does, gives some of them globals of its own.
        if isinstance(function, FunctionType) and function.__qualname__.startswith(f"{kind.__qualname__}."):
            names = function.__globals__
            if names.get("__name__") == kind.__module__ and is_first_party(names):
                return module_of(names)
    for names in captured(kind.__module__):  # by its name, another version of the module may be meant by now
        if names.get(kind.__qualname__) is kind:
            return module_of(names)
    home = sys.modules.get(kind.__module__)
    if home is None or not is_first_party(home.__dict__):
        return None
    return module_of(home.__dict__)


def _class_statements(kind: type) -> list[Statement]:
    module = _home_of(kind)
    return module.definitions.get(kind.__qualname__.partition(".")[0], []) if module is not None else []


class Encoder:
    """Writes down a loaded object: what is plain as it is, code as a number of an entry in ``code``.

    Attributes:
        parts: the encoding so far.
        code: the first-party code that the object holds, in the order in which it was met.
        externals: full names of what it holds from elsewhere.
        modules: first-party modules that the object's functions come from.
        words: every word of the texts that it holds.

    """

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.parts: list[bytes] = []
        self.code: dict[Found, int] = {}
        self.externals: set[str] = set()
        self.modules: dict[Module, None] = {}
        self._known: dict[int, tuple[int, object]] = {}  # the objects are kept, so that no id is used twice

    @property
    def holds_values(self) -> bool:
        """Whether anything but code was written."""
        return any(part.startswith(b"P") for part in self.parts)

    def write(self, value: object, where: str) -> None:
        """Add a value.

        Args:
            value: the value.
            where: what holds it, for the message.

        Raises:
            DefinitionError: if its content cannot be told.
            StaleError: if a function is not in the captured text of its module.

        """
        try:
            self.parts.append(b"P" + plain(value, list(self.modules)))
            self.words.update(words_of(value))
        except TypeError:
            known = self._known.get(id(value))
            if known is not None:
                self.parts.append(b"K" + canonical(known[0]))
                return
            self._known[id(value)] = len(self._known), value
            self._write_composed(value, where)

    def _write_composed(self, value: object, where: str) -> None:
        if isinstance(value, FunctionType):
            self._write_function(value, where)
        elif isinstance(value, type):
            self._write_class(value)
        elif isinstance(value, ModuleType):
            self._write_module(value)
        elif isinstance(value, MethodType):
            self._write_all(b"M", [value.__func__, value.__self__], where)
        elif isinstance(value, BuiltinFunctionType) and not hasattr(value.__self__, "__dict__"):
            self._write_all(b"B", [value.__name__, value.__self__], where)
        elif type(value) in _SEQUENCES:
            self._write_all(b"L", list(value), where)  # type: ignore[call-overload]
        elif type(value) is dict:
            self._write_all(b"D", [each for pair in value.items() for each in pair], where)
        elif type(value) in _SETS:
            self._write_all(b"E", sorted(value, key=_order), where)  # type: ignore[call-overload]
        else:
            self._write_object(value, where)

    def _write_all(self, tag: bytes, values: Sequence[object], where: str) -> None:
        self.parts.append(tag + canonical(len(values)))
        for each in values:
            self.write(each, where)

    def _write_code(self, tag: bytes, code: Found) -> None:
        self.parts.append(tag + canonical(self.code.setdefault(code, len(self.code))))

    def _write_external(self, path: str) -> None:
        self.externals.add(path)
        self.parts.append(b"X" + canonical(path))

    def _write_module(self, module: ModuleType) -> None:
        if is_first_party(module.__dict__):
            self._write_code(b"W", Whole(module_of(module.__dict__)))
        else:
            self._write_external(module.__name__)

    def _write_class(self, kind: type) -> None:
        statements = _class_statements(kind)
        if not statements:
            self._write_external(f"{kind.__module__}.{kind.__qualname__}")
        for statement in statements:
            self._write_code(b"C", statement)

    def _write_function(self, function: FunctionType, where: str) -> None:
        if not is_first_party(function.__globals__):
            self._write_external(f"{function.__module__}.{function.__qualname__}")
            self._write_all(b"O", _held_by(function), where)
            return
        module = module_of(function.__globals__)
        self.modules.setdefault(module)
        located = located_function(function)
        if located is None:
            raise DefinitionError(
                f"{where}: {function.__qualname__}() has no source text ({function.__code__.co_filename}), so a change "
                "to it could not be noticed: define it in a file or in a notebook's cell"
            )
        inside = f"{where}: {function.__qualname__}()"
        self._write_all(b"O", self._write_text_of(function, located), inside)
        if located.node is not located.statement.node:
            # Worked out where no statement of the module tells, by a loop or by the function around.
            self.write(list(function.__defaults__ or ()), inside)
            self.write(dict(function.__kwdefaults__ or {}), inside)

    def _write_text_of(self, function: FunctionType, located: Located) -> list[object]:
        """Write the code of a function, and return what its closure holds."""
        code, module = function.__code__, located.statement.module
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        if "<locals>" in code.co_qualname and located.node is not None:
            nested = Nested(module, located.node, code.co_freevars, f"{module.label}.{code.co_qualname}")
            self._write_code(b"F", nested)
            changed = form_of(nested).changes & cells.keys()
            if changed:
                # A cache or a counter: what it holds depends on what ran before, so the text around it has to tell.
                self._write_code(b"F", located.statement)
                cells = {name: cell for name, cell in cells.items() if name not in changed}
        else:
            binds = list(located.statement.binds)
            named = len(binds) == 1 and binds[0] not in module.imports
            self._write_code(b"F", Name(module, binds[0]) if named else located.statement)
        return [_content(cell) for cell in cells.values()]

    def _write_object(self, value: object, where: str) -> None:
        wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
        if wrapped is not None:
            self._write_all(b"A", [type(value), wrapped], where)
            return
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise DefinitionError(
                f"{where} holds a {type(value).__qualname__}, whose content cannot be told apart from another's "
                f"({error}), so a change to it could not be noticed: hold numbers, text, or lists of these, or make "
                "it inside the function"
            ) from error
        if isinstance(reduced, str):
            self._write_external(f"{getattr(value, '__module__', '')}.{reduced}")
            return
        made_by, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        inside = f"{where}: {type(value).__qualname__}"
        self._write_all(b"R", [made_by, arguments, state, list(items or ()), list(pairs or ())], inside)


def _order(value: object) -> str:
    return str(getattr(value, "__qualname__", value))
