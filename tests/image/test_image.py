"""Claims about the image: what is in it and what is not, that it runs on a read-only root, how its layers change."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from samples.shop import simulate
from tests import images
from tidemark.installation import normal, read_lock

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]

INSIDE = "/opt/tidemark/requirements.txt"
AS_OF = "2011-07-01T06:00 Europe/London"


@pytest.fixture(scope="session")
def image() -> str:
    """The image that a cluster runs."""
    return images.built("runtime")


@pytest.fixture(scope="session")
def trial() -> str:
    """The same with the reference pipelines."""
    return images.built("with-dags")


@pytest.fixture(scope="session")
def freeze(image: str) -> dict[str, str]:
    """What pip says is installed, by normal names."""
    lines = images.said(image, "pip", "freeze", "--all").split()
    assert all("==" in line for line in lines), lines
    return {normal(line.split("==")[0]): line.split("==")[1] for line in lines}


def test_it_runs_as_user_50000_and_group_0_and_as_any_user_of_group_0(image: str) -> None:
    assert images.inspected(image)["Config"]["User"] == "50000"
    assert images.said(image, "bash", "-c", "id -u; id -g").split() == ["50000", "0"]
    assert images.said(image, "tidemark", "--version", user="12345:0").startswith("tidemark ")


def test_what_is_installed_is_exactly_the_lock(image: str, freeze: dict[str, str]) -> None:
    """For the image's own Python, whose conditions may be others than this one's."""
    code = f"import json; from tidemark import installation as i; print(json.dumps(i.read_lock(i.Path({INSIDE!r}))))"
    lock = json.loads(images.said(image, "python", "-c", code))
    assert len(lock) > 200
    assert {name: version for name, version in freeze.items() if name not in ("pip", "tidemark")} == lock
    inside = images.said(image, "cat", "/opt/tidemark/requirements.txt")
    assert inside == (ROOT / "requirements.txt").read_text()
    assert "No broken requirements" in images.said(image, "pip", "check")


def test_env_check_in_the_image_finds_nothing(trial: str) -> None:
    data = json.loads(images.said(trial, "tidemark", "env-check", "--json"))
    assert data["differences"] == data["unknown"] == []
    assert data["lock"] == "/opt/tidemark/requirements.txt"
    assert data["here"]["image"] == trial
    assert data["here"]["encoding"].lower() == "utf-8"


def test_env_check_in_an_image_with_one_package_changed_names_the_assets(trial: str, tmp_path: Path) -> None:
    """The check is able to fail: the lock that is mounted over the image's says another polars."""
    lock = tmp_path / "requirements.txt"
    text, changed = re.subn(r"(?m)^polars==\S+", "polars==0.1", (ROOT / "requirements.txt").read_text())
    assert changed == 1
    lock.write_text(text)
    lock.chmod(0o644)
    done = images.run(trial, "tidemark", "env-check", volumes={lock: "/opt/tidemark/requirements.txt:ro"})
    assert done.returncode == 1
    assert re.search(r"^error: polars is \S+ here, 0\.1 in .*; it matters to .*base_prices", done.stdout, re.MULTILINE)


def test_the_list_of_what_it_holds_is_what_pip_says(image: str, freeze: dict[str, str]) -> None:
    text = images.said(image, "cat", "/opt/tidemark/sbom.cdx.json")
    sbom = json.loads(text)
    assert sbom["bomFormat"] == "CycloneDX"
    assert {normal(each["name"]): each["version"] for each in sbom["components"]} == freeze
    assert all(
        each["purl"].startswith("pkg:pypi/") for each in sbom["components"] if normal(each["name"]) != "tidemark"
    )
    assert (ROOT / "dist" / "sbom.cdx.json").read_text() == text


