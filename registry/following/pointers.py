"""Where aliases point, read from MLflow's own tables without importing it, or asked of a server (docs/adr/0011): cheap enough to poll."""

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.postgres import PostgresAwayError, connect
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from psycopg import Connection

SQLITE = "sqlite:///"
BUSY_SECONDS = 1.0
"""How long a look waits for a writer; the next look comes soon."""
STATEMENT_MS = 5_000
"""Longest that a look at PostgreSQL may take."""
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers where it holds nothing of a name; anything else means that it is away."""
_NO_TABLE = "42P01"
_DELETED = "Deleted_Internal"  # MLflow's stage of a version that was deleted


class RegistryError(TailorbirdError):
    """The registry lacks what was asked for, or refuses."""


class RegistryAwayError(RegistryError):
    """The registry cannot be asked at present; what it said before still holds."""


class Pointers(Protocol):
    """Reads aliases and artifact addresses of one registered model."""

    def aliases(self) -> Mapping[str, str]:
        """Every alias and the version it points at. Raises RegistryAwayError."""

    def source(self, version: str) -> str:
        """Where the artifacts of a version lie; "" where the version is gone. Raises RegistryAwayError."""


def open_pointers(settings: Settings, *, name: str = "") -> Pointers:
    """Read a model's pointers straight from the database, or through MLflow's client where a server keeps them.

    It is the workspace's recommender, unless ``name`` says otherwise.
    """
    name = name or settings.model_name
    if settings.tracking == "sqlite":
        return SqlitePointers(Path(settings.mlflow_uri.removeprefix(SQLITE)), name=name)
    if settings.tracking == "postgresql":
        return PostgresPointers(settings.tracking_uri, name=name)
    return ServerPointers(settings.mlflow_uri, name=name)


@dataclass(frozen=True)
class SqlitePointers:
    """Reads MLflow's own tables in ``database``; a database that does not exist yet holds no alias."""

    database: Path
    name: str

    def aliases(self) -> Mapping[str, str]:
        """Every alias and the version it points at."""
        rows = self._rows("SELECT alias, version FROM registered_model_aliases WHERE name = ?", self.name)
        return {str(alias): str(version) for alias, version in rows}

    def source(self, version: str) -> str:
        """Where the artifacts of a version lie."""
        rows = self._rows(
            "SELECT COALESCE(storage_location, source, '') FROM model_versions"
            " WHERE name = ? AND version = ? AND current_stage <> ?",
            self.name,
            int(version),
            _DELETED,
        )
        return str(rows[0][0]) if rows else ""

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        if not self.database.exists():
            return []
        try:
            try:
                return self._read("ro", query, *values)
            except sqlite3.OperationalError as error:
                if "readonly" not in str(error):
                    raise
                return self._read(
                    "rw", query, *values
                )  # a writer was killed: what it left is rolled back first
        except sqlite3.Error as error:
            if "no such table" in str(error) and not self._has_schema():
                return []  # another process is making the database
            raise RegistryAwayError(
                f"the registry in {self.database} cannot be read: {error}",
                remedy="look whether another program holds the file, and whether the disk is there",
            ) from error

    def _has_schema(self) -> bool:
        try:
            return bool(self._read("ro", "SELECT * FROM alembic_version"))
        except sqlite3.Error:
            return False

    def _read(self, mode: str, query: str, *values: object) -> list[tuple[object, ...]]:
        opened = sqlite3.connect(f"{self.database.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS)
        with closing(opened) as connection:
            return connection.execute(query, values).fetchall()


class PostgresPointers:
    """Reads MLflow's own tables; a database that MLflow has not been in yet holds no alias."""

    def __init__(self, address: str, *, name: str) -> None:
        self._address, self._name = address, name
        self._lock = threading.Lock()
        self._connection: Connection[tuple[object, ...]] | None = None

    def aliases(self) -> Mapping[str, str]:
        """Every alias and the version it points at."""
        rows = self._rows("SELECT alias, version FROM registered_model_aliases WHERE name = %s", self._name)
        return {str(alias): str(version) for alias, version in rows}

    def source(self, version: str) -> str:
        """Where the artifacts of a version lie."""
        rows = self._rows(
            "SELECT COALESCE(storage_location, source, '') FROM model_versions"
            " WHERE name = %s AND version = %s AND current_stage <> %s",
            self._name,
            int(version),
            _DELETED,
        )
        return str(rows[0][0]) if rows else ""

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            kept = self._connection is not None
            try:
                return self._ask(query, values)
            except RegistryAwayError:
                if not kept:
                    raise
                return self._ask(
                    query, values
                )  # the kept connection was stale: the database had been restarted

    def _ask(self, query: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        connection = self._connected()
        import psycopg

        try:
            return connection.execute(query, values).fetchall()
        except psycopg.Error as error:
            if error.sqlstate == _NO_TABLE and not self._has_schema():
                return []
            connection.close()
            self._connection = None
            raise RegistryAwayError(
                f"the registry in {without_secret(self._address)} cannot be read: {str(error).strip()}",
                remedy="look whether the database runs and whether this user may read MLflow's tables",
            ) from error

    def _connected(self) -> "Connection[tuple[object, ...]]":
        if self._connection is None:
            try:
                self._connection = connect(self._address, statement_ms=STATEMENT_MS)
            except PostgresAwayError as error:
                raise RegistryAwayError(error.what, remedy=error.remedy) from error
        return self._connection

    def _has_schema(self) -> bool:
        assert self._connection is not None
        row = self._connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        return bool(row and row[0])


class ServerPointers:
    """Asks an MLflow server through its client, which knows about credentials and retries."""

    def __init__(self, uri: str, *, name: str) -> None:
        self._uri, self._name = uri, name
        self._client: MlflowClient | None = None

    def aliases(self) -> Mapping[str, str]:
        """Every alias and the version it points at."""
        from mlflow.exceptions import MlflowException

        try:
            model = self._connected().get_registered_model(self._name)
        except MlflowException as error:
            if error.error_code in MISSING:
                return {}
            raise self._away(error) from error
        return {alias: str(version) for alias, version in dict(model.aliases).items()}

    def source(self, version: str) -> str:
        """Where the artifacts of a version lie."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._connected().get_model_version_download_uri(self._name, version))
        except MlflowException as error:
            if error.error_code in MISSING:
                return ""
            raise self._away(error) from error

    def _connected(self) -> "MlflowClient":
        if self._client is None:
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._client

    def _away(self, error: Exception) -> RegistryAwayError:
        return RegistryAwayError(
            f"the MLflow server {self._uri} does not answer: {error}",
            remedy="start it, or correct TAILORBIRD_TRACKING_URI",
        )
