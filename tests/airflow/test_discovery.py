"""Which files Airflow looks into."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from tidemark.airflow.discovery import might_contain_dag


@pytest.mark.parametrize(
    ("text", "looked_into"),
    [
        ("from tidemark import pipeline\n", True),
        ("    import tidemark as t\n", True),
        ("from airflow.sdk import dag\n", True),
        ("import tidemarks\n", False),
        ("# this could import tidemark one day\nx = 1\n", False),
        ("NAME = 'a helper of other files'\n", False),
    ],
)
def test_airflow_looks_into_its_own_files_and_into_what_imports_tidemark(
    tmp_path: Path, text: str, looked_into: bool
) -> None:
    """The words "dag" and "airflow" need not occur in a pipeline file."""
    file = tmp_path / "product.py"
    file.write_text(text)
    assert might_contain_dag(str(file)) is looked_into


def test_a_file_in_an_archive_is_looked_into_all_the_same(tmp_path: Path) -> None:
    """Airflow passes the archive and the name in it."""
    archive = tmp_path / "products.zip"
    with ZipFile(archive, "w") as made:
        made.writestr("product.py", "import tidemark\n")
        made.writestr("words.py", "x = 1\n")
    with ZipFile(archive) as opened:
        assert might_contain_dag("product.py", opened)
        assert not might_contain_dag("words.py", opened)
