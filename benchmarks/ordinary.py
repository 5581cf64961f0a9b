"""The same graph as an ordinary Airflow DAG: one mapped task instance a partition, each reading and writing files."""

from pathlib import Path

from benchmarks import graph

_HEAD = '''"""The benchmark's graph, a task instance for each partition."""

from pathlib import Path

from airflow.sdk import dag, task

LANDING, RESULTS = Path({landing!r}), Path({results!r})
DAYS = {days!r}
'''

_READ = """

def read(name: str, day: str) -> str:
    file = LANDING / name / f"{day}.txt" if name.startswith("src") else RESULTS / name / day
    return file.read_text()


def write(name: str, day: str, text: str) -> None:
    file = RESULTS / name / day
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
"""

_DAG = """

@dag(schedule=None)
def ordinary():
    steps = {{}}
{steps}

ordinary()
"""

_STEP = """
    @task(task_id="{name}")
    def {name}(day: str) -> None:
        write("{name}", day, summed({arguments}))

    steps["{name}"] = {name}.expand(day=DAYS)
    {upstream}
"""


def write_dag(file: Path, *, landing: Path, results: Path, count: int) -> None:
    """Write the DAG's file for the first days of a landing zone; its results go to a folder."""
    text = _HEAD.format(landing=str(landing), results=str(results), days=graph.days(count)) + graph.SUMMED + _READ
    steps = ""
    for name, reads in {**graph.READS, "d1": ["d0"]}.items():
        arguments = ", ".join(f'read("{read}", day)' for read in reads)
        if name == "d1":
            arguments = '*(read("d0", each) for each in DAYS[max(0, DAYS.index(day) - 6) : DAYS.index(day) + 1])'
        inner = ", ".join(f'steps["{read}"]' for read in reads if read in graph.STEPS)
        upstream = f'[{inner}] >> steps["{name}"]' if inner else ""
        steps += _STEP.format(name=name, arguments=arguments, upstream=upstream)
    file.write_text(text + _DAG.format(steps=steps))


def check(results: Path, landing: Path, count: int) -> None:
    """Compare what a run has written with a rebuild in memory.

    Raises:
        SystemExit: something is missing or wrong.

    """
    wanted = graph.expected(landing, count)
    for step in graph.STEPS:
        for day in graph.days(count):
            if graph.parsed((results / step / day).read_text()) != wanted[step, day]:
                raise SystemExit(f"the ordinary DAG's {step} {day} is wrong")
