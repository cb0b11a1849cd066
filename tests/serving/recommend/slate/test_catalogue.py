"""What is told of the catalogue holds for the next answer, cached or not; people told anew are answered anew."""

from collections.abc import Callable
from contextlib import closing

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore
from tests.serving.world import World


def shown(world: World, **body: object) -> list[str]:
    answer = world.post("/v1/recommendations", {"userId": "ann", "numResults": 12, **body})
    assert answer.status_code == 200, answer.text
    return [item["itemId"] for item in answer.json()["items"]]


def test_a_deleted_item_is_not_shown_even_from_a_cached_ranking_until_it_is_told_again(
    make_world: Callable[..., World],
) -> None:
    world = make_world(cache_seconds=1_000)
    before = shown(world)
    first = before[0]
    world.tell(Patch.deletion(first, now=world.clock))
    assert shown(world) == before[1:]
    world.tell(Patch.of_item(first, {}))
    assert first in shown(world)


def test_stock_price_and_launch_count_as_they_were_told_last(world: World) -> None:
    before = shown(world)
    sold, dear, later = before[:3]
    world.tell(
        Patch.of_item(sold, {"stock": 0.0}),
        Patch.of_item(dear, {"price": 900.0}),
        Patch.of_item(later, {"launched_at": world.clock + 60}),
    )
    assert sold not in shown(world)
    assert later not in shown(world)
    assert shown(world, filter={"minPrice": 800}) == [dear]
    world.clock += 61
    assert later in shown(world)


def test_ten_thousand_patches_of_one_item_leave_the_last(world: World) -> None:
    first = shown(world)[0]
    world.tell(*(Patch.of_item(first, {"stock": float(number % 2)}) for number in range(10_001)))
    while world.catalogue.sequence < 10_001:
        world.served.hear()
    assert first not in shown(world)


def test_tables_that_are_replaced_are_read_again(world: World) -> None:
    first = shown(world)[0]
    folder = world.settings.catalog_folder
    items = Catalog.read(folder).items
    Catalog.from_frame(items.assign(stock=items["stock"].where(items["item_id"] != first, 0.0))).write(folder)
    world.served.hear()
    assert first not in shown(world)
    with closing(CatalogStore(folder)) as store:
        store.put([Patch.of_item(first, {"stock": 1.0})], now=world.clock)
        world.served.hear()
        store.compact(now=world.clock)
    world.served.refresh()
    assert first in shown(world)


def test_people_are_known_as_they_were_told_last(world: World) -> None:
    world.tell(Patch.of_user("ann", {"age": 33.0, "country": "FR"}))
    world.tell(Patch.of_user("ann", {"country": None, "gender": "f"}))
    ann = world.builder.demographics("user:ann")
    assert (ann.age, ann.gender, ann.country) == (33.0, "f", "")


def test_a_replica_that_was_too_far_behind_reads_the_tables(world: World) -> None:
    sold, deleted = shown(world)[:2]
    with closing(CatalogStore(world.settings.catalog_folder)) as store:
        store.put(
            [Patch.of_item(sold, {"stock": 0.0}), Patch.deletion(deleted, now=world.clock)], now=world.clock
        )
        store.compact(now=world.clock + 4_000)  # what was told is in the table, and let go of by the log
        store.put([Patch.of_user("ann", {"age": 33.0})], now=world.clock + 4_000)
    world.served.hear()
    assert not {sold, deleted} & set(shown(world))
