"""The feature store of one workspace: apply, and the reads and writes of live profiles."""

import contextlib
import io
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

from feast import FeatureStore, metrics
from feast.infra.passthrough_provider import PassthroughProvider
from feast.infra.provider import get_provider

from feature_repo.config import repo_config
from feature_repo.definitions import ITEM_KEY, USER_KEY, definitions
from feature_repo.layout import (
    ITEM_VIEW,
    USER_VIEW,
    applied_layout,
    layout_file,
    offline_folder,
)
from feature_repo.live_items import Changed, LiveItems, set_counters
from feature_repo.offline.rows import OfflineRows
from feature_repo.online.plugin import LiveOnlineStore, Seen, Stored
from feature_repo.rows import Row, name_key
from feature_repo.values import entity_key
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.merge import with_linked
from tailorbird.features.profile.state import UserState
from tailorbird.settings import Settings
from tailorbird.streams.position import Position

# Feast's switch for shared metrics would reach every child process, whose folder then goes when we end.
if metrics._owns_mp_dir:
    for _name in ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        os.environ.pop(_name, None)

log = logging.getLogger("tailorbird.features")
VIEWS = (USER_VIEW, ITEM_VIEW)
_WORDS = 32
"""A row's revision counts words of consent above so many bits, events below."""


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
        self._items: tuple[Catalog, ItemTable] | None = None
        self.live_items = LiveItems(self._changed_items)

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
                f"Feast opened a {type(store).__name__}; set online_store.type to a plug-in of feature_repo/online"
            )
        return store

    def apply(self) -> None:
        """Register the definitions and create what is missing of the stores; rows of another layout stay as they are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for view in (USER_VIEW, ITEM_VIEW):
            offline_folder(self.folder, view).mkdir(parents=True, exist_ok=True)
        with _quiet_feast():
            self.feast.apply(self.definitions.all())
        layout_file(self.folder).write_text(applied_layout(self.settings))

    def online_read(self, user_keys: Sequence[str]) -> list[UserState]:
        """The live profiles, in the order asked, joined with what is linked to them; an unknown user has the empty one."""
        return with_linked(
            self.online_parts(user_keys),
            lambda places, keys: self.online_parts(keys),
            length=self.settings.history_length,
        )

    def online_parts(self, user_keys: Sequence[str]) -> list[UserState]:
        """What each key's own row holds, in the order asked."""
        return self.read_parts(user_keys)[0]

    def read_parts(self, user_keys: Sequence[str]) -> tuple[list[UserState], set[str]]:
        """As :meth:`online_parts`, and those whose row cannot be read: it is reported, the profile is empty."""
        keys = [name_key(USER_KEY, name) for name in user_keys]
        rows, damaged = self.online.read_rows(self.config, self.definitions.user_profile, keys)
        lost = {name for name, key in zip(user_keys, keys, strict=True) if key in damaged}
        states = []
        for name, row in zip(user_keys, rows, strict=True):
            state = UserState.empty(name) if row is None else self._state(name, row)
            if state is None:
                lost.add(name)
            states.append(state or UserState.empty(name))
        return states, lost

    def _state(self, user_key: str, row: Row) -> UserState | None:
        """A stored row as a profile; None and reported where it cannot be read: it must not be everybody's trouble."""
        try:
            return UserState.from_row(user_key, row)
        except (ValueError, TypeError, TailorbirdError) as error:
            log.error("the row of a profile cannot be read: %s", error)
            self.online.report_damaged(
                self.config, self.definitions.user_profile, [name_key(USER_KEY, user_key)]
            )
            return None

    def online_write(self, states: Sequence[UserState]) -> None:
        """Store live profiles; one that is older than the stored one changes nothing."""
        self.online.write_rows(self.config, self.definitions.user_profile, self.stored(states))

    def stored(self, states: Sequence[UserState]) -> list[Stored]:
        """Profiles as rows; one that a refusal made smaller is newer for the word that it holds."""
        return [
            Stored(
                name_key(USER_KEY, state.user_key),
                state.to_row(),
                max(state.last_seen, said.newest) if (said := state.links.consents) else state.last_seen,
                (said.count << _WORDS) + state.total,
            )
            for state in states
        ]

    def item_counters(self, item_ids: Sequence[str]) -> tuple[ItemCounters, set[str]]:
        """The live counters of items, in the order asked, zero where nothing is known; and the items whose row is damaged."""
        counters = ItemCounters.empty(len(item_ids))
        keys = [name_key(ITEM_KEY, name) for name in item_ids]
        rows, damaged = self.online.read_rows(self.config, self.definitions.item_profile, keys)
        set_counters(counters, {place: row for place, row in enumerate(rows) if row is not None})
        return counters, {name for name, key in zip(item_ids, keys, strict=True) if key in damaged}

    def write_items(self, rows: Sequence[dict[str, object]]) -> None:
        """Store item rows: ``item_id`` and the stored features of table.STORED_ITEM."""
        stored = [
            Stored(
                name_key(ITEM_KEY, str(row["item_id"])),
                row,
                int(row["item_seen"]),  # type: ignore[call-overload]
                int(row["item_total"]),  # type: ignore[call-overload]
            )
            for row in rows
        ]
        self.online.write_rows(self.config, self.definitions.item_profile, stored)

    def item_table(self, catalog: Catalog) -> ItemTable:
        """The items' features as they are now, aligned with ``catalog``; a repeated call reads only what changed."""
        if self._items is None or self._items[0] is not catalog:
            self._items = catalog, ItemTable.of(catalog, ItemCounters.empty(len(catalog)))
        return self.live_items.over(self._items[1])

    def _changed_items(self, seen: Seen) -> tuple[Seen, Changed]:
        return self.online.read_changed(self.config, self.definitions.item_profile, after=seen)

    def applied(self) -> Position:
        """Every event of the stream up to here is in the online rows."""
        return self.online.position(self.config)

    def is_lost(self) -> bool:
        """Whether the store answers and has lost its rows, or never had them."""
        return self.online.is_lost(self.config)

    def start_anew(self) -> None:
        """Empty the online tables of this room: those beside, which nobody reads yet."""
        self.online.database(self.config).prepare()
        with self.online.tables(self.config) as tables:
            tables.drop(VIEWS)
            tables.create(VIEWS)

    def create_online(self) -> None:
        """Create the online tables that are missing, in a store that is there."""
        with self.online.tables(self.config) as tables:
            tables.create(VIEWS)

    def delete_user(self, user_key: str) -> bool:
        """Forget a user in all online rows and in the offline rows; whether there was anything.

        The event log comes first: rows that are rebuilt hold what it holds.
        """
        view, key = self.definitions.user_profile, entity_key(USER_KEY, user_key)
        known = self.online.delete_entity(self.config, view, key)
        return self.rows.forget(user_key) or known

    def delete_online(self, user_keys: Collection[str]) -> None:
        """Forget people in all online rows, the bytes of these too. The event log comes first, as in :meth:`delete_user`."""
        keys = [name_key(USER_KEY, key) for key in user_keys]
        self.online.delete_all(self.config, self.definitions.user_profile, keys)

    def held(self, user_keys: Collection[str]) -> Counter[str]:
        """How many online rows there are of each of some people, in every layout."""
        names = {name_key(USER_KEY, key): key for key in user_keys}
        found = self.online.held(self.config, self.definitions.user_profile, list(names))
        return Counter({names[key]: count for key, count in found.items()})


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


def item_row(static: Mapping[str, object], counters: ItemCounters, place: int) -> dict[str, object]:
    """The stored features of one item: what the catalogue says (items.StaticItems) and its counters at ``place``."""
    return {
        **static,
        "item_sums": counters.held[counters.slots[place]],
        "item_seen": int(counters.seen[place]),
        "item_total": int(counters.totals[place]),
    }
