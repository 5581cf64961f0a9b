"""Backups of PostgreSQL databases in a bucket: the ledger, and the databases of Airflow and MLflow beside it.

A backup is a folder named after the instant at which it was begun, with a dump of each database and, written last, a
manifest with their digests. Invariants: without its manifest a backup does not count, so that one that was broken off
is never restored; a dump is checked against its digest before anything of it is written; a database is restored in one
transaction, entirely or not at all. No password is on a command line, where others of the machine could read it. A
ledger knows of its newest backup, so that the watch can tell when they have stopped.

The ledger is dumped without stopping anybody: it refers only to blobs that are in the store by then, and nothing
deletes blobs. So the store needs no backup of the same instant, only one that is not older.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from tidemark.bucket import Bucket, is_absent
from tidemark.errors import Refused, Unavailable, UsageError, listed
from tidemark.ledger import Ledger, heartbeats
from tidemark.places import redact_text, scrub, secrets

LATEST = "latest"
LEDGER = "ledger"
"""The name of the ledger among the databases of a backup."""
HEARTBEAT = "backup"
"""The name under which a ledger keeps when the newest backup of it was begun."""

_NAME = "%Y%m%dT%H%M%SZ"
_MANIFEST = "manifest.json"
_CONNECT_SECONDS = "20"
_CHUNK = 1 << 20

# The schema goes with everything in it, also what was made after the backup.
_EMPTIED = "SET client_min_messages = warning;\nDROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\n"


@dataclass(frozen=True)
class Dump:
    """One database in a backup: its name, and the size and SHA-256 of the dump."""

    database: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Backup:
    """A complete backup: its name, which is the instant at which it was begun, and what is in it."""

    name: str
    made_by: str
    dumps: tuple[Dump, ...]

    @property
    def begun(self) -> datetime:
        """When it was begun."""
        return datetime.strptime(self.name, _NAME).replace(tzinfo=UTC)


class Backups:
    """A place where backups are kept.

    Args:
        url: ``s3://bucket/prefix``.
        scratch: a folder with room for the largest dump; None: the system's for temporary files.

    Raises:
        UsageError: the URL is not of that form.

    """

    def __init__(self, url: str, scratch: Path | None = None) -> None:
        if not url.startswith("s3://"):
            raise UsageError(f"backups cannot be kept at {url!r}: write s3://bucket/prefix")
        self._bucket = Bucket(url, role="place of backups")
        self._scratch = scratch

    # -- make

    def make(self, databases: Mapping[str, str], now: datetime) -> Backup:
        """Dump databases, and return the backup once all of it is there.

        Args:
            databases: the URL of each by the name that it has in the backup.
            now: the instant that names it.

        Raises:
            UsageError: a URL is not PostgreSQL's, or there is no ``pg_dump``.
            Unavailable: a database cannot be dumped, or the place not be written; nothing counts as a backup then.

        """
        name, dumps = now.astimezone(UTC).strftime(_NAME), []
        with self._room() as folder:
            for database, url in databases.items():
                file = folder / "dump"
                _run(database, url, ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}"])
                dumps.append(Dump(database, file.stat().st_size, _sha256(file)))
                with self._bucket.speaking("written"):
                    self._bucket.client.upload_file(str(file), self._bucket.name, self._key(name, f"{database}.dump"))
                file.unlink()
        made = Backup(name, _version_of("pg_dump"), tuple(dumps))
        with self._bucket.speaking("written"):
            self._bucket.client.put_object(
                Bucket=self._bucket.name, Key=self._key(name, _MANIFEST), Body=json.dumps(asdict(made)).encode()
            )
        return made

    # -- find

    def complete(self) -> list[Backup]:
        """Return the complete backups, the newest first; raises Unavailable when the place cannot be read."""
        found = (self._manifest(name) for name in sorted(self._files(), reverse=True))
        return [backup for backup in found if backup is not None]

    def find(self, name: str) -> Backup:
        """Return a backup by its name, or the newest for ``latest``.

        Raises:
            UsageError: there is none of that name, or it is not complete.
            Unavailable: the place cannot be read.

        """
        backups = self.complete()
        for backup in backups:
            if name in (backup.name, LATEST):
                return backup
        there = f"; there are {listed(each.name for each in backups)}" if backups else ", nor any other"
        raise UsageError(f"there is no complete backup {name} in {self._bucket.url}{there}")

    # -- restore

    def restore(self, backup: Backup, databases: Mapping[str, str], *, replace: bool) -> None:
        """Write a backup into databases, each in one transaction; what is not named stays as it is.

        Args:
            backup: which.
            databases: the URL of each by its name in the backup.
            replace: also where there are tables already: they are dropped, with all that is in them.

        Raises:
            UsageError: one is not in the backup.
            Refused: a database is not empty, or a dump is not what was written: then none was touched.
            Unavailable: a database cannot be reached or written; those before it are restored.

        """
        dumps = {dump.database: dump for dump in backup.dumps}
        if missing := set(databases) - set(dumps):
            raise UsageError(f"backup {backup.name} has no {listed(missing)}: it has {listed(dumps)}")
        if not replace:
            for database, url in databases.items():
                _must_be_empty(database, url)
        with self._room() as folder:
            files = {name: self._fetched(backup, dumps[name], folder) for name in databases}
            for database, url in databases.items():
                _write(database, url, files[database], folder, replace=replace)

    def _fetched(self, backup: Backup, dump: Dump, folder: Path) -> Path:
        file = folder / f"{dump.database}.dump"
        with self._bucket.speaking("read"):
            key = self._key(backup.name, file.name)
            self._bucket.client.download_file(self._bucket.name, key, str(file))
        if _sha256(file) != dump.sha256:
            raise Refused(f"{dump.database} in backup {backup.name} is not what was written: take another backup")
        return file

    # -- remove

    def prune(self, keep_days: int, now: datetime) -> list[str]:
        """Remove what is older than so many days, but never the newest complete backup; return the names.

        Raises:
            Unavailable: the place cannot be read, or nothing be deleted there.

        """
        newest = next(iter(self.complete()), None)
        limit = (now.astimezone(UTC) - timedelta(days=keep_days)).strftime(_NAME)
        old = {name: files for name, files in self._files().items() if name < limit}
        if newest is not None:
            old.pop(newest.name, None)
        for files in old.values():
            # The manifest goes first: what is half gone must not look complete.
            for key in sorted(files, key=lambda key: not key.endswith(_MANIFEST)):
                with self._bucket.speaking("cleared of old backups"):
                    self._bucket.client.delete_object(Bucket=self._bucket.name, Key=key)
        return sorted(old)

    # -- the place

    def _key(self, name: str, file: str) -> str:
        return f"{self._bucket.prefix}{name}/{file}"

    def _files(self) -> dict[str, list[str]]:
        """The keys of each folder that is named as a backup is."""
        found: dict[str, list[str]] = {}
        with self._bucket.speaking("listed"):
            pages = self._bucket.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=self._bucket.prefix):
                for entry in page.get("Contents", []):
                    name = entry["Key"].removeprefix(self._bucket.prefix).partition("/")[0]
                    if _is_name(name):
                        found.setdefault(name, []).append(entry["Key"])
        return found

    def _manifest(self, name: str) -> Backup | None:
        key = self._key(name, _MANIFEST)
        with self._bucket.speaking("read"):
            try:
                text = self._bucket.client.get_object(Bucket=self._bucket.name, Key=key)["Body"].read()
            except self._bucket.client.exceptions.ClientError as problem:
                if is_absent(problem):
                    return None
                raise
        return _understood(text, name, f"{self._bucket.url}/{name}/{_MANIFEST}")

    @contextmanager
    def _room(self) -> Iterator[Path]:
        with TemporaryDirectory(dir=self._scratch, prefix="tidemark-backup-") as folder:
            yield Path(folder)


def _understood(text: bytes, name: str, place: str) -> Backup:
    try:
        said = json.loads(text)
        dumps = tuple(Dump(each["database"], int(each["size"]), each["sha256"]) for each in said["dumps"])
        if said["name"] != name:  # what it names would be read, or kept, in place of what lies beside it
            raise ValueError(said["name"])
        return Backup(name, said["made_by"], dumps)
    except (ValueError, TypeError, KeyError) as problem:
        raise Unavailable(f"{place} is no manifest of a backup: remove that folder, or restore the file") from problem


def _is_name(text: str) -> bool:
    try:
        datetime.strptime(text, _NAME)
    except ValueError:
        return False
    return True


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def announce(backup: Backup, url: str) -> None:
    """Let a ledger know that there is a backup of it, unless it knows of a newer one.

    Args:
        backup: what was made.
        url: the ledger's.

    Raises:
        Refused: it is of another version.
        Unavailable: it cannot be written.

    """
    ledger = Ledger(_driven(LEDGER, url).render_as_string(hide_password=False))
    try:
        ledger.check()
        with ledger.write() as connection:
            heartbeats.take_heartbeats(connection)
            newest = heartbeats.read(connection, HEARTBEAT)
            if newest is None or newest.at < backup.begun:
                heartbeats.write(connection, HEARTBEAT, {"backup": backup.name}, at=backup.begun)
    finally:
        ledger.close()


# -- PostgreSQL


def _must_be_empty(database: str, url: str) -> None:
    engine = sa.create_engine(_driven(database, url), connect_args={"connect_timeout": int(_CONNECT_SECONDS)})
    try:
        tables = len(sa.inspect(engine).get_table_names())
    except sa.exc.OperationalError as problem:
        raise Unavailable(_said(database, url, "cannot be reached", str(problem.orig))) from problem
    finally:
        engine.dispose()
    if tables:
        raise Refused(
            f"the database for {database} has {tables} tables: restore into an empty one, or replace all that is in it "
            "with --replace, once nobody uses it any more"
        )


def _write(database: str, url: str, dump: Path, folder: Path, *, replace: bool) -> None:
    script = folder / f"{database}.sql"
    with script.open("w") as stream:
        if replace:
            stream.write(_EMPTIED)
    words = ["pg_restore", "--no-owner", "--no-privileges", f"--file={folder / 'rest.sql'}", str(dump)]
    _checked(database, url, words, os.environ)
    with script.open("ab") as stream, (folder / "rest.sql").open("rb") as rest:
        shutil.copyfileobj(rest, stream, _CHUNK)
    dump.unlink()
    words = ["psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
    _run(database, url, [*words, f"--file={script}"])
    script.unlink()


def _run(database: str, url: str, words: list[str]) -> None:
    """Run one of PostgreSQL's programs on a database."""
    parsed = _parsed(database, url)
    # What stands behind the question mark goes before what stands in front of the host, as for libpq.
    password = parsed.query.get("password", parsed.password)
    without = sa.URL.create(
        "postgresql",
        parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query={name: value for name, value in parsed.query.items() if name != "password"},
    ).render_as_string(hide_password=False)
    environment = {**os.environ, "PGCONNECT_TIMEOUT": _CONNECT_SECONDS}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    _checked(database, url, [*words, f"--dbname={without}"], environment)


