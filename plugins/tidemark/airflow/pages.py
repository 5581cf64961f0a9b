"""The pages of reports in Airflow's UI.

Invariants: nobody sees anything who may not see assets and the DAG that makes the report; Airflow mounts the app of a
plugin as it is, and checks nothing. A page runs no script and fetches nothing. Only the ledger and the store are read:
no pipeline file is imported into Airflow's API server.
"""

from html import escape
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_asset, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import TidemarkError, Unavailable, UsageError
from tidemark.reports import days_of, render, reports
from tidemark.reports.pages import document, heading, link, sheet

_HEADERS = {
    # Styles stand in the HTML itself, and pictures too.
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # who signs out leaves nothing behind
}
_TITLES = {401: "Sign in first", 403: "Not for you", 404: "There is no such page", 503: "Try again in a moment"}


def app() -> FastAPI:
    """Return the app that serves the pages."""
    made = FastAPI(title="Tidemark reports", docs_url=None, redoc_url=None, openapi_url=None)
    made.middleware("http")(_with_headers)
    made.exception_handler(AnyHTTPException)(_problem)
    made.exception_handler(TidemarkError)(_trouble)
    may = [Depends(requires_access_asset(method="GET"))]
    made.get("/reports", dependencies=may, response_class=HTMLResponse)(_list_of_all)
    may = [*may, Depends(_check_sees)]
    made.get("/reports/{asset}", dependencies=may, response_class=HTMLResponse)(_list_of_one)
    made.get("/reports/{asset}/{partition}", dependencies=may, response_class=HTMLResponse)(_page)
    return made


async def _with_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    answer = await call_next(request)
    answer.headers.update(_HEADERS)
    return answer


def _said(request: Request, status: int, said: str, headers: dict[str, str] | None = None) -> HTMLResponse:
    title = _TITLES.get(status, "That did not work")
    back = _up(request) if status not in (401, 403) else ""
    page = document(title, sheet(f"{heading(title)}<p>{escape(said)}</p>{back}"))
    return HTMLResponse(page, status_code=status, headers=headers)


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, AnyHTTPException)
    return _said(request, problem.status_code, str(problem.detail), dict(problem.headers or {}))


async def _trouble(request: Request, problem: Exception) -> Response:
    """Say what is not there, or cannot be reached, as a page; what a ledger's address is stays in the log."""
    if isinstance(problem, UsageError):
        return _said(request, 404, str(problem))
    if isinstance(problem, Unavailable):
        return _said(request, 503, "The ledger or the store cannot be reached.")
    return _said(request, 500, "The log of Airflow's API server says why.")


def _sees(request: Request, user: GetUserDep, pipeline: str) -> bool:
    try:
        requires_access_dag("GET", param_dag_id=pipeline)(request, user)
    except HTTPException:
        return False
    return True


def _check_sees(request: Request, user: GetUserDep, asset: str) -> None:
    """Refuse who may not see the DAG of a report; what others there are is not suggested to him."""
    with open_deployment() as deployment:
        pipeline = reports(deployment).get(asset)
    if pipeline is None:
        raise HTTPException(404, "There is no such report: the list has all that you may see.")
    if not _sees(request, user, pipeline):
        raise HTTPException(403, "You may not see the DAG that makes this report.")


def _list_of_all(request: Request, user: GetUserDep) -> str:
    with open_deployment() as deployment:
        names = [name for name, pipeline in reports(deployment).items() if _sees(request, user, pipeline)]
        lists = "".join(_list(request, deployment, name) for name in names)
    return document("Reports", sheet(lists or f"{heading('Reports')}<p>No pipeline has made a report yet.</p>"))


def _list_of_one(request: Request, asset: str) -> str:
    with open_deployment() as deployment:
        return document(asset, sheet(_list(request, deployment, asset) + _up(request)))


def _list(request: Request, deployment: Deployment, asset: str) -> str:
    """Return links to all partitions of a report, the newest first."""
    items = "".join(
        f'<li style="margin:3px 0">{link(_place(request, asset, key), key)}{"" if final else " – provisional"}</li>'
        for key, final in days_of(deployment, asset).items()
    )
    return f'{heading(asset)}<ul style="margin:0;padding-left:20px;columns:2">{items}</ul>'


def _page(request: Request, user: GetUserDep, asset: str, partition: str) -> str:
    with open_deployment() as deployment:
        report = render(deployment, asset, partition, sees=lambda pipeline: _sees(request, user, pipeline))
        keys = list(days_of(deployment, asset))
    at = keys.index(partition)
    later, earlier = keys[max(0, at - 1) : at], keys[at + 1 : at + 2]
    steps = [link(_place(request, asset, key), f"← {key}") for key in earlier]
    steps.append(link(_place(request, asset), "all"))
    steps += [link(_place(request, asset, key), f"{key} →") for key in later]
    way = f'<div style="text-align:center;padding-top:12px">{" &nbsp; ".join(steps)}</div>'
    return document(report.subject, way + report.body_alone)


def _place(request: Request, *parts: str) -> str:
    """Return the address of a page; Airflow itself may be anywhere on its server."""
    return "/".join([request.scope.get("root_path", ""), "reports", *map(quote, parts)])


def _up(request: Request) -> str:
    return f"<p>{link(_place(request), 'All reports')}</p>"
