"""Claims about who may decide about models: those who are named, and for a promotion nobody who wrote what is new."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario import Shop
from tests.test_models import FORECAST, SHOP, WEEK_1, days, decide, next_week
from tidemark import models
from tidemark.errors import Refused, UsageError
from tidemark.models.presenting import present

HELPED = FORECAST.replace("lines['units'].sum()", "total(lines)").replace(
    "@model", "def total(lines: pl.DataFrame) -> int:\n        return lines['units'].sum()\n\n    @model"
)


JUDGED = """
    from tidemark import Validation, at_most

    def said(model: str, lines: pl.DataFrame) -> pl.DataFrame:
        return lines

    def counted(rows: pl.DataFrame) -> dict[str, float]:
        return {"rows": rows.height}
""" + HELPED.replace(
    "@model(",
    "@model(validation=Validation(predictions=said, metrics=counted, limits={'rows': at_most(70)}), ",
)


class Repository:
    """A folder of pipeline files as a checkout in which people commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._git("ada", "init", "-q")

    def commit(self, who: str) -> None:
        """Commit everything as a person."""
        self._git(who, "add", ".")
        self._git(who, "commit", "-q", "-m", f"by {who}")

    def _git(self, who: str, *words: str) -> None:
        person = {"NAME": who.title(), "EMAIL": f"{who}@Example.org"}
        given = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in person.items()}
        subprocess.run(["git", "-C", str(self.folder), *words], check=True, env=os.environ | given, capture_output=True)


@pytest.fixture
def shop_of(shop: Shop) -> Iterator[tuple[Shop, Repository]]:
    """A shop whose files Ada wrote and committed, with a candidate; Ann and Ada are approvers, with known e-mails."""
    from tidemark.config import git_commit

    shop.more = {
        "TIDEMARK_APPROVERS": "ada, ann",
        "TIDEMARK_PEOPLE": "ada@example.org=ada, ann@example.org=ann",
    }
    shop.define(SHOP)
    shop.define(HELPED, "forecasts")
    repository = Repository(shop.dags)
    repository.commit("ada")
    git_commit.cache_clear()
    for day in days("2024-12-30", 7):
        shop.deliver("orders", day, "units\n1\n")
    shop.now("2025-01-06T06:00")
    shop.run()
    shop.run("forecasts")
    yield shop, repository
    git_commit.cache_clear()


def promote(shop: Shop, actor: str) -> models.Promoted:
    with shop.deployment() as deployment:
        return models.promote(
            deployment, shop.pipelines["forecasts"], "forecast", None, first=None, why="so", actor=actor
        )


def test_nobody_decides_who_is_not_named(shop_of: tuple[Shop, Repository]) -> None:
    shop, _ = shop_of
    with pytest.raises(Refused, match=r"^eve may not decide about models: TIDEMARK_APPROVERS names ada, ann$"):
        promote(shop, "eve")
    shop.more["TIDEMARK_APPROVERS"] = ""
    for act in (models.reject, models.rollback):
        with pytest.raises(Refused, match=r"^nobody may decide about models: name the user ids"):
            decide(shop, act)
    with shop.deployment() as deployment:
        (version,) = models.versions(deployment, "forecast")
    assert version.state == models.CANDIDATE


def test_the_author_may_not_promote_what_somebody_else_may(shop_of: tuple[Shop, Repository]) -> None:
    shop, _ = shop_of
    with pytest.raises(Refused, match=r"^four eyes: ada wrote .*forecast \(commit [0-9a-f]{12} by Ada, .*\): somebody"):
        promote(shop, "ada")
    assert promote(shop, "ann").trained == WEEK_1


def test_only_what_is_new_since_the_champion_counts(shop_of: tuple[Shop, Repository]) -> None:
    """Ann edits a helper: then she is the author, and Ada, who wrote all else, is not."""
    from tidemark.config import git_commit

    shop, repository = shop_of
    promote(shop, "ann")
    shop.edit("return lines['units'].sum()", "return 2 * lines['units'].sum()", "forecasts.py")
    repository.commit("ann")
    git_commit.cache_clear()
    shop.run("forecasts")
    with pytest.raises(Refused, match=r"four eyes: ann wrote .*total"):
        promote(shop, "ann")
    assert promote(shop, "ada").before is not None


