"""Every door of admin, with every wrong key, on top of its loopback; without keys it is open to programs of this machine."""

import pytest

from serving.http.problems import MEDIA_TYPE
from tailorbird.access.keys import ADMIN, CATALOG, EXPERIMENTS, PRIVACY
from tests.serving.wrong_keys import put_keys, routes_of

OPEN = {"/health/live"}
OF_GOODS = ("/v1/items", "/v1/users:upload", "/v1/users/{user_id}")
OF_PRIVACY = ("/v1/erasures",)
OF_PEOPLE = ("/v1/users/{user_id}/", "/v1/segments", "/v1/erasures")


def needs_of(template: str, method: str) -> frozenset[str]:
    erases = (method, template) == ("DELETE", "/v1/users/{user_id}")
    if template.startswith(OF_PEOPLE) or erases:
        return frozenset({PRIVACY, ADMIN})
    if template.startswith("/v1/experiments") and not template.endswith(
        ":decide"
    ):  # that may move the champion
        return frozenset({EXPERIMENTS, ADMIN})
    return frozenset({CATALOG, ADMIN}) if template.startswith(OF_GOODS) else frozenset({ADMIN})


def test_every_route_refuses_every_wrong_key_and_lets_the_right_ones_in(operator):
    routes = list(routes_of(operator.get("/openapi.json")))
    keys = put_keys(operator.settings, operator.access)
    assert len(routes) >= 17
    for method, template, path in routes:
        body = {"content": b"{}", "headers": {"content-type": "application/json"}} if method != "GET" else {}
        if template.endswith(":upload"):
            body = {"content": b"item_id\n", "headers": {"content-type": "text/csv"}}

        def ask(token: str, method: str = method, path: str = path, body: dict = body) -> object:
            headers = {**body.get("headers", {}), **({"x-api-key": token} if token else {})}
            return operator.call(method, path, **{**body, "headers": headers})

        if template in OPEN:
            assert ask("").status_code == 200
            continue
        for fault, token in keys.wrong.items():
            response = ask(token)
            assert response.status_code == 401, (fault, method, template, response.text)
            assert response.headers["content-type"] == MEDIA_TYPE.decode()
            assert response.headers["www-authenticate"]
        needs = needs_of(template, method)
        refused = ask(keys.without(needs))
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:tailorbird:problem:scope-missing")
        for scope in needs:
            response = ask(keys.good[scope])
            assert response.status_code not in (401, 403), (scope, method, template, response.text)


@pytest.mark.parametrize("path", ["/openapi.json", "/nothing"])
def test_what_is_not_described_is_closed_too(operator, path):
    before = operator.call("GET", path).status_code
    keys = put_keys(operator.settings, operator.access)
    assert operator.call("GET", path).status_code == 401
    token = keys.good[CATALOG]
    assert operator.call("GET", path, headers={"x-api-key": token}).status_code == before


def test_a_good_key_opens_nothing_from_elsewhere(operator):
    token = put_keys(operator.settings, operator.access).good[ADMIN]
    response = operator.call("GET", "/v1/models", client=("10.0.0.7", 5000), headers={"x-api-key": token})
    assert response.status_code == 403
