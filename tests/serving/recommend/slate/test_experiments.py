"""Experiments in answers: a unit gets its variant's arm, the answer and its exposure say which, and nobody who refuses is a unit."""

import time
from typing import Any

import pytest

from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.ledger import Ledger

PATH, ASSIGNMENTS = "/v1/recommendations", "/v1/assignments"
ALWAYS = {"weight": 1 - 1e-9}
NEVER = {"never": {"weight": 1e-9}}


def start(
    world,
    key: str,
    *,
    variants: dict[str, Any] | None = None,
    always: dict[str, Any] | None = None,
    **more: Any,
):
    """Let an experiment run; ``always`` is what its variant b changes, which everybody gets."""
    said = {
        "hypothesis": "h",
        "metrics": {"primary": "ctr", "minimum_effect": 0.1},
        "variants": variants or {"b": {**ALWAYS, **(always or {"payload": {key: 1}})}, **NEVER},
        **more,
    }
    said = {name: value for name, value in said.items() if value is not None}
    Ledger(world.settings.folder).start(experiment_of(key, said, where=key), said, at=1.0, who="ann")
    world.check()


def stop(world, key: str) -> None:
    Ledger(world.settings.folder).stop(key, at=2.0, who="ann")
    world.check()


def asked(world, user: str = "ann", **more: Any) -> dict[str, Any]:
    return world.post(PATH, {"userId": user, "numResults": 3, **more}).json()


def test_a_variant_with_a_version_answers_and_is_named(world):
    start(world, "newer", always={"version": "2"})
    answer = asked(world)
    assert answer["model"]["version"] == "2"
    assert answer["arm"] == "newer:b"
    assert answer["experiments"] == [{"key": "newer", "variant": "b"}]
    stop(world, "newer")
    after = asked(world)
    assert (after["model"]["version"], after["arm"], after["experiments"]) == ("1", "champion", [])
    first, second = world.stored()
    assert (dict(first.experiments), first.arm, first.model_version) == ({"newer": "b"}, "newer:b", "2")
    assert first.took_ms > 0
    assert not second.experiments


def test_a_variant_of_slate_and_wishes_leaves_the_model_and_the_rest(make_world):
    world = make_world(cache_seconds=10.0)
    assert len(asked(world, "eve")["items"]) == 3
    start(world, "pots", always={"slate": {"rules": {"categories": ["pots"]}}})
    start(world, "short", always={"scenario": {"pin": [{"item_id": "i9", "place": 1}]}})
    answer = asked(world, "eve")
    assert answer["arm"] == "pots:b+short:b"
    assert {item["itemId"] for item in answer["items"]} <= {"i8", "i9", "i10", "i11"}
    assert answer["items"][0]["itemId"] == "i9"
    assert answer["model"]["version"] == "1"
    assert answer["fallback"] != "champion"
    stop(world, "pots")
    alone = asked(world, "eve")
    assert alone["arm"] == "short:b"
    assert alone["items"][0]["itemId"] == "i9"
    assert not {item["itemId"] for item in alone["items"]} <= {"i8", "i9", "i10", "i11"}
    stop(world, "short")
    assert asked(world, "eve")["items"][0]["itemId"] != "i9"


def test_control_is_the_champion_and_is_recorded(world):
    start(world, "a", variants={"control": ALWAYS, "b": {"weight": 1e-9, "version": "2"}})
    answer = asked(world)
    assert (answer["arm"], answer["experiments"]) == ("champion", [{"key": "a", "variant": "control"}])


def test_a_deleted_version_leaves_the_champion_and_everybody_is_told(world):
    lost = world.register()
    start(world, "lost", always={"version": lost})
    assert asked(world)["model"]["version"] == lost
    stop(world, "lost")
    world.registry.client.delete_model_version(world.registry.name, lost)
    world.check()
    start(world, "gone", always={"version": lost, "slate": {"depth": 5}})
    answer = asked(world)
    assert answer["model"]["version"] == "1"
    assert (answer["arm"], answer["fallback"]) == ("gone:b", "champion")
    assert answer["experiments"] == [{"key": "gone", "variant": "b"}]
    problems = world.call("GET", "/health/ready").json()["problems"]
    assert any("gone:b" in each and f"version {lost}" in each and "deleted" in each for each in problems)
    assert world.stored()[-1].fallback == "champion"


