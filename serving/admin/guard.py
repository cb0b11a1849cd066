"""Who may call admin while there are no keys: programs of this machine, and no web page that one of its browsers shows."""

from http import HTTPStatus

from serving.http.front import Asgi, Receive, Scope, Send
from serving.http.problems import MEDIA_TYPE, ProblemError, too_large

NAMES = (b"127.0.0.1", b"localhost", b"[::1]")
ADDRESSES = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class LoopbackGuard:
    """Refuses what does not come from this machine, or what a browser was led to send.

    A page elsewhere can make a browser of this machine send requests here. It cannot choose the ``Host`` of a name it
    does not own, cannot leave out ``Origin``, and cannot send JSON without asking first, which is never granted.
    """

    def __init__(self, app: Asgi, *, max_body_bytes: int) -> None:
        self._app, self._max_body_bytes = app, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection (ASGI)."""
        if scope["type"] == "http":
            problem = self._problem(scope)
            if problem is not None:
                body = problem.body()
                headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body))]
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
        if scope["method"] not in ("POST", "PUT", "DELETE"):
            return None
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            return ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "json-only",
                "the body is not declared as JSON",
                remedy="send content-type: application/json",
            )
        size = headers.get(b"content-length", b"")
        if not size.isdigit():  # no chunks: what comes is bounded before it is read
            return ProblemError(
                HTTPStatus.LENGTH_REQUIRED,
                "length-required",
                "the length of the body is not said",
                remedy="send content-length",
            )
        return too_large(self._max_body_bytes) if int(size) > self._max_body_bytes else None
