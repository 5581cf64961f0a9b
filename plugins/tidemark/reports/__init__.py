"""Reports: figures that an asset holds, and what the ledger says of them when they are shown, as a mail or a page.

``standing`` is what the ledger says, and ``told`` says it in sentences; ``wording`` puts numbers into words. ``texts``,
``pages`` and ``charts`` make text, HTML and pictures of all that, ``rendering`` puts them together, and ``mailing``
makes the mail. ``announcing`` puts what is new of a report into the outbox.

Invariants: nothing here is stored, and nothing changes a figure. Whatever a figure or the ledger says is text: it can
neither write the page nor a header of the mail.
"""

from tidemark.reports.announcing import announce
from tidemark.reports.mailing import as_mail
from tidemark.reports.rendering import Report, days_of, render, reports
from tidemark.reports.standing import Standing

__all__ = ["Report", "Standing", "announce", "as_mail", "days_of", "render", "reports"]
