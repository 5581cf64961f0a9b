"""The demo's own judgement: which days go wrong, what must come of it, and that a difference is never passed over.

What the demo shows with a real Airflow is its own test: `make demo ONCE=1`.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from demo.__main__ import USAGE, Demo, main
from demo.check import Outcome, problems_of
from demo.deliveries import LONDON, Days, Deliveries
from demo.expected import Heads, Live, Oracle
from demo.memory import Memory, Playing, load, save
from demo.play import said
from demo.record import Work, heads_of, newest_plan, work_since
from demo.screen import Screen
from demo.story import BEST_SELLERS, FIRST_RUN, PRICE_LIST, Chapter, chapters
from samples.unhappy import deliver
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import UsageError
from tidemark.running.run import prepare, run_plan

FIRST, LAST = date(2011, 5, 2), date(2011, 6, 30)
ALL_DAYS = [FIRST + timedelta(step) for step in range((LAST - FIRST).days + 1)]
DAYS = Days(
    as_of=datetime(2011, 7, 1, 6, tzinfo=LONDON),
    late=LAST,
    unsent=date(2011, 6, 22),
    corrected=date(2011, 6, 17),
    malformed=date(2011, 6, 28),
    again=date(2011, 6, 24),
)
ASSETS = ["order_lines", "product_days", "product_features", "daily_revenue", "base_prices", "price_list"]


def at(*days: str) -> set[date]:
    """Days of 2011 by month and day."""
    return {date.fromisoformat(f"2011-{day}") for day in days}


def heads(version: str = "1", **changed: dict[date, Live]) -> Heads:
    """Everything live on every day, under one version but for what is given."""
    names = ["orders", "fx_rates", *ASSETS]
    return {name: {day: Live(version) for day in ALL_DAYS} | changed.get(name, {}) for name in names}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of simulated deliveries."""
    folder = tmp_path_factory.mktemp("sent")
    Deliveries(folder).make(None)
    return folder / "deliveries"


@pytest.fixture
def deliveries(tmp_path: Path, sent: Path) -> Deliveries:
    """The demo's deliveries, before the story."""
    made = Deliveries(tmp_path / "demo")
    made.make(sent)
    made.open_landing(DAYS)
    return made


def story(deliveries: Deliveries) -> list[Chapter]:
    """The chapters; what a person does in them is left out."""
    nothing = lambda *_: None  # noqa: E731
    return list(chapters(deliveries, DAYS, declare_absent=nothing, copy_second_dag=nothing, gone=frozenset()))


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.csv")}


class TestDeliveries:
    def test_days_of_the_sample(self, deliveries: Deliveries) -> None:
        """The sample's unhappy days are recent and different days, and now is the morning after its end."""
        assert Days.choose(deliveries.days("orders"), deliveries.days("fx_rates")) == DAYS

    def test_too_few(self) -> None:
        """A folder with too few recent deliveries is refused with how many it needs."""
        with pytest.raises(
            UsageError, match=r"hold 3 files of orders and 3 of rates: the story needs at least 12 and 8"
        ):
            Days.choose(ALL_DAYS[:3], ALL_DAYS[:3])

    def test_given_folder_is_only_read(self, deliveries: Deliveries, sent: Path) -> None:
        """Playing the whole story changes nothing in the folder that was given."""
        before = content(sent)
        for chapter in story(deliveries):
            chapter.deed()
        assert content(sent) == before

    def test_all_is_right_in_the_end(self, deliveries: Deliveries) -> None:
        """Three files are not as meant before the story, and none after it."""
        meant, landed = content(deliveries.sent), content(deliveries.landing)
        assert len(meant) - len(landed) == 2
        assert [name for name in landed if landed[name] != meant[name]] == [f"orders/{DAYS.corrected}.csv"]
        for chapter in story(deliveries):
            chapter.deed()
        assert content(deliveries.landing) == meant

    def test_names_that_are_no_days(self, deliveries: Deliveries) -> None:
        """Files that are not named after a day are not taken for deliveries."""
        count = len(deliveries.days("orders"))
        for name in ("readme.csv", "20110630.csv", "2011-6-1.csv"):
            (deliveries.sent / "orders" / name).write_text("")
        assert len(deliveries.days("orders")) == count


