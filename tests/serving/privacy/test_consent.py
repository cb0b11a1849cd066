"""A refusal over HTTP holds at the next request: no profile, no move, nobody in the exposures, nothing for training; and back again."""

import datetime as dt
import random
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from feature_repo.offline.rows import OfflineRows
from feature_repo.portraits import Portraits
from feature_repo.updater.updater import rebuild_beside
from serving.privacy.consents import ConsentKeeper
from serving.privacy.erasures import open_erasing
from serving.privacy.exports import Exports
from serving.triggers.courier import Courier
from serving.triggers.refused import refused_by
from tailorbird.audit.record import CONSENT, hash_of, log_of
from tailorbird.events.schema import CONSENT as SAYS
from tailorbird.events.schema import MOVE, Event
from tailorbird.experiments.running.units import may_be_unit
from tailorbird.features.demographics import NOBODY
from tailorbird.features.profile.state import UserState
from tailorbird.privacy.policy.words import Said
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.scan import scan
from tailorbird.triggers.addresses import Allowed
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.pace import BACKOFF
from tailorbird.triggers.queue import DeliveryQueue
from tailorbird.triggers.trigger import Target
from tests.serving.privacy.conftest import Call
from tests.serving.triggers.subscriber import SECRET, Subscriber, wait_until
from tests.serving.world import World
from training.data.dataset import read_events
from training.segments.people import load_people

RULE = '[carts]\nname = "fills carts"\nwhen = "carts_24h > 0"\n'


def does(world: World, message: str, *, kind: str = "view", item: str = "i0", **who: str) -> httpx.Response:
    world.clock += 1.0
    sent = {"messageId": message, "type": kind, "itemId": item, **(who or {"userId": "ann"})}
    return world.post("/v1/events", {"batch": [sent]})


def asks(world: World, **who: str) -> dict:
    world.clock += 1.0
    return world.post("/v1/recommendations", {**(who or {"userId": "ann"}), "numResults": 3}).json()


def says(call: Call, given: bool, user: str = "ann", query: str = "") -> httpx.Response:
    return call(
        "PUT",
        f"/v1/users/{user}/consent{query}",
        json={
            "purposes": {"personalization": given},
            "version": "2026-11",
            "source": "banner",
            "proof": "signed by Ann",
        },
    )


def test_a_refusal_holds_at_the_next_request_and_for_what_was_before(world: World, call: Call) -> None:
    does(world, "m1")
    assert world.profile("user:ann").total == 1
    told = says(call, False)
    assert (told.status_code, told.json()["profileDelayed"]) == (200, False)
    assert told.json()["purposes"] == {"personalization": False}
    refused = asks(world)
    assert (refused["fallback"], refused["arm"], len(refused["items"])) == ("no_consent", "champion", 3)
    says(call, False, "bob")
    assert refused["items"] == asks(world, userId="bob")["items"]
    does(world, "m2", item="i3")
    own = world.features.online_parts([world.key("user:ann")])[0]
    assert (own.total, len(own.history), len(own.had_set)) == (0, 0, 0)
    ranked = world.post("/v1/rank", {"userId": "ann", "itemIds": ["i4", "i2"]}).json()
    assert ranked["fallback"] == "no_consent"
    assert says(call, True).json()["purposes"] == {"personalization": True}
    assert asks(world)["fallback"] != "no_consent"
    does(world, "m3", item="i5")
    assert world.profile("user:ann").total == 1
    names = {exposure.recommendation_id: exposure for exposure in world.stored()}
    of_refused = names[refused["recommendationId"]]
    assert (of_refused.user_id, of_refused.anonymous_id, of_refused.session_id) == (None, None, None)
    assert of_refused.fallback == "no_consent"
    assert sum(each.user_id == world.key("user:ann")[5:] for each in names.values()) == 1


