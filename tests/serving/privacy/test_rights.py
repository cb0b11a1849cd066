"""Restriction keeps what is known and uses it for nothing until it is lifted; an objection ends the use for a purpose, whatever the basis."""

from collections.abc import Callable

import httpx
import pytest
from click.testing import CliRunner

from feature_repo.portraits import Portraits
from feature_repo.updater.updater import rebuild_beside
from serving.privacy.exports import Exports
from serving.privacy.rights_command import object_to, restrict
from serving.triggers.refused import refused_by
from tailorbird.audit.record import OBJECT, RESTRICT, log_of
from tailorbird.events.schema import MOVE
from tailorbird.features.consent.consents import ADVERTISING, ANALYTICS, PERSONALIZATION
from tailorbird.features.consent.purposes import exposures_for, scan_for
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.scan import scan
from tests.serving.privacy.conftest import Call
from tests.serving.world import World

Put = Callable[..., httpx.Response]
RULE = '[carts]\nname = "fills carts"\nwhen = "carts_24h > 0"\n'


@pytest.fixture
def put(call: Call) -> Put:
    return lambda path, **body: call("PUT", f"/v1/users/{path}", json=body)


def does(world: World, message: str, *, kind: str = "view", **who: str) -> None:
    world.clock += 1.0
    sent = {"messageId": message, "type": kind, "itemId": "i0", **(who or {"userId": "ann"})}
    assert world.post("/v1/events", {"batch": [sent]}).json()["accepted"] == 1


def answer(world: World, user: str = "ann") -> str | None:
    world.clock += 1.0
    return world.post("/v1/recommendations", {"userId": user, "numResults": 3}).json()["fallback"]


def used(world: World, purpose: str, person: str = "user:ann") -> int:
    batches = scan_for(world.settings, purpose, columns=["user_key", "type"], types=["view", "add_to_cart"])
    return sum(batch["user_key"].to_pylist().count(world.key(person)) for batch in batches)


def test_while_a_restriction_holds_all_is_kept_and_nothing_used(world: World, put: Put) -> None:
    does(world, "m1")
    asked = answer(world)
    told = put("ann/restriction", restricted=True, reason="says Ann Miller").json()
    assert (told["restricted"], told["purposes"], told["profileDelayed"]) == (True, {}, False)
    does(world, "m2")
    assert answer(world) == "no_consent" != asked
    assert world.profile("user:ann").total == 0
    assert Portraits(world.settings, clock=lambda: world.clock).live(world.key("user:ann")).restricted
    assert [used(world, purpose) for purpose in (PERSONALIZATION, ANALYTICS)] == [0, 0]
    world.exposures.close()
    exposed = exposures_for(world.settings, ANALYTICS, columns=["user_key"])
    assert world.key("user:ann") not in [key for batch in exposed for key in batch["user_key"].to_pylist()]
    assert refused_by(world.settings)(world.key("user:ann"))
    rebuild_beside(world.settings, world.log)
    assert world.profile("user:ann").total == 0
    assert put("ann/restriction", restricted=False).json()["restricted"] is False
    assert world.profile("user:ann").total == 2
    assert answer(world) == asked
    assert used(world, PERSONALIZATION) == 2


def test_a_restriction_holds_for_every_key_of_a_person(world: World, put: Put) -> None:
    does(world, "m1", anonymousId="a7")
    does(world, "m2")
    world.post("/v1/users/ann/merge", {"anonymousId": "a7"})
    put("ann/restriction", restricted=True)
    assert used(world, PERSONALIZATION, "anon:a7") == 0
    assert world.profile("user:ann").total == 0
    put("ann/restriction", restricted=False)
    assert used(world, PERSONALIZATION, "anon:a7") == 1
    assert world.profile("user:ann").total == 2


