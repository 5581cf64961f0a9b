"""Claims about values: what is missing, unknown or cannot be is refused with a sentence; Airflow's keys are its own."""

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, SHOP, Helm, Refusal
from tidemark.calendars import parse_duration

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
        ("backup.schedule=", "backup.schedule is not set: write when backups are made"),
        ("backup.within=", "backup.within is not set: write how old the newest may grow"),
        ("backup.within=a day", "backup.within is a day: write weeks, days, hours and minutes, in this order and each"),
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
        (
            "airflow.config.core.auth_manager=null",
            "airflow.config.core.auth_manager is not set, and accounts and roles",
        ),
        ("backup.target=s3://shop//store/", "backup.target and global.tidemark.store are one in the other"),
        ("global.tidemark.logs=s3://backups//shop/logs", "backup.target and global.tidemark.logs are one in the other"),
        (
            "backup.enabled=false,backup.once=now,backup.target=s3://shop/store",
            "backup.target and global.tidemark.store are one in the other",
        ),
        (
            "backup.schedule=@weekly",
            "backup.within is 1 day 2 hours and backup.schedule @weekly: write more than 7 days",
        ),
        ("backup.schedule=@weekly,backup.within=6 days 23 hours 59 minutes", "write more than 7 days, or the watch"),
        ("backup.schedule=@monthly,backup.within=4 weeks", "backup.schedule @monthly: write more than 31 days"),
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
            "airflow.config.smtp.smtp_password=hidden-word",
            "airflow.config.smtp.smtp_password looks like a secret: put it as AIRFLOW__SMTP__SMTP_PASSWORD into",
        ),
        ("airflow.config.api_auth.jwt_secret=hidden-word", "make a Secret, and name it in airflow.jwtSecretName"),
        ("airflow.config.api.secret_key=hidden-word", "make a Secret, and name it in airflow.apiSecretKeySecretName"),
        ("airflow.config.core.fernet_key=hidden-word", "make a Secret, and name it in airflow.fernetKeySecretName"),
        (
            "airflow.config.database.sql_alchemy_conn=hidden-word",
            "airflow.config.database.sql_alchemy_conn looks like a secret: make a Secret, and name it in airflow.data.",
        ),
        ("airflow.config.celery.broker_url=redis://:hidden-word@redis", "name it in airflow.data.brokerUrlSecretName"),
        (
            "airflow.config.celery.result_backend=db+postgresql://me:hidden-word@db/airflow",
            "airflow.config.celery.result_backend looks like a secret: make a Secret",
        ),
        ("airflow.config.core.proxy=http://me:hidden-word@proxy", "airflow.config.core.proxy looks like a secret"),
        (
            "airflow.env[0].name=SMTP_PASSWORD,airflow.env[0].value=hidden-word",
            "airflow.env: SMTP_PASSWORD looks like a secret: put it into the Secret tidemark-environment",
        ),
        (
            "airflow.env[0].name=PROXY,airflow.env[0].value=http://me:hidden-word@proxy",
            "airflow.env[0].value has a password in it: leave it out there, and put it into the Secret tidemark",
        ),
        ("airflow.scheduler.env[0].name=A_TOKEN,airflow.scheduler.env[0].value=hidden-word", "scheduler.env: A_TOKEN"),
        ("airflow.extraEnv=- {name: A_TOKEN\\, value: hidden-word}", "airflow.extraEnv: A_TOKEN looks like a secret"),
        (
            "airflow.data.metadataConnection.pass=hidden-word",
            "airflow.data.metadataConnection.pass would write a secret into the release: make a Secret, and name it in",
        ),
        ("global.tidemark.url=https://me:hidden-word@airflow.test", "global.tidemark.url has a password in it"),
        ("global.tidemark.url=https://me:hidden-word@airflow.test/", "global.tidemark.url has a password in it"),
        ("global.tidemark.store=s3://me:hidden-word@shop/store", "global.tidemark.store has a password in it"),
        ("global.tidemark.logs=https://me:hidden-word@logs.test", "global.tidemark.logs has a password in it"),
        (
            "global.tidemark.s3.endpoint=http://me:hidden-word@minio:9000",
            "global.tidemark.s3.endpoint has a password in it: leave it out there, and put it into the Secret tidemark",
        ),
        (
            "mlflow.artifacts=s3://me:hidden-word@shop/models",
            "mlflow.artifacts has a password in it: leave it out there, and put it into the Secret tidemark-mlflow",
        ),
        (
            "backup.target=s3://me:hidden-word@backups",
            "backup.target has a password in it: leave it out there, and put it into the Secret tidemark-backup",
        ),
        (
            "watch.alerts.channels.desk.webhook=https://me:hidden-word@desk.test",
            "watch.alerts.channels.desk.webhook has a password in it: leave it out there, and put it into the Secret",
        ),
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


# -- null: helm drops the key then, and what stands in values.yaml with it

# A map of another file is emptied by null alone, as helm puts maps together: without these there is nothing in them.
EMPTIED = {
    "global.tidemark.people",
    "global.tidemark.extra",
    "metrics.labels",
    "quota",
    "limits",
    "serviceAccount.annotations",
}
# So deep in `global` helm itself takes what values.yaml has for a null.
KEPT = {"global.tidemark.s3.endpoint", "global.tidemark.s3.region"}


