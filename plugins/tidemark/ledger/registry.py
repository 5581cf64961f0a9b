"""Names and keys as the ledger's integers: assets, partitions, code versions.

A name belongs to the pipeline that registered it first.
"""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tidemark.errors import DefinitionError
from tidemark.fingerprint import Fingerprint
from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.schema import asset, code_version, partition, scheme
from tidemark.partitions import Grain, TimeGrain, grain_of

# SQLite takes 32,766 variables in a statement, PostgreSQL 65,535.
CHUNK = 5_000


def chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    """Cut a long list into lists that one statement can take."""
    every = list(values)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT that leaves rows alone that are there already; both databases spell it alike."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT that replaces what a row with the same primary key holds."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


@dataclass(frozen=True)
class Registered:
    """An asset as the ledger knows it."""

    id: int
    name: str
    pipeline: str
    kind: str
    grain: Grain
    definition: Mapping[str, Any]
    nondeterministic: bool

    @property
    def is_given_up(self) -> bool:
        """Whether its pipeline has it no longer."""
        return bool(self.definition.get(_GIVEN_UP))


# Stands in a definition that its pipeline has taken out.
_GIVEN_UP = "given_up"


def assets(connection: sa.Connection) -> dict[str, Registered]:
    """Return all registered assets by name."""
    return {
        row.name: Registered(
            row.id,
            row.name,
            row.pipeline,
            row.kind,
            grain_of(row.scheme, tuple(row.static_keys), row.definition.get("start")),
            row.definition,
            row.nondeterministic,
        )
        for row in connection.execute(sa.select(asset))
    }


@dataclass(frozen=True)
class Registration:
    """What a pipeline says of one of its members."""

    name: str
    kind: str
    grain: Grain
    static_keys: tuple[str, ...]
    definition: Mapping[str, Any]
    where: str  # file, line and name, for messages


def register(connection: sa.Connection, pipeline: str, members: Iterable[Registration]) -> dict[str, int]:
    """Write down a pipeline's members and return their ids by name.

    Raises:
        DefinitionError: when another pipeline owns a name, or a member's grain is not the one it was registered with.

    """
    claims = list(members)
    known = assets(connection)
    if any(each.name not in known for each in claims):
        take_turn(connection, Turn.NAMES)
        known = assets(connection)  # another may just have registered them
    for each in claims:
        row = {
            "name": each.name,
            "pipeline": pipeline,
            "kind": each.kind,
            "scheme": each.grain.scheme,
            "static_keys": list(each.static_keys),
            "definition": dict(each.definition),
        }
        found = known.get(each.name)
        if found is None:
            connection.execute(sa.insert(asset).values(**row, nondeterministic=False, registered_at=datetime.now(UTC)))
            continue
        if found.pipeline != pipeline:
            raise DefinitionError(
                f"{each.where}: the name {each.name!r} belongs to the pipeline {found.pipeline!r}: "
                f"choose another, or read that one with ref({each.name!r})"
            )
        if found.grain.scheme != each.grain.scheme:
            raise DefinitionError(
                f"{each.where}: {each.name!r} was registered as {found.grain.scheme} and is now {each.grain.scheme}: "
                "its history has other keys, so give it a new name"
            )
        if found.definition != each.definition or tuple(getattr(found.grain, "keys", ())) != each.static_keys:
            connection.execute(sa.update(asset).where(asset.c.id == found.id).values(**row))
    names = {row.name: row.id for row in connection.execute(sa.select(asset.c.name, asset.c.id))}
    return {each.name: names[each.name] for each in claims}


def give_up(connection: sa.Connection, pipeline: str, members: Iterable[str]) -> None:
    """Note which assets a pipeline has no longer, so that nobody waits for them; they come back by being registered."""
    for each in newly_given_up(assets(connection), pipeline, members):
        definition = {**each.definition, _GIVEN_UP: True}
        connection.execute(sa.update(asset).where(asset.c.id == each.id).values(definition=definition))


def newly_given_up(known: Mapping[str, Registered], pipeline: str, members: Iterable[str]) -> list[Registered]:
    """Return the assets that a pipeline has no longer, and of which that is not noted yet."""
    still = set(members)
    return [
        each for each in known.values() if each.pipeline == pipeline and each.name not in still and not each.is_given_up
    ]


def is_registered(known: Mapping[str, Registered], pipeline: str, members: Iterable[Registration]) -> bool:
    """Return whether all members are written down just as they are now."""
    return all(
        each.name in known
        and known[each.name].pipeline == pipeline
        and known[each.name].kind == each.kind
        and known[each.name].grain.scheme == each.grain.scheme
        and known[each.name].definition == each.definition
        and tuple(getattr(known[each.name].grain, "keys", ())) == each.static_keys
        for each in members
    )