def test_nobody_moves_while_restricted(world: World, put: Put) -> None:
    (world.settings.folder / "rules.toml").write_text(RULE)
    put("ann/restriction", restricted=True)
    does(world, "m1", kind="add_to_cart")
    does(world, "m2", kind="add_to_cart", userId="bob")
    world.writer.close()
    world.folder.close()
    world.mover.close()
    entries = world.log.read(BEGINNING, limit=10_000).entries
    assert [each.record.user_key for each in entries if each.record.type == MOVE] == [world.key("user:bob")]


def test_an_objection_goes_before_the_basis_and_ends_with_a_consent(world: World, put: Put) -> None:
    does(world, "m1")
    told = put("ann/objection", purposes=[ANALYTICS], reason="no thanks").json()
    assert told["purposes"] == {ANALYTICS: False}
    assert (used(world, ANALYTICS), used(world, PERSONALIZATION)) == (0, 1)
    assert answer(world) != "no_consent"
    put("ann/objection", purposes=[PERSONALIZATION])
    sent = {"messageId": "m2", "type": "view", "itemId": "i0", "userId": "ann", "context": {"consent": True}}
    world.clock += 1.0
    world.post("/v1/events", {"batch": [sent]})
    assert answer(world) == "no_consent"
    assert used(world, PERSONALIZATION) == 0
    put("ann/consent", purposes={PERSONALIZATION: True})
    does(world, "m3")
    assert (used(world, PERSONALIZATION), used(world, ANALYTICS)) == (1, 0)


def test_both_stand_in_export_history_and_audit_log(world: World, put: Put) -> None:
    put("ann/objection", purposes=[ADVERTISING], reason="by phone, Ann Miller")
    told = put("ann/restriction", restricted=True).json()
    assert [(each["right"], each["reason"]) for each in told["history"]] == [
        ("objection", "by phone, Ann Miller"),
        ("restriction", ""),
    ]
    put("ann/restriction", restricted=False)
    stored = [row for batch in scan(world.settings, types=["consent"]) for row in batch.to_pylist()]
    assert "Miller" not in str(stored)
    exports = Exports(world.settings, door=world.door, portraits=Portraits(world.settings))
    rows = {section.name: section for section in exports.sections([world.key("user:ann")])}["consents"].rows()
    assert [row["words"] for row in rows] == [
        "you objected to advertising",
        "what is known of you is kept and used for nothing, as you asked",
        "that what is known of you is used for nothing was lifted",
    ]
    assert [each.what for each in log_of(world.settings).entries()] == [OBJECT, RESTRICT, RESTRICT]


@pytest.mark.parametrize("right", ["objection", "consent"])
def test_what_is_no_purpose_is_neither_repeated_nor_written_down(world: World, put: Put, right: str) -> None:
    name = "ann@example.com"
    told = {"purposes": [name] if right == "objection" else {name: True}}
    refused = [put(f"ann/{right}", **told)]
    if right == "consent":
        refused.append(world.call("PUT", "/v1/users/ann/consent", json=told))
    for each in refused:
        assert (each.status_code, name in each.text) == (422, False)
    assert not any(name in str(entry) for entry in log_of(world.settings).entries())


def test_a_restriction_is_no_purpose(world: World, put: Put) -> None:
    assert put("ann/consent", purposes={"restriction": True}).status_code == 422
    assert put("ann/objection", purposes=["restriction"]).status_code == 422
    assert put("ann/restriction", restricted="yes").status_code == 422
    told = world.call("PUT", "/v1/users/ann/consent", json={"purposes": {"restriction": False}})
    assert told.status_code == 422


def test_both_by_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(world.settings.home))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", world.settings.workspace)
    does(world, "m1")
    runner = CliRunner()
    assert runner.invoke(restrict, ["ann"], catch_exceptions=False).exit_code == 0
    assert world.profile("user:ann").total == 0
    assert runner.invoke(restrict, ["ann", "--lift"], catch_exceptions=False).exit_code == 0
    assert world.profile("user:ann").total == 1
    assert runner.invoke(object_to, ["ann", "--to", PERSONALIZATION], catch_exceptions=False).exit_code == 0
    assert answer(world) == "no_consent"
