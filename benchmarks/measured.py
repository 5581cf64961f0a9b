"""CPU and wall seconds and the peak of memory of one thing that is done in this process; needs nothing but Python."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

Figures = dict[str, float | int]
"""``cpu_s``, ``wall_s``, ``peak_mib`` and ``ran``; what else was measured has a name of its own."""


def measured(what: Callable[[], int]) -> Figures:
    """Do something that returns how many step-partitions ran, and return what it cost, all threads together."""
    gc.collect()  # or the garbage of what was done before would be cleared in one case or in another, as it happens
    _forget_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    ran = what()
    return {
        "cpu_s": round(time.process_time() - cpu, 4),
        "wall_s": round(time.perf_counter() - wall, 4),
        "peak_mib": round(_peak_mib()),
        "ran": ran,
    }


def _forget_peak() -> None:
    """Let the kernel count the peak anew, so that it is that of one case and not of those before."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in status if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024
