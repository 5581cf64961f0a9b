"""A worker: brings the partitions of one asset's batch to their results, one after the other."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from tidemark.assets import Asset, Pipeline
from tidemark.deployment import Deployment
from tidemark.errors import OutputError, Unavailable
from tidemark.explain import readable_parameters
from tidemark.facts import Names, read_facts
from tidemark.fingerprint.places import first_party
from tidemark.gate import Outcome
from tidemark.ledger import heads, leases, plans, records
from tidemark.ledger.heads import Head
from tidemark.ledger.leases import Lease
from tidemark.observe import Progress
from tidemark.running.batch import Batch, Checked, Done
from tidemark.running.checks import Checks, summary
from tidemark.running.compute import Computation
from tidemark.running.keeper import Keeper
from tidemark.running.publish import Publisher
from tidemark.running.results import BatchReport, Result
from tidemark.survey import Judgement, Read, State, Survey

if TYPE_CHECKING:
    from tidemark.frames import Encoded

# Partitions claimed in one transaction.
CLAIM = 32

# How often one looks whether another worker's lease has become free, in seconds.
POLL_SECONDS = 0.5

# Letters of an exception's message that are kept: some libraries put a whole table into it.
MOST_SAID = 500

# A partition whose worker died this often is not tried again by itself.
DEATHS = 2


class Worker:
    """Works off partitions of one asset; the survey shows what it reads, and is kept up to date with what it does."""

    def __init__(
        self,
        deployment: Deployment,
        pipeline: Pipeline,
        names: Names,
        survey: Survey,
        asset: Asset,
        *,
        plan_id: int,
        run: str,
        actor: str,
    ) -> None:
        self._batch = Batch(deployment, pipeline, names, survey, asset, plan_id, run, actor, holder=leases.new_holder())
        self._asset = asset
        self._survey = survey
        self._computation = Computation(self._batch)
        self._checks = Checks(self._batch, self._computation)
        self._publisher = Publisher(self._batch)
        self._keeper = Keeper(deployment, self._batch.asset_id, self._batch.holder)
        self._results: dict[str, tuple[Result, str]] = {}
        self._reasons: Mapping[str, str] = {}
        self._numbers = count(-1, -1)

    # -- the order of work

    def work(self, reasons: Mapping[str, str], progress: Progress = lambda what, done, total: None) -> BatchReport:
        """Bring every named partition to its result, in time order, and show all others to their readers as they are.

        Args:
            reasons: why each partition is in the plan, by its key.
            progress: called with the asset's name, partitions done and partitions to do.

        Raises:
            Unavailable: the store or the ledger cannot be used; what was finished before is published.

        """
        existing = self._survey.open(self._asset).existing
        self._reasons = reasons
        wanted = {self._asset.grain.ordinal(key) for key in reasons}
        self._leave_gone(wanted - set(existing))
        with self._keeper:
            try:
                self._work_off(
                    existing,
                    sorted(wanted & set(existing)),
                    lambda: progress(self._asset.name, len(self._results), len(reasons)),
                )
            finally:
                self._commit()
        progress(self._asset.name, len(reasons), len(reasons))
        ordered = sorted(self._results, key=self._asset.grain.ordinal)
        return BatchReport(self._asset.name, {key: self._results[key] for key in ordered})

    def _leave_gone(self, ordinals: set[int]) -> None:
        """Note planned partitions that exist no longer, since what they read was withdrawn meanwhile."""
        if not ordinals:
            return
        batch = self._batch
        gone = (Result.UNCHANGED, "the partition exists no longer")
        self._results.update({self._asset.grain.key(ordinal): gone for ordinal in ordinals})
        with batch.deployment.ledger.write() as connection:
            outcomes = [(batch.asset_id, self._id(ordinal), gone[0].value, gone[1]) for ordinal in ordinals]
            plans.write_outcomes(connection, batch.plan_id, outcomes)

    def _work_off(self, existing: Sequence[int], todo: Sequence[int], tell: Callable[[], None]) -> None:
        """Go through the partitions in time order; those that others hold, or that killed a worker, come last.

        A chain cannot be taken out of order: there each is waited for in its place.
        """
        mine = set(todo)
        held: dict[int, Lease] = {}
        asked = 0
        later: list[int] = []
        for ordinal in existing:
            if ordinal not in mine:
                self._survey.settle(self._asset, self._survey.judge(self._asset, ordinal))
                continue
            if asked < len(todo) and ordinal == todo[asked]:
                held.update(self._claim(todo[asked : asked + CLAIM]))
                asked += CLAIM
            if ordinal in held:
                self._bring(ordinal, held.pop(ordinal))
            elif self._asset.chained:
                self._bring_alone(ordinal)
            else:
                later.append(ordinal)
            tell()
        for ordinal in later:
            self._bring_alone(ordinal)
            tell()

    def _claim(self, ordinals: Sequence[int]) -> dict[int, Lease]:
        """Take leases, and make sure that the survey knows the heads as they are under these leases."""
        batch = self._batch
        numbers = {self._id(ordinal): ordinal for ordinal in ordinals}
        self._commit()
        with batch.deployment.ledger.write() as connection:
            taken = leases.acquire(
                connection,
                batch.environment,
                batch.asset_id,
                list(numbers),
                self._asset.code.digest,
                batch.holder,
            )
            live = heads.current_ids(connection, batch.environment, batch.asset_id, numbers)
        self._keeper.keep(taken.leases)
        known = self._survey.facts.heads.get(self._asset.name, {})
        if any(made != _materialization(known.get(numbers[number])) for number, made in live.items()):
            self._refresh()
        return {numbers[each.partition_id]: each for each in taken.leases}

    def _bring_alone(self, ordinal: int) -> None:
        """Wait for a partition that another worker holds, or take one that killed its worker, by itself."""
        while not (got := self._claim([ordinal])):
            time.sleep(POLL_SECONDS)
        self._refresh()
        self._bring(ordinal, got[ordinal])
        self._commit()

    def _refresh(self) -> None:
        """Read the asset's heads anew: another worker has moved some."""
        batch = self._batch
        fresh = read_facts(batch.deployment, batch.pipeline, batch.names)
        self._survey.facts.heads[self._asset.name] = fresh.heads[self._asset.name]
        self._survey.facts = replace(self._survey.facts, known=fresh.known)

    def _id(self, ordinal: int) -> int:
        return self._batch.names.id_of(self._asset.name, self._asset.grain.key(ordinal))

    def _commit(self) -> None:
        made = self._publisher.commit()
        self._keeper.drop([each.lease for each in (*made.published, *made.dropped)])
        for done in made.published:
            self._results[done.judged.key] = (done.result, done.detail)
            self._remember(done, made.ids)
        for done in made.dropped:
            self._results[done.judged.key] = (Result.UNCHANGED, "another worker took it over")
        lost = [done.judged.ordinal for done in (*made.dropped, *made.displaced)]
        if lost:
            self._refresh()
            for ordinal in lost:  # its readers are to see what is live, not what was computed here
                self._survey.settle(self._asset, self._survey.judge(self._asset, ordinal))

    def _remember(self, done: Done, real: Mapping[int, int]) -> None:
        """Put the id that the ledger gave in the place of the number that stood for it."""
        if done.number is None:
            return
        made = real[done.number]
        self._computation.remember(made, *self._computation.blob_of(done.number))
        live, views = self._survey.facts.heads[self._asset.name], self._survey.tracks[self._asset.name].views
        ordinal = done.judged.ordinal
        if _materialization(live.get(ordinal)) == done.number:
            live[ordinal] = live[ordinal]._replace(materialization=made)
            views[ordinal] = views[ordinal]._replace(materialization=made)

    # -- one partition

    def _bring(self, ordinal: int, lease: Lease) -> None:
        """Judge one partition anew, do what has to be done, and keep the result for the next commit."""
        self._publisher.begin()
        done = self._done(self._survey.judge(self._asset, ordinal), lease)
        self._show(done)
        self._publisher.add(replace(done, reason=self._reasons[done.judged.key]))
        if self._publisher.due:
            self._commit()

    def _done(self, judged: Judgement, lease: Lease) -> Done:
        """Do what has to be done for a partition."""
        if judged.state is State.STALE and lease.deaths >= DEATHS:
            error = f"its worker died {lease.deaths} times while it was computed"
            return self._failed(judged, lease, error, status=records.DIED)
        if judged.state is State.STALE:
            return self._computed(judged, lease)
        try:
            return self._restored(judged, lease) if judged.state is State.KNOWN else self._left(judged, lease)
        except OutputError as problem:  # what is stored is nothing that its new gate can check: it stays what it is
            return Done(judged, lease, Result.FAILED, in_a_line(problem), missing=judged.marks)

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
        failed = done.result in (Result.FAILED, Result.BLOCKED)
        roots = done.missing if head is not None else judged.roots
        if failed:
            roots = roots | {(judged.asset, judged.key)}
        self._survey.show(self._asset, judged.ordinal, head, roots, failed=failed, undue=judged.undue)

    def _left(self, judged: Judgement, lease: Lease) -> Done:
        """Return the result of a partition that does not run."""
        results = {State.WAITING: Result.WAITING, State.BLOCKED: Result.BLOCKED, State.FAILED: Result.FAILED}
        result = results.get(judged.state, Result.UNCHANGED)
        if result is Result.WAITING and judged.head is not None and not judged.void:
            result = Result.UNCHANGED
        detail, checked = judged.reason, None
        if judged.state is State.FRESH and judged.unchecked and judged.head is not None:
            head = judged.head
            outcome, checked = self._checks.check_stored(judged.key, head.data_version, head.materialization)
            if outcome == Outcome.BLOCKED and checked:
                detail = f"stays live, flagged: {summary(checked[1])}"
        return Done(judged, lease, result, detail, checked=checked, missing=judged.marks, void=judged.void)

    def _record(self, judged: Judgement, lease: Lease) -> records.Record:
        """Return what is known of a materialization before it is computed; its status is that of a failure."""
        assert judged.action_key is not None
        return records.Record(
            asset_id=self._batch.asset_id,
            partition_id=lease.partition_id,
            status=records.FAILED,
            action_key=judged.action_key,
            code_version=self._batch.code_version,
            parameters=readable_parameters(self._asset.parameters),
            inputs=tuple(self._input(read) for read in judged.reads),
        )

    def _input(self, read: Read) -> records.InputRecord:
        members = tuple((each.key, each.version, each.materialization) for each in read.members)
        upstream = self._batch.names.assets[read.input.upstream]
        return records.InputRecord(read.input.parameter, upstream, str(read.input.mapping), read.digest, members)

    def _failed(self, judged: Judgement, lease: Lease, error: str, status: str = records.FAILED) -> Done:
        record = replace(self._record(judged, lease), status=status, error=error)
        missing = judged.roots | {(judged.asset, judged.key)}
        return Done(judged, lease, Result.FAILED, error, record=record, missing=missing)

    def _blocked(self, judged: Judgement, lease: Lease, version: bytes, checked: Checked | None) -> Done:
        missing = judged.roots | {(judged.asset, judged.key)}
        return Done(judged, lease, Result.BLOCKED, self._checks.why(version, checked), checked=checked, missing=missing)

    def _computed(self, judged: Judgement, lease: Lease) -> Done:
        """Read, compute, write the blob, gate: the result of one partition's function."""
        started = time.perf_counter()
        try:
            encoded = self._computation.call(judged)
        except (Unavailable, KeyboardInterrupt):
            raise
        except BaseException as problem:  # whatever a scientist's function raises is that partition's; a panic of
            # polars, and an exit, are no Exception
            return self._failed(judged, lease, in_a_line(problem))
        blob = self._batch.deployment.store.put(encoded.payload)
        seconds = time.perf_counter() - started
        before = self._recorded(judged)
        if before is not None:
            return self._again(judged, lease, encoded.data_version, before)
        try:
            outcome, checked = self._checks.check(judged.key, encoded.data_version, encoded.table)
        except OutputError as problem:
            return self._failed(judged, lease, in_a_line(problem))
        record = replace(
            self._record(judged, lease),
            status=records.COMPUTED,
            data_version=encoded.data_version,
            schema_digest=encoded.schema_digest,
            blob=blob,
            format=encoded.format,
            rows=encoded.rows,
            size=_size(encoded),
            seconds=seconds,
        )
        number = next(self._numbers)
        self._computation.remember(number, blob, encoded.format)
        if outcome == Outcome.BLOCKED:
            blocked = self._blocked(judged, lease, encoded.data_version, checked)
            return replace(blocked, record=record, number=number)
        return Done(
            judged,
            lease,
            Result.COMPUTED,
            record=record,
            number=number,
            version=encoded.data_version,
            checked=checked,
            missing=judged.roots,
        )

    def _recorded(self, judged: Judgement) -> records.Known | None:
        """Return the result that was recorded for an action key, if its data is still there."""
        assert judged.action_key is not None
        known = self._survey.facts.known(self._asset.name).get((judged.ordinal, judged.action_key))
        if known is None or known.blob is None or self._batch.deployment.store.missing([known.blob]):
            return None
        return known

    def _again(self, judged: Judgement, lease: Lease, version: bytes, recorded: records.Known) -> Done:
        """Return the result of an action key that was computed before: what was recorded then is what stays."""
        same = version == recorded.data_version
        detail = "" if same else "gave another result than before for the same inputs and code: the recorded one stays"
        done = self._brought_back(judged, lease, recorded, Result.COMPUTED, detail)
        return replace(done, nondeterministic=not same)

    def _restored(self, judged: Judgement, lease: Lease) -> Done:
        """Bring a known result back without running; where its data is gone, run."""
        recorded = self._recorded(judged)
        if recorded is None:
            return self._computed(judged, lease)
        return self._brought_back(judged, lease, recorded, Result.RESTORED, "computed before")

    def _brought_back(
        self, judged: Judgement, lease: Lease, recorded: records.Known, result: Result, detail: str
    ) -> Done:
        number, version = recorded.materialization, recorded.data_version
        assert number is not None
        assert version is not None
        outcome, checked = self._checks.check_stored(judged.key, version, number)
        if outcome == Outcome.BLOCKED:
            return self._blocked(judged, lease, version, checked)
        return Done(judged, lease, result, detail, known=number, version=version, checked=checked, missing=judged.roots)


def _materialization(head: Head | None) -> int | None:
    return head.materialization if head else None


def in_a_line(problem: BaseException) -> str:
    """Return an exception as the ledger keeps it: in one line, with where in the scientist's code it was raised."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if first_party(frame.filename)]
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    said = " ".join(str(problem).split())
    return f"{type(problem).__name__}{': ' if said else ''}{said[:MOST_SAID]}{where}"


def _size(encoded: "Encoded") -> int:
    return len(encoded.payload) if isinstance(encoded.payload, bytes) else encoded.payload.stat().st_size
