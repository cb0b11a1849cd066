"""MLflow's tables read directly and its client asked say the same, and a registry that is away says so."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from registry.following.pointers import (
    Pointers,
    PostgresPointers,
    RegistryAwayError,
    ServerPointers,
    SqlitePointers,
    open_pointers,
)
from registry.tracking.runs import Tracker
from registry.versions.versions import Registry
from tailorbird.plumbing.postgres import connect
from tailorbird.settings import Settings, load_settings

KILLED = """
import os, signal, sqlite3, sys

writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("PRAGMA cache_size = 1")  # what is not committed is in the file already
writer.execute("BEGIN")
for number in range(5_000):
    writer.execute("INSERT INTO registered_models (name) VALUES (?)", (f"model {number}",))
os.kill(os.getpid(), signal.SIGKILL)
"""


class PointersLaws:
    """What every way of reading pointers promises."""

    def pointers(self, settings: Settings) -> Pointers:
        raise NotImplementedError

    def test_aliases_and_sources_are_what_the_client_wrote(self, settings: Settings) -> None:
        pointers = self.pointers(settings)
        assert pointers.aliases() == {}
        client = Registry(settings).client
        client.create_registered_model(settings.model_name)
        assert pointers.aliases() == {}
        for number in (1, 2, 3):
            client.create_model_version(settings.model_name, source=f"file:///artifacts/{number}")
        client.set_registered_model_alias(settings.model_name, "champion", "2")
        client.set_registered_model_alias(settings.model_name, "challenger", "3")
        assert pointers.aliases() == {"champion": "2", "challenger": "3"}
        assert [pointers.source(number) for number in "123"] == [f"file:///artifacts/{n}" for n in "123"]
        client.set_registered_model_alias(settings.model_name, "champion", "1")
        assert pointers.aliases()["champion"] == "1"

    def test_a_deleted_version_has_no_source_and_no_alias(self, settings: Settings) -> None:
        pointers = self.pointers(settings)
        client = Registry(settings).client
        client.create_registered_model(settings.model_name)
        client.create_model_version(settings.model_name, source="file:///artifacts/1")
        client.set_registered_model_alias(settings.model_name, "champion", "1")
        client.delete_model_version(settings.model_name, "1")
        assert pointers.source("1") == ""
        assert pointers.source("7") == ""
        assert pointers.aliases() == {}


class TestSqlitePointers(PointersLaws):
    def pointers(self, settings: Settings) -> SqlitePointers:
        found = open_pointers(settings)
        assert isinstance(found, SqlitePointers)
        return found

    def test_a_database_that_does_not_exist_is_not_made(self, tmp_path: Path) -> None:
        settings = load_settings(mlruns=tmp_path / "nothing", workspace="test")
        assert open_pointers(settings).aliases() == {}
        assert not (tmp_path / "nothing").exists()

    def test_a_writer_that_was_killed_in_the_middle_keeps_nobody_from_reading(
        self, settings: Settings
    ) -> None:
        pointers, database = self.pointers(settings), settings.mlruns / "mlflow.db"
        client = Registry(settings).client
        client.create_registered_model(settings.model_name)
        client.create_model_version(settings.model_name, source="file:///artifacts/1")
        client.set_registered_model_alias(settings.model_name, "champion", "1")
        killed = subprocess.run([sys.executable, "-c", KILLED, database], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert pointers.aliases() == {"champion": "1"}

    def test_a_locked_or_damaged_database_is_away_and_comes_back(self, settings: Settings) -> None:
        pointers, database = self.pointers(settings), settings.mlruns / "mlflow.db"
        with sqlite3.connect(database, isolation_level=None) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            with pytest.raises(RegistryAwayError, match="locked"):
                pointers.aliases()
            writer.execute("ROLLBACK")
        writer.close()
        assert pointers.aliases() == {}
        shutil.copy(database, settings.mlruns / "whole.db")
        database.write_bytes(b"no database" * 1000)
        with pytest.raises(RegistryAwayError, match="not a database"):
            pointers.aliases()
        shutil.copy(settings.mlruns / "whole.db", database)
        assert pointers.aliases() == {}

    def test_tables_of_another_mlflow_are_an_error_and_not_an_empty_registry(
        self, settings: Settings
    ) -> None:
        with sqlite3.connect(settings.mlruns / "mlflow.db") as other:
            other.execute("ALTER TABLE registered_model_aliases RENAME TO renamed")
        other.close()
        with pytest.raises(RegistryAwayError, match="no such table"):
            self.pointers(settings).aliases()


class TestPostgresPointers(PointersLaws):
    @pytest.fixture
    def settings(self, postgres_settings: Settings) -> Settings:
        return postgres_settings

    def pointers(self, settings: Settings) -> PostgresPointers:
        found = open_pointers(settings)
        assert isinstance(found, PostgresPointers)
        return found

    def test_a_database_without_tables_holds_no_alias(self, database: str) -> None:
        pointers = open_pointers(load_settings(tracking_uri=database, workspace="test"))
        assert pointers.aliases() == {}
        assert pointers.source("1") == ""

    def test_tables_of_another_mlflow_are_an_error(self, settings: Settings) -> None:
        with closing(connect(settings.tracking_uri)) as other:
            other.execute("ALTER TABLE registered_model_aliases RENAME TO renamed")
        with pytest.raises(RegistryAwayError, match="does not exist"):
            self.pointers(settings).aliases()

    def test_a_connection_that_the_database_ends_is_made_anew(self, settings: Settings) -> None:
        pointers = self.pointers(settings)
        assert pointers.aliases() == {}
        with closing(connect(settings.tracking_uri)) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert pointers.aliases() == {}

    def test_a_database_that_is_not_there_is_away(self, settings: Settings) -> None:
        away = settings.model_copy(update={"tracking_uri": f"{settings.tracking_uri}_nowhere"})
        with pytest.raises(RegistryAwayError, match="does not exist"):
            self.pointers(away).aliases()


class TestServerPointers(PointersLaws):
    def pointers(self, settings: Settings) -> ServerPointers:
        return ServerPointers(settings.mlflow_uri, name=settings.model_name)

    def test_a_server_that_does_not_answer_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        settings = load_settings(tracking_uri="http://127.0.0.1:9", workspace="test")
        with pytest.raises(RegistryAwayError, match="does not answer"):
            open_pointers(settings).aliases()


def test_looking_does_not_import_mlflow(either: Settings) -> None:
    import subprocess
    import sys

    Tracker.open(either)
    script = (
        "import sys\nfrom registry.following.follower import Follower\nfrom tailorbird.settings import load_settings\n"
        "follower = Follower(load_settings(mlruns=sys.argv[1], tracking_uri=sys.argv[2], workspace='test'))\n"
        "assert follower.look(['champion']) == {'champion': None}\n"
        "sys.exit(any(name in sys.modules for name in ('mlflow', 'torch', 'numba', 'sqlalchemy')))\n"
    )
    command = [sys.executable, "-c", script, str(either.mlruns), either.tracking_uri]
    assert subprocess.run(command, check=False).returncode == 0
