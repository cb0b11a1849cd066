"""What HAProxy is told: where callers come in, who answers, what is tried again elsewhere, and how long anything may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from serving.proxy.replicas import Application

CONNECTIONS = 4_096
BUFFER_BYTES = 65_536
"""Requests up to this size are kept until they are answered, so that another replica can take over."""


@dataclass(frozen=True)
class Limits:
    """How many seconds a caller and a replica may take for each part of a request."""

    header: int = 10
    body: int = 15
    idle: int = 60
    """Between two bytes that a caller sends or takes, and between two requests of a connection."""
    answer: int = 60
    health: int = 2


LIMITS = Limits()
REPEATABLE = ("/v1/recommendations", "/v1/rank", "/v1/events")
"""POSTs that may reach a second replica after the first one died: they change nothing, or count by message id."""
TROUBLES = {
    400: ("malformed-request", "this is no HTTP request", "send HTTP/1.1"),
    408: ("request-too-slow", "the request did not arrive in time", "send it in one go"),
    413: ("body-too-large", "the request is larger than the proxy reads", "send less at once"),
    500: ("internal-error", "the proxy failed", "try again"),
    502: ("replica-failed", "the replica that had this request is gone", "try again"),
    503: ("no-replica", "no replica can answer at the moment", "try again in a second"),
    504: ("replica-too-slow", "the replica did not answer in time", "try again"),
}
"""Answers that HAProxy gives by itself, as problem details like ours."""
PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def write_troubles(folder: Path) -> None:
    """Write the answers that HAProxy gives by itself, one file a status."""
    for status, (slug, detail, remedy) in TROUBLES.items():
        body = orjson.dumps(
            {
                "type": f"urn:tailorbird:problem:{slug}",
                "title": PHRASES[status],
                "status": status,
                "detail": detail,
                "remedy": remedy,
            }
        )
        head = (
            f"HTTP/1.1 {status} {PHRASES[status]}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\n"
        )
        later = "retry-after: 1\r\n" if status == 503 else ""
        (folder / f"{status}.http").write_bytes(f"{head}{later}\r\n".encode() + body)


def render(
    applications: Sequence[Application],
    *,
    folder: Path,
    listener: int,
    certificate: Path | None = None,
    limits: Limits = LIMITS,
) -> str:
    """The configuration; ``listener`` is the inherited file descriptor of the listening socket.

    ``certificate`` is what callers are shown (with its key in the same file, or beside it with ``.key`` after its name); without
    one they are answered plainly.
    """
    tls = f" ssl crt {certificate} alpn http/1.1 ssl-min-ver TLSv1.2" if certificate else ""
    lines = [
        "global",
        f"    stats socket {folder / 'front.sock'} mode 600 level admin",
        f"    maxconn {CONNECTIONS}",
        "    nbthread 1",
        f"    tune.bufsize {BUFFER_BYTES}",
        "    hard-stop-after 10s",
        "defaults",
        "    mode http",
        "    timeout connect 2s",
        f"    timeout http-request {limits.header}s",
        f"    timeout http-keep-alive {limits.idle}s",
        f"    timeout client {limits.idle}s",
        f"    timeout server {limits.answer}s",
        "    timeout queue 5s",
        f"    timeout check {limits.health}s",
        "    retries 3",
        "    retry-on conn-failure empty-response junk-response",
        "    option redispatch 1",
        "    option http-no-delay",
        "    option idle-close-on-response",
        "    balance leastconn",
        *(f"    errorfile {status} {folder / f'{status}.http'}" for status in TROUBLES),
        "frontend door",
        f"    bind fd@{listener}{tls}",
        f"    http-request wait-for-body time {limits.body}s if {{ method POST PUT DELETE }}",
        "    http-request disable-l7-retry unless METH_GET or { path " + " ".join(REPEATABLE) + " }",
        *(
            f"    use_backend {each.name} if {_on(each.prefix)}"
            for each in applications
            if each.prefix != "/"
        ),
        *(f"    default_backend {each.name}" for each in applications if each.prefix == "/"),
    ]
    for each in applications:
        lines += _backend(each)
    return "\n".join(lines) + "\n"


def _on(prefix: str) -> str:
    return f"{{ path {prefix} }} or {{ path_beg {prefix}/ }}"


def _backend(application: Application) -> list[str]:
    return [
        f"backend {application.name}",
        "    http-reuse always",
        f"    option httpchk GET {application.health_path}",
        "    http-check expect status 200",
        "    default-server check inter 1s fastinter 250ms downinter 250ms fall 2 rise 1"
        " observe layer4 error-limit 2 on-error mark-down on-marked-down shutdown-sessions",
        *(f"    server {each.name} {each.host}:{each.port}" for each in application.replicas),
    ]
