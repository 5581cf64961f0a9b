"""What knowing costs: cold, no-op, late, cosmetic, touched, code changed, reverted; CPU and wall seconds, what ran.

    python -m benchmarks.incremental [--days 365] [--window 7] [--peer hamilton] [--ledger postgresql] [--json]

In one process, with a durable SQLite ledger, leases on, real files written. Interpreter start and imports are not
counted. Each case's results are checked against a rebuild in memory, and what ran against what must; a wrong one ends
the command with an error. A peer plays, in the same call and on the same deliveries, the cases that it knows, each in a
process of its own. With PostgreSQL the server's CPU seconds stand beside ours.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import graph, peers
from benchmarks.measured import Figures, measured
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.reading import live_parts
from tidemark.running.results import Result
from tidemark.running.run import prepare, run_plan

if TYPE_CHECKING:
    from benchmarks.server import Server


@dataclass(frozen=True)
class Case:
    """Something that happens to the deliveries or to the code, and what must run for it.

    Attributes:
        name: its name.
        must: how many step-partitions must run.
        happens: makes it happen.
        verify: whether the plan looks at everything, and not only at what changed.
        alone: whether it is not for peers: they have no such thing, or it is code that changes.

    """

    name: str
    must: int
    happens: Callable[[], object] = lambda: None
    verify: bool = False
    alone: bool = False


def cases(days: int, window: int, landing: Path, file: Path) -> list[Case]:
    """Return all cases in their order; each goes on where the one before has ended."""
    middle, after = graph.days(days)[days // 2 : days // 2 + 2]
    corrected, remarked = (graph.file_of(landing, "src0", day) for day in (middle, after))
    touched = graph.file_of(landing, "src1", middle)
    reached = 7 + min(window, days - days // 2)
    return [
        Case("cold", days * len(graph.STEPS)),
        Case("noop", 0),
        Case("noop_full", 0, verify=True, alone=True),
        Case("late", reached, partial(_deliver, corrected, graph.delivery("src0", middle, 1))),
        Case("cosmetic", 2, partial(_deliver, remarked, graph.delivery("src0", after) + "# delivered again\n")),
        Case("touch", 0, partial(_age, touched, 60)),
        Case("code_equal_output", days, partial(graph.write_pipeline, file, changed=True, window=window), alone=True),
        Case("revert", 0, partial(graph.write_pipeline, file, window=window), alone=True),
    ]


def measure(
    days: int,
    window: int,
    folder: Path,
    *,
    server: "Server | None" = None,
    peer: Callable[[Path], Figures] | None = None,
) -> Iterator[tuple[str, Figures, Figures | None]]:
    """Play every case on a fresh ledger; yields its name, its figures, and those of the peer.

    Args:
        days: how many days there are.
        window: how many of them d1 reads.
        folder: where everything is written.
        server: holds the ledger instead of the embedded one.
        peer: brings a peer's results up to date with a landing zone.

    Raises:
        SystemExit: something ran that must not, or did not that must, or a result is wrong.

    """
    import pandas  # noqa: F401  pyarrow takes it along as soon as somebody makes a table
    import polars  # noqa: F401
    import pyarrow.parquet  # noqa: F401  imports are not what is measured

    import tidemark.frames.deliveries
    import tidemark.frames.inputs
    import tidemark.frames.outputs  # noqa: F401

    landing = folder / "landing"
    graph.deliver_all(landing, graph.days(days))
    file = folder / "dags" / "graph.py"
    file.parent.mkdir()
    graph.write_pipeline(file, window=window)
    variables = {"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(landing)}
    time.sleep(4)  # so that no file is younger than what a stat token can tell apart
    with open_deployment(settings(variables | ({"TIDEMARK_LEDGER_URL": server.url} if server else {}))) as deployment:
        for case in cases(days, window, landing, file):
            case.happens()
            work = partial(_run, deployment, _pipeline(file), verify=case.verify)
            figures = server.measured(work) if server else measured(work)
            if figures["ran"] != case.must:
                raise SystemExit(f"{case.name}: {figures['ran']} step-partitions ran, {case.must} must")
            _check(deployment, graph.expected(landing, days, window))
            yield case.name, figures, peer(landing) if peer and not case.alone else None


def _deliver(file: Path, text: str) -> None:
    file.write_text(text)
    _age(file, 30)


def _age(file: Path, seconds: int) -> None:
    os.utime(file, (time.time() - seconds,) * 2)


def _pipeline(file: Path) -> Pipeline:
    pipeline = load_catalog(file.parent).pipeline("graph")
    for asset in pipeline.assets:
        _ = asset.code  # the fingerprint belongs to the import
    return pipeline


def _run(deployment: Deployment, pipeline: Pipeline, *, verify: bool) -> int:
    prepared = prepare(deployment, pipeline, as_of=graph.AS_OF, run="benchmark", actor="benchmark", verify=verify)
    reports = run_plan(deployment, pipeline, prepared, run="benchmark", actor="benchmark")
    return sum(result is Result.COMPUTED for report in reports for result, _ in report.results.values())


def _check(deployment: Deployment, wanted: dict[tuple[str, str], dict[str, int]]) -> None:
    import pyarrow.parquet as pq

    days = len(wanted) // len([*graph.SOURCES, *graph.STEPS])
    for step in graph.STEPS:
        parts = live_parts(deployment, step)
        if len(parts) != days:
            raise SystemExit(f"{step}: {len(parts)} partitions are live, {days} must be")
        for part in parts:
            if part.format == "parquet":
                table = pq.read_table(part.path).to_pydict()
                found = dict(sorted(zip(table["key"], table["value"], strict=True)))
            else:
                found = graph.parsed(part.path.read_text())
            if found != wanted[step, part.partition]:
                raise SystemExit(f"{step} {part.partition} is wrong")


def _shown(name: str, figures: Figures, peer: Figures | None) -> str:
    line = f"{name:<20}{figures['cpu_s']:>10.3f}{figures['wall_s']:>10.3f}{figures['peak_mib']:>10}{figures['ran']:>8}"
    if "server_cpu_s" in figures:
        line += f"{figures['server_cpu_s']:>14.3f}"
    if peer:
        times = peer["cpu_s"] / figures["cpu_s"] if figures["cpu_s"] else float("inf")
        line += f"   |{peer['cpu_s']:>10.3f}{peer['wall_s']:>10.3f}{peer['peak_mib']:>10}{peer['ran']:>8}{times:>9.1f}x"
    return line


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365, help="of 4 deliveries and 20 steps each; at least 14")
    parser.add_argument("--window", type=int, default=graph.WINDOW, help="days that the last step reads; not for peers")
    parser.add_argument("--peer", choices=peers.PEERS, help="who plays the same cases beside us")
    parser.add_argument("--peers-dir", type=Path, default=peers.CACHE, help=f"their environments: {peers.CACHE}")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", action="store_true", help="print an object of cases, and nothing else")
    options = parser.parse_args()
    if options.days < 14:
        parser.error("--days: the cases need at least 14")
    if options.peer and options.window != graph.WINDOW:
        parser.error(f"--peer: peers play a window of {graph.WINDOW} days")
    found: dict[str, dict[str, object]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-benchmark-")))
        server = peer = None
        if options.ledger == "postgresql":
            from benchmarks.server import ledger_server  # brings pytest, whose memory is not ours

            server = stack.enter_context(ledger_server())
        if options.peer:
            python = peers.environment(options.peer, options.peers_dir)
            peer = partial(peers.play, options.peer, python, folder=folder / options.peer, days=options.days)
        if not options.json:
            print(f"{options.days} days x {len(graph.STEPS)} steps = {options.days * len(graph.STEPS)} step-partitions")
            title = f"{'case':<20}{'CPU s':>10}{'wall s':>10}{'peak MiB':>10}{'ran':>8}"
            title += f"{'server CPU s':>14}" if server else ""
            print(title + (f"   | {options.peer}: the same, and how many times our CPU" if peer else ""))
        for name, figures, other in measure(options.days, options.window, folder, server=server, peer=peer):
            found[name] = {**figures, options.peer: other} if other else {**figures}
            if not options.json:
                print(_shown(name, figures, other), flush=True)
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    main()