def test_a_model_of_the_same_code_has_no_author(shop_of: tuple[Shop, Repository]) -> None:
    """What is new in it is the data."""
    shop, _ = shop_of
    promote(shop, "ann")
    next_week(shop)
    shop.run("forecasts")
    assert promote(shop, "ada").before is not None


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("at_most(70)", "at_most(700)", "what forecast is defined to be"),
        ("parts()", "trailing(days=7)", "what forecast is defined to be"),
        ('{"rows": rows.height}', '{"rows": rows.height / 2}', "counted"),
        ("return lines\n", "return lines.head(3)\n", "said"),
    ],
    ids=["a limit", "a mapping", "a metric", "the predictions"],
)
def test_who_judges_in_another_way_or_reads_other_days_is_an_author_too(
    shop_of: tuple[Shop, Repository], before: str, after: str, what: str
) -> None:
    """Not only who wrote what trains: a candidate passes by what judges it."""
    from tidemark.config import git_commit

    shop, repository = shop_of

    def judge() -> None:
        git_commit.cache_clear()
        shop.run("forecasts")
        with shop.deployment() as deployment:
            made = present(deployment, shop.pipelines["forecasts"], "forecast", run="run", actor="ann")
        assert made is not None
        assert made.passed, made.page

    shop.define(JUDGED, "forecasts")
    repository.commit("ada")
    judge()
    promote(shop, "ann")
    shop.edit(before, after, "forecasts.py")
    repository.commit("ann")
    next_week(shop)
    judge()
    with pytest.raises(Refused, match=rf"^four eyes: ann wrote .*{what}"):
        promote(shop, "ann")
    assert promote(shop, "ada").before is not None


def test_what_is_not_committed_is_of_nobody(shop_of: tuple[Shop, Repository]) -> None:
    from tidemark.config import git_commit

    shop, _ = shop_of
    shop.edit("return lines['units'].sum()", "return 3 * lines['units'].sum()", "forecasts.py")
    git_commit.cache_clear()
    shop.run("forecasts")
    with pytest.raises(Refused, match=r"^four eyes: nobody knows who wrote .*total, which is in no commit"):
        promote(shop, "ann")
    shop.more["TIDEMARK_FOUR_EYES"] = "off"
    assert promote(shop, "ann").trained == WEEK_1


def test_an_author_without_a_user_id_may_be_anybody(shop_of: tuple[Shop, Repository]) -> None:
    """And no message shows an e-mail."""
    shop, _ = shop_of
    shop.more["TIDEMARK_PEOPLE"] = "ann@example.org=ann"
    with pytest.raises(Refused, match=r"its author's user id is not in TIDEMARK_PEOPLE") as refused:
        promote(shop, "ann")
    assert "@" not in str(refused.value)


@pytest.mark.parametrize("text", ["ada", "ada=ada", "ada@example.org=", "a@b=a,,x"])
def test_people_that_cannot_be_understood_are_refused_without_being_shown(shop: Shop, text: str) -> None:
    shop.more = {"TIDEMARK_PEOPLE": text}
    with pytest.raises(UsageError, match=r"^TIDEMARK_PEOPLE, entry \d: write EMAIL=USER, with commas between them$"):
        _ = shop.settings


def test_four_eyes_are_on_or_off(shop: Shop) -> None:
    assert shop.settings.four_eyes
    shop.more = {"TIDEMARK_FOUR_EYES": "no"}
    with pytest.raises(UsageError, match="TIDEMARK_FOUR_EYES='no': write on or off"):
        _ = shop.settings


def test_settings_are_shown_without_e_mails(shop: Shop) -> None:
    shop.more = {"TIDEMARK_PEOPLE": "ann@example.org=ann,a.b@example.org=ann", "TIDEMARK_APPROVERS": "ann,bob"}
    shown = shop.settings.shown()
    assert (shown["TIDEMARK_PEOPLE"], shown["TIDEMARK_APPROVERS"]) == ("of ann", "ann, bob")
    assert shown["TIDEMARK_FOUR_EYES"] == "on"
