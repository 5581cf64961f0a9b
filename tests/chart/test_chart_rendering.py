"""Claims about what the chart renders: valid on today's Kubernetes, confined, without a secret, told what it needs."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, SHOP, Helm, containers, named, one, pods, told
from tests.cli.conftest import Command, Done
from tidemark.config import OTHER_VARIABLES, Settings, settings
from tidemark.watching.options import read_options

SIZES = {
    "default": (SHOP,),
    "small": (CHART / "values-small.yaml", SHOP),
    "production": (CHART / "values-production.yaml", SHOP),
}
# ... and everything that can be switched on at once.
EVERYTHING = (
    *SIZES["production"],
    "backup.once=before-upgrade",
    "networkPolicies.scrapers[0].podSelector.matchLabels.app=prometheus",
    "networkPolicies.mlflow[0].podSelector.matchLabels.app=notebooks",
)
RESTORING = (SHOP, "airflow.enabled=false", "backup.restore.from=latest")
VARIANTS = {**SIZES, "everything": EVERYTHING}
VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34")

# Of operators: Kubernetes itself has no schema for them.
CUSTOM = ("ServiceMonitor", "PrometheusRule")


@pytest.fixture(params=VARIANTS)
def rendered(helm: Helm, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return helm.objects(*VARIANTS[request.param])


# -- valid


def test_helm_lint_finds_nothing(helm: Helm) -> None:
    said = helm("lint", str(helm.chart), "--strict", "-f", str(SHOP))
    assert "0 chart(s) failed" in said


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_on_a_kubernetes_of_today(rendered: list[dict[str, Any]], version: str) -> None:
    for each in rendered:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_an_object_that_is_not_valid_would_be_found(rendered: list[dict[str, Any]]) -> None:
    watch = one(rendered, "Deployment", "shop-watch")
    watch["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(watch, VERSIONS[0], strict=True)


def test_no_two_objects_have_one_name(rendered: list[dict[str, Any]]) -> None:
    names = [(each["kind"], named(each)) for each in rendered]
    assert len(set(names)) == len(names)


# -- confined


def test_no_secret_is_ever_rendered(rendered: list[dict[str, Any]]) -> None:
    assert not [named(each) for each in rendered if each["kind"] == "Secret"]
    for name, pod in pods(rendered).items():
        for container in containers(pod):
            for variable in container.get("env", []):
                secret = re.search(r"PASSWORD|SECRET|_KEY|_URI|DATABASE|LEDGER", variable["name"])
                assert not secret or "valueFrom" in variable, f"{name}: {variable}"


def test_every_container_is_nobody_writes_nowhere_and_has_its_bounds(rendered: list[dict[str, Any]]) -> None:
    found = pods(rendered)
    assert len(found) >= 5
    for name, pod in found.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 50000, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            where = f"{name}, {container['name']}"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) >= {"cpu", "memory"}, where
            assert "latest" not in container["image"], where


def test_what_is_mounted_is_there(rendered: list[dict[str, Any]]) -> None:
    for name, pod in pods(rendered).items():
        there = {volume["name"] for volume in pod["volumes"]}
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= there, name


def test_every_deployment_is_looked_after_by_probes(rendered: list[dict[str, Any]]) -> None:
    for each in rendered:
        if each["kind"] == "Deployment":
            container = each["spec"]["template"]["spec"]["containers"][0]
            assert {"livenessProbe", "startupProbe"} <= set(container), named(each)


def test_airflows_own_pods_are_confined_by_the_values_that_its_chart_gets(rendered: list[dict[str, Any]]) -> None:
    given = told(rendered)
    assert given["securityContexts"]["pod"]["runAsNonRoot"] is True
    assert given["securityContexts"]["containers"]["readOnlyRootFilesystem"] is True
    places = ["apiServer", "scheduler", "dagProcessor", "triggerer", "migrateDatabaseJob"]
    for part in [*(given[place] for place in places), given["workers"]["kubernetes"], given["workers"]["celery"]]:
        assert set(part["resources"]) == {"requests", "limits"}
        mounted = {mount["name"]: mount["mountPath"] for mount in part["extraVolumeMounts"]}
        assert mounted["tmp"] == "/tmp"
        assert set(mounted) == {volume["name"] for volume in part["extraVolumes"]}
    assert [given[name]["enabled"] for name in ("postgresql", "statsd", "createUserJob")] == [False] * 3


def test_only_who_is_named_reaches_our_pods(helm: Helm) -> None:
    rendered = helm.own(*EVERYTHING)
    policies = [each for each in rendered if each["kind"] == "NetworkPolicy"]
    deny = next(each for each in policies if named(each) == "shop-deny")
    assert deny["spec"]["policyTypes"] == ["Ingress"]
    assert "ingress" not in deny["spec"]
    ours = set(deny["spec"]["podSelector"]["matchLabels"].items())
    for each in rendered:
        spec = each.get("spec", {}).get("jobTemplate", each).get("spec", {})
        if "template" in spec:
            labels = spec["template"]["metadata"]["labels"]
            assert ours <= set(labels.items()), named(each)
    # An empty selector would be everybody's, so each peer is compared as a whole.
    airflows = {"podSelector": {"matchLabels": {"tier": "airflow", "release": "shop"}}}
    release = {"app.kubernetes.io/name": "tidemark", "app.kubernetes.io/instance": "shop"}
    let_in = {
        named(each): [
            ([(port["port"], port["protocol"]) for port in rule["ports"]], rule["from"])
            for rule in each["spec"].get("ingress", [])
        ]
        for each in policies
    }
    assert let_in == {
        "shop-deny": [],
        "shop-metrics": [
            ([(8125, "UDP")], [airflows]),
            ([(9102, "TCP")], [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]),
        ],
        "shop-mlflow": [
            (
                [(5000, "TCP")],
                [
                    airflows,
                    {"podSelector": {"matchLabels": release}},
                    {"podSelector": {"matchLabels": {"app": "notebooks"}}},
                ],
            )
        ],
    }
    for each in policies:
        assert each["spec"]["policyTypes"] == ["Ingress"]
        component = {"app.kubernetes.io/component": named(each).removeprefix("shop-")} if each is not deny else {}
        assert each["spec"]["podSelector"] == {"matchLabels": {**release, **component}}
    assert not [each for each in helm.own(SHOP, "networkPolicies.enabled=false") if each["kind"] == "NetworkPolicy"]


def test_the_job_of_accounts_reaches_airflows_database_through_pgbouncer(rendered: list[dict[str, Any]]) -> None:
    """The policy of Airflow's chart lets in pods with its own labels, and these; nobody else needs its database."""
    (peer,) = told(rendered)["pgbouncer"]["extraNetworkPolicies"]
    let_in = set(peer["podSelector"]["matchLabels"].items())
    asking = set()
    for each in rendered:
        template = each.get("spec", {}).get("template", {})
        if "tidemark-metadata" in str(template):
            asking.add(named(each).rpartition("-")[0])
            assert let_in <= set(template["metadata"]["labels"].items())
    assert asking == {"shop-accounts"}


