"""Callers that keep asking whatever happens to the service, and remember how each call went."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60.0
PAUSE_AFTER_FAILURE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Call:
    """One request: when it was sent and answered (monotonic seconds), and its status; 0 where no answer came.

    ``later``: the answer says when to ask again (Retry-After).
    """

    caller: int
    started: float
    ended: float
    status: int
    later: bool = False

    @property
    def good(self) -> bool:
        """Whether it was answered as asked."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Ask:
    """One request to send; ``answered`` hears its status and body, or (0, b"")."""

    path: str
    body: bytes = b""
    answered: Callable[[int, bytes], object] = lambda status, body: None
    method: str = "POST"


class Callers:
    """``count`` callers, each sending what ``ask(caller)`` gives as soon as the call before is answered."""

    def __init__(
        self,
        base: str,
        *,
        count: int,
        ask: Callable[[int], Ask | None],
        pause_seconds: float = 0.0,
        key: str = "",
    ) -> None:
        where = urlsplit(base)
        self._host, self._port = str(where.hostname), int(where.port or 80)
        self._count, self._ask, self._pause = count, ask, pause_seconds
        self._key, self._stop = key, threading.Event()
        self.calls: list[Call] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), name="callers", daemon=True)

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_SECONDS + 5)

    def run(self) -> list[Call]:
        """Ask until ``ask`` gives nothing more; every call."""
        self._thread.start()
        self._thread.join()
        return self.calls

    async def _all(self) -> None:
        await asyncio.gather(*[self._one(caller) for caller in range(self._count)])

    async def _one(self, caller: int) -> None:
        line = Line(self._host, self._port, key=self._key)
        while not self._stop.is_set():
            ask = self._ask(caller)
            if ask is None:
                break
            started = time.monotonic()
            try:
                status, body = await asyncio.wait_for(
                    line.send(ask.path, ask.body, method=ask.method), TIMEOUT_SECONDS
                )
            except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
                status, body = 0, b""
            self.calls.append(Call(caller, started, time.monotonic(), status, later=line.told_later))
            ask.answered(status, body)
            if status == 0:
                line.close()
                await asyncio.sleep(PAUSE_AFTER_FAILURE_SECONDS)
            elif self._pause:
                await asyncio.sleep(self._pause)
        line.close()


@dataclass
class Line:
    """A connection that is kept open, and opened anew after it broke."""

    host: str
    port: int
    key: str = ""
    told_later: bool = False
    """Whether the last answer said when to ask again."""
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, init=False)

    async def send(self, path: str, body: bytes = b"", *, method: str = "POST") -> tuple[int, bytes]:
        """The status and body of the answer. Raises OSError or EOFError where the connection broke."""
        self.told_later = False
        if self.left:
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._streams
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{self._key_line}\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(
            (int(each[15:]) for each in head.split(b"\r\n") if each.startswith(b"content-length:")), 0
        )
        answer = await reader.readexactly(length)
        self.told_later = b"\r\nretry-after:" in head
        if b"\r\nconnection: close" in head:
            self.close()
        return int(head[9:12]), answer

    @property
    def _key_line(self) -> str:
        return f"x-api-key: {self.key}\r\n" if self.key else ""

    @property
    def left(self) -> bool:
        """Whether the other side has closed the connection, as one that idled for long."""
        return self._streams is not None and self._streams[0].at_eof()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def longest_gap(calls: Sequence[Call]) -> float:
    """The longest time in seconds that one of the callers went without a good answer."""
    last: dict[int, float] = {}
    longest = 0.0
    for call in sorted(calls, key=lambda call: call.ended):
        since = last.setdefault(call.caller, call.started)
        if call.good:
            longest = max(longest, call.ended - since)
            last[call.caller] = call.ended
    for caller, since in last.items():
        end = max(call.ended for call in calls if call.caller == caller)
        longest = max(longest, end - since)
    return longest
