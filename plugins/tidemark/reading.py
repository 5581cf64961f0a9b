"""Reading what is live: one partition or all of an asset, and SQL over live heads."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import UsageError, close
from tidemark.facts import Names, read_heads
from tidemark.frames import RAW, Part, load
from tidemark.ledger import records, registry
from tidemark.ledger.registry import Registered

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as pads


def live_parts(deployment: Deployment, asset: str, partition: str | None = None) -> list[Part]:
    """Return the live partitions of an asset, or one of them, as files, in time order.

    Raises:
        UsageError: there is no such asset, or nothing is live for the partition.

    """
    with deployment.ledger.read() as connection:
        registered = _registered(registry.assets(connection), asset)
        grain = registered.grain
        names = Names({asset: registered.id}, {asset: grain}, registry.scheme_ids(connection, [grain]))
        wanted = grain.ordinal(partition) if partition is not None else None
        live = read_heads(connection, deployment, names, asset, wanted)
        made = records.made(connection, [head.materialization for head in live.values()])
    if partition is not None and not live:
        raise UsageError(f"nothing is live for {asset} {partition}: 'tidemark explain {asset} {partition}' says why")
    parts = []
    for ordinal, head in sorted(live.items()):
        stored = made[head.materialization].stored
        parts.append(Part(grain.key(ordinal), deployment.store.path(stored.blob), stored.format, stored.declared))
    return parts


def _registered(known: Mapping[str, Registered], asset: str) -> Registered:
    if asset not in known:
        hint = close(asset, known) if known else ": run its pipeline first"
        raise UsageError(f"the ledger knows no asset {asset!r}{hint}")
    return known[asset]


def read(asset: str, partition: str | None = None, *, as_: object = None, deployment: Deployment | None = None) -> Any:
    """Read what is live.

    Args:
        asset: name of an asset or source.
        partition: one key; without it all live partitions arrive together, in time order, with a column ``partition``.
        as_: what to return, as an asset's function would annotate it: ``pd.DataFrame``, ``pl.LazyFrame``, ...;
            a polars DataFrame without it.
        deployment: where; the settings' own without it.

    Raises:
        UsageError: there is no such asset, or nothing is live for the partition.

    """
    if deployment is None:
        with open_deployment() as opened:
            return read(asset, partition, as_=as_, deployment=opened)
    parts = live_parts(deployment, asset, partition)
    return load(parts, as_, windowed=partition is None, name=asset)


# Views over files would need access to files, and what DuckDB may read it may also overwrite, within a SELECT too:
# so it gets the data handed over, and writes nothing when memory runs out.
_CONFINED = """
    SET temp_directory = ''; SET python_enable_replacements = false; SET autoinstall_known_extensions = false;
    SET enable_external_access = false; SET lock_configuration = true
"""


def query(deployment: Deployment, sql: str) -> "duckdb.DuckDBPyRelation":
    """Run SQL on DuckDB, with a view for each asset that the text names: its live heads, and a column ``partition``.

    The query has no other access to anything: no file, no network, no extension, no variable of this process.

    Raises:
        UsageError: the text is no single query, DuckDB refuses it, or it names what is no table.

    """
    import duckdb

    connection = duckdb.connect()
    connection.execute(_CONFINED)
    with deployment.ledger.read() as opened:
        known = registry.assets(opened)
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    texts = {name for name in known.keys() & words if not _make_view(connection, deployment, name)}
    try:
        statements = connection.extract_statements(sql)
        queries = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
        if len(statements) != 1 or statements[0].type not in queries:
            raise UsageError('write one query, such as "SELECT * FROM price_list": what is live cannot be changed')
        return connection.sql(sql).materialize()
    except duckdb.PermissionException as problem:
        said = str(problem).removeprefix("Permission Error: ")
        raise UsageError(f"a query reads what is live and nothing else: {said}") from problem
    except duckdb.Error as problem:
        raise UsageError(_refusal(str(problem), known, texts)) from problem


def _refusal(problem: str, known: Mapping[str, Registered], texts: set[str]) -> str:
    """Return what DuckDB says, in our words where it looked for one of its own tables."""
    missing = re.search(r"Table with name (\w+) does not exist", problem)
    if missing is None:
        return problem
    name = missing[1]
    if name.lower() in texts:
        return f"{name} is no table: its function returns text or bytes; 'tidemark read {name} PARTITION' prints them"
    return (
        f"there is no asset {name!r}{close(name, known)}" if known else "the ledger knows no asset yet: run a pipeline"
    )


def _make_view(connection: "duckdb.DuckDBPyConnection", deployment: Deployment, asset: str) -> bool:
    """Make the view of an asset; returns whether it is one of tables."""
    parts = live_parts(deployment, asset)
    if any(part.format in RAW for part in parts):
        return False
    if parts and all(part.format == "parquet" and part.schema is None for part in parts):
        connection.register(asset, _dataset(asset, parts))
    else:
        import pyarrow as pa

        connection.register(asset, load(parts, pa.Table, windowed=True, name=asset))
    return True


def _dataset(asset: str, parts: Sequence[Part]) -> "pads.Dataset":
    """Return files as a table of which only what a query needs is read."""
    import pyarrow as pa
    import pyarrow.dataset as pads
    import pyarrow.fs as pafs
    import pyarrow.parquet as pq

    from tidemark.frames.windows import PARTITION, union_schema

    columns = union_schema([(part.partition, pq.read_schema(part.path)) for part in parts], asset)
    schema = pa.schema([pa.field(PARTITION, pa.string()), *columns])
    form, files = pads.ParquetFileFormat(), pafs.LocalFileSystem()
    column = pads.field(PARTITION)
    fragments = [
        form.make_fragment(str(part.path), files, partition_expression=column == part.partition) for part in parts
    ]
    return pads.FileSystemDataset(fragments, schema, form)
