"""What may go wrong between machines that share a catalogue: engines that are lost half-way, disks that lack a file."""

import time
from collections.abc import Callable
from contextlib import closing

import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.files import ITEMS_FILE, LOCK_FILE
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.catalog.log.log import KEPT_SECONDS, LOG_FILE
from tailorbird.catalog.patches import patched_items, write_patched
from tailorbird.catalog.shared.mirror import CatalogMirror
from tailorbird.catalog.shared.shared import SharedCatalog, SharedState
from tailorbird.catalog.store import CatalogStore, bring_catalog, open_catalog, writing_tables
from tailorbird.demo.ownership import require_own_workspace
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.postgres import connect
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError
from tests.catalog.shared.test_shared import FIRST, NOON, ingest, machines, prices, told

__all__ = ["machines"]
pytestmark = pytest.mark.server
CUP, VASE = (
    pd.DataFrame({"item_id": [name], "price": [price]}) for name, price in (("cup", 7.0), ("vase", 9.0))
)


def shared_by(settings: Settings) -> SharedCatalog:
    return SharedCatalog(settings.catalog, workspace="shop", storage=settings.storage)


def run_in(address: str, statement: str) -> None:
    with closing(connect(address)) as connection:
        connection.execute(statement)


def test_who_lost_the_lock_does_not_put_older_tables_in_the_place_of_newer_ones(
    machines: tuple[Settings, Settings],
) -> None:
    """The database was started anew, or has not heard of a machine for long."""
    one, two = machines
    ingest(one, FIRST)
    with writing_tables(one) as publish:
        run_in(
            one.catalog,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        ingest(two, VASE)
        before = Catalog.read_stored(one.catalog_folder)
        write_patched(before, patched_items(before, FIRST), one.catalog_folder, now=NOON)
        with pytest.raises(StreamAwayError, match="another machine"):
            publish()
    bring_catalog(one)
    assert prices(one) == prices(two) == {"cup": 5.0, "lamp": 20.0, "vase": 9.0}


def test_a_machine_whose_catalogue_could_not_be_sent_follows_nobody_yet(
    machines: tuple[Settings, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines
    Catalog.from_frame(FIRST).write(one.catalog_folder)
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(StreamAwayError):
            bring_catalog(one)
    ingest(two, VASE)
    with pytest.raises(TailorbirdError, match="holds a catalogue of this machine alone"):
        bring_catalog(one)
    assert prices(one) == {"cup": 5.0, "lamp": 20.0}


class KilledError(Exception):
    """As a kill, at an instant that a test chooses."""


def test_a_machine_that_was_killed_once_its_catalogue_was_sent_follows_it(
    machines: tuple[Settings, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines

    def killed(self: CatalogMirror, record: object) -> None:
        raise KilledError

    Catalog.from_frame(FIRST).write(one.catalog_folder)
    with monkeypatch.context() as patched:
        patched.setattr(CatalogMirror, "_keep", killed)
        with pytest.raises(KilledError):
            bring_catalog(one)
    ingest(one, CUP)
    bring_catalog(two)
    assert prices(one) == prices(two) == {"cup": 7.0, "lamp": 20.0}


def test_another_catalogue_changes_nothing_here(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    run_in(one.catalog, "DELETE FROM tailorbird_catalogues")
    ingest(two, VASE)
    secret = one.model_copy(update={"catalog": f"{one.catalog}?password=hush"})
    with pytest.raises(TailorbirdError, match="another one") as refused:
        bring_catalog(secret)
    assert "hush" not in str(refused.value)
    assert prices(one) == {"cup": 5.0, "lamp": 20.0}


def test_a_catalogue_that_was_deleted_is_said(machines: tuple[Settings, Settings]) -> None:
    one, _ = machines
    ingest(one, FIRST)
    with closing(open_catalog(one)) as store:
        run_in(one.catalog, "DELETE FROM tailorbird_catalogues")
        with pytest.raises(StreamAwayError, match="was deleted there"):
            store.put([told("cup", price=6.0)], now=NOON)


def test_a_table_that_is_lost_here_is_brought_again(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    (one.catalog_folder / ITEMS_FILE).unlink()
    with closing(open_catalog(one)) as store:
        store.put([told("vase", price=9.0)], now=NOON)
        store.compact(now=NOON)
    bring_catalog(two)
    assert prices(one) == prices(two) == {"cup": 5.0, "lamp": 20.0, "vase": 9.0}


def test_a_log_that_is_lost_here_is_brought_again(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    ingest(one, FIRST)
    with closing(open_catalog(one)) as store:
        store.put([told("cup", price=6.0)], now=NOON)
        store.compact(now=NOON)
    ingest(two, CUP, now=NOON + 10)
    bring_catalog(one)
    (one.catalog_folder / LOG_FILE).unlink()
    bring_catalog(one)
    assert prices(one) == {"cup": 7.0, "lamp": 20.0}


def test_a_follower_hears_that_patches_are_missing_in_the_log(machines: tuple[Settings, Settings]) -> None:
    """The clock of the machine that was away is behind: it keeps patches that were told before those that it lacks."""
    one, two = machines
    ingest(one, FIRST)
    with closing(open_catalog(one)) as first, closing(shared_by(two)) as shared:
        first.put([told("cup", price=1.0)], now=NOON)
        bring_catalog(two)
        with closing(CatalogFollower(two.catalog_folder)) as follower:
            first.put([told("lamp", price=2.0)], now=NOON + 1)
            first.compact(now=NOON + 2 + KEPT_SECONDS)  # the log let go of both
            first.put([told("vase", price=3.0)], now=NOON + 3)
            CatalogMirror(two.catalog_folder, shared, clock=lambda: NOON).pull()
            delta = follower.changes()
    assert delta is not None
    assert delta.replaced


class Interrupted(CatalogMirror):
    """Something happens between its question what there is and its asking for the patches."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def take_patches(self, state: SharedState) -> bool:
        happens, self.meanwhile = self.meanwhile, lambda: None
        happens()
        return super().take_patches(state)


def test_patches_that_are_folded_and_let_go_meanwhile_come_with_the_tables(
    machines: tuple[Settings, Settings],
) -> None:
    one, two = machines
    ingest(one, FIRST)
    bring_catalog(two)
    with closing(open_catalog(one)) as first, closing(shared_by(two)) as shared:
        first.put([told("cup", price=6.0), told("lamp", price=1.0)], now=NOON)

        def fold() -> None:
            first.compact(now=NOON + 2 * KEPT_SECONDS)
            first.put([told("vase", price=2.0)], now=NOON + 2 * KEPT_SECONDS)

        slow = Interrupted(two.catalog_folder, shared)
        slow.meanwhile = fold
        with closing(CatalogFollower(two.catalog_folder)) as follower:
            slow.pull()
            delta = follower.changes()
    assert prices(two) == {"cup": 6.0, "lamp": 1.0, "vase": 2.0}
    assert delta is not None
    assert delta.replaced


def test_opening_does_not_number_past_patches_that_are_still_to_come(
    machines: tuple[Settings, Settings],
) -> None:
    """One process has brought the table and not yet the patches; another one opens the catalogue."""
    one, two = machines
    ingest(one, FIRST)
    bring_catalog(two)
    with closing(open_catalog(one)) as first, closing(CatalogFollower(two.catalog_folder)) as follower:
        first.put([told("cup", price=6.0)], now=NOON)
        first.compact(now=NOON)
        mirror = CatalogMirror(two.catalog_folder, shared_by(two))
        mirror.take_tables(mirror.shared.state())
        with closing(CatalogStore(two.catalog_folder, mirror=mirror)):
            mirror.pull()
        delta = follower.changes()
    assert delta is not None
    assert set(delta.items) == {"cup"}


def test_telling_waits_for_no_storage_and_for_no_other_process(
    machines: tuple[Settings, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines
    ingest(one, FIRST)
    with closing(open_catalog(two)) as second:
        assert second.mirror is not None
        ingest(one, CUP)
        with monkeypatch.context() as away:
            away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            second.put([told("vase", price=9.0)], now=NOON)
        assert prices(two) == {"cup": 5.0, "lamp": 20.0, "vase": 9.0}
        with alone(two.catalog_folder / LOCK_FILE):
            second.put([told("vase", price=8.0)], now=NOON)
            assert second.mirror.pull(wait=False)
            assert prices(two) == {"cup": 5.0, "lamp": 20.0, "vase": 8.0}
        assert second.mirror.pull(wait=False)
    assert prices(two) == {"cup": 7.0, "lamp": 20.0, "vase": 8.0}


def test_objects_that_are_no_table_go_once_they_are_old(machines: tuple[Settings, Settings]) -> None:
    one, _ = machines
    ingest(one, FIRST)
    with closing(shared_by(one)) as shared:

        def stored() -> set[str]:
            return {each.name for each in shared.objects.folder.glob("*.parquet")}

        shared.objects.send(one.catalog_folder / ITEMS_FILE, "items-stray.parquet")
        ingest(one, FIRST)
        assert "items-stray.parquet" in stored()  # somebody may be about to name it
        named = {name for names in shared.state().tables.values() for name in names if name}
        shared.objects.sweep(keep=named, older_than=time.time() + 60)
        assert stored() == named


def test_a_demo_keeps_out_of_a_catalogue_that_others_filled(machines: tuple[Settings, Settings]) -> None:
    one, two = machines
    require_own_workspace(two)
    ingest(one, FIRST)
    with pytest.raises(UsageError, match="machines share"):
        require_own_workspace(two)


def test_what_the_database_cannot_store_is_refused_for_good(machines: tuple[Settings, Settings]) -> None:
    with (
        closing(open_catalog(machines[0])) as store,
        pytest.raises(UsageError, match="cannot store this"),
    ):
        store.put([told("cup", price=6.0)], now=NOON, batch_id="a\0b")
