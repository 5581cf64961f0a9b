"""Claims about values: what is missing, unknown or cannot be is refused with a sentence; Airflow's keys are its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, SHOP, Helm, Refusal

KEYS = Path(__file__).parent / "airflow-keys.txt"

# Below these keys it is Kubernetes, or a free form, that says what may stand there.
OPAQUE = {
    "resources",
    "pod",
    "container",
    "containers",
    "extraVolumes",
    "extraVolumeMounts",
    "extraInitContainers",
    "jobAnnotations",
    "airflowPodAnnotations",
    "from",
}


def refused(helm: Helm, *values: Path | str) -> str:
    with pytest.raises(Refusal) as refusal:
        helm.objects(*values)
    return str(refusal.value)


def test_what_is_missing_is_said_all_at_once_with_what_to_write(helm: Helm) -> None:
    said = refused(helm)
    for sentence in (
        "global.tidemark.url is not set: write where people reach Airflow, such as https://airflow.example.com",
        "global.tidemark.store is not set: write where results are kept, such as s3://bucket/store",
        "global.tidemark.landing is not set: write where deliveries arrive",
        "global.tidemark.logs is not set: write where the logs of tasks are kept",
        "global.tidemark.bundles is not set: write where pipelines come from",
        "airflow.images.airflow.repository is not set: write where Tidemark's image is",
        "airflow.images.airflow.tag is not set",
        "mlflow.artifacts is not set: write where models are kept",
        "backup.target is not set: write where backups are kept",
    ):
        assert f"* {sentence}" in said


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        # unknown: by the schema
        ("wacth.replicas=2", "Additional property wacth is not allowed"),
        ("watch.replica=2", "watch: Additional property replica is not allowed"),
        ("global.tidemark.stroe=s3://x", "global.tidemark: Additional property stroe is not allowed"),
        (
            "global.tidemark.bundles[0].branch=main",
            "global.tidemark.bundles.0: Additional property branch is not allowed",
        ),
        ("mlflow.password=x", "mlflow: Additional property password is not allowed"),
        # of another kind: by the schema
        ("watch.replicas=3", "watch.replicas: Must be less than or equal to 2"),
        ("watch.replicas=two", "watch.replicas: Invalid type. Expected: integer, given: string"),
        ("mlflow.enabled=maybe", "mlflow.enabled: Invalid type. Expected: boolean, given: string"),
        ("watch.resources.limits=null", "watch.resources: limits is required"),
        ("metrics.resources.requests.memory=null", "metrics.resources.requests: memory is required"),
        ("backup.within=26", "backup.within: Invalid type. Expected: string, given: integer"),
        ("backup.within=a day", "backup.within: Does not match pattern"),
        ("backup.keepDays=-1", "backup.keepDays: Must be greater than or equal to 0"),
        ("airflow.executor=LocalExecutor", 'must be one of the following: "KubernetesExecutor"'),
        (
            "airflow.images.airflow.pullPolicy=Sometimes",
            'must be one of the following: "Always", "IfNotPresent", "Never"',
        ),
        ("backup.restore.databases={wine}", 'must be one of the following: "ledger", "airflow", "mlflow"'),
        # what cannot be: in our own words
        (
            "global.tidemark.store=/data",
            "global.tidemark.store is /data: write s3://bucket/prefix: every pod has to reach it",
        ),
        ("global.tidemark.url=https://x.test/", "write an address without a slash at its end"),
        ("global.tidemark.landing=landing", "global.tidemark.landing is landing: write a URL"),
        ("global.tidemark.s3.endpoint=minio:9000", "global.tidemark.s3.endpoint is minio:9000: write an address"),
        ("backup.schedule=nightly", "backup.schedule is nightly: write five fields as for cron"),
        ("backup.restore.from=yesterday", "backup.restore.from is yesterday: write the name of a backup"),
        ("backup.once=Before Upgrade", "backup.once is Before Upgrade: write a name of small letters"),
        ("accounts.admin.username=a'; rm -rf /", "accounts.admin.username is a'; rm -rf /: write a name"),
        ("accounts.admin.firstName=O'Neill", "leave apostrophes out of the names"),
        ("watch.secret=", "watch.secret is not set: write the name of a Secret that is there"),
        ("airflow.jwtSecretName=My Secret", "airflow.jwtSecretName is My Secret: write the name of a Secret"),
        ("global.tidemark.bundles[1].name=pricing", "two are named pricing: give each a name of its own"),
        ("global.tidemark.bundles[1].name=Bad Name", '"Bad Name" is no name of a bundle: write letters, digits'),
        ("global.tidemark.bundles[1].path=/opt/airflow/dags", "models needs either repository, for git, or path"),
        ("global.tidemark.bundles[1].repository=git", "the repository of models is no address of git: write https://"),
        ("global.tidemark.extra.my-name=x", "global.tidemark.extra.my-name is no name of an environment variable"),
        # what does not go together
        (
            "global.tidemark.roles=true,accounts.enabled=false",
            "Airflow refuses DAGs that name roles which nobody has made",
        ),
        ("backup.target=s3://shop/store/backups", "backup.target and global.tidemark.store are one in the other"),
        ("backup.target=s3://shop", "backup.target and mlflow.artifacts are one in the other: keep backups in a place"),
        (
            "airflow.config.core.auth_manager=airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "SimpleAuthManager, and accounts and roles are made for FAB's: switch accounts.enabled and",
        ),
        ("airflow.executor=CeleryExecutor", "airflow.data.brokerUrlSecretName has to name a Secret"),
        (
            "airflow.pgbouncer.configSecretName=",
            "airflow.pgbouncer.configSecretName has to name a Secret with pgbouncer.ini",
        ),
        ("limits.default.cpu=1", "Kubernetes refuses a pod that reserves more: leave it out"),
        ("ledger.secret=The Owner", "ledger.secret is The Owner: write the name of a Secret"),
        ("airflow.postgresql.enabled=true", "that database is made for a trial and is not backed up"),
        ("backup.restore.from=latest", "nobody may use the databases meanwhile: set airflow.enabled to false"),
        ("backup.restore.databases={ledger}", "backup.restore.from is not: name the backup, or latest"),
        # secrets
        ("airflow.createUserJob.enabled=true", "would write a password into the release"),
        ("airflow.fernetKey=hidden-word", "airflow.fernetKey would write a secret into the release"),
        ("airflow.jwtSecret=hidden-word", "make a Secret, and use jwtSecretName"),
        ("airflow.data.brokerUrl=redis://:hidden-word@redis", "name it in airflow.data.brokerUrlSecretName"),
        ("airflow.redis.password=hidden-word", "name it in airflow.redis.passwordSecretName"),
        (
            "watch.alerts.channels.pager.pagerduty=hidden-word",
            "watch.alerts.channels.pager.pagerduty would write a secret into the release: put it into the Secret",
        ),
        ("watch.alerts.channels.desk.secret=hidden-word", "write $NAME, the name of its key"),
        (
            "global.tidemark.extra.MINIO_SECRET=hidden-word",
            "looks like a secret: put it into the Secret tidemark-environment",
        ),
        ("global.tidemark.extra.AIRFLOW_CONN_X=hidden-word", "looks like a secret"),
        ("global.tidemark.extra.TIDEMARK_DEADMAN_URL=https://hidden-word", "looks like a secret"),
        ("global.tidemark.extra.TIDEMARK_SPARK_REMOTE=sc://h/;token=hidden-word", "looks like a secret"),
        ("global.tidemark.extra.HTTPS_PROXY=http://me:hidden-word@proxy:8080", "looks like a secret"),
        ("global.tidemark.landing=sftp://me:hidden-word@files/in", "global.tidemark.landing has a password in it"),
        (
            "global.tidemark.bundles[0].repository=https://me:hidden-word@git.test/x.git",
            "the address of pricing has credentials in it: put them into AIRFLOW_CONN_",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(helm: Helm, setting: str, says: str) -> None:
    said = refused(helm, SHOP, setting)
    assert says in said
    assert "hidden-word" not in said


def test_a_bucket_whose_name_begins_like_anothers_is_another(helm: Helm) -> None:
    """And prefixes beside each other in one bucket may be."""
    assert helm.objects(SHOP, "backup.target=s3://shop-backups")
    assert helm.objects(SHOP, "backup.target=s3://shop/storehouse")


def test_another_auth_manager_is_fine_where_nothing_is_made_in_it(helm: Helm) -> None:
    simple = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    off = ("accounts.enabled=false", "global.tidemark.roles=false")
    assert helm.objects(SHOP, f"airflow.config.core.auth_manager={simple}", *off)


def test_celery_with_its_broker_is_fine(helm: Helm) -> None:
    assert helm.objects(SHOP, "airflow.executor=CeleryExecutor", "airflow.data.brokerUrlSecretName=broker")


# -- the keys of the official chart


def paths(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and value and name not in OPAQUE and not before.startswith("config."):
            yield from paths(value, f"{path}.")
        else:
            yield path


def set_under_airflow() -> set[str]:
    found: set[str] = set()
    for file in ("values.yaml", "values-small.yaml", "values-production.yaml"):
        found |= set(paths(yaml.safe_load((CHART / file).read_text())["airflow"]))
    return found - {"enabled"}  # a condition of ours


def looked_up() -> list[str]:
    return [line for line in KEYS.read_text().splitlines() if line and not line.startswith("#")]


def test_every_key_that_is_set_under_airflow_was_looked_up_in_the_official_chart() -> None:
    """Nothing is checked here against the real chart, which is not at hand. A key that is new has to be looked up."""
    assert set_under_airflow() - set(looked_up()) == set(), f"look these up in the chart, then add them to {KEYS.name}"
    assert set(looked_up()) - set_under_airflow() == set(), f"these are set no more: take them out of {KEYS.name}"
    assert looked_up() == sorted(set(looked_up()))


def test_the_keys_are_those_of_the_version_that_the_chart_depends_on() -> None:
    dependency = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"][0]
    assert (dependency["name"], dependency["alias"], dependency["condition"]) == (
        "airflow",
        "airflow",
        "airflow.enabled",
    )
    line = dependency["version"].removeprefix("~").rpartition(".")[0]
    assert f"chart {line} " in KEYS.read_text().splitlines()[0]


def test_the_official_charts_values_are_all_in_values_files(helm: Helm) -> None:
    """No template of ours decides what Airflow's chart is told: who has that chart can check these files alone."""
    from tests.chart.rendering import told

    given = told(helm.objects(CHART / "values-production.yaml", SHOP))
    given.pop("global")
    assert set(paths(given)) - {"enabled", "imagePullSecrets"} <= set(looked_up())
