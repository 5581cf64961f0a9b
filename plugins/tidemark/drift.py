"""Drift: whether data still looks like what a model was trained on.

A profile is what a model brings along of its training data: of each column at most :data:`QUANTILES` values. Against it
come new rows, by two measures. The *population stability index* says how much moved between the deciles of the profile;
the *Kolmogorov-Smirnov* distance is the most by which the two distribution functions differ, and comes with the
probability of so much by chance. What is missing (null, NaN, infinite) counts as a value of its own.

Pure: nothing here reads or writes anything, and equal rows in any order give an equal profile.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from tidemark.hashing import digest

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    Values = np.ndarray[tuple[int], np.dtype[np.float64]]

QUANTILES = 200
BINS = 10

# Logarithms may differ in their last bit from one processor to another.
_DECIMALS = 6


class Trained(TypedDict):
    """What is kept of one column of the training data.

    Attributes:
        count: rows, with those in which it is missing.
        missing: share of the rows in which it is missing.
        quantiles: values of the data at even distances in its order, null where it is missing; all of them, if they
            are no more than :data:`QUANTILES`.

    """

    count: int
    missing: float
    quantiles: list[float | None]


Profile = dict[str, Trained]


@dataclass(frozen=True)
class Limit:
    """How far a column may drift.

    Attributes:
        psi: the index that it may have beyond what chance alone makes of so few rows; None: however large. That 0.1 is
            little and 0.25 much is a rule of thumb of credit scoring, where the index comes from.
        ks: the distance that it may have; None: however large.
        p_value: whatever it is, only what is less probable than this by chance is no noise.

    """

    psi: float | None = 0.25
    ks: float | None = None
    p_value: float = 0.001


DEFAULT = Limit()


def training_profile(frame: "pl.DataFrame", columns: Sequence[str]) -> Profile:
    """Return the profile of some columns of numbers; a constant is kept too: something else may come later.

    Raises:
        ValueError: there are no rows.

    """
    import numpy as np

    if frame.is_empty():
        raise ValueError("there are no rows: nothing can be compared with nothing")
    found: Profile = {}
    for column in columns:
        values = _values(frame, column)
        many = min(QUANTILES, values.size)
        # Values that are there, not some between them: most of a column may be one and the same.
        chosen = values[((np.arange(many) + 0.5) / many * values.size).astype(int)]
        quantiles = [None if value == -np.inf else value for value in chosen.tolist()]
        found[column] = Trained(count=values.size, missing=float(np.mean(values == -np.inf)), quantiles=quantiles)
    return found


def profile_digest(profile: Profile) -> str:
    """Return what tells a profile from all others, as text."""
    return digest("training profile", profile).hex()


def drift(profile: Profile, frame: "pl.DataFrame") -> "pl.DataFrame":
    """Compare rows with a profile: one row for each of the profile's columns, in its order.

    Columns: ``feature``, ``psi``, ``noise`` (the index that so few rows have without any drift), ``ks``, ``p_value``,
    ``rows``, ``missing`` (share of the rows). Without any rows the measures are null.
    """
    import polars as pl

    types = {"feature": pl.String, "psi": pl.Float64, "noise": pl.Float64, "ks": pl.Float64, "p_value": pl.Float64}
    return pl.DataFrame(
        list(_measured(profile, frame)), schema={**types, "rows": pl.Int64, "missing": pl.Float64}, orient="row"
    )


def over(table: "pl.DataFrame", limits: Mapping[str, Limit] | None = None, default: Limit = DEFAULT) -> list[str]:
    """Return which features of a table of :func:`drift` are over their limits, in its order.

    Args:
        table: what :func:`drift` returned.
        limits: by feature.
        default: the limit of features that have none of their own.

    """
    known = limits or {}
    return [row["feature"] for row in table.to_dicts() if _is_over(row, known.get(row["feature"], default))]


def _is_over(row: Mapping[str, Any], limit: Limit) -> bool:
    if not row["rows"] or row["p_value"] >= limit.p_value:
        return False
    far = limit.psi is not None and row["psi"] - row["noise"] > limit.psi
    return far or (limit.ks is not None and row["ks"] > limit.ks)


def _measured(profile: Profile, frame: "pl.DataFrame") -> Iterator[tuple[object, ...]]:
    import numpy as np

    for column, trained in profile.items():
        values = _values(frame, column)
        if not values.size:
            yield column, None, None, None, None, 0, None
            continue
        known = np.array([-np.inf if each is None else each for each in trained["quantiles"]], dtype=np.float64)
        measures = *_stability(known, trained["count"], values), *_distance(known, values)
        missing = float(np.mean(values == -np.inf))
        yield column, *(round(each, _DECIMALS) for each in measures), values.size, round(missing, _DECIMALS)


def _values(frame: "pl.DataFrame", column: str) -> "Values":
    """Return a column in order, what is missing first: as minus infinity."""
    import numpy as np
    import polars as pl

    values = frame[column].cast(pl.Float64).to_numpy()
    return np.sort(np.where(np.isfinite(values), values, -np.inf))


def _stability(known: "Values", count: int, values: "Values") -> tuple[float, float]:
    """Return the population stability index over the deciles of what is known, and what to expect of it by chance.

    It is the sum over the bins of (share now - share then) * ln(share now / share then): Siddiqi, Credit Risk
    Scorecards (2006). Where one of the two shares is of no row at all, half a row stands for it. Of two samples of n
    and m rows from one distribution the index is about chi-square with (bins - 1) degrees of freedom, times
    (1/n + 1/m): Yurdakul, Statistical Properties of Population Stability Index (2018); the second figure is its mean.
    """
    import numpy as np

    edges = _edges(known)
    then, now = (
        np.bincount(np.searchsorted(edges, each, side="left"), minlength=edges.size + 1) / each.size
        for each in (known, values)
    )
    some = (then > 0) | (now > 0)
    bins = np.count_nonzero(then)
    then, now = np.maximum(then[some], 0.5 / count), np.maximum(now[some], 0.5 / values.size)
    return float(np.sum((now - then) * np.log(now / then))), float((bins - 1) * (1 / values.size + 1 / count))


def _edges(known: "Values") -> "Values":
    """Return the upper ends of all bins but the last: what is missing, then the deciles of the others.

    Where a tenth and more are one value, bins fall together. If this is the least one, a bin below it is for values
    that were not there: a constant would have no bin to leave otherwise.
    """
    import numpy as np

    there = known[known > -np.inf]
    if not there.size:
        return np.array([-np.inf])
    deciles = there[np.ceil(np.arange(1, BINS) / BINS * there.size).astype(int) - 1]
    below = [np.nextafter(there[0], -np.inf)] if deciles[0] == there[0] else []
    return np.unique([-np.inf, *below, *deciles])


def _distance(known: "Values", values: "Values") -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov distance, and how probable one of at least this size is by chance.

    The quantiles stand for all training rows: their distribution function is nowhere further than half a quantile's
    share, 0.0025, from that of the rows. They count as so many rows, and not as all they stand for: the probability is
    rather too large than too small.

    What is missing is put below all others, and then above them, and the greater distance counts: otherwise more that
    is missing could make up for others that have grown.
    """
    import numpy as np
    from scipy.stats import ks_2samp

    ways = [(values, known)]
    if min(values[0], known[0]) == -np.inf:
        ways.append((np.where(values > -np.inf, values, np.inf), np.where(known > -np.inf, known, np.inf)))
    # The exact distribution is exact without ties only, and scipy gives up on it at times; the other is for more rows.
    method = "asymp" if min(values.size, known.size) > BINS else "exact"
    found = max((ks_2samp(*both, method=method) for both in ways), key=lambda each: each.statistic)
    return float(found.statistic), float(found.pvalue)
