"""Claims about who changed a piece of a file last, as git knows it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tidemark.commits import NOT_YET, last_commit
from tidemark.config import git_commit

SHOP = """RATE = 2


@staticmethod
def lines(text):
    total = text

    return total


def label(text):
    return text
"""


class Checkout:
    """A folder under git, with one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "shop.py"
        folder.mkdir()
        self("init", "-q")

    def __call__(self, *words: str) -> None:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _ADA.items()}
        subprocess.run(["git", "-C", str(self.folder), *words], check=True, env=os.environ | who, capture_output=True)

    def commits(self, text: str, subject: str) -> str:
        """Commit a text of the file, and return the commit's hash."""
        self.file.write_text(text)
        self("add", "shop.py")
        self("commit", "-q", "-m", subject)
        done = subprocess.run(["git", "-C", str(self.folder), "rev-parse", "HEAD"], capture_output=True, text=True)
        return done.stdout.strip()


_ADA = {"NAME": "Ada Lovelace", "EMAIL": "ada@example.org", "DATE": "2025-01-05T06:00:00+00:00"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "dags")


def test_the_commit_is_that_of_the_statement_and_not_of_the_file(checkout: Checkout) -> None:
    checkout.commits(SHOP, "First shop")
    mended = checkout.commits(SHOP.replace("total = text", "total = text.upper()"), "Louder")
    checkout.commits(checkout.file.read_text().replace("RATE = 2", "RATE = 3"), "Dearer")
    found = last_commit(checkout.file, 5)
    assert found is not None
    assert (found.id, found.author, found.subject) == (mended, "Ada Lovelace", "Louder")
    assert str(found) == f"commit {mended[:12]} by Ada Lovelace, 2025-01-05: Louder"
    assert str(last_commit(checkout.file, 1)).endswith("Dearer")
    assert str(last_commit(checkout.file)).endswith("Dearer")


def test_a_line_that_was_taken_out_is_a_change_of_the_statement(checkout: Checkout) -> None:
    checkout.commits(SHOP, "First shop")
    checkout.commits(SHOP.replace("    total = text\n", "    total = 1\n    total = text\n"), "One more line")
    checkout.commits(SHOP, "One line less")
    assert str(last_commit(checkout.file, 5)).endswith("One line less")


def test_a_decorator_is_part_of_the_statement(checkout: Checkout) -> None:
    checkout.commits(SHOP, "First shop")
    checkout.commits(SHOP.replace("@staticmethod", "@classmethod"), "Another decorator")
    assert str(last_commit(checkout.file, 5)).endswith("Another decorator")


def test_what_stands_in_no_commit_is_not_committed_yet(checkout: Checkout) -> None:
    """And what an edit elsewhere in the file has moved is still that of its commit."""
    checkout.commits(SHOP, "First shop")
    checkout.file.write_text("# new\n# lines\n" + SHOP.replace("return total", "return total * 2"))
    assert last_commit(checkout.file, 7) is NOT_YET
    assert str(last_commit(checkout.file, 13)).endswith("First shop")
    assert last_commit(checkout.file) is NOT_YET
    assert str(NOT_YET) == "not committed yet"


def test_a_file_that_git_does_not_have_is_not_committed_yet(checkout: Checkout) -> None:
    checkout.commits(SHOP, "First shop")
    other = checkout.folder / "other.py"
    other.write_text(SHOP)
    assert last_commit(other, 5) is NOT_YET


def test_of_an_earlier_state_the_lines_of_that_time_count(checkout: Checkout) -> None:
    first = checkout.commits(SHOP, "First shop")
    checkout.commits("# moved\n" * 20 + SHOP.replace("total = text", "total = 1"), "Later")
    assert str(last_commit(checkout.file, 5, revision=first)).endswith("First shop")


