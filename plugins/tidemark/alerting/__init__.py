"""Alerting: how people come to know of incidents, of news that they have subscribed to, and of reports.

``config`` reads who is told what; ``routes`` says who that is; ``messages`` words it; ``channels`` are the ways out,
``apprising`` and ``webhook`` two of them; ``draining`` brings what the outbox of notices holds to them, at least once.
Airflow's way out, e-mail, is handed in by those who know Airflow.
"""

from tidemark.alerting.channels import Channel, Undelivered
from tidemark.alerting.config import Alerting, load_alerting
from tidemark.alerting.draining import Drained, drain
from tidemark.alerting.messages import Message

__all__ = ["Alerting", "Channel", "Drained", "Message", "Undelivered", "drain", "load_alerting"]
