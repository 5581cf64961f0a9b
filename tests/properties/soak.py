"""Random histories for as long as it is told: every one that fails is kept, with the line that plays it again.

python -m tests.properties.soak --minutes 60
python -m tests.properties.soak --again .soak/found/FILE
"""

import argparse
import logging
import multiprocessing
import os
import random
import re
import sys
import time
import traceback
from multiprocessing.synchronize import Lock

from hypothesis import reproduce_failure
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.machine import Histories
from tests.properties.playing import KEPT, play
from tests.properties.shops import Ground

# Histories of one seed: what fails is shrunk, and ends its seed.
ROUND = 25


def soak(number: int, minutes: float | None, histories: int | None, printing: Lock) -> int:
    """Play until told, keep what fails, and return how many seeds failed."""
    logging.disable(logging.WARNING)  # what gates say of what they stop is no news here
    until = None if minutes is None else time.monotonic() + minutes * 60
    played = failed = 0
    ground = Ground()
    while (until is None or time.monotonic() < until) and (histories is None or played < histories):
        seed = random.SystemRandom().getrandbits(48)
        try:
            play(Histories, ground, histories=ROUND, seed=seed, again=False)
        except Exception as problem:
            failed += 1
            _keep(seed, problem, printing)
        played += ROUND
        with printing:
            print(f"runner {number}: {played} histories, {failed} seeds failed", flush=True)
    ground.leave()
    return failed


def _keep(seed: int, problem: Exception, printing: Lock) -> None:
    found = KEPT / "found"
    found.mkdir(parents=True, exist_ok=True)
    file = found / f"{seed}.txt"
    file.write_text(
        f"seed {seed}; play it again with:\n  make soak AGAIN={file.relative_to(KEPT.parent)}\n\n"
        + "".join(traceback.format_exception(problem))
    )
    with printing:
        print(f"FAILED: {file}: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}", flush=True)


def again(file: str) -> None:
    """Play a history again that was kept: its shrunk form, or where that is not told all of its seed."""
    ground = Ground()
    with open(file) as kept:
        text = kept.read()
    blob = re.search(r"@reproduce_failure\('([^']+)', (b'[^']+')\)", text)
    if blob is None:
        seed = re.match(r"seed (\d+)", text)
        assert seed is not None, f"{file} was not written by soak"
        play(Histories, ground, histories=ROUND, seed=int(seed[1]), again=False)
        return
    machine = type("Histories", (Histories,), {"ground": ground})
    reproduce_failure(blob[1], blob[2][2:-1].encode())(machine)
    run_state_machine_as_test(machine)


def main() -> int:
    """Read the command line; the exit code says whether something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="how long; without it, and without --histories, for ever")
    parser.add_argument("--histories", type=int, help="how many, about")
    parser.add_argument("--again", help="a file of .soak/found to play again")
    parser.add_argument("--runners", type=int, default=os.cpu_count() or 1, help="processes side by side")
    given = parser.parse_args()
    if given.again:
        again(given.again)
        return 0
    share = None if given.histories is None else -(-given.histories // given.runners)
    context = multiprocessing.get_context("spawn")
    printing = context.Lock()
    with context.Pool(given.runners, _lock, (printing,)) as pool:
        failed = pool.starmap(_runner, [(number, given.minutes, share) for number in range(given.runners)], 1)
    print(f"{sum(failed)} seeds failed; what failed is in {KEPT / 'found'}" if any(failed) else "nothing failed")
    return int(any(failed))


_printing: Lock


def _lock(lock: Lock) -> None:
    global _printing
    _printing = lock


def _runner(number: int, minutes: float | None, histories: int | None) -> int:
    return soak(number, minutes, histories, _printing)


if __name__ == "__main__":
    sys.exit(main())