class TestOracle:
    """What must run, and what must be provisional."""

    oracle = Oracle(FIRST, LAST)

    def test_everything_at_first(self) -> None:
        """With nothing before, whatever can be computed has to run."""
        runs = self.oracle.runs({}, heads(), ASSETS)
        assert {name: len(days) for name, days in runs.items()} == dict.fromkeys(ASSETS, 60)

    def test_nothing_when_nothing_changed(self) -> None:
        """Where nothing that is read changed, nothing has to run."""
        assert self.oracle.runs(heads(), heads(), [*ASSETS, "best_sellers"]) == {"best_sellers": set(ALL_DAYS)}

    def test_rates(self) -> None:
        """Rates concern their day, and the days after it that have none of their own."""
        before, after = heads(), heads()
        for each in (before, after):
            del each["fx_rates"][date(2011, 6, 25)], each["fx_rates"][date(2011, 6, 26)]
        after["fx_rates"][date(2011, 6, 24)] = Live("2")  # type: ignore[index]
        days = at("06-24", "06-25", "06-26")
        assert self.oracle.runs(before, after, ASSETS) == {"daily_revenue": days, "price_list": days}

    def test_rates_too_old(self) -> None:
        """Without rates for over a week nothing that needs them can be computed."""
        lacking = heads()
        for day in ALL_DAYS[-10:]:
            del lacking["fx_rates"][day]  # type: ignore[attr-defined]
        assert LAST not in self.oracle.runs({}, lacking, ASSETS)["price_list"]

    def test_window(self) -> None:
        """A day of products concerns the 28 days from it on."""
        day = date(2011, 5, 10)
        after = heads(product_days={day: Live("2")})
        found = self.oracle.runs(heads(), after, ASSETS)
        assert found == {"product_features": {day + timedelta(step) for step in range(28)}}

    def test_early_cutoff(self) -> None:
        """What came out equal concerns nobody; what came out different concerns the next day too."""
        after = heads(base_prices={date(2011, 6, 20): Live("2")})
        assert self.oracle.runs(heads(), after, ASSETS) == {
            "base_prices": at("06-21"),
            "price_list": at("06-20"),
        }

    @pytest.mark.parametrize(("day", "runs"), [(date(2011, 5, 26), False), (date(2011, 5, 27), True)])
    def test_closed(self, day: date, *, runs: bool) -> None:
        """Base prices whose day ended more than 35 days ago are left alone."""
        after = heads(product_features={day: Live("2")})
        assert ("base_prices" in self.oracle.runs(heads(), after, ASSETS)) is runs

    def test_marks_of_orders(self) -> None:
        """Orders that lack are missing from their day, from 28 days of features, and from all prices after them."""
        day = date(2011, 5, 30)
        marks = self.oracle.marks(heads(), {("orders", day)})
        later = {each for each in ALL_DAYS if each >= day}
        assert {name: set(days) for name, days in marks.items()} == {
            "order_lines": {day},
            "product_days": {day},
            "product_features": {each for each in later if each < day + timedelta(28)},
            "daily_revenue": {day},
            "base_prices": later,
            "price_list": later,
        }

    def test_marks_of_rates(self) -> None:
        """Rates that lack are missing until there are others, and from what is live only."""
        lacking = heads()
        for day in at("06-22", "06-23"):
            del lacking["fx_rates"][day]  # type: ignore[attr-defined]
        del lacking["daily_revenue"][date(2011, 6, 23)]  # type: ignore[attr-defined]
        marks = self.oracle.marks(lacking, {("fx_rates", date(2011, 6, 22))})
        assert {name: set(days) for name, days in marks.items()} == {
            "daily_revenue": at("06-22"),
            "price_list": at("06-22", "06-23"),
        }

    def test_mark_does_not_leave_what_is_closed(self) -> None:
        """What a closed day lacks counts as final for the day after it."""
        long_ago = FIRST - timedelta(12)
        marks = self.oracle.marks(heads(), {("orders", long_ago)})
        assert max(marks["base_prices"]) == max(marks["product_features"]) == long_ago + timedelta(27)


