"""Gating candidates: what the ledger knows a suite to have said is not asked again."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemark.errors import OutputError
from tidemark.gate import GateResult, Outcome
from tidemark.running.batch import Batch, Checked
from tidemark.running.compute import Computation

if TYPE_CHECKING:
    import pyarrow as pa


class Checks:
    """Asks the suite of a batch's asset."""

    def __init__(self, batch: Batch, computation: Computation) -> None:
        self._batch = batch
        self._computation = computation

    def check(self, key: str, version: bytes, table: "Callable[[], pa.Table | None]") -> tuple[str, Checked | None]:
        """Return the suite's outcome for a candidate, and its whole result if it was asked just now.

        Raises:
            OutputError: the candidate is no table.

        """
        known = self._known(version)
        return (known, None) if known is not None else self._ask(key, version, table())

    def check_stored(self, key: str, version: bytes, number: int) -> tuple[str, Checked | None]:
        """Return the suite's outcome for data that is in the store already.

        Raises:
            OutputError: the data is no table.

        """
        known = self._known(version)
        if known is not None:
            return known, None
        import pyarrow.parquet as pq

        stored = self._computation.stored(number)
        path = self._batch.deployment.store.path(stored.blob)
        table = pq.read_table(path) if stored.format == "parquet" else None
        return self._ask(key, version, table)

    def why(self, version: bytes, checked: Checked | None) -> str:
        """Say that a candidate did not pass, and for what."""
        said = f": {summary(checked[1])}" if checked else ""
        return f"candidate {version.hex()[:12]} did not pass the gate {self._batch.asset.gate!r}{said}"

    def _known(self, version: bytes) -> str | None:
        facts = self._batch.survey.facts
        name = self._batch.asset.name
        return facts.outcome(name, version) if name in facts.suites else Outcome.PASSED

    def _ask(self, key: str, version: bytes, table: "pa.Table | None") -> tuple[str, Checked]:
        batch, asset = self._batch, self._batch.asset
        assert asset.gate is not None
        if table is None:
            raise OutputError(f"{asset.where}: gate={asset.gate!r} checks tables, and this returned none")
        gate = batch.deployment.gate(batch.deployment.suite(batch.pipeline, asset.gate))
        label = f"{asset.name} {key} {version.hex()[:12]}"
        result = gate.check(asset.gate, table, label=label, pii=asset.pii)
        batch.survey.facts.learn(asset.name, version, result.outcome.value)
        return result.outcome, (version, result)


def summary(result: GateResult, named: int = 3) -> str:
    """Return the critical failures of a result in a sentence."""
    critical = [each.message for each in result.failures if each.severity == "critical"]
    more = f" (and {len(critical) - named} more)" if len(critical) > named else ""
    return "; ".join(critical[:named]) + more
