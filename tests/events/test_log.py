import inspect
import multiprocessing
import pkgutil
import signal
import sqlite3
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

import tailorbird.events
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.log import EventLog, SqliteEventLog
from tests.events.laws import EventLogLaws, event


class TestSqliteEventLog(EventLogLaws):
    log_class = SqliteEventLog

    def open(self, folder: Path) -> SqliteEventLog:
        return SqliteEventLog(folder / "events.db")


def test_every_log_passes_the_laws() -> None:
    modules = [
        import_module(f"tailorbird.events.{info.name}")
        for info in pkgutil.iter_modules(tailorbird.events.__path__)
    ]
    logs = {
        cls
        for module in modules
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls is not EventLog and all(hasattr(cls, name) for name in ("append", "read", "last_offset"))
    }
    assert SqliteEventLog in logs
    assert logs == {laws.log_class for laws in EventLogLaws.__subclasses__()}


def _append_many(path: Path, first: int, count: int) -> int:
    with SqliteEventLog(path) as log:
        return sum(len(log.append([event(number)]).accepted) for number in range(first, first + count))


def test_processes_that_write_together_store_each_message_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    # No log is opened here before: the processes also race to create it.
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        accepted = pool.starmap(_append_many, [(path, first, 60) for first in (0, 30, 60, 90)])
    assert sum(accepted) == 150
    with SqliteEventLog(path) as log:
        stored = log.read(0, 1000)
    assert [offset for offset, _ in stored] == list(range(1, 151))
    assert {one.message_id for _, one in stored} == {f"m{number}" for number in range(150)}


def test_threads_that_share_a_log_store_each_message_once(tmp_path: Path) -> None:
    with SqliteEventLog(tmp_path / "events.db") as log:

        def work(first: int) -> None:
            for number in range(first, first + 40):
                log.append([event(number)])
                log.read(0, 5)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 20, 40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert log.last_offset() == 80
        assert len({one.message_id for _, one in log.read(0, 100)}) == 80


WRITER = """
import sys
from pathlib import Path
from tailorbird.events.log import SqliteEventLog
from tests.events.laws import event
log = SqliteEventLog(Path(sys.argv[1]))
for number in range(100_000):
    log.append([event(number)])
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    writer.stdout.close()
    writer.wait()
    with SqliteEventLog(path) as log:
        stored = [one for _, one in log.read(0, 200_000)]
    assert stored[: len(acknowledged)] == [event(number) for number in acknowledged]
    assert len(stored) <= len(acknowledged) + 1


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    with SqliteEventLog(tmp_path / "events.db") as log:
        pragmas = {
            name: log._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL


def test_an_interrupted_append_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteEventLog(tmp_path / "events.db") as log:
        with monkeypatch.context() as patched:
            patched.setattr("tailorbird.events.log._INSERT", "INSERT INTO no_such_table VALUES (?)")
            with pytest.raises(TailorbirdError, match="no_such_table"):
                log.append([event(1)])
        assert log.last_offset() == 0
        # The message id of the failed append was not kept either.
        assert len(log.append([event(1)]).accepted) == 1


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"this is no database, although its name says so" * 100)
    with pytest.raises(TailorbirdError, match=r"events\.db.*not a database.*restore"):
        SqliteEventLog(path)
    assert path.read_bytes().startswith(b"this is no database")


def test_a_log_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TailorbirdError, match="format 99"):
        SqliteEventLog(path)


def test_a_writer_that_never_ends_is_an_error_not_a_wait(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with SqliteEventLog(path, busy_seconds=0.05) as log:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TailorbirdError, match=r"locked.*try again"):
            log.append([event(1)])
        other.execute("ROLLBACK")
        other.close()
        assert len(log.append([event(1)]).accepted) == 1


def test_a_closed_log_says_so(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db")
    log.close()
    with pytest.raises(TailorbirdError, match="closed"):
        log.append([event(1)])
    with pytest.raises(TailorbirdError, match="closed"):
        log.read(0, 1)


@pytest.mark.parametrize(("after", "limit"), [(-1, 5), (0, -1)])
def test_reading_from_nowhere_is_refused(tmp_path: Path, after: int, limit: int) -> None:
    with SqliteEventLog(tmp_path / "events.db") as log, pytest.raises(UsageError, match="from 0 on"):
        log.read(after, limit)


def test_context_that_is_not_json_is_refused(tmp_path: Path) -> None:
    with SqliteEventLog(tmp_path / "events.db") as log:
        with pytest.raises(UsageError, match="not JSON"):
            log.append([event(1, context={"bytes": b"\xff"})])
        assert log.last_offset() == 0
