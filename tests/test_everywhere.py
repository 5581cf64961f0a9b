"""The same file, unchanged, wherever the state is: folders and SQLite, or PostgreSQL, S3 and a server of deliveries."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from samples import simulate
from samples.unhappy import corrected_order
from tests.servers import FileServer
from tidemark.catalog import load_catalog
from tidemark.config import Settings, parse_instant, settings
from tidemark.deployment import open_deployment
from tidemark.ledger import heads, registry
from tidemark.running.run import prepare, run_plan
from tidemark.verdict import Verdict, verdict

ROOT = Path(__file__).parent.parent
LAST = dt.date(2011, 3, 31)
AS_OF = parse_instant("2011-04-01T06:00 Europe/London")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(given: Settings) -> tuple[Verdict, dict[tuple[str, str], bytes]]:
    """Run the price list; returns the verdict and the data version of every head."""
    pipeline = load_catalog(ROOT / "dags").pipeline("price_list")
    with open_deployment(given) as deployment:
        prepared = prepare(deployment, pipeline, as_of=AS_OF, run="test", actor="test")
        run_plan(deployment, pipeline, prepared, run="test", actor="test")
        came_out = verdict(deployment, pipeline, prepared.plan_id)
        live = {}
        with deployment.ledger.read() as connection:
            for name, each in registry.assets(connection).items():
                keys = {number: key for key, number in registry.partition_ids(connection, each.grain).items()}
                for number, head in heads.current(connection, "prod", each.id).items():
                    live[name, keys[number]] = head.data_version
    return came_out, live


@pytest.mark.parametrize("server", ["sftp", "ftp"])
def test_postgresql_s3_and_a_file_server_hold_what_folders_and_sqlite_hold(
    server: str, request: pytest.FixtureRequest, tmp_path: Path, postgres: str, s3: str
) -> None:
    """Every head is equal, after the first run and after a correction; the second run finds nothing to do."""
    files: FileServer = request.getfixturevalue(server)
    here = tmp_path / "here"
    simulate(here / "landing", days=12, until=LAST)
    shutil.copytree(here / "landing", files.root, dirs_exist_ok=True)
    near = settings({"TIDEMARK_HOME": str(here)})
    far = settings(
        {
            "TIDEMARK_HOME": str(tmp_path / "there"),
            "TIDEMARK_LEDGER_URL": postgres,
            "TIDEMARK_STORE_URL": s3,
            "TIDEMARK_LANDING_URL": files.url,
        }
    )
    for given in (near, far):
        given.home.mkdir(exist_ok=True)
    came_out, live = run(near)
    assert (came_out.ok, came_out.total("computed")) == (True, 3 * 11 + 3 * 12)  # one of the 12 days is a Saturday
    assert run(far) == (came_out, live)

    again, _ = run(far)
    assert again.total("unchanged") == came_out.total("computed")

    for landing in (here / "landing", files.root):
        file = landing / "orders" / f"{LAST - dt.timedelta(2)}.csv"
        file.write_bytes(corrected_order(file.read_bytes()))
    repaired, after = run(near)
    assert repaired.total("computed") > 0
    assert after != live
    assert run(far) == (repaired, after)
    assert not list((tmp_path / "there").glob("*.db"))


def test_the_data_docs_are_files_under_the_home_folder(tmp_path: Path) -> None:
    """A run leaves an index, and the newest page of every suite that was asked."""
    simulate(tmp_path / "landing", days=2, until=LAST)
    run(settings({"TIDEMARK_HOME": str(tmp_path)}))
    index = (tmp_path / "data_docs" / "index.html").read_text()
    for suite in ("orders", "fx_rates", "order_lines", "price_list"):
        assert f"{suite}/" in index
        assert (tmp_path / "data_docs" / suite / "passed.html").is_file()