def test_labels_and_variables_say_which_version_and_commit_it_is(image: str, trial: str) -> None:
    """Each of its own: the second image is built from the layers of the first."""
    assert f"TIDEMARK_IMAGE={trial}" in images.inspected(trial)["Config"]["Env"]
    assert images.inspected(trial)["Config"]["Labels"]["org.opencontainers.image.ref.name"] == trial
    config = images.inspected(image)["Config"]
    labels = config["Labels"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert labels["org.opencontainers.image.version"] == version[1]
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == commit
    assert labels["org.opencontainers.image.base.name"] == images.base()
    assert labels["org.opencontainers.image.title"] == "tidemark"
    assert f"TIDEMARK_COMMIT={labels['org.opencontainers.image.revision']}" in config["Env"]
    assert f"TIDEMARK_IMAGE={image}" in config["Env"]
    assert images.said(image, "tidemark", "--version") == f"tidemark {version[1]}\n"


def test_airflow_has_the_settings_of_the_administrators_page_and_the_plugin(image: str) -> None:
    page = (ROOT / "docs/administrator.md").read_text()
    wanted = re.findall(r"^\| `(AIRFLOW__\w+=\S+)` \|", page, re.MULTILINE)
    assert len(wanted) == 4
    assert set(wanted) <= set(images.inspected(image)["Config"]["Env"])
    plugins = json.loads(images.said(image, "airflow", "plugins", "--output", "json"))
    assert [each["name"] for each in plugins if each["name"] == "tidemark"] == ["tidemark"]
    assert images.said(image, "airflow", "version").strip() == "3.3.2"


def test_tools_of_bundles_backups_and_models_are_there(image: str) -> None:
    for command in ("git --version", "pg_dump --version", "psql --version", "mlflow server --help"):
        assert images.said(image, "bash", "-c", command)
    images.said(image, "python", "-c", "import psycopg2, asyncpg, mlflow.server.auth")


def test_its_settings_are_shown_on_a_read_only_root(image: str) -> None:
    data = json.loads(images.said(image, "tidemark", "config", "--json"))
    assert data["TIDEMARK_HOME"] == "/var/lib/tidemark"
    assert data["TIDEMARK_DAGS"] == "/opt/airflow/dags"


def test_without_a_volume_a_run_says_what_it_cannot_write(trial: str) -> None:
    """One sentence, no traceback, and nothing kept in the container unnoticed."""
    done = images.run(trial, "tidemark", "status")
    assert done.returncode == 1
    assert "/var/lib/tidemark" in done.stderr
    assert "Traceback" not in done.stderr


def volume(tmp_path: Path, days: int) -> Path:
    """A home folder that the container's user may write, with deliveries in it."""
    home = tmp_path / "home"
    home.mkdir()
    simulate(home / "landing", days=days, until=date(2011, 6, 30))
    home.chmod(0o777)
    return home


def test_the_price_list_is_computed_in_it_and_the_laptop_has_nothing_to_do(trial: str, tmp_path: Path) -> None:
    """On a read-only root; then this machine plans nothing on what was published: its code versions are the same."""
    home = volume(tmp_path, 4)
    inside = {"volumes": {home: "/var/lib/tidemark"}, "environ": {"TIDEMARK_AS_OF": AS_OF, "TIDEMARK_ACTOR": "ada"}}
    told = json.loads(images.said(trial, "tidemark", "run", "price_list", "--json", **inside))
    assert {name: counts["computed"] for name, counts in told["assets"].items()}["price_list"] == 4
    rows = json.loads(images.said(trial, "tidemark", "read", "price_list", "2011-06-30", "--format", "json", **inside))
    assert {"GBP", "EUR"} <= {row["currency"] for row in rows}
    subprocess.run(
        [
            images.program(),
            "run",
            "--rm",
            "--user=0",
            f"--volume={home}:/home-folder",
            "--entrypoint=chmod",
            trial,
            "-R",
            "a+rwX",
            "/home-folder",
        ],
        check=True,
        capture_output=True,
    )
    plan = laptop(home, "plan", "price_list", "--json")
    assert plan["items"] == []
    assert laptop(home, "read", "price_list", "2011-06-30", "--json") == rows


def laptop(home: Path, *words: str) -> Any:
    """What the command says here, on the container's home folder."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    environ |= {"TIDEMARK_HOME": str(home), "TIDEMARK_AS_OF": AS_OF, "PYTHONPATH": str(ROOT / "plugins")}
    script = "import sys; from tidemark.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script, *words], env=environ, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_in_it_that_does_not_belong_there(image: str, trial: str, freeze: dict[str, str]) -> None:
    """No test tool, no test, no pipeline unless asked for, no repository, no cache of pip."""
    dev_only = read_lock(ROOT / "requirements-dev.txt").keys() - read_lock(ROOT / "requirements.txt").keys()
    assert {"pytest", "mypy", "cyclonedx-bom"} <= dev_only
    assert not dev_only & freeze.keys()
    assert images.said(image, "find", "/opt/airflow/dags", "-type", "f") == ""
    assert "price_list.py" in images.said(trial, "ls", "/opt/airflow/dags")
    everywhere = "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o"
    places = r"\( -name .git -o -name '.env*' -o -name .pypirc -o -name .netrc -o -name pip.conf -o -name .tidemark \)"
    assert images.said(image, "bash", "-c", f"{everywhere} {places} -print 2>/dev/null || true").split() == []
    ours = images.said(image, "find", "/opt/airflow", "/opt/tidemark", "/var/lib/tidemark", "-type", "f").split()
    suites = {f"/opt/airflow/expectations/{each.name}" for each in (ROOT / "expectations").iterdir()}
    assert set(ours) == suites | {
        "/opt/airflow/airflow.cfg",
        "/opt/airflow/plugins/.airflowignore",
        "/opt/airflow/plugins/tidemark_plugin.py",
        "/opt/tidemark/requirements.txt",
        "/opt/tidemark/sbom.cdx.json",
    }
    kept = images.said(
        image,
        "bash",
        "-c",
        "find /tmp/.cache/pip /tmp/tool /tmp/lock /tmp/source /home/airflow/.cache -type f 2>/dev/null || true",
    )
    assert kept == ""


def layers(name: str) -> list[str]:
    found: list[str] = images.inspected(name)["RootFS"]["Layers"]
    return found


def test_a_change_of_the_library_makes_new_only_small_layers(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in images.CONTEXT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    edited = tmp_path / "plugins" / "tidemark" / "hashing.py"
    edited.write_text(edited.read_text() + "\n# An edit.\n")
    other = images.built("runtime", tmp_path)
    assert "# An edit." in images.said(
        other, "python", "-c", "import inspect, tidemark.hashing as h; print(inspect.getsource(h))"
    )
    before, after = layers(image), layers(other)
    kept = sum(one == two for one, two in zip(before, after, strict=True))
    assert before[:kept] == after[:kept]
    assert before[kept:] != after[kept:]
    size = {each: images.inspected(each)["Size"] / 1e6 for each in (image, images.base())}
    changed = changed_megabytes(other, len(after) - kept)
    with capsys.disabled():
        print(
            f"\nthe image: {size[image]:.0f} MB, {size[images.base()]:.0f} MB of them the base's; {len(after)} layers, "
            f"of which a change of the library makes {len(after) - kept} anew: {changed:.1f} MB"
        )
    assert changed < 20


def changed_megabytes(name: str, count: int) -> float:
    """The size of the last layers of an image, those aside that hold no file."""
    # docker says a number with --human=false, podman only as JSON.
    form = ["--format", "json"] if "podman" in images.program() else ["--human=false", "--format", "{{.Size}}"]
    done = subprocess.run([images.program(), "history", *form, name], capture_output=True, text=True, check=True)
    said = done.stdout
    sizes = [each["size"] for each in json.loads(said)] if "json" in form else [int(line) for line in said.splitlines()]
    return sum([size for size in sizes if size][:count]) / 1e6
