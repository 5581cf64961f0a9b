"""What a command answers, and what all commands start from."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tidemark.catalog import Catalog, load_catalog
from tidemark.config import Settings, settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import UsageError
from tidemark.landing import Landing


@dataclass(frozen=True)
class Answer:
    """What a command answers.

    Attributes:
        data: what ``--json`` prints; called for it, where it is costly.
        shown: what is printed else: text, or something that rich can draw.
        raw: bytes to be printed as they are, instead of ``shown``.
        ok: whether all is well.
        problem: if it is not, why: told beside the data of ``--json``, which does not say it.

    """

    data: Any
    shown: Any = None
    raw: bytes | None = None
    ok: bool = True
    problem: str = ""

    def plain(self) -> Any:
        """Return the data as what JSON can hold."""
        return plain(self.data() if isinstance(self.data, Callable) else self.data)  # type: ignore[arg-type]


@contextmanager
def opened() -> Iterator[tuple[Settings, Catalog, Deployment]]:
    """Yield the settings, the pipelines, and the deployment with everything in it."""
    given = settings()
    catalog = load_catalog(given.dags)
    with open_deployment(given, connect=connect) as deployment:
        yield given, catalog, deployment


def connect(url: str, name: str) -> Landing:
    """Return the landing zone at a URL, opened with an Airflow connection."""
    from tidemark.airflow.landing import open_connection  # brings Airflow: only where a connection of it is named

    return open_connection(url, name)


def write_file(name: str, content: bytes) -> None:
    """Write what a person wants in a file.

    Raises:
        UsageError: it cannot be written there.

    """
    try:
        Path(name).write_bytes(content)
    except OSError as problem:
        raise UsageError(f"-o {name}: {problem.strerror}: name a file in a folder that is there") from problem


def plain(value: Any) -> Any:
    """Return a value as what JSON can hold: no number is infinite or NaN there, and dates are ISO text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, Decimal) else value
