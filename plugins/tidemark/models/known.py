"""What the ledger says of a model: its versions, what people decided about them, and who is champion when."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from tidemark.assets import CHAMPIONS, champion_of
from tidemark.deployment import Deployment
from tidemark.errors import UsageError, close, listed
from tidemark.explain import short
from tidemark.facts import Names, read_heads
from tidemark.ledger import decisions, heads, records, registry, validations
from tidemark.ledger.decisions import Decision
from tidemark.ledger.heads import FINAL, Missing
from tidemark.ledger.records import Made
from tidemark.ledger.registry import Registered
from tidemark.ledger.validations import Validated
from tidemark.versions import chosen

CHAMPION = "champion"
CANDIDATE = "candidate"
FORMER = "former champion"
ROLLED_BACK = "rolled back"
REJECTED = "rejected"
INVALID = "did not pass"
SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Attributes:
        made: its materialization.
        state: champion, candidate (the newest, which awaits a decision), did not pass (the newest, which failed its
            validation), former champion, rolled back, rejected or superseded.
        decisions: what people have decided about it, oldest first.
        missing: what it was trained without; empty: final, or live no more.

    """

    made: Made
    state: str
    decisions: tuple[Decision, ...]
    missing: Missing


@dataclass(frozen=True)
class Reign:
    """From when to when a champion is in force.

    Attributes:
        version: the data version of the model.
        trained: the partition that it was trained for.
        begins: the first instant at which it is in force.
        ends: the instant from which the next one is; None: there is none yet.
        decision: who promoted it, when, and why.

    """

    version: bytes
    trained: str
    begins: datetime
    ends: datetime | None
    decision: Decision


class Model:
    """A model, and what the ledger says of it in one transaction.

    Everything is the ledger's: a model whose file is broken or gone can be looked at, and taken back.
    """

    def __init__(self, connection: sa.Connection, deployment: Deployment, name: str) -> None:
        self.connection = connection
        self.deployment = deployment
        self.name = name
        self.known = registry.assets(connection)
        self.registered = registered_model(self.known, name)
        self.id = self.registered.id
        self.champions = self.known[champion_of(name)]
        live = self._heads(self.registered)
        self.newest = live[max(live)].materialization if live else None
        self.decisions = decisions.read(connection, self.id)
        self.standing = [each for each in self.decisions if each.stands]
        wanted = {head.materialization for head in live.values()} | {each.candidate for each in self.decisions}
        # Those that people were asked about: one that was trained anew for the same partition is live no more.
        wanted.update(validations.candidates(connection, self.id))
        self.made = records.made(connection, wanted)
        self.validated = validations.newest(connection, self.newest) if self.newest is not None else None
        self.missing = {head.materialization: head.missing for head in live.values()}

    @property
    def champion(self) -> Made | None:
        """The version that was promoted last, and not taken back."""
        return self.made[self.standing[-1].candidate] if self.standing else None

    def decided(self, made: Made) -> tuple[Decision, ...]:
        """Return what was decided about a version, oldest first: equal content is one version, whoever trained it."""
        return tuple(each for each in self.decisions if self.made[each.candidate].data_version == made.data_version)

    def state(self, made: Made) -> str:
        """Return what a version is."""
        mine = self.decided(made)
        if self.champion is not None and self.champion.data_version == made.data_version:
            return CHAMPION
        if any(each.stands for each in mine):
            return FORMER
        if mine:
            return ROLLED_BACK if mine[-1].outcome == decisions.PROMOTED else REJECTED
        if made.id != self.newest:
            return SUPERSEDED
        return INVALID if self.validated is not None and not self.validated.passed else CANDIDATE

    @property
    def candidate(self) -> Made | None:
        """The newest training, if nobody has decided about it, whether it passes or not."""
        made = self.made[self.newest] if self.newest is not None else None
        return made if made is not None and self.state(made) in (CANDIDATE, INVALID) else None

    def versions(self) -> Iterator[Version]:
        """Yield all versions that are live, were validated or decided about, the newest training first."""
        by_age = sorted(self.made.values(), key=lambda each: (each.partition, each.id), reverse=True)
        for made in by_age:
            yield Version(made, self.state(made), self.decided(made), self.missing.get(made.id, FINAL))

    def choose(self, version: str | None) -> Made:
        """Return a version by its first characters, its newest training; without them the newest of all.

        Raises:
            UsageError: there is none of that kind, or several.

        """
        if version is not None:
            live = self.made[self.newest].data_version if self.newest is not None else None
            if live is not None and self.newest is not None and live.hex().startswith(version.lower()):
                return self.made[self.newest]  # equal content may have been trained in several ways
            newest_first = sorted(self.made.values(), key=lambda each: each.id, reverse=True)
            return chosen(newest_first, self.name, version)
        if self.newest is None:
            raise UsageError(f"{self.name} has no candidate: nothing was trained yet")
        return self.made[self.newest]

    def begins(self, each: Decision) -> datetime:
        """Return from when on a promoted version is in force."""
        assert each.partition_id is not None
        ids = registry.scheme_ids(self.connection, [CHAMPIONS])[CHAMPIONS.scheme]
        return CHAMPIONS.begins(ids.ordinal(each.partition_id))

    def head_at(self, partition_id: int) -> int | None:
        """Return what is live in a partition of the champions."""
        own = heads.current(self.connection, heads.PROD, self.champions.id, partition_id, partition_id)
        return own[partition_id].materialization if partition_id in own else None

    @property
    def readers(self) -> list[Registered]:
        """The assets, of whatever pipeline, that read the champion in force."""
        wanted = self.champions.name
        return [
            each
            for each in self.known.values()
            if not each.is_given_up and any(name == wanted for name, _ in each.definition.get("inputs", ()))
        ]

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The pipelines of the readers."""
        return tuple(sorted({each.pipeline for each in self.readers}))

    def ordinals(self, reader: Registered) -> list[int]:
        """Return a reader's partitions with a head, in order."""
        return sorted(self._heads(reader))

    def _heads(self, registered: Registered) -> dict[int, heads.Head]:
        ids = registry.scheme_ids(self.connection, [registered.grain])
        if registered.grain.scheme not in ids:
            return {}
        names = Names({registered.name: registered.id}, {registered.name: registered.grain}, ids)
        return read_heads(self.connection, self.deployment, names, registered.name)


