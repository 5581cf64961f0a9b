"""The histories of a seed are the same in every process, whatever was loaded before: a red run can be played again."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DRAWN = """
import hashlib
import numbers_of_others
from hypothesis import HealthCheck, given, seed, settings, strategies as st
from tests.properties.playing import REPEATABLE

told = hashlib.sha256()

@seed(1)
@settings(max_examples=50, backend=REPEATABLE, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 1000), min_size=20))
def draw(numbers):
    told.update(repr(numbers).encode())

draw()
print(told.hexdigest())
"""


def _drawn(folder: Path, text: str) -> str:
    """Return a digest of what is drawn in a process that has loaded a module with some text."""
    folder.mkdir()
    (folder / "numbers_of_others.py").write_text(text)
    environ = {"PYTHONPATH": f"{folder}:{ROOT / 'plugins'}:{ROOT}"}
    command = [sys.executable, "-c", DRAWN]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def test_what_is_drawn_does_not_depend_on_what_is_loaded(tmp_path: Path) -> None:
    """Hypothesis by itself draws numbers that it finds in the modules of the process."""
    assert _drawn(tmp_path / "few", "") == _drawn(tmp_path / "many", "NUMBERS = (501, 502, 503, 504)")
