"""A real cluster, and on it Tidemark as `docs/install.md` says: its commands are played, then the tests look.

Outside the cluster, on 127.0.0.1 of this machine, runs what an installation has of others: PostgreSQL, S3, a mail
server, and the git server to which scientists push. Airflow itself is the stand-in chart's beside this file, in our
image, for the official chart cannot be downloaded everywhere.

Variables say what there is: `KUBECONFIG` names the cluster, `TIDEMARK_TEST_HOST` the address under which its pods reach
services of this machine, `TIDEMARK_TEST_CLUSTER_LOAD` the command that brings a local image to its nodes.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from install_page import Administrator, blocks
from installing import Installation
from kube import Namespace, wait_for
from outside import git_server

from demo.client import Client
from demo.mail import MailSink
from tests import images
from tests.chart.rendering import find_helm
from tests.lacking import lacking
from tests.postgres import administer, postgres_server, programs
from tests.servers import free_port, s3_server

NAMESPACE = "tidemark"
RELEASE = "tidemark"

# What is particular about this cluster: all pods share two processors, and one test must not wait for the clock.
_HERE = """
global:
  tidemark:
    bundles:
      - {{name: pipelines, repository: "{repository}", folder: dags, connection: git_pipelines, refreshSeconds: 5}}
    extra:
      AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL: "2"
      AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL: "1"
      AIRFLOW__KUBERNETES_EXECUTOR__WORKER_PODS_CREATION_BATCH_SIZE: "4"
      AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT: "30"
      TIDEMARK_POD_SECONDS: "45"
      TIDEMARK_WATCH_SECONDS: "5"
watch: {{resources: {few}}}
metrics: {{resources: {few}}}
ledger: {{resources: {few}}}
accounts: {{resources: {few}}}
mlflow: {{resources: {few}}}
# Kubernetes 1.20 has neither CronJobs nor budgets of today's version.
backup: {{enabled: {cron}, resources: {few}}}
airflow:
  apiServer: {{resources: {few}}}
  scheduler: {{resources: {few}}}
  dagProcessor: {{resources: {few}}}
  triggerer: {{resources: {few}}}
  migrateDatabaseJob: {{resources: {few}}}
  workers: {{kubernetes: {{resources: {few}}}}}
  config: {{core: {{parallelism: 12}}}}  # more than any pool of the tests, so that only the pool can bound them
