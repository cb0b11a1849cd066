"""Pages of the platform's own origin and of listed ones may call; others change nothing and read nothing."""

import pytest

from serving.http.cors import CrossOrigin
from tailorbird.errors import UsageError
from tailorbird.settings import load_settings

BODY = {"batch": [{"messageId": "m1", "type": "view", "userId": "ann", "itemId": "i0"}]}
SHOP = "https://shop.example"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


@pytest.fixture
def listed(make_world):
    return make_world(
        lambda settings: settings.model_copy(update={"cors_origins": f"{SHOP},http://localhost:3000"})
    )


def allowed(response):
    return response.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_a_listed_origin_may_call_and_read(listed, origin):
    response = listed.call("POST", "/v1/events", json=BODY, headers={"origin": origin})
    assert (response.status_code, allowed(response), response.headers["vary"]) == (202, origin, "origin")
    assert response.headers["access-control-expose-headers"] == "retry-after"
    assert "access-control-allow-credentials" not in response.headers


def test_refusals_can_be_read_too(listed):
    response = listed.call("POST", "/v1/events", content=b"{", headers={"origin": SHOP})
    assert (response.status_code, allowed(response)) == (400, SHOP)


def test_a_listed_origin_that_asks_first_is_told(listed):
    response = listed.call("OPTIONS", "/v1/recommendations", headers={"origin": SHOP, **ASKS})
    assert (response.status_code, allowed(response)) == (200, SHOP)
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "content-type, authorization, x-api-key"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://SHOP.example",
        "null",
    ],
)
def test_another_origin_changes_nothing(listed, origin):
    response = listed.call("POST", "/v1/events", json=BODY, headers={"origin": origin})
    assert (response.status_code, allowed(response)) == (403, None)
    assert "TAILORBIRD_CORS_ORIGINS" in response.json()["remedy"]
    asking = listed.call("OPTIONS", "/v1/events", headers={"origin": origin, **ASKS})
    assert (asking.status_code, allowed(asking)) == (403, None)
    assert listed.log.end() == listed.before


def test_another_origin_reads_nothing(listed):
    response = listed.call("GET", "/v1/recommendations/ann", headers={"origin": "https://evil.example"})
    assert allowed(response) is None
    assert response.headers["vary"] == "origin"


def test_nobody_is_listed_at_first(world):
    own = world.call("POST", "/v1/events", json=BODY, headers={"origin": "http://toy"})
    assert (own.status_code, allowed(own)) == (202, None)
    assert world.post("/v1/events", BODY).status_code == 202
    assert world.call("POST", "/v1/events", json=BODY, headers={"origin": SHOP}).status_code == 403


def test_any_origin_is_answered_without_its_name():
    asks, headers = CrossOrigin(["*"]).judge("POST", [(b"origin", b"https://evil.example")])
    assert not asks
    assert dict(headers)[b"access-control-allow-origin"] == b"*"


def test_options_that_ask_nothing_are_no_preflight(listed):
    assert listed.call("OPTIONS", "/v1/events", headers={"origin": SHOP}).status_code == 405


def test_origins_are_listed_by_commas():
    assert load_settings(cors_origins=f" {SHOP} ,http://[::1]:3000,").allowed_origins == (
        SHOP,
        "http://[::1]:3000",
    )
    assert load_settings(cors_origins="").allowed_origins == ()


@pytest.mark.parametrize(
    "wrong", ["shop.example", f"{SHOP}/", "https://Shop.example", "https://*.example", "null"]
)
def test_what_is_no_origin_is_refused_by_its_name(wrong):
    with pytest.raises(UsageError, match="is no origin"):
        load_settings(cors_origins=f"{SHOP},{wrong}")
