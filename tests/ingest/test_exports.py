"""Files as Segment and Mixpanel export them become events, items and users by the mappings that ship."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.schema import DEVICE_LOGIN, Event
from tailorbird.ingest.command import ingest
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING
from tests.callers import as_sent

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148"
CUP = {"product_id": "cup", "name": "Cup", "price": 4.5, "brand": "Clay", "category": "Kitchen/Cups"}
LAMP = {"sku": "lamp", "name": "Lamp", "price": 20}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return load_settings()


def brought(settings: Settings, mapping: str, lines: list[dict[str, Any]], *more: str) -> dict[str, Any]:
    Path("export.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["--events", "export.jsonl", "--mapping", mapping, "--json", *more]
    result = CliRunner().invoke(ingest, words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def stored(settings: Settings) -> list[Event]:
    """The events, under the callers' ids again and with what was sealed of them."""
    with open_events(settings) as stream, closing(Door.of(settings)) as door:
        entries = stream.read(BEGINNING).entries
        return [as_sent(entry.record, door) for entry in entries if entry.record.type != DEVICE_LOGIN]


def call(number: int, kind: str, **more: Any) -> dict[str, Any]:
    """One Segment call, at its own second of a morning in May."""
    at = f"2024-05-01T10:00:{number:02}.500Z"
    sent = {"sentAt": at, "originalTimestamp": at, "timestamp": at, "receivedAt": "2024-05-01T10:05:00Z"}
    return {"type": kind, "messageId": f"s{number}", "anonymousId": "a1", **sent, "channel": "client", **more}


