"""Which web pages may call: those of the platform's own origin, and those of the origins that the operator lists."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from serving.http.problems import ProblemError

ANY = "*"
_SAFE = ("GET", "HEAD", "OPTIONS")

Headers = Sequence[tuple[bytes, bytes]]
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-allow-headers", b"content-type, authorization, x-api-key"),
    (b"access-control-max-age", b"7200"),  # the most seconds that browsers believe
]
_EXPOSED: Headers = [(b"access-control-expose-headers", b"retry-after")]


class CrossOrigin:
    """Judges requests by their ``Origin``. Nothing is ever answered for credentials: the platform knows no cookies.

    A page may send a text to any address without asking first. So what changes something is refused from a foreign origin,
    not only hidden from it.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = ANY.encode() in self._origins

    def judge(self, method: str, headers: Headers) -> tuple[bool, Headers]:
        """Whether a browser only asks before it sends (a preflight), and the headers that the answer needs.

        Raises:
            ProblemError: a page of another origin, which is not listed, would change something.
        """
        origin = host = asked = b""
        for name, value in headers:
            if name == b"origin":
                origin = value
            elif name == b"host":
                host = value
            elif name == b"access-control-request-method":
                asked = value
        if not origin:
            return False, self._varying
        asks = method == "OPTIONS" and bool(asked)
        if self._any or origin in self._origins:
            allowed = [(b"access-control-allow-origin", b"*" if self._any else origin), *self._varying]
            return asks, [*allowed, *(_PREFLIGHT if asks else _EXPOSED)]
        if (asks or method not in _SAFE) and origin.partition(b"://")[2] != host:
            raise _foreign(origin)
        return asks, self._varying

    @property
    def _varying(self) -> Headers:
        """Caches keep answers of each origin apart, where they differ."""
        return [(b"vary", b"origin")] if self._origins and not self._any else []


def _foreign(origin: bytes) -> ProblemError:
    name = origin.decode("latin-1")
    return ProblemError(
        HTTPStatus.FORBIDDEN,
        "foreign-origin",
        f"pages of {name[:256]} may not call",
        remedy="add it to TAILORBIRD_CORS_ORIGINS",
    )
