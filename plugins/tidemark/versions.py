"""Data versions as people name them: by their first characters."""

import re
from collections.abc import Sequence

from tidemark.errors import UsageError
from tidemark.explain import short
from tidemark.ledger.records import Made


def chosen(made: Sequence[Made], what: str, version: str) -> Made:
    """Return the first of some materializations that has a data version.

    Args:
        made: of one partition, oldest first.
        what: the asset and the partition, for messages.
        version: the version's first hex characters.

    Raises:
        UsageError: no version begins so, or several do.

    """
    if not re.fullmatch("[0-9a-fA-F]{4,64}", version):
        raise UsageError(f"{what}: {version!r} is no version: give its first characters, 4 at least, as history does")
    stored: dict[bytes, Made] = {
        each.data_version: each for each in reversed(made) if each.data_version is not None and each.blob
    }
    fitting = [each for key, each in stored.items() if key.hex().startswith(version.lower())]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(sorted(short(key) for key in stored)) or "none"
    problem = "several versions begin" if fitting else "no version begins"
    raise UsageError(f"{what}: {problem} with {version!r}; there are: {known}")
