"""The graph that orchestrators are compared on: 4 sources, 20 steps in 5 layers, daily partitions, trivial bodies.

    a0 .. a7   a_i  reads src_(i/2)          drops comment lines
    b0 .. b5   b_i  reads a_i and a_(i+2)
    c0 .. c3   c_i  reads b_i and b_(i+2)
    d0              reads c0 and c1
    d1              reads the last 7 days of d0, or as many as asked for

A late delivery must run exactly 14 step-partitions, and one whose first layer comes out equal exactly 2. d0 and d1 are
tables, for a window arrives as a frame; all else is text. It needs nothing but Python: a peer plays the same graph.
"""

import datetime as dt
import random
from pathlib import Path

AS_OF = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""The instant that every benchmark takes for now: the days are the last ones before it."""

WINDOW = 7
SOURCES = [f"src{i}" for i in range(4)]
READS = (
    {f"a{i}": [f"src{i // 2}"] for i in range(8)}
    | {f"b{i}": [f"a{i}", f"a{i + 2}"] for i in range(6)}
    | {f"c{i}": [f"b{i}", f"b{i + 2}"] for i in range(4)}
    | {"d0": ["c0", "c1"]}
)
STEPS = [*READS, "d1"]

SUMMED = '''

def summed(*texts: str) -> str:
    """Sum by key, without comment lines."""
    total: dict[str, int] = {}
    for text in texts:
        for line in text.splitlines():
            if line and line[0] != "#":
                key, value = line.split(",")
                total[key] = total.get(key, 0) + int(value)
    return "".join(f"{key},{total[key]}\\n" for key in sorted(total))
'''
"""What every step does, as the text of a function."""

_HEAD = '''"""The benchmark's graph."""

import pyarrow as pa

from tidemark import Daily, asset, pipeline, source, trailing

DAYS = Daily()
'''

_STEP = """

@asset(partitions=DAYS)
def {name}({parameters}) -> str:
    return summed({arguments})
"""

_TAIL = """

@asset(partitions=DAYS, key=["key"])
def d0(c0: str, c1: str) -> pa.Table:
    pairs = [line.split(",") for line in summed(c0, c1).splitlines()]
    return pa.table({{"key": [key for key, _ in pairs], "value": [int(value) for _, value in pairs]}})


@asset(partitions=DAYS, inputs={{"d0": trailing(days={window})}}, key=["key"])
def d1(d0: pa.Table) -> pa.Table:
    total: dict[str, int] = {{}}
    for key, value in zip(d0["key"].to_pylist(), d0["value"].to_pylist(), strict=True):
        total[key] = total.get(key, 0) + value
    return pa.table({{"key": list(total), "value": list(total.values())}})


SOURCES = [source(name, files=name + "/{{partition}}.txt", partitions=DAYS) for name in {sources}]
graph = pipeline("graph", [*SOURCES, {steps}])
"""


def write_pipeline(file: Path, *, changed: bool = False, window: int = WINDOW) -> None:
    """Write the pipeline's file; ``changed`` edits one step's code so that its results stay equal."""
    steps = [name for name in READS if name != "d0"]
    text = _HEAD + SUMMED
    for name in steps:
        parameters = ", ".join(f"{read}: str" for read in READS[name])
        body = _STEP.format(name=name, parameters=parameters, arguments=", ".join(READS[name]))
        text += body.replace("return summed(", "return '' + summed(") if changed and name == "b2" else body
    file.write_text(text + _TAIL.format(sources=SOURCES, window=window, steps=", ".join([*steps, "d0", "d1"])))


def file_of(landing: Path, source: str, day: str) -> Path:
    """Return where a source's file of a day is."""
    return landing / source / f"{day}.txt"


def delivery(source: str, day: str, revision: int = 0) -> str:
    """Return the content of a source's file."""
    random_ = random.Random(f"{source}{day}{revision}")
    return "".join(f"k{number},{random_.randint(1, 999)}\n" for number in range(10))


def days(count: int) -> list[str]:
    """Return the keys of the last days, in their order."""
    return [(AS_OF.date() - dt.timedelta(number)).isoformat() for number in range(count, 0, -1)]


def deliver_all(landing: Path, keys: list[str]) -> None:
    """Write every source's files of some days."""
    for source in SOURCES:
        (landing / source).mkdir(parents=True, exist_ok=True)
        for day in keys:
            file_of(landing, source, day).write_text(delivery(source, day))


def trailing(keys: list[str], place: int, window: int = WINDOW) -> list[str]:
    """Return the days that d1 reads for the day at a place."""
    return keys[max(0, place - window + 1) : place + 1]


def expected(landing: Path, count: int, window: int = WINDOW) -> dict[tuple[str, str], dict[str, int]]:
    """Return what every step-partition must hold, by a rebuild in memory."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    keys = days(count)
    for day in keys:
        for source in SOURCES:
            found[source, day] = parsed(file_of(landing, source, day).read_text())
        for step, reads in READS.items():
            found[step, day] = _added([found[read, day] for read in reads])
    for place, day in enumerate(keys):
        found["d1", day] = _added([found["d0", each] for each in trailing(keys, place, window)])
    return found


def parsed(text: str) -> dict[str, int]:
    """Return what a text holds, by key; comment lines are none of it."""
    lines = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    return {key: int(value) for key, value in lines}


def _added(parts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return dict(sorted(total.items()))
