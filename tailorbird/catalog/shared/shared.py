"""The catalogue that several machines share: patches and the names of the tables in PostgreSQL, the tables in object storage."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tailorbird.catalog.log.log import BATCH_SECONDS, PAGE, Entry, Stored, kind_of
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.shared.objects import CHANGES, SharedObjects
from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.plumbing.postgres import PostgresAwayError, alone_in, alone_in_if_free, connect, make_tables
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError

if TYPE_CHECKING:
    from psycopg import Connection

STATEMENT_MS = 10_000
"""What takes longer is given up: an operator's request waits for it."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tailorbird_catalogues (
  workspace text PRIMARY KEY, log text NOT NULL, sequence bigint NOT NULL, newest bigint NOT NULL, tables jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS tailorbird_patches (
  workspace text NOT NULL, sequence bigint NOT NULL, kind text NOT NULL, key text NOT NULL, told bytea NOT NULL,
  instant bigint NOT NULL, PRIMARY KEY (workspace, sequence));
CREATE TABLE IF NOT EXISTS tailorbird_patch_batches (
  workspace text NOT NULL, batch_id text NOT NULL, sequence bigint NOT NULL, instant bigint NOT NULL,
  PRIMARY KEY (workspace, batch_id))
"""


@dataclass(frozen=True)
class SharedState:
    """What there is: the ``log``'s name, its last patch with its instant, and the object that holds each table now."""

    log: str
    sequence: int
    newest: int
    tables: Mapping[str, Sequence[str]]
    """Of each table its objects, the newest first: the one before stays for whoever is reading it."""

    def object_of(self, table: str) -> str:
        """The object that holds ``table``; "" where it was never written."""
        return next(iter(self.tables.get(table, ())), "")


