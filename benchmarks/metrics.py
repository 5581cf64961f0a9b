"""What a scrape costs on a big ledger: the first, one after something has changed, and one after nothing has.

    python -m benchmarks.metrics [--days 5000] [--ledger postgresql] [--folder FOLDER] [--json]

The ledger is filled as a run of everything would have filled it (`benchmarks.filled`): 24 heads a day. Each scrape is
the whole text that Prometheus gets, made in this process; ``ran`` is the number of heads that it tells of.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from benchmarks import graph, scale
from benchmarks.filled import fill
from benchmarks.measured import Figures, measured
from benchmarks.server import Server, ledger_server
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.ledger import heads
from tidemark.metrics.collecting import LedgerMetrics


@contextmanager
def filled(folder: Path, days: int, server: Server | None) -> Iterator[Deployment]:
    """A deployment whose ledger knows so many days; what an earlier call has filled is taken as it is."""
    if server is None and not (folder / "dags").exists():
        folder.mkdir(parents=True, exist_ok=True)
        scale.make(folder, days, graph.WINDOW)
    given = settings({"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(folder / "landing")})
    if server is None:
        with open_deployment(given) as deployment:
            yield deployment
        return
    graph.deliver_all(folder / "landing", graph.days(days))
    (folder / "dags").mkdir()
    graph.write_pipeline(folder / "dags" / "graph.py")
    with open_deployment(replace(given, ledger_url=server.url)) as deployment:
        fill(deployment, load_catalog(folder / "dags").pipeline("graph"), as_of=graph.AS_OF)
        yield deployment


def play(deployment: Deployment, server: Server | None) -> dict[str, Figures]:
    """Scrape, and return what each scrape cost."""
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(deployment.ledger, graph.AS_OF))

    cost = measured if server is None else server.measured
    found = {"first": cost(lambda: _scrape(registry))}
    with deployment.ledger.write() as connection:
        heads.new_change(connection, run="benchmark", actor="benchmark")
    found["changed"] = cost(lambda: _scrape(registry))
    found["idle"] = cost(lambda: _scrape(registry))
    return found


def _scrape(registry: CollectorRegistry) -> int:
    """Make the text that Prometheus gets; returns how many heads it tells of."""
    lines = (line for line in generate_latest(registry).decode().splitlines() if line.startswith("tidemark_heads{"))
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=5000, help="of 24 heads each")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--folder", type=Path, help="filled there if it is empty, and kept, with SQLite")
    parser.add_argument("--json", action="store_true", help="print an object of cases, and nothing else")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-benchmark-")))
        server = stack.enter_context(ledger_server()) if options.ledger == "postgresql" else None
        found = play(stack.enter_context(filled(folder, options.days, server)), server)
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    print(f"{'scrape':<10}{'CPU s':>10}{'wall s':>10}{'server s':>10}{'peak MiB':>10}{'heads':>10}")
    for name, each in found.items():
        line = f"{name:<10}{each['cpu_s']:>10.3f}{each['wall_s']:>10.3f}{each.get('server_cpu_s', 0):>10.2f}"
        print(f"{line}{each['peak_mib']:>10}{each['ran']:>10}")


if __name__ == "__main__":
    main()
