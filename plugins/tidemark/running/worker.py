"""A worker: brings the partitions of one asset's batch to their results, one after the other."""

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from tidemark.assets import Asset, Pipeline
from tidemark.changes import sweep_since
from tidemark.deployment import Deployment
from tidemark.facts import LedgerFacts, Names, definitions_digest
from tidemark.ledger import leases, plans
from tidemark.ledger.heads import Head
from tidemark.ledger.leases import Lease
from tidemark.ledger.plans import StoredPlan
from tidemark.mappings import InForce
from tidemark.observe import Progress
from tidemark.running.batch import Batch, Done, above
from tidemark.running.compute import Computation
from tidemark.running.finish import Finisher
from tidemark.running.keeper import Keeper
from tidemark.running.publish import Publisher
from tidemark.running.results import BatchReport, Result
from tidemark.running.watch import SupersededError, Watch
from tidemark.survey import Judgement, State, Survey, Sweep

# Partitions claimed in one transaction.
CLAIM = 100

# How often a group is judged again because what it reads has changed meanwhile; then it is published as it is.
PATIENCE = 3

# What a worker says of a planned partition whose input, or whose key, was withdrawn meanwhile.
GONE = "the partition exists no longer"

# How often one looks whether another worker's lease has become free, in seconds.
POLL_SECONDS = 0.5


