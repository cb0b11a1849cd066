"""Feast's online store on SQLite, made for live profiles: one row per entity, write-ahead log, the newest row wins.

The stock SQLite store keeps one row per feature, lets an older row overwrite a newer one and cannot forget one entity. This
one plugs into Feast by ``online_store.type`` in feature_store.yaml.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal, NamedTuple

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.away import FeatureStoreAwayError
from feature_repo.layout import USER_VIEW
from feature_repo.online_database import OnlineDatabase, database_path
from feature_repo.online_tables import KEYS_AT_ONCE, Marks, Tables
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


class LiveOnlineStoreConfig(FeastConfigBaseModel):
    """The ``online_store`` section of feature_store.yaml."""

    type: Literal["feature_repo.online_store.LiveOnlineStore"] = "feature_repo.online_store.LiveOnlineStore"
    path: str = "online.db"
    layout: str = ""
    """Which rows: the digest of what they mean (layout.py); empty are those that caught up last."""
    busy_timeout_ms: int = 5_000
    """How long a writer waits for another writer. Readers never wait for writers in WAL mode."""


class LiveOnlineStore(OnlineStore):
    """One connection a thread; a row is (entity key, event time, revision time, all features as one message)."""

    def __init__(self) -> None:
        self._database = OnlineDatabase()
        self.on_damage: Callable[[int], object] = lambda rows: None
        """Hears how many damaged rows a read met."""

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
        name, pack = self._table(config, table), codec_of(table).pack
        upsert = (
            f'INSERT INTO "{name}" VALUES (?, ?, ?, ?, ?) ON CONFLICT (entity_key) DO UPDATE SET '  # noqa: S608
            "event_ts = excluded.event_ts, created_ts = excluded.created_ts, features = excluded.features, "
            "written = excluded.written "
            "WHERE (excluded.event_ts, excluded.created_ts) >= (event_ts, created_ts)"
        )
        with self.transaction(config) as connection:
            number = self._tables(config, connection).next_write(table.name)
            packed = [(row.key, row.event_ts, row.created_ts, pack(row.row), number) for row in rows]
            connection.executemany(upsert, packed)

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
        name, unpack = self._table(config, table), codec_of(table).unpack
        found: dict[bytes, tuple[int, bytes]] = {}
        with self._database.named_errors(config):
            connection = self._database.connection(config)
            for start in range(0, len(keys), KEYS_AT_ONCE):
                chunk = keys[start : start + KEYS_AT_ONCE]
                marks = ",".join("?" * len(chunk))
                query = f'SELECT entity_key, event_ts, features FROM "{name}" WHERE entity_key IN ({marks})'  # noqa: S608
                found.update((key, (at, blob)) for key, at, blob in connection.execute(query, chunk))
        answers: list[tuple[int, Row] | None] = []
        damaged: set[bytes] = set()
        for key in keys:
            stored = found.get(key)
            try:
                answers.append(stored and (stored[0], unpack(stored[1])))
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
        database_path(config).parent.mkdir(parents=True, exist_ok=True)
        with self._database.named_errors(config):
            connection = self._database.connection(config, create=True)
            connection.execute("PRAGMA journal_mode = WAL")
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

        A damaged row is reported and left out.
        """
        changed: list[tuple[bytes, Row]] = []
        damaged: list[bytes] = []
        unpack = codec_of(table).unpack
        with self._database.named_errors(config):
            connection = self._database.connection(config)
            epoch = self._tables(config, connection).epoch()
            since = after[1] if epoch == after[0] else 0
            query = (
                f'SELECT entity_key, features, written FROM "{self._table(config, table)}" WHERE written > ?'  # noqa: S608
            )
            rows = connection.execute(query, (since,)).fetchall()
        for key, blob, _ in rows:
            try:
                changed.append((key, unpack(blob)))
            except DamagedRowError:
                damaged.append(key)
        if damaged:
            self.report_damaged(config, table, damaged)
        return (epoch, max((written for _, _, written in rows), default=since)), changed

    def delete_entity(self, config: RepoConfig, table: FeatureView, entity_key: EntityKey) -> bool:
        """Forget one entity of a view, in every layout and beside; whether it was anywhere."""
        with self.tables(config) as tables:
            return tables.forget(table.name, row_key(config, entity_key))

    def position(self, config: RepoConfig) -> Position:
        """How far the rows follow the events: it commits with the rows it speaks of."""
        with self._database.named_errors(config):
            return self._tables(config, self._database.connection(config)).position()

    def forgotten(self, config: RepoConfig) -> int:
        """How many times an entity was forgotten."""
        with self._database.named_errors(config):
            return self._tables(config, self._database.connection(config)).forgotten()

    def marks(self, config: RepoConfig) -> Marks:
        """What tells later whether profiles have changed since."""
        with self._database.named_errors(config):
            return self._tables(config, self._database.connection(config)).marks(USER_VIEW)

    def report_damaged(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> None:
        """Count rows that cannot be read, and note them until they are rebuilt.

        Within a transaction the note is part of it. Else it waits for nobody: it may be a request.
        """
        self.on_damage(len(keys))
        if self._database.connection(config).in_transaction:
            self._note_damaged(config, table, keys)
            return
        with self._database.without_waiting(config):
            try:
                self._note_damaged(config, table, keys)
            except FeatureStoreAwayError as error:
                log.warning("damage not noted, it will be met again: %s", error)

    def _note_damaged(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> None:
        with self._database.named_errors(config):  # what is noted already needs no writer's turn
            known = set(self._tables(config, self._database.connection(config)).damaged(table.name))
        fresh = [key for key in keys if key not in known]
        if fresh:
            name = self._table(config, table)
            log.error("%d damaged rows in %s, to be rebuilt from the events", len(fresh), name)
            with self.tables(config) as tables:
                tables.report_damaged(table.name, fresh)

    def has_damage(self, config: RepoConfig) -> bool:
        """Whether rows of this layout are noted as damaged."""
        with self._database.named_errors(config):
            return self._tables(config, self._database.connection(config)).any_damaged()

    @contextmanager
    def tables(self, config: RepoConfig) -> Iterator[Tables]:
        """The tables of this layout, within a transaction."""
        with self.transaction(config) as connection:
            yield self._tables(config, connection)

    @contextmanager
    def transaction(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        """Hold the write lock for a read-modify-write; joins the transaction that this thread already has open."""
        with self._database.transaction(config) as connection:
            yield connection

    def disconnect(self) -> None:
        """Close this thread's connection."""
        self._database.disconnect()

    def _tables(self, config: RepoConfig, connection: sqlite3.Connection) -> Tables:
        layout = config.online_store.layout
        if not layout:
            layout = Tables(connection, config.project, "").live()
        return Tables(connection, config.project, layout)

    def _table(self, config: RepoConfig, view: FeatureView) -> str:
        layout = config.online_store.layout
        if not layout:
            with self._database.named_errors(config):
                layout = self._tables(config, self._database.connection(config)).layout
        return f"{config.project}_{view.name}_{layout}"