def test_a_device_that_asks_by_itself_is_answered_as_who_is_logged_in_allows(
    world: World, call: Call
) -> None:
    device = {"anonymousId": "a7"}
    does(world, "m1", anonymousId="a7")
    does(world, "in", kind="identify", userId="ann", anonymousId="a7")
    assert asks(world, **device)["fallback"] != "no_consent"
    says(call, False)
    assert asks(world, **device)["fallback"] == "no_consent"
    assert world.post("/v1/assignments", device).json()["assignments"] == []
    says(call, True)
    assert asks(world, **device)["fallback"] != "no_consent"
    restriction = "/v1/users/ann/restriction"
    call("PUT", restriction, json={"restricted": True})
    assert asks(world, **device)["fallback"] == "no_consent"
    does(world, "out", kind="logout", userId="ann", anonymousId="a7")
    assert asks(world, **device)["fallback"] != "no_consent"  # whoever comes next is somebody else
    does(world, "in again", kind="identify", userId="ann", anonymousId="a7")
    assert asks(world, **device)["fallback"] == "no_consent"
    world.call("DELETE", "/v1/users/ann/merge?anonymousId=a7")
    assert asks(world, **device)["fallback"] != "no_consent"
    names = [exposure.anonymous_id for exposure in world.stored()]
    assert [name is None for name in names] == [False, True, False, True, False, True, False]


def test_a_device_is_no_unit_where_who_is_logged_in_refuses_analytics_alone(world: World, call: Call) -> None:
    does(world, "m1", anonymousId="a7")
    does(world, "in", kind="identify", userId="ann", anonymousId="a7")
    key = world.key("anon:a7")

    def known() -> UserState:
        ((state,), _) = world.drawer._hydrator.fetch_profiles([key])
        return state

    assert may_be_unit(known(), {}, basis=world.door.policy.covers.of({}, NOBODY))
    call("PUT", "/v1/users/ann/consent", json={"purposes": {"analytics": False, "personalization": True}})
    assert not may_be_unit(known(), {}, basis=world.door.policy.covers.of({}, NOBODY))
    assert known().total == 1  # it is answered personally all the same


def test_what_a_page_says_stands_in_the_audit_log_before_it_is_stored(world: World) -> None:
    body = {"purposes": {"personalization": False, "advertising": True}}
    assert world.call("PUT", "/v1/users/ann/consent", json=body).status_code == 200
    assert world.call("PUT", "/v1/users/ann/consent", json={"purposes": {"of Ann": True}}).status_code == 422
    (entry,) = log_of(world.settings).entries()
    ann = hash_of(world.settings, world.key("user:ann"))
    assert (entry.who, entry.what, entry.whom) == ("local", CONSENT, ann)
    assert entry.plain()["detail"] == body
    stored = world.log.end()
    with world.away(world.settings.folder / "audit.db"):
        unwritten = world.call("PUT", "/v1/users/ann/consent", json=body)
    assert (unwritten.status_code, world.log.end()) == (503, stored)


def test_a_kept_ranking_is_not_given_to_somebody_who_refused(make_world: Callable[..., World]) -> None:
    world = make_world(cache_seconds=600.0)
    does(world, "m1")
    body = {"userId": "ann", "numResults": 3}
    world.post("/v1/recommendations", body)
    keeper = ConsentKeeper(world.settings, door=world.door, clock=lambda: world.clock + 1)
    keeper.say("ann", Said({"personalization": False}))
    assert world.post("/v1/recommendations", body).json()["fallback"] == "no_consent"


def test_what_was_refused_under_an_anonymous_id_follows_the_login(world: World, call: Call) -> None:
    does(world, "m1", anonymousId="a7")
    assert says(call, False, "a7", "?anonymous=true").json()["history"][0]["anonymous"] is True
    assert asks(world, anonymousId="a7")["fallback"] == "no_consent"
    does(world, "m2")
    assert asks(world)["fallback"] != "no_consent"
    world.post("/v1/users/ann/merge", {"anonymousId": "a7"})
    assert asks(world)["fallback"] == "no_consent"
    assert says(call, True).json()["purposes"] == {"personalization": True}
    assert asks(world)["fallback"] != "no_consent"
    assert world.profile("user:ann").total == 0


def test_nobody_who_refused_moves(world: World, call: Call) -> None:
    (world.settings.folder / "rules.toml").write_text(RULE)
    says(call, False)
    does(world, "m1", kind="add_to_cart")
    does(world, "m2", kind="add_to_cart", userId="bob")
    world.writer.close()
    world.folder.close()
    world.mover.close()
    moved = [
        entry.record.user_key
        for entry in world.log.read(BEGINNING, limit=10_000).entries
        if entry.record.type == MOVE
    ]
    assert moved == [world.key("user:bob")]


