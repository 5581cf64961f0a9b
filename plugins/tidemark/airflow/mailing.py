"""E-mail, through Airflow's connection ``smtp_default``."""

from tidemark.alerting import Alerting
from tidemark.config import Settings


def open_alerting(given: Settings) -> Alerting:
    """Return who is told what, and how, with e-mail through Airflow's connection ``smtp_default``.

    Raises:
        UsageError: see :func:`tidemark.alerting.load_alerting`.

    """
    raise NotImplementedError
