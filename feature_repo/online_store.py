"""Feast's online store on SQLite, made for live profiles: one row per entity, write-ahead log, the newest row wins.

The stock SQLite store keeps one row per feature, lets an older row overwrite a newer one and cannot forget one entity. This
one plugs into Feast by ``online_store.type`` in feature_store.yaml.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.away import FeatureStoreAwayError, remedy_of
from feature_repo.online_tables import Tables
from feature_repo.rows import DamagedRowError, Row, codec_of
from feature_repo.values import from_values, instant_of, microseconds_of, row_key, to_values
from tailorbird.streams.position import Position

log = logging.getLogger("tailorbird.features")
Seen = tuple[int, int]
"""Which rows a reader has seen: their epoch and the number of the last write."""
NOTHING_SEEN: Seen = (0, 0)
_READ_AT_ONCE = 500
_CHECKPOINT_PAGES = 16_384
_CACHE_KIB = 32_768


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
        self._local = threading.local()
        self._noted: set[bytes] = set()
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
            last = connection.execute(f'SELECT MAX(written) FROM "{name}"').fetchone()[0] or 0  # noqa: S608
            packed = [(row.key, row.event_ts, row.created_ts, pack(row.row), last + 1) for row in rows]
            connection.executemany(upsert, packed)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read rows in the order of ``entity_keys``; (None, None) for one that is not there, or damaged and reported."""
        found = self._read(config, table, [row_key(config, key) for key in entity_keys])
        return [
            (None, None)
            if each is None
            else (instant_of(each[0]), to_values(each[1], table, names=requested_features))
            for each in found
        ]

    def read_rows(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> list[Row | None]:
        """As :meth:`online_read`, without a protobuf value for each number: what answers requests reads so."""
        return [each and each[1] for each in self._read(config, table, keys)]

    def _read(
        self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]
    ) -> list[tuple[int, Row] | None]:
        name, unpack = self._table(config, table), codec_of(table).unpack
        found: dict[bytes, tuple[int, bytes]] = {}
        with self._mended_errors(config):
            connection = self._connection(config)
            for start in range(0, len(keys), _READ_AT_ONCE):
                chunk = keys[start : start + _READ_AT_ONCE]
                marks = ",".join("?" * len(chunk))
                query = f'SELECT entity_key, event_ts, features FROM "{name}" WHERE entity_key IN ({marks})'  # noqa: S608
                found.update((key, (at, blob)) for key, at, blob in connection.execute(query, chunk))
        answers: list[tuple[int, Row] | None] = []
        for key in keys:
            stored = found.get(key)
            try:
                answers.append(stored and (stored[0], unpack(stored[1])))
            except DamagedRowError:
                self.report_damaged(config, table, [key])
                answers.append(None)
        return answers

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
        _path(config).parent.mkdir(parents=True, exist_ok=True)
        with self._mended_errors(config):
            connection = self._connection(config, create=True)
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
        unpack = codec_of(table).unpack
        with self._mended_errors(config):
            connection = self._connection(config)
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
                self.report_damaged(config, table, [key])
        return (epoch, max((written for _, _, written in rows), default=since)), changed

    def delete_entity(self, config: RepoConfig, table: FeatureView, entity_key: EntityKey) -> bool:
        """Forget one entity of a view; whether it was there."""
        with self.transaction(config) as connection:
            statement = f'DELETE FROM "{self._table(config, table)}" WHERE entity_key = ?'  # noqa: S608
            return connection.execute(statement, (row_key(config, entity_key),)).rowcount > 0

    def position(self, config: RepoConfig) -> Position:
        """How far the rows follow the events: it commits with the rows it speaks of."""
        with self._mended_errors(config):
            return self._tables(config, self._connection(config)).position()

    def report_damaged(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> None:
        """Count rows that cannot be read, and remember them until they are rebuilt. Waits for nobody: it may be a request."""
        self.on_damage(len(keys))
        fresh = [key for key in keys if key not in self._noted]
        if not fresh:
            return
        log.error(
            "%d damaged rows in %s, to be rebuilt from the events", len(fresh), self._table(config, table)
        )
        connection = self._connection(config)
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            with self.tables(config) as tables:
                tables.report_damaged(table.name, fresh)
            self._noted = {*fresh, *self._noted} if len(self._noted) < _READ_AT_ONCE else set(fresh)
        except FeatureStoreAwayError as error:
            log.warning("damage not noted, it will be met again: %s", error)
        finally:
            if self._local.connection is connection:  # else it was closed with the error
                connection.execute(f"PRAGMA busy_timeout = {int(config.online_store.busy_timeout_ms)}")

    def has_damage(self, config: RepoConfig) -> bool:
        """Whether rows of this layout are noted as damaged."""
        with self._mended_errors(config):
            return self._tables(config, self._connection(config)).any_damaged()

    def forget_noted(self) -> None:
        """Damage that is met again from now on is noted again."""
        self._noted = set()

    @contextmanager
    def tables(self, config: RepoConfig) -> Iterator[Tables]:
        """The tables of this layout, within a transaction."""
        with self.transaction(config) as connection:
            yield self._tables(config, connection)

    @contextmanager
    def transaction(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        """Hold the write lock for a read-modify-write; joins the transaction that this thread already has open."""
        with self._mended_errors(config):
            connection = self._connection(config)
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def disconnect(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _tables(self, config: RepoConfig, connection: sqlite3.Connection) -> Tables:
        layout = config.online_store.layout
        if not layout:
            layout = Tables(connection, config.project, "").live()
        return Tables(connection, config.project, layout)

    def _table(self, config: RepoConfig, view: FeatureView) -> str:
        layout = config.online_store.layout
        if not layout:
            with self._mended_errors(config):
                layout = self._tables(config, self._connection(config)).layout
        return f"{config.project}_{view.name}_{layout}"

    def _connection(self, config: RepoConfig, *, create: bool = False) -> sqlite3.Connection:
        """This thread's connection to the file that is there now: a store that was rebuilt is opened anew."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            # A path is slow to make: the one of the config at hand is kept.
            known = self._local.config is config
            if connection.in_transaction or (known and self._local.file == _identity(self._local.path)):
                return connection
            self.disconnect()
        path = _path(config)
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            isolation_level=None,
            timeout=config.online_store.busy_timeout_ms / 1000,
            check_same_thread=False,
        )
        # The event log is what must survive a power cut; profiles catch up from it, mark and rows together.
        connection.execute("PRAGMA synchronous = NORMAL")
        # Profiles are rewritten again and again: what is copied to the file seldom is copied once for many of its versions.
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")  # the rows of one transaction fit
        self._local.connection, self._local.file = connection, _identity(path)
        self._local.config, self._local.path = config, str(path)
        return connection

    @contextmanager
    def _mended_errors(self, config: RepoConfig) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is not None and not connection.in_transaction:
                self.disconnect()
            raise FeatureStoreAwayError(
                f"online feature store {_path(config)}: {error}", remedy=remedy_of(str(error))
            ) from error


def _path(config: RepoConfig) -> Path:
    """Absolute, or beside feature_store.yaml."""
    path = Path(config.online_store.path)
    return path if path.is_absolute() else (Path(config.repo_path or ".") / path).resolve()


def _identity(path: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - runs in every read
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