"""
_SMTP = '{"conn_type": "smtp", "host": "smtp.example.com", "extra": {"from_email": "tidemark@example.com"}}'
_FEW = "{requests: {cpu: 20m, memory: 64Mi}, limits: {cpu: 2, memory: 3Gi}}"


@pytest.fixture(scope="session")
def host() -> str:
    """The address under which pods reach this machine, where there is a cluster at all."""
    ours = ("TIDEMARK_TEST_HOST", "TIDEMARK_TEST_CLUSTER_LOAD")
    missing = [name for name in ("KUBECONFIG", *ours) if not os.environ.get(name)]
    if missing and not any(os.environ.get(name) for name in ours):  # KUBECONFIG alone may be a person's own
        pytest.skip(f"{missing[0]} is not set: there is no cluster for tests, and nothing was tried on one")
    assert not missing, f"a cluster for tests is named by half: {', '.join(missing)} is not set"
    return os.environ["TIDEMARK_TEST_HOST"]


@pytest.fixture(scope="session")
def two_images(host: str) -> tuple[str, str]:
    """The image that everything runs in and one that was made from it, both on the cluster."""
    image, other = images.built("runtime"), "localhost/shop/forecast:1.4"
    made = f"FROM {image}\nRUN echo forecast > /tmp/of-the-shop\n"
    build = [images.program(), "build", "--network", "host", "--tag", other, "-"]
    done = subprocess.run(build, input=made, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    load = shlex.split(os.environ["TIDEMARK_TEST_CLUSTER_LOAD"])
    done = subprocess.run([*load, image, other], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return image, other


@pytest.fixture(scope="session")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MailSink, int]]:
    """A mail server, and its port."""
    port = free_port()
    sink = MailSink(tmp_path_factory.mktemp("mails"), port)
    sink.start()
    yield sink, port
    sink.stop()


@pytest.fixture(scope="session")
def installation(
    host: str,
    two_images: tuple[str, str],
    mails: tuple[MailSink, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Tidemark on the cluster, installed by the commands of the page; it goes with its namespace."""
    folder = tmp_path_factory.mktemp("cluster")
    found = programs() or lacking("PostgreSQL is not installed: apt-get install postgresql")
    namespace = Namespace(NAMESPACE)
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server(found, guests=True))
        s3 = stack.enter_context(s3_server(folder / "s3.log"))
        repository = stack.enter_context(git_server(folder))
        administer(postgres, "ALTER ROLE tester PASSWORD 'not-needed-here'")
        database_port, s3_port = postgres.rstrip("/").rpartition(":")[2], s3.rpartition(":")[2]
        served = f"git://{host}:{repository.port}/pipelines.git"
        image, _, tag = two_images[0].rpartition(":")
        kubeconfig = folder / "kubeconfig"  # a copy: the page sets a namespace in it
        kubeconfig.write_bytes(Path(os.environ["KUBECONFIG"]).read_bytes())
        administrator = Administrator(
            folder / "clone",
            {
                "KUBECONFIG": str(kubeconfig),
                "NAMESPACE": NAMESPACE,
                "RELEASE": RELEASE,
                "IMAGE": image,
                "TAG": tag,
                "AIRFLOW_URL": "http://airflow.shop.test",
                "DATABASE_HOST": host,
                "DATABASE_PORT": database_port,
                "DATABASE_ADMIN": f"{postgres}postgres",
                "BUCKET": "shop",
                "BACKUP_BUCKET": "shop-backups",
                "AWS_REGION": "us-east-1",
                "S3_ENDPOINT": f"http://{host}:{s3_port}",
                "GIT_REPOSITORY": served,
                "GIT_USER": "tidemark",
                "GIT_TOKEN": "not-needed-here",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "testing-secret",
                "AWS_ENDPOINT_URL": s3,
                # From here the git server is a folder, to which one may push.
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{repository.served}.insteadOf",
                "GIT_CONFIG_VALUE_0": served,
            },
            find_helm(),
        )
        (administrator.folder / "here.yaml").write_text(_HERE.format(repository=served, few=_FEW, cron="false"))
        how = {"disable_ssl": True, "disable_tls": True, "from_email": "tidemark@shop.test"}
        smtp = {"conn_type": "smtp", "host": host, "port": mails[1], "extra": how}
        administrator.instead[_SMTP] = json.dumps(smtp)
        stack.callback(namespace.delete)
        page = blocks()
        administrator.play(*page["Say where everything is"][1:])  # the first block is what is given above
        for heading in ("Databases and buckets", "Secrets", "Values", "Install"):
            administrator.play(*page[heading], namespace=namespace)
        password = administrator.variable("ADMIN_PASSWORD")
        port = stack.enter_context(namespace.forwarded(f"service/{RELEASE}-api-server", 8080))
        client = stack.enter_context(Client(f"http://127.0.0.1:{port}", "admin", password))
        yield Installation(
            namespace,
            client,
            repository,
            administrator,
            mails[0],
            image=two_images[0],
            other_image=two_images[1],
            ledger=f"{postgres}tidemark_ledger",
            environment={
                "TIDEMARK_LEDGER_URL": f"{postgres}tidemark_ledger",
                "TIDEMARK_STORE_URL": "s3://shop/store",
                "TIDEMARK_DAGS": str(repository.clone / "dags"),
                "AWS_ENDPOINT_URL": s3,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "testing-secret",
                "AWS_REGION": "us-east-1",
            },
        )


@pytest.fixture(scope="session")
def published(installation: Installation) -> Installation:
    """The installation, with the reference product pushed, deliveries in the landing zone, and a run begun."""
    installation.administrator.play(*blocks()["The first price list"][:1])
    commit = installation.repository.head()
    wait_for(
        lambda: installation.known("price_list") == commit,
        f"the price list of {commit}",
        installation.why_unknown,
    )
    installation.administrator.play(*blocks()["The first price list"][1:2])
    return installation
