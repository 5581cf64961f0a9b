"""Memory: keeping Python from looking for garbage where much is made and none is."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile; also a decorator.

    A plan over much makes millions of values, all in use and none in a circle: looking through them all, again and
    again, takes a third of its time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
