"""Evaluation: what Great Expectations says of a table, rule by rule.

Invariants: every verdict is Great Expectations' own; a rule that cannot be evaluated has failed; nothing of a table
outlives its evaluation, so that ten thousand in one process cost what the first few do.

For every validation the library lays out anew which metrics the rules need, which takes several times as long as
computing them. That depends on the rules and on the columns' types only, so it is kept for both (`_Plan`). What a plan
does not show as passed is judged once more by the library's validator, which also finds the rows at fault.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemark.errors import DefinitionError
from tidemark.suites import Rule, Suite

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.validator.metric_configuration import MetricConfigurationID
    from great_expectations.validator.validation_graph import MetricEdge

_BATCH = "table"
_VALUES_SHOWN = 10
# Judging needs counts only; to describe what passed, the same counts are enough.
_JUDGE = {"result_format": {"result_format": "BOOLEAN_ONLY"}, "catch_exceptions": False}
_DESCRIBE = {
    "result_format": {"result_format": "BASIC", "partial_unexpected_count": 0, "include_unexpected_rows": False}
}
_FIND_ROWS = {
    "result_format": {
        "result_format": "COMPLETE",
        "partial_unexpected_count": _VALUES_SHOWN,
        "return_unexpected_index_query": False,
    }
}
# Metrics that are the same for all tables whose columns have the same names and types.
_OF_COLUMNS = frozenset({"table.column_types"})


@dataclass(frozen=True)
class Verdict:
    """What Great Expectations says of one rule.

    Attributes:
        rule: the rule.
        passed: whether the table keeps it.
        details: the library's ``result``: counts, ``observed_value``, ``unexpected_index_list`` and others.
        raised: what was raised when it could not be evaluated, or None.

    """

    rule: Rule
    passed: bool
    details: Mapping[str, Any]
    raised: str | None = None


@dataclass(frozen=True)
class _Step:
    """A rule with the metrics that its verdict is made of; None if they could not be laid out."""

    rule: Rule
    expectation: "Expectation"
    metrics: Mapping[str, "MetricConfigurationID"] | None


@dataclass(frozen=True)
class _Plan:
    """The metrics that a suite needs of tables with certain columns."""

    suite: Suite
    columns: tuple[tuple[object, object], ...]
    steps: tuple[_Step, ...]
    edges: tuple["MetricEdge", ...]


class Evaluator:
    """Evaluates suites on tables: made once for many, for one thread at a time."""

    def __init__(self) -> None:
        from great_expectations.validator.validator import Validator

        self._consulted: set[str] = set()
        self._engine = _engine(self._consulted)
        self._validator = Validator(execution_engine=self._engine, data_context=_silent_context())
        self._expectations: dict[str, tuple[Suite, tuple[Expectation, ...]]] = {}
        self._plans: dict[str, _Plan] = {}

    def prepare(self, suite: Suite) -> tuple["Expectation", ...]:
        """Make the library's objects of a suite's rules.

        Raises:
            DefinitionError: an argument is not what its expectation takes; names the file and the expectation.

        """
        known = self._expectations.get(suite.name)
        if known is None or known[0] is not suite:
            made = tuple(_expectation(suite, number, rule) for number, rule in enumerate(suite.rules, start=1))
            known = self._expectations[suite.name] = (suite, made)
        return known[1]

    def evaluate(self, suite: Suite, table: "pa.Table") -> list[Verdict]:
        """Return a verdict for each rule of a suite, in their order.

        Raises:
            DefinitionError: see `prepare`.

        """
        self.prepare(suite)
        frame = to_frame(table)
        self._engine.load_batch_data(_BATCH, frame)
        try:
            plan = self._plan(suite, frame)
            verdicts = zip(plan.steps, self._judge(plan), strict=True)
            return [found if found and found.passed else self._validate(step) for step, found in verdicts]
        finally:
            self._engine.load_batch_data(_BATCH, frame.iloc[:0])

    def _plan(self, suite: Suite, frame: "pd.DataFrame") -> _Plan:
        columns = tuple(frame.dtypes.items())
        plan = self._plans.pop(suite.name, None)
        if plan is None or plan.suite is not suite or plan.columns != columns:
            self._consulted.clear()
            steps, edges = self._lay_out(suite)
            plan = _Plan(suite, columns, steps, edges)
            if not self._consulted <= _OF_COLUMNS:
                return plan  # it was made from the rows as well, so it is good for this table only
        self._plans[suite.name] = plan
        return plan

    def _lay_out(self, suite: Suite) -> tuple[tuple[_Step, ...], tuple["MetricEdge", ...]]:
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        calculator = MetricsCalculator(execution_engine=self._engine)
        steps: list[_Step] = []
        edges: dict[object, MetricEdge] = {}
        for rule, expectation in zip(suite.rules, self.prepare(suite), strict=True):
            try:
                needs = expectation.get_validation_dependencies(self._engine, copy.deepcopy(_JUDGE))
                graph = calculator.build_metric_dependency_graph(needs.get_metric_configurations(), _JUDGE)
            except Exception:  # the column is not there, or it cannot look at data frames: the validator tells
                steps.append(_Step(rule, expectation, None))
                continue
            steps.append(
                _Step(rule, expectation, {name: each.id for name, each in needs.metric_configurations.items()})
            )
            edges.update({edge.id: edge for edge in graph.edges})
        return tuple(steps), tuple(edges.values())

    def _judge(self, plan: _Plan) -> list[Verdict | None]:
        """Evaluate the rules together; None for what could not be evaluated so."""
        from great_expectations.validator.validation_graph import ValidationGraph

        graph = ValidationGraph(self._engine, list(plan.edges))
        try:
            values, _ = graph.resolve(copy.deepcopy(_JUDGE), show_progress_bars=False)
        except Exception:  # one metric failed and took the others with it: the validator tells them apart
            return [None] * len(plan.steps)
        return [self._verdict(step, values) for step in plan.steps]

    def _verdict(self, step: _Step, values: Mapping["MetricConfigurationID", Any]) -> Verdict | None:
        if step.metrics is None:
            return None
        metrics = {name: values[metric] for name, metric in step.metrics.items()}
        try:
            # What the library's own `metrics_validate` calls, once it has laid out the needs yet another time.
            found: Any = step.expectation._validate(metrics, copy.deepcopy(_DESCRIBE), self._engine)
        except Exception:  # the validator tells
            return None
        details = found.get("result") if isinstance(found, dict) else found.result
        return Verdict(step.rule, bool(found["success"]), details or {})

    def _validate(self, step: _Step) -> Verdict:
        """Let the library judge one rule by itself, and find the rows at fault."""
        try:
            (found,) = self._validator.graph_validate([step.expectation.configuration], copy.deepcopy(_FIND_ROWS))
        except Exception as error:  # some types raise before the library begins to catch
            return Verdict(step.rule, False, {}, str(error))
        return Verdict(step.rule, bool(found.success), found.result or {}, _raised(found))


def to_frame(table: "pa.Table") -> "pd.DataFrame":
    """Return the pandas frame on which suites are evaluated.

    Dates are ``datetime64``, text is ``str``; whole numbers and booleans beside missing values stay what they are
    (``Int64``, ``boolean``), where pandas would make floats and objects of them; NaN and null are both missing.
    """
    import pyarrow.types as pt

    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and (pt.is_integer(column.type) or pt.is_boolean(column.type)):
            frame[name] = column.to_pandas(types_mapper=_nullable)
    return frame


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from logging what the verdicts tell, and from taking over Python's warnings when imported."""
    logger, shown = logging.getLogger("great_expectations"), warnings.showwarning
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
        if warnings.showwarning is not shown:
            logging.captureWarnings(False)