def from_secrets(rendered: list[dict[str, Any]], kind: str, name: str) -> list[str]:
    (container,) = next(pod for key, pod in pods(rendered).items() if key.startswith(f"{kind} {name}"))["containers"]
    return [each["secretRef"]["name"] for each in container.get("envFrom", []) if "secretRef" in each]


def test_each_pod_gets_its_own_secret_and_no_other(rendered: list[dict[str, Any]]) -> None:
    assert from_secrets(rendered, "Deployment", "shop-watch") == ["tidemark-environment", "tidemark-watch"]
    assert from_secrets(rendered, "CronJob", "shop-backup") == ["tidemark-backup"]


# -- accounts


def script_of_accounts(helm: Helm) -> list[str]:
    (container,) = one(helm.own(SHOP), "Job", "shop-accounts")["spec"]["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]]


def run_accounts(helm: Helm, folder: Path, *, password: str, roles: str = "exit 0") -> tuple[int, str]:
    """Run the rendered script with a stand-in for Airflow that writes down what it is told; return its end and that."""
    for program, text in (("python", roles), ("airflow", '{ echo "$@"; cat; } >> "$TOLD"')):
        (folder / program).write_text(f"#!/bin/sh\n{text}\n")
        (folder / program).chmod(0o755)
    told_there = folder / "told"
    told_there.touch()
    secrets = {"ADMIN_PASSWORD": password, "TIDEMARK_WATCH_USER": "watch", "TIDEMARK_WATCH_PASSWORD": password}
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "TOLD": str(told_there), **secrets}
    done = subprocess.run(script_of_accounts(helm), env=environment, capture_output=True, text=True, check=False)
    return done.returncode, told_there.read_text()


