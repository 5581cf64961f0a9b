"""Data Docs: Great Expectations' own pages about a check, as files that need nothing from the network.

Invariants: a page is written whole or not at all; there are no more of them than checks that did not pass and suites,
for of the checks that passed only the newest of each suite has a page; nothing in a page is fetched from elsewhere;
nothing that came with the data is markup in it (the library puts values into its tables as they are).

Layout: ``index.html``, and for each suite ``SUITE/rules.html`` (what it demands), ``SUITE/passed.html`` (the newest
check that passed) and ``SUITE/LABEL.OUTCOME.html`` (each check that was flagged or blocked).
"""

import hashlib
import html
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemark.errors import MASK, Unavailable
from tidemark.evaluation import Verdict
from tidemark.findings import plain, words
from tidemark.suites import Rule, Suite

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

_PASSED = "passed"
_RULES = "rules.html"
_SHOWN = 20
_REMOTE = re.compile(r"<link\b[^>]*https?://[^>]*>|<script\b[^>]*https?://[^>]*>\s*</script>")


@dataclass(frozen=True)
class Check:
    """A check, as its page shows it.

    Attributes:
        suite: the suite.
        label: what people call the check.
        outcome: passed, flagged or blocked.
        verdicts: one for each rule of the suite.
        messages: what the failed ones say, by their position.
        pii: columns that must not be shown.

    """

    suite: Suite
    label: str
    outcome: str
    verdicts: Sequence[Verdict]
    messages: Mapping[int, str]
    pii: frozenset[str]