def test_a_refusal_holds_for_what_a_clock_that_ran_ahead_had_told(world: World, call: Call) -> None:
    ahead = dt.datetime.fromtimestamp(world.clock + 60, dt.UTC).isoformat()
    sent = {"messageId": "m1", "type": "view", "itemId": "i0", "userId": "ann", "timestamp": ahead}
    assert world.post("/v1/events", {"batch": [sent]}).json()["accepted"] == 1
    assert world.profile("user:ann").total == 1
    says(call, False)
    assert world.profile("user:ann").total == 0
    assert asks(world)["fallback"] == "no_consent"
    says(call, True)
    assert world.profile("user:ann").total == 0


@pytest.mark.parametrize("under", [{"user_id": "ann"}, {"anonymous_id": "a7"}])
def test_whoever_refuses_in_the_commit_of_a_deed_moves_nowhere(world: World, under: dict[str, str]) -> None:
    (world.settings.folder / "rules.toml").write_text(RULE)
    world.post("/v1/users/ann/merge", {"anonymousId": "a7"})
    does(world, "m1", kind="add_to_cart")
    does(world, "m2", anonymousId="a7")
    at = world.clock + 1
    words = {"context": {"purposes": {"personalization": False}}}
    # Whatever the profile loses by it is no move: neither a deed of before the refusal nor one after it is a cause.
    deeds = [Event(f"n{n}", "view", at + n, at, item_id="i1", **under) for n in (-0.5, 0.5)]
    assert (
        world.writer.write([deeds[0], Event("c1", SAYS, at, at, **under, **words), deeds[1]])  # type: ignore[arg-type]
        .result()
        .accepted
        == 3
    )
    assert world.profile("user:ann").total == 0
    world.writer.close()
    world.folder.close()
    world.mover.close()
    moves = [entry.record for entry in world.log.read(BEGINNING, limit=10_000).entries]
    assert [each.properties["rules_entered"] for each in moves if each.type == MOVE] == [["carts"]]


def test_a_webhook_that_waits_for_somebody_who_refuses_meanwhile_is_not_delivered(
    world: World, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_SECRET", SECRET)
    does(world, "m1")
    does(world, "m2", userId="bob")
    subscriber = Subscriber()
    target = Target("crm", f"{subscriber.origin()}/hook", "CRM_SECRET")
    queue = DeliveryQueue(world.settings.folder)
    people = world.key("user:ann"), world.key("user:bob")
    bodies = [Delivery(f"d{n}", "crm", key, b"{}", world.clock) for n, key in enumerate(people)]
    queue.follow(BEGINNING, bodies)
    says(call, False)
    courier = Courier(
        target,
        queue,
        Allowed.of([subscriber.origin()]),
        refuses=refused_by(world.settings),
        backoff=BACKOFF,
        rng=random.Random(0),
        clock=lambda: world.clock,
    )
    wait_until(lambda: not queue.counts())
    courier.close()
    courier.join(10)
    queue.close()
    subscriber.close()
    assert [each.id for each in subscriber.calls] == ["d1"]


def test_whoever_learns_never_sees_them_and_rows_of_the_past_go(world: World, call: Call) -> None:
    does(world, "m1")
    does(world, "m2", userId="bob")
    ann, bob = world.key("user:ann"), world.key("user:bob")
    rows = OfflineRows(world.settings)
    instants = np.full(2, round((world.clock + 1) * 1e6))
    rows.ensure([ann, bob], instants)
    assert set(rows.count_of([ann, bob])) == {ann, bob}
    assert {ann, bob} <= set(read_events(world.settings)[0].user_keys)
    assert {ann, bob} <= set(load_people(world.settings).user_keys)
    says(call, False)
    does(world, "m3")
    events, _ = read_events(world.settings)
    done = {events.user_keys[code] for code in events.users.tolist()}
    assert (ann in done, bob in done) == (False, True)
    people = load_people(world.settings).user_keys
    assert (ann in people, bob in people) == (False, True)
    rows.refresh()
    assert set(rows.count_of([ann, bob])) == {bob}
    rows.ensure([ann], instants[:1])
    (again,) = list(rows._replay([ann], until=int(instants[0])).states_at([ann], instants[:1] / 1e6))
    assert again.total == 0


def test_profiles_made_anew_from_the_log_hold_to_it(world: World, call: Call) -> None:
    does(world, "m1")
    says(call, False)
    does(world, "m2")
    says(call, True)
    does(world, "m3", item="i4")
    before = world.profile("user:ann")
    rebuild_beside(world.settings, world.log)
    after = world.profile("user:ann")
    assert (after.version, after.total, after.times.tolist()) == (before.version, 1, before.times.tolist())
    assert asks(world)["fallback"] != "no_consent"


def test_a_portrait_says_so_now_and_of_the_past(world: World, call: Call) -> None:
    does(world, "m1")
    then = world.clock
    says(call, False)
    portraits = Portraits(world.settings, clock=lambda: world.clock)
    for found in (portraits.live(world.key("user:ann")), portraits.at(world.key("user:ann"), then)):
        assert (found.events, found.consents) == (0, {"personalization": False})


def test_the_history_is_for_an_auditor_and_in_the_export(world: World, call: Call) -> None:
    says(call, False)
    says(call, True)
    told = call("GET", "/v1/users/ann/consent").json()
    assert told["userId"] == "ann"
    assert [
        (each["purposes"]["personalization"], each["version"], each["source"], each["proof"])
        for each in told["history"]
    ] == [
        (False, "2026-11", "banner", "signed by Ann"),
        (True, "2026-11", "banner", "signed by Ann"),
    ]
    stored = [row for batch in scan(world.settings, types=["consent"]) for row in batch.to_pylist()]
    assert "Ann" not in str(stored)
    exports = Exports(world.settings, door=world.door, portraits=Portraits(world.settings))
    rows = {section.name: section for section in exports.sections([world.key("user:ann")])}["consents"].rows()
    assert [row["words"] for row in rows] == [
        "you said no to personalization",
        "you said yes to personalization",
    ]
    audited = [each for each in log_of(world.settings).entries() if each.what == CONSENT]
    assert [each.whom for each in audited] == [hash_of(world.settings, world.key("user:ann"))] * 2


def test_an_erased_person_comes_back_by_a_consent_alone(world: World, call: Call) -> None:
    does(world, "m1")
    erasing = open_erasing(world.settings)
    erasing.ask(world.key("user:ann"))
    assert says(call, True).status_code == 409  # it is under way
    erasing.run()
    assert does(world, "m2").json()["accepted"] == 0
    refused = says(call, False)
    assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[-1]) == (409, "erased")
    assert says(call, True).status_code == 200
    assert does(world, "m3").json()["accepted"] == 1