def track(number: int, event: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return call(number, "track", event=event, properties=properties, **more)


def test_segment_calls_become_events(settings: Settings) -> None:
    web = {"userAgent": PHONE, "page": {"path": "/", "referrer": "https://www.google.com/search"}}
    report = brought(
        settings,
        "segment",
        [
            call(1, "page", name="Home", properties={"path": "/"}, context=web),
            track(2, "Products Searched", {"query": "cups"}),
            track(3, "Product Clicked", {**CUP, "position": 2}),
            track(4, "Product Viewed", CUP, context={"device": {"type": "ios"}}),
            track(5, "Product Added", {**CUP, "quantity": 2}),
            call(6, "identify", userId=7, traits={"age": 33, "address": {"country": "NL"}, "email": "e"}),
            track(7, "Size Chosen", {"size": 3}, userId=7),
            track(8, "Product Reviewed", {"product_id": "cup", "rating": 4}, userId=7),
            call(9, "alias", userId=7, previousId="old"),
            call(10, "identify", traits={"plan": "free"}),
            call(11, "screen", name="Cart"),
        ],
    )
    assert (report["rows_in"], report["accepted"], report["reasons"]) == (11, 11, {})
    events = stored(settings)
    assert [event.type for event in events] == [
        *("page", "search", "click", "view", "add_to_cart", "identify", "size_chosen", "rating"),
        *("identify", "traits", "page"),
    ]
    assert [event.item_id for event in events[:6]] == [None, None, "cup", "cup", "cup", None]
    assert events[0].context == {"device": "mobile", "referrer": "search"}
    assert events[3].context == {"device": "mobile"}
    assert events[1].properties == {"query": "cups"}
    assert (events[4].value, events[7].value) == (None, 4.0)
    joined, aliased = events[5], events[8]
    assert (joined.user_id, joined.anonymous_id, aliased.user_id, aliased.anonymous_id) == (
        "7",
        "a1",
        "7",
        "old",
    )
    assert events[0].event_time == pytest.approx(1714557601.5)
    assert events[0].received_time == pytest.approx(1714557900.0)
    users = Users.read_stored(settings.catalog_folder).users
    seven = Pseudonyms(open_keyring(settings).pseudonyms).user("7")
    assert users[["user_id", "age", "country"]].values.tolist() == [[seven, 33.0, "NL"]]


def test_a_product_of_an_order_is_an_event(settings: Settings) -> None:
    order = {"order_id": "o1", "products": [{**CUP, "quantity": 3}, LAMP]}
    lines = [
        track(1, "Product List Viewed", {"list_id": "hot", "products": [CUP, LAMP]}),
        track(2, "Product List Viewed", {"list_id": "hot"}),
        track(3, "Order Completed", order, userId="ann"),
        track(4, "Order Refunded", {"order_id": "o1", "products": [LAMP]}, userId="ann"),
        track(5, "Order Refunded", {"order_id": "o1"}, userId="ann"),
    ]
    report = brought(settings, "segment", lines)
    assert (report["rows_in"], report["accepted"]) == (7, 7)
    assert report["reasons"] == {}
    events = stored(settings)
    named = Pseudonyms(open_keyring(settings).pseudonyms).message
    assert [(event.message_id, event.type, event.item_id, event.value) for event in events] == [
        (named("s1"), "impression", "cup", None),
        (named("s1/2"), "impression", "lamp", None),
        (named("s2"), "product_list_viewed", None, None),
        (named("s3"), "purchase", "cup", 13.5),
        (named("s3/2"), "purchase", "lamp", 20.0),
        (named("s4"), "purchase", "lamp", -20.0),
        (named("s5"), "order_refunded", None, None),
    ]
    assert events[4].properties == {"order_id": "o1", "products": LAMP}
    items = Catalog.read(settings.catalog_folder).items
    assert items["title"].tolist() == ["Cup", "Lamp"]
    assert items["price"].tolist() == [4.5, 20.0]
    assert items["brand"].tolist() == ["Clay", ""]
    assert [list(path) for path in items["categories"]] == [["Kitchen", "Cups"], []]
    again = brought(settings, "segment", [*lines, track(6, "Product Viewed", CUP)])
    assert (again["stored"], again["already_stored"]) == (1, 7)


def test_items_of_a_file_go_before_those_of_the_export(settings: Settings) -> None:
    Path("items.csv").write_text("item_id,title,price\ncup,Fine cup,9\n")
    report = brought(
        settings,
        "segment",
        [track(1, "Product Viewed", CUP), track(2, "Product Viewed", {"product_id": "ghost"})],
        *("--items", "items.csv"),
    )
    assert report["reasons"] == {"unknown item": 1}
    assert Catalog.read(settings.catalog_folder).items["title"].tolist() == ["Fine cup"]


def of_mixpanel(number: int, event: str, properties: dict[str, Any]) -> dict[str, Any]:
    """One line of the raw export, a second after the one before."""
    time = 1_714_557_600 + number
    made = {"time": time, "$insert_id": f"m{number}", "mp_processing_time_ms": (time + 9) * 1_000}
    return {"event": event, "properties": {**made, **properties}}


def test_mixpanel_lines_become_events(settings: Settings) -> None:
    nobody = {"distinct_id": "$device:d1", "$device_id": "d1", "$os": "iOS", "$device": "iPhone"}
    ann = {"distinct_id": "ann", "$device_id": "d1", "$user_id": "ann"}
    web = {"$os": "Windows", "$current_url": "https://shop.test/", "$referring_domain": "m.facebook.com"}
    report = brought(
        settings,
        "mixpanel",
        [
            of_mixpanel(1, "$mp_web_page_view", {**nobody, "current_url_path": "/"}),
            of_mixpanel(2, "Product Viewed", {**nobody, "product_id": 12, "name": "Cup"}),
            of_mixpanel(3, "$identify", ann),
            of_mixpanel(4, "Add to Cart", {**ann, **web, "item_id": "lamp"}),
            of_mixpanel(
                5,
                "Order Completed",
                {**ann, "products": [{"product_id": 12, "price": 4, "quantity": 2}, LAMP]},
            ),
            of_mixpanel(6, "Purchase", {"distinct_id": "bob", "Item ID": "lamp", "Amount": 5.0}),
            of_mixpanel(7, "signedUp", {"distinct_id": "bob"}),
            of_mixpanel(8, "$merge", {"$distinct_ids": ["ann", "x"]}),
        ],
    )
    assert (report["rows_in"], report["accepted"]) == (9, 8)
    assert report["reasons"] == {"missing user_id and anonymous_id": 1}
    events = stored(settings)
    assert [(event.type, event.item_id, event.user_key, event.value) for event in events] == [
        ("page", None, "anon:d1", None),
        ("view", "12", "anon:d1", None),
        ("identify", None, "user:ann", None),
        ("add_to_cart", "lamp", "user:ann", None),
        ("purchase", "12", "user:ann", 8.0),
        ("purchase", "lamp", "user:ann", 20.0),
        ("purchase", "lamp", "user:bob", 5.0),
        ("signed_up", None, "user:bob", None),
    ]
    assert (events[2].user_id, events[2].anonymous_id) == ("ann", "d1")
    assert events[0].context == {"device": "mobile"}
    assert events[3].context == {"device": "desktop", "referrer": "social"}
    assert events[1].received_time - events[1].event_time == pytest.approx(9.0)
    assert "products" in events[4].properties


def test_a_file_that_lacks_a_field_everywhere_leaves_it_empty(settings: Settings) -> None:
    line = {
        "type": "track",
        "event": "Product Viewed",
        "messageId": "x",
        "timestamp": "2024-05-01",
        "userId": "u",
    }
    report = brought(settings, "segment", [{**line, "properties": {"sku": "cup"}}])
    assert report["accepted"] == 1
    assert stored(settings)[0].received_time == stored(settings)[0].event_time
