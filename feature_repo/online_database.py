"""The SQLite database behind the online store: a connection a thread, its settings, transactions, and errors with a remedy."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feast.repo_config import RepoConfig

from feature_repo.away import FeatureStoreAwayError, remedy_of
from tailorbird.plumbing.disk import identity
from tailorbird.plumbing.turns import take_turn

_CHECKPOINT_PAGES = 16_384
_CACHE_KIB = 32_768


class OnlineDatabase:
    """One connection a thread to the file that a config names."""

    def __init__(self) -> None:
        self._local = threading.local()

    def connection(self, config: RepoConfig, *, create: bool = False) -> sqlite3.Connection:
        """This thread's connection to the file that is there now: a store that was rebuilt is opened anew."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            # A path is slow to make: the one of the config at hand is kept.
            known = self._local.config is config
            if connection.in_transaction or (known and self._local.file == identity(self._local.path)):
                return connection
            self.disconnect()
        path = database_path(config)
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
        connection.execute("PRAGMA secure_delete = ON")  # a forgotten user is not left in free pages
        self._local.connection, self._local.file = connection, identity(path)
        self._local.config, self._local.path = config, str(path)
        self._local.wait_seconds = config.online_store.busy_timeout_ms / 1000
        return connection

    @contextmanager
    def transaction(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        """Hold the write lock for a read-modify-write; joins the transaction that this thread already has open."""
        with self.named_errors(config):
            connection = self.connection(config)
            if connection.in_transaction:
                yield connection
                return
            take_turn(connection, wait_seconds=self._local.wait_seconds)
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def without_waiting(self, config: RepoConfig) -> Iterator[None]:
        """Writers do not wait for their turn: they raise FeatureStoreAwayError where another one is at work."""
        connection = self.connection(config)
        waiting, self._local.wait_seconds = self._local.wait_seconds, 0.0
        try:
            yield
        finally:
            if self._local.connection is connection:  # else it was closed with an error
                self._local.wait_seconds = waiting

    @contextmanager
    def named_errors(self, config: RepoConfig) -> Iterator[None]:
        """What SQLite raises becomes a FeatureStoreAwayError with a remedy."""
        try:
            yield
        except sqlite3.Error as error:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is not None and not connection.in_transaction:
                self.disconnect()
            path = database_path(config)
            raise FeatureStoreAwayError(
                f"online feature store {path}: {error}", remedy=remedy_of(str(error), path)
            ) from error

    def disconnect(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def database_path(config: RepoConfig) -> Path:
    """Absolute, or beside feature_store.yaml."""
    path = Path(config.online_store.path)
    return path if path.is_absolute() else (Path(config.repo_path or ".") / path).resolve()
