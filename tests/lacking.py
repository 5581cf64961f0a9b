"""What a machine lacks: a person skips its tests with a sentence; in CI they fail, or nobody would see."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip a test for what the machine lacks; where CI runs, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}: CI has to provide it")
    pytest.skip(what)  # on a person's machine the README's command has to say what was not tried, and go on
