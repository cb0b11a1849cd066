"""A subscriber: a real HTTP server that keeps what it is sent and answers as a test wishes."""

import hashlib
import hmac
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson

SECRET = "s3cret"
Answer = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["tailorbird-delivery"]

    @property
    def json(self) -> dict:
        return orjson.loads(self.body)

    def signed(self, secret: str = SECRET) -> bool:
        """Whether the signature is that of this body and of about now."""
        instant, proof = (part.split("=", 1)[1] for part in self.headers["tailorbird-signature"].split(","))
        wanted = hmac.new(secret.encode(), instant.encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(proof, wanted) and abs(time.time() - int(instant)) < 60


class Subscriber:
    """Listens on a free loopback port. ``answer`` (call) gives status and headers, after as long as it likes."""

    def __init__(
        self, answer: Callable[[Call], Answer] = lambda call: (200, {}), *, cert: Path | None = None
    ) -> None:
        self.answer, self.calls, self._lock = answer, list[Call](), threading.Lock()
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = Call(self.path, headers, body, time.monotonic())
                with subscriber._lock:
                    subscriber.calls.append(call)
                status, more = subscriber.answer(call)
                try:
                    self.send_response(status)
                    for name, value in {"content-length": "0", **more}.items():
                        self.send_header(name, value)
                    self.end_headers()
                except OSError:  # whoever called has hung up
                    self.close_connection = True

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.scheme = "http"
        if cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def origin(self, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}"

    def ids(self, path: str | None = None) -> list[str]:
        with self._lock:
            return [call.id for call in self.calls if path is None or call.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def wait_until(fact: Callable[[], object], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