def _checked(database: str, url: str, words: list[str], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(words, env=dict(environment), capture_output=True, text=True, errors="replace")  # noqa: S603
    except FileNotFoundError as problem:
        raise _lacking(words[0]) from problem
    if done.returncode:
        raise Unavailable(_said(database, url, f"failed in {words[0]}", done.stderr))


def _said(database: str, url: str, what: str, words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return f"the database for {database} {what}: {redact_text(scrub(' '.join(lines[:3]), secrets(url)))}"


def _version_of(program: str) -> str:
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except FileNotFoundError as problem:
        raise _lacking(program) from problem


def _lacking(program: str) -> UsageError:
    return UsageError(
        f"there is no {program} here: install the client of PostgreSQL (apt-get install postgresql-client)"
    )


def _parsed(database: str, url: str) -> sa.URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        # It is not repeated: it may have a password in it.
        raise UsageError(f"the URL of {database} is not PostgreSQL's: write postgresql://user:password@host/database")
    if "sslpassword" in parsed.query:
        raise UsageError(
            f"the URL of {database} has an sslpassword, which would stand on a command line: use a key without one"
        )
    return parsed


def _driven(database: str, url: str) -> sa.URL:
    return _parsed(database, url).set(drivername="postgresql+psycopg2")


def named(pairs: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the URL of each database by its name.

    Args:
        pairs: ``NAME=VARIABLE`` each: the name in the backup, and of the environment variable that holds the URL.
        environ: the environment.

    Raises:
        UsageError: it is not written so, or the variable is not set.

    """
    found = {}
    for pair in pairs:
        name, separator, variable = pair.partition("=")
        if not separator or not name.isidentifier() or not variable:
            raise UsageError(f"--database {pair}: write NAME=VARIABLE, such as ledger=TIDEMARK_LEDGER_URL")
        if not environ.get(variable):
            raise UsageError(f"--database {pair}: the environment variable {variable} is not set: it holds the URL")
        found[name] = environ[variable]
    return found
