"""The watch: a small process beside the scheduler that sees what tasks cannot say: that they never ran.

``options`` say how it watches; ``checks`` what a check is, and what comes of it; ``lateness``, ``candidates``,
``deadlines``, ``places``, ``backups`` and ``disks`` are checks of what the ledger and this machine tell (those of
Airflow are where Airflow is known); ``standing`` sees to it that one of several watches acts; ``outage`` tells of a
ledger that is out of reach, ``switch`` tells an outside dead man's switch that all is well; ``loop`` lets none of them
stop the others.
"""
