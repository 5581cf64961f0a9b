"""The commands that look: they change nothing."""

import argparse
import contextlib
import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemark.cli import shown
from tidemark.cli.answers import Answer, opened, plain, write_file
from tidemark.config import in_force
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import UsageError
from tidemark.frames import RAW
from tidemark.inspecting import account_of, history_of, status_of

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("csv", "parquet", "json")


def read(options: argparse.Namespace) -> Answer:
    """Print or save what is live: one partition, or all of them in the order of time."""
    import polars as pl

    from tidemark.reading import live_parts
    from tidemark.reading import read as read_live

    with open_deployment() as deployment:
        parts = live_parts(deployment, options.asset, options.partition)
        if any(part.format in RAW for part in parts):
            if len(parts) != 1:
                raise UsageError(f"{options.asset} holds {parts[0].format}, no tables: name one partition")
            return _raw(options, parts[0].path.read_bytes(), parts[0].format)
        frame: pl.DataFrame = read_live(options.asset, options.partition, as_=pl.DataFrame, deployment=deployment)
    return _frame(options, frame)


def _raw(options: argparse.Namespace, payload: bytes, form: str) -> Answer:
    if options.output:
        write_file(options.output, payload)
        return Answer({"file": options.output, "format": form}, f"wrote {options.output}")
    return Answer(payload.decode() if form == "text" else payload, raw=payload)


def _frame(options: argparse.Namespace, frame: "pl.DataFrame") -> Answer:
    ending = (options.output or "").rpartition(".")[2].lower()
    if "." in Path(options.output or "").name and ending not in FORMATS and not options.format:
        raise UsageError(
            f"-o {options.output}: '.{ending}' is no format: end the name with .{', .'.join(FORMATS)}, or say --format"
        )
    form = options.format or (ending if ending in FORMATS else "csv")
    if options.output:
        write_file(options.output, _encoded(frame, form))
        data = {"file": options.output, "format": form, "rows": frame.height}
        return Answer(data, f"wrote {frame.height} rows to {options.output} ({form})")
    if options.json:
        return Answer(frame.to_dicts)
    if form == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal: name a file, -o FILE")
    return Answer(None, raw=_encoded(frame, form))


def _encoded(frame: "pl.DataFrame", form: str) -> bytes:
    import polars as pl

    sink = io.BytesIO()
    writers: dict[str, Callable[[Any], object]] = {
        "csv": frame.write_csv,
        "parquet": frame.write_parquet,
        "json": lambda file: file.write(json.dumps(plain(frame.to_dicts())).encode() + b"\n"),
    }
    try:
        writers[form](sink)
    except pl.exceptions.ComputeError as problem:  # lists and structs have no place in a CSV
        raise UsageError(f"{problem}: use --format json or parquet") from problem
    return sink.getvalue()


def explain(options: argparse.Namespace) -> Answer:
    """Say what a partition is and why, what it was made from, by whom, and what its gate said of it.

    Of a source: whether it was delivered, and why a delivery was rejected.
    """
    with opened() as (_, catalog, deployment):
        account = account_of(deployment, catalog.owner_of(options.asset), options.asset, options.partition)
    return Answer(account, shown.account_text(account))


def history(options: argparse.Namespace) -> Answer:
    """List every version that was live for a partition, oldest first, with the reason, the run and the person."""
    with opened() as (_, catalog, deployment):
        entries = history_of(deployment, catalog.owner_of(options.asset), options.asset, options.partition)
    return Answer(entries, shown.history_table(options.asset, options.partition, entries))


def diff(options: argparse.Namespace) -> Answer:
    """Show what changed in a partition's data: rows that were added, removed or changed, by the asset's key.

    Without a key, whole rows; of a text the lines. Without versions: what is live, against what was live before it.
    """
    if len(options.versions) not in (0, 2):
        raise UsageError("name two versions, the earlier first, or none: 'tidemark history' shows them")
    from tidemark.comparing import difference_of

    with opened() as (_, catalog, deployment):
        data = difference_of(
            deployment,
            catalog.owner_of(options.asset),
            options.asset,
            options.partition,
            options.versions,
            limit=options.limit,
        )
    return Answer(data, shown.difference_text(data))


def sql(options: argparse.Namespace) -> Answer:
    """Query what is live with DuckDB: one view for each asset and source that the query names, with a column partition.

    A query reads these and nothing else, and changes nothing.
    """
    from tidemark.reading import query

    with open_deployment() as deployment:
        frame = query(deployment, options.query).pl()
    return Answer(frame.to_dicts, shown.frame_table(frame))


def status(options: argparse.Namespace) -> Answer:
    """Show how every source and asset stands: what is live, provisional, waiting, failed, held, rejected or missing."""
    with opened() as (_, catalog, deployment):
        state = status_of(deployment, catalog)
    return Answer(state, shown.status_text(state))


def metrics(options: argparse.Namespace) -> Answer:
    """Print how the ledger stands in the form that Prometheus reads: heads, ages, gates, incidents, seconds.

    With --serve: serve it at http://TIDEMARK_METRICS/metrics until it is stopped, with what Airflow sends to
    TIDEMARK_STATSD; a ledger that cannot be reached is told as tidemark_up 0.
    """
    from tidemark.metrics import serving  # brings prometheus_client

    with open_deployment() as deployment:
        if options.serve:
            return _served(deployment)
        text = serving.exposition(deployment)
    return Answer(lambda: serving.samples(text), raw=text)


def _served(deployment: Deployment) -> Answer:
    from tidemark.metrics import serving

    with serving.serve_if_asked(deployment) as address:
        if address is None:
            raise UsageError("TIDEMARK_METRICS is not set: name the address to serve at, such as 127.0.0.1:9102")
        shown.warn(f"serving http://{address}/metrics; Ctrl-C ends it")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container has no default
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return Answer({"served": str(address)})


def config(options: argparse.Namespace) -> Answer:
    """Show the settings that are in force, by the names of their environment variables; secrets are masked."""
    data = in_force()
    return Answer(data, shown.settings_text(data))
