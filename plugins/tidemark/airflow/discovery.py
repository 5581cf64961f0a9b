"""Which Python files Airflow should look into for DAGs; named in `[core] might_contain_dag_callable`.

Airflow's own test passes over, without a word, a file in which the words "dag" and "airflow" do not both occur, and a
pipeline file has no reason to mention Airflow.
"""

import re
from pathlib import Path
from zipfile import ZipFile

_IMPORTS_TIDEMARK = re.compile(rb"^[ \t]*(?:from|import)[ \t]+tidemark\b", re.MULTILINE)


def might_contain_dag(file_path: str, zip_file: ZipFile | None = None) -> bool:
    """Say whether a file is worth parsing: Airflow's own test says so, or its text imports `tidemark`.

    Args:
        file_path: the file, or its name inside of `zip_file`.
        zip_file: the open archive that holds the file, if one does.

    """
    from airflow.utils.file import might_contain_dag_via_default_heuristic

    if might_contain_dag_via_default_heuristic(file_path=file_path, zip_file=zip_file):
        return True
    text = zip_file.read(file_path) if zip_file else Path(file_path).read_bytes()
    return _IMPORTS_TIDEMARK.search(text) is not None
