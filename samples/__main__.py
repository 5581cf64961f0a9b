"""``python -m samples FOLDER``: write simulated deliveries into a folder."""

import argparse
from datetime import date, timedelta
from pathlib import Path

from samples.shop import SEED, simulate


def main() -> None:
    """Write the deliveries that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m samples", description="Write simulated deliveries into a folder.")
    parser.add_argument("folder", type=Path, help="gets orders/ and fx_rates/, one file a day in each")
    parser.add_argument("--days", type=int, default=60, help="calendar days to simulate (default: %(default)s)")
    yesterday = date.today() - timedelta(1)
    parser.add_argument(
        "--until",
        type=date.fromisoformat,
        default=yesterday,
        metavar="YYYY-MM-DD",
        help="last day (default: yesterday)",
    )
    parser.add_argument("--seed", type=int, default=SEED, help="another seed is another history (default: %(default)s)")
    given = parser.parse_args()
    if given.days < 1 or given.seed < 0:
        parser.error("--days is 1 or more, and --seed 0 or more")
    simulate(given.folder, days=given.days, until=given.until, seed=given.seed)


if __name__ == "__main__":
    main()
