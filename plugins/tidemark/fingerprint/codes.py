"""Whether two code objects do the same: the one that is loaded, and the one that the captured text compiles to."""

from collections.abc import Iterator
from types import CodeType


def inner_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code objects inside one, at any depth."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from inner_codes(constant)


_FUTURE_FLAGS = 0xFFFF  # the flags below are how code runs; those above are which `from __future__` was in force


def same_code(one: CodeType, other: CodeType) -> bool:
    """Return whether two code objects do the same; the lines they stand on may differ."""
    if one == other:
        return True
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and one.co_freevars == other.co_freevars
        and one.co_cellvars == other.co_cellvars
        and one.co_argcount == other.co_argcount
        and one.co_posonlyargcount == other.co_posonlyargcount
        and one.co_kwonlyargcount == other.co_kwonlyargcount
        and one.co_exceptiontable == other.co_exceptiontable
        and one.co_flags & _FUTURE_FLAGS == other.co_flags & _FUTURE_FLAGS
        and _same_constants(one.co_consts, other.co_consts)
    )


def _same_constants(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(map(_same_constant, one, other))


def _same_constant(one: object, other: object) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return same_code(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return _same_constants(one, other)
    if isinstance(one, frozenset):
        return type(one) is type(other) and one == other
    return type(one) is type(other) and repr(one) == repr(other)


def is_rewritten_by_pytest(code: CodeType) -> bool:
    """Return whether pytest has rewritten the ``assert`` statements of a test module, whose text tells less, then."""
    return "@pytest_ar" in code.co_names or any(map(is_rewritten_by_pytest, inner_codes(code)))
