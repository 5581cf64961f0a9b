"""What the parts of a worker share: one asset's batch, and one partition that is finished."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tidemark.assets import Asset, Pipeline
from tidemark.config import git_commit
from tidemark.deployment import Deployment
from tidemark.facts import Names
from tidemark.gate import GateResult
from tidemark.ledger import heads, records, registry
from tidemark.ledger.heads import Missing
from tidemark.ledger.leases import Lease
from tidemark.running.results import Result
from tidemark.survey import Judgement, Survey

# What a suite said of a data version, when it was asked just now.
Checked = tuple[bytes, GateResult]


@dataclass(frozen=True)
class Batch:
    """What is worked on, where, and for whom.

    Attributes:
        deployment: where.
        pipeline: whose asset it is.
        names: ids of the pipeline's members and keys.
        survey: what is to be done; kept up to date as the work goes on.
        asset: whose partitions are worked on.
        plan_id: the plan that asked for them.
        run: name of the run.
        actor: who started it.
        holder: name under which leases are held.
        bundle: the DAG bundle that the definitions are of, with its version, if that is known.
        own: numbers of the changes that this process has made.

    """

    deployment: Deployment
    pipeline: Pipeline
    names: Names
    survey: Survey
    asset: Asset
    plan_id: int
    run: str
    actor: str
    holder: str
    bundle: str | None = None
    own: set[int] = field(default_factory=set)

    @property
    def asset_id(self) -> int:
        """The asset's number in the ledger."""
        return self.names.assets[self.asset.name]

    @property
    def environment(self) -> str:
        """The set of heads that is moved."""
        return self.deployment.environment

    @cached_property
    def code_version(self) -> int:
        """The number of the asset's code version, written down at its first use."""
        folder = (self.pipeline.file or self.deployment.settings.dags).parent
        with self.deployment.ledger.write() as connection:
            return registry.code_version_id(connection, self.asset.code, git_commit(folder))


@dataclass(frozen=True)
class Done:
    """One partition that is finished and not yet written down.

    Attributes:
        judged: what the survey said of it under the lease.
        lease: the right to publish it.
        result: what became of it.
        detail: what happened, in words.
        reason: why it was in the plan.
        record: a materialization to be written down.
        number: stands for the record's id until it has one; negative.
        known: a materialization that becomes the head without having run.
        version: data version of what becomes the head.
        checked: what the gate said just now.
        missing: what the head is provisional for.
        void: the head goes, and none comes.
        nondeterministic: the function gave another result than before for the same action key.

    """

    judged: Judgement
    lease: Lease
    result: Result
    detail: str = ""
    reason: str = ""
    record: records.Record | None = None
    number: int | None = None
    known: int | None = None
    version: bytes | None = None
    checked: Checked | None = None
    missing: Missing = heads.FINAL
    void: bool = False
    nondeterministic: bool = False

    @property
    def publishes(self) -> bool:
        """Whether the head moves to a materialization."""
        return self.result in (Result.COMPUTED, Result.RESTORED) and self.version is not None

    def materialization(self, real: Mapping[int, int]) -> int | None:
        """Return the materialization that becomes the head; ``real`` holds the ids of records by their numbers."""
        return self.known if self.number is None else real.get(self.number, self.number)


def above(pipeline: Pipeline, asset: Asset) -> list[Asset]:
    """Return the assets of a pipeline that one reads, at any depth, in the pipeline's order."""
    wanted = {asset.name}
    for each in reversed(pipeline.assets):
        if each.name in wanted:
            wanted.update(read.upstream for read in each.inputs)
    return [each for each in pipeline.assets if each.name in wanted - {asset.name}]
