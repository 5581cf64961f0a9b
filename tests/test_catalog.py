"""Claims about the catalog: pipelines are found in a folder of files, and one bad file harms no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from tidemark.catalog import check_alone, load_catalog
from tidemark.errors import DefinitionError, UsageError

GOOD = """
from tidemark import Daily, asset, pipeline, source
orders = source("{name}_orders", files="{{partition}}", partitions=Daily())
@asset(partitions=Daily())
def {name}_lines({name}_orders: str) -> str:
    return {name}_orders
dag = pipeline("{name}", [orders, {name}_lines])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(GOOD.format(name="shop"))
    return tmp_path


def test_every_pipeline_of_every_file_is_found_by_name(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "two.py").write_text(GOOD.format(name="one") + GOOD.format(name="two").replace("dag", "second"))
    assert sorted(load_catalog(folder).pipelines) == ["one", "shop", "two"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import tidemark\nx = 1 / 0", r"ZeroDivisionError: division by zero \(line 2\)"),
        ("import tidemark\nimport nonesuch", r"ModuleNotFoundError: No module named 'nonesuch' \(line 2\)"),
        ("import tidemark\ndef x(:", r"SyntaxError: .*\(bad.py, line 2\)"),
        ("import tidemark, sys\nsys.exit(3)", r"SystemExit: 3 \(line 2\)"),
        ("from tidemark import Daily\n\nDaily(tz='Mars')", r"DefinitionError: tz: 'Mars' is no time zone.* \(line 3\)"),
    ],
)
def test_a_file_that_cannot_be_imported_harms_no_other(folder: Path, text: str, says: str) -> None:
    """It is named with what it raised and the line."""
    bad = folder / "zzz" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(text)
    catalog = load_catalog(folder)
    assert list(catalog.pipelines) == ["shop"]
    assert list(catalog.problems) == [bad]
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(catalog.problems[bad])


def test_a_pipeline_that_two_files_define_is_refused_and_harms_no_other(folder: Path) -> None:
    """Neither is taken by chance: each file is named with the other, and the mend."""
    copy = folder / "shop_copy.py"
    copy.write_text(GOOD.format(name="shop") + GOOD.format(name="more").replace("dag", "second"))
    catalog = load_catalog(folder)
    assert list(catalog.pipelines) == ["more"]
    assert list(catalog.problems) == [folder / "shop.py", copy]
    says = r"shop.py: pipeline\('shop'\): .*shop_copy.py defines a pipeline of this name too: rename one"
    with pytest.raises(UsageError, match=says):
        catalog.pipeline("shop")
    with pytest.raises(UsageError, match=says):
        catalog.owner_of("shop_lines")


def test_a_file_that_defines_a_pipeline_twice_is_refused_and_one_that_imports_it_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is where it is defined."""
    # Other tests have left modules and folders behind in which there is one of the same name.
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    monkeypatch.syspath_prepend(folder)
    (folder / "user.py").write_text("import tidemark\nfrom shop import dag")
    catalog = load_catalog(folder)
    assert (list(catalog.pipelines), catalog.problems) == (["shop"], {})
    (folder / "shop.py").write_text(GOOD.format(name="shop") + GOOD.format(name="shop").replace("dag", "second"))
    with pytest.raises(UsageError, match=r"pipeline\('shop'\): the file defines two of this name: rename one"):
        load_catalog(folder).pipeline("shop")


@pytest.mark.parametrize(
    "text", ['pipeline("shop", [])', 'tidemark.pipeline(name="shop", members=[])', "x = [pipeline('shop', [])]"]
)
def test_who_sees_one_file_only_is_told_of_another_with_the_same_pipeline(folder: Path, text: str) -> None:
    """By its text: it is not imported; and what is a mere word, a broken file or a copy of an editor says nothing."""
    [shop] = load_catalog(folder).pipelines.values()
    (folder / "broken.py").write_text('import tidemark\npipeline("shop"')
    (folder / "word.py").write_text('# tidemark\ntext = "pipeline(\'shop\', [])"\npipeline("shops", [])')
    (folder / ".shop.py").write_text(GOOD.format(name="shop"))
    check_alone(shop)
    (folder / "more").mkdir()
    (folder / "more" / "copy.py").write_text(f"import tidemark\nraise SystemExit\n{text}")
    with pytest.raises(DefinitionError, match=r"shop.py: pipeline\('shop'\): .*copy.py defines .* too: rename one"):
        check_alone(shop)


def test_what_is_no_pipeline_file_is_not_run(folder: Path) -> None:
    """Neither a script beside them, nor the copies that notebooks and editors keep."""
    (folder / "script.py").write_text("raise SystemExit('ran')")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "shop.py").write_text(GOOD.format(name="shop"))
    assert load_catalog(folder).problems == {}


def test_files_can_share_modules_of_their_folder(folder: Path) -> None:
    """As in Airflow, whose folder of DAGs is on the path."""
    (folder / "prices_for_test_catalog.py").write_text("RATE = 2")
    (folder / "user.py").write_text("import tidemark\nfrom prices_for_test_catalog import RATE")
    assert load_catalog(folder).problems == {}


def test_a_name_that_is_not_there_is_answered_with_the_closest_and_with_what_is_broken(folder: Path) -> None:
    (folder / "bad.py").write_text("import tidemark\n1 / 0")
    catalog = load_catalog(folder)
    with pytest.raises(
        UsageError, match=r"no pipeline 'shopp': did you mean 'shop'\?\n.*not be used.*\n  bad.py: Zero"
    ):
        catalog.pipeline("shopp")
    with pytest.raises(UsageError, match="no pipeline defines 'shop_line': did you mean 'shop_lines'"):
        catalog.owner_of("shop_line")
    assert catalog.owner_of("shop_orders").name == "shop"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: name the folder of pipeline files in TIDEMARK_DAGS"):
        load_catalog(tmp_path / "nowhere")


def test_the_catalog_needs_no_airflow(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tidemark.catalog import load_catalog\n"
        f"assert load_catalog(Path({str(folder)!r})).pipelines\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'airflow']\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})