def ours() -> Iterator[str]:
    """Every leaf of values.yaml, and every map that is not empty, but for what Airflow's chart is told."""

    def below(values: dict[str, Any], before: str) -> Iterator[str]:
        for name, value in values.items():
            yield f"{before}{name}"
            if isinstance(value, dict):
                yield from below(value, f"{before}{name}.")

    own = yaml.safe_load((CHART / "values.yaml").read_text())
    del own["airflow"]
    yield from below(own, "")
    # ... but for what our own templates read of it.
    yield from (f"airflow.{name}" for name in ("enabled", "images", "images.airflow", "config", "config.core"))
    yield from (f"airflow.{name}" for name in ("pgbouncer", "postgresql", "createUserJob"))


@pytest.mark.parametrize("key", sorted({*ours()} - EMPTIED - KEPT))
def test_a_key_that_null_drops_is_refused_by_its_name(helm: Helm, key: str) -> None:
    above, _, name = key.rpartition(".")
    assert f"- {above or '(root)'}: {name} is required" in refused(helm, SHOP, f"{key}=null")


def test_what_helm_itself_keeps_is_as_it_was(helm: Helm) -> None:
    assert helm.own(SHOP, *(f"{key}=null" for key in sorted(KEPT))) == helm.own(SHOP)


def test_null_empties_a_map_that_is_free(helm: Helm) -> None:
    production = (CHART / "values-production.yaml", SHOP)
    assert {*ours()} >= EMPTIED
    kinds = {each["kind"] for each in helm.own(*production, *(f"{key}=null" for key in sorted(EMPTIED)))}
    assert {"ResourceQuota", "LimitRange"} <= {each["kind"] for each in helm.own(*production)}
    assert not kinds & {"ResourceQuota", "LimitRange"}


# -- secrets


def test_what_airflow_itself_calls_sensitive_is_refused_in_its_configuration_and_nothing_else(
    helm: Helm, tmp_path: Path
) -> None:
    """As the installed Airflow and its providers say; a broker may have no password, so its URL is looked at."""
    from airflow.configuration import conf

    options = [
        (section, option, bool(about.get("sensitive")))
        for section, there in conf.configuration_description.items()
        for option, about in there["options"].items()
    ]
    config: dict[str, dict[str, str]] = {}
    for section, option, _ in options:
        config.setdefault(section, {})[option] = "hidden-word"
    config["core"]["auth_manager"] = "FabAuthManager"
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"airflow": {"config": config}}))
    said = refused(helm, SHOP, file)
    named = set(re.findall(r"airflow\.config\.(\S+) looks like a secret: \S", said))
    expected = {f"{section}.{option}" for section, option, sensitive in options if sensitive}
    assert named == expected - {"celery.broker_url", "celery.result_backend"}
    assert "hidden-word" not in said


@pytest.mark.parametrize(
    "setting",
    [
        "airflow.config.celery.broker_url=redis://redis:6379/0",
        "airflow.env[0].name=HTTPS_PROXY,airflow.env[0].value=http://proxy:8080",
        "airflow.env[0].name=A_TOKEN,airflow.env[0].valueFrom.secretKeyRef.name=mine",
        "airflow.extraEnv=- {name: COLOUR\\, value: blue}",
        "airflow.data.metadataConnection.host=db",
    ],
)
def test_what_is_no_secret_may_stand_in_values(helm: Helm, setting: str) -> None:
    """Nor is what Airflow's chart has in its own values: the stand-in has a password there as well."""
    assert helm.objects(SHOP, setting)


# -- backups


def takes(helm: Helm, within: str) -> bool:
    """Whether the chart takes it; what it does not is refused with a sentence."""
    try:
        helm.objects(SHOP, f"backup.within={within}")
    except Refusal as refusal:
        said = str(refusal)
    else:
        return True
    assert f"backup.within is {within}: write weeks, days" in said
    return False


def test_the_watch_can_read_every_time_within_which_the_chart_expects_backups(helm: Helm) -> None:
    counts = ("0", "1", "02", "3", "1234", "1234567")
    units = ("week", "weeks", "days", "hour", "minute", "years")
    texts = [f"{count} {unit}" for count, unit in itertools.product(counts, units)]
    texts += [f"1 {first} 2 {second}" for first, second in itertools.product(units, units)]
    texts += [
        "1 week 2 days 3 hours 4 minutes",
        "1 day  2 hours",
        " 1 day",
        "1 day ",
        "1 day 0 hours",
        "1 day 1 day",
        "day",
    ]
    taken = {text for text in texts if takes(helm, text)}
    assert all(parse_duration(text) > timedelta() for text in taken)
    assert {"1 week", "3 hour", "1234 days", "1 week 2 days 3 hours 4 minutes", "1 days 2 hour"} <= taken
    assert not {"0 days", "1 day 1 day", "1 week 2 weeks"} & taken


def test_a_schedule_with_a_name_goes_with_a_time_that_is_longer(helm: Helm) -> None:
    assert helm.objects(SHOP, "backup.schedule=@weekly", "backup.within=1 week 2 hours")
    assert helm.objects(SHOP, "backup.schedule=@monthly", "backup.within=31 days 2 hours")
    assert helm.objects(SHOP, "backup.schedule=@weekly", "backup.enabled=false")


def test_where_nothing_is_backed_up_its_target_may_be_anywhere(helm: Helm) -> None:
    assert helm.objects(SHOP, "backup.enabled=false", "backup.target=s3://shop/store/backups")


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
    of_the_stand_in = {"imagePullSecrets", "redis.password", "data.brokerUrl"}
    of_the_stand_in |= {"data.metadataConnection.user", "data.metadataConnection.pass"}
    assert set(paths(given)) - {"enabled"} - of_the_stand_in <= set(looked_up())
