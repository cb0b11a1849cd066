"""The feature store of one workspace: apply, and the reads and writes of live profiles."""

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from feast import FeatureStore, metrics
from feast.infra.passthrough_provider import PassthroughProvider
from feast.infra.provider import get_provider
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.config import repo_config
from feature_repo.definitions import ITEM_KEY, USER_KEY, definitions
from feature_repo.layout import (
    ITEM_VIEW,
    USER_VIEW,
    layout_digest,
    layout_file,
    offline_folder,
)
from feature_repo.offline_rows import OfflineRows
from feature_repo.online_store import NOTHING_SEEN, LiveOnlineStore, Row, Seen
from feature_repo.values import entity_key, from_values, row_key, to_values
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.features.counters import ItemCounters
from tailorbird.features.items import ItemTable
from tailorbird.features.merge import with_linked
from tailorbird.features.state import UserState
from tailorbird.features.table import STORED_ITEM, STORED_USER
from tailorbird.settings import Settings
from tailorbird.streams.position import Position

# Feast's switch for shared metrics would reach every child process, whose folder then goes when we end.
if metrics._owns_mp_dir:
    for _name in ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        os.environ.pop(_name, None)

log = logging.getLogger("tailorbird.features")
VIEWS = (USER_VIEW, ITEM_VIEW)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FeatureStoreRoom:
    """One workspace's features. Opening reads nothing; a store that is away raises FeatureStoreAwayError.

    ``beside`` opens the online rows that are being made to take the place of the live ones.
    """

    def __init__(self, settings: Settings, *, beside: bool = False) -> None:
        self.settings = settings
        self.folder = settings.feature_folder
        self.config = repo_config(settings, beside=beside)
        self.beside = beside
        self.definitions = definitions(self.folder)
        self.rows = OfflineRows(settings)
        self._items: tuple[Catalog, ItemTable, Seen] | None = None

    @cached_property
    def feast(self) -> FeatureStore:
        """Feast's own front: registry, get_online_features, get_historical_features."""
        return FeatureStore(config=self.config)

    @cached_property
    def provider(self) -> PassthroughProvider:
        """Feast's way to the stores without the registry: what a request uses."""
        provider = get_provider(self.config)
        if not isinstance(provider, PassthroughProvider):
            raise TypeError(f"Feast gave a {type(provider).__name__}; set `provider: local`")
        return provider

    @property
    def online(self) -> LiveOnlineStore:
        """The plug-in that holds the online rows."""
        store = self.provider.online_store
        if not isinstance(store, LiveOnlineStore):
            raise TypeError(
                f"Feast opened a {type(store).__name__}; set online_store.type to LiveOnlineStore"
            )
        return store

    def apply(self) -> None:
        """Register the definitions and create what is missing of the stores; rows of another layout stay as they are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for view in (USER_VIEW, ITEM_VIEW):
            offline_folder(self.folder, view).mkdir(parents=True, exist_ok=True)
        with _quiet_feast():
            self.feast.apply(self.definitions.all())
        layout_file(self.folder).write_text(layout_digest(self.settings))

    def online_read(self, user_keys: Sequence[str]) -> list[UserState]:
        """The live profiles, in the order asked, joined with what is linked to them; an unknown user has the empty one."""
        return with_linked(
            self.online_parts(user_keys),
            lambda places, keys: self.online_parts(keys),
            length=self.settings.history_length,
        )

    def online_parts(self, user_keys: Sequence[str]) -> list[UserState]:
        """What each key's own row holds, in the order asked."""
        rows = self._read(self.definitions.user_profile, USER_KEY, user_keys)
        return [
            UserState.empty(key) if values is None else self._state(key, values)
            for key, (_, values) in zip(user_keys, rows, strict=True)
        ]

    def _state(self, user_key: str, values: Mapping[str, Value]) -> UserState:
        """A stored row as a profile; one that cannot be read is reported, and empty: it must not be everybody's trouble."""
        try:
            return UserState.from_row(user_key, from_values(values, STORED_USER))
        except (ValueError, TypeError, TailorbirdError) as error:
            log.error("the row of a profile cannot be read: %s", error)
            self.online.report_damaged(
                self.config, self.definitions.user_profile, [self.stored_key(USER_KEY, user_key)]
            )
            return UserState.empty(user_key)

    def stored_key(self, join_key: str, name: str) -> bytes:
        """The key of a user's or an item's row in the online tables."""
        return row_key(self.config, entity_key(join_key, name))

    def online_write(self, states: Sequence[UserState]) -> None:
        """Store live profiles; one that is older than the stored one changes nothing."""
        rows: list[Row] = [
            (
                entity_key(USER_KEY, state.user_key),
                to_values(state.to_row(), STORED_USER),
                instant_of(state.last_seen),
                instant_of(state.total),
            )
            for state in states
        ]
        self.provider.online_write_batch(self.config, self.definitions.user_profile, rows, None)

    def item_counters(self, item_ids: Sequence[str]) -> ItemCounters:
        """The live counters of items, in the order asked; zero where nothing is known."""
        counters = ItemCounters.empty(len(item_ids))
        for place, (_, values) in enumerate(self._read(self.definitions.item_profile, ITEM_KEY, item_ids)):
            if values is not None:
                _set_counters(counters, place, values)
        return counters

    def write_items(self, rows: Sequence[dict[str, object]]) -> None:
        """Store item rows: ``item_id`` and the stored features of table.STORED_ITEM."""
        data: list[Row] = [
            (
                entity_key(ITEM_KEY, str(row["item_id"])),
                to_values(row, STORED_ITEM),
                instant_of(int(row["item_seen"])),  # type: ignore[call-overload]
                instant_of(int(row["item_total"])),  # type: ignore[call-overload]
            )
            for row in rows
        ]
        self.provider.online_write_batch(self.config, self.definitions.item_profile, data, None)

    def item_table(self, catalog: Catalog) -> ItemTable:
        """The items' features as they are now, aligned with ``catalog``; a repeated call reads only what changed."""
        if self._items is None or self._items[0] is not catalog:
            self._items = catalog, ItemTable.of(catalog, ItemCounters.empty(len(catalog))), NOTHING_SEEN
        _, table, before = self._items
        after, changed = self.online.read_changed(self.config, self.definitions.item_profile, after=before)
        rows = [(catalog.row_of.get(key.entity_values[0].string_val, -1), values) for key, values in changed]
        if rows:
            counters = ItemCounters(table.sums.copy(), table.seen.copy(), table.totals.copy())
            if (
                after[0] != before[0]
            ):  # other rows have taken their place: what they do not hold has not happened
                counters = ItemCounters.empty(len(catalog))
            for row, values in rows:
                if row >= 0:
                    _set_counters(counters, row, values)
            table = table.with_counters(counters)
        self._items = catalog, table, after
        return table

    def applied(self) -> Position:
        """Every event of the stream up to here is in the online rows."""
        return self.online.position(self.config)

    def start_anew(self) -> None:
        """Empty the online tables of this room: those beside, which nobody reads yet."""
        with self.online.tables(self.config) as tables:
            tables.drop(VIEWS)
            tables.create(VIEWS)

    def create_online(self) -> None:
        """Create the online tables that are missing, in a store that is there."""
        with self.online.tables(self.config) as tables:
            tables.create(VIEWS)

    def delete_user(self, user_key: str) -> bool:
        """Forget a user online and in the offline rows; whether there was anything. The event log is not touched."""
        view, key = self.definitions.user_profile, entity_key(USER_KEY, user_key)
        known = self.online.delete_entity(self.config, view, key)
        return self.rows.forget(user_key) or known

    def _read(self, view: Any, join_key: str, names: Sequence[str]) -> list[Any]:
        keys = [entity_key(join_key, name) for name in names]
        return self.provider.online_read(self.config, view, keys)


@contextlib.contextmanager
def _quiet_feast() -> Iterator[None]:
    """Keep Feast's own reports off stdout, which belongs to the command's result, and its bars off the screen.

    On a first run it also warns of snapshots that are about to be built.
    """
    log = logging.getLogger("feast.infra.offline_stores.file_source")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)


def _set_counters(counters: ItemCounters, row: int, values: Mapping[str, Any]) -> None:
    counters.sums[row] = values["item_sums"].double_list_val.val
    counters.seen[row] = values["item_seen"].int64_val
    counters.totals[row] = values["item_total"].int64_val


def item_row(static: Mapping[Any, Any], counters: ItemCounters, place: int) -> dict[str, object]:
    """The stored features of one item: what the catalogue says (items.static_rows) and its counters at ``place``."""
    return {
        **{str(name): value for name, value in static.items()},
        "item_sums": counters.sums[place].tolist(),
        "item_seen": int(counters.seen[place]),
        "item_total": int(counters.totals[place]),
    }


def instant_of(microseconds: int) -> datetime:
    """Epoch microseconds as a datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)
