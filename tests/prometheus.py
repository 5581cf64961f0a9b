"""A real Prometheus for tests, from Debian's package: on a free port of 127.0.0.1, its data in a temporary folder."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.lacking import lacking
from tests.servers import free_port

ROOT = Path(__file__).parents[1]

# Where `make test` unpacks the package, whose installation would start a server on all addresses.
UNPACKED = ROOT / ".venv" / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """Return where ``prometheus`` or ``promtool`` is; skips, or in CI fails, a test where it is not."""
    found = shutil.which(name) or shutil.which(name, path=UNPACKED)
    return found or lacking(f"Prometheus is not installed: apt-get install prometheus, for its {name}")


def promtool(*words: str | Path, text: bytes = b"") -> "subprocess.CompletedProcess[str]":
    """Run ``promtool``, with a text for it to read."""
    command = [program("promtool"), *map(str, words)]
    done = subprocess.run(command, input=text, capture_output=True, timeout=120)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def ask(self, path: str, **asked: str) -> Any:
        """Return what its HTTP API answers."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urlencode(asked)}", timeout=10) as answer:
            read = json.load(answer)
        assert read["status"] == "success", read
        return read["data"]

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return what an expression comes to now, by labels."""
        result = self.ask("query", query=expression)["result"]
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in result}

    def names(self) -> set[str]:
        """Return the names of all metrics that it has met."""
        return set(self.ask("label/__name__/values"))

    def wait_for(self, expression: str, seconds: float = 60) -> dict[tuple[tuple[str, str], ...], float]:
        """Wait until an expression comes to something, and return it."""
        until = time.monotonic() + seconds
        while not (found := self.query(expression)):
            assert time.monotonic() < until, f"{expression} came to nothing; there is {sorted(self.names())}"
            time.sleep(0.2)
        return found


def configured(folder: Path, target: str) -> Path:
    """Write an administrator's configuration down, but for the address to scrape and the patience; returns the file."""
    config = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "monitoring" / each) for each in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return file


@contextlib.contextmanager
def prometheus_server(config: Path, folder: Path) -> Iterator[Prometheus]:
    """Run a server by a configuration file; its data are in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    options = {
        "config.file": config,
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
        "storage.tsdb.retention.time": "1h",
    }
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        command = [program("prometheus"), *(f"--{name}={value}" for name, value in options.items())]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        for _ in range(300):
            assert server.poll() is None, f"Prometheus ended: {log.read_text()}"
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"Prometheus did not start within half a minute: {log.read_text()}")
        yield Prometheus(f"http://{address}")
    finally:
        server.terminate()
        server.wait()