# An id holds the number of the grain's scheme above these bits and the partition's own below them, counted from their
# middle: ordinals may be negative.
_BITS = 40
_MIDDLE = 1 << (_BITS - 1)


@dataclass(frozen=True)
class Ids:
    """The ids of one scheme's partitions: computed for grains of time, else as they were given out.

    Attributes:
        number: the scheme's number.
        keys: id of each key of a grain that is not one of time.

    """

    number: int
    keys: dict[str, int] = field(default_factory=dict)

    def of_time(self, ordinal: int) -> int:
        """Return the id of a partition of a grain of time; in a scheme, ids rise with time."""
        return (self.number << _BITS) + _MIDDLE + ordinal

    def ordinal(self, partition_id: int) -> int:
        """Return the ordinal that an id of a grain of time stands for."""
        return (partition_id & ((1 << _BITS) - 1)) - _MIDDLE


def scheme_ids(connection: sa.Connection, grains: Iterable[Grain]) -> dict[str, Ids]:
    """Return the ids of the grains' schemes that the ledger has met, by scheme."""
    wanted = {grain.scheme: grain for grain in grains}
    query = sa.select(scheme.c.name, scheme.c.id).where(scheme.c.name.in_(wanted))
    return {
        name: Ids(number, {} if isinstance(wanted[name], TimeGrain) else partition_ids(connection, wanted[name]))
        for name, number in connection.execute(query)
    }


def ensure_schemes(connection: sa.Connection, grains: Iterable[Grain]) -> None:
    """Give numbers to schemes that have none yet."""
    rows = [{"name": name} for name in sorted({grain.scheme for grain in grains})]
    connection.execute(insert_new(connection, scheme), rows)


def partition_ids(connection: sa.Connection, grain: Grain) -> dict[str, int]:
    """Return the ids of all keys of a grain's scheme that the ledger has met."""
    query = sa.select(partition.c.key, partition.c.id).where(partition.c.scheme == grain.scheme)
    return {row.key: row.id for row in connection.execute(query)}


def ensure_partitions(connection: sa.Connection, grain: Grain, keys: Iterable[str]) -> dict[str, int]:
    """Write keys down that the ledger has not met, and return the ids of all that were given."""
    ids = scheme_ids(connection, [grain])
    if grain.scheme not in ids:
        ensure_schemes(connection, [grain])
        ids = scheme_ids(connection, [grain])
    mine = ids[grain.scheme]
    if not isinstance(grain, TimeGrain):
        return _ensure_keys(connection, grain, mine, keys)
    ordinals = {key: grain.ordinal(key) for key in keys}
    rows = [
        {
            "id": mine.of_time(ordinal),
            "scheme": grain.scheme,
            "key": key,
            "starts_at": grain.begins(ordinal),
            "ends_at": grain.ends(ordinal),
        }
        for key, ordinal in ordinals.items()
    ]
    if rows:
        connection.execute(insert_new(connection, partition), rows)
    return {key: mine.of_time(ordinal) for key, ordinal in ordinals.items()}


def _ensure_keys(connection: sa.Connection, grain: Grain, ids: Ids, keys: Iterable[str]) -> dict[str, int]:
    wanted = list(dict.fromkeys(keys))
    if any(key not in ids.keys for key in wanted):
        take_turn(connection, Turn.NAMES)
        ids.keys.update(partition_ids(connection, grain))  # another may just have written them down
        new = [key for key in wanted if key not in ids.keys]
        found = {key: ids.of_time(len(ids.keys) + place) for place, key in enumerate(new)}
        if found:
            rows = [{"id": number, "scheme": grain.scheme, "key": key} for key, number in found.items()]
            connection.execute(sa.insert(partition), rows)
        ids.keys.update(found)
    return {key: ids.keys[key] for key in wanted}


def code_version_id(connection: sa.Connection, code: Fingerprint, commit: tuple[str | None, bool | None]) -> int:
    """Return the id of a code version, writing it down at its first use.

    Args:
        connection: a writing connection.
        code: the fingerprint with its components.
        commit: the git commit of the definition's folder, and whether it had uncommitted changes.

    """
    query = sa.select(code_version.c.id).where(code_version.c.fingerprint == code.digest)
    found = connection.execute(query).scalar()
    if found is None:
        row = {
            "fingerprint": code.digest,
            "components": [[part.label, part.file, part.line, part.digest.hex()] for part in code.components],
            "distributions": [list(pair) for pair in code.distributions],
            "image": code.image,
            "python": platform.python_version(),
            "git_commit": commit[0],
            "git_dirty": commit[1],
            "first_seen_at": datetime.now(UTC),
        }
        connection.execute(insert_new(connection, code_version), [row])
        found = connection.execute(query).scalar_one()
    return int(found)