class SharedCatalog:
    """One workspace's catalogue for all machines. Any number of processes may have one; threads take turns.

    Every call raises StreamAwayError where the database or the storage cannot be asked.
    """

    def __init__(self, address: str, *, workspace: str, storage: str) -> None:
        self.address, self.workspace = address, workspace
        self.objects = SharedObjects(ObjectPath(storage) / workspace / "catalog")
        self._turn = threading.Lock()
        self._connection: Connection[tuple[Any, ...]] | None = None

    def state(self) -> SharedState:
        """What there is now; one look-up."""
        with self._asked() as connection:
            return self._state(connection)

    def append(self, patches: Sequence[Patch], *, now: float, batch_id: str = "") -> Stored:
        """Store patches in their order, all or none; a known ``batch_id`` stores nothing. As ``PatchLog.append``."""
        with self._asked() as connection, connection.transaction():
            before = self._state(connection, "FOR UPDATE")  # one writer at a time: numbers follow commits
            if batch_id:
                found = connection.execute(
                    "SELECT sequence FROM tailorbird_patch_batches WHERE workspace = %s AND batch_id = %s",
                    (self.workspace, batch_id),
                ).fetchone()
                if found:
                    return Stored(int(found[0]), repeated=True)
            instant = max(round(now * 1_000_000), before.newest + 1)
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO tailorbird_patches VALUES (%s, %s, %s, %s, %s, %s)",
                    [
                        (
                            self.workspace,
                            before.sequence + 1 + place,
                            each.kind,
                            each.key,
                            orjson.dumps(each.told),
                            instant + place,
                        )
                        for place, each in enumerate(patches)
                    ],
                )
            sequence, newest = before.sequence + len(patches), instant + max(0, len(patches) - 1)
            connection.execute(
                "UPDATE tailorbird_catalogues SET sequence = %s, newest = %s WHERE workspace = %s",
                (sequence, newest, self.workspace),
            )
            if batch_id:
                connection.execute(
                    "INSERT INTO tailorbird_patch_batches VALUES (%s, %s, %s, %s)",
                    (self.workspace, batch_id, sequence, instant),
                )
        return Stored(sequence)

    def read(self, after: int, *, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` patches past the number ``after``."""
        with self._asked() as connection:
            rows = connection.execute(
                "SELECT sequence, kind, key, told, instant FROM tailorbird_patches"
                " WHERE workspace = %s AND sequence > %s ORDER BY sequence LIMIT %s",
                (self.workspace, after, limit),
            ).fetchall()
        return [
            Entry(int(row[0]), Patch(kind_of(row[1]), row[2], orjson.loads(row[3])), int(row[4]))
            for row in rows
        ]

    def drop(self, through: int, *, older_than: float) -> int:
        """Let go of patches up to ``through`` that came before an instant (epoch seconds), and of old batches' ids."""
        micros = round(older_than * 1_000_000)
        with self._asked() as connection, connection.transaction():
            connection.execute(
                "DELETE FROM tailorbird_patch_batches WHERE workspace = %s AND instant < %s",
                (self.workspace, micros - round(BATCH_SECONDS * 1e6)),
            )
            return connection.execute(
                "DELETE FROM tailorbird_patches WHERE workspace = %s AND sequence <= %s AND instant < %s",
                (self.workspace, through, micros),
            ).rowcount

    def publish(
        self,
        tables: Mapping[str, Path],
        changes: Sequence[Path],
        *,
        newest: int,
        instead_of: Mapping[str, str],
    ) -> SharedState:
        """Put tables in the place of the objects ``instead_of`` of the tables, after the ``changes`` that say what they replace.

        Call it alone (:meth:`alone`). ``newest`` (epoch microseconds) is the instant past which the next patch is dated.

        Raises:
            StreamAwayError: also where others are there by now: the lock was lost on the way, and another machine had it.
        """
        known = set(self.objects.changes())
        for path in changes:
            if path.name not in known:
                self.objects.send(path, f"{CHANGES}/{path.name}")
        named = {table: f"{Path(table).stem}-{uuid.uuid4().hex}.parquet" for table in tables}
        for table, path in tables.items():
            self.objects.send(path, named[table])
        with self._asked() as connection, connection.transaction():
            before = self._state(connection, "FOR UPDATE")
            mine = all(before.object_of(t) == instead_of.get(t, "") for t in (*before.tables, *named))
            if mine:
                after = {**before.tables, **{t: [name, before.object_of(t)] for t, name in named.items()}}
                connection.execute(
                    "UPDATE tailorbird_catalogues SET tables = %s, newest = greatest(newest, %s) WHERE workspace = %s",
                    (orjson.dumps(after).decode(), newest, self.workspace),
                )
        if not mine:
            self.objects.delete(list(named.values()))
            raise StreamAwayError(
                "another machine has replaced the catalogue's tables meanwhile: those of this one are not taken",
                remedy="do it again",
            )
        self.objects.delete([old for table in named for old in before.tables.get(table, ())[1:] if old])
        self.objects.sweep(keep={name for names in after.values() for name in names})
        return self.state()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Held by the one machine that replaces tables."""
        with _database_answers(), alone_in(self.address, self._lock):
            yield

    @contextmanager
    def alone_if_free(self) -> Iterator[bool]:
        """As :meth:`alone`, without waiting: False where another is at it."""
        with _database_answers(), alone_in_if_free(self.address, self._lock) as mine:
            yield mine

    def close(self) -> None:
        """Release the connection."""
        with self._turn:
            self._drop_connection()

    @property
    def _lock(self) -> str:
        return f"catalogue {self.workspace}"

    def _state(self, connection: "Connection[tuple[Any, ...]]", how: str = "") -> SharedState:
        row = connection.execute(
            f"SELECT log, sequence, newest, tables FROM tailorbird_catalogues WHERE workspace = %s {how}",  # noqa: S608
            (self.workspace,),
        ).fetchone()
        if row is None:  # _connected made it
            raise LookupError(f"workspace {self.workspace!r} was deleted there")
        return SharedState(row[0], int(row[1]), int(row[2]), row[3])

    @contextmanager
    def _asked(self) -> Iterator["Connection[tuple[Any, ...]]"]:
        import psycopg

        where = f"the catalogue in {without_secret(self.address)}"
        if not self._turn.acquire(timeout=STATEMENT_MS / 1_000):
            raise StreamAwayError(f"{where}: those before are not getting on", remedy="try again")
        try:
            with _database_answers():
                yield self._connected()
        except psycopg.DataError as error:
            raise UsageError(f"{where} cannot store this: {error}", remedy="correct what is told") from error
        except (psycopg.Error, LookupError) as error:
            self._drop_connection()
            raise StreamAwayError(
                f"{where}: {str(error).strip()}",
                remedy="`tailorbird doctor` says whether it answers; what was not confirmed may be told again",
            ) from error
        finally:
            self._turn.release()

    def _connected(self) -> "Connection[tuple[Any, ...]]":
        if self._connection is None or self._connection.closed:
            self._prepare()
            self._connection = connect(self.address, statement_ms=STATEMENT_MS)
        return self._connection

    def _prepare(self) -> None:
        """Make the database's tables and this workspace's row where they are missing."""
        with closing(connect(self.address, statement_ms=STATEMENT_MS)) as connection:
            make_tables(
                connection, self.address, _SCHEMA, last="tailorbird_patch_batches", lock="catalogue schema"
            )
            connection.execute(
                "INSERT INTO tailorbird_catalogues VALUES (%s, %s, 0, 0, '{}') ON CONFLICT DO NOTHING",
                (self.workspace, uuid.uuid4().hex),
            )

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None


def shared_of(settings: Settings) -> SharedCatalog | None:
    """The catalogue that the settings share with other machines; None where it is this machine's own.

    Raises:
        UsageError: tables have no place that all machines see.
    """
    if not settings.catalog:
        return None
    if not settings.storage:
        raise UsageError(
            "TAILORBIRD_CATALOG is set and TAILORBIRD_STORAGE is not: the tables need a place that all machines see",
            remedy="set TAILORBIRD_STORAGE=s3://bucket/prefix as well",
        )
    return SharedCatalog(settings.catalog, workspace=settings.workspace, storage=settings.storage)


@contextmanager
def _database_answers() -> Iterator[None]:
    try:
        yield
    except PostgresAwayError as error:
        raise StreamAwayError(error.what, remedy=error.remedy) from error
