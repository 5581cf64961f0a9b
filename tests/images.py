"""The image, built once for all tests that need it, with podman or docker."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lacking import lacking

ROOT = Path(__file__).parents[1]

# What the builder is given of the tree: the same as .dockerignore lets through.
CONTEXT = ("Dockerfile", ".dockerignore", "Makefile", "requirements.txt", "requirements-sbom.txt", "pyproject.toml")
CONTEXT += ("README.md", "LICENSE", "plugins", "expectations", "dags")


def program() -> str:
    """podman, or docker."""
    found = shutil.which("podman") or shutil.which("docker")
    return found or lacking("building the image needs podman or docker")


def base() -> str:
    """The image that ours is built from; its absence is no failure, as most machines reach no registry in tests."""
    return os.environ.get("TIDEMARK_TEST_AIRFLOW_IMAGE") or pytest.skip(
        "TIDEMARK_TEST_AIRFLOW_IMAGE names no image of Airflow to build on: the image was not built and not tried"
    )


@functools.cache
def built(target: str, tree: Path = ROOT) -> str:
    """Build the image from a tree as `make image` does, and return its name; layers that are there are used again."""
    name = f"localhost/tidemark:under-test-{target}"
    if tree != ROOT:
        name += "-edited"
    # A machine for tests may have no network for containers but its own.
    given = {"TAG": name, "TARGET": target, "AIRFLOW_IMAGE": base(), "BUILD": "--network host"}
    assert program()
    done = subprocess.run(
        ["make", "--no-print-directory", "image", *(f"{key}={value}" for key, value in given.items())],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=2400,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return name


def run(
    name: str,
    *command: str,
    volumes: Mapping[Path, str] | None = None,
    environ: Mapping[str, str] | None = None,
    user: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a container as a cluster should: read-only but for /tmp, and without a network."""
    words = [program(), "run", "--rm", "--read-only", "--tmpfs", "/tmp:mode=1777", "--network", "none"]
    words += [f"--volume={place}:{inside}" for place, inside in (volumes or {}).items()]
    words += [f"--env={key}={value}" for key, value in (environ or {}).items()]
    words += [f"--user={user}"] if user else []
    return subprocess.run(
        [*words, "--entrypoint", command[0], name, *command[1:]], capture_output=True, text=True, timeout=600
    )


def said(name: str, *command: str, **how: Any) -> str:
    """What a command in a container says; all must be well."""
    done = run(name, *command, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def inspected(name: str) -> dict[str, Any]:
    """What the image says of itself."""
    done = subprocess.run([program(), "image", "inspect", name], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found
