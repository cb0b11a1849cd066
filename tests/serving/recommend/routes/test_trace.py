"""GET /v1/recommendations/{id}/trace over the real streams: after a restart, after compaction, and where there is nothing."""

import asyncio
import threading

from serving.http.schemas import Problem
from serving.http.traces import Trace
from serving.recommend.routes.trace import AT_ONCE
from tailorbird.audit.record import READ_TRACE, hash_of, log_of
from tailorbird.exposures.exposure import new_recommendation_id
from tailorbird.streams.factory import compact_stream
from tests.slate import toy

PATH = "/v1/recommendations"


def did(world, *acts, user="ann"):
    batch = [
        {"messageId": f"{user}-{kind}-{item}", "type": kind, "userId": user, "itemId": item}
        for kind, item in acts
    ]
    assert world.post("/v1/events", {"batch": batch}).json()["accepted"] == len(batch)


def asked(world, **body):
    answer = world.post(PATH, {"userId": "ann", "numResults": 4, **body}).json()
    world.exposures.close()
    return answer


def trace(world, answer):
    response = world.call("GET", f"{PATH}/{answer['recommendationId']}/trace")
    assert response.status_code == 200, response.text
    Trace.model_validate(response.json())
    return response.json()


def test_a_trace_tells_sources_rules_and_the_profile(world):
    did(world, ("view", "i0"), ("view", "i1"), ("hide", "i2"))
    answer = asked(world)
    told = trace(world, answer)
    assert [item["itemId"] for item in told["items"]] == [item["itemId"] for item in answer["items"]]
    for item, shown in zip(told["items"], answer["items"], strict=True):
        assert [source["name"] for source in item["sources"]] == shown["sources"]
        assert "number" in item["words"]
    assert {part["rule"]: part["count"] for part in told["removed"]} == {
        "hidden": 1,
        "seen": 2,
        "out_of_stock": 1,
    }
    assert told["profile"]["rebuilt"]
    assert (told["profile"]["events"], told["arm"], told["notes"]) == (3, "champion", [])


def test_who_read_whose_trace_is_written_down(world):
    did(world, ("view", "i0"))
    trace(world, asked(world))
    entries = [each for each in log_of(world.settings).entries() if each.what == READ_TRACE]
    assert [(each.who, each.whom) for each in entries] == [
        ("local", hash_of(world.settings, world.key("user:ann")))
    ]


def test_what_happened_after_the_answer_is_no_part_of_its_trace(world):
    did(world, ("view", "i0"))
    answer = asked(world)
    before = trace(world, answer)
    world.clock += 60
    did(world, ("purchase", "i5"), ("view", "i6"))
    after = trace(world, answer)
    before.pop("tookMs"), after.pop("tookMs")
    assert after == before


def test_a_trace_survives_a_restart_and_compaction(world, make_world):
    did(world, ("view", "i0"))
    answer = asked(world, explain=True)
    before = trace(world, answer)
    assert compact_stream(world.shown).records == 1
    assert compact_stream(world.log).records
    world.close()
    again = type(world)(world.settings)
    try:
        after = trace(again, answer)
    finally:
        again.close()
    before.pop("tookMs"), after.pop("tookMs")
    assert after == before


def test_an_unknown_answer_is_a_404(world):
    for name in ("nonsense", new_recommendation_id(toy.NOW), "%00"):
        response = world.call("GET", f"{PATH}/{name}/trace")
        assert response.status_code == 404
        problem = Problem.model_validate(response.json())
        assert "no answer" in problem.detail
        assert problem.remedy


def test_nobody_in_particular_is_traced_too(world):
    answer = asked(world, userId=None)
    told = trace(world, answer)
    assert told["profile"]["events"] == 0
    assert all(not item["because"] for item in told["items"])


def test_similar_items_and_ranked_lists_are_traced_too(world):
    similar = world.call("GET", "/v1/items/i6/similar?numResults=2").json()
    ranked = world.post("/v1/rank", {"userId": "ann", "itemIds": ["i1", "i5", "gone"]}).json()
    world.exposures.close()
    assert "the same for everybody" in trace(world, similar)["notes"][0]
    assert [item["itemId"] for item in trace(world, ranked)["items"]] == [
        item["itemId"] for item in ranked["items"]
    ]


def test_a_version_that_no_longer_serves_leaves_the_reasons_out(world):
    did(world, ("view", "i0"))
    answer = asked(world)
    world.point(world.register(padding=10))
    world.check()
    told = trace(world, answer)
    assert "version 1 of the model is not loaded" in told["notes"][0]
    assert told["items"][0]["sources"]


def test_too_many_traces_at_a_time_are_refused_and_none_is_stuck(world, monkeypatch):
    gate, find = threading.Event(), world.shown.find

    def slow(identity):
        gate.wait(20)
        return find(identity)

    monkeypatch.setattr(world.shown, "find", slow)

    async def story():
        async with world.client() as client:
            path = f"{PATH}/nonsense/trace"
            waiting = [asyncio.ensure_future(client.get(path)) for _ in range(AT_ONCE)]
            await asyncio.sleep(0.1)
            refused = await client.get(path)
            waiting[1].cancel()  # a caller who hangs up takes nobody's place
            answered = await client.post(PATH, json={"userId": "ann", "numResults": 1})
            gate.set()
            await asyncio.gather(*waiting, return_exceptions=True)
            return refused, answered, await client.get(path)

    refused, answered, later = asyncio.run(story())
    assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[-1]) == (503, "busy")
    assert answered.status_code == 200
    assert later.status_code == 404


def test_streams_that_are_away_are_a_503(world):
    answer = asked(world)
    world.shown.close()
    response = world.call("GET", f"{PATH}/{answer['recommendationId']}/trace")
    assert response.status_code == 503
    assert "exposure stream" in Problem.model_validate(response.json()).detail
