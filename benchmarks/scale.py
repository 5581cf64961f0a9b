"""What knowing costs where there is much to know: a million step-partitions, or a wide window.

    python -m benchmarks.scale [--days 50000] [--window 7] [--folder FOLDER] [--json]

The ledger is filled as a run of everything would have filled it (`benchmarks.filled`), without anything having run.
Then each in a process of its own: a plan that verifies everything; a plan with nothing to do; a plan for one late
delivery, in a process that has planned before; and one for the next late delivery in the same process, where every
statement of SQL has been used once. Nothing is computed, what is measured is the decision: ``ran`` is what was planned.
Each of them begins with the stat of all sources: ``stat_s`` is what that took of its CPU seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import graph
from benchmarks.filled import fill
from benchmarks.measured import Figures, measured
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.landing import Landing
from tidemark.landing.listed import Listed
from tidemark.running.run import prepare


def make(folder: Path, days: int, window: int) -> None:
    """Make a deployment in a folder: deliveries, definitions, and a ledger that knows them all."""
    graph.deliver_all(folder / "landing", graph.days(days))
    (folder / "dags").mkdir()
    graph.write_pipeline(folder / "dags" / "graph.py", window=window)
    time.sleep(4)  # so that no file is younger than what a stat token can tell apart
    with _opened(folder) as (deployment, pipeline):
        fill(deployment, pipeline, as_of=graph.AS_OF)


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Deployment, Pipeline]]:
    given = {"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(folder / "landing")}
    pipeline = load_catalog(folder / "dags").pipeline("graph")
    for asset in pipeline.assets:
        _ = asset.code  # the fingerprint belongs to the import
    with open_deployment(settings(given)) as deployment:
        yield deployment, pipeline


class _Timed:
    """A landing zone that counts the CPU seconds of its listings.

    Args:
        real: the landing zone.

    """

    def __init__(self, real: Landing) -> None:
        self._real = real
        self.url, self.files, self.read = real.url, real.files, real.read
        self.cpu_s = 0.0

    def listing(self, prefix: str) -> Listed:
        """Return all deliveries under a folder as lines."""
        before = time.process_time()
        found = self._real.listing(prefix)
        self.cpu_s += time.process_time() - before
        return found


def decide(folder: Path, *, verify: bool = False, late: int = 0) -> Figures:
    """Make a plan; ``ran`` is the number of its items.

    Args:
        folder: the deployment.
        verify: look at everything.
        late: how many files are delivered, and planned for, in a process that has planned before; the last is measured.

    """
    import tidemark.frames.deliveries  # noqa: F401  what a late file brings: imports are not what is measured

    with _opened(folder) as (deployment, pipeline):

        def plan() -> int:
            prepared = prepare(
                deployment, pipeline, as_of=graph.AS_OF, run="benchmark", actor="benchmark", verify=verify
            )
            return len(prepared.plan.items)

        zone = deployment.__dict__["landing"] = _Timed(deployment.landing)
        middle = graph.days(_days(folder))[_days(folder) // 2]
        for version in range(1, late + 1):
            plan()
            _deliver(graph.file_of(folder / "landing", "src0", middle), graph.delivery("src0", middle, version))
        zone.cpu_s = 0.0
        return measured(plan) | {"stat_s": round(zone.cpu_s, 4)}


def _days(folder: Path) -> int:
    return sum(1 for _ in (folder / "landing" / "src0").iterdir())


CASES = {
    "noop_full": lambda folder: decide(folder, verify=True),
    "noop": decide,
    "late": lambda folder: decide(folder, late=1),
    "late_again": lambda folder: decide(folder, late=2),
}
"""In this order: the first plan is the one that what follows counts from."""


def play(folder: Path, days: int, window: int) -> dict[str, Figures]:
    """Measure every case on a folder that was made; the late delivery is taken back in the end.

    Raises:
        SystemExit: a case failed, or something is planned that need not, or is not that must.

    """
    middle = graph.days(days)[days // 2]
    late = graph.file_of(folder / "landing", "src0", middle)
    reached = 7 + min(window, days - days // 2)
    must = {"noop_full": 0, "noop": 0, "late": reached, "late_again": reached}
    found: dict[str, Figures] = {}
    try:
        for name, planned in must.items():
            found[name] = _in_a_process_of_its_own(name, folder)
            if found[name]["ran"] != planned:
                raise SystemExit(f"{name}: {found[name]['ran']}, {planned} must be")
            _deliver(late, graph.delivery("src0", middle))
    finally:
        _deliver(late, graph.delivery("src0", middle))
        _in_a_process_of_its_own("noop", folder)
    return found


def _deliver(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, (time.time() - 30,) * 2)


def _in_a_process_of_its_own(case: str, folder: Path) -> Figures:
    command = [sys.executable, "-m", "benchmarks.scale", "--folder", str(folder), "--case", case]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout)
    return figures


def _show(found: dict[str, Figures], days: int, window: int) -> None:
    files = 4 * days
    print(
        f"{days} days x {len(graph.STEPS)} steps = {days * len(graph.STEPS)} step-partitions; a window of {window} days"
    )
    print(
        f"{'case':<12}{'CPU s':>10}{'wall s':>10}{'peak MiB':>10}{'planned':>9}"
        f"{'stat of the files':>20}{'us a file':>12}{'besides it':>12}"
    )
    for name, each in found.items():
        line = f"{name:<12}{each['cpu_s']:>10.3f}{each['wall_s']:>10.3f}{each['peak_mib']:>10}{each['ran']:>9}"
        stats = each["stat_s"]
        print(f"{line}{stats:>20.3f}{stats / files * 1e6:>12.1f}{each['cpu_s'] - stats:>12.3f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=50_000, help="of 4 deliveries and 20 steps each")
    parser.add_argument("--window", type=int, default=graph.WINDOW, help="days that the last step reads")
    parser.add_argument("--folder", type=Path, help="filled there if it is empty, and kept, to be measured again")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print an object of cases, and nothing else")
    options = parser.parse_args()
    if options.case:
        json.dump(CASES[options.case](options.folder), sys.stdout)
        return
    with tempfile.TemporaryDirectory(prefix="tidemark-benchmark-") as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "dags").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder, options.days, options.window)
        found = play(folder, options.days, options.window)
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        _show(found, options.days, options.window)


if __name__ == "__main__":
    main()