def _nullable(of: "pa.DataType") -> Any:
    import pandas as pd
    import pyarrow.types as pt

    if pt.is_boolean(of):
        return pd.BooleanDtype()
    return getattr(pd, f"{'UInt' if pt.is_unsigned_integer(of) else 'Int'}{of.bit_width}Dtype")()


def _expectation(suite: Suite, number: int, rule: Rule) -> "Expectation":
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        return ExpectationConfiguration(type=rule.type, kwargs={**rule.kwargs, "batch_id": _BATCH}).to_domain_obj()
    except Exception as error:  # its own errors and pydantic's have no base in common
        reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise DefinitionError(f"{suite.path}, expectation {number} ({rule.type}): {reason}") from error


def _raised(found: "ExpectationValidationResult") -> str | None:
    info = found.exception_info or {}
    for each in [info, *(item for item in info.values() if isinstance(item, Mapping))]:
        if each.get("raised_exception"):
            return str(each.get("exception_message") or "an exception without a message")
    return None


def _silent_context() -> Any:
    """A context without progress bars.

    Not made by ``get_context``: that would make it the current project of all else in this process that uses it.
    """
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    bars = ProgressBarsConfig(globally=False)
    return EphemeralDataContext(project_config=DataContextConfig(store_backend_defaults=stores, progress_bars=bars))


def _engine(consulted: set[str]) -> "PandasExecutionEngine":
    """The library's pandas engine, for one table after another; notes the names of all metrics that it is asked for."""
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

    class TableEngine(PandasExecutionEngine):
        """Filters its table once for each condition on rows, where the library does so for every metric."""

        def __init__(self) -> None:
            self._filtered: dict[str, pd.DataFrame] = {}
            super().__init__(caching=False)

        def load_batch_data(self, batch_id: str, batch_data: Any) -> None:
            self._filtered.clear()
            super().load_batch_data(batch_id, batch_data)

        def get_domain_records(self, domain_kwargs: dict[str, Any]) -> "pd.DataFrame":
            condition = domain_kwargs.get("row_condition")
            if not condition or "ignore_row_if" in domain_kwargs:
                return super().get_domain_records(domain_kwargs)
            # Without ignore_row_if, which columns are looked at changes nothing.
            key = repr((condition, domain_kwargs.get("condition_parser")))
            if key not in self._filtered:
                self._filtered[key] = super().get_domain_records(domain_kwargs)
            return self._filtered[key]

        def resolve_metrics(self, metrics_to_resolve: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            consulted.update(metric.metric_name for metric in metrics_to_resolve)
            return super().resolve_metrics(metrics_to_resolve, *args, **kwargs)

    return TableEngine()
