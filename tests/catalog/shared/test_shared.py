"""Machines that share a catalogue say the same of every item, whichever of them is told, folds, or was away."""

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feature_repo.layout import is_applied
from serving.command import prepare
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.files import ITEMS_FILE
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.catalog.log.log import KEPT_SECONDS
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.patches import patched_items, write_patched
from tailorbird.catalog.shared.mirror import RECORD_FILE
from tailorbird.catalog.shared.shared import shared_of
from tailorbird.catalog.store import bring_catalog, follow_while_serving, open_catalog, writing_tables
from tailorbird.doctor.catalogue import check_catalogue
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import StreamAwayError
from tests.streams.embedded import event

pytestmark = pytest.mark.server
NOON = 1_000_000.0
FIRST = pd.DataFrame({"item_id": ["cup", "lamp"], "title": ["Cup", "Lamp"], "price": [5.0, 20.0]})


@pytest.fixture
def machines(database: str, storage: str, tmp_path: Path) -> tuple[Settings, Settings]:
    """Two machines with a disk of their own and the same settings."""
    one, two = (
        load_settings(home=tmp_path / name, workspace="shop", catalog=database, storage=storage)
        for name in ("one", "two")
    )
    return one, two


def told(item_id: str, **values: Any) -> Patch:
    return Patch.of_item(item_id, values)


def prices(settings: Settings) -> dict[str, float]:
    items = Catalog.read(settings.catalog_folder).items
    return dict(zip(items["item_id"], items["price"], strict=True))


def ingest(settings: Settings, frame: pd.DataFrame, *, now: float = NOON) -> None:
    with writing_tables(settings) as publish:
        before = Catalog.read_stored(settings.catalog_folder)
        write_patched(before, patched_items(before, frame), settings.catalog_folder, now=now)
        publish()