CHAPTER = Chapter("late rate", "rates arrive", lambda: None, "why", {"fx_rates": {LAST}}, frozenset())
AFTER = heads(fx_rates={LAST: Live("2")}, daily_revenue={LAST: Live("2")}, price_list={LAST: Live("2")})
RAN = Outcome(
    before=heads(),
    after=AFTER,
    work=Work({"computed": {"daily_revenue": {LAST}, "price_list": {LAST}}}),
    state="success",
    tasks={"plan", "daily_revenue", "price_list", "verdict"},
    failed=set(),
    mails=[],
)


def judged(chapter: Chapter = CHAPTER, **changed: object) -> list[str]:
    """What is wrong with an outcome that is right but for what is given."""
    return problems_of(chapter, replace(RAN, **changed), Oracle(FIRST, LAST), ASSETS)  # type: ignore[arg-type]


class TestCheck:
    """What came of a chapter is held against what had to, exactly."""

    def test_as_expected(self) -> None:
        """An outcome that is right is right."""
        assert judged() == []

    def test_one_too_many(self) -> None:
        """One partition that ran for nothing is named."""
        work = Work({"computed": {"daily_revenue": {LAST}, "price_list": {LAST, date(2011, 6, 29)}}})
        assert judged(work=work) == ["price_list: ran though it should not have: 2011-06-29"]

    def test_one_too_few(self) -> None:
        """One partition that did not run is named."""
        assert judged(work=Work({"computed": {"daily_revenue": {LAST}}}), tasks=None) == [
            "price_list: should have, and was not: ran: 2011-06-30"
        ]

    @pytest.mark.parametrize("result", ["restored", "failed", "blocked", "waiting", None])
    def test_other_results(self, result: str | None) -> None:
        """Whatever else became of a partition is told, that no worker reached it too."""
        results = {**RAN.work.results, result: {"base_prices": {LAST}}}
        assert any("base_prices" in each and "2011-06-30" in each for each in judged(work=Work(results)))

    def test_unchanged_is_fine(self) -> None:
        """A partition that a worker looked at and left is no problem."""
        results = {**RAN.work.results, "unchanged": {"price_list": {date(2011, 6, 29)}}}
        assert judged(work=Work(results)) == []

    def test_content(self) -> None:
        """A delivery that was not taken, or should not have been, is named."""
        assert judged(replace(CHAPTER, arrives={})) == [
            "fx_rates: content accepted though it should not have: 2011-06-30"
        ]

    def test_marks(self) -> None:
        """A mark that is there and should not be, and the other way round, is named with what it is for."""
        lacks = frozenset({("fx_rates", LAST)})
        marked = {**AFTER, "price_list": {**AFTER["price_list"], LAST: Live("2", lacks)}}
        assert judged(after=marked) == [
            "price_list 2011-06-30 is provisional for fx_rates 2011-06-30, expected nothing"
        ]
        assert judged(replace(CHAPTER, lacking=frozenset({("orders", LAST)})))

    @pytest.mark.parametrize(
        ("what", "says"),
        [
            ({"state": "failed"}, "the run ended as failed, expected success"),
            (
                {"failed": {"price_list"}},
                "the run ended as success, expected success; failed tasks: price_list, not none",
            ),
            ({"mails": ["alas"]}, "1 mails came, expected 0"),
            ({"tasks": ["plan", "daily_revenue", "price_list"]}, "workers were started for"),
            ({"tasks": ["plan", "daily_revenue", "price_list", "base_prices", "verdict"]}, "workers were started for"),
        ],
    )
    def test_run(self, what: dict[str, Any], says: str) -> None:
        """How the run ended, the mails, and the workers that were started are held against what had to be."""
        (problem,) = judged(**what)
        assert problem.startswith(says)

    def test_red_for_another_reason(self) -> None:
        """A run that had to fail must fail in its verdict, with a mail that names what was rejected."""
        red = replace(CHAPTER, red=True, mails=("CRITICAL: orders 2011-06-28: ",))
        told: dict[str, Any] = {
            "state": "failed",
            "failed": {"verdict"},
            "mails": ["CRITICAL: orders 2011-06-28: cannot be read"],
        }
        assert judged(red, **told) == []
        assert judged(red, **{**told, "failed": {"plan", "verdict"}})
        assert judged(red, **{**told, "mails": ["no plan"]}) == ["no mail begins with 'CRITICAL: orders 2011-06-28: '"]
        assert judged(red, **{**told, "mails": []}) == ["0 mails came, expected 1"]

    def test_nothing_to_do_starts_one_worker(self) -> None:
        """Where nothing runs, the plan is the only task that a worker is started for."""
        same = heads()
        quiet = replace(CHAPTER, arrives={})
        assert judged(quiet, before=same, after=same, work=Work({}), tasks=["plan"]) == []
        assert judged(quiet, before=same, after=same, work=Work({}), tasks=["plan", "verdict"])


