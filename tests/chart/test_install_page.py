"""Claims about docs/install.md: its commands run in order, and what they make is what the chart asks for.

The programs are stand-ins that write down how they were called: nothing of it reaches a cluster here.
"""

import itertools
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, Helm, containers, pods, told

PAGE = (ROOT / "docs" / "install.md").read_text()
PROGRAMS = ("kubectl", "helm", "psql", "aws", "git", "make", ".venv/bin/python")

# With each call, what it was given in files and on standard input, which no list of processes has.
_STAND_IN = """#!/usr/bin/env python3
import json, os, sys
call, files = [os.path.basename(sys.argv[0]), *sys.argv[1:]], {}
for word in call:
    option, _, file = word.partition("=")
    if option in ("--from-file", "--from-env-file"):
        files[word] = open(file.rpartition("=")[2]).read()
given = sys.stdin.read() if call[0] == "psql" else ""
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([call, files, given]) + chr(10))
"""


def blocks() -> list[str]:
    """Every block of commands of the page, in order."""
    return re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Played:
    """What came of the page.

    Attributes:
        folder: in which all blocks were run in one shell.
        calls: the words with which each program was called.
        secrets: the keys and values of each Secret that was made.
        sql: what was said to PostgreSQL.

    """

    folder: Path
    calls: list[list[str]]
    secrets: dict[str, dict[str, str]]
    sql: str


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The page, played with programs that only write down what they were given."""
    folder = tmp_path_factory.mktemp("install")
    (folder / "pipelines").mkdir()
    for name in ("dags", "expectations"):
        (folder / name).mkdir()
    for program in PROGRAMS:
        file = folder / program if "/" in program else folder / "bin" / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_STAND_IN)
        file.chmod(0o755)
    calls = folder / "calls"
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hidden-word",
        "GIT_TOKEN": "word-of-git",
    }
    script = "set -euo pipefail\n" + "\n".join(blocks())
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in calls.read_text().splitlines()]
    secrets = {
        call[4]: keys_of(call[5:], files)
        for call, files, _ in made
        if call[:4] == ["kubectl", "create", "secret", "generic"]
    }
    return Played(folder, [call for call, _, _ in made], secrets, "".join(given for _, _, given in made))


def keys_of(words: list[str], files: dict[str, str]) -> dict[str, str]:
    """What a Secret holds, as kubectl understands the words with which it is made."""
    found = {}
    for word in words:
        option, _, key = word.partition("=")
        assert option in ("--from-file", "--from-env-file"), word
        if option == "--from-file":
            found[key.partition("=")[0]] = files[word]
        else:
            found |= {line.partition("=")[0]: line.partition("=")[2] for line in files[word].splitlines()}
    return found


def secrets_asked_for(rendered: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The Secrets that our pods need, with the keys that they name; those of Airflow's chart by its own rules."""
    asked: dict[str, set[str]] = {}
    for pod in pods(rendered).values():
        for container in containers(pod):
            for each in container.get("envFrom", []):
                if "secretRef" in each:
                    asked.setdefault(each["secretRef"]["name"], set())
            for each in container.get("env", []):
                reference = each.get("valueFrom", {}).get("secretKeyRef")
                if reference and not reference.get("optional"):
                    asked.setdefault(reference["name"], set()).add(reference["key"])
        for volume in pod["volumes"]:
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"]["items"]}
                asked.setdefault(volume["secret"]["secretName"], set()).update(keys)
    airflow = told(rendered, as_templates=True)
    asked.setdefault(airflow["fernetKeySecretName"], set()).add("fernet-key")
    asked.setdefault(airflow["apiSecretKeySecretName"], set()).add("api-secret-key")
    asked.setdefault(airflow["jwtSecretName"], set()).add("jwt-secret")
    asked.setdefault(airflow["data"]["metadataSecretName"], set()).add("connection")
    if airflow["pgbouncer"]["enabled"]:
        asked.setdefault(airflow["pgbouncer"]["configSecretName"], set()).update({"pgbouncer.ini", "users.txt"})
        asked.setdefault(airflow["pgbouncer"]["metricsExporterSidecar"]["statsSecretName"], set()).add("connection")
    return asked


