"""Claims about what differs, and which results that matters to."""

from pathlib import Path

import pytest

from tidemark.catalog import load_catalog
from tidemark.conformity import (
    Closures,
    Difference,
    against_ledger,
    against_lock,
    against_release,
    closures_of,
    migration,
)
from tidemark.fingerprint.distributions import needs_of
from tidemark.installation import Installation
from tidemark.ledger.heads import LiveCode

CLOSURES = Closures({"prices": frozenset({"polars", "numpy"}), "lines": frozenset({"polars"})})
HERE = Installation("3.11.7", {"polars": "1.1", "numpy": "2.0", "rich": "14"}, time_zone="UTC", image="tidemark:2")


def verdicts(differences: object) -> dict[str, tuple[bool, tuple[str, ...]]]:
    return {each.what: (each.is_error, each.assets) for each in differences}  # type: ignore[attr-defined]


def test_what_a_result_depends_on_is_an_error_and_other_things_are_warnings() -> None:
    lock = {"polars": "1.0", "numpy": "2.0", "rich": "13"}
    assert verdicts(against_lock(HERE, lock, "lock", CLOSURES)) == {
        "polars": (True, ("lines", "prices")),
        "rich": (False, ()),
    }


def test_what_is_missing_or_extra_counts_by_who_depends_on_it() -> None:
    lock = {"polars": "1.1", "scipy": "1"}
    assert verdicts(against_lock(HERE, lock, "lock", CLOSURES)) == {
        "numpy": (True, ("prices",)),
        "rich": (False, ()),
        "scipy": (False, ()),
    }
    extra = [each for each in against_lock(HERE, lock, "lock", CLOSURES) if each.is_extra]
    assert [each.what for each in extra] == ["rich"]


def test_equal_versions_are_no_difference_however_they_are_spelt() -> None:
    here = Installation("3.11.7", {"a": "2.0", "b": "1.0.post1", "c": "not a version"})
    assert not [*against_lock(here, {"a": "2.0.0", "b": "1.0-1", "c": "not a version"}, "lock", CLOSURES)]
    assert [each.what for each in against_lock(here, {"a": "2.0", "b": "1.0", "c": "x"}, "lock", CLOSURES)] == [
        "b",
        "c",
    ]


@pytest.mark.parametrize("closures", [Closures({}), Closures({"lines": frozenset()}, ("bad.py cannot be used",))])
def test_where_dependencies_are_unknown_each_difference_matters_but_not_what_is_extra(closures: Closures) -> None:
    lock = {"polars": "1.0", "numpy": "2.0", "scipy": "1"}
    found = verdicts(against_lock(HERE, lock, "lock", closures))
    assert {what: wrong for what, (wrong, _) in found.items()} == {"polars": True, "scipy": True, "rich": False}


def test_a_python_that_the_lock_is_not_made_for_is_an_error() -> None:
    old = Installation("3.10.2", {"polars": "1.1"})
    [one] = against_lock(old, {"polars": "1.1"}, "lock", CLOSURES)
    assert (one.what, one.there, one.is_error, one.assets) == ("Python", "<3.14,>=3.11", True, ("lines", "prices"))


def test_a_release_tells_of_everything_and_errors_only_for_what_results_depend_on() -> None:
    release = Installation("3.11.2", {"polars": "1.0", "numpy": "2.0"}, time_zone="Asia/Tokyo", image="tidemark:1")
    assert verdicts(against_release(HERE, release, "r.json", CLOSURES)) == {
        "Python": (False, ("lines", "prices")),
        "time zone": (False, ()),
        "image": (False, ()),
        "polars": (True, ("lines", "prices")),
        "rich": (False, ()),
    }
    other = Installation("3.12.1", HERE.distributions)
    assert verdicts(against_release(HERE, other, "r.json", CLOSURES)) == {"Python": (True, ("lines", "prices"))}


def test_live_results_of_other_versions_are_a_warning_and_of_another_python_an_error() -> None:
    """The next plan computes the first again; for the second nothing would run."""
    live = [
        LiveCode("lines", "3.11.7", {"polars": "1.0"}),
        LiveCode("prices", "3.12.1", {"polars": "1.0", "numpy": "2.0"}),
        LiveCode("report", "3.11.2", {"gone": "1"}),
    ]
    found = {(each.what, each.there): (each.is_error, each.assets) for each in against_ledger(HERE, live)}
    assert found == {
        ("polars", "1.0"): (False, ("lines", "prices")),
        ("Python", "3.12.1"): (True, ("prices",)),
        ("Python", "3.11.2"): (False, ("report",)),
        ("gone", "1"): (False, ("report",)),
    }


def test_a_migration_says_which_assets_are_computed_again() -> None:
    after = {"polars": "1.1", "numpy": "2.1", "rich": "15", "new": "1"}
    told = migration(HERE.distributions, after, "next.txt", CLOSURES)
    assert told.recomputed == ("prices",)
    assert told.kept == ("lines",)
    assert [(each.what, each.here, each.there) for each in told.differences] == [
        ("new", None, "1"),
        ("numpy", "2.0", "2.1"),
        ("rich", "14", "15"),
    ]


def pipeline(folder: Path, body: str) -> None:
    (folder / "shop.py").write_text(
        "import matplotlib.pyplot as plt\nimport polars as pl\nfrom tidemark import Daily, asset, pipeline\n\n"
        f'@asset(partitions=Daily(start="2025-01-01"))\ndef drawn() -> str:\n    return {body}\n\n'
        'dag = pipeline("shop", [drawn])\n'
    )


def test_an_asset_depends_on_what_its_code_imports_and_on_what_that_needs(tmp_path: Path) -> None:
    """Also on what is needed and not installed, which no code version has."""
    pipeline(tmp_path, "str(plt)")
    found = closures_of(load_catalog(tmp_path), [])
    assert found.complete
    assert {"matplotlib", "numpy", "kiwisolver"} <= found.names["drawn"]
    assert "mlflow" not in found.names["drawn"]
    assert needs_of("matplotlib") <= found.names["drawn"]
    assert found.of("kiwisolver") == ("drawn",)


def test_files_say_more_than_live_results_and_a_broken_file_says_nothing(tmp_path: Path) -> None:
    pipeline(tmp_path, "str(pl)")
    live = [LiveCode("drawn", "3.11.7", {"matplotlib": "3"}), LiveCode("elsewhere", "3.11.7", {"scipy": "1"})]
    found = closures_of(load_catalog(tmp_path), live)
    assert "polars" in found.names["drawn"]
    assert found.names["elsewhere"] == {"scipy"}
    assert closures_of(None, live).names["drawn"] == {"matplotlib"}
    (tmp_path / "bad.py").write_text("import tidemark, nothing_of_this_name\n")
    broken = closures_of(load_catalog(tmp_path), live)
    assert not broken.complete
    [said] = broken.unknown
    assert said.startswith("bad.py cannot be used, so what it depends on is unknown: ModuleNotFoundError: ")


def test_nothing_is_complete_without_an_asset() -> None:
    assert not Closures({}).complete
    assert Difference("x", "1", None, "lock").is_extra