def test_what_one_machine_is_told_the_other_knows(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    with closing(open_catalog(one)) as first, closing(open_catalog(two)) as second:
        assert prices(two) == {"cup": 5.0, "lamp": 20.0}
        follower = CatalogFollower(two.catalog_folder)
        stored = first.put([told("cup", price=6.0), told("vase", price=9.0)], now=NOON + 1)
        assert second.mirror is not None
        assert second.mirror.pull()
        assert not second.mirror.pull()
        delta = follower.changes()
        assert delta is not None
        assert not delta.replaced
        assert (set(delta.items), delta.sequence) == ({"cup", "vase"}, stored.sequence)
        second.put([told("lamp", price=21.0)], now=NOON)  # a clock that is behind reorders nothing
        assert first.mirror is not None
        first.mirror.pull()
        follower.close()
    assert prices(one) == prices(two) == {"cup": 6.0, "lamp": 21.0, "vase": 9.0}


def test_tables_and_their_past_reach_the_other_machine(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    ingest(two, pd.DataFrame({"item_id": ["cup"], "price": [7.0]}), now=NOON + 10)
    with closing(open_catalog(one)) as first:
        first.put([told("cup", price=8.0), Patch.of_user("u", {"age": 30.0})], now=NOON + 20)
        assert first.compact(now=NOON + 30) is not None
    bring_catalog(two)
    for settings in machines:
        catalog = Catalog.read_with_history(settings.catalog_folder)
        then = {at: catalog.as_of(NOON + at).items.set_index("item_id")["price"]["cup"] for at in (5, 15, 25)}
        assert then == {5: 5.0, 15: 7.0, 25: 8.0}
        assert Users.read_stored(settings.catalog_folder).users["age"].tolist() == [30.0]


def test_a_batch_counts_once_whichever_machine_it_is_sent_to(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    with closing(open_catalog(one)) as first, closing(open_catalog(two)) as second:
        before = first.put([told("cup", price=1.0)], now=NOON, batch_id="b")
        again = second.put([told("cup", price=2.0)], now=NOON + 1, batch_id="b")
        assert (again.sequence, again.repeated) == (before.sequence, True)
    assert prices(two) == {"cup": 1.0}


def test_a_machine_that_was_away_for_long_reads_the_tables(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    bring_catalog(two)
    follower = CatalogFollower(two.catalog_folder)
    with closing(open_catalog(one)) as first:
        first.put([told("cup", price=6.0)], now=NOON)
        first.compact(now=NOON + 2 * KEPT_SECONDS)  # folded, and the log let go of it
        bring_catalog(two)
        assert prices(two)["cup"] == 6.0
        delta = follower.changes()
        assert delta is not None
        assert delta.replaced
        first.put([told("cup", price=7.0)], now=NOON + 3 * KEPT_SECONDS)
    bring_catalog(two)
    delta = follower.changes()
    assert delta is not None
    assert not delta.replaced
    assert delta.items["cup"]["price"] == 7.0
    follower.close()


def test_the_catalogue_a_machine_had_becomes_everybodys(
    machines: tuple[Settings, Settings], tmp_path: Path
) -> None:
    one, two = machines
    alone = load_settings(home=one.home, workspace="shop")
    Catalog.from_frame(FIRST).write(alone.catalog_folder)
    with closing(open_catalog(alone)) as own:
        own.put([told("cup", price=6.0)], now=NOON)
    bring_catalog(one)
    bring_catalog(two)
    assert prices(one) == prices(two) == {"cup": 6.0, "lamp": 20.0}
    with pytest.raises(TailorbirdError, match="TAILORBIRD_CATALOG is not set"):
        open_catalog(alone)
    third = load_settings(home=tmp_path / "three", workspace="shop", catalog=one.catalog, storage=one.storage)
    Catalog.from_frame(FIRST).write(third.catalog_folder)
    with pytest.raises(TailorbirdError, match="holds a catalogue of this machine alone"):
        open_catalog(third)
    assert (third.catalog_folder / ITEMS_FILE).exists()
    assert not (third.catalog_folder / RECORD_FILE).exists()


def test_without_a_place_for_tables_nothing_is_shared(tmp_path: Path) -> None:
    lacking = load_settings(home=tmp_path, catalog="postgresql://127.0.0.1/none")
    with pytest.raises(UsageError, match="TAILORBIRD_STORAGE is not"):
        shared_of(lacking)


def test_a_database_that_is_away_is_said_and_reading_goes_on(
    machines: tuple[Settings, Settings], tmp_path: Path
) -> None:
    one, _ = machines
    ingest(one, FIRST)
    with closing(open_catalog(one)) as store:
        assert store.mirror is not None
        store.mirror.shared.close()
        store.mirror.shared.address = "postgresql://127.0.0.1:1/none"
        with pytest.raises(StreamAwayError, match="does not let us in"):
            store.put([told("cup", price=1.0)], now=NOON)
        assert store.find("cup") is not None
    assert prices(one)["cup"] == 5.0


def test_following_brings_what_is_told_meanwhile(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    bring_catalog(two)
    stop = threading.Event()
    thread = threading.Thread(target=follow_while_serving, args=(two,), kwargs={"stop": stop})
    thread.start()
    try:
        with closing(open_catalog(one)) as first:
            first.put([told("cup", price=6.5)], now=NOON)
        deadline = time.monotonic() + 60
        while prices(two)["cup"] != 6.5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join()


def _tell_and_fold(
    settings: Settings, number: int, told_so_far: "multiprocessing.Queue[tuple[str, float]]"
) -> None:
    rng = random.Random(number)
    with closing(open_catalog(settings)) as store:
        for price in range(1_000_000):
            item_id = f"item-{number}-{rng.randrange(5)}"
            store.put([told(item_id, price=float(price))], now=time.time())
            told_so_far.put((item_id, float(price)))
            if rng.random() < 0.3:
                store.compact(now=time.time() + rng.choice([0.0, 2 * KEPT_SECONDS]))


def test_machines_that_are_killed_while_they_tell_and_fold_lose_nothing(
    machines: tuple[Settings, Settings], tmp_path: Path
) -> None:
    """Each round kills both in the middle; what was confirmed is there on both afterwards, and both say the same."""
    bring_catalog(machines[0])
    context = multiprocessing.get_context("spawn")
    confirmed: dict[str, float] = {}
    rng = random.Random(7)
    for number in range(2):
        queue: multiprocessing.Queue[tuple[str, float]] = context.Queue()
        processes = [
            context.Process(target=_tell_and_fold, args=(settings, 10 * number + place, queue))
            for place, settings in enumerate(machines)
        ]
        for process in processes:
            process.start()
        confirmed.update([queue.get(timeout=120) for _ in range(20)])
        time.sleep(rng.random() / 2)
        for process in processes:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        for settings in machines:
            bring_catalog(settings)
        assert prices(machines[0]) == prices(machines[1])
    found = prices(machines[0])
    assert {item_id for item_id, price in confirmed.items() if found[item_id] < price} == set()
    with closing(open_catalog(machines[1])) as store:
        assert store.compact(now=time.time() + 2 * KEPT_SECONDS) is not None
        assert store.waiting() == 0
    bring_catalog(machines[0])
    assert prices(machines[0]) == prices(machines[1]) == found


def test_the_doctor_says_how_far_this_machine_follows(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    (found,) = check_catalogue(two)
    assert (found.state, found.says) == ("warning", "answers; not on this machine yet")
    bring_catalog(two)
    with closing(open_catalog(one)) as first:
        first.put([told("cup", price=6.5), told("lamp", price=1.0)], now=NOON)
    (found,) = check_catalogue(two)
    assert (found.state, found.facts["behind"]) == ("ok", 2)
    (found,) = check_catalogue(load_settings(home=two.home, workspace="shop"))
    assert (found.state, found.remedy) == ("broken", "set TAILORBIRD_CATALOG")


def test_a_machine_that_is_new_is_prepared_before_it_serves(
    machines: tuple[Settings, Settings], tmp_path: Path
) -> None:
    """Only the database and the storage are shared here; events and profiles are each machine's own."""
    one, two = machines
    with pytest.raises(UsageError, match="has no catalogue"):
        prepare(two)
    ingest(one, FIRST)
    with open_events(two) as stream:
        stream.append([event(1)])
    assert not is_applied(two)
    prepare(two)
    assert is_applied(two)
    assert prices(two) == {"cup": 5.0, "lamp": 20.0}
    nowhere = "postgresql://127.0.0.1:1/none"
    prepare(two.model_copy(update={"catalog": nowhere}))  # goes on with what it has
    third = load_settings(home=tmp_path / "three", workspace="shop", catalog=nowhere, storage=two.storage)
    with pytest.raises(StreamAwayError, match="does not let us in"):
        prepare(third)