def registered_model(known: Mapping[str, Registered], name: str) -> Registered:
    """Return a model as the ledger knows it.

    Raises:
        UsageError: there is no such asset, or it is no model.

    """
    found = known.get(name)
    if found is not None and found.definition.get("model"):
        return found
    models = [each.name for each in known.values() if each.definition.get("model")]
    if found is not None:
        raise UsageError(f"{name!r} is no model: the ledger knows {listed(models)}")
    raise UsageError(f"the ledger knows no model {name!r}{close(name, models)}: a model is known once its pipeline ran")


def versions(deployment: Deployment, name: str) -> list[Version]:
    """Return all versions of a model that are live, were validated or decided about, the newest training first.

    Raises:
        UsageError: the ledger knows no such model.

    """
    with deployment.ledger.read() as connection:
        return list(Model(connection, deployment, name).versions())


def reigns(deployment: Deployment, name: str) -> list[Reign]:
    """Return from when to when each champion that stands is in force, the earliest first.

    Raises:
        UsageError: the ledger knows no such model.

    """
    with deployment.ledger.read() as connection:
        model = Model(connection, deployment, name)
        # Of two that are in force from the same hour on, the later promotion counts.
        by_start = {model.begins(each): each for each in model.standing}
        starts = sorted(by_start)
        ends: Sequence[datetime | None] = [*starts[1:], None]
        found = []
        for begins, end in zip(starts, ends, strict=False):
            made = model.made[by_start[begins].candidate]
            assert made.data_version is not None
            found.append(Reign(made.data_version, made.partition, begins, end, by_start[begins]))
        return found


def comparison(deployment: Deployment, name: str, version: str | None) -> tuple[Made, Validated | None]:
    """Return a version, by its first characters or the newest, and how it came out when it was validated last.

    Raises:
        UsageError: the ledger knows no such model or version.

    """
    with deployment.ledger.read() as connection:
        made = Model(connection, deployment, name).choose(version)
        return made, validations.newest(connection, made.id)


def named(name: str, made: Made) -> str:
    """Return a version as messages name it."""
    return f"{name} {short(made.data_version)} (trained for {made.partition})"
