"""Every door of recommend and collect, with every wrong key; without keys they are open as before."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from tailorbird_client import AsyncClient, Client, RefusedError

from serving.http.problems import MEDIA_TYPE
from serving.http.schemas import Problem
from tailorbird.access.file import change_keys
from tailorbird.access.keys import ADMIN, COLLECT, PRIVACY, RECOMMEND
from tests.serving.wrong_keys import look, put_keys, routes_of

SHOP = "https://shop.example"
OPEN = {"/health/live", "/health/ready", "/v1/events/health", "/sdk.js", "/sdk/{content_hash}.js"}
NEEDS = {
    "/metrics": {ADMIN},
    "/v1/recommendations": {RECOMMEND},
    "/v1/recommendations/{user_id}": {RECOMMEND},
    "/v1/rank": {RECOMMEND},
    "/v1/items/{item_id}/similar": {RECOMMEND},
    "/v1/recommendations/{recommendation_id}/trace": {PRIVACY, ADMIN},
    "/v1/assignments": {RECOMMEND, COLLECT},
    "/v1/events": {COLLECT},
    "/v1/users/{user_id}/consent": {COLLECT},
    "/v1/users/{user_id}/merge": {COLLECT},
}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def refusal(response: httpx.Response, status: int) -> Problem:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE.decode()
    return Problem.model_validate(response.json())


def test_every_route_refuses_every_wrong_key_and_lets_the_right_ones_in(world):
    description = world.call("GET", "/openapi.json").json()
    keys = put_keys(world.settings, world.access)
    called = set()

    async def all_of_them() -> None:
        async with world.client() as client:
            for method, template, path in routes_of(description):
                called.add(template)

                async def ask(token: str, method: str = method, path: str = path) -> httpx.Response:
                    body = {} if method == "GET" else {"json": {}}
                    return await client.request(method, path, headers=bearer(token), **body)

                if template in OPEN:
                    assert (await ask("")).status_code in (200, 302, 503)
                    continue
                for fault, token in keys.wrong.items():
                    problem = refusal(await ask(token), 401)
                    assert problem.remedy, (fault, template)
                needs = frozenset(NEEDS[template])
                assert "scope" in refusal(await ask(keys.without(needs)), 403).detail
                for scope in needs:
                    assert (await ask(keys.good[scope])).status_code not in (401, 403), (scope, template)

    asyncio.run(all_of_them())
    assert called == OPEN | NEEDS.keys()


@pytest.mark.parametrize("path", ["/openapi.json", "/nothing", "/v1/rank/x", "/noop", "/docs"])
def test_what_is_not_described_is_closed_too(world, path):
    before = world.call("GET", path).status_code
    keys = put_keys(world.settings, world.access)
    refusal(world.call("GET", path), 401)
    assert world.call("GET", path, headers=bearer(keys.good[RECOMMEND])).status_code == before


def test_a_method_that_is_not_answered_is_told_to_nobody_without_a_key(world):
    put_keys(world.settings, world.access)
    refusal(world.call("PUT", "/v1/rank"), 401)


def test_the_script_of_pages_is_open(world):
    put_keys(world.settings, world.access)
    assert world.call("GET", "/sdk.js").status_code == 302


def test_a_refusal_says_how_to_send_a_key(world):
    put_keys(world.settings, world.access)
    response = world.post("/v1/recommendations", {"userId": "u1"})
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "Bearer" in response.json()["remedy"]


def test_both_headers_carry_a_key(world):
    token = put_keys(world.settings, world.access).good[RECOMMEND]
    for headers in ({"x-api-key": token}, {"authorization": f"bearer {token}"}):
        assert world.call("GET", "/v1/recommendations/u1", headers=headers).status_code == 200
    refusal(world.call("GET", "/v1/recommendations/u1", headers={"authorization": f"Basic {token}"}), 401)
    assert refusal(world.call("GET", f"/v1/recommendations/u1?key={token}"), 401).remedy


def test_the_python_client_sends_its_key(world):
    token = put_keys(world.settings, world.access).good[RECOMMEND]

    async def ask(key: str | None) -> list[str]:
        through = httpx.ASGITransport(app=world.front)
        async with AsyncClient(
            "http://localhost", api_key=key, transport=through, timeout=30, deadline=30
        ) as shop:
            return (await shop.recommend(user_id="u1", num_results=2)).item_ids

    assert len(asyncio.run(ask(token))) == 2
    for wrong in (None, token[:-1]):
        with pytest.raises(RefusedError) as refused:
            asyncio.run(ask(wrong))
        assert refused.value.status == 401
    heard = httpx.MockTransport(
        lambda request: httpx.Response(200, json={"it": request.headers["authorization"]})
    )
    with Client("http://localhost", api_key=token, transport=heard) as shop:
        assert shop._http.get("/").json() == {"it": f"Bearer {token}"}


def test_a_public_key_may_stand_in_the_address_and_pages_of_its_origins_alone_may_send_it(make_world):
    world = make_world(lambda settings: settings.model_copy(update={"cors_origins": "*"}))
    keys = put_keys(world.settings, world.access)
    change_keys(
        world.settings.keys_file,
        lambda known: [
            replace(key, origins=(SHOP,)) if key.scopes <= {COLLECT, RECOMMEND} else key for key in known
        ],
    )
    look(world.access)
    address = f"/v1/events?key={keys.good[COLLECT]}"
    event = {"batch": [{"messageId": "m1", "type": "view", "userId": "u1", "itemId": "i1"}]}
    told = world.call("POST", address, json=event, headers={"origin": SHOP})
    assert told.status_code == 202, told.text
    for headers in ({"origin": "https://evil.example"}, {}):
        answer = world.call("POST", address, json=event, headers=headers)
        assert "origin" in refusal(answer, 403).type
    asked = world.call("OPTIONS", address, headers={"origin": SHOP, "access-control-request-method": "POST"})
    assert asked.status_code == 200
    assert "authorization" in asked.headers["access-control-allow-headers"]


def test_too_many_calls_are_told_when_to_come_again(world):
    token = put_keys(world.settings, world.access, limits=("2/hour",)).good[RECOMMEND]
    answers = [world.call("GET", "/v1/recommendations/u1", headers=bearer(token)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 3_600
    assert refusal(answers[2], 429).detail


def test_a_body_is_not_looked_at_without_a_key(world):
    put_keys(world.settings, world.access)
    refusal(world.call("POST", "/v1/events", content=b"{"), 401)


def test_keys_that_cannot_be_read_are_said_in_health(world):
    world.settings.keys_file.write_text("damaged")
    look(world.access)
    refusal(world.post("/v1/recommendations", {"userId": "u1"}), 401)
    assert "cannot be read" in world.access.trouble


def test_the_description_says_how_keys_are_sent_and_refused(world):
    description = world.call("GET", "/openapi.json").json()
    assert set(description["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, operations in description["paths"].items():
        for operation in operations.values():
            refusals = {"401", "403", "429"} & operation["responses"].keys()
            assert refusals == (set() if path in OPEN else {"401", "403", "429"}), path
            assert ("security" in operation) == (path not in OPEN), path
