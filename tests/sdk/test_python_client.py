"""The Python client against the real front: typed answers, repeats that count once, deadlines that hold, a fallback that stands in."""

import asyncio
import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tailorbird_client import AsyncClient, Client, Collector, Event, RefusedError, UnavailableError
from tailorbird_client.attempts import Attempts

from serving.cluster import free_ports
from tests.sdk.site import Site
from tests.serving.world import World

Fault = Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]


class Wire(httpx.BaseTransport):
    """The real transport; each request meets the next of ``faults`` first, and the last of them again and again if ``forever``."""

    def __init__(self, *faults: Fault, forever: bool = False) -> None:
        self._real, self._faults, self._forever = httpx.HTTPTransport(), list(faults), forever
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if not self._faults:
            return self._real.handle_request(request)
        fault = self._faults[0] if self._forever else self._faults.pop(0)
        return fault(request, lambda: self._real.handle_request(request))

    def close(self) -> None:
        self._real.close()


def refused(request: httpx.Request, send: Callable[[], httpx.Response]) -> httpx.Response:
    raise httpx.ConnectError("nobody listens", request=request)


def unheard(request: httpx.Request, send: Callable[[], httpx.Response]) -> httpx.Response:
    """The platform does it, and its answer is lost."""
    send().read()
    raise httpx.ReadError("the connection broke", request=request)


def status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request, send: httpx.Response(code, headers=named, json={}, request=request)


@pytest.fixture(scope="module")
def site(platform: World) -> Iterator[Site]:
    made = Site(platform, port=free_ports(1)[0])
    yield made
    made.close()


def test_a_question_is_answered_with_what_the_platform_says(site: Site) -> None:
    with Client(site.address, deadline=30, timeout=30) as client:
        answer = client.recommend(user_id="stranger", num_results=3, exclude_item_ids=["i0"], explain=True)
        assert len(answer.item_ids) == 3
        assert "i0" not in answer.item_ids
        assert answer.recommendation_id
        assert answer.items[0].sources
        page = client.recommend(user_id="stranger", num_results=2)
        following = client.recommend(user_id="stranger", num_results=2, cursor=page.cursor)
        assert not set(page.item_ids) & set(following.item_ids)
        ranked = client.rank(["i5", "i0", "i3"], user_id="stranger")
        assert sorted(ranked.item_ids) == ["i0", "i3", "i5"]
        assert len(client.similar("i1", num_results=2).items) <= 2


def test_a_click_is_stored_with_the_answer_it_came_from(site: Site) -> None:
    with Client(site.address, deadline=30, timeout=30) as client:
        answer = client.recommend(user_id="clicker", num_results=3)
        click = Event(
            "click", user_id="clicker", item_id=answer.item_ids[1], answer=answer, position=1, value=2.5
        )
        assert client.collect([click]).accepted == 1
        assert client.collect([click]).duplicates == 1
        (stored,) = [event for event in site.events() if event.user_id == "clicker"]
        assert (stored.message_id, stored.type, stored.item_id) == (
            click.message_id,
            "click",
            answer.item_ids[1],
        )
        assert (stored.recommendation_id, stored.position, stored.value) == (answer.recommendation_id, 1, 2.5)
        assert abs(stored.event_time - click.timestamp.timestamp()) < 1.0
        assert client.login("clicker", anonymous_id="a-7").merged
        assert not client.part("clicker", anonymous_id="a-7").merged
        assert client.collect([]).accepted == 0


@pytest.mark.parametrize(
    "faults", [(refused, refused), (unheard, status(503)), (status(429, retry_after="0"), unheard)]
)
def test_a_batch_is_sent_again_until_it_is_answered_and_counts_once(
    site: Site, faults: tuple[Fault, ...]
) -> None:
    wire = Wire(*faults)
    with Client(site.address, deadline=30, timeout=30, transport=wire) as client:
        events = [Event("view", user_id=f"again-{id(faults)}", item_id=f"i{n}") for n in range(3)]
        answer = client.collect(events)
    assert wire.requests == 3
    assert answer.accepted + answer.duplicates == 3
    stored = [event.message_id for event in site.events() if event.user_id == f"again-{id(faults)}"]
    assert sorted(stored) == sorted(event.message_id for event in events)


