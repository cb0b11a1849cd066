"""Cache, cursor, exposure queue: small parts by themselves."""

import base64
import threading
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cluster import require_free_port
from serving.http.cursor import read_cursor, write_cursor
from serving.http.front import Route
from serving.http.problems import ProblemError
from serving.writer import ExposureWriter
from tailorbird.errors import UsageError
from tailorbird.events.log import SqliteEventLog
from tailorbird.events.schema import Event
from tests.serving.world import World
from tests.slate import toy


@given(st.lists(st.text(max_size=20), max_size=50))
def test_a_cursor_returns_what_it_was_given(item_ids):
    assert read_cursor(write_cursor(item_ids)) == tuple(item_ids)


@given(st.text(min_size=1, max_size=80))
def test_a_forged_cursor_is_a_problem_and_nothing_else(text):
    with pytest.raises(ProblemError):
        read_cursor(text)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], "text", "x" * 50_000_000])
def test_a_cursor_of_another_shape_is_refused(content):
    forged = base64.urlsafe_b64encode(zlib.compress(orjson.dumps(content))).decode()
    with pytest.raises(ProblemError):
        read_cursor(forged)


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("/v1/items/a/similar", "a"),
        ("/v1/items/a/b/similar", "a/b"),
        ("/v1/items//similar", None),
        ("/v1/items/a", None),
    ],
)
def test_a_route_finds_its_argument(path, argument):
    async def nothing(request):
        raise NotImplementedError

    assert Route("similar", "GET", "/v1/items/", nothing, suffix="/similar").argument(path) == argument


def test_a_cached_ranking_is_used_until_an_event_or_its_age_ends_it(tmp_path):
    asked = []
    world = World(tmp_path, cache_seconds=10)

    class Counting(toy.RowStages):
        def retrieve_one(self, query, *more):
            asked.append(query.state.user_key)
            return super().retrieve_one(query, *more)

    world.workspace.stages = Counting()
    world.alias.point_at("2")
    world.champion.check()
    asked.clear()
    wish = {"userId": "ann", "numResults": 3}
    for _ in range(3):
        world.post("/v1/recommendations", wish)
    assert len(asked) == 1
    hide = {"messageId": "h", "type": "hide", "userId": "ann", "itemId": "i1"}
    world.post("/v1/events", {"batch": [hide]})
    answer = world.post("/v1/recommendations", wish).json()
    assert [item["itemId"] for item in answer["items"]] == ["i0", "i2", "i4"]
    assert len(asked) == 2
    world.clock += 11
    world.post("/v1/recommendations", wish)
    assert len(asked) == 3
    world.close()


def test_a_full_exposure_queue_drops_and_counts(tmp_path):
    gate, outcomes = threading.Event(), []
    log = SqliteEventLog(tmp_path / "events.db")
    writer = ExposureWriter(
        log, capacity=5, pause_seconds=0.001, on_outcome=lambda name, count: outcomes.append((name, count))
    )

    def slow(n):
        def make():
            gate.wait(10)
            return Event(f"s{n}", "slate", 1.0, 1.0, user_id="u")

        return make

    for n in range(50):
        writer.put(slow(n))
    gate.set()
    writer.close()
    counted = {name: sum(count for each, count in outcomes if each == name) for name in ("logged", "dropped")}
    assert counted["logged"] + counted["dropped"] == 50
    assert counted["dropped"] >= 35
    assert log.last_offset() == counted["logged"]
    log.close()


def test_a_taken_port_is_refused_before_anything_starts():
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1"):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)
