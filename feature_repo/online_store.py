"""Feast's online store on SQLite, made for live profiles: one row per entity, write-ahead log, the newest row wins.

The stock SQLite store keeps one row per feature, lets an older row overwrite a newer one and cannot forget one entity. This
one plugs into Feast by ``online_store.type`` in feature_store.yaml.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.values import from_blob, to_blob
from tailorbird.errors import TailorbirdError

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ_AT_ONCE = 500


class FeatureStoreAwayError(TailorbirdError):
    """The online store cannot be read or written now: missing, locked or damaged. Serving falls back on this."""


class LiveOnlineStoreConfig(FeastConfigBaseModel):
    """The ``online_store`` section of feature_store.yaml."""

    type: Literal["feature_repo.online_store.LiveOnlineStore"] = "feature_repo.online_store.LiveOnlineStore"
    path: str = "online.db"
    busy_timeout_ms: int = 5_000
    """How long a writer waits for another writer. Readers never wait for writers in WAL mode."""


class LiveOnlineStore(OnlineStore):
    """One connection a thread; a row is (entity key, event time, revision time, all features as one message)."""

    def __init__(self) -> None:
        self._local = threading.local()

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Store rows; one that is older than the stored row, by event time and then creation time, changes nothing."""
        name = _table(config, table)
        rows = [
            (_key(config, key), _microseconds(at), _microseconds(created or at), to_blob(values))
            for key, values, at, created in data
        ]
        upsert = (
            f'INSERT INTO "{name}" VALUES (?, ?, ?, ?, ?) ON CONFLICT (entity_key) DO UPDATE SET '  # noqa: S608
            "event_ts = excluded.event_ts, created_ts = excluded.created_ts, features = excluded.features, "
            "written = excluded.written "
            "WHERE (excluded.event_ts, excluded.created_ts) >= (event_ts, created_ts)"
        )
        with self.transaction(config) as connection:
            last = connection.execute(f'SELECT MAX(written) FROM "{name}"').fetchone()[0] or 0  # noqa: S608
            connection.executemany(upsert, [(*row, last + 1) for row in rows])
        if progress:
            progress(len(rows))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read rows in the order of ``entity_keys``; (None, None) for an entity that is not there."""
        keys = [_key(config, key) for key in entity_keys]
        name = _table(config, table)
        found: dict[bytes, tuple[int, bytes]] = {}
        with self._mended_errors(config):
            connection = self._connection(config)
            for start in range(0, len(keys), _READ_AT_ONCE):
                chunk = keys[start : start + _READ_AT_ONCE]
                marks = ",".join("?" * len(chunk))
                query = f'SELECT entity_key, event_ts, features FROM "{name}" WHERE entity_key IN ({marks})'  # noqa: S608
                found.update((key, (at, blob)) for key, at, blob in connection.execute(query, chunk))
        return [_read(found.get(key), requested_features) for key in keys]

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
        with self.transaction(config):
            connection.execute(
                "CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
            )
            for view in tables_to_keep:
                connection.execute(
                    f'CREATE TABLE IF NOT EXISTS "{_table(config, view)}" (entity_key BLOB PRIMARY KEY, '
                    "event_ts INTEGER NOT NULL, created_ts INTEGER NOT NULL, features BLOB NOT NULL, "
                    "written INTEGER NOT NULL)"
                )
                connection.execute(
                    f'CREATE INDEX IF NOT EXISTS "{_table(config, view)}_written" '
                    f'ON "{_table(config, view)}" (written)'
                )
            for view in tables_to_delete:
                connection.execute(f'DROP TABLE IF EXISTS "{_table(config, view)}"')

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Forget everything of these views."""
        with self.transaction(config) as connection:
            for view in tables:
                connection.execute(f'DROP TABLE IF EXISTS "{_table(config, view)}"')
            connection.execute("DROP TABLE IF EXISTS marks")

    def read_changed(
        self, config: RepoConfig, table: FeatureView, *, after: int
    ) -> tuple[int, list[tuple[EntityKey, Mapping[str, Value]]]]:
        """Rows written after write number ``after`` (0: all rows), and the number to ask with next time."""
        query = f'SELECT entity_key, features, written FROM "{_table(config, table)}" WHERE written > ?'  # noqa: S608
        with self._mended_errors(config):
            rows = self._connection(config).execute(query, (after,)).fetchall()
        version = config.entity_key_serialization_version
        changed = [
            (deserialize_entity_key(key, entity_key_serialization_version=version), from_blob(blob))
            for key, blob, _ in rows
        ]
        return max((written for _, _, written in rows), default=after), changed

    def delete_entity(self, config: RepoConfig, table: FeatureView, entity_key: EntityKey) -> bool:
        """Forget one entity of a view; whether it was there."""
        with self.transaction(config) as connection:
            statement = f'DELETE FROM "{_table(config, table)}" WHERE entity_key = ?'  # noqa: S608
            return connection.execute(statement, (_key(config, entity_key),)).rowcount > 0

    def mark(self, config: RepoConfig, name: str) -> int:
        """A number kept beside the rows, 0 where never set: what has been applied commits with what it changed."""
        with self._mended_errors(config):
            query = "SELECT value FROM marks WHERE name = ?"
            row = self._connection(config).execute(query, (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_mark(self, config: RepoConfig, name: str, value: int) -> None:
        """Set a mark, in the transaction that is open if there is one."""
        with self.transaction(config) as connection:
            connection.execute(
                "INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

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

    def _connection(self, config: RepoConfig, *, create: bool = False) -> sqlite3.Connection:
        """This thread's connection to the file that is there now: a store that was rebuilt is opened anew."""
        path = _path(config)
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            if connection.in_transaction or self._local.file == _identity(path):
                return connection
            self.disconnect()
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            isolation_level=None,
            timeout=config.online_store.busy_timeout_ms / 1000,
            check_same_thread=False,
        )
        # The event log is what must survive a power cut; profiles catch up from it, mark and rows together.
        connection.execute("PRAGMA synchronous = NORMAL")
        self._local.connection, self._local.file = connection, _identity(path)
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
                f"online feature store {_path(config)}: {error}", remedy=_remedy(str(error))
            ) from error


def _remedy(message: str) -> str:
    if "locked" in message or "busy" in message:
        return "another process holds it; try again, or stop that process"
    if "malformed" in message or "not a database" in message or "disk image" in message:
        return "remove the file and run `tailorbird features`, which rebuilds it from the event log"
    return "run `tailorbird features`, which creates and fills it"


def _read(
    row: tuple[int, bytes] | None, requested: list[str] | None
) -> tuple[datetime | None, dict[str, Value] | None]:
    if row is None:
        return None, None
    values = from_blob(row[1])
    names = values if requested is None else [name for name in requested if name in values]
    return datetime.fromtimestamp(row[0] / 1e6, UTC), {name: values[name] for name in names}


def _path(config: RepoConfig) -> Path:
    """Absolute, or beside feature_store.yaml."""
    path = Path(config.online_store.path)
    return path if path.is_absolute() else (Path(config.repo_path or ".") / path).resolve()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - runs in every read
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _table(config: RepoConfig, view: FeatureView) -> str:
    return f"{config.project}_{view.name}"


def _key(config: RepoConfig, key: EntityKey) -> bytes:
    version = config.entity_key_serialization_version
    return bytes(serialize_entity_key(key, entity_key_serialization_version=version))


def _microseconds(instant: datetime) -> int:
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