def test_what_is_refused_is_not_sent_again_and_says_why(site: Site) -> None:
    wire = Wire()
    with Client(site.address, deadline=30, timeout=30, transport=wire, fallback=lambda asked: []) as client:
        with pytest.raises(RefusedError, match="numResults") as refusal:
            client.recommend(user_id="u", num_results=0)
        assert (refusal.value.status, wire.requests) == (422, 1)
        (note,) = client.collect([Event("No Such", user_id="u")]).rejected
        assert note.index == 0


def test_while_the_platform_is_away_the_application_answers(site: Site) -> None:
    asked: list[Any] = []

    def own(question: Any) -> list[str]:
        asked.append(question)
        return ["best", "second"]

    with Client(site.address, deadline=0.3, transport=Wire(refused, forever=True), fallback=own) as client:
        answer = client.recommend(user_id="u", num_results=2)
        assert (answer.item_ids, answer.fallback, answer.recommendation_id) == (
            ["best", "second"],
            "client",
            "",
        )
        assert asked == [{"userId": "u", "numResults": 2}]
        assert "recommendationId" not in Event("click", user_id="u", answer=answer).to_json()
        assert client.rank(["a"], user_id="u").fallback == client.similar("a").fallback == "client"
        with pytest.raises(UnavailableError, match="nobody listens"):
            client.collect([Event("view", user_id="u")])
    with (
        Client(
            site.address, deadline=0.3, transport=Wire(status(503, retry_after="60"), forever=True)
        ) as client,
        pytest.raises(
            UnavailableError, match="after 1 attempts: status 503"
        ),  # a minute is past the deadline
    ):
        client.recommend(user_id="u")


def test_attempts_end_with_their_number_or_with_the_time() -> None:
    attempts = Attempts(started=100.0, timeout=1.0, deadline=3.0, retries=2)
    assert attempts.seconds_for_next(100.0) == 1.0
    assert attempts.pause(said=None, now=101.0, draw=lambda: 1.0) == 0.05
    assert attempts.seconds_for_next(102.5) == 0.5
    assert attempts.pause(said=0.2, now=102.5) == 0.2
    assert attempts.seconds_for_next(102.9) == pytest.approx(0.1)
    with pytest.raises(UnavailableError, match="after 3 attempts"):
        attempts.pause(said=None, now=102.95)
    with pytest.raises(UnavailableError, match="after 0 attempts"):
        Attempts(started=0.0, timeout=1.0, deadline=1.0, retries=9).seconds_for_next(1.0)
    for wrong in ({"timeout": 0.0}, {"deadline": -1.0}, {"retries": -1}):
        with pytest.raises(ValueError, match="must be positive"):
            Client("http://localhost", **wrong)  # type: ignore[arg-type]


def test_the_async_client_does_the_same(site: Site) -> None:
    async def use() -> None:
        async with AsyncClient(site.address, deadline=30, timeout=30) as client:
            answer, ranked = await asyncio.gather(
                client.recommend(user_id="async", num_results=2), client.rank(["i2", "i1"], user_id="async")
            )
            assert (len(answer.items), len(ranked.items)) == (2, 2)
            click = Event("click", anonymous_id="async-a", item_id="i1", answer=answer, position=0)
            assert (await client.collect([click])).accepted == 1
            assert (await client.collect([])).accepted == 0
            assert (await client.login("async", anonymous_id="async-a")).merged
            assert not (await client.part("async", anonymous_id="async-a")).merged
            assert len((await client.similar("i1", num_results=1)).items) <= 1
            with pytest.raises(RefusedError, match="numResults"):
                await client.recommend(user_id="u", num_results=0)
        (nobody,) = free_ports(1)
        async with AsyncClient(
            f"http://127.0.0.1:{nobody}", deadline=0.2, fallback=lambda asked: ["own"]
        ) as away:
            assert (await away.recommend(user_id="u")).item_ids == ["own"]
            with pytest.raises(UnavailableError):
                await away.collect([click])

    asyncio.run(use())


