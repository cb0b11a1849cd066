"""Portraits of a workspace: live ones as the next answer sees people, past ones as they were known then, joined keys and all."""

from pathlib import Path

import pytest

from feature_repo.command import build_features
from feature_repo.portraits import Portraits
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Users
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore
from tailorbird.errors import UsageError
from tailorbird.events.schema import Event
from tailorbird.segments.belonging import PromotedSegments
from tailorbird.segments.model import NOT_KNOWN
from tailorbird.segments.rules.rules import rules_of
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tests.features.toy import CATALOG, DAY, NOON, event
from tests.segments.carters import CARTS, LOOKS, carters


@pytest.fixture
def workspace(tmp_path: Path) -> Settings:
    settings = load_settings(home=tmp_path, workspace="toy")
    CATALOG.write(settings.catalog_folder)
    import pandas as pd

    Users.from_frame(pd.DataFrame({"user_id": ["ann"], "age": [34.0], "gender": ["f"]})).write(
        settings.catalog_folder
    )
    with open_events(settings) as stream:
        stream.append([event("m1", "view", "kettle", NOON), event("m2", "view", "drill", NOON + 60)])
    build_features(settings)
    return settings


def tell(settings: Settings, *events: Event) -> None:
    with open_events(settings) as stream:
        stream.append(list(events))
        ProfileUpdater(settings, log=stream).catch_up(stream)


def test_the_live_portrait_follows_events_and_the_catalogue(workspace: Settings) -> None:
    clock = [NOON + 100]
    portraits = Portraits(workspace, clock=lambda: clock[0])
    before = portraits.live("user:ann")
    assert (before.events, before.windows["15m"].events, before.demographics.age) == (2, 2, 34.0)
    tell(workspace, event("m3", "purchase", "novel", NOON + 120, value=12.0))
    clock[0] = NOON + 121
    after = portraits.live("user:ann")
    assert (after.events, after.windows["15m"].spent) == (3, 12.0)
    assert after.version != before.version
    assert portraits.live("user:nobody").events == 0
    store = CatalogStore(workspace.catalog_folder)
    store.put([Patch.of_item("vase", {"categories": ["decor"]})], now=NOON)
    store.close()
    tell(workspace, event("m4", "view", "vase", NOON + 130))
    portraits._looked = float("-inf")  # ten seconds later
    assert portraits.live("user:ann").last_events[0].item_id == "vase"


def test_the_past_is_as_it_was_known_then(workspace: Settings) -> None:
    late = Event(  # happened first, heard of last
        "m0", "view", event_time=NOON - 30, received_time=NOON + 500, user_id="ann", item_id="saw"
    )
    tell(workspace, late, event("m5", "view", "teapot", NOON + 600))
    portraits = Portraits(workspace, clock=lambda: NOON + 1_000)
    known = {
        at: [each.item_id for each in portraits.at("user:ann", NOON + at).last_events]
        for at in (-1, 0, 70, 500, 600)
    }
    assert known == {
        -1: [],
        0: ["kettle"],
        70: ["drill", "kettle"],
        500: ["drill", "kettle", "saw"],
        600: ["teapot", "drill", "kettle", "saw"],
    }
    now, then = portraits.live("user:ann"), portraits.at("user:ann", NOON + 1_000)
    assert now == then
    with pytest.raises(UsageError, match="in the future"):
        portraits.at("user:ann", NOON + 1_001)


def test_who_logs_in_brings_what_they_did_before_and_who_parts_leaves_it(workspace: Settings) -> None:
    link = {"user_id": "ann", "anonymous_id": "a7", "session_id": None}
    tell(
        workspace,
        Event("a1", "view", event_time=NOON, received_time=NOON, anonymous_id="a7", item_id="novel"),
        event("l1", "identify", None, NOON + 200, **link),
        event("l2", "unlink", None, NOON + 300, **link),
    )
    portraits = Portraits(workspace, clock=lambda: NOON + 400)
    assert [portraits.at("user:ann", NOON + at).events for at in (199, 200, 299, 300)] == [2, 3, 3, 2]
    assert portraits.at("user:ann", NOON + 250).linked == ("anon:a7",)
    assert portraits.live("user:ann").linked == ()
    assert portraits.live("anon:a7").last_events[0].item_id == "novel"


def test_a_portrait_says_the_segment_of_its_instant(workspace: Settings) -> None:
    model = PromotedSegments("3", carters())
    deeds = [event(f"c{n}", "add_to_cart", "novel", NOON + 200 + n) for n in range(3)]
    tell(workspace, event("m3", "view", "novel", NOON + 100), *deeds)
    portraits = Portraits(workspace, segments=lambda: model, clock=lambda: NOON + 400)
    keys = [portraits.at("user:ann", NOON + at).belonging for at in (70, 150, 300)]
    assert [each.key for each in keys if each] == [NOT_KNOWN, LOOKS, CARTS]
    live, then = portraits.live("user:ann"), portraits.at("user:ann", NOON + 400)
    assert live == then
    assert live.plain()["segment"] == {
        "key": CARTS,
        "name": "fills carts",
        "evidence": live.plain()["segment"]["evidence"],
        "incumbent": LOOKS,
        "memberships": live.plain()["segment"]["memberships"],
        "model_version": "3",
    }
    assert [each["key"] for each in live.plain()["segment"]["memberships"]] == [CARTS, LOOKS]
    assert Portraits(workspace, clock=lambda: NOON + 400).live("user:ann").plain()["segment"] is None


def test_a_portrait_says_which_rules_held_at_its_instant(workspace: Settings) -> None:
    when = {"looks": "views_15m > 0 and age > 30", "away": "days_since_visit > 14"}
    rules = rules_of({key: {"name": key, "when": text} for key, text in when.items()}, where="rules.toml")
    tell(workspace, event("m3", "view", "novel", NOON + 100))
    clock = [NOON + 400]
    portraits = Portraits(workspace, rules=lambda: rules, clock=lambda: clock[0])
    assert portraits.live("user:ann").plain()["rules"] == [{"key": "looks", "name": "looks"}]
    clock[0] += 15 * DAY
    assert [each.key for each in portraits.live("user:ann").segment_rules] == ["away"]
    assert [each.key for each in portraits.at("user:ann", NOON + 400).segment_rules] == ["looks"]
