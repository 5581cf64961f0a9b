"""Airflow's REST API, as far as the watch asks it: signed in as a user of its own, and only reading."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemark.errors import Refused, Unavailable

if TYPE_CHECKING:
    import httpx

_SECONDS = 20.0
_PAGE = 100


class Api:
    """A user of one Airflow.

    Args:
        url: where the API server is.
        user: the name to sign in with.
        password: that user's password.

    """

    def __init__(self, url: str, user: str, password: str) -> None:
        import httpx

        self._url, self._user, self._password = url.rstrip("/"), user, password
        # A proxy has no business between two processes of one deployment.
        self._client = httpx.Client(base_url=self._url, timeout=_SECONDS, trust_env=False)
        self._token = ""

    def health(self) -> dict[str, Any]:
        """Return what Airflow says of its processes; nobody needs to sign in for that.

        Raises:
            Unavailable: nobody answers, or it is no Airflow.

        """
        return self._asked("/monitor/health", signed_in=False)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return what is at a path below ``/api/v2``.

        Raises:
            Unavailable: nobody answers, or with an error of the server's own.
            Refused: the user is not known, or may not see it.

        """
        return self._asked(path, signed_in=True, **params)

    def all(self, path: str, items: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield every item of a list that is answered in pages; raises what :meth:`get` does."""
        offset = 0
        while True:
            page = self.get(path, **params, limit=_PAGE, offset=offset)
            yield from page[items]
            offset += len(page[items])
            if not page[items] or offset >= page["total_entries"]:
                return

    def is_there(self, path: str) -> bool:
        """Return whether there is something at a path; raises what :meth:`get` does."""
        try:
            self.get(path)
        except LookupError:
            return False
        return True

    def _asked(self, path: str, *, signed_in: bool, **params: Any) -> dict[str, Any]:
        import httpx

        try:
            answer = self._answer(f"/api/v2{path}", params, signed_in)
        except httpx.HTTPError as problem:
            raise Unavailable(f"Airflow at {self._url} does not answer: {type(problem).__name__}") from problem
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise LookupError(path)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise Refused(f"Airflow does not let {self._user!r} see {path}: give that user the right to")
        try:
            found = answer.json() if answer.is_success else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unavailable(f"Airflow at {self._url} answers {path} with {answer.status_code} {answer.reason_phrase}")
        return found

    def _answer(self, path: str, params: dict[str, Any], signed_in: bool) -> "httpx.Response":
        import httpx

        if not signed_in:
            return self._client.get(path, params=params)
        if not self._token:
            self._sign_in()
        answer = self._client.get(path, params=params, headers={"Authorization": f"Bearer {self._token}"})
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return answer
        self._sign_in()  # a token lasts for some hours
        return self._client.get(path, params=params, headers={"Authorization": f"Bearer {self._token}"})

    def _sign_in(self) -> None:
        answer = self._client.post("/auth/token", json={"username": self._user, "password": self._password})
        if answer.is_server_error:
            raise Unavailable(f"Airflow at {self._url} cannot sign anybody in: {answer.status_code}")
        if answer.is_error:
            raise Refused(
                f"Airflow does not let {self._user!r} sign in ({answer.status_code}): see TIDEMARK_WATCH_USER and "
                "TIDEMARK_WATCH_PASSWORD"
            )
        try:
            self._token = str(answer.json()["access_token"])
        except (ValueError, TypeError, KeyError) as problem:
            raise Unavailable(f"what answers at {self._url} is no Airflow: it gives no token") from problem
