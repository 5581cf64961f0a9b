"""Reading pinned inputs, and calling an asset's function."""

import decimal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemark.ledger import records
from tidemark.ledger.records import Stored
from tidemark.mappings import Window
from tidemark.running.batch import Batch
from tidemark.running.searching import Proposal, best
from tidemark.search import PARAMETER
from tidemark.store.addresses import location
from tidemark.survey import Judgement, Read

if TYPE_CHECKING:
    from tidemark.frames import Encoded, Part


class Computation:
    """Calls the function of a batch's asset; remembers where the data of its inputs is.

    Attributes:
        found: the hyper-parameters of the newest call, if the asset has some to be found.

    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._stored: dict[int, Stored] = {}
        self.found: Proposal = {}

    def call(self, judged: Judgement) -> "Encoded":
        """Read the inputs as they are pinned, call the function, and encode what it returns.

        Raises:
            OutputError: it returned something that cannot be published.
            Unavailable: the store or the ledger cannot be read.
            Exception: whatever the function raises.

        """
        from tidemark.frames import encode  # it brings pyarrow: not for a batch in which nothing runs
        from tidemark.frames.clusters import computation

        asset = self._batch.asset
        values = dict(asset.parameters)
        # What a function sets of decimals is not the next one's business.
        with computation(f"asset {asset.name!r}"), decimal.localcontext():
            if asset.search is not None:
                del values[PARAMETER]
                self.found = best(self._batch, judged, lambda: self.arguments(judged))
                values |= self.found
            value = asset.function(**values, **self.arguments(judged))
            returns = asset.function.__annotations__.get("return")
            return encode(
                value, annotation=returns, key=asset.key, ordered=asset.ordered, pii=asset.pii, name=asset.name
            )

    def arguments(self, judged: Judgement) -> dict[str, object]:
        """Return what the function reads and the partition, by parameter: the inputs as they are pinned.

        Raises:
            Unavailable: the store or the ledger cannot be read.

        """
        from tidemark.frames import load

        asset, arguments = self._batch.asset, dict[str, object]()
        for read in judged.reads:
            parts = self._parts(read)
            windowed = isinstance(read.input.mapping, Window)
            arguments[read.input.parameter] = (
                load(parts, read.input.annotation, windowed=windowed, name=read.input.upstream) if parts else None
            )
        if asset.partition_parameter:
            arguments[asset.partition_parameter] = asset.grain.partition(judged.ordinal)
        return arguments

    def stored(self, number: int) -> Stored:
        """Return where the data of one of the asset's materializations is."""
        self._find(self._batch.asset_id, [number])
        return self._stored[number]

    def remember(self, number: int, stored: Stored) -> None:
        """Keep where the data of a materialization is that the ledger does not know yet."""
        self._stored[number] = stored

    def _parts(self, read: Read) -> "list[Part]":
        from tidemark.frames import Part

        present = [(each.key, each.materialization) for each in read.members if each.version is not None]
        self._find(
            self._batch.names.assets[read.input.upstream], [number for _, number in present if number is not None]
        )
        store = self._batch.deployment.store
        parts = []
        for key, number in present:
            assert number is not None
            stored = self._stored[number]
            path, remote = store.path(stored.blob), f"{store.url}/{location(stored.blob)}"
            parts.append(Part(key, path, stored.format, stored.declared, remote if "://" in store.url else None))
        return parts

    def _find(self, asset_id: int, numbers: Sequence[int]) -> None:
        for number in sorted(numbers):
            if number not in self._stored:
                with self._batch.deployment.ledger.read() as connection:
                    self._stored.update(records.stored_from(connection, asset_id, number))
