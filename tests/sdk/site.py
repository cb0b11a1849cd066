"""A shop's web site on the toy shop's platform: pages, the real front under the same address, and faults on demand."""

import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn

from tailorbird.events.devices import device_words
from tailorbird.events.schema import Event
from tests.callers import as_sent
from tests.serving.world import World

EVENTS = "/v1/events"
TILES = "".join(
    f'<div class="tile" data-tb-item="i{n}" data-tb-rec="r1" data-tb-pos="{n}" style="height:100px">'
    f'<a href="/item/i{n}">i{n}</a> <button data-tb-event="add_to_cart">+</button></div>'
    for n in range(3)
)
BARE = '<script src="/sdk.js" data-consent="granted"></script>'
"""Tells of itself that it was opened, and nothing more."""
HOME = f"{BARE}<main>{TILES}</main>"


@dataclass
class Fault:
    """What becomes of requests for events: the status that refuses them; 0 stores them, and the answer never comes."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class Site:
    """Serves pages and the platform at ``address`` until it is closed."""

    def __init__(self, world: World, *, port: int) -> None:
        self.world, self.port = world, port
        world.before = world.log.end()
        self.pages: dict[str, str] = {"/": HOME}
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """Path and body of every request that reached the platform's POSTs, faults included."""
        self.refused: list[float] = []
        """When a fault refused a request, epoch seconds."""
        self.address = f"http://127.0.0.1:{port}"
        self._server = uvicorn.Server(
            uvicorn.Config(self, port=port, log_level="error", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    @property
    def elsewhere(self) -> str:
        """The same pages under another origin, one without TLS that is not this machine's own name."""
        return f"http://shop.test:{self.port}"

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def sent_ids(self) -> list[str]:
        """The message ids of all requests, as often as they came."""
        return [event["messageId"] for path, body in self.asked if path == EVENTS for event in body["batch"]]

    def events(self) -> list[Event]:
        """All that was told and stored, by when it happened; not what the platform wrote beside it."""
        found = [entry.record for entry in self.world.log.read(self.world.before).entries]
        own = {word.message_id for word in device_words(found)}
        kept = [self.as_sent(event) for event in found if event.message_id not in own]
        return sorted(kept, key=lambda event: event.event_time)

    def as_sent(self, event: Event) -> Event:
        """A stored event as the page knows it."""
        told = [each for path, body in self.asked if path == EVENTS for each in body["batch"]]
        return as_sent(
            event,
            self.world.door,
            messages={each["messageId"] for each in told if "messageId" in each},
            sessions={each["sessionId"] for each in told if each.get("sessionId")},
            recommendations={each["recommendationId"] for each in told if each.get("recommendationId")},
        )

    def wait_for(self, count: int, kind: str = "", *, seconds: float = 20) -> list[Event]:
        """The events, those of one type if it is named, once there are so many; fails with what there is."""
        deadline = time.monotonic() + seconds
        while len(found := [event for event in self.events() if kind in ("", event.type)]) < count:
            assert time.monotonic() < deadline, [(event.type, event.item_id) for event in self.events()]
            time.sleep(0.02)
        return found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "POST"):
            await self.world.front(scope, receive, send)
        elif scope["method"] == "GET":
            page = self.pages.get(scope["path"]) or (HOME if scope["path"].startswith("/item/") else None)
            if page is None:
                await self.world.front(scope, receive, send)
            else:
                await _answer(
                    send, 200, page.encode(), {"content-type": "text/html", "cache-control": "no-cache"}
                )
        else:
            await self._post(scope, receive, send)

    async def _post(self, scope: Any, receive: Any, send: Any) -> None:
        self.world.clock = time.time()
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        with contextlib.suppress(orjson.JSONDecodeError):
            self.asked.append((scope["path"], orjson.loads(body)))

        async def again() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        fault = self.faults[0] if self.faults and scope["path"] == EVENTS else None
        if fault is None:
            await self.world.front(scope, again, send)
            return
        fault.times -= 1
        if fault.times <= 0:
            self.faults.pop(0)
        self.refused.append(time.time())
        if not fault.status:
            await self.world.front(scope, again, _nowhere)
            return  # without an answer: the connection breaks
        await _answer(send, fault.status, b"{}", fault.headers)


Send = Callable[[dict[str, Any]], Awaitable[None]]


async def _nowhere(message: dict[str, Any]) -> None:
    """Where an answer goes that nobody gets."""


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": body})
