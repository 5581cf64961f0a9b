"""Claims about ``tidemark env-check`` as a person types it: what is an error, what a warning, and what to do."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.conftest import AS_OF, Command
from tests.scenario import Shop
from tidemark.installation import installed_here


def write_lock(folder: Path, name: str = "lock.txt", **others: str | None) -> str:
    """A lock of what is installed, but for some."""
    versions = {**installed_here().distributions, **{key.replace("_", "-"): value for key, value in others.items()}}
    (folder / name).write_text("".join(f"{key}=={value}\n" for key, value in versions.items() if value))
    return name


def test_all_is_well_where_all_is_as_the_lock_says(open_shop: Shop, tidemark: Command) -> None:
    done = tidemark("env-check", "--lock", write_lock(open_shop.home))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "all is as lock.txt says"
    assert f"Airflow {version('apache-airflow')} with" in done.out


def test_another_version_of_what_a_result_depends_on_ends_it_with_one(open_shop: Shop, tidemark: Command) -> None:
    lock = write_lock(open_shop.home, polars="0.1")
    done = tidemark("env-check", "--lock", lock)
    assert done.code == 1
    said = f"error: polars is {version('polars')} here, 0.1 in lock.txt; it matters to label, lines, totals"
    assert said in done.out.splitlines()
    told = tidemark("env-check", "--lock", lock, "--json")
    assert told.code == 1
    assert told.err == "tidemark: 1 difference on which results may depend\n"
    assert [(each["what"], each["is_error"]) for each in told.data["differences"]] == [("polars", True)]


def test_what_no_result_depends_on_is_a_warning(open_shop: Shop, tidemark: Command) -> None:
    lock = write_lock(open_shop.home, apprise="0.1", rich=None, cyclonedx_bom=None, nothing_such="3")
    done = tidemark("env-check", "--lock", lock)
    assert done.code == 0
    lines = done.out.splitlines()[3:]
    assert lines == [
        f"warning: apprise is {version('apprise')} here, 0.1 in lock.txt",
        "warning: nothing-such is not here, 3 in lock.txt",
        f"warning: lock.txt does not name cyclonedx-bom {version('cyclonedx-bom')}, rich {version('rich')}; "
        "no result is known to depend on it",
    ]


def test_live_results_that_another_version_made_are_told(
    open_shop: Shop, tidemark: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really another: a distribution of the same name that stands before the installed one on the path."""
    made = version("polars")
    folder = tmp_path / "other" / "polars-9.9.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: polars\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(folder.parent))
    done = tidemark("env-check", "--lock", write_lock(open_shop.home))
    said = f"warning: polars is 9.9 here, {made} in the ledger; it matters to label, lines, totals"
    assert said in done.out.splitlines()
    assert done.code == 0


def test_live_results_of_another_line_of_python_are_an_error(
    open_shop: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.13.1")
    done = tidemark("env-check", "--lock", write_lock(open_shop.home))
    mine = ".".join(map(str, sys.version_info[:3]))
    assert f"error: Python is 3.13.1 here, {mine} in the ledger; it matters to label, lines, totals" in done.out
    assert done.code == 1


def test_no_ledger_is_made_to_ask_it(
    delivered: Shop, tidemark: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    monkeypatch.delenv("TIDEMARK_LEDGER_URL", raising=False)
    monkeypatch.setenv("TIDEMARK_HOME", str(new))
    assert tidemark("env-check", "--lock", write_lock(delivered.home)).code == 0
    assert not new.exists()


def test_a_ledger_that_does_not_answer_is_told_and_files_are_enough(
    delivered: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://ada:geheim@127.0.0.1:1/ledger")
    done = tidemark("env-check", "--lock", write_lock(delivered.home))
    assert done.code == 0
    assert "warning: the ledger was not asked: " in done.out
    assert "geheim" not in done.out + done.err


def test_without_pipelines_and_ledger_each_difference_matters(
    shop: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_DAGS", str(shop.home / "nowhere"))
    done = tidemark("env-check", "--lock", write_lock(shop.home, apprise="0.1"))
    assert done.code == 1
    assert "error: apprise is" in done.out
    assert "no pipeline and no live result is known here" in done.out


def test_a_broken_file_is_told_by_name(open_shop: Shop, tidemark: Command) -> None:
    (open_shop.dags / "bad.py").write_text("import tidemark\nDaily()")
    done = tidemark("env-check", "--lock", write_lock(open_shop.home))
    assert done.code == 0
    assert "warning: bad.py cannot be used, so what it depends on is unknown: NameError: " in done.out


def test_what_one_place_has_said_is_what_another_is_held_against(open_shop: Shop, tidemark: Command) -> None:
    lock = write_lock(open_shop.home)
    said = tidemark.json("env-check", "--lock", lock)
    (open_shop.home / "release.json").write_text(json.dumps(said))
    assert "all is as" in tidemark("env-check", "--lock", lock, "--release", "release.json").out
    said["here"]["distributions"]["polars"] = "0.1"
    said["here"]["time_zone"] = "Asia/Tokyo"
    (open_shop.home / "release.json").write_text(json.dumps(said))
    done = tidemark("env-check", "--lock", lock, "--release", "release.json")
    assert done.code == 1
    assert f"error: polars is {version('polars')} here, 0.1 in release.json; it matters to" in done.out
    assert ", Asia/Tokyo in release.json" in done.out


def test_a_second_lock_says_what_would_be_computed_again(open_shop: Shop, tidemark: Command) -> None:
    lock = write_lock(open_shop.home)
    harmless = write_lock(open_shop.home, "harmless.txt", apprise="0.1")
    done = tidemark("env-check", "--lock", lock, "--lock", harmless)
    assert done.code == 0
    assert done.out.splitlines()[-4:] == [
        "harmless.txt in place of lock.txt:",
        f"  apprise {version('apprise')} -> 0.1",
        "computed again: nothing",
        "as they are: label, lines, totals",
    ]
    upgrade = write_lock(open_shop.home, "next.txt", polars="99")
    data = tidemark.json("env-check", "--lock", lock, "--lock", upgrade)
    assert data["migration"]["recomputed"] == ["label", "lines", "totals"]


def test_what_a_second_lock_foretells_is_what_a_plan_says_once_it_is_installed(
    open_shop: Shop, tidemark: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = write_lock(open_shop.home)
    upgrade = write_lock(open_shop.home, "next.txt", polars="9.9")
    foretold = tidemark.json("env-check", "--lock", lock, "--lock", upgrade)["migration"]["recomputed"]
    assert tidemark.json("plan", "shop", "--as-of", AS_OF)["items"] == []
    folder = tmp_path / "other" / "polars-9.9.dist-info"
    folder.mkdir(parents=True)
    real = Path(str(sys.modules["polars"].__file__)).parents[1] / f"polars-{version('polars')}.dist-info"
    for name in ("RECORD", "METADATA"):
        text = (real / name).read_text().replace(f"Version: {version('polars')}", "Version: 9.9")
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(folder.parent))
    planned = {each["asset"] for each in tidemark.json("plan", "shop", "--as-of", AS_OF)["items"]}
    assert planned == set(foretold)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lock", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--lock", "a", "--lock", "b", "--lock", "c"], "--lock may be given twice"),
        (["--release", "nowhere.json"], "nowhere.json cannot be read"),
        (["--release", "lock.txt"], "lock.txt is no record of a release"),
    ],
)
def test_what_cannot_be_understood_ends_with_two(
    open_shop: Shop, tidemark: Command, words: list[str], said: str
) -> None:
    write_lock(open_shop.home)
    done = tidemark("env-check", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
