"""The words for what becomes of partitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """What became of a partition."""

    COMPUTED = "computed"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    BLOCKED = "blocked"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True)
class BatchReport:
    """What became of one asset's batch: each partition's result and a sentence, in time order."""

    asset: str
    results: Mapping[str, tuple[Result, str]]

    @property
    def partitions(self) -> list[str]:
        """The keys that were worked on."""
        return list(self.results)

    def counted(self) -> dict[str, int]:
        """Return how many partitions came to each result."""
        found = [result for result, _ in self.results.values()]
        return {each.value: found.count(each) for each in Result if each in found}

    def lines(self) -> list[str]:
        """Return a line for each partition that failed, was blocked or waits."""
        shown = (Result.FAILED, Result.BLOCKED, Result.WAITING)
        return [
            f"{self.asset} {key}: {result}: {detail}"
            for key, (result, detail) in self.results.items()
            if result in shown
        ]
