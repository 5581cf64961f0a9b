"""What a look of the watch at one big source costs: ten years of hours, of which all, none or only the last are late.

    python -m benchmarks.watch [--hours 87600] [--json]

The ledger is filled as a run that has seen all deliveries would have filled it (`benchmarks.filled`). Each look is what
`tidemark watch` does twice a minute, and is done a second time, as every SQL statement has then been used; ``ran`` is
the number of partitions that are late.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.filled import fill
from benchmarks.measured import Figures, measured
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.facts import register
from tidemark.watching.lateness import late_sources

END = datetime(2026, 1, 1, tzinfo=UTC)

PIPELINE = """
from tidemark import Calendar, Hourly, asset, pipeline, source

HOURS = Hourly(start="{start}")

meter = source("meter", files="meter/{{partition}}.csv", partitions=HOURS, expected=Calendar(), due="2 hours")


@asset(partitions=HOURS)
def usage(meter: str) -> str:
    return meter


hourly = pipeline("hourly", [meter, usage])
"""


@contextmanager
def made(folder: Path, hours: int, delivered: int) -> Iterator[Deployment]:
    """A deployment that expects so many hours, and has seen the first of them."""
    landing, dags = folder / "landing" / "meter", folder / "dags"
    landing.mkdir(parents=True)
    dags.mkdir()
    (dags / "hourly.py").write_text(PIPELINE.format(start=f"{END - timedelta(hours=hours):%Y-%m-%dT%H}"))
    pipeline = load_catalog(dags).pipeline("hourly")
    grain = pipeline["meter"].grain
    first = grain.containing(END) - hours
    for ordinal in range(first, first + delivered):
        (landing / f"{grain.key(ordinal)}.csv").write_text("1\n")
    given = settings({"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(folder / "landing")})
    with open_deployment(given) as deployment:
        if delivered:
            fill(deployment, pipeline, as_of=END - timedelta(hours=hours - delivered))
        else:
            register(deployment, pipeline)
        yield deployment


def play(hours: int) -> dict[str, Figures]:
    """Look, where nothing is late, where a day is, and where everything is; returns what each look cost."""
    found = {}
    for case, delivered in (("nothing late", hours), ("a day late", hours - 24), ("everything late", 0)):
        folder = Path(tempfile.mkdtemp(prefix="tidemark-benchmark-"))
        try:
            with made(folder, hours, delivered) as deployment:
                _look(deployment)
                found[case] = measured(lambda: _look(deployment))
        finally:
            shutil.rmtree(folder)
    return found


def _look(deployment: Deployment) -> int:
    return sum(len(each.partitions) for each in late_sources(deployment, END + timedelta(hours=1)).conditions)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=87_600, help="that the source has")
    parser.add_argument("--json", action="store_true", help="print an object of cases, and nothing else")
    options = parser.parse_args()
    found = play(options.hours)
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    print(f"{'look':<18}{'CPU s':>10}{'wall s':>10}{'peak MiB':>10}{'late':>10}")
    for name, each in found.items():
        print(f"{name:<18}{each['cpu_s']:>10.3f}{each['wall_s']:>10.3f}{each['peak_mib']:>10}{each['ran']:>10}")


if __name__ == "__main__":
    main()
