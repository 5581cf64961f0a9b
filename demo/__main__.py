"""``make demo``: a real Airflow, two months of deliveries, and everything that can go wrong with them.

Invariants: everything is made in one folder, and a second start goes on where the first stopped. The folder of real
deliveries that a person names is only read. Nothing that it started is left running, however it ends.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from demo.deliveries import SAMPLE_DAYS, Days, Deliveries, check_folder
from demo.expected import Delivery, Oracle
from demo.memory import Memory, load, save
from demo.play import Stage
from demo.screen import Screen
from demo.services import ROOT, Services, ServicesError
from demo.story import BEST_SELLERS, PRICE_LIST, chapters
from demo.today import price_rows, wrong_prices
from demo.watch import Watch, WatchError
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import open_deployment
from tidemark.errors import TidemarkError, UsageError

SERVICES = ["mail", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer", "watch"]
WELL, NOT_AS_EXPECTED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code: 0 if everything was as expected."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Play Tidemark's story with a real Airflow.")
    parser.add_argument("--landing", type=Path, metavar="PATH", help="a folder of real deliveries; it is only read")
    parser.add_argument("--once", action="store_true", help="end by itself, and fail if anything was not as expected")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where all of it is kept (default: .demo)")
    given = parser.parse_args(arguments)
    screen = Screen()
    try:
        return Demo(given.folder.resolve(), screen).run(given.landing, once=given.once)
    except UsageError as problem:
        screen.error(str(problem))
        return USAGE
    except (ServicesError, WatchError, TidemarkError) as problem:
        screen.error(str(problem))
        return NOT_AS_EXPECTED
    except KeyboardInterrupt:
        screen.say("Stopped in the middle of the story: make demo goes on with it, make clean-demo removes it.")
        return INTERRUPTED


class Demo:
    """One start of the demo.

    Args:
        folder: where all of it is kept.
        screen: the terminal.

    """

    def __init__(self, folder: Path, screen: Screen) -> None:
        self._folder = folder
        self._screen = screen
        self._dags = folder / "dags"
        self._deliveries = Deliveries(folder)
        self._memory_file = folder / "story.json"

    def run(self, landing: Path | None, *, once: bool) -> int:
        """Start everything, play what has not been played, show what came of it, and stay unless `once`."""
        began = datetime.now(UTC)
        memory = self._recalled(landing)
        goes_on = memory is not None and bool(memory.played)
        memory = memory or self._made(landing)
        variables = self._variables(memory.days)
        self._write_files(variables)
        # Definitions look for their suites as they are imported, here as in every service.
        for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
            del os.environ[name]
        os.environ.update(variables)
        with ExitStack() as stack:
            services = self._started(stack, variables)
            client = stack.enter_context(services.client())
            deployment = stack.enter_context(open_deployment(settings(variables)))
            stage = Stage(
                services=services,
                watch=Watch(services, client),
                deployment=deployment,
                memory=memory,
                remember=lambda: save(self._memory_file, memory),
                oracle=Oracle(self._deliveries.days("orders")[0], memory.days.last),
                screen=self._screen,
            )
            self._play(stage, began, goes_on=goes_on)
            self._show_today(stage)
            self._show_places(services)
            self._sum_up(stage, (datetime.now(UTC) - began).total_seconds())
            if not once:
                self._stay(services)
        return NOT_AS_EXPECTED if stage.problems else WELL

    # Before the story

    def _recalled(self, landing: Path | None) -> Memory | None:
        """Return what an earlier start remembered. Raises UsageError if it was made from other deliveries."""
        memory = load(self._memory_file)
        if memory is not None and landing is not None and memory.made_from != str(landing.resolve()):
            made_from = memory.made_from or "simulated deliveries"
            raise UsageError(f"The demo in {self._folder} was made from {made_from}: run make clean-demo first")
        return memory

    def _made(self, landing: Path | None) -> Memory:
        """Make the deliveries, and choose which days go wrong."""
        if landing:
            check_folder(landing)
        what = f"Copying the deliveries of {landing}" if landing else f"Simulating {SAMPLE_DAYS} days of deliveries"
        self._screen.say(f"{what} into {self._deliveries.landing} ...")
        self._deliveries.make(landing)
        days = Days.choose(self._deliveries.days("orders"), self._deliveries.days("fx_rates"))
        self._deliveries.open_landing(days)
        memory = Memory(str(landing.resolve()) if landing else "", days)
        save(self._memory_file, memory)
        return memory

    def _variables(self, days: Days) -> dict[str, str]:
        return {
            "TIDEMARK_HOME": str(self._folder / "tidemark"),
            "TIDEMARK_LANDING_URL": str(self._deliveries.landing),
            "TIDEMARK_DAGS": str(self._dags),
            "TIDEMARK_EXPECTATIONS": str(self._folder / "expectations"),
            "TIDEMARK_AS_OF": days.as_of.isoformat(),
            "TIDEMARK_MAIL_TO": "on-call@localhost",
            "TIDEMARK_SETTLE_SECONDS": "1",
            "TIDEMARK_APPROVERS": "operator,admin",
            # Nobody who tries the demo can be told from who wrote the model.
            "TIDEMARK_FOUR_EYES": "off",
            # Nobody wants to wait for the mails.
            "TIDEMARK_WATCH_SECONDS": "2",
        }

    def _write_files(self, variables: dict[str, str]) -> None:
        """Copy the DAG files and suites, and write down the settings with which a `tidemark` command meets the demo."""
        for name in ("dags", "expectations"):
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self._folder / name, dirs_exist_ok=True, ignore=unwanted)
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        (self._folder / "env").write_text("\n".join(lines) + "\n")

    def _started(self, stack: ExitStack, variables: dict[str, str]) -> Services:
        """Start the services, to be stopped with the stack."""
        states = dict.fromkeys(SERVICES, "")
        with self._screen.going_on("Starting") as tell:

            def report(name: str, state: str) -> None:
                states[name] = state
                ready = sum(states[each] == "ready" for each in SERVICES)
                tell(", ".join(each for each in SERVICES if states[each] != "ready"), ready, len(SERVICES))

            services = Services(self._folder, dags=self._dags, settings=variables, report=report)
            return stack.enter_context(services)

    # The story

    def _play(self, stage: Stage, began: datetime, *, goes_on: bool) -> None:
        days, played = stage.memory.days, stage.memory.played
        story = chapters(
            self._deliveries,
            days,
            declare_absent=lambda day: self._declare_absent(stage.services, day),
            copy_second_dag=self._copy_second_dag,
            gone=self._gone(days),
        )
        self._screen.title(f"The price list, as of {days.as_of:%A %d %B %Y, %H:%M} in London")
        stage.watch.end_leftovers(began)
        for chapter in story:
            if chapter.name in stage.memory.wrong:
                stage.problems += 1
                again = "something was not as expected when it was played: make clean-demo starts anew"
                self._screen.wrong(chapter.name, played[chapter.name], [again])
            elif chapter.name in played:
                self._screen.skipped(chapter.name, f"played before: {chapter.happens}")
            else:
                stage.play(chapter)
        if goes_on:
            stage.look_again()

    def _gone(self, days: Days) -> frozenset[Delivery]:
        """Return which deliveries the calendars expect and the sender never had."""
        gone = set()
        for source in load_catalog(self._dags).pipeline(PRICE_LIST).sources:
            sent = self._deliveries.days(source.name)
            span = (sent[0] + timedelta(step) for step in range((days.last - sent[0]).days + 1))
            assert source.expected is not None
            gone |= {(source.name, day) for day in span if day not in sent and source.expected.expects(day)}
        return frozenset(gone)

    def _declare_absent(self, services: Services, day: date) -> None:
        command = [
            str(Path(sys.executable).with_name("tidemark")),
            *("absent", "fx_rates", str(day), "--why", "the sender had a day off"),
        ]
        done = subprocess.run(command, env=services.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WatchError(f"{shlex.join(command)} failed: {done.stderr.strip()}")

    def _copy_second_dag(self) -> None:
        shutil.copyfile(Path(__file__).with_name("best_sellers.txt"), self._dags / f"{BEST_SELLERS}.py")

    # After the story

    def _show_today(self, stage: Stage) -> None:
        day = stage.memory.days.last
        wrong = wrong_prices(stage.deployment, self._deliveries, day)
        columns, rows, rest = price_rows(stage.deployment, day)
        self._screen.title(f"Today's price list, made from {day}")
        self._screen.table(columns, rows, numbers_from=2)
        self._screen.say(rest)
        if wrong:
            stage.problems += len(wrong)
            self._screen.wrong("prices", "they differ from what base prices and the file of rates give", wrong)

    def _show_places(self, services: Services) -> None:
        airflow, mlflow = services.urls["airflow"], services.urls["mlflow"]
        self._screen.title("Look around")
        places = [
            ("the price list's DAG", f"{airflow}/dags/{PRICE_LIST}"),
            ("its assets", f"{airflow}/assets"),
            ("MLflow", mlflow),
            ("landing zone", str(self._deliveries.landing)),
            ("DAG files", str(self._dags)),
            ("mails", str(self._folder / "mail")),
        ]
        self._screen.table(["where", ""], places, numbers_from=2)
        people = [[user.name, user.password, user.role] for user in services.users]
        self._screen.table(["user", "password", "role"], people, numbers_from=3)
        self._screen.say(f"The command: . {shlex.quote(str(self._folder / 'env'))}; .venv/bin/tidemark status")

    def _sum_up(self, stage: Stage, seconds: float) -> None:
        if stage.problems:
            self._screen.error(f"Not as expected: {stage.problems} (see ✘ above), after {seconds:.0f} s.")
        else:
            self._screen.say(f"Everything was as expected, after {seconds:.0f} s.")

    def _stay(self, services: Services) -> None:
        """Let people look around until Ctrl-C. Raises ServicesError if a service ends meanwhile."""
        self._screen.say("All of it stays up until Ctrl-C.")
        try:
            while True:
                services.check()
                time.sleep(1)
        except KeyboardInterrupt:
            self._screen.say("Stopping. make demo goes on from here; make clean-demo removes it.")


if __name__ == "__main__":
    sys.exit(main())
