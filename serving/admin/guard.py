"""Who may call admin: programs of this machine, and no web page that one of its browsers shows; with keys, who has a good one."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.requests import Request

from serving.http.access import (
    ANY_KEY,
    FOR_CATALOG,
    FOR_EXPERIMENTS,
    FOR_PRIVACY,
    OPEN,
    Access,
    needs_of_pages,
)
from serving.http.front import Receive, Scope, Send
from serving.http.problems import MEDIA_TYPE, ProblemError, too_large
from tailorbird.access.gate import Needs

KEY = "key"
"""Under which name a request's state has the id of the caller's key."""
PAGES: Mapping[str, Needs | None] = {"/health/live": OPEN, "/openapi.json": ANY_KEY}
TAGS: Mapping[str, Needs | None] = {
    "catalogue": FOR_CATALOG,
    "people": FOR_PRIVACY,
    "privacy": FOR_PRIVACY,
    "experiments": FOR_EXPERIMENTS,
}
"""What opens the routes of a tag; the others are for `admin`."""
NAMES = (b"127.0.0.1", b"localhost", b"[::1]")
UPLOADS = ("/v1/items:upload", "/v1/users:upload")
"""Where whole files may be sent, as what they are."""
FILES: Mapping[bytes, str] = {
    b"text/csv": ".csv",
    b"text/tab-separated-values": ".tsv",
    b"application/x-ndjson": ".jsonl",
    b"application/vnd.apache.parquet": ".parquet",
}
"""Kinds of files and their suffixes; none that a web page can send without asking first."""
ADDRESSES = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class LoopbackGuard:
    """Refuses what does not come from this machine, or what a browser was led to send.

    A page elsewhere can make a browser of this machine send requests here. It cannot choose the ``Host`` of a name it
    does not own, cannot leave out ``Origin``, and cannot send JSON without asking first, which is never granted.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        access: Access | None = None,
        max_body_bytes: int,
        max_upload_bytes: int = 0,
    ) -> None:
        self._app, self._max_body_bytes, self._max_upload_bytes = app, max_body_bytes, max_upload_bytes
        self._access, self._needs = access, needs_of_pages(app, by_path=PAGES, by_tag=TAGS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection (ASGI)."""
        if scope["type"] == "http":
            problem = self._problem(scope)
            if problem is not None:
                body = problem.body()
                headers = [
                    (b"content-type", MEDIA_TYPE),
                    (b"content-length", b"%d" % len(body)),
                    *((name.encode(), value.encode()) for name, value in problem.headers.items()),
                ]
                await send({"type": "http.response.start", "status": problem.status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> ProblemError | None:
        client = scope.get("client")
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"")
        name = host[: host.index(b"]") + 1] if b"]" in host else host.partition(b":")[0]
        if client is None or client[0] not in ADDRESSES or name not in NAMES or b"origin" in headers:
            return ProblemError(
                HTTPStatus.FORBIDDEN,
                "loopback-only",
                "admin answers programs of this machine only",
                remedy="call it as http://127.0.0.1:PORT from the machine itself, not from a web page",
            )
        return self._problem_of_key(scope) or self._problem_of_body(scope, headers)

    def _problem_of_key(self, scope: Scope) -> ProblemError | None:
        if self._access is None:
            return None
        try:
            scope.setdefault("state", {})[KEY] = self._access.admit(scope, self._needs(scope))
        except ProblemError as problem:
            return problem
        return None

    def _problem_of_body(self, scope: Scope, headers: Mapping[bytes, bytes]) -> ProblemError | None:
        size = headers.get(b"content-length", b"")
        bare = size in (b"", b"0") and b"transfer-encoding" not in headers
        if scope["method"] not in ("POST", "PUT", "DELETE") or (scope["method"] == "DELETE" and bare):
            return None
        kind = media_type(headers)
        is_file = scope["path"] in UPLOADS
        if kind not in (FILES if is_file else (b"application/json",)):
            return ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unknown-file" if is_file else "json-only",
                "the body is not declared as a file we read"
                if is_file
                else "the body is not declared as JSON",
                remedy=f"send content-type: {' or '.join(each.decode() for each in FILES)}"
                if is_file
                else "send content-type: application/json",
            )
        if not size.isdigit():  # no chunks: what comes is bounded before it is read
            return ProblemError(
                HTTPStatus.LENGTH_REQUIRED,
                "length-required",
                "the length of the body is not said",
                remedy="send content-length",
            )
        if is_file and int(size) > self._max_upload_bytes:
            return too_large(self._max_upload_bytes, setting="TAILORBIRD_MAX_UPLOAD_BYTES")
        return too_large(self._max_body_bytes) if not is_file and int(size) > self._max_body_bytes else None


def key_of(request: Request) -> str:
    """The id of the caller's key; "" while none is asked for."""
    return str(getattr(request.state, KEY, ""))


def media_type(headers: Mapping[bytes, bytes]) -> bytes:
    """What the body is declared as, without its parameters."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
