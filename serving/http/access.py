"""Keys at the HTTP edge: where a call carries its token, which scopes a door needs, and how a refusal reads."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.routing import Match

from serving.http.problems import ProblemError
from tailorbird.access.counts import SharedCounts
from tailorbird.access.gate import Gate, Needs, NotAdmittedError
from tailorbird.access.keys import ADMIN, CATALOG, COLLECT, EXPERIMENTS, PRIVACY, RECOMMEND
from tailorbird.access.ring import KeyRing
from tailorbird.plumbing.addresses import is_loopback
from tailorbird.settings import Settings

OPEN: Needs | None = None
"""Of a door that asks for nothing: health, and the script that pages load."""
ANY_KEY: Needs = frozenset()
FOR_ASSIGNMENTS: Needs = frozenset({RECOMMEND, COLLECT})
FOR_COLLECT, FOR_RECOMMEND = frozenset({COLLECT}), frozenset({RECOMMEND})
FOR_ADMIN, FOR_CATALOG = frozenset({ADMIN}), frozenset({CATALOG, ADMIN})
FOR_PRIVACY, FOR_EXPERIMENTS = frozenset({PRIVACY, ADMIN}), frozenset({EXPERIMENTS, ADMIN})
QUERY = "key"
"""The parameter of a public key: what a browser sends as it leaves a page has no headers of ours."""
COUNTS_FILE = "key-counts.bin"
_SAFE = ("GET", "HEAD")
_STATUS = {
    "unknown": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "too-often": HTTPStatus.TOO_MANY_REQUESTS,
}


@dataclass(frozen=True, slots=True)
class Access:
    """Lets calls in: all of them while the workspace has no keys and is served on this machine alone, else by their keys."""

    gate: Gate

    @classmethod
    def of(cls, settings: Settings, *, clock: Callable[[], float] = time.time) -> "Access":
        """That of a workspace."""
        ring = KeyRing(
            settings.keys_file,
            workspace=settings.workspace,
            closed=not is_loopback(settings.host),
            clock=time.monotonic,
        )
        counts = SharedCounts(settings.folder / COUNTS_FILE)
        return cls(Gate(ring, counts, clock=clock))

    def admit(self, scope: Mapping[str, Any], needs: Needs | None) -> str:
        """The id of the caller's key; "" where none is asked for.

        Raises:
            ProblemError: the call may not.
        """
        if needs is None or not self.gate.ring.closed:
            return ""
        token, origin, in_address = _carried(scope)
        try:
            return self.gate.admit(
                token, needs=needs, origin=origin, in_address=in_address, reads=scope["method"] in _SAFE
            )
        except NotAdmittedError as error:
            raise _refused(error) from None

    @property
    def trouble(self) -> str:
        """What is wrong with the file of keys; "" for nothing."""
        return self.gate.ring.trouble


def needs_of_pages(
    app: Starlette, *, by_path: Mapping[str, Needs | None], by_tag: Mapping[str, Needs | None]
) -> Callable[[Mapping[str, Any]], Needs | None]:
    """What a call needs of a FastAPI application, by the route that will answer it; ``admin`` where nothing is said of it."""

    def needs(scope: Mapping[str, Any]) -> Needs | None:
        for route in app.router.routes:
            match, _ = route.matches(dict(scope))
            if match is Match.FULL:
                path = getattr(route, "path", "")
                if path in by_path:
                    return by_path[path]
                for tag in getattr(route, "tags", ()):
                    if tag in by_tag:
                        return by_tag[tag]
                return FOR_ADMIN
        return ANY_KEY  # there is no such page

    return needs


def _carried(scope: Mapping[str, Any]) -> tuple[bytes, str, bool]:
    """The token of a call, the origin of the page that sends it, and whether the token stands in the address."""
    token = origin = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                token = value[7:].strip()
        elif name == b"x-api-key":
            token = token or value
        elif name == b"origin":
            origin = value
    if token or not scope["query_string"]:
        return token, origin.decode("latin-1"), False
    given = parse_qs(scope["query_string"].decode("latin-1")).get(QUERY, [""])
    return given[0].encode("latin-1", "replace"), origin.decode("latin-1"), True


def _refused(error: NotAdmittedError) -> ProblemError:
    headers = {}
    if error.kind == "unknown":
        headers["www-authenticate"] = 'Bearer realm="tailorbird"'
    if error.after_seconds:
        headers["retry-after"] = str(error.after_seconds)
    return ProblemError(_STATUS[error.kind], error.slug, error.what, remedy=error.remedy, headers=headers)