class TestStory:
    def test_order(self, deliveries: Deliveries) -> None:
        """The chapters come in the order in which people are told of them."""
        assert [chapter.name for chapter in story(deliveries)] == [
            FIRST_RUN, "nothing new", "late rate", "corrected file", "malformed file", "right file", "no delivery",
            "it came after all", "same file again", "second DAG",
        ]  # fmt: skip

    def test_second_dag(self, tmp_path: Path) -> None:
        """The second DAG's file has ten lines of text at most, and another name than the README's."""
        root = Path(__file__).parents[1]
        text = (root / "demo" / "best_sellers.txt").read_text()
        assert sum(bool(line) for line in text.splitlines()) <= 10
        assert f'pipeline("{BEST_SELLERS}"' not in (root / "README.md").read_text()
        (tmp_path / f"{BEST_SELLERS}.py").write_text(text)
        assert BEST_SELLERS in load_catalog(tmp_path).pipelines

    def test_one_line(self) -> None:
        """What came of a chapter is one line: what ran, how much did not, and why."""
        line = said(CHAPTER, RAN, ASSETS, 4.2)
        assert line == "rates arrive → ran: 1 daily_revenue, 1 price_list; 358 did not: why (4 s)"

    def test_one_line_of_nothing(self) -> None:
        """Where nothing ran, the line says so, and how many marks came or went."""
        lacks = {LAST: Live("1", frozenset({("orders", LAST)}))}
        outcome = replace(RAN, before=heads(price_list=lacks), after=heads(), work=Work({}))
        assert said(CHAPTER, outcome, ASSETS, 1) == (
            "rates arrive → nothing ran; 360 results stay: why; 1 no longer provisional (1 s)"
        )


class TestMemory:
    def test_remembers(self, tmp_path: Path) -> None:
        """What is remembered comes back as it was, the chapter that was being played too."""
        before = heads(price_list={LAST: Live("2", frozenset({("fx_rates", LAST)}))})
        memory = Memory("/there", DAYS, {FIRST_RUN: "well"}, [FIRST_RUN], Playing("late rate", 3, 1, before))
        save(tmp_path / "story.json", memory)
        assert load(tmp_path / "story.json") == memory

    def test_knows_nothing_at_first(self, tmp_path: Path) -> None:
        """There is nothing to remember before the first start."""
        assert load(tmp_path / "story.json") is None


