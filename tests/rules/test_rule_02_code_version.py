"""Rule 2: which edits run something again. What a fingerprint is made of is tested in tests/fingerprint/."""

import sys
from pathlib import Path

import pytest

from benchmarks import code_matrix
from tests.scenario import Shop
from tidemark.catalog import load_catalog
from tidemark.errors import DefinitionError

HELPED = """
    from pricing import net

    SHIPPING = 5

    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def prices(orders: bytes) -> str:
        # What it costs.
        return f"{net(int(orders))}"

    @asset(partitions=DAYS)
    def shipped(orders: bytes) -> str:
        return f"{int(orders) + SHIPPING}"
"""

PRICING = """
    import taxes

    def net(gross: int) -> int:
        return gross - taxes.RATE
"""

DAYS = ["2025-01-05", "2025-01-06"]


@pytest.fixture
def helped(shop: Shop) -> Shop:
    """A shop whose prices call a helper in another module, which reads a constant in a third; it has run."""
    shop.module("taxes", "RATE = 20\n")
    shop.module("pricing", PRICING)
    shop.define(HELPED)
    for key in DAYS:
        shop.deliver("orders", key, "100")
    shop.run()
    assert shop.ran == {"prices": DAYS, "shipped": DAYS}
    return shop


def test_an_edit_to_a_helper_in_another_module_runs_what_calls_it(helped: Shop) -> None:
    """Two modules away, and only what reaches it."""
    helped.edit("RATE = 20", "RATE = 19", "taxes.py")
    helped.run()
    assert helped.ran == {"prices": DAYS}
    assert helped.heads("prices") == dict.fromkeys(DAYS, "81")


def test_an_edit_to_a_constant_runs_what_reads_it(helped: Shop) -> None:
    """And nothing else in its file."""
    helped.edit("SHIPPING = 5", "SHIPPING = 6")
    helped.run()
    assert helped.ran == {"shipped": DAYS}


def test_comments_docstrings_and_layout_change_nothing(helped: Shop) -> None:
    """Nor does another order of definitions."""
    helped.edit("        # What it costs.\n".replace("        ", "    ", 1), '    """What it costs."""\n\n')
    helped.edit("SHIPPING = 5\n", "")
    helped.edit("dag = pipeline", "SHIPPING = (5)  # pounds\n\ndag = pipeline")
    helped.edit("return gross - taxes.RATE", "return (gross\n        - taxes.RATE)", "pricing.py")
    helped.run()
    assert helped.ran == {}


def test_another_name_of_a_local_variable_runs_nothing(helped: Shop) -> None:
    """Nobody can see it in a result; where somebody could, by ``locals()`` say, it is an edit like any other."""
    helped.edit("return gross - taxes.RATE", "net = gross - taxes.RATE\n    return net", "pricing.py")
    helped.run()
    assert helped.ran == {"prices": DAYS}
    helped.edit("net = gross - taxes.RATE\n    return net", "left = gross - taxes.RATE\n    return left", "pricing.py")
    helped.run()
    assert helped.ran == {}
    helped.edit("return left", "return locals()['left']", "pricing.py")
    helped.run()
    assert helped.ran == {"prices": DAYS}
    helped.edit("left", "kept", "pricing.py")
    helped.run()
    assert helped.ran == {"prices": DAYS}


def test_the_benchmark_of_edits_has_the_right_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the five edits that docs/benchmarks.md shows, each runs the step if the result changes, and not otherwise."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("BENCHMARK_RAN", "")
    told = code_matrix.measure()["tidemark"]
    assert {edit.what: told[edit.what].ran for edit in code_matrix.EDITS} == {
        "comment in the step": False,
        "docstring in the step": False,
        "body of the step": True,
        "constant in the same module": True,
        "helper in another module": True,
    }
    assert {each.verdict for each in told.values()} == {"right"}


def test_moving_the_files_changes_nothing(helped: Shop, tmp_path: Path) -> None:
    """Another folder, another file name, and so another module name: as with each of Airflow's bundle versions."""
    moved = tmp_path / "bundles" / "version-2"
    moved.mkdir(parents=True)
    for file in helped.dags.glob("*.py"):
        file.rename(moved / ("renamed.py" if file.name == "shop.py" else file.name))
    sys.path.remove(str(helped.dags))
    helped.forget_modules()
    helped.dags = moved
    helped.load()
    helped.run()
    assert helped.ran == {}


def test_a_declared_resource_file_is_code(shop: Shop) -> None:
    """An edit of a file that the function reads runs it; one of a file beside it does not."""
    (shop.dags / "rules.sql").write_text("select 1")
    (shop.dags / "other.sql").write_text("select 1")
    shop.define("""
        @asset(files=["rules.sql"])
        def report() -> str:
            return (Path(__file__).parent / "rules.sql").read_text()
    """)
    shop.run()
    (shop.dags / "other.sql").write_text("select 2")
    shop.load()
    shop.run()
    assert shop.ran == {}
    (shop.dags / "rules.sql").write_text("select 2")
    shop.load()
    shop.run()
    assert shop.ran == {"report": ["all"]}
    assert shop.heads("report") == {"all": "select 2"}


def test_what_is_recorded_is_what_runs(helped: Shop) -> None:
    """A helper that was edited after it was loaded, so that its old code runs, is refused, not recorded as the new."""
    helped.forget_modules()
    loaded = load_catalog(helped.dags).pipelines["shop"]
    file = helped.dags / "pricing.py"
    file.write_text(file.read_text().replace("gross - taxes.RATE", "gross + taxes.RATE"))
    with pytest.raises(DefinitionError, match=r"pricing\.py: net is loaded in another form .* Load it again"):
        _ = loaded.asset("prices").code
    helped.load()
    helped.run()
    assert helped.ran == {"prices": DAYS}
    assert helped.heads("prices") == dict.fromkeys(DAYS, "120")


def test_each_difference_has_a_name(helped: Shop) -> None:
    """The component digests are kept, so that one can tell which definition changed."""
    helped.edit("RATE = 20", "RATE = 19", "taxes.py")
    helped.run()
    assert helped.plan is not None
    assert {item.reason for item in helped.plan.items} == {"code changed"}
    before, after = (set(made) for made in _components(helped))
    assert {label for label, _ in before ^ after} == {"taxes.RATE"}


def _components(shop: Shop) -> list[list[tuple[str, str]]]:
    """Return label and digest of each component of the two code versions that the prices have had."""
    import sqlalchemy as sa

    from tidemark.ledger.schema import code_version

    numbers = list(dict.fromkeys(made.code_version for made in shop.made("prices", DAYS[0])))
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        rows = {
            row.id: [(label, each) for label, _, _, each in row.components]
            for row in connection.execute(sa.select(code_version).where(code_version.c.id.in_(numbers)))
        }
    return [rows[number] for number in numbers if number is not None]
