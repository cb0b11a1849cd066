"""The HTTP edge of a replica: routes, body limit, problem details and metrics, as one raw ASGI application.

Raw because it is half again as fast as FastAPI here (docs/experiments.md); FastAPI serves the pages that need no speed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from serving import metrics
from serving.http.access import ANY_KEY, FOR_ADMIN, Access
from serving.http.cors import CrossOrigin, Headers
from serving.http.problems import MEDIA_TYPE, ProblemError, method_not_allowed, not_found, too_large, too_slow
from tailorbird.access.gate import Needs

log = logging.getLogger("ray.serve.tailorbird")
JSON = b"application/json"
DRAINED_BYTES = 64_000_000
"""How much of a refused body we still read, so that the caller gets our answer and not a broken connection."""

BODY_SECONDS = 30.0
"""How long a body may take to arrive: who sends one byte a second must not keep a place for hours."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """What a handler needs of an HTTP request. ``argument`` is the path's variable part, ``key`` the id of the caller's key."""

    body: bytes = b""
    argument: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Headers = ()
    key: str = ""

    def header(self, name: bytes) -> bytes:
        """The value of a header, whose name is given in lower case; empty where it is absent."""
        return next((value for each, value in self.headers if each == name), b"")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] | None = None
    media_type: bytes = JSON


Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path: ``prefix`` and ``suffix`` around an optional argument. ``name`` labels its metrics.

    ``needs`` are the scopes of which one opens it; a route that says nothing is for operators.
    """

    name: str
    method: str
    prefix: str
    handler: Handler
    suffix: str | None = None
    needs: Needs | None = FOR_ADMIN

    def argument(self, path: str) -> str | None:
        """The variable part of ``path``, or None where it is not of this route."""
        if self.suffix is None:
            return "" if path == self.prefix else None
        if not path.startswith(self.prefix) or not path.endswith(self.suffix):
            return None
        middle = path[len(self.prefix) : len(path) - len(self.suffix)]
        return middle or None


class Front:
    """Answers the routes it knows; everything else goes to ``rest``."""

    def __init__(
        self,
        routes: list[Route],
        *,
        rest: Asgi | None,
        access: Access | None = None,
        rest_needs: Callable[[Scope], Needs | None] = lambda scope: FOR_ADMIN,
        max_body_bytes: int,
        body_seconds: float = BODY_SECONDS,
        origins: Sequence[str] = (),
        on_shutdown: Callable[[], object] = lambda: None,
    ) -> None:
        self._exact = {(route.method, route.prefix): route for route in routes if route.suffix is None}
        self._routes = routes
        self._rest, self._rest_needs = rest, rest_needs
        self._access = access
        self._max_body_bytes, self._body_seconds = max_body_bytes, body_seconds
        self._cross_origin = CrossOrigin(origins)
        self._on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection (ASGI)."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            asks, allowed = self._cross_origin.judge(scope["method"], scope["headers"])
        except ProblemError as problem:
            await _respond(send, _refused(problem))
            return
        sending = _adding(allowed, send) if allowed else send
        if asks:
            await _respond(sending, Answer(b""))
            return
        await self._call(scope, receive, sending)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        route = self._exact.get((scope["method"], path))
        argument = ""
        if route is None:
            route, argument = self._search(scope["method"], path)
            if route is None:
                await self._other(scope, receive, send, path)
                return
        started = time.perf_counter()
        answer = await self._answered(route, argument, scope, receive)
        await _respond(send, answer)
        metrics.observe_request(route.name, answer.status, time.perf_counter() - started)

    def _search(self, method: str, path: str) -> tuple[Route | None, str]:
        for route in self._routes:
            if route.method == method:
                argument = route.argument(path)
                if argument is not None:
                    return route, argument
        return None, ""

    async def _other(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        allowed = {route.method for route in self._routes if route.argument(path) is not None}
        try:
            if self._access is not None:
                self._access.admit(scope, ANY_KEY if allowed else self._rest_needs(scope))
            if allowed:
                raise method_not_allowed(scope["method"], path, allowed)
            if self._rest is None:
                raise not_found(path)
        except ProblemError as problem:
            await _respond(send, _refused(problem))
            return
        await self._rest(scope, receive, send)

    async def _answered(self, route: Route, argument: str, scope: Scope, receive: Receive) -> Answer:
        try:
            key = "" if self._access is None else await self._admitted(self._access, route, scope, receive)
            body = b"" if route.method == "GET" else await self._body(scope, receive)
            raw_query = scope["query_string"]
            query = dict(parse_qsl(raw_query.decode("latin-1"), keep_blank_values=True)) if raw_query else {}
            return await route.handler(Request(body, argument, query, scope["headers"], key))
        except ProblemError as problem:
            return _refused(problem)
        except Exception:
            log.exception("%s failed", route.name)
            failure = ProblemError(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal-error",
                f"{route.name} failed on our side",
                remedy="try again; the operator finds the cause in the replica's log",
            )
            return _refused(failure)

    async def _admitted(self, access: Access, route: Route, scope: Scope, receive: Receive) -> str:
        try:
            return access.admit(scope, route.needs)
        except ProblemError:
            if route.method != "GET":
                await self._body(
                    scope, receive
                )  # so that the caller gets our answer and not a broken connection
            raise

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if not more and len(body) <= self._max_body_bytes:
            return body
        try:
            async with asyncio.timeout(self._body_seconds):
                return await self._long_body(receive, body, more=more)
        except TimeoutError:
            raise too_slow(self._body_seconds) from None

    async def _long_body(self, receive: Receive, body: bytes, *, more: bool) -> bytes:
        parts, size = [body], len(body)
        while more and size <= DRAINED_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            more = message.get("more_body", False)
            size += len(message.get("body", b""))
            if size <= self._max_body_bytes:
                parts.append(message.get("body", b""))
        if size > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        return b"".join(parts)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self._on_shutdown()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def _refused(problem: ProblemError) -> Answer:
    return Answer(problem.body(), problem.status, problem.headers, MEDIA_TYPE)


def _adding(headers: Headers, send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending


async def _respond(send: Send, answer: Answer) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.media_type),
                (b"content-length", b"%d" % len(answer.body)),
                *((name.encode(), value.encode()) for name, value in (answer.headers or {}).items()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