class DataDocs:
    """The folder of pages; several processes may write into one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, check: Check) -> str:
        """Write the page of a check; return its path within the folder."""
        name = _PASSED if check.outcome == _PASSED else f"{_slug(check.label)}.{check.outcome}"
        page = f"{check.suite.name}/{name}.html"
        self._save(page, self._page_of(check))
        return page

    def write_rules(self, suite: Suite) -> None:
        """Write the page that says what a suite demands."""
        from great_expectations.core.expectation_suite import ExpectationSuite
        from great_expectations.render.renderer.page_renderer import ExpectationSuitePageRenderer

        renderer: Any = ExpectationSuitePageRenderer()
        rules = [_configuration(rule, _demand(rule)) for rule in suite.rules]
        self._save(f"{suite.name}/{_RULES}", self._html(renderer.render(ExpectationSuite(suite.name, rules))))

    def write_index(self) -> None:
        """Write the page that leads to the others, from what is in the folder."""
        suites = sorted(each for each in self._folder.iterdir() if each.is_dir()) if self._folder.is_dir() else []
        self._save("index.html", _INDEX.replace("ROWS", "".join(map(_index_row, suites))))

    def _page_of(self, check: Check) -> str:
        from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

        title, good = f"{check.label}: {check.outcome}", sum(verdict.passed for verdict in check.verdicts)
        statistics = {
            "evaluated_expectations": len(check.verdicts),
            "successful_expectations": good,
            "unsuccessful_expectations": len(check.verdicts) - good,
            "success_percent": 100 * good / len(check.verdicts),
        }
        document: Any = ValidationResultsPageRenderer(run_info_at_end=True).render(
            ExpectationSuiteValidationResult(
                success=good == len(check.verdicts),
                suite_name=check.suite.name,
                results=[_result(check, at) for at in range(len(check.verdicts))],
                statistics=statistics,
                meta={
                    "great_expectations_version": version("great-expectations"),
                    "run_id": RunIdentifier(run_name=_escaped(title), run_time=datetime.now(UTC)),
                    "batch_spec": {"data_asset_name": check.label},  # which the library escapes
                },
            )
        )
        document.page_title = title
        return re.sub(r'href="[./]*/expectations/[^"]*"', f'href="{_RULES}"', self._html(document))

    def _html(self, document: object) -> str:
        return str(self._view.render(document, show_how_to_buttons=False))

    @cached_property
    def _view(self) -> Any:
        """The library's page view, its templates freed of what they would fetch and of what needs that."""
        from great_expectations.render.view.view import DefaultJinjaPageView
        from jinja2 import ChoiceLoader, DictLoader, FunctionLoader

        view: Any = DefaultJinjaPageView()
        packaged = view.env.loader
        offline = FunctionLoader(lambda name: _REMOTE.sub("", packaged.get_source(view.env, name)[0]))
        view.env.loader = ChoiceLoader([DictLoader(_TEMPLATES), offline])
        return view

    def _save(self, page: str, text: str) -> None:
        path = self._folder / page
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as draft:
                try:
                    draft.write(text)
                    draft.close()
                    Path(draft.name).chmod(0o644)
                    Path(draft.name).replace(path)
                except BaseException:
                    Path(draft.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise Unavailable(f"Data Docs cannot be written to {path}: {error.strerror or error}") from error


def _slug(label: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip(".-")[:120]
    # What had to be changed by more than its blanks could be taken for another label.
    known = slug == label.replace(" ", "-")
    return slug if known else f"{slug}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def _result(check: Check, at: int) -> "ExpectationValidationResult":
    """Make the library's result of a verdict, as its renderer may have it: bounded, masked, its texts no markup."""
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    verdict, rule = check.verdicts[at], check.verdicts[at].rule
    # Neither values nor exceptions: the message tells them, bounded and masked.
    details = {key: _harmless(verdict.details[key]) for key in _STATISTICS if key in verdict.details}
    if "observed_value" in details and rule.touches(check.pii):
        details["observed_value"] = MASK
    finding = f'<br><strong class="text-danger">{_escaped(check.messages[at])}</strong>' if at in check.messages else ""
    config = _configuration(rule, _demand(rule) + finding)
    return ExpectationValidationResult(success=verdict.passed, expectation_config=config, result=details)


def _demand(rule: Rule) -> str:
    return f'<span class="badge {rule.severity}">{rule.severity}</span> {_escaped(words(rule))}'


def _configuration(rule: Rule, description: str) -> "ExpectationConfiguration":
    """Make the library's form of a rule; the description stands in a page as it is."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(type=rule.type, kwargs=dict(rule.kwargs), description=description)


_STATISTICS = ("missing_count", "missing_percent", "unexpected_percent", "observed_value")


def _harmless(value: object) -> Any:
    """Make a value one that can stand in a page: bounded, and no text in it markup."""
    readable = plain(value)
    if isinstance(readable, list):
        return [_harmless(item) for item in readable[:_SHOWN]]
    return _escaped(str(readable)) if isinstance(readable, (str, dict)) else readable


def _escaped(text: str) -> str:
    """Make a text harmless as markup, and as a template of the library's, in which ``$`` begins a name."""
    return html.escape(text).replace("$", "&#36;")


def _index_row(folder: Path) -> str:
    pages = sorted(
        ((each.stat().st_mtime, each) for each in folder.glob("*.html") if each.name != _RULES), reverse=True
    )
    links = [_link(folder.name, page, moment) for moment, page in pages]
    troubles = [link for link, (_, page) in zip(links, pages, strict=True) if page.stem != _PASSED]
    name = html.escape(folder.name)
    shown = "<br>".join(troubles[:_SHOWN]) or "none"
    more = f"<br>and {len(troubles) - _SHOWN} older" if len(troubles) > _SHOWN else ""
    newest = links[0] if links else "none"
    return f'<tr><td><a href="{name}/{_RULES}">{name}</a></td><td>{newest}</td><td>{shown}{more}</td></tr>'


def _link(suite: str, page: Path, moment: float) -> str:
    label, _, outcome = page.stem.rpartition(".")
    at = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    href, title = html.escape(f"{suite}/{page.name}"), html.escape(label or "newest")
    return f'<a class="{outcome}" href="{href}">{title}</a> {outcome} <small>{at}</small>'


# The few classes of Bootstrap and Font Awesome that the templates use; both would come from the network.
_STYLE = """
*, *::before { box-sizing: border-box }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: #212529; background: #fff }
a { color: #0b5ed7; text-decoration: none } a:hover { text-decoration: underline }
h4, h5, h6, .h6 { font-size: 1rem; font-weight: 600; margin: 0 0 .4rem } h4 { font-size: 1.15rem }
.lead { color: #6c757d; margin: 0 0 1rem } small { color: #6c757d }
.navbar.sticky-top, .navbar.top { position: sticky; top: 0; z-index: 2; padding: .7rem 1.5rem; background: #f8f9fa;
  border-bottom: 1px solid #dee2e6 }
.container-fluid { padding: 1rem 1.5rem } .container-fluid .container-fluid { padding: 0 }
.container-fluid > .row { display: flex; flex-wrap: wrap; gap: 1.5rem }
.col-lg-2 { flex: 0 0 13rem } .col-lg-10 { flex: 1 1 30rem; min-width: 0 }
.ge-section > .row { display: block } .ge-section { margin-bottom: 1rem; padding-bottom: .5rem }
.card { border: 1px solid #dee2e6; border-radius: 6px; margin-bottom: 1rem; overflow: hidden }
.card-header { padding: .4rem .7rem; background: #f1f3f5 } .card-body { padding: .4rem .7rem }
.nav { list-style: none; margin: 0; padding: 0 }
.nav-link { display: block; padding: .1rem 0; word-break: normal !important }
.alert { padding: .6rem .9rem; border-radius: 6px; background: #f1f3f5; margin-bottom: .6rem }
.table { border-collapse: collapse; width: 100% } .table th { text-align: left; background: #f8f9fa }
.table th, .table td { padding: .35rem .6rem; border: 1px solid #dee2e6; vertical-align: top }
.table-sm { width: auto } thead[hidden] { display: none }
.badge { padding: 0 .35rem; border-radius: 4px; background: #e9ecef; color: #495057; font-family: monospace }
.fas::before { font-weight: 700; font-style: normal } .fa-check-circle::before { content: "\\2714"; color: #198754 }
.fa-times::before { content: "\\2718"; color: #dc3545 } .fa-exclamation-triangle::before { content: "\\26A0" }
.text-danger, .blocked { color: #b02a37 } .flagged { color: #997404 }
.failed-only tr:has(.hide-succeeded-validation-target-child),
.failed-only .ge-section:has(.hide-succeeded-validations-column-section-target-child) { display: none }
"""
_TEMPLATES = {
    "data_docs_default_styles.css": "",
    "data_docs_custom_styles.css": _STYLE,
    "favicon.j2": "",
    "cloud-footer.j2": "",
    "js_script_imports.j2": "",
    "top_navbar.j2": '<nav class="navbar top"><a href="../index.html">Data Docs</a> / {{ page_title | e }}</nav>',
    "page_action_card.j2": (
        '<div class="card"><div class="card-header"><label><input type="checkbox" '
        "onchange=\"document.body.classList.toggle('failed-only', this.checked)\"> Failed only</label></div></div>"
    ),
}
_INDEX = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Data Docs</title><style>{_STYLE}</style></head>
<body><nav class="navbar top">Data Docs: what the gates found</nav><div class="container-fluid"><table class="table">
<thead><tr><th>Suite</th><th>Newest check</th><th>Flagged and blocked, newest first</th></tr></thead>
<tbody>ROWS</tbody></table></div></body></html>
"""
