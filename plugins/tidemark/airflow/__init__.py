"""The only code that knows Airflow: it turns a pipeline into a DAG, wakes it up, and shows what happened."""
