"""Feast's online store for live profiles, on any engine: packed rows, the newest row wins, what changed since, deletion of one.

Feast's own stores keep one row per feature or let an older row overwrite a newer one, and cannot forget one entity. The plug-ins
(sqlite_plugin.py, redis_plugin.py) say which database this one works on.
"""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig

from feature_repo.away import FeatureStoreAwayError
from feature_repo.layout import ITEM_VIEW, USER_VIEW
from feature_repo.online.database import OnlineDatabase, Packed
from feature_repo.online.tables import Marks, Tables
from feature_repo.rows import DamagedRowError, Row, codec_of
from feature_repo.values import from_values, instant_of, microseconds_of, row_key, to_values
from tailorbird.streams.position import Position

log = logging.getLogger("tailorbird.features")
Seen = tuple[int, int]
"""Which rows a reader has seen: their epoch and the number of the last write."""
NOTHING_SEEN: Seen = (0, 0)


class Stored(NamedTuple):
    """A row under its key, with the instant of its newest event and its revision, both as epoch microseconds."""

    key: bytes
    row: Row
    event_ts: int
    created_ts: int


class LiveOnlineStore(OnlineStore, ABC):
    """What the platform and Feast ask of the online store.

    ``online_store.layout`` of a config says which rows: the digest of what they mean (layout.py); empty are those that
    caught up last.
    """

    def __init__(self) -> None:
        self._databases: dict[str, OnlineDatabase] = {}
        self._known: tuple[RepoConfig, OnlineDatabase] | None = None
        self.on_damage: Callable[[int], object] = lambda rows: None
        """Hears how many damaged rows a read met."""

    @abstractmethod
    def place(self, config: RepoConfig) -> str:
        """Names the database of a config: equal names are the same database."""

    @abstractmethod
    def open(self, config: RepoConfig) -> OnlineDatabase:
        """The database of a config, opened; reads nothing."""

    def database(self, config: RepoConfig) -> OnlineDatabase:
        """The database of a config, the same one for every config that names its place."""
        known = self._known
        if (
            known is None or known[0] is not config
        ):  # a place is slow to name: that of the config at hand is kept
            place = self.place(config)
            known = self._known = config, self._databases.setdefault(place, self.open(config))
        return known[1]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Store rows; one that is older than the stored row, by event time and then creation time, changes nothing."""
        rows = [
            Stored(
                row_key(config, key),
                from_values(values, table),
                microseconds_of(at),
                microseconds_of(created or at),
            )
            for key, values, at, created in data
        ]
        self.write_rows(config, table, rows)
        if progress:
            progress(len(rows))

    def write_rows(self, config: RepoConfig, table: FeatureView, rows: Sequence[Stored]) -> None:
        """As :meth:`online_write_batch`, without a protobuf value for each number: what folds events writes so."""
        pack = codec_of(table).pack
        with self.tables(config) as tables:
            tables.write(
                table.name, [Packed(row.key, row.event_ts, row.created_ts, pack(row.row)) for row in rows]
            )

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read rows in the order of ``entity_keys``; (None, None) for one that is not there, or damaged and reported."""
        found, _ = self._read(config, table, [row_key(config, key) for key in entity_keys])
        return [
            (None, None)
            if each is None
            else (instant_of(each[0]), to_values(each[1], table, names=requested_features))
            for each in found
        ]

    def read_rows(
        self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]
    ) -> tuple[list[Row | None], set[bytes]]:
        """As :meth:`online_read`, without a protobuf value for each number, and the keys of damaged rows.

        What answers requests reads so.
        """
        found, damaged = self._read(config, table, keys)
        return [each and each[1] for each in found], damaged

    def _read(
        self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]
    ) -> tuple[list[tuple[int, Row] | None], set[bytes]]:
        unpack = codec_of(table).unpack
        found = self.database(config).read(self._tables(config).name(table.name), keys)
        answers: list[tuple[int, Row] | None] = []
        damaged: set[bytes] = set()
        for key in keys:
            stored = found.get(key)
            try:
                answers.append(stored and (stored.event_ts, unpack(stored.blob)))
            except DamagedRowError:
                damaged.add(key)
                answers.append(None)
        if damaged:
            self.report_damaged(config, table, list(damaged))
        return answers, damaged

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the database and one table a view; drop the tables of removed views."""
        self.database(config).prepare()
        with self.tables(config) as tables:
            tables.create([view.name for view in tables_to_keep])
            tables.drop_views([view.name for view in tables_to_delete])

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Forget everything of these views."""
        with self.tables(config) as owned:
            owned.drop([view.name for view in tables])

    def read_changed(
        self, config: RepoConfig, table: FeatureView, *, after: Seen
    ) -> tuple[Seen, list[tuple[bytes, Row]]]:
        """Rows and their keys, written since ``after`` (NOTHING_SEEN: all; all too once others took their place); what to ask next.

        A store that came back as it was before ``after`` gives all its rows, too: what to ask next is then of another epoch,
        or less than ``after``. A damaged row is reported and left out.
        """
        changed: list[tuple[bytes, Row]] = []
        damaged: list[bytes] = []
        unpack = codec_of(table).unpack
        tables = self._tables(config)
        epoch, written = tables.newest()
        since = after[1] if epoch == after[0] and written >= after[1] else 0
        rows = self.database(config).changed(tables.name(table.name), since=since)
        for row in rows:
            try:
                changed.append((row.key, unpack(row.blob)))
            except DamagedRowError:
                damaged.append(row.key)
        if damaged:
            self.report_damaged(config, table, damaged)
        return (epoch, max((row.written for row in rows), default=since)), changed

    def delete_entity(self, config: RepoConfig, table: FeatureView, entity_key: EntityKey) -> bool:
        """Forget one entity of a view, in every layout and beside; whether it was anywhere."""
        with self.tables(config) as tables:
            return tables.forget(table.name, [row_key(config, entity_key)]) > 0

    def delete_all(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> None:
        """Forget entities of a view, in every layout and beside, in one transaction; then the bytes of what they were."""
        with self.tables(config) as tables:
            tables.forget(table.name, keys)
        self.database(config).purge()

    def held(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> Counter[bytes]:
        """How many rows of each entity there are in all layouts and beside."""
        return self._tables(config).held(table.name, keys)

    def position(self, config: RepoConfig) -> Position:
        """How far the rows follow the events: it commits with the rows it speaks of."""
        return self._tables(config).position()

    def forgotten(self, config: RepoConfig) -> int:
        """How many times an entity was forgotten."""
        return self._tables(config).forgotten()

    def marks(self, config: RepoConfig) -> Marks:
        """What tells later whether profiles have changed since."""
        return self._tables(config).marks(USER_VIEW)

    def report_damaged(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> None:
        """Count rows that cannot be read, and note them until they are rebuilt.

        Within a transaction the note is part of it. Else it waits for nobody: it may be a request.
        """
        self.on_damage(len(keys))
        tables = self._tables(config)
        try:
            known = set(tables.damaged(table.name))  # what is noted already needs no writer's turn
            fresh = [key for key in keys if key not in known]
            if fresh:
                name = tables.name(table.name)
                log.error("%d damaged rows in %s, to be rebuilt from the events", len(fresh), name)
                with self.database(config).transaction(wait=False):
                    tables.report_damaged(table.name, fresh)
        except FeatureStoreAwayError as error:
            if self.database(config).in_transaction:
                raise
            log.warning("damage not noted, it will be met again: %s", error)

    def has_damage(self, config: RepoConfig) -> bool:
        """Whether rows of this layout are noted as damaged, or all are lost, or a writer died over its work."""
        return (
            self._tables(config).any_damaged() or self.database(config).unfinished() or self.is_lost(config)
        )

    def is_lost(self, config: RepoConfig) -> bool:
        """Whether the store answers and has lost its rows, or never had them: they are to be made again from the events."""
        tables = self._tables(config)
        return self.database(config).is_lost([tables.name(view) for view in (USER_VIEW, ITEM_VIEW)])

    @contextmanager
    def tables(self, config: RepoConfig) -> Iterator[Tables]:
        """The tables of this layout, within a transaction: joins the one that this thread already holds."""
        with self.database(config).transaction():
            yield self._tables(config)

    def disconnect(self) -> None:
        """Close what this thread holds open."""
        for database in self._databases.values():
            database.disconnect()

    def _tables(self, config: RepoConfig) -> Tables:
        database, layout = self.database(config), config.online_store.layout
        return Tables(database, config.project, layout or Tables(database, config.project, "").live())
