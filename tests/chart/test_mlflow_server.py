"""Claims about the MLflow server of the chart: its own command and environment, run here on PostgreSQL and S3."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import SHOP, Helm, one
from tests.servers import free_port

PASSWORD = "administrators-word"


def database(postgres: str) -> str:
    return postgres.replace("postgresql://", "postgresql+psycopg2://")


@pytest.fixture
def url(helm: Helm, postgres_servers: str, s3: str, tmp_path: Path) -> Iterator[str]:
    """The address of a server that is run as the pod says; only the addresses are this machine's."""
    import psycopg2

    admin = psycopg2.connect(f"{postgres_servers}postgres")
    admin.autocommit = True
    admin.cursor().execute("CREATE DATABASE mlflow_of_the_chart")
    uri, port = database(f"{postgres_servers}mlflow_of_the_chart"), free_port()
    ini = tmp_path / "basic_auth.ini"
    ini.write_text(f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {uri}\nadmin_username = admin\n")
    secrets = {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
    }
    values = (SHOP, f"mlflow.artifacts={s3}/models", f"global.tidemark.s3.endpoint={os.environ['AWS_ENDPOINT_URL']}")
    pod = one(helm.own(*values), "Deployment", "shop-mlflow")["spec"]["template"]["spec"]
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for each in pod["containers"][0]["env"]:
        environment[each["name"]] = each.get("value") or secrets[each["name"]]
    environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "HOME": str(tmp_path)}
    init = pod["initContainers"][0]
    for _ in range(2):  # as a second pod, or a second start, would
        upgrade = [*init["command"], *init["args"]]
        subprocess.run(upgrade, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    server = pod["containers"][0]
    words = [*server["command"], *server["args"]]
    words = [{"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}.get(word, word) for word in words]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=output, stderr=output)
    try:
        for _ in range(600):
            if answer(f"http://127.0.0.1:{port}/health")[0] == 200:
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        else:
            raise AssertionError(log.read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        admin.cursor().execute("DROP DATABASE mlflow_of_the_chart WITH (FORCE)")
        admin.close()


def answer(url: str, body: Any = None, *, host: str = "", password: str = "", method: str | None = None) -> Any:
    """The status and text of an answer; 0 if there is none."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    if host:
        request.add_header("Host", host)
    if password:
        request.add_header("Authorization", f"Basic {b64encode(f'admin:{password}'.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.slow
@pytest.mark.timeout(600)  # it starts four times, each of which loads MLflow
def test_it_lets_in_who_knows_the_password_by_the_names_of_the_service_and_keeps_models_on_s3(
    url: str, s3: str, s3_client: Any
) -> None:
    search = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert answer(search)[0] == 401
    assert answer(search, password="wrong")[0] == 401
    assert answer(search, password=PASSWORD)[0] == 200
    for host in ("shop-mlflow:5000", "shop-mlflow.prod.svc.cluster.local:5000"):
        assert answer(search, password=PASSWORD, host=host)[0] == 200, host
    assert answer(search, password=PASSWORD, host="evil.test")[0] == 403
    # The kubelet asks by the pod's address, which no list of names has.
    assert answer(f"{url}/health", host="10.203.1.7:5000") == (200, "OK")
    artifacts = f"{url}/api/2.0/mlflow-artifacts/artifacts/1/model.txt"
    assert answer(artifacts, b"a model", password=PASSWORD, method="PUT")[0] == 200
    assert s3_client.get_object(Bucket=s3[5:], Key="models/1/model.txt")["Body"].read() == b"a model"
