"""Finishing one partition: doing what the survey says has to be done, up to where it can be written down."""

import time
import traceback
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from tidemark.errors import OutputError, Unavailable
from tidemark.explain import readable_parameters
from tidemark.fingerprint.places import first_party
from tidemark.gate import Outcome
from tidemark.ledger import records
from tidemark.ledger.leases import Lease
from tidemark.running.batch import Batch, Checked, Done
from tidemark.running.checks import Checks, summary
from tidemark.running.compute import Computation
from tidemark.running.results import Result
from tidemark.search import FOUND
from tidemark.survey import ATTEMPTS, STANDING, Judgement, Read, State

if TYPE_CHECKING:
    from tidemark.frames import Encoded

# Letters of an exception's message that are kept: some libraries put a whole table into it.
MOST_SAID = 500

# A partition whose worker died this often is not tried again by itself.
DEATHS = 2


class Finisher:
    """Finishes partitions of one batch.

    Args:
        batch: whose partitions.
        computation: reads their inputs and calls their function.

    """

    def __init__(self, batch: Batch, computation: Computation) -> None:
        self._batch = batch
        self._asset = batch.asset
        self._computation = computation
        self._checks = Checks(batch, computation)
        self._numbers = count(-1, -1)

    def finish(self, judged: Judgement, lease: Lease) -> Done:
        """Do what has to be done for a partition.

        Args:
            judged: what the survey says of it under the lease.
            lease: the right to publish it.

        Raises:
            Unavailable: the store or the ledger cannot be used.

        """
        if judged.state is State.STALE and lease.deaths >= DEATHS:
            error = f"its worker died {lease.deaths} times while it was computed"
            return self._failed(judged, lease, error, status=records.DIED)
        if judged.state is State.STALE:
            return self._computed(judged, lease)
        try:
            return self._restored(judged, lease) if judged.state is State.KNOWN else self._left(judged, lease)
        except OutputError as problem:  # what is stored is nothing that its new gate can check: it stays what it is
            return Done(judged, lease, Result.FAILED, in_a_line(problem), missing=judged.marks)

    def _left(self, judged: Judgement, lease: Lease) -> Done:
        """Return the result of a partition that does not run."""
        results = {State.WAITING: Result.WAITING, State.BLOCKED: Result.BLOCKED, State.FAILED: Result.FAILED}
        result = results.get(judged.state, Result.UNCHANGED)
        if result is Result.WAITING and judged.head is not None and not judged.void:
            result = Result.UNCHANGED
        detail, checked = judged.reason, None
        if judged.state in STANDING and judged.unchecked and judged.head is not None:
            head = judged.head
            outcome, checked = self._checks.check_stored(judged.key, head.data_version, head.materialization)
            if outcome == Outcome.BLOCKED and checked:
                detail = "; ".join(filter(None, [detail, f"stays live, flagged: {summary(checked[1])}"]))
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
            suite_digest=self._batch.survey.facts.suites.get(self._asset.name),
            inputs=tuple(self.read_of(read) for read in judged.reads),
        )

    def read_of(self, read: Read) -> records.InputRecord:
        """Return what the ledger keeps of an input that was read."""
        members = tuple((each.key, each.version, each.materialization) for each in read.members)
        upstream = self._batch.names.assets[read.input.upstream]
        return records.InputRecord(read.input.parameter, upstream, str(read.input.mapping), read.digest, members)

    def _failed(self, judged: Judgement, lease: Lease, error: str, status: str = records.FAILED) -> Done:
        record = replace(self._record(judged, lease), status=status, error=error)
        return Done(judged, lease, Result.FAILED, error, record=record, missing=judged.roots_if_failed)

    def _blocked(self, judged: Judgement, lease: Lease, version: bytes, checked: Checked | None) -> Done:
        why = self._checks.why(version, checked)
        return Done(judged, lease, Result.BLOCKED, why, checked=checked, missing=judged.roots_if_failed)

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
            outcome, checked = self._checks.check(judged.key, encoded.data_version, lambda: encoded.table)
        except OutputError as problem:
            return self._failed(judged, lease, in_a_line(problem))
        made = self._record(judged, lease)
        found = {f"{FOUND}{name}": value for name, value in self._computation.found.items()}
        record = replace(
            made,
            status=records.COMPUTED,
            parameters={**made.parameters, **found},
            data_version=encoded.data_version,
            schema_digest=encoded.schema_digest,
            blob=blob,
            format=encoded.format,
            rows=encoded.rows,
            size=_size(encoded),
            seconds=seconds,
        )
        number = next(self._numbers)
        self._computation.remember(number, records.Stored(blob, encoded.format))
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
            nondeterministic=judged.known.data_version not in (None, encoded.data_version),
        )

    def _recorded(self, judged: Judgement) -> records.Known | None:
        """Return the result that was recorded for an action key, if its data is still there."""
        assert judged.action_key is not None
        known = self._batch.survey.facts.known(self._asset.name, judged.ordinal, judged.action_key)
        if known.blob is None or self._batch.deployment.store.missing([known.blob]):
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
        if recorded is None and judged.known.failures >= ATTEMPTS:
            return Done(judged, lease, Result.FAILED, judged.known.error or "", missing=judged.roots_if_failed)
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


def in_a_line(problem: BaseException) -> str:
    """Return an exception as the ledger keeps it: in one line, with where in the scientist's code it was raised."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if first_party(frame.filename)]
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    said = " ".join(str(problem).split())
    return f"{type(problem).__name__}{': ' if said else ''}{said[:MOST_SAID]}{where}"


def _size(encoded: "Encoded") -> int:
    return len(encoded.payload) if isinstance(encoded.payload, bytes) else encoded.payload.stat().st_size
