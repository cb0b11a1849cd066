"""Of people who said nothing: without a legal basis what they do is kept and used for nothing, and they are answered as everybody."""

from collections.abc import Callable

import pytest

from feature_repo.portraits import Portraits
from serving.privacy.consents import ConsentKeeper
from serving.privacy.erasures import open_erasing
from serving.privacy.exports import Exports
from tailorbird.events.schema import MOVE
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import scan_for
from tailorbird.privacy.policy.words import Said
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.scan import scan
from tests.privacy.test_tcf import SOME
from tests.serving.world import World
from training.data.dataset import read_events

RULE = '[carts]\nname = "fills carts"\nwhen = "carts_24h > 0"\n'
CONSENTED = {"consent": {"personalization": True}}


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Where nobody declared a basis."""

    def without(settings: Settings) -> Settings:
        (settings.folder / "rules.toml").write_text(RULE)
        return settings.model_copy(update={"privacy": ""})

    return make_world(without)


def does(world: World, message: str, *, kind: str = "view", item: str = "i0", **more: object) -> None:
    world.clock += 1.0
    sent = {"messageId": message, "type": kind, "itemId": item, "userId": "newcomer", **more}
    assert world.post("/v1/events", {"batch": [sent]}).json()["accepted"] == 1


def asks(world: World, **more: object) -> dict:
    world.clock += 1.0
    return world.post("/v1/recommendations", {"userId": "newcomer", "numResults": 3, **more}).json()


def says(world: World, given: bool) -> None:
    world.clock += 1.0
    ConsentKeeper(world.settings, door=world.door, clock=lambda: world.clock).say(
        "newcomer", Said({PERSONALIZATION: given})
    )


def messages(world: World, found: object) -> set[str]:
    sent = {world.door.names.message(f"m{n}"): f"m{n}" for n in range(20)}
    return {sent[key] for batch in found for key in batch["message_id"].to_pylist() if key in sent}  # type: ignore[attr-defined]


def test_what_nobody_allowed_is_kept_and_serves_nothing(world: World) -> None:
    does(world, "m1")
    does(world, "m2", context=CONSENTED)
    does(world, "m3", kind="add_to_cart")
    key = world.key("user:newcomer")
    assert messages(world, scan(world.settings)) == {"m1", "m2", "m3"}
    serves = scan_for(world.settings, PERSONALIZATION, columns=["message_id"])
    assert messages(world, serves) == {"m2"}
    assert world.profile("user:newcomer").total == 1
    learned, _ = read_events(world.settings)
    assert [learned.user_keys[code] for code in learned.users.tolist()].count(key) == 1
    exports = Exports(world.settings, door=world.door, portraits=Portraits(world.settings))
    rows = {section.name: section for section in exports.sections([key])}["events"].rows()
    assert len(list(rows)) == 3


def test_without_a_word_or_a_basis_the_answer_is_everybodys(world: World) -> None:
    does(world, "m1")
    assert asks(world)["fallback"] == "no_consent"
    assert asks(world, context=CONSENTED)["fallback"] != "no_consent"
    says(world, True)
    assert asks(world)["fallback"] != "no_consent"
    assert asks(world, context={"consent": {"personalization": False}})["fallback"] == "no_consent"
    assert world.profile("user:newcomer").total == 0
    does(world, "m2")
    assert world.profile("user:newcomer").total == 1
    says(world, False)
    does(world, "m3", context=CONSENTED)
    assert asks(world, context=CONSENTED)["fallback"] == "no_consent"
    assert world.profile("user:newcomer").total == 0
    of_nobody = [each for each in world.stored() if each.fallback == "no_consent"]
    assert len(of_nobody) == 3
    assert {each.user_id for each in of_nobody} == {None}


def test_one_event_is_kept_out_by_its_own_word(make_world: Callable[..., World]) -> None:
    world = make_world()
    does(world, "m1", context={"purposes": {"personalization": False}})
    assert world.profile("user:newcomer").total == 0
    assert asks(world)["fallback"] != "no_consent"
    does(world, "m2")
    assert world.profile("user:newcomer").total == 1
    serves = scan_for(world.settings, PERSONALIZATION, columns=["message_id"])
    assert messages(world, serves) == {"m2"}


def test_nobody_moves_by_what_nobody_allowed(world: World) -> None:
    does(world, "m1", kind="add_to_cart")
    does(world, "m2", kind="add_to_cart", userId="other", context=CONSENTED)
    world.writer.close()
    world.folder.close()
    world.mover.close()
    moves = [each.record for each in world.log.read(BEGINNING, limit=10_000).entries]
    assert [each.user_key for each in moves if each.type == MOVE] == [world.key("user:other")]


def test_a_page_says_what_its_visitor_allows_and_the_next_answer_holds_to_it(world: World) -> None:
    path = "/v1/users/a7/consent?anonymous=true"
    told = world.call(
        "PUT", path, json={"purposes": {PERSONALIZATION: True}, "version": "2026-11", "proof": "p"}
    )
    assert (told.status_code, told.json()) == (
        200,
        {"userId": "a7", "purposes": {PERSONALIZATION: True}, "profileDelayed": False},
    )
    does(world, "m1", userId=None, anonymousId="a7")
    assert world.profile("anon:a7").total == 1
    assert asks(world, userId=None, anonymousId="a7")["fallback"] != "no_consent"
    world.clock -= 100  # a clock that was set back makes no word older than the last
    assert world.call("PUT", path, json={"purposes": {PERSONALIZATION: False}}).status_code == 200
    assert asks(world, userId=None, anonymousId="a7")["fallback"] == "no_consent"
    keeper = ConsentKeeper(world.settings, door=world.door)
    history = keeper.told(world.key("anon:a7")).history
    assert [(row["purposes"], row.get("version"), row.get("proof")) for row in history] == [
        ({PERSONALIZATION: True}, "2026-11", "p"),
        ({PERSONALIZATION: False}, None, None),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/users/a7/consent", {"purposes": {"research": True}}),
        ("/v1/users/a7/consent", {"purposes": {}}),
        ("/v1/users/a7/consent", {"purposes": {PERSONALIZATION: "yes"}}),
        ("/v1/users/a7/consent?anonymous=maybe", {"purposes": {PERSONALIZATION: True}}),
        ("/v1/users/a7/consent?who=me", {"purposes": {PERSONALIZATION: True}}),
    ],
)
def test_what_is_no_word_is_refused(world: World, path: str, body: dict) -> None:
    assert world.call("PUT", path, json=body).status_code == 422


def test_an_erased_person_is_let_back_by_no_page(world: World) -> None:
    does(world, "m1", context=CONSENTED)
    erasing = open_erasing(world.settings)
    erasing.ask(world.key("user:newcomer"))
    erasing.run()
    told = world.call("PUT", "/v1/users/newcomer/consent", json={"purposes": {PERSONALIZATION: True}})
    assert (told.status_code, told.json()["type"].rsplit(":", 1)[-1]) == (409, "erased")


RULES = """
[basis]
name = "contract"
purposes = ["personalization", "analytics"]
[[rules]]
country = ["DE"]
purposes = []
[tcf]
personalization = [3, 7]
analytics = [8]
"""


def test_rules_and_tc_strings_decide_of_events_and_answers(make_world: Callable[..., World]) -> None:
    def ruled(settings: Settings) -> Settings:
        (settings.folder / "privacy.toml").write_text(RULES)
        return settings

    world = make_world(ruled)
    does(world, "m1")
    does(world, "m2", context={"country": "DE"})
    does(world, "m3", context={"country": "DE", "consent": SOME})
    assert world.profile("user:newcomer").total == 1
    does(world, "m4", context={"country": "FR"})
    assert world.profile("user:newcomer").total == 2
    stranger = {"userId": "stranger"}
    assert asks(world, **stranger)["fallback"] == "no_consent"
    assert asks(world, context={"country": "DE"}, **stranger)["fallback"] == "no_consent"
    assert asks(world, context={"country": "FR"}, **stranger)["fallback"] != "no_consent"
    assert asks(world, context={"country": "DE", "consent": SOME}, **stranger)["fallback"] != "no_consent"
    told = world.call(
        "PUT", "/v1/users/stranger/consent", json={"tcf": SOME, "purposes": {"analytics": True}}
    )
    assert told.json()["purposes"] == {"personalization": True, "analytics": True}
    assert asks(world, context={"country": "DE"}, **stranger)["fallback"] != "no_consent"
    refused = world.call("PUT", "/v1/users/stranger/consent", json={"tcf": "none"})
    assert (refused.status_code, "tcString" in refused.json()["remedy"]) == (422, True)
    (word,) = ConsentKeeper(world.settings, door=world.door).told(world.key("user:stranger")).history
    assert word["proof"] == SOME


def described(world: World) -> set[str]:
    """The purposes that the description of the public port lists."""
    page = world.call("GET", "/openapi.json").json()
    operation = page["paths"]["/v1/users/{user_id}/consent"]["put"]
    assert operation["responses"]["409"]["content"].keys() == {"application/problem+json"}
    assert operation["security"]
    return set(page["components"]["schemas"]["PurposesTold"]["properties"])


def test_a_policy_that_changes_holds_for_what_comes_next(world: World) -> None:
    policy = world.settings.folder / "privacy.toml"
    stranger = {"userId": "stranger"}
    consent = "/v1/users/stranger/consent"
    does(world, "m1", properties={"colour": "red"})
    assert asks(world, **stranger)["fallback"] == "no_consent"
    assert world.call("PUT", consent, json={"purposes": {"research": True}}).status_code == 422
    assert "research" not in described(world)
    policy.write_text(f"{RULES}[texts]\nproperties = ['colour']\n[purposes]\nnames = ['research']\n")
    world.clock += 2
    does(world, "m2", context={"country": "FR"}, properties={"colour": "red"})
    assert world.profile("user:newcomer").total == 1
    assert asks(world, context={"country": "FR"}, **stranger)["fallback"] != "no_consent"
    assert world.call("PUT", consent, json={"purposes": {"research": True}}).status_code == 200
    assert {"research", "personalization"} <= described(world)
    stored = {entry.record.message_id: entry.record for entry in world.log.read(world.before).entries}
    first, second = (stored[world.door.names.message(name)] for name in ("m1", "m2"))
    assert "colour" not in first.properties
    assert second.properties == {"colour": "red"}
    policy.write_text("[basis")
    world.clock += 2
    assert asks(world, context={"country": "FR"}, **stranger)["fallback"] != "no_consent"
    policy.unlink()
    for _ in range(2):  # a file that is gone may just be written anew: it is when it still is a second later
        world.clock += 2
        last = asks(world, context={"country": "FR"}, **stranger)["fallback"]
    assert last == "no_consent"
