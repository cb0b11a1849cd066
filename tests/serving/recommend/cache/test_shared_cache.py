"""The result cache in Redis: every replica's, whole or not at all, and no request's trouble."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from serving.recommend.cache.memory import Found, Kept, Key
from serving.recommend.cache.results import ResultCache
from serving.recommend.cache.shared import SharedRankingCache
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.redis import RedisAddress
from tailorbird.slate.kept import pack_ranking, unpack_ranking
from tailorbird.slate.query import Candidates, Ranking
from tests.redis_server import RedisServer
from tests.serving.recommend.arms.test_arms import WatchingStages, watching
from tests.slate import toy

KEY = Key(b"settings", "user:ann", "7", "mobile//1", b"request")
RANKING = Ranking(
    Candidates(
        np.array([3, 0, 2]),
        ("one", "two"),
        np.arange(6, dtype=np.int32).reshape(3, 2),
        np.arange(9, dtype=np.float32).reshape(3, 3),
    ),
    np.array([0.9, 0.5, 0.1], np.float32),
    np.arange(4, dtype=np.float32),
    1234.5,
)
KEPT = Kept("v1", RANKING, made=100.0, until=110.0)
ASKED = [(KEY, "v1")]
NOTHING = Found()


def cache_at(url: str, prefix: str, **more: object) -> SharedRankingCache:
    address = RedisAddress.parse(f"{url}?prefix={prefix}", setting="result_cache")
    return SharedRankingCache(address, workspace="toy", **more)  # type: ignore[arg-type]


def assert_equal(one: object, other: object) -> None:
    for field in fields(one):  # type: ignore[arg-type]
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, Candidates):
            assert_equal(mine, theirs)
        elif isinstance(mine, np.ndarray):
            assert (mine.dtype, mine.tolist()) == (theirs.dtype, theirs.tolist())
        else:
            assert mine == theirs


def test_a_ranking_comes_back_whole_also_where_items_are_numbered_otherwise() -> None:
    ids = np.array(["a", "b", "c", "d"], object)
    packed = pack_ranking(RANKING, ids)
    assert_equal(RANKING, unpack_ranking(packed, {"a": 0, "b": 1, "c": 2, "d": 3}))
    turned = unpack_ranking(packed, {"d": 0, "c": 1, "b": 2, "a": 3})
    assert turned.candidates.rows.tolist() == [0, 3, 1]
    bare = replace(RANKING, candidates=replace(RANKING.candidates, signals=None))
    assert_equal(bare, unpack_ranking(pack_ranking(bare, ids), {"a": 0, "b": 1, "c": 2, "d": 3}))


@pytest.mark.parametrize("spoil", [lambda b: b[:40], lambda b: b[:-3], lambda b: b"", lambda b: b"\xff" * 50])
def test_bytes_that_are_no_ranking_and_items_that_are_gone_are_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    packed = pack_ranking(RANKING, np.array(["a", "b", "c", "d"], object))
    with pytest.raises(TailorbirdError, match="no ranking"):
        unpack_ranking(spoil(packed), {"a": 0, "b": 1, "c": 2, "d": 3})
    with pytest.raises(TailorbirdError, match="no ranking"):
        unpack_ranking(packed, {"a": 0})


def test_replicas_share_rankings_until_they_are_old(redis_url: str, tmp_path: Path) -> None:
    one, other = cache_at(redis_url, tmp_path.name), cache_at(redis_url, tmp_path.name)
    one.put_many([(KEY, KEPT)], now=100.0, catalog=toy.CATALOG)
    unknown = KEY._replace(request=b"another request")
    asked = [*ASKED, (unknown, "v1"), (KEY, "v2")]
    found, missing, moved = other.get_many(asked, now=105.0, catalog=toy.CATALOG)
    assert (missing, moved) == (NOTHING, Found(moved=True))
    assert found.ranking is not None
    assert_equal(RANKING, found.ranking)
    assert other.get_many(ASKED, now=110.0, catalog=toy.CATALOG) == [NOTHING]
    assert other.get_many(ASKED, now=99.0, catalog=toy.CATALOG) == [NOTHING]


def test_what_is_kept_has_a_time_to_live_and_names_nobody(redis_server: RedisServer) -> None:
    cache_at(redis_server.url, "mine").put_many([(KEY, KEPT)], now=100.0, catalog=toy.CATALOG)
    (name,) = redis_server.command("KEYS", "*")
    assert name.startswith(b"mine:toy:ranking:")
    assert b"ann" not in name
    assert 0 < redis_server.command("PTTL", name) <= 10_000
    brief = KEPT._replace(until=100.5)
    cache_at(redis_server.url, "mine").put_many([(KEY, brief)], now=100.0, catalog=toy.CATALOG)
    assert 0 < redis_server.command("PTTL", name) <= 500
    gone = KEPT._replace(until=100.0)
    cache_at(redis_server.url, "other").put_many([(KEY, gone)], now=100.0, catalog=toy.CATALOG)
    assert redis_server.command("KEYS", "other:*") == []


def test_a_damaged_ranking_and_a_redis_that_is_away_are_a_miss(redis_server: RedisServer) -> None:
    now, failures = [0.0], []
    cache = cache_at(redis_server.url, "mine", clock=lambda: now[0], on_failure=lambda: failures.append(1))
    cache.put_many([(KEY, KEPT)], now=100.0, catalog=toy.CATALOG)
    (name,) = redis_server.command("KEYS", "*")
    whole = redis_server.command("GET", name)
    redis_server.command("SET", name, whole[:60])
    assert cache.get_many(ASKED, now=100.0, catalog=toy.CATALOG) == [NOTHING]
    redis_server.command("SET", name, b"\0" * 40)
    assert cache.get_many(ASKED, now=0.0, catalog=toy.CATALOG) == [NOTHING]
    redis_server.kill()
    for _ in range(3):
        assert cache.get_many(ASKED, now=100.0, catalog=toy.CATALOG) == [NOTHING]
        cache.put_many([(KEY, KEPT)], now=100.0, catalog=toy.CATALOG)
    assert len(failures) == 1  # then it is left alone for a while
    redis_server.start()
    now[0] += 2
    cache.put_many([(KEY, KEPT)], now=100.0, catalog=toy.CATALOG)
    assert cache.get_many(ASKED, now=100.0, catalog=toy.CATALOG) != [NOTHING]


def test_answers_come_from_the_shared_cache_and_without_it(make_world, redis_server: RedisServer) -> None:  # type: ignore[no-untyped-def]
    world = make_world(cache_seconds=10)
    world.drawer._cache = ResultCache(cache_at(redis_server.url, "mine"), seconds=10)
    world.builder.change = watching
    world.point("2")
    world.check()
    asked = WatchingStages.asked
    asked.clear()
    wish = {"userId": "ann", "numResults": 3}
    first = world.post("/v1/recommendations", wish).json()
    again = world.post("/v1/recommendations", wish).json()
    assert len(asked) == 1
    assert [each["itemId"] for each in first["items"]] == [each["itemId"] for each in again["items"]]
    redis_server.kill()
    assert world.post("/v1/recommendations", wish).status_code == 200
    assert len(asked) == 2