@pytest.mark.parametrize("size", ["values-small.yaml", "values.yaml", "values-production.yaml"])
def test_every_secret_that_a_pod_asks_for_is_made_with_its_keys(helm: Helm, played: Played, size: str) -> None:
    made = played.secrets
    for name, keys in secrets_asked_for(helm.objects(CHART / size, played.folder / "mine.yaml")).items():
        assert name in made, name
        assert keys <= set(made[name]), name
        assert all(made[name].values()), name


def test_nothing_secret_is_on_a_command_line(played: Played) -> None:
    """Whoever may list the processes of the administrator's machine reads no password there."""
    secret = {value for keys in played.secrets.values() for value in keys.values() if len(value) > 10}
    secret |= set(re.findall(r"PASSWORD '(.+)'", played.sql))
    assert "hidden-word" in secret
    secret |= {"word-of-git", *re.findall(r"://\w+:(\w+)@", " ".join(secret))}
    for call in played.calls:
        assert not [each for each in secret if any(each in word for word in call)], call[:5]


def test_the_secrets_hold_what_their_readers_understand(played: Played) -> None:
    import configparser

    from cryptography.fernet import Fernet
    from sqlalchemy.engine import make_url

    from tidemark.backups import named

    made = played.secrets
    Fernet(made["tidemark-fernet-key"]["fernet-key"])
    urls = named(
        ["ledger=LEDGER_DATABASE_URL", "airflow=AIRFLOW_DATABASE_URL", "mlflow=MLFLOW_DATABASE_URL"],
        made["tidemark-backup"],
    )
    urls |= {"metadata": made["tidemark-metadata"]["connection"]}
    for url in urls.values():
        make_url(url).get_dialect().import_dbapi()  # the driver is one that the image has
    assert urls["ledger"] == made["tidemark-environment"]["TIDEMARK_LEDGER_URL"]
    ini = configparser.ConfigParser()
    ini.read_string(made["tidemark-mlflow"]["basic_auth.ini"])
    assert ini["mlflow"]["database_uri"] == urls["mlflow"]
    for name in ("AIRFLOW_CONN_AWS_DEFAULT", "AIRFLOW_CONN_GIT_PIPELINES"):
        assert json.loads(made["tidemark-environment"][name])["conn_type"]
    assert json.loads(made["tidemark-watch"]["AIRFLOW_CONN_SMTP_DEFAULT"])["conn_type"] == "smtp"


def test_the_passwords_of_the_databases_are_those_in_the_secrets(played: Played) -> None:
    said, made = played.sql, played.secrets
    for name, url in (("ledger", "LEDGER_DATABASE_URL"), ("mlflow", "MLFLOW_DATABASE_URL")):
        password = made["tidemark-backup"][url].split(":")[2].split("@")[0]
        assert f"CREATE ROLE tidemark_{name} LOGIN PASSWORD '{password}'" in said
        assert f"CREATE DATABASE tidemark_{name} OWNER tidemark_{name}" in said


def test_each_upgrade_of_the_page_can_be_rendered(helm: Helm, played: Played) -> None:
    folder = played.folder
    upgrades = [call for call in played.calls if call[:2] == ["helm", "upgrade"]]
    assert len(upgrades) == 4
    for call in upgrades:
        words = call[call.index("helm/tidemark") + 1 :]
        values: list[Path | str] = []
        for option, value in itertools.pairwise(words):
            if option == "--values":
                values.append(folder / value if value == "mine.yaml" else ROOT / value)
            elif option == "--set":
                values.append(value)
        assert helm.own(*values)


