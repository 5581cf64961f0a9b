"""Where the git history of a file is: in its own folder, or beside the versions of a DAG bundle.

Airflow's git bundle keeps `<bundle>/bare`, the repository with all of its history, and checks each version out at
`<bundle>/versions/<commit>`, from which it prunes `.git`. What was loaded from a version can be asked about in the bare
repository: also when that version's folder is gone, as in a pod that came later.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Version:
    """A version of a DAG bundle.

    Attributes:
        bare: the folder of the repository.
        commit: what is checked out.
        folder: where it is, or was.

    """

    bare: Path
    commit: str
    folder: Path


def version_of(place: Path) -> Version | None:
    """Return the version of a bundle that a file or folder is of; None: it is of none whose repository is there."""
    for folder in (place, *place.parents):
        if folder.parent.name == "versions" and _COMMIT.fullmatch(folder.name):
            bare = folder.parent.parent / "bare"
            return Version(bare, folder.name, folder) if (bare / "HEAD").is_file() else None
    return None
