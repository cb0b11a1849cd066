"""A login over HTTP: durable, once, seen by the next answer, and taken back as if it had never been."""

import asyncio
import json
from concurrent.futures import Future

import pytest

from feature_repo.updater.updater import rebuild_beside
from serving.collect.links import LinkService
from serving.collect.replica import Collect
from serving.http.front import Request
from serving.http.problems import ProblemError, unpacked
from serving.http.schemas import Linked
from serving.recommend.routes.merge import MergeRoutes
from tailorbird.audit.record import hash_of, log_of
from tailorbird.catalog.keys import stable_key
from tailorbird.errors import TailorbirdError
from tailorbird.features.consent.links import Links
from tests.features.profile.test_state import assert_same
from tests.serving.collect.test_service import view

MERGE = "/v1/users/ann/merge"


def anonymous_view(world, message, item):
    world.post("/v1/events", {"batch": [{**view(message, item), "userId": None, "anonymousId": "a7"}]})


def first_item(world):
    return world.post("/v1/recommendations", {"userId": "ann", "numResults": 1}).json()["items"][0]["itemId"]


def test_the_next_answer_knows_what_was_done_before_the_login_and_forgets_it_at_the_withdrawal(world):
    anonymous_view(world, "m1", "i0")
    assert first_item(world) == "i0"
    joined = world.post(MERGE, {"anonymousId": "a7"})
    assert joined.status_code == 202
    assert Linked.model_validate(joined.json()) == Linked(user_id="ann", anonymous_id="a7", merged=True)
    assert first_item(world) == "i1"
    parted = world.call("DELETE", f"{MERGE}?anonymousId=a7")
    assert (parted.status_code, parted.json()["merged"]) == (202, False)
    assert first_item(world) == "i0"
    assert world.profile("anon:a7").total == 1


def test_twice_is_once(world):
    anonymous_view(world, "m1", "i0")
    for _ in range(2):
        world.post(MERGE, {"anonymousId": "a7"})
    assert world.profile("user:ann").total == 1
    for _ in range(2):
        world.call("DELETE", f"{MERGE}?anonymousId=a7")
    assert world.profile("user:ann").total == 0


def test_a_withdrawal_counts_although_the_clock_was_set_back(world):
    anonymous_view(world, "m1", "i0")
    world.post(MERGE, {"anonymousId": "a7"})
    world.clock -= 3_600
    world.call("DELETE", f"{MERGE}?anonymousId=a7")
    assert world.profile("user:ann").total == 0


def on_the_device(world, message, kind, user=None, item=None):
    told = {"messageId": message, "type": kind, "userId": user, "anonymousId": "a7", "itemId": item}
    answer = world.post("/v1/events", {"batch": [told]}).json()
    world.clock += 60
    return answer


def test_people_who_share_a_device_stay_apart(world):
    """One never logs out; the log that live profiles are made of gives the same ones again."""
    assert on_the_device(world, "m1", "view", item="i0")["accepted"] == 1
    assert on_the_device(world, "in-ann", "identify", "ann") | {"tookMs": 0} == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
        "warnings": [],
        "profileDelayed": False,
        "tookMs": 0,
    }
    on_the_device(world, "m2", "view", item="i1")
    on_the_device(world, "in-bob", "identify", "bob")
    on_the_device(world, "m3", "view", item="i2")
    on_the_device(world, "out", "logout", "bob")
    on_the_device(world, "m4", "view", item="i3")
    assert on_the_device(world, "in-bob", "identify", "bob")["duplicates"] == 1

    def had(key):
        return {name for name in ("i0", "i1", "i2", "i3") if stable_key(name) in world.profile(key).had}

    assert (had("user:ann"), had("user:bob"), had("anon:a7")) == ({"i0", "i1"}, {"i2"}, {"i3"})
    people = ("user:ann", "user:bob", "anon:a7")
    live = [world.profile(key) for key in people]
    rebuild_beside(world.settings, world.log)
    for key, before in zip(people, live, strict=True):
        assert_same(world.profile(key), before)


def test_a_missing_anonymous_id_is_called_by_its_name(world):
    assert "?anonymousId=" in world.call("DELETE", MERGE).json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", MERGE, {}, 422),
        ("POST", MERGE, {"anonymousId": ""}, 422),
        ("POST", MERGE, {"anonymousId": "a" * 257}, 422),
        ("POST", MERGE, {"anonymousId": "a7", "userId": "bob"}, 422),
        ("POST", f"/v1/users/{'u' * 257}/merge", {"anonymousId": "a7"}, 422),
        ("DELETE", MERGE, None, 422),
        ("GET", MERGE, None, 405),
    ],
)
def test_what_names_nobody_is_refused(world, method, path, body, status):
    answer = world.post(path, body) if method == "POST" else world.call(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.log.end() == world.before


def test_a_link_event_needs_both_ids_at_the_other_door_too(world):
    lone = {"messageId": "m1", "type": "identify", "userId": "ann"}
    answer = world.post(
        "/v1/events", {"batch": [lone, {**lone, "messageId": "m2", "anonymousId": "a7"}]}
    ).json()
    assert answer["accepted"] == 1
    assert "identify needs userId and anonymousId" in answer["rejected"][0]["reason"]


def test_who_joins_and_parts_ids_stands_in_the_audit_log(world):
    world.post(MERGE, {"anonymousId": "a7"})
    world.call("DELETE", f"{MERGE}?anonymousId=a7")
    entries = [(each.who, each.what, each.whom) for each in log_of(world.settings).entries()]
    ann = hash_of(world.settings, world.key("user:ann"))
    assert entries == [("local", "person.merge", ann), ("local", "person.part", ann)]


def test_a_word_that_changes_nothing_is_not_written_down_again(world):
    def said():
        return [each.what.removeprefix("person.") for each in log_of(world.settings).entries()]

    def joins(name):
        world.clock += 60
        assert world.post(f"/v1/users/{name}/merge", {"anonymousId": "a7"}).status_code == 202

    joins("ann")
    joins("ann")
    assert said() == ["merge"]
    joins("bob")  # now the device is his
    joins("ann")
    assert said() == ["merge"] * 3
    for _ in range(2):
        world.call("DELETE", f"{MERGE}?anonymousId=a7")
    assert said() == ["merge"] * 3 + ["part"]


def test_ids_are_not_joined_unwritten(world):
    (world.settings.folder / "audit.db").mkdir()
    refused = world.post(MERGE, {"anonymousId": "a7"})
    assert (refused.status_code, "audit.db" in refused.json()["detail"]) == (503, True)
    assert world.log.end() == world.before


def test_a_collector_that_is_away_is_a_503_that_says_so():
    async def nobody(user_id, anonymous_id, joined, key):
        raise RuntimeError("no replica")

    with pytest.raises(ProblemError, match="collect did not answer") as caught:
        asyncio.run(MergeRoutes(nobody).merge(Request(b'{"anonymousId": "a7"}', "ann")))
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


def test_a_refusal_of_collect_reaches_the_caller_with_its_retry_after():
    class FullDisk:
        def write(self, events):
            failed = Future()
            failed.set_exception(TailorbirdError("the disk is full", remedy="make room"))
            return failed

    collect = Collect.__new__(Collect)
    collect._links = LinkService(FullDisk(), links_of=lambda person: Links(), noted=lambda **entry: None)

    async def answer():
        return json.loads(json.dumps(await collect.link("ann", "a7", True, "")))

    with pytest.raises(ProblemError, match="the disk is full") as caught:
        asyncio.run(unpacked(answer(), Linked))
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    assert caught.value.remedy