@pytest.mark.parametrize("line", [5, None])
def test_without_a_checkout_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int | None) -> None:
    """Nor where there is no file, no folder, or a commit that is not there."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    file = tmp_path / "shop.py"
    file.write_text(SHOP)
    assert last_commit(file, line) is None
    assert last_commit(tmp_path / "nowhere" / "shop.py", line) is None


def test_without_git_nothing_is_known(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.commits(SHOP, "First shop")
    assert last_commit(checkout.file, 5, revision="f" * 40) is None
    monkeypatch.setenv("PATH", "")
    assert last_commit(checkout.file, 5) is None


def test_a_file_that_is_no_python_is_no_error(checkout: Checkout) -> None:
    checkout.commits("def (", "Nonsense")
    assert last_commit(checkout.file, 1) is None


def bundle_of(checkout: Checkout, folder: Path, commit: str) -> Path:
    """Lay a commit out as Airflow's git bundle does, with ``.git`` pruned, and return its folder."""
    bare, version = folder / "bare", folder / "versions" / commit
    if not bare.exists():
        subprocess.run(["git", "clone", "-q", "--bare", str(checkout.folder), str(bare)], check=True)
    subprocess.run(["git", "clone", "-q", str(bare), str(version)], check=True)
    subprocess.run(["git", "-C", str(version), "checkout", "-q", commit], check=True)
    shutil.rmtree(version / ".git")
    return version


def test_in_a_version_of_a_bundle_the_repository_beside_it_is_asked(checkout: Checkout, tmp_path: Path) -> None:
    """At the version's own commit, whatever came later; also when the version's folder is gone, as in another pod."""
    first = checkout.commits(SHOP, "First shop")
    louder = checkout.commits(SHOP.replace("total = text", "total = text.upper()"), "Louder")
    checkout.commits(SHOP, "Silent again")
    before = bundle_of(checkout, tmp_path / "bundle", first) / "shop.py"
    after = bundle_of(checkout, tmp_path / "bundle", louder) / "shop.py"
    assert str(last_commit(before, 5)).endswith("First shop")
    assert str(last_commit(after, 5)).endswith("Louder")
    assert str(last_commit(after, 1)).endswith("First shop")
    assert str(last_commit(after)).endswith("Louder")
    assert str(last_commit(before, 5, revision=louder)).endswith("Louder")
    assert git_commit(after.parent) == (louder, False)
    shutil.rmtree(after.parent)
    assert str(last_commit(after, 5)).endswith("Louder")
    assert str(last_commit(after, 5, revision=louder)).endswith("Louder")


def test_what_was_changed_in_a_versions_folder_is_in_no_commit(checkout: Checkout, tmp_path: Path) -> None:
    file = bundle_of(checkout, tmp_path / "bundle", checkout.commits(SHOP, "First shop")) / "shop.py"
    file.write_text(SHOP.replace("total = text", "total = 'mine'"))
    assert last_commit(file, 5) == NOT_YET
    assert str(last_commit(file, 1)).endswith("First shop")


def test_a_version_without_its_repository_has_no_history(checkout: Checkout, tmp_path: Path) -> None:
    """Not even that of a repository around it."""
    file = bundle_of(checkout, tmp_path / "bundle", checkout.commits(SHOP, "First shop")) / "shop.py"
    shutil.rmtree(tmp_path / "bundle" / "bare")
    assert last_commit(file, 5) is None
    assert git_commit(file.parent) == (None, None)


def test_where_a_shallow_clone_ends_nobody_is_taken_for_the_author(checkout: Checkout, tmp_path: Path) -> None:
    """Git itself says that the commit at the cut wrote everything that is older."""
    checkout.commits(SHOP, "First shop")
    checkout.commits(SHOP.replace("RATE = 2", "RATE = 3"), "Dearer")
    checkout.commits(SHOP.replace("RATE = 2", "RATE = 4"), "Dearer still")
    url, clone = f"file://{checkout.folder}", tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth", "2", url, str(clone)], check=True)
    assert str(last_commit(clone / "shop.py", 1)).endswith("Dearer still")
    assert last_commit(clone / "shop.py", 5) is None
