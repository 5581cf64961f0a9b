"""The ledger: the SQL database that remembers what was computed, from what, and what is live.

One file a topic; each function takes a connection of :meth:`Ledger.read` or :meth:`Ledger.write` and does one thing, so
that a caller decides what belongs into one transaction.
"""

from tidemark.ledger.database import Ledger

__all__ = ["Ledger"]