def test_a_ledger_that_is_none_leaves_what_ran_running(world):
    start(world, "newer", always={"version": "2"})
    with world.away(Ledger(world.settings.folder).path):
        world.check()
        assert asked(world)["arm"] == "newer:b"
        assert any("experiments.db" in each for each in world.call("GET", "/health/ready").json()["problems"])


def test_nobody_is_assigned_while_profiles_are_away(world):
    start(world, "newer", always={"version": "2"})
    with world.away(world.settings.folder / "features" / "online.db"):
        answer = asked(world)
    assert (answer["fallback"], answer["experiments"]) == ("no_profile", [])


def test_without_an_id_there_is_no_unit(world):
    start(world, "newer", always={"version": "2"})
    assert world.post(PATH, {}).json()["experiments"] == []


@pytest.mark.parametrize(
    "context", [{"purposes": {"analytics": False}}, {"purposes": {"personalization": False}}]
)
def test_a_request_that_refuses_is_no_unit(world, context):
    start(world, "newer", always={"version": "2"})
    assert asked(world, context=context)["experiments"] == []
    assert world.post(ASSIGNMENTS, {"userId": "ann", "context": context}).json()["assignments"] == []


def test_a_visitor_who_logs_in_keeps_what_they_had(world):
    start(world, "a", variants={name: {"payload": {"n": n}} for n, name in enumerate("abcdefgh")})

    def variant(**who: str) -> str:
        return world.post(ASSIGNMENTS, who).json()["assignments"][0]["variant"]

    before = {f"v{n}": variant(anonymousId=f"v{n}") for n in range(6)}
    assert len(set(before.values())) > 1
    for visitor in before:
        world.call("POST", f"/v1/users/of-{visitor}/merge", json={"anonymousId": visitor})
        world.clock += 1
        world.call("POST", f"/v1/users/of-{visitor}/merge", json={"anonymousId": f"phone-{visitor}"})
        world.clock += 1
        world.call("POST", f"/v1/users/of-{visitor}/merge", json={"anonymousId": visitor})
    assert {visitor: variant(userId=f"of-{visitor}") for visitor in before} == before
    assert variant(userId="of-v0", anonymousId="phone-v0") == before["v0"]


def test_assignments_tell_payloads_and_are_recorded(world):
    start(world, "headline", always={"payload": {"headline": "For you"}})
    start(world, "newer", always={"version": "2"})
    answer = world.post(
        ASSIGNMENTS, {"anonymousId": "vi", "experiments": ["headline"], "scenario": "front"}
    ).json()
    assert answer["assignments"] == [{"key": "headline", "variant": "b", "payload": {"headline": "For you"}}]
    both = world.post(ASSIGNMENTS, {"anonymousId": "vi"}).json()["assignments"]
    assert [(each["key"], each["payload"]) for each in both] == [
        ("headline", {"headline": "For you"}),
        ("newer", None),
    ]
    assert world.post(ASSIGNMENTS, {"anonymousId": "vi", "experiments": []}).json()["assignments"] == []
    first, second = world.stored()
    assert first.recommendation_id == answer["assignmentId"]
    assert (first.items, dict(first.experiments), first.scenario) == ((), {"headline": "b"}, "front")
    assert first.anonymous_id == world.door.names.anonymous("vi")
    assert second.experiments.keys() == {"headline", "newer"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"experiments": ["x"] * 101}, "/experiments"),
        ({"experiment": "x"}, "/experiment"),
        ({"scenario": ""}, "/scenario"),
    ],
)
def test_a_wrong_question_is_named(world, body, words):
    response = world.post(ASSIGNMENTS, body)
    assert response.status_code == 422
    assert words in response.text


def test_the_watcher_follows_the_ledger_by_itself(world):
    world.served.start()
    said = {
        "hypothesis": "h",
        "metrics": {"primary": "ctr", "minimum_effect": 0.1},
        "variants": {"b": {**ALWAYS, "version": "2"}, **NEVER},
    }
    Ledger(world.settings.folder).start(experiment_of("a", said, where="a"), said, at=1.0, who="ann")
    deadline = time.monotonic() + 20
    while asked(world)["arm"] != "a:b" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert asked(world)["arm"] == "a:b"
