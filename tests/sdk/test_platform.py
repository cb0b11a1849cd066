"""A page in a real Chromium on the whole platform: what a person does arrives once, in order, under the right ids, whatever breaks."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route
from tailorbird_client import Client

from tailorbird.events.schema import Event
from tailorbird.privacy.door.door import Door
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING
from tests.callers import as_sent
from tests.sdk.conftest import open_chromium
from tests.sdk.test_kept import QUIET, WAITING
from tests.serving.test_serve import Service, service, subscriber

__all__ = ["service", "subscriber"]
pytestmark = [pytest.mark.browser, pytest.mark.ray, pytest.mark.timeout(900)]
COLLECT = re.compile(r"/v1/events(\?|$)")
PERSON = "JSON.parse(localStorage.getItem('tailorbird'))"


class Visitor:
    """A device whose pages are of the platform's own origin; ``kind`` marks what it does."""

    def __init__(self, device: BrowserContext, service: Service, kind: str) -> None:
        self.device, self.service, self.kind = device, service, kind
        self.address = str(service.client.base_url).rstrip("/")
        self.done: list[int] = []
        self.ids: dict[str, str] = {}
        self.errors: list[str] = []
        device.on("weberror", lambda error: self.errors.append(str(error.error)))
        device.route(
            f"{self.address}/shop", lambda route: route.fulfill(body=QUIET, content_type="text/html")
        )

    def open(self) -> Page:
        page = self.device.new_page()
        page.goto(f"{self.address}/shop")
        page.wait_for_function("!!window.tailorbird?.track")
        self.ids = page.evaluate(PERSON)
        return page

    def do(self, page: Page, count: int = 1) -> None:
        """The next things, by number."""
        for _ in range(count):
            page.evaluate(f"tailorbird.track('{self.kind}', {{properties: {{n: {len(self.done)}}}}})")
            self.done.append(len(self.done))

    def login(self, page: Page, user: str) -> None:
        page.evaluate(f"tailorbird.identify('{user}')")

    def stored(self) -> list[Event]:
        """What the platform holds of it, in the order of arrival at one instant after the other."""
        settings = self.service.settings
        with open_events(settings) as stream, closing(Door.of(settings)) as door:
            rows = [
                as_sent(entry.record, door, sessions=[self.ids["s"]] if self.ids else [])
                for entry in stream.read(BEGINNING, limit=1_000_000).entries
                if entry.record.type == self.kind
            ]
        return sorted(rows, key=lambda event: event.event_time)

    def settle(self) -> list[Event]:
        """The next visit, online: all that waits is sent; then what is stored is all that was done, once, in order."""
        self.device.set_offline(False)
        page = self.open()
        page.wait_for_function(f"{WAITING} == 0", timeout=120_000)
        page.close()
        found = self.stored()
        assert [event.properties["n"] for event in found] == self.done
        assert all(one.event_time < other.event_time for one, other in pairwise(found))
        assert {event.anonymous_id for event in found} == {self.ids["a"]}
        assert self.errors == []
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with open_chromium() as opened:
        yield opened


@pytest.fixture
def visitor(browser, service: Service, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    device = browser.new_context()
    yield Visitor(device, service, f"did_{request.node.name.split('[')[0][5:40]}")
    device.close()


def test_a_person_who_logs_in_on_a_page_is_known_to_the_platform(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.do(page, 3)
    visitor.login(page, "browser-ann")
    visitor.do(page, 2)
    page.close()
    found = visitor.settle()
    assert [event.user_id for event in found] == [None] * 3 + ["browser-ann"] * 2
    assert {event.session_id for event in found} == {visitor.ids["s"]}
    with Client(
        visitor.address, admin_url=str(visitor.service.admin.base_url), deadline=60, timeout=60
    ) as client:
        profile = client.profile("browser-ann")
    assert (profile.events, profile.linked) == (5, (f"anon:{visitor.ids['a']}",))


def test_a_tab_closed_in_the_middle_has_told_all(visitor: Visitor) -> None:
    for count in (1, 4, 2):
        page = visitor.open()
        visitor.do(page, count)
        page.close()
    visitor.settle()


def refuse(status: int, times: int, asked: list[float]) -> Callable[[Route, Request], None]:
    """Answer so many requests for events with a status, then let them through."""

    def answer(route: Route, request: Request) -> None:
        asked.append(time.monotonic())
        if len(asked) > times:
            route.continue_()
            return
        told = {"retry-after": "2", "content-type": "application/problem+json"}
        route.fulfill(status=status, headers=told, body="{}")

    return answer


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_busy_server_refuses_comes_again_when_it_says(visitor: Visitor, status: int) -> None:
    visitor.kind += f"_{status}"
    asked: list[float] = []
    visitor.device.route(COLLECT, refuse(status, 2, asked))
    page = visitor.open()
    visitor.do(page, 3)
    page.evaluate("tailorbird.flush()")
    visitor.do(page, 2)
    until = time.monotonic() + 60
    while len(asked) < 3:
        assert time.monotonic() < until, f"asked {len(asked)} times"
        page.wait_for_timeout(100)
    page.wait_for_function(f"{WAITING} == 0", timeout=60_000)
    assert all(later - sooner >= 2 for sooner, later in pairwise(asked[:3]))
    page.close()
    visitor.settle()


@pytest.mark.parametrize("seconds", [2, pytest.param(62, marks=pytest.mark.slow)])
def test_a_cut_network_is_made_up_for_by_the_next_visit(visitor: Visitor, seconds: int) -> None:
    """The cut lasts as long as it says: the SDK waits by the browser's own clock."""
    visitor.kind += f"_{seconds}"
    page = visitor.open()
    visitor.do(page, 2)
    page.evaluate("tailorbird.flush()")
    visitor.device.set_offline(True)
    visitor.do(page, 2)
    page.wait_for_timeout(seconds * 1_000)
    visitor.do(page, 1)
    assert [event.properties["n"] for event in visitor.stored()] == [0, 1]
    page.close()
    visitor.settle()
