"""Fitted scikit-learn estimators as bytes and back, by skops: nothing in them is run as code, as a pickle's content is.

Invariant: what was fitted in the same way gives equal bytes. What skops writes holds addresses of memory and times of
day; here nodes are numbered in their order, files are named in the order in which they are used, and the archive has no
dates.
"""

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from tidemark.errors import OutputError, UsageError

TRUSTED = (
    "numpy.dtype",
    "scipy.sparse._csc.csc_matrix",
    "scipy.sparse._csr.csr_matrix",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
"""Classes that hold data inside of scikit-learn's estimators, and that skops does not trust by itself."""

# Attributes in which scikit-learn keeps an address of memory, to see whether a list is still the same one.
_ADDRESSES = {"_stop_words_id"}

_SCHEMA = "schema.json"


def dumped(estimator: object, where: str) -> bytes:
    """Return an estimator as a skops archive.

    Raises:
        OutputError: it is not fitted, or holds objects of types that nobody trusts when they are loaded.

    """
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    skops = _skops()
    try:
        check_is_fitted(estimator)
    except NotFittedError as problem:
        raise OutputError(f"{where} returned an estimator that is not fitted: call fit() on it.") from problem
    except TypeError as problem:
        raise OutputError(f"{where} returned what is no fitted estimator: {problem}") from problem
    try:
        with warnings.catch_warnings(action="ignore"):
            archive = skops.dumps(estimator)
    except RecursionError as problem:
        raise OutputError(f"{where} returned an estimator that holds itself: it cannot be kept.") from problem
    strange = [each for each in skops.get_untrusted_types(data=archive) if each not in TRUSTED]
    if strange:
        raise OutputError(
            f"{where} returned an estimator with objects that are not trusted when it is loaded: "
            f"{', '.join(sorted(strange))}. Return only what predicts, such as the search's best_estimator_, or "
            "build it of other parts."
        )
    return _canonical(archive)


def loaded(path: Path, where: str) -> Any:
    """Return the estimator in a file that :func:`dumped` made.

    Raises:
        UsageError: the file holds no estimator, or objects of types that nobody trusts.

    """
    try:
        return _skops().load(path, trusted=list(TRUSTED))
    except Exception as problem:  # whatever the archive or what is in it makes skops raise
        raise UsageError(f"{where}: the stored estimator cannot be loaded: {problem}") from problem


def _skops() -> Any:
    """Return skops, which looks for names in every loaded module: of old ones Airflow's warn, a thousand times."""
    with warnings.catch_warnings(action="ignore"):
        import skops.io
    return skops.io


def _canonical(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as given:
        schema = json.loads(given.read(_SCHEMA))
        numbers: dict[int, int] = {}
        files: dict[str, str] = {}
        _renumber(schema, numbers, files)
        members = {new: given.read(old) for old, new in files.items()}
    members[_SCHEMA] = json.dumps(schema).encode()  # in its own order, which dictionaries keep
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as written:
        for name in sorted(members):
            written.writestr(zipfile.ZipInfo(name), members[name])  # of 1980, as all archives without a date
    return made.getvalue()


def _renumber(node: object, numbers: dict[int, int], files: dict[str, str], counted: list[int] | None = None) -> None:
    """Number the nodes of a schema in their order, and its files in the order in which they are used.

    Args:
        node: a part of the schema; it is changed.
        numbers: the first number that each address got, for what refers to it.
        files: the new names by the old.
        counted: how many nodes there were so far.

    """
    counted = [0] if counted is None else counted
    if isinstance(node, list):
        for each in node:
            _renumber(each, numbers, files, counted)
    if not isinstance(node, dict):
        return
    if node.get("__loader__") == "SetNode" and isinstance(node.get("content"), list):
        node["content"].sort(key=_without_addresses)  # sets come in the order of hashes, which differ by process
    if isinstance(address := node.get("__id__"), int):
        counted[0] += 1
        # Whether two equal values are one object is an accident, so that each node gets a number of its own.
        refers = node.get("__loader__") == "CachedNode"
        node["__id__"] = numbers[address] if refers else numbers.setdefault(address, counted[0]) and counted[0]
    if isinstance(name := node.get("file"), str):
        node["file"] = files.setdefault(name, f"{len(files)}{Path(name).suffix}")
    for name, each in node.items():
        if name in _ADDRESSES and isinstance(each, dict):
            each["content"] = "0"
        _renumber(each, numbers, files, counted)


def _without_addresses(node: object) -> str:
    """Return a part of a schema as text to sort by."""
    return re.sub(r'"__id__": \d+|"file": "[^"]*"', "", json.dumps(node, sort_keys=True))
