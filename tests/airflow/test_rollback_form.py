"""The forms that DAG files of operators make."""

from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from tidemark.catalog import load_catalog

ROOT = Path(__file__).parents[2]


def test_the_form_is_a_dag_where_airflow_imports_the_file_and_nothing_elsewhere() -> None:
    """The command finds pipelines in the same folder, and does not pay for Airflow."""
    bag = DagBag(str(ROOT / "dags" / "operations.py"), bundle_name="dags", safe_mode=False)
    assert not bag.import_errors
    dag = bag.dags["rollback_model"]
    assert dag.task_ids == ["rollback"]
    assert dag.timetable.can_be_scheduled is False
    assert dag.doc_md is not None
    assert dag.doc_md.startswith("## Take a promotion of a model back")
    catalog = load_catalog(ROOT / "dags")
    assert not catalog.problems
    assert sorted(catalog.pipelines) == ["business_report", "demand_model", "demand_monitoring", "price_list"]


def test_who_does_not_say_why_or_for_which_model_gets_no_run() -> None:
    bag = DagBag(str(ROOT / "dags" / "operations.py"), bundle_name="dags", safe_mode=False)
    params = bag.dags["rollback_model"].params
    assert params["version"] == "previous"
    for name in ("model", "why"):
        assert params.get_param(name).schema["minLength"] == 1
        assert not params.get_param(name).has_value
