"""Where machines share people in a database that is away: events wait for it, recommendations do not."""

from collections.abc import Callable

import pytest

from tailorbird.settings import Settings
from tests.postgres import database_away
from tests.serving.world import World

pytestmark = pytest.mark.server


def view(message: str, *, user: str) -> dict[str, object]:
    return {"batch": [{"messageId": message, "type": "view", "userId": user, "itemId": "i0"}]}


def on_device(message: str, kind: str, *, user: str = "") -> dict[str, object]:
    who = {"anonymousId": "tablet", **({"userId": user} if user else {})}
    return {"batch": [{"messageId": message, "type": kind, "itemId": "i0", **who}]}


@pytest.fixture
def world(make_world: Callable[..., World], database: str) -> World:
    def shared(settings: Settings) -> Settings:
        return settings.model_copy(update={"people": database})

    return make_world(change=shared)


def test_events_get_a_503_and_recommendations_go_on(world: World, database: str) -> None:
    ask = {"userId": "ann", "numResults": 3}
    assert world.post("/v1/events", view("p1", user="ann")).status_code == 202
    whole = world.post("/v1/recommendations", ask).json()
    with database_away(database):
        for user in ("ann", "somebody-new"):
            refused = world.post("/v1/events", view("p2", user=user))
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert world.call("GET", "/v1/events/health").json()["status"] == "degraded"
        answer = world.post("/v1/recommendations", ask).json()
        assert (answer["items"], answer["partial"], answer["fallback"]) == (
            whole["items"],
            whole["partial"],
            whole["fallback"],
        )
    sent = world.post("/v1/events", view("p2", user="ann"))
    assert (sent.status_code, sent.json()["accepted"], sent.json()["duplicates"]) == (202, 1, 0)
    assert world.profile("user:ann").total == 2
    assert world.call("GET", "/v1/events/health").json()["status"] == "ready"


def test_a_device_whose_user_cannot_be_told_gets_the_answer_for_everybody(
    world: World, database: str
) -> None:
    world.post("/v1/events", on_device("d1", "view"))
    world.post("/v1/events", on_device("d2", "identify", user="ann"))
    ask = {"anonymousId": "tablet", "numResults": 3}
    with database_away(database):
        answer = world.post("/v1/recommendations", ask).json()
        assert answer["fallback"] == "no_consent"
        other = world.post("/v1/recommendations", {"userId": "ann", "numResults": 3}).json()
        assert (other["partial"], other["fallback"]) == (False, None)
    assert world.post("/v1/recommendations", ask).json()["fallback"] is None
