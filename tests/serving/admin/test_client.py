"""The Python client asks admin for profiles: typed, at the right address, now and as they were."""

import asyncio
import datetime as dt
import time
from contextlib import closing

import httpx
import pytest
from tailorbird_client import AsyncClient, Client, Profile, RefusedError, Rule, Segment

from feature_repo.command import build_features
from tailorbird.privacy.door.door import Door
from tailorbird.streams.factory import open_events
from tests.features.toy import CATALOG, event
from tests.segments.carters import CARTS, carters, register_segments

RULE = "[carts]\nname = 'puts into the basket'\nwhen = 'carts_24h >= 2'\n"


def asked(operator, user_id: str, **arguments: object) -> Profile:
    async def once() -> Profile:
        transport = httpx.ASGITransport(app=operator.app, client=("127.0.0.1", 5000))
        async with AsyncClient(
            "http://127.0.0.1:8000", deadline=60, timeout=60, transport=transport
        ) as client:
            return await client.profile(user_id, **arguments)

    return asyncio.run(once())


@pytest.fixture
def known(operator, tmp_path):
    """An operator of a workspace where u/1 has put a kettle into the basket again and again."""
    settings, began = operator.settings, time.time() - 600
    CATALOG.write(settings.catalog_folder)
    deeds = [
        event(f"m{n}", "add_to_cart", "kettle", began + 60 * n, user_id="u/1", value=9.5) for n in range(4)
    ]
    deeds.append(event("h", "hide", "saw", began + 300, user_id=None, anonymous_id="a 7"))
    with closing(Door.of(settings)) as door, open_events(settings) as stream:
        stream.append(door.events(deeds))
    build_features(settings)
    register_segments(settings, carters(), tmp_path)
    (settings.folder / "rules.toml").write_text(RULE)
    operator.segments.check()
    return operator


def test_a_profile_is_typed_and_whole(known):
    found = asked(known, "u/1")
    assert (found.user_key, found.linked, found.events, found.had, found.hidden) == ("user:u/1", (), 4, 1, ())
    assert isinstance(found.segment, Segment)
    assert (found.segment.key, found.segment.model_version) == (CARTS, "1")
    assert found.segment.memberships[0].share > 0
    assert found.rules == (Rule("carts", "puts into the basket"),)
    assert (found.windows["24h"].types, found.windows["24h"].complete) == ({"add_to_cart": 4}, True)
    assert [taste.name for taste in found.categories] == ["home", "kitchen"]
    assert [(past.type, past.item_id, past.value) for past in found.last_events] == [
        ("add_to_cart", "kettle", 9.5)
    ] * 4
    assert found.first_seen < found.last_seen <= found.at
    assert found.price is not None
    assert found.price[0] <= found.price[1]
    assert found.demographics.age is None
    assert found.features


def test_a_profile_of_the_past_and_of_an_anonymous_id(known):
    first = asked(known, "u/1").first_seen
    early = asked(known, "u/1", at=first + dt.timedelta(seconds=61))
    assert (early.events, early.at) == (2, first + dt.timedelta(seconds=61))
    assert asked(known, "a 7", anonymous=True).hidden == ("saw",)
    nobody = asked(known, "nobody")
    assert (nobody.events, nobody.first_seen, nobody.price, nobody.last_events) == (0, None, None, ())


def test_an_instant_that_is_not_over_is_refused_with_the_reason(known):
    with pytest.raises(RefusedError, match="future"):
        asked(known, "u/1", at=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    with pytest.raises(ValueError, match="no time zone"):
        asked(known, "u/1", at=dt.datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("base", "admin", "wanted"),
    [
        ("http://shop.example:8100", None, "http://127.0.0.1:8101"),
        ("http://localhost", None, "http://127.0.0.1:81"),
        ("http://localhost:8000", "http://localhost:9000/", "http://localhost:9000"),
    ],
)
def test_admin_is_asked_at_its_own_address(base, admin, wanted):
    addresses = []

    def answer(request: httpx.Request) -> httpx.Response:
        addresses.append(str(request.url))
        return httpx.Response(404, json={"detail": "nobody"})

    with (
        Client(
            base, admin_url=admin, api_key="k", plain=True, transport=httpx.MockTransport(answer)
        ) as client,
        pytest.raises(RefusedError),
    ):
        client.profile("u1", anonymous=True)
    assert addresses == [f"{wanted}/v1/users/u1/profile?anonymous=true"]
