"""The command that watches; what it does is brought only by who runs it, since it takes a tenth of a second."""

import argparse

from tidemark.cli.answers import Answer


def watch(options: argparse.Namespace) -> Answer:
    """Look after what tasks cannot tell of, send what people must be told, and go on until it is ended.

    It sees late sources, deadlines, candidates that wait, drift, the store, the landing zone, the ledger and the disks;
    and where TIDEMARK_WATCH_USER signs in to Airflow, its processes, DAG files that cannot be imported, DAGs that are
    paused, and runs that ended without a verdict. Of several watches of one ledger one acts, the others stand by.
    """
    from tidemark.cli.watch_process import run

    return run(options)