def test_an_answer_that_trickles_in_does_not_outlast_the_deadline() -> None:
    """Each byte comes in time; all of them would take for ever."""

    async def use() -> None:
        left = asyncio.Queue[None]()

        async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            with contextlib.suppress(OSError):
                while not reader.at_eof():
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            left.put_nowait(None)

        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"http://127.0.0.1:{port}", timeout=0.2, deadline=0.5) as client:
            with pytest.raises(UnavailableError, match="TimeoutError") as away:
                await asyncio.wait_for(client.recommend(user_id="u"), 30)
        for _ in range(away.value.attempts):
            await asyncio.wait_for(left.get(), 30)
        server.close()

    asyncio.run(use())


def test_an_event_says_who_and_when() -> None:
    with pytest.raises(ValueError, match="needs user_id or anonymous_id"):
        Event("view")
    with pytest.raises(ValueError, match="no time zone"):
        Event("view", user_id="u", timestamp=dt.datetime(2026, 1, 1))  # noqa: DTZ001
    assert Event("view", user_id="u").message_id != Event("view", user_id="u").message_id


def test_a_collector_sends_in_order_what_it_was_told_by_any_thread(site: Site) -> None:
    with (
        Client(site.address, deadline=30, timeout=30, transport=Wire(unheard, status(503))) as client,
        Collector(client, batch=7, every_seconds=0.05) as collector,
    ):

        def tell(name: str) -> None:
            for number in range(20):
                assert collector.tell(Event("view", user_id=name, item_id="i1", properties={"n": number}))

        threads = [threading.Thread(target=tell, args=(f"teller-{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert collector.flush(60)
        assert collector.sent.accepted + collector.sent.duplicates == 60
        assert collector.dropped == 0
    for name in ("teller-0", "teller-1", "teller-2"):
        found = [event.properties["n"] for event in _stored(site, name)]
        assert found == list(range(20))


def _stored(site: Site, user: str) -> list[Any]:
    """Events of a user in the order in which the log took them."""
    return [
        event
        for entry in site.world.log.read(site.world.before).entries
        if (event := site.as_sent(entry.record)).user_id == user
    ]


def test_a_collector_keeps_so_many_while_the_platform_is_away_and_says_what_it_lost(site: Site) -> None:
    lost: list[tuple[str, str]] = []
    client = Client(site.address, deadline=0.05, transport=Wire(refused, forever=True))
    collector = Collector(
        client,
        batch=2,
        every_seconds=0.01,
        most=5,
        close_seconds=0.2,
        on_dropped=lambda event, reason: lost.append((str(event.item_id), reason)),
    )
    told = [collector.tell(Event("view", user_id="u", item_id=f"i{n}")) for n in range(7)]
    assert told == [True] * 5 + [False] * 2
    assert not collector.flush(0.2)
    began = time.monotonic()
    collector.close()
    collector.close()
    assert time.monotonic() - began < 30
    assert not collector.tell(Event("view", user_id="u", item_id="late"))
    assert sorted(lost) == sorted(
        [
            *((f"i{n}", "the platform was away until the end") for n in range(5)),
            *((f"i{n}", "5 events wait already") for n in (5, 6)),
            ("late", "closed"),
        ]
    )
    assert collector.dropped == 8
    client.close()


def test_a_collector_goes_on_past_what_the_platform_refuses(site: Site) -> None:
    lost: list[str] = []
    with (
        Client(site.address, deadline=30, timeout=30) as client,
        Collector(
            client, every_seconds=0.01, on_dropped=lambda event, reason: lost.append(event.type)
        ) as collector,
    ):
        collector.tell(Event("No Such", user_id="going-on"))
        collector.tell(Event("view", user_id="going-on", item_id="i1"))
    assert lost == ["No Such"]
    assert [event.item_id for event in _stored(site, "going-on")] == ["i1"]


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_a_key_does_not_go_beyond_this_machine_as_plain_text(make: type) -> None:
    for base, admin in (("http://shop.example:8000", None), ("https://shop.example", "http://10.0.0.5:8001")):
        with pytest.raises(ValueError, match="plain=True"):
            make(base, admin_url=admin, api_key="k")
        assert make(base, admin_url=admin)
        assert make(base, admin_url=admin, api_key="k", plain=True)
    for base in ("https://shop.example", "http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000"):
        assert make(base, api_key="k")