class TestCommandLine:
    @pytest.mark.parametrize(
        ("made", "says"),
        [
            ([], "there is no such folder"),
            (["orders"], "there is no folder fx_rates/ in it; it needs orders/ and fx_rates/"),
            (["fx_rates"], "there is no folder orders/ in it; it needs orders/ and fx_rates/"),
            (["orders", "fx_rates"], "orders/ holds no file named like 2011-06-30.csv"),
        ],
    )
    def test_wrong_landing(
        self, made: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A LANDING that is none gets one sentence and the exit code of usage, and nothing is started."""
        given = tmp_path / "given"
        for name in made:
            (given / name).mkdir(parents=True)
        assert main(["--landing", str(given), "--folder", str(tmp_path / "demo"), "--once"]) == USAGE
        assert capsys.readouterr().out == f"LANDING={given}: {says}\n"
        assert not (tmp_path / "demo" / "airflow").exists()

    def test_other_landing(self, tmp_path: Path) -> None:
        """A demo that was made from other deliveries does not go on with these."""
        demo = tmp_path / "demo"
        demo.mkdir()
        save(demo / "story.json", Memory("", DAYS))
        with pytest.raises(UsageError, match=r"was made from simulated deliveries: run make clean-demo first"):
            Demo(demo, Screen(Console(file=io.StringIO()))).run(tmp_path, once=True)


def test_screen_keeps_a_line_a_line() -> None:
    """However long it is and whatever is in it, what is said in one line is one line, without markup."""
    out = io.StringIO()
    Screen(Console(file=out, width=40)).well("late rate", "[red]" + "x" * 200)
    assert re.fullmatch(r"✔ late rate  \[red\]x{200}\n", out.getvalue())


def test_pipeline_is_the_one_that_the_oracle_knows() -> None:
    """The oracle knows every asset of the price list."""
    pipeline = load_catalog(Path(__file__).parents[1] / "dags").pipeline(PRICE_LIST)
    assert sorted(each.name for each in pipeline.assets) == sorted(ASSETS)


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[Deployment, Pipeline]]:
    """A pipeline of three days whose first run was stopped before any worker began."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "shop.py").write_text(
        "from tidemark import Daily, asset, pipeline, source\n"
        'orders = source("orders", files="orders/{partition}.csv", partitions=Daily())\n'
        "@asset(partitions=Daily())\n"
        "def lines(orders: str) -> str:\n"
        "    return orders.upper()\n"
        'dag = pipeline("shop", [orders, lines])\n'
    )
    for day in (1, 2, 3):
        deliver(tmp_path / "landing" / "orders" / f"2011-06-0{day}.csv", b"a,b\n1,2\n")
    given = settings({"TIDEMARK_HOME": str(tmp_path / "home"), "TIDEMARK_LANDING_URL": str(tmp_path / "landing")})
    with open_deployment(given) as deployment:
        pipeline = load_catalog(tmp_path / "dags").pipeline("shop")
        prepare(deployment, pipeline, as_of=DAYS.as_of, run="stopped", actor="test")
        yield deployment, pipeline


class TestRecord:
    days = at("06-01", "06-02", "06-03")

    def test_work_under_way(self, stopped: tuple[Deployment, Pipeline]) -> None:
        """What no worker has reached is planned and not done."""
        work = work_since(stopped[0], 0)
        assert work.came_to_nothing() == {"lines": self.days}
        assert (work.done, work.planned) == (0, 3)

    def test_work_of_two_runs(self, stopped: tuple[Deployment, Pipeline]) -> None:
        """What a run that was stopped left undone counts as what the next one made of it."""
        deployment, pipeline = stopped
        prepared = prepare(deployment, pipeline, as_of=DAYS.as_of, run="next", actor="test")
        run_plan(deployment, pipeline, prepared, run="next", actor="test")
        work = work_since(deployment, 0)
        assert work.came_to("computed") == {"lines": self.days}
        assert not work.came_to_nothing()
        assert (work.done, work.planned) == (3, 3)
        assert not work_since(deployment, newest_plan(deployment)).results
        live = heads_of(deployment, [pipeline])
        assert set(live["lines"]) == set(live["orders"]) == self.days
