"""The ledger's database: transactions, migrations, and a clear refusal when schema and code do not belong together.

A writing transaction on SQLite takes the write lock as it begins; on PostgreSQL it takes one advisory lock when it
first changes heads (see :func:`tidemark.ledger.heads.new_change`). Either way the numbers of changes rise in the order
in which changes become visible.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from tidemark.errors import Refused, Unavailable, UsageError

# The newest migration in migrations/versions; a test holds it against Alembic's own answer.
SCHEMA_VERSION = "0006"

# How long a statement waits for another's lock, and a connection for its server: well below the 30 seconds after
# which a person must have been told.
PATIENCE_SECONDS = 20


class Turn(IntEnum):
    """What only one writer does at a time; any numbers will do, as long as they are always the same.

    Who takes several turns in one transaction takes them in the order in which they stand here: two who wait for each
    other would both be given up.
    """

    UPGRADE = 7_415_205_915
    NAMES = 7_415_205_916
    OBSERVATIONS = 7_415_205_917
    HEADS = 7_415_205_913
    INCIDENTS = 7_415_205_918
    NOTICES = 7_415_205_919
    WATCH = 7_415_205_920
    AUDIT = 7_415_205_914


def take_turn(connection: sa.Connection, turn: Turn) -> None:
    """Wait until no other transaction has this turn, and keep it until this one ends; on SQLite writers wait anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": int(turn)})


# PostgreSQL's code for what a role may not do.
_NO_PRIVILEGE = "42501"


class Ledger:
    """A ledger that can be read and written.

    Args:
        url: an SQLAlchemy URL of SQLite or PostgreSQL.

    Raises:
        UsageError: when the URL is not one of these.
        Unavailable: when the folder of an SQLite file cannot be made.

    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.engine = _engine(self.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is one file."""
        return self.url.get_backend_name() == "sqlite"

    def __repr__(self) -> str:
        return f"Ledger({self.url.render_as_string(hide_password=True)!r})"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection whose reads all see one state.

        Raises:
            Unavailable: when the database cannot be reached.

        """
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection whose writes become visible together, at the end, or not at all.

        Raises:
            Unavailable: when the database cannot be reached or written.

        """
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sa.Connection]:
        options: dict[str, Any] = {"tidemark_writes": writes}
        if not self.is_sqlite and not writes:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        try:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except sa.exc.DBAPIError as problem:
            if not _is_outage(problem):
                raise
            raise _unavailable(self.url, str(problem.orig)) from problem

    def version(self) -> str | None:
        """Return the migration that the schema is at, or None for a database without a ledger."""
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def check(self) -> None:
        """Refuse to work on a schema that is not the code's.

        Raises:
            Refused: when the schema is older or newer, or there is none.

        """
        version = self.version()
        if version == SCHEMA_VERSION:
            return
        place = self.url.render_as_string(hide_password=True)
        if version is None:
            raise Refused(f"there is no ledger at {place} yet: run 'tidemark db upgrade'")
        if version < SCHEMA_VERSION:
            raise Refused(
                f"the ledger {place} has schema {version}, older than this Tidemark's {SCHEMA_VERSION}: "
                "stop other runs, then 'tidemark db upgrade'"
            )
        raise Refused(
            f"the ledger {place} has schema {version}, newer than this Tidemark's {SCHEMA_VERSION}: "
            "install the release that made it"
        )

    def is_newer(self) -> bool:
        """Return whether the schema is of a later release than this code."""
        version = self.version()
        return version is not None and version > SCHEMA_VERSION

    def upgrade(self) -> str:
        """Bring the schema to the code's version and return it; a schema that is there already stays as it is.

        Raises:
            Refused: when the schema is newer than the code.
            Unavailable: when the database cannot be reached.

        """
        from alembic import command
        from alembic.config import Config

        if self.is_newer():
            self.check()
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as connection:
            take_turn(connection, Turn.UPGRADE)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return SCHEMA_VERSION

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()


def _checked(url: str) -> URL:
    try:
        made = make_url(url)
    except (sa.exc.ArgumentError, ValueError) as problem:
        raise UsageError(
            "the ledger's URL is none: write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from problem
    if made.drivername in ("postgresql", "postgres"):
        made = made.set(drivername="postgresql+psycopg2")
    if made.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(f"a ledger on {made.get_backend_name()!r} is not supported: use SQLite or PostgreSQL")
    return made


def _engine(url: URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        served = sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})

        @sa.event.listens_for(served, "begin")
        def _be_patient(connection: sa.Connection) -> None:
            # For this transaction alone: behind a pooler, such as PgBouncer, the next one may be anybody's, and what a
            # connection asks for as it starts is refused there.
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'")

        return served
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise _unavailable(url, str(problem)) from problem
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE_SECONDS, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, record: object) -> None:
        # Transactions are begun below, by us: the driver's own would take the write lock late and could then deadlock.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("tidemark_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _is_outage(problem: sa.exc.DBAPIError) -> bool:
    """Return whether a database failed us, and not we it; each driver has its own classes for that."""
    code = getattr(problem.orig, "sqlite_errorname", None)
    if code is not None:
        return bool(code != "SQLITE_ERROR" and not code.startswith("SQLITE_CONSTRAINT"))
    outages = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
    return isinstance(problem, outages) or getattr(problem.orig, "pgcode", None) == _NO_PRIVILEGE


def _unavailable(url: URL, problem: str) -> Unavailable:
    return Unavailable(
        f"the ledger {url.render_as_string(hide_password=True)} cannot be used: {problem.strip().splitlines()[0]}; "
        "nothing was half written. Check that the database runs, that its disk has room, and TIDEMARK_LEDGER_URL"
    )
