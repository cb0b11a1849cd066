"""The audit log: whole while nobody touches it; what was altered, removed, moved or cut off is found and named."""

import multiprocessing
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tailorbird.audit.entry import BEGINNING, Entry, Head
from tailorbird.audit.log import AuditAwayError, AuditLog
from tailorbird.audit.verify import Finding, verify
from tests.proving import tries

NOW = 1_700_000_000.0
LOGS = tries(16, 100)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(tmp_path / "audit.db")
    for number in range(1, 11):
        made.append(
            at=NOW + number, who="key:a", what="profile.read", whom=f"person:{number}", detail={"n": number}
        )
    return made


def found(log: AuditLog, anchor: Head | None = None) -> list[tuple[int, str]]:
    return [(each.number, each.kind) for each in verify(log.entries(), anchor=anchor)[1]]


def tamper(log: AuditLog, change: Callable[[sqlite3.Connection], object]) -> None:
    """As somebody does who may write the file."""
    with closing(sqlite3.connect(log._path)) as connection, connection:
        connection.execute("DROP TRIGGER IF EXISTS unchanged")
        connection.execute("DROP TRIGGER IF EXISTS undeleted")
        change(connection)


def test_an_untouched_log_is_whole_and_ends_in_its_head(log: AuditLog):
    head, findings = verify(log.entries())
    assert (head, findings) == (log.head(), [])
    assert head.number == 10
    assert found(log, log.head()) == []
    assert stat.S_IMODE(log._path.stat().st_mode) == 0o600


def test_a_log_that_was_never_written_is_whole_and_empty(tmp_path: Path):
    log = AuditLog(tmp_path / "audit.db")
    assert log.head() == Head(0, BEGINNING)
    assert found(log, log.head()) == []
    assert not (tmp_path / "audit.db").exists()


@pytest.mark.parametrize("column", ["at", "who", "what", "whom", "detail", "previous", "hash"])
def test_one_altered_field_is_found_in_its_entry(log: AuditLog, column: str):
    tamper(log, lambda db: db.execute(f"UPDATE entries SET {column} = {column} || '0' WHERE number = 4"))
    (number, kind), *rest = found(log)
    assert (number, kind) == (4, "altered")
    assert {each for each, _ in rest} <= {5}  # what follows the altered hash


def test_an_altered_entry_with_a_hash_made_anew_is_found_by_the_next(log: AuditLog):
    four = next(entry for entry in log.entries() if entry.number == 4)
    forged = Entry(4, four.at, "key:b", four.what, four.whom, four.detail, four.previous).sealed()
    tamper(
        log,
        lambda db: db.execute("UPDATE entries SET who = 'key:b', hash = ? WHERE number = 4", (forged.hash,)),
    )
    assert found(log) == [(5, "rewritten")]


def test_a_removed_entry_is_named(log: AuditLog):
    tamper(log, lambda db: db.execute("DELETE FROM entries WHERE number IN (1, 5, 6)"))
    assert found(log) == [(1, "removed"), (5, "removed")]
    assert "entries 5 to 6 are gone" in verify(log.entries())[1][1].says


