"""What the demo remembers from one start to the next: what it was made from, and how far the story went."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from demo.deliveries import LONDON, Days
from demo.expected import Heads, Live


@dataclass
class Playing:
    """A chapter that has begun.

    Attributes:
        chapter: its name.
        mark: the number of the newest plan before it.
        mails: how many mails had been caught before it.
        before: what was live before it.

    """

    chapter: str
    mark: int
    mails: int
    before: Heads


@dataclass
class Memory:
    """All of it.

    Attributes:
        made_from: the folder of real deliveries, or nothing for simulated ones.
        days: which days go wrong.
        played: what came of each chapter that was played, in a line.
        wrong: the chapters of which something was not as expected.
        playing: the chapter that was being played.

    """

    made_from: str
    days: Days
    played: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    playing: Playing | None = None


def load(file: Path) -> Memory | None:
    """Return what an earlier start remembered, or None if there was none."""
    if not file.exists():
        return None
    data = json.loads(file.read_text())
    given = data["days"]
    as_of = datetime.fromisoformat(given.pop("as_of")).astimezone(LONDON)
    days = Days(as_of=as_of, **{name: date.fromisoformat(day) for name, day in given.items()})
    playing = data["playing"]
    return Memory(
        made_from=data["made_from"],
        days=days,
        played=data["played"],
        wrong=data["wrong"],
        playing=Playing(**{**playing, "before": _heads(playing["before"])}) if playing else None,
    )


def save(file: Path, memory: Memory) -> None:
    """Write down what is to be remembered, whole or not at all."""
    data = asdict(memory)
    unfinished = file.with_suffix(".part")
    unfinished.write_text(json.dumps(_plain(data), indent=1))
    os.replace(unfinished, file)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, frozenset)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, date) else value  # a datetime is a date, too


def _heads(data: dict[str, dict[str, dict[str, Any]]]) -> Heads:
    return {
        name: {
            date.fromisoformat(day): Live(
                each["version"], frozenset((source, date.fromisoformat(on)) for source, on in each["lacks"])
            )
            for day, each in some.items()
        }
        for name, some in data.items()
    }