def test_what_nobody_declared_is_refused_and_no_sender_writes_consents(world: World, call: Call) -> None:
    unknown = call("PUT", "/v1/users/ann/consent", json={"purposes": {"research": True}})
    assert (unknown.status_code, "privacy.toml" in unknown.json()["remedy"]) == (422, True)
    assert call("PUT", "/v1/users/ann/consent", json={"purposes": {}}).status_code == 422
    assert call("PUT", "/v1/users/ann/consent", json={"purposes": {"analytics": "yes"}}).status_code == 422
    sent = {
        "messageId": "c",
        "type": "consent",
        "userId": "ann",
        "context": {"purposes": {"personalization": True}},
    }
    assert world.post("/v1/events", {"batch": [sent]}).json()["accepted"] == 0


def test_global_privacy_control_turns_advertising_off_for_what_came_with_it(world: World) -> None:
    for number, headers in enumerate(({}, {"sec-gpc": "1"}, {"dnt": "1"})):
        sent = {"messageId": f"m{number}", "type": "view", "itemId": "i0", "userId": "ann"}
        world.call("POST", "/v1/events", json={"batch": [sent]}, headers=headers)
    contexts = [
        entry.record.context.get("purposes")
        for entry in world.log.read(world.before, limit=100).entries
        if entry.record.type == "view"
    ]
    assert contexts == [None, {"advertising": False}, None]


def test_the_exposure_of_a_request_says_so_too(world: World) -> None:
    body = {"userId": "ann", "numResults": 1, "context": {"device": "mobile"}}
    asked = [
        world.call("POST", "/v1/recommendations", json=body, headers=headers).json()["recommendationId"]
        for headers in ({"sec-gpc": "1"}, {"dnt": "1"}, {})
    ]
    ranked = {"userId": "ann", "itemIds": ["i1", "i2"]}
    asked.append(
        world.call("POST", "/v1/rank", json=ranked, headers={"sec-gpc": "1"}).json()["recommendationId"]
    )
    contexts = {each.recommendation_id: dict(each.context) for each in world.stored()}
    plain, off = {"device": "mobile"}, {"purposes": {"advertising": False}}
    assert [contexts[each] for each in asked] == [{**plain, **off}, plain, plain, off]