@pytest.mark.parametrize("password", ["a 'b' %s $HOME", "a 'b' %s $HOME\n"], ids=["as it is", "from a file"])
def test_airflow_is_told_each_password_twice_without_the_line_break_of_a_file(
    helm: Helm, tmp_path: Path, password: str
) -> None:
    code, said = run_accounts(helm, tmp_path, password=password)
    assert code == 0
    words = [line.split(" --")[0] for line in said.splitlines()]
    twice = ["a 'b' %s $HOME"] * 2
    assert words == ["users create", *twice, "users create", *twice, "users reset-password", *twice]


def test_no_account_is_made_where_roles_could_not_be(helm: Helm, tmp_path: Path) -> None:
    """And the Job is tried again, as it has failed."""
    assert run_accounts(helm, tmp_path, password="secret", roles="exit 3") == (3, "")


def test_every_script_of_a_shell_ends_with_the_first_error(helm: Helm) -> None:
    shells = [
        container["command"]
        for pod in [*pods(helm.own(*EVERYTHING)).values(), *pods(helm.own(*RESTORING)).values()]
        for container in containers(pod)
        if container["command"][0] in ("bash", "sh")
    ]
    assert shells
    assert all("e" in command[1] and "u" in command[1] for command in shells)


# -- told what it needs


def environment(rendered: list[dict[str, Any]]) -> dict[str, str]:
    data: dict[str, str] = one(rendered, "ConfigMap", "shop-settings")["data"]
    return data