def test_a_block_with_a_job_in_it_can_be_run_again(played: Played) -> None:
    """Kubernetes refuses a second Job of one name, and the first stays until somebody deletes it."""
    made = [block for block in blocks() if "kubectl create job" in block]
    assert len(made) == 2
    for block in made:
        assert re.search(r'^backup="\$RELEASE-backup-\$\(date -u \+%Y%m%d%H%M%S\)"$', block, re.MULTILINE)
        assert 'kubectl create job "$backup"' in block
    names = [call[3] for call in played.calls if call[:3] == ["kubectl", "create", "job"]]
    assert all(re.fullmatch(r"tidemark-backup-\d{14}", name) for name in names)


def test_what_the_page_looks_at_is_rendered(helm: Helm, played: Played) -> None:
    folder, calls = played.folder, played.calls
    rendered = helm.objects(CHART / "values-small.yaml", folder / "mine.yaml", release="tidemark")
    names = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in rendered}
    # Of Airflow's own chart, whose names are release and component.
    names |= {"deployment/tidemark-scheduler", "service/tidemark-api-server"}
    for call in calls:
        for word in call:
            match = re.fullmatch(r"(?:--from=)?(deploy|service|cronjob)/(\S+)", word)
            if call[0] == "kubectl" and match:
                kind = {"deploy": "deployment"}.get(match[1], match[1])
                assert f"{kind}/{match[2]}" in names, word


def test_the_sizes_are_what_the_pods_ask_for(helm: Helm, played: Played) -> None:
    """The page's line of sums, to the next tenth of a CPU and GB."""
    line = re.search(
        r"without tasks: small (\S+) CPUs and (\S+) GB, as it comes (\S+) CPUs and (\S+) GB, "
        r"production (\S+) CPUs and (\S+) GB",
        PAGE,
    )
    assert line is not None
    shown = [float(number) for number in line.groups()]
    sums = []
    for size in ("values-small.yaml", "values.yaml", "values-production.yaml"):
        rendered = helm.objects(CHART / size, played.folder / "mine.yaml")
        sums += asked(rendered)
    assert [round(each, 1) for each in sums] == shown, str([round(each, 1) for each in sums])


def asked(rendered: list[dict[str, Any]]) -> tuple[float, float]:
    """CPUs and GB of all pods that stay: ours, and Airflow's as its chart would make them."""
    cpus = memory = 0.0

    def add(resources: dict[str, Any], times: int) -> None:
        nonlocal cpus, memory
        cpu, size = str(resources["requests"]["cpu"]), str(resources["requests"]["memory"])
        cpus += times * (float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu))
        memory += times * float(size[:-2]) * (2**20 if size.endswith("Mi") else 2**30) / 1e9

    for each in rendered:
        if each["kind"] == "Deployment":
            for container in each["spec"]["template"]["spec"]["containers"]:
                add(container["resources"], each["spec"]["replicas"])
    airflow = told(rendered)
    for name in ("apiServer", "scheduler", "dagProcessor", "triggerer"):
        times = airflow[name].get("replicas", 1)
        add(airflow[name]["resources"], times)
        if "logGroomerSidecar" in airflow[name]:
            add(airflow[name]["logGroomerSidecar"]["resources"], times)
    if airflow["pgbouncer"]["enabled"]:
        add(airflow["pgbouncer"]["resources"], airflow["pgbouncer"].get("replicas", 1))
        add(airflow["pgbouncer"]["metricsExporterSidecar"]["resources"], airflow["pgbouncer"].get("replicas", 1))
    return cpus, memory


def test_the_page_sets_nothing_that_is_not_in_the_chart() -> None:
    text = (CHART / "values.yaml").read_text()
    whole = yaml.safe_load(text)
    for key in set(
        re.findall(r"`((?:global|watch|metrics|mlflow|backup|networkPolicies|serviceAccount)\.[A-Za-z.]+)`", PAGE)
    ):
        here = whole
        for part in key.split("."):
            assert part in here, key
            here = here[part]
