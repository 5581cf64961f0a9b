"""What to do first about each cause class, for who was woken and has not met it before; the runbook says the rest."""

from tidemark.incidents.classes import CauseClass

_FIRST = {
    CauseClass.GATE_FAILED: (
        "Look at the rows at fault. If the data are wrong, have them corrected: a new file is picked up by itself. "
        "If the rule is wrong, change the suite: what was stopped is then judged again."
    ),
    CauseClass.SOURCE_LATE: (
        "Ask whoever delivers it. When it comes, what depends on it is repaired by itself; if it will never come, "
        "declare it absent: tidemark absent {asset} {partition} --why ..."
    ),
    CauseClass.SOURCE_MALFORMED: (
        "Have whoever delivers it send a file that can be read; it is picked up by itself, and the last good delivery "
        "is used until then."
    ),
    CauseClass.ASSET_FAILED: (
        "Read the exception in the log. If the code is wrong, mend it: a changed function runs again by itself. "
        "tidemark explain {asset} {partition} says what went in."
    ),
    CauseClass.RUN_FAILED: (
        "Look at the log of the run. The next run does what this one did not; start it in the Airflow UI "
        "if its time is far off."
    ),
    CauseClass.DEADLINE_MISSED: "Look whether its run still works, waits for a delivery, or never began.",
    CauseClass.VALIDATION_FAILED: (
        "Nothing is urgent: the champion stays. Compare the candidate with it: tidemark model compare {asset}"
    ),
    CauseClass.APPROVAL_WAITING: "An approver decides in the Airflow UI; until then the champion stays.",
    CauseClass.DRIFT: "Look whether the world has changed or a delivery is wrong; a training starts by itself.",
    CauseClass.CHAMPION_SWAPPED: (
        "Find out who moved the alias in the model registry. The ledger decides what is served, and has not changed."
    ),
    CauseClass.UNREACHABLE: "Look whether it runs, and whether this machine may reach it; work goes on by itself then.",
    CauseClass.DISK_FILLING: "Make room, or add some, before it is full: nothing can be published then.",
    CauseClass.HEARTBEAT_MISSING: "Look whether the process runs, and start it again.",
    CauseClass.DAG_BROKEN: "Mend the file, or take back its last change: until then its pipeline does not run.",
    CauseClass.DAG_PAUSED: "Unpause it in the Airflow UI, or say that it rests: silence it, with a reason.",
}


def first_step(cause: str, asset: str, partition: str) -> str:
    """Return what to do first; the names of what is wrong are put into the commands."""
    return _FIRST[CauseClass(cause)].format(asset=asset, partition=partition).replace("  ", " ")