def test_tidemark_understands_the_settings_that_all_pods_get(
    rendered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(rendered)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://ledger.shop.test/ledger")
    understood = settings()
    assert isinstance(understood, Settings)
    assert (understood.store_url, understood.landing_url) == ("s3://shop/store", "s3://shop/landing")
    assert understood.approvers == {"ann": "ann", "bob": "17"}
    assert understood.people == {"ann@shop.test": "ann"}
    assert understood.four_eyes is True


def test_every_variable_of_ours_is_one_that_tidemark_knows(rendered: list[dict[str, Any]]) -> None:
    known = {*OTHER_VARIABLES, *(f"TIDEMARK_{name.upper()}" for name in Settings.__dataclass_fields__)}
    used = {name for name in environment(rendered) if name.startswith("TIDEMARK_")}
    for pod in pods(rendered).values():
        for container in containers(pod):
            used |= {each["name"] for each in container.get("env", []) if each["name"].startswith("TIDEMARK_")}
    assert used - known == set()


def test_airflow_takes_pipelines_from_git(helm: Helm) -> None:
    text = environment(helm.objects(SHOP))["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]
    pricing, models = json.loads(text)
    assert pricing["classpath"] == "airflow.providers.git.bundles.git.GitDagBundle"
    assert pricing["kwargs"] == {
        "repo_url": "https://git.shop.test/pricing.git",
        "tracking_ref": "main",
        "subdir": "dags",
        "git_conn_id": "git_pricing",
        "refresh_interval": 60,
    }
    assert models["kwargs"]["refresh_interval"] == 300
    assert "git_conn_id" not in models["kwargs"]


def test_the_bundles_are_such_as_airflow_can_make(helm: Helm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from airflow.providers.git.bundles.git import GitDagBundle

    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_GIT_PRICING", '{"conn_type": "git", "host": "https://git.shop.test/pricing.git"}')
    monkeypatch.setenv("AIRFLOW_CONN_GIT_DEFAULT", '{"conn_type": "git"}')
    for each in json.loads(environment(helm.objects(SHOP))["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]):
        assert GitDagBundle(name=each["name"], **each["kwargs"]).repo_url.endswith(f"/{each['name']}.git")


def test_airflows_pods_get_the_settings_and_the_secret_and_start_anew_with_a_change(helm: Helm) -> None:
    rendered = helm.objects(SHOP)
    given = told(rendered, as_templates=True)
    named_there = [next(iter(each.values()))["name"] for each in yaml.safe_load(given["extraEnvFrom"])]
    assert named_there == ["shop-settings", "tidemark-environment"]
    before = given["airflowPodAnnotations"]
    same = told(helm.objects(SHOP), as_templates=True)["airflowPodAnnotations"]
    other = told(helm.objects(SHOP, "global.tidemark.fourEyes=false"), as_templates=True)["airflowPodAnnotations"]
    assert before == same != other


def test_airflow_is_told_what_tidemark_needs_of_it(helm: Helm) -> None:
    config = told(helm.objects(SHOP), as_templates=True)["config"]
    assert config["core"]["might_contain_dag_callable"] == "tidemark.airflow.discovery.might_contain_dag"
    assert config["core"]["execution_api_server_url"] == "http://shop-api-server:8080/execution/"
    assert (config["workers"]["min_heartbeat_interval"], config["workers"]["execution_api_timeout"]) == (1, 60)
    assert config["metrics"]["statsd_host"] == "shop-metrics"
    service = one(helm.objects(SHOP), "Service", "shop-metrics")
    assert {port["port"]: port.get("protocol") for port in service["spec"]["ports"]} == {
        9102: None,
        config["metrics"]["statsd_port"]: "UDP",
    }


def test_nothing_waits_for_a_hook_so_that_wait_argo_cd_and_flux_work(rendered: list[dict[str, Any]]) -> None:
    assert not [named(each) for each in rendered if "helm.sh/hook" in str(each["metadata"].get("annotations"))]
    assert told(rendered)["migrateDatabaseJob"]["useHelmHooks"] is False


def test_what_uses_the_ledger_waits_for_its_schema(rendered: list[dict[str, Any]]) -> None:
    given = told(rendered, as_templates=True)
    waiting = [
        given[name]["extraInitContainers"][0] for name in ("apiServer", "scheduler", "dagProcessor", "triggerer")
    ]
    for name in ("shop-watch", "shop-metrics"):
        waiting.append(one(rendered, "Deployment", name)["spec"]["template"]["spec"]["initContainers"][0])
    for container in waiting:
        assert container["command"][:3] == ["tidemark", "db", "wait"]
        assert container["image"] == "registry.shop.test/tidemark:0.1.0"
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_ledgers_owner_can_be_known_to_the_upgrade_alone(helm: Helm) -> None:
    """As the page on security wants it: nothing else has the owner's password."""
    [container] = containers(pods(helm.own(SHOP))[f"Job {named(one(helm.own(SHOP), 'Job', 'shop-ledger'))}"])
    usual = {"name": "tidemark-environment", "key": "TIDEMARK_LEDGER_URL"}
    assert container["env"] == [{"name": "TIDEMARK_LEDGER_URL", "valueFrom": {"secretKeyRef": usual}}]
    objects = helm.objects(SHOP, "ledger.secret=ledger-owner")
    users = [name for name, pod in pods(objects).items() if "ledger-owner" in str(pod)]
    assert users == [f"Job {named(one(objects, 'Job', 'shop-ledger'))}"]
    assert "ledger-owner" not in str(told(objects))


def test_each_release_upgrades_the_ledger_anew_and_the_same_release_does_not(helm: Helm) -> None:
    """A Job cannot be changed: with another image it has another name, and helm removes the one before."""
    name = named(one(helm.own(SHOP), "Job", "shop-ledger"))
    assert named(one(helm.own(SHOP), "Job", "shop-ledger")) == name
    assert named(one(helm.own(SHOP, "global.tidemark.fourEyes=false"), "Job", "shop-ledger")) == name
    assert named(one(helm.own(SHOP, "airflow.images.airflow.tag=0.2.0"), "Job", "shop-ledger")) != name
    assert len(named(one(helm.own(SHOP, release="a" * 30), "Job", "a" * 30 + "-ledger"))) <= 63


def test_an_asset_may_reserve_more_cpus_than_a_container_gets_that_asks_for_nothing(helm: Helm) -> None:
    """What resources= asks for has no limit of CPU: a limit by default would be its limit, and refuse what is more."""
    limits = one(helm.own(*SIZES["production"]), "LimitRange", "shop-tidemark")["spec"]["limits"]
    assert [set(each["default"]) for each in limits] == [{"memory"}]
    assert [set(each["max"]) for each in limits] == [{"cpu", "memory"}]


def test_commands_in_containers_are_commands_of_tidemark(helm: Helm) -> None:
    from tidemark.cli.main import build_parser

    seen = set()
    for pod in [*pods(helm.own(*EVERYTHING)).values(), *pods(helm.own(*RESTORING)).values()]:
        for container in containers(pod):
            if container["command"][0] == "tidemark":
                words = [*container["command"][1:], *container.get("args", [])]
                build_parser().parse_args(words)
                seen.add(" ".join(words[:2]))
    assert seen == {"db upgrade", "db wait", "watch", "metrics --serve", "backup make", "backup restore"}


def test_no_password_is_on_a_command_line_of_a_program(helm: Helm) -> None:
    """There whoever looks at the node's processes reads it: builtins of the shell and Python's own code are none."""
    lines = []
    for pod in [*pods(helm.own(*EVERYTHING)).values(), *pods(helm.own(*RESTORING)).values()]:
        for container in containers(pod):
            script = " ".join([*container["command"], *container.get("args", [])]).replace("\\\n", " ")
            lines += [line.strip() for line in script.splitlines() if re.search(r"PASSWORD|_URI|_URL|SECRET", line)]
    given = re.compile(r"""twice "\$\w+_PASSWORD" \| |--database=\w+=\w+_URL|os\.environ\["\w+_URI"\]""")
    programs = {"mlflow.db", "airflow users", "backup make", "backup restore"}
    assert {each for line in lines for each in programs if each in line} == programs, "it really looks"
    assert not [line for line in lines if re.search(r"PASSWORD|_URI|_URL|SECRET", given.sub("", line))]


def test_the_watch_can_use_the_alerts_of_the_values(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """As an administrator asks: `tidemark alert check`, with what the Secret of the watch holds in the environment."""
    tidemark, file = Command(capfdbinary), tmp_path / "alerts.yaml"
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_ALERTS", str(file))
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", "smtp://mail.shop.test:25/?from_email=tidemark@shop.test")

    def check(*values: Path | str) -> Done:
        file.write_text(one(helm.own(*values), "ConfigMap", "shop-alerts")["data"]["alerts.yaml"])
        return tidemark("alert", "check")

    assert "PAGERDUTY_KEY" in check(SHOP).err, "it really looks"
    monkeypatch.setenv("PAGERDUTY_KEY", "0" * 32)
    for values in ((SHOP,), (CHART / "values-production.yaml", SHOP), (SHOP, "watch.alerts.updates=2 hours")):
        done = check(*values)
        assert done.code == 0, done.err
    # As the chart comes, nobody is told: the notes say so, and so does the command.
    file.write_text(yaml.safe_dump(yaml.safe_load((CHART / "values.yaml").read_text())["watch"]["alerts"]))
    assert tidemark("alert", "check").code == 1


def test_one_watch_acts_and_another_may_stand_by_but_metrics_are_counted_once(helm: Helm) -> None:
    rendered = helm.own(*SIZES["production"])
    assert one(rendered, "Deployment", "shop-watch")["spec"]["replicas"] == 2
    metrics = one(rendered, "Deployment", "shop-metrics")["spec"]
    assert (metrics["replicas"], metrics["strategy"]) == (1, {"type": "Recreate"})
    budgets = {named(each) for each in rendered if each["kind"] == "PodDisruptionBudget"}
    assert budgets == {"shop-watch", "shop-mlflow"}
    # A budget for a single pod would only keep a node from being drained.
    assert not [each for each in helm.own(SHOP) if each["kind"] == "PodDisruptionBudget"]


@pytest.mark.parametrize(("asked", "expected"), [([], "1 day 2 hours"), (["backup.enabled=false"], None)])
def test_the_watch_looks_for_backups_where_they_are_made(helm: Helm, asked: list[str], expected: str | None) -> None:
    """And can read how long it may wait for one."""
    (container,) = one(helm.own(SHOP, *asked), "Deployment", "shop-watch")["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given.get("TIDEMARK_BACKUP_WITHIN") == expected
    assert (read_options(given).backup_within is None) == (expected is None)


def test_the_dashboard_and_the_rules_are_those_of_the_repository(helm: Helm) -> None:
    for file in (CHART / "files").iterdir():
        assert file.read_bytes() == (ROOT / "monitoring" / file.name).read_bytes(), f"copy monitoring/{file.name} again"
    rendered = helm.own(*EVERYTHING)
    rules = one(rendered, "PrometheusRule", "shop-tidemark")["spec"]
    assert rules == yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())
    dashboard = one(rendered, "ConfigMap", "shop-dashboard")["data"]["tidemark.json"]
    assert json.loads(dashboard) == json.loads((ROOT / "monitoring" / "grafana-dashboard.json").read_text())


def test_mlflow_answers_to_its_own_names_only(helm: Helm) -> None:
    rendered = helm.own(SHOP, "mlflow.hosts[0]=mlflow.shop.test")
    pod = one(rendered, "Deployment", "shop-mlflow")["spec"]["template"]["spec"]
    given = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    hosts = given["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    uri = environment(rendered)["MLFLOW_TRACKING_URI"]
    assert uri.removeprefix("http://") in hosts
    assert "mlflow.shop.test" in hosts
    assert "*" not in hosts
    off = helm.own(SHOP, "mlflow.enabled=false", "global.tidemark.extra.MLFLOW_TRACKING_URI=https://mlflow.shop.test")
    assert environment(off)["MLFLOW_TRACKING_URI"] == "https://mlflow.shop.test"
    assert not [named(each) for each in off if "mlflow" in named(each)]


def test_a_backup_knows_its_databases_by_the_names_of_variables(helm: Helm) -> None:
    cron = one(helm.own(SHOP), "CronJob", "shop-backup")
    container = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][0] == "s3://backups/shop"
    assert {word for word in container["args"] if word.startswith("--database")} == {
        "--database=ledger=LEDGER_DATABASE_URL",
        "--database=airflow=AIRFLOW_DATABASE_URL",
        "--database=mlflow=MLFLOW_DATABASE_URL",
    }
    assert "--keep-days=30" in container["args"]
    assert cron["spec"]["concurrencyPolicy"] == "Forbid", "each removes what is too old"
    without = one(helm.own(SHOP, "mlflow.enabled=false"), "CronJob", "shop-backup")
    assert "MLFLOW" not in json.dumps(without)
    restore = one(helm.own(*RESTORING, "backup.restore.databases={ledger}"), "Job", "shop-restore")
    args = restore["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [word for word in args if word.startswith("--database")] == ["--database=ledger=LEDGER_DATABASE_URL"]
    assert {"--backup=latest", "--replace"} <= set(args)
    assert restore["spec"]["backoffLimit"] == 0


def test_while_a_backup_is_restored_nothing_else_uses_the_databases(helm: Helm) -> None:
    rendered = helm.objects(*RESTORING)
    for each in rendered:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
        if each["kind"] == "Deployment":
            assert each["spec"]["replicas"] == 0, named(each)
    assert one(rendered, "CronJob", "shop-backup")["spec"]["suspend"] is True
    assert "suspend" not in one(helm.own(SHOP), "CronJob", "shop-backup")["spec"]
    jobs = [named(each) for each in rendered if each["kind"] == "Job"]
    assert len(jobs) == 1
    assert jobs[0].startswith("shop-restore-")
    again = one(helm.objects(*RESTORING, "backup.restore.from=20261130T021700Z"), "Job", "shop-restore")
    assert named(again) not in jobs, "another backup is another Job"
    assert not [name for name in pods(rendered) if "accounts" in name or "ledger" in name]


def test_every_image_host_and_pull_policy_can_be_set(helm: Helm) -> None:
    rendered = helm.objects(
        SHOP,
        "airflow.images.airflow.repository=localhost/tidemark",
        "airflow.images.airflow.pullPolicy=Never",
        "airflow.pgbouncer.enabled=false",
        "airflow.imagePullSecrets[0].name=registry",
        "global.tidemark.s3.endpoint=http://10.203.0.1:15501",
    )
    for pod in pods(rendered).values():
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        for container in containers(pod):
            assert container["image"] == "localhost/tidemark:0.1.0"
            assert container["imagePullPolicy"] == "Never"
    assert environment(rendered)["AWS_ENDPOINT_URL"] == "http://10.203.0.1:15501"
    assert told(rendered)["pgbouncer"]["enabled"] is False


def test_without_airflow_only_our_own_objects_are_there(helm: Helm) -> None:
    assert helm.objects(SHOP, "airflow.enabled=false") == helm.own(SHOP)


def test_the_notes_say_what_to_do_next_and_what_is_missing(helm: Helm) -> None:
    """`helm template` shows no notes: they are rendered as a template of another name."""
    notes = (helm.chart / "templates" / "NOTES.txt").read_text()
    file = helm.chart / "templates" / "shown.yaml"
    file.write_text(
        "kind: ConfigMap\nmetadata: {name: notes}\ndata:\n  notes: |\n"
        '    {{- tpl (.Files.Get "notes.txt") . | nindent 4 }}\n'
    )
    (helm.chart / "notes.txt").write_text(notes)
    try:

        def shown(*values: Path | str) -> str:
            return str(one(helm.objects(*values), "ConfigMap", "notes")["data"]["notes"])

        whole = shown(SHOP)
        assert "being installed as shop in prod" in whole
        assert "pricing: https://git.shop.test/pricing.git (main), folder dags" in whole
        assert "NOBODY" not in whole
        assert "nobody may promote" not in whole
        nobody = yaml.safe_load(SHOP.read_text())
        del nobody["watch"]
        nobody["global"]["tidemark"]["approvers"] = []
        (helm.chart / "nobody.yaml").write_text(yaml.safe_dump(nobody))
        bare = shown(
            helm.chart / "nobody.yaml",
            "backup.enabled=false",
        )
        assert "NOBODY is told of anything" in bare
        assert "NOTHING is backed up" in bare
        assert "nobody may promote a model" in bare
        assert "NOBODY" in shown(SHOP, "watch.enabled=false")
        assert "Prometheus" not in whole
        assert "Prometheus does not reach the metrics" in shown(*SIZES["production"])
        assert "Prometheus" not in shown(*EVERYTHING)
        restoring = shown(*RESTORING)
        assert "The backup latest is being written into the databases" in restoring
        assert "Sign in" not in restoring
        assert "2. Sign in to Airflow as admin, with ADMIN_PASSWORD of the Secret tidemark-accounts:" in whole
        assert "give people their roles" in whole
        alone = shown(SHOP, "accounts.enabled=false", "global.tidemark.roles=false")
        assert "2. Sign in to Airflow. accounts.enabled is off: this release makes no user and no roles" in alone
        assert "https://airflow.shop.test" in alone
        assert not [word for word in ("admin", "ADMIN_PASSWORD", "give people their roles") if word in alone]
    finally:
        file.unlink()
        (helm.chart / "notes.txt").unlink()
