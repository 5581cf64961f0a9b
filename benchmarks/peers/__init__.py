"""Other orchestrators, each in a virtual environment of its own, beside us on the same cases."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("hamilton",)
"""Who plays the cases of `benchmarks.incremental`; whose code is edited is in `benchmarks.peers.edited`."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidemark" / "peers"
"""Where the environments are made, unless another folder is named."""


def environment(peer: str, folder: Path) -> Path:
    """Return the Python of a peer's virtual environment, which is made at first use, and anew when its pins change.

    Args:
        peer: whose; `benchmarks/peers/PEER.txt` pins what is in it.
        folder: where environments are kept.

    Raises:
        SystemExit: pip could not install what is pinned; its own words say why.

    """
    pins = (Path(__file__).parent / f"{peer}.txt").read_text()
    home = folder / f"{peer}-{sys.version_info.major}.{sys.version_info.minor}"
    python, installed = home / "bin" / "python", home / "installed.txt"
    if installed.exists() and installed.read_text() == pins:
        return python
    print(f"Installing {peer} into {home} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*pip, "-r", str(Path(__file__).parent / f"{peer}.txt")], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{peer} could not be installed into {home}:\n{done.stderr}")
    installed.write_text(pins)
    return python


def play(peer: str, python: Path, landing: Path, *, folder: Path, days: int) -> dict[str, float | int]:
    """Let a peer bring its results up to date with the deliveries, in a process of its own; returns its figures.

    Raises:
        SystemExit: it failed, or a result of it is wrong.

    """
    command = [str(python), "-m", f"benchmarks.peers.{peer}", str(landing), str(folder), str(days)]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "HAMILTON_TELEMETRY_ENABLED": "false"}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr}")
    figures: dict[str, float | int] = json.loads(done.stdout)
    return figures