class Worker:
    """Works off partitions of one asset; the survey shows what it reads, and is kept up to date with what it does."""

    def __init__(
        self,
        deployment: Deployment,
        pipeline: Pipeline,
        names: Names,
        survey: Survey,
        sweep: Sweep,
        asset: Asset,
        *,
        plan: StoredPlan,
        run: str,
        actor: str,
        bundle: str | None = None,
        own: set[int] | None = None,
    ) -> None:
        holder = leases.new_holder()
        own = set() if own is None else own
        self._batch = Batch(deployment, pipeline, names, survey, asset, plan.id, run, actor, holder, bundle, own)
        self._plan = plan
        self.sweep = sweep
        self._asset = asset
        self._survey = survey
        self._computation = Computation(self._batch)
        self._finisher = Finisher(self._batch, self._computation)
        self._publisher = Publisher(self._batch)
        self._watch = Watch(self._batch)
        self._at: int | None = None
        self._todo: Sequence[int] = ()
        self._turn: Iterator[int] = iter(())
        self._next: int | None = None
        self._within = range(0)
        self._judged: dict[int, Judgement] = {}
        self._keeper = Keeper(deployment, self._batch.asset_id, self._batch.holder)
        self._results: dict[str, tuple[Result, str]] = {}
        self._reasons: Mapping[str, str] = {}

    # -- the order of work

    def work(self, reasons: Mapping[str, str], progress: Progress = lambda what, done, total: None) -> BatchReport:
        """Bring every named partition to its result, in time order, and show all others to their readers as they are.

        Args:
            reasons: why each partition is in the plan, by its key, in time order.
            progress: called with the asset's name, partitions done and partitions to do.

        Raises:
            Unavailable: the store or the ledger cannot be used; what was finished before is published.

        """
        self._reasons = reasons
        names, name = self._batch.names, self._asset.name
        ids = {names.id_of(name, key) for key in reasons}
        wanted = sorted(names.by_ordinal(name, dict.fromkeys(ids)))
        self._watch.over(ids)
        with self._keeper:
            try:
                try:
                    self._work_off(wanted, lambda: progress(self._asset.name, len(self._results), len(reasons)))
                finally:
                    self._commit()
            except SupersededError as later:
                self._leave(reasons.keys() - self._results.keys(), str(later))
        self._leave(reasons.keys() - self._results.keys(), GONE)
        progress(self._asset.name, len(reasons), len(reasons))
        return BatchReport(self._asset.name, {key: self._results[key] for key in reasons})

    def _leave(self, keys: Collection[str], why: str) -> None:
        """Note planned partitions that are left as they are."""
        if not keys:
            return
        batch = self._batch
        self._results.update(dict.fromkeys(keys, (Result.UNCHANGED, why)))
        with batch.deployment.ledger.write() as connection:
            numbers = [batch.names.id_of(self._asset.name, key) for key in keys]
            outcomes = [(batch.asset_id, number, Result.UNCHANGED.value, why) for number in numbers]
            plans.write_outcomes(connection, batch.plan_id, outcomes)

    def _work_off(self, todo: Sequence[int], tell: Callable[[], None]) -> None:
        """Go through the partitions in time order; those that others hold, or that killed a worker, come last.

        A chain cannot be taken out of order: there each is waited for in its place.
        """
        mine, asked = set(todo), set[int]()
        held: dict[int, Lease] = {}
        later: list[int] = []
        self._todo = todo
        self._begin_turn()
        for ordinal in self._in_order():
            if ordinal not in mine:
                self.sweep.settled(self._asset, ordinal, self._within)
                continue
            if ordinal not in asked:
                place = bisect_left(todo, ordinal)
                asked.update(todo[place : place + CLAIM])
                held.update(self._claim(todo[place : place + CLAIM]))
            if ordinal in held:
                self._bring(ordinal, held.pop(ordinal))
            elif self._asset.chained:
                self._bring_alone(ordinal)
            else:
                later.append(ordinal)
            tell()
        for ordinal in later:
            self._bring_alone(ordinal)
            self.sweep.note(self._asset, ordinal)
            tell()

    def _begin_turn(self) -> None:
        """Begin to go through what has to be judged of the asset, and what is planned."""
        self._turn = self.sweep.turn(self._asset, self._todo)
        self._next = next(self._turn, None)
        self._within = self._survey.range_of(self._asset)

    def _in_order(self) -> Iterator[int]:
        """Yield what has to be judged in time order, as it is when it is its turn."""
        while self._next is not None:
            self._at, turn = self._next, self._turn
            yield self._at
            if self._turn is turn:  # else others changed something: the turn has begun anew, and got as far as this
                self._next = next(self._turn, None)

    def _claim(self, ordinals: Sequence[int]) -> dict[int, Lease]:
        """Take leases, and make sure that the survey knows what is so under these leases."""
        batch = self._batch
        numbers = {self._id(ordinal): ordinal for ordinal in ordinals}
        self._commit()
        wanted = {number: self._wanted_key(ordinal) for number, ordinal in numbers.items()}
        with batch.deployment.ledger.write() as connection:
            self._watch.check_current(connection)
            taken = leases.acquire(connection, batch.environment, batch.asset_id, wanted, batch.holder)
            outdated = self._watch.sees_change(connection)
        self._keeper.keep(taken.leases)
        if outdated:
            self._catch_up()
        return {numbers[each.partition_id]: each for each in taken.leases}

    def _wanted_key(self, ordinal: int) -> bytes:
        """Return what a partition is claimed for: whoever dies of it has not died of anything else."""
        judged = self._survey.judge(self._asset, ordinal)
        if not self._asset.chained:  # nothing that it reads is shown in another way before it is its turn
            self._judged[ordinal] = judged
        return judged.action_key or bytes(32)

    def _bring_alone(self, ordinal: int) -> None:
        """Wait for a partition that another worker holds, or take one that killed its worker, by itself."""
        got = self._claim([ordinal])
        if not got:
            while not (got := self._claim([ordinal])):
                time.sleep(POLL_SECONDS)
            self._catch_up()  # a failure of the other worker moved no head
        self._bring(ordinal, got[ordinal])
        self._commit()

    def _catch_up(self) -> None:
        """Survey anew, since others changed something; what is finished and not yet written down is judged again."""
        batch = self._batch
        waiting = {each.judged.ordinal: each for each in self._publisher.take()}
        facts = LedgerFacts(batch.deployment, batch.pipeline, batch.names)
        definitions = definitions_digest(batch.deployment, batch.pipeline, batch.names.externals)
        self.sweep = sweep_since(self._survey, facts, self._plan, definitions)
        self._judged.clear()
        self._watch.renew()
        for _ in self.sweep.judge_all(above(batch.pipeline, self._asset)):
            pass
        numbers: set[int] = set()
        self._begin_turn()
        while self._next is not None and self._at is not None and self._next <= self._at:
            self._again(self._next, waiting, numbers)
            self._next = next(self._turn, None)
        self._leave([self._asset.grain.key(ordinal) for ordinal in waiting], GONE)

    def _again(self, ordinal: int, waiting: dict[int, Done], numbers: set[int]) -> None:
        """Show a partition that had its turn before others changed something."""
        done = waiting.pop(ordinal, None) if self._survey.exists(self._asset, ordinal, self._within) else None
        if done is None:
            self.sweep.settled(self._asset, ordinal, self._within)
            return
        again = self._still(self._survey.judge(self._asset, ordinal), done, numbers)
        numbers.update(() if again.number is None else (again.number,))
        self._show(again)
        self._publisher.add(again)

    def _still(self, judged: Judgement, done: Done, numbers: Container[int]) -> Done:
        """Return a finished partition as it is to be published, now that others changed something.

        Args:
            judged: what the survey says of it now.
            done: how it was finished.
            numbers: of the records that are to be published with it.

        """
        if judged.action_key == done.judged.action_key and judged.state is done.judged.state:
            inputs = tuple(self._finisher.read_of(read) for read in judged.reads)
            record = done.record and replace(done.record, inputs=inputs)
            failed = done.result in (Result.FAILED, Result.BLOCKED)
            missing = judged.roots_if_failed if failed else judged.roots if done.publishes else judged.marks
            return replace(done, judged=judged, record=record, missing=missing)
        pinned = (each.materialization for read in done.judged.reads for each in read.members)
        if (
            judged.state is State.STALE
            and done.publishes
            and _champions(judged) == _champions(done.judged)
            and all(number is None or number > 0 or number in numbers for number in pinned)
        ):
            return done  # newer than what is live, and from inputs that were: who changed them brings it up to date
        return replace(self._finisher.finish(judged, done.lease), reason=done.reason)

    def _id(self, ordinal: int) -> int:
        return self._batch.names.id_at(self._asset.name, ordinal)

    def _commit(self) -> None:
        """Write down what is finished, as it is to be now."""
        for attempt in count():
            made = self._publisher.commit(self._watch, own_only=attempt >= PATIENCE)
            self._keeper.drop([each.lease for each in (*made.published, *made.dropped)])
            # What was forced is forced once: from now on it is judged by what the ledger knows.
            finished = {(self._asset.name, done.judged.key) for done in made.published}
            selection = self._survey.selection
            self._survey.selection = selection._replace(force=selection.force - finished)
            track = self._survey.tracks[self._asset.name]
            for done in made.published:
                self._results[done.judged.key] = (done.result, done.detail)
                self._remember(done, made.ids)
                track.keep(done.judged.ordinal, track.gap(done.judged.ordinal))
            for done in made.dropped:
                self._results[done.judged.key] = (Result.UNCHANGED, "another worker took it over")
            if not made.outdated:
                return
            self._catch_up()

    def _remember(self, done: Done, real: Mapping[int, int]) -> None:
        """Put the id that the ledger gave in the place of the number that stood for it."""
        if done.number is None:
            return
        made = real[done.number]
        self._computation.remember(made, self._computation.stored(done.number))
        track, ordinal = self._survey.tracks[self._asset.name], done.judged.ordinal
        head = track.head(ordinal)
        if head is not None and head.materialization == done.number:
            track.replace(ordinal, made)

    # -- one partition

    def _bring(self, ordinal: int, lease: Lease) -> None:
        """Judge one partition anew, do what has to be done, and keep the result for the next commit."""
        if not self._survey.exists(self._asset, ordinal, self._within):
            self._survey.gone(self._asset, ordinal)
            self._give_back(lease)
            return
        self._publisher.begin()
        judged = self._judged.pop(ordinal, None) or self._survey.judge(self._asset, ordinal)
        done = self._finisher.finish(judged, lease)
        self._show(done)
        self._publisher.add(replace(done, reason=self._reasons[done.judged.key]))
        if self._publisher.due:
            self._commit()

    def _give_back(self, lease: Lease) -> None:
        """Release a partition that exists no longer."""
        batch = self._batch
        with batch.deployment.ledger.write() as connection:
            leases.release(connection, batch.environment, batch.asset_id, [lease], batch.holder)
        self._keeper.drop([lease])

    def _show(self, done: Done) -> None:
        """Let the partition's readers see the result; they are written down after it, or together with it."""
        judged = done.judged
        head = None if done.void else judged.head
        if done.publishes and done.version is not None:
            number = done.materialization({})
            assert number is not None
            assert judged.action_key is not None
            head = Head(number, judged.action_key, done.version, self._batch.code_version, done.missing)
        elif head is not None:
            head = head._replace(missing=done.missing)
        failed = done.result in (Result.FAILED, Result.BLOCKED) and not judged.stands
        roots = done.missing if head is not None else judged.roots
        if failed or (head is None and judged.state is State.HELD):
            roots = roots | judged.itself
        self._survey.show(self._asset, judged.ordinal, head, roots, failed=failed, undue=judged.undue)


def _champions(judged: Judgement) -> list[bytes]:
    """Return what stands for the champions that a partition reads; who promotes one brings no partition up to date."""
    return [read.digest for read in judged.reads if isinstance(read.input.mapping, InForce)]
