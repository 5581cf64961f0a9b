"""Apache Hamilton on the benchmark's graph: one execution of its driver a day, with its cache on disk.

    python -m benchmarks.peers.hamilton LANDING FOLDER DAYS

The driver's inputs are the deliveries' texts, and d1's the texts of the last 7 days' d0: that is how Hamilton, which
knows no partitions, is asked for them. Its results are what its cache keeps, a file each; they are not written a second
time. Start and imports are not counted, nor is the building of the driver, as with ours the reading of definitions.
Every result is checked afterwards.
"""

import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from hamilton import driver

from benchmarks import graph
from benchmarks.measured import measured

_STEP = """

def {name}({parameters}) -> str:
    RAN.append("{name}")
    return summed({arguments})
"""


def definitions(folder: Path) -> ModuleType:
    """Write the graph as Hamilton wants it, a function a step, and import it."""
    text = '"""The benchmark\'s graph."""\n\nRAN = []\n' + graph.SUMMED
    for name, reads in graph.READS.items():
        parameters = ", ".join(f"{read}: str" for read in reads)
        text += _STEP.format(name=name, parameters=parameters, arguments=", ".join(reads))
    text += _STEP.format(name="d1", parameters="d0_window: list", arguments="*d0_window")
    (folder / "peer_graph.py").write_text(text)
    sys.path.insert(0, str(folder))
    return import_module("peer_graph")


def main() -> None:
    """Bring everything up to date, and print what that cost as JSON."""
    landing, folder, days = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(exist_ok=True)
    logging.disable(logging.CRITICAL)
    module = definitions(folder)
    built = driver.Builder().with_modules(module).with_cache(path=str(folder / "cache")).build()
    keys = graph.days(days)
    found: dict[tuple[str, str], str] = {}

    def everything() -> int:
        for place, day in enumerate(keys):
            texts = {source: graph.file_of(landing, source, day).read_text() for source in graph.SOURCES}
            for step, text in built.execute(list(graph.READS), inputs=texts).items():
                found[step, day] = text
            window = [found["d0", each] for each in graph.trailing(keys, place)]
            found["d1", day] = built.execute(["d1"], inputs={"d0_window": window})["d1"]
        return len(module.RAN)

    figures = measured(everything)
    wanted = graph.expected(landing, days)
    wrong = [each for each, text in found.items() if graph.parsed(text) != wanted[each]]
    if wrong or len(found) != days * len(graph.STEPS):
        raise SystemExit(f"{len(found)} results, of which are wrong: {wrong[:5]}")
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
