from pathlib import Path

import pytest

from tests.fingerprint.bundles import Bundle, Files, MakeBundle


@pytest.fixture
def bundle(tmp_path: Path) -> MakeBundle:
    """Make a folder of files; each call makes another folder."""
    made: list[Bundle] = []

    def make(files: Files) -> Bundle:
        made.append(Bundle(tmp_path / f"v{len(made)}" / "dags", files))
        return made[-1]

    return make
