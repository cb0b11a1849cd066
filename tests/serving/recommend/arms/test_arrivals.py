"""A new item is answered after the replica's next look, without a model being made, and after a restart too."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tailorbird.bundle import BUNDLE_PATH
from tailorbird.bundle.manifest import MANIFEST_NAME, Manifest, record_files
from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore
from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.stages import HybridStages
from tailorbird.recipes.recipe import Recipe
from tailorbird.settings import Settings
from tests.serving.shop import write_shop_bundle
from tests.serving.world import World

READING = Recipe.of(
    {
        "name": "reading",
        "width": 8,
        "sources": ["content", "popularity"],
        "ranker": {"cases": 50, "epochs": 3},
    }
)
OOLONG = Patch.of_item("oolong", {"categories": ["tea"], "brand": "north", "price": 2.0})
SPOON = Patch.of_item("spoon", {"title": "a spoon", "attributes": {"metal": "silver"}})


@pytest.fixture(scope="module")
def reading(shop: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose model reads texts."""
    folder = tmp_path_factory.mktemp("reading")
    write_shop_bundle(shop, folder / BUNDLE_PATH, recipe=READING)
    return folder


@pytest.fixture
def make_reading(make_world: Callable[..., World], reading: Path) -> Callable[..., World]:
    """Makes worlds that serve it."""

    def make(bundle: Path = reading, *, told: tuple[Patch, ...] = ()) -> World:
        world = make_world()
        if told:
            with closing(CatalogStore(world.settings.catalog_folder)) as store:
                store.put(told, now=world.clock)
        version = world.registry.client.create_model_version(world.registry.name, source=str(bundle)).version
        world.point(str(version))
        world.check()
        assert world.served.champion.version == str(version), world.served.troubles()
        return world

    return make


def answers(world: World, **body: object) -> dict[str, list[str]]:
    """The sources of each item that is shown."""
    found = world.post(
        "/v1/recommendations", {"userId": "p1", "numResults": 20, "filter": {"seen": "keep"}, **body}
    )
    assert found.status_code == 200, found.text
    return {item["itemId"]: item["sources"] for item in found.json()["items"]}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_new_item_is_a_candidate_by_its_words(make_reading: Callable[..., World], restarted: bool) -> None:
    world = make_reading(told=(OOLONG, SPOON) if restarted else ())
    if not restarted:
        assert "oolong" not in answers(world)
        world.tell(OOLONG, SPOON)
    shown = answers(world)
    assert "content" in shown["oolong"]
    assert shown["spoon"] == ["editorial"]  # no word of it is known
    assert len(shown) == 13  # one of the twelve of the toy shop is sold out
    assert not world.served.troubles()


def test_everything_that_can_be_asked_knows_it(make_reading: Callable[..., World]) -> None:
    world = make_reading()
    world.tell(OOLONG, SPOON)
    similar = world.call("GET", "/v1/items/oolong/similar?numResults=3").json()["items"]
    assert {item["itemId"] for item in similar} <= {"i0", "i1", "i2", "i3"}
    ranked = world.post("/v1/rank", {"userId": "p1", "itemIds": ["spoon", "oolong", "i5", "who"]}).json()
    assert [item["itemId"] for item in ranked["items"]][-1] == "who"
    assert len(answers(world, excludeItemIds=["oolong"])) == 12
    assert set(answers(world, filter={"brands": ["north"], "maxPrice": 2.5, "seen": "keep"})) == {
        "oolong",
        "i1",
    }
    assert "oolong" not in answers(world, itemId="oolong")


def test_it_is_sold_deleted_and_told_again_like_any_other(make_reading: Callable[..., World]) -> None:
    world = make_reading()
    world.tell(OOLONG)
    world.tell(Patch.of_item("oolong", {"stock": 0.0}))
    assert "oolong" not in answers(world)
    world.tell(Patch.of_item("oolong", {"stock": 3.0}), Patch.deletion("spoon", now=world.clock))
    assert "oolong" in answers(world)
    world.tell(Patch.deletion("oolong", now=world.clock))
    assert not {"oolong", "spoon"} & answers(world).keys()
    world.tell(Patch.of_item("oolong", {}))
    assert "content" in answers(world)["oolong"]