def test_a_removed_entry_whose_place_is_closed_up_is_named(log: AuditLog):
    def close_up(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM entries WHERE number = 5")
        db.execute("UPDATE entries SET number = -number WHERE number > 5")
        db.execute("UPDATE entries SET number = -number - 1 WHERE number < 0")

    tamper(log, close_up)
    first = verify(log.entries())[1][0]
    assert (first.number, first.kind) == (5, "reordered")
    assert "what was written as entry 6" in first.says


def test_two_entries_that_changed_places_are_both_named(log: AuditLog):
    def swap(db: sqlite3.Connection) -> None:
        for old, new in ((3, -1), (8, 3), (-1, 8)):
            db.execute("UPDATE entries SET number = ? WHERE number = ?", (new, old))

    tamper(log, swap)
    assert found(log) == [(3, "reordered"), (4, "rewritten"), (8, "reordered"), (9, "rewritten")]
    says = [each.says for each in verify(log.entries())[1]]
    assert "written as entry 8" in says[0]
    assert "written as entry 3" in says[2]


def test_an_end_that_is_cut_off_is_found_by_the_anchored_head_alone(log: AuditLog):
    anchor = log.head()
    log.append(at=NOW, who="key:a", what="person.erase")
    assert found(log, anchor) == []
    tamper(log, lambda db: db.execute("DELETE FROM entries WHERE number > 7"))
    assert found(log) == []
    assert found(log, anchor) == [(8, "truncated")]
    tamper(log, lambda db: db.execute("DELETE FROM entries"))
    assert found(log, anchor) == [(1, "truncated")]


def test_a_log_that_is_written_anew_is_found_by_the_anchored_head(log: AuditLog):
    anchor = log.head()
    entries = [entry for entry in log.entries() if entry.number != 4]

    def write_anew(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM entries")
        last = Head(0, BEGINNING)
        for number, old in enumerate([*entries, entries[-1]], start=1):
            new = Entry(number, old.at, old.who, old.what, old.whom, old.detail, last.hash).sealed()
            db.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (new.number, new.at, new.who, new.what, new.whom, new.detail, new.previous, new.hash),
            )
            last = Head(number, new.hash)

    tamper(log, write_anew)
    assert found(log) == []
    assert found(log, anchor) == [(10, "rewritten")]


def test_our_own_slips_change_nothing(log: AuditLog):
    with closing(sqlite3.connect(log._path)) as connection:
        for slip in ("UPDATE entries SET who = 'x'", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError, match="entries stay"):
                connection.execute(slip)


@pytest.mark.parametrize("left", [b"", None])
def test_a_file_without_tables_is_given_them(tmp_path: Path, left: bytes | None):
    """Somebody emptied it, or whoever made it ended in the middle."""
    if left is None:
        with closing(sqlite3.connect(tmp_path / "audit.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("VACUUM")
    else:
        (tmp_path / "audit.db").write_bytes(left)
    log = AuditLog(tmp_path / "audit.db")
    assert (log.head(), list(log.entries())) == (Head(0, BEGINNING), [])
    for number in range(2):
        log.append(at=NOW, who="key:a", what="profile.read", detail={"n": number})
    assert [each.number for each in log.entries()] == [1, 2]
    assert found(log, log.head()) == []
    test_our_own_slips_change_nothing(log)


def test_threads_that_write_at_once_lose_nothing_and_no_order(tmp_path: Path):
    def write(name: str) -> None:
        for number in range(20):
            log = AuditLog(tmp_path / "audit.db")
            wrote = log.append(at=NOW, who=name, what="consent.change", detail={"n": number})
            assert wrote.plain()["detail"] == {"n": number}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [f"key:{name}" for name in "abcdefgh"]))
    log = AuditLog(tmp_path / "audit.db")
    entries = list(log.entries())
    assert found(log, log.head()) == []
    assert [entry.number for entry in entries] == list(range(1, 161))
    for name in "abcdefgh":
        own = [entry.plain()["detail"]["n"] for entry in entries if entry.who == f"key:{name}"]
        assert own == list(range(20))


def test_what_no_text_can_hold_keeps_nobody_elses_entry_out(tmp_path: Path):
    log = AuditLog(tmp_path / "audit.db")
    assert log.append(at=NOW, who="key:a", what="trace.read", whom="\ud800").whom == "\\ud800"
    assert found(log, log.head()) == []


def append_many(path: str, who: str) -> None:
    log = AuditLog(Path(path))
    for number in range(40):
        log.append(at=NOW + number, who=who, what="profile.read", detail={"n": number})


def test_processes_that_write_at_once_lose_nothing_and_no_order(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=append_many, args=(str(tmp_path / "audit.db"), f"key:{name}"))
        for name in "abcd"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log = AuditLog(tmp_path / "audit.db")
    entries = list(log.entries())
    assert found(log, log.head()) == []
    assert [entry.number for entry in entries] == list(range(1, 161))
    for name in "abcd":
        own = [entry.plain()["detail"]["n"] for entry in entries if entry.who == f"key:{name}"]
        assert own == list(range(40))


def begin_logs(folder: str, who: str, together: Barrier) -> None:
    for number in range(LOGS):
        together.wait(20)
        AuditLog(Path(folder) / str(number) / "audit.db").append(at=NOW, who=who, what="profile.read")


def test_whoever_is_first_at_a_new_log_keeps_nobody_out(tmp_path: Path):
    context, names = multiprocessing.get_context("spawn"), [f"key:{name}" for name in "abcdef"]
    together = context.Barrier(len(names))
    writers = [
        context.Process(target=begin_logs, args=(str(tmp_path), name, together), daemon=True)
        for name in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * len(names)
    for number in range(LOGS):
        log = AuditLog(tmp_path / str(number) / "audit.db")
        assert sorted(entry.who for entry in log.entries()) == names
        assert found(log) == []
    assert stat.S_IMODE(log._path.stat().st_mode) == 0o600
    assert {each.name for each in log._path.parent.iterdir()} <= {"audit.db", "audit.db-wal", "audit.db-shm"}


def test_what_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "audit.db").write_bytes(b"this is no database" * 1_000)
    log = AuditLog(tmp_path / "audit.db")
    with pytest.raises(AuditAwayError, match="cannot be written"):
        log.append(at=NOW, who="key:a", what="profile.read")
    with pytest.raises(AuditAwayError, match="cannot be read"):
        log.head()


@pytest.mark.parametrize("text", ["", "1", "1:ab", f"x:{'a' * 64}", f"1:{'g' * 64}", f"-1:{'a' * 64}"])
def test_what_is_no_head_is_refused(text: str):
    with pytest.raises(ValueError, match=r"no head|invalid literal"):
        Head.parse(text)


def test_a_head_reads_as_it_is_written():
    head = Head(12, "a" * 64)
    assert Head.parse(str(head)) == head
    assert Finding(1, "altered", "x") != Finding(2, "altered", "x")
