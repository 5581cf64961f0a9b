"""Findings: what a failed expectation says to people, and the rows that show it.

Invariants: a value of a masked column is nowhere in a finding, whether it came from a row, a statistic or an exception;
what is told is JSON-ready and bounded, however many rows are wrong.
"""

import math
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from tidemark.errors import MASK
from tidemark.evaluation import Verdict
from tidemark.suites import Rule

if TYPE_CHECKING:
    import pyarrow as pa

_ROW = "row_number"
_ROWS_SHOWN = 10
_EXAMPLES = 3
_ITEMS_SHOWN = 12
_TEXT_SHOWN = 200
_BETWEEN = re.compile(r"greater than or equal to (\S+) and less than or equal to (\S+)")

Row = Mapping[str, object]


def sample_of(verdict: Verdict, table: "pa.Table", pii: frozenset[str]) -> tuple[Row, ...]:
    """Return the first few rows at fault: whole, JSON-ready, masked, each with its ``row_number`` counted from 1.

    A table that has a column of that name keeps its own.
    """
    positions = [int(at) for at in (verdict.details.get("unexpected_index_list") or ())[:_ROWS_SHOWN]]
    rows = table.take(positions).to_pylist() if positions else []
    return tuple({_ROW: at + 1} | _shown(row, pii) for at, row in zip(positions, rows, strict=True))


def _shown(row: Row, pii: frozenset[str]) -> dict[str, object]:
    # What is missing stays so in a masked column too: it is what many rules are about.
    return {name: MASK if name in pii and value is not None else plain(value) for name, value in row.items()}


def plain(value: object) -> object:
    """Turn a value into one that JSON can hold and people can read; NaN and the infinities become text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return _shortened(value.hex() if isinstance(value, bytes) else str(value))


def message_of(
    suite: str,
    verdict: Verdict,
    table: "pa.Table",
    sample: Sequence[Row],
    pii: frozenset[str],
    line_of: Callable[[int], int] | None = None,
) -> str:
    """Say in a sentence what is wrong and where, e.g. ``fx_rates.eur_rate: 1 of 33 values fails: ...``.

    ``sample`` is what `sample_of` returned; ``line_of`` says on which line of its file a row, from 0, begins.
    """
    rule, details = verdict.rule, verdict.details
    lines = line_of if _ROW not in table.column_names else None
    missing = [name for name in rule.columns if name not in table.column_names]
    if missing:
        what = f"column{'s' * (len(missing) > 1)} {_listed(missing)} {'are' if len(missing) > 1 else 'is'} missing"
        said = f"{what}; the table has {_listed(table.column_names)}"
    elif verdict.raised is not None:
        said = _unchecked(verdict, table, pii)
    elif details.get("unexpected_count") and details.get("element_count"):
        said = f"{_count(details)}: {words(rule)}{_examples(rule, sample, lines)}"
    else:
        said = f"{words(rule)}{_observed(details, masked=rule.touches(pii))}"
    return f"{_place(suite, rule)}: {said}"


def words(rule: Rule) -> str:
    """Say what a rule demands: in its author's words (``description``), else in Great Expectations'."""
    if rule.description:
        return rule.description
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import get_renderer_impl
    from great_expectations.render.components import LegacyRendererType

    found = get_renderer_impl(object_name=rule.type, renderer_type=LegacyRendererType.PRESCRIPTIVE)
    if found is None:
        return f"{rule.type} {dict(rule.kwargs)}"
    # A rule's arguments as they are after checking: 0 is 0.0 where a number is asked for, a condition is an object.
    config = ExpectationConfiguration(type=rule.type, kwargs=dict(rule.kwargs)).to_domain_obj().configuration
    blocks: Any = found[1](configuration=config, runtime_configuration={"include_column_name": False})
    templates = [block.string_template for block in blocks if getattr(block, "string_template", None)]
    said = [string.Template(each["template"]).safe_substitute(each.get("params") or {}) for each in templates]
    return _BETWEEN.sub(r"between \1 and \2", " ".join(said).strip().rstrip("."))


def _place(suite: str, rule: Rule) -> str:
    if len(rule.columns) == 1:
        return f"{suite}.{rule.columns[0]}"
    return f"{suite} ({', '.join(rule.columns)})" if rule.columns else suite


def _unchecked(verdict: Verdict, table: "pa.Table", pii: frozenset[str]) -> str:
    """Say why a rule could not be evaluated. All that cannot on one column say the same: which rule is no matter."""
    rule = verdict.rule
    types = ", ".join(f"{name} is of type {table.schema.field(name).type}" for name in rule.columns)
    # An exception may quote a value.
    lines = [] if rule.touches(pii) else (verdict.raised or "").strip().splitlines()
    why = "; ".join([*filter(None, [types]), *map(_shortened, lines[-1:])])
    return f"cannot be checked: {why}"


def _count(details: Mapping[str, Any]) -> str:
    wrong, total = details["unexpected_count"], details["element_count"]
    percent = f" ({100 * wrong / total:.3g} %)" if wrong < total else ""
    return f"{wrong} of {total} values{percent} {'fails' if wrong == 1 else 'fail'}"


def _examples(rule: Rule, sample: Sequence[Row], line_of: Callable[[int], int] | None) -> str:
    told = []
    for row in sample[:_EXAMPLES]:
        values = ", ".join("nothing" if row[name] is None else str(row[name]) for name in rule.columns)
        number = row[_ROW]
        line = f" (line {line_of(number - 1)})" if line_of and isinstance(number, int) else ""
        told.append(f"{values} in row {number}{line}")
    return f"; e.g. {'; '.join(told)}" if told else ""


def _observed(details: Mapping[str, Any], *, masked: bool) -> str:
    """Say what was found instead: of sets what differs, of anything else the statistic."""
    columns = (details.get("details") or {}).get("mismatched") or {}
    values = {word: details.get(f"partial_{word}_list") for word in ("missing", "unexpected")}
    for differing, hidden in ((columns, False), (values, masked)):
        lists = {word: _listed(sorted(found, key=str)) for word, found in differing.items() if found}
        if lists:
            return "".join(f"; {word}: {MASK if hidden else found}" for word, found in lists.items())
    observed = details.get("observed_value")
    if observed is None:
        return ""
    if masked:
        return f"; observed {MASK}"
    return f"; observed {_listed(observed) if isinstance(observed, (list, tuple)) else plain(observed)}"


def _listed(values: Iterable[object]) -> str:
    shown = [str(plain(value)) for value in values]
    more = len(shown) - _ITEMS_SHOWN
    return ", ".join(shown[:_ITEMS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[: _TEXT_SHOWN - 3] + "..."