def test_words_that_come_later_count_and_so_do_those_of_known_items(
    make_reading: Callable[..., World],
) -> None:
    world = make_reading()
    world.tell(SPOON)
    world.tell(Patch.of_item("spoon", {"brand": "north"}))
    world.tell(Patch.of_item("i11", {"categories": ["tea"]}))
    assert "content" in answers(world)["spoon"]
    similar = world.call("GET", "/v1/items/i11/similar?numResults=2").json()["items"]
    assert {item["itemId"] for item in similar} == {"i1", "spoon"}  # tea of the north, where it was a pot


def test_an_event_on_it_is_part_of_the_history(make_reading: Callable[..., World]) -> None:
    world = make_reading()
    world.tell(OOLONG)
    click = Event("m1", "click", world.clock - 1, world.clock, user_id="zoe", item_id="oolong")
    facts = ItemFacts.of(Catalog.read(world.settings.catalog_folder))  # as the updater knows it
    state = fold(UserState.empty("user:zoe"), [click], facts)
    stages = world.served.champion.stages
    history = stages.model.history_of(state, now=world.clock)  # type: ignore[union-attr]
    assert history.items.tolist() == [12]


def test_it_survives_a_refresh_and_counters_reach_it(make_reading: Callable[..., World]) -> None:
    world = make_reading()
    world.tell(OOLONG)
    world.served.refresh()
    assert "content" in answers(world)["oolong"]
    world.tell(SPOON)
    world.served.refresh()
    assert len(answers(world)) == 13


def test_a_model_of_before_answers_new_items_from_lists_and_says_why(
    make_reading: Callable[..., World], reading: Path, tmp_path: Path
) -> None:
    shutil.copytree(reading, tmp_path / "old")
    bundle = tmp_path / "old" / BUNDLE_PATH
    shutil.rmtree(bundle / "model" / "texts")
    manifest = Manifest.read(bundle)
    (bundle / MANIFEST_NAME).unlink()
    without = Manifest(**{**manifest.__dict__, "files": record_files(bundle)})
    (bundle / MANIFEST_NAME).write_text(without.to_json(), "utf-8")
    world = make_reading(tmp_path / "old")
    assert not world.served.troubles()
    world.tell(OOLONG)
    assert answers(world)["oolong"] == ["editorial"]
    assert "train again" in world.call("GET", "/health/ready").text


def test_a_model_that_cannot_grow_still_hears_the_rest_and_grows_at_a_refresh(
    make_reading: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_reading()

    def fails(*_: object) -> HybridStages:
        raise MemoryError

    sold, deleted = list(answers(world))[:2]
    with monkeypatch.context() as broken:
        broken.setattr(HybridStages, "grown", fails)
        world.tell(OOLONG, Patch.of_item(sold, {"stock": 0.0}), Patch.deletion(deleted, now=world.clock))
        assert not {sold, deleted, "oolong"} & answers(world).keys()
        world.served.refresh()  # fails as well
        assert not {sold, deleted, "oolong"} & answers(world).keys()
    world.served.refresh()
    assert "content" in answers(world)["oolong"]
    assert not {sold, deleted} & answers(world).keys()


def test_a_feed_that_says_the_same_words_again_moves_nothing(make_reading: Callable[..., World]) -> None:
    world = make_reading()
    before = world.served.champion
    items = before.catalog.items[["item_id", "title", "text", "categories", "brand"]]
    same = {row["item_id"]: row for row in items.to_dict("records")}
    patches = [
        Patch.of_item(key, {**row, "categories": list(row["categories"])}) for key, row in same.items()
    ]
    world.tell(*patches)
    assert world.served.champion is before
    world.tell(Patch.of_item("i11", {"categories": ["tea"]}))
    moved = world.served.champion
    assert moved is not before
    world.tell(*patches)
    assert world.served.champion is not moved  # i11 has its words of before again
