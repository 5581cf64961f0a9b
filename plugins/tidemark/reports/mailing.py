"""A report as a mail: plain text, and HTML with its pictures in it."""

from email.message import EmailMessage
from email.policy import SMTP

from tidemark.reports.rendering import Report

# A subject that is folded after its first word begins with a space for some; and not every server takes eight bits.
_POLICY = SMTP.clone(max_line_length=500, cte_type="7bit")


def as_mail(report: Report) -> EmailMessage:
    """Return a report as a mail: text as the alternative to HTML, which has the pictures beside it.

    From whom and to whom it goes is for whoever sends it.
    """
    mail = EmailMessage(policy=_POLICY)
    mail["Subject"] = report.subject
    mail.set_content(report.text)
    mail.add_alternative(report.html, subtype="html")
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)
    for number, each in enumerate(report.pictures, 1):
        html.add_related(
            each.png, "image", "png", cid=f"<{each.cid}>", filename=f"chart-{number}.png", disposition="inline"
        )
    return mail
