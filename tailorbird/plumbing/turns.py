"""A writer's turn at a SQLite database that several processes write to."""

import sqlite3
import time

_BETWEEN_SECONDS = 0.001


def take_turn(connection: sqlite3.Connection, *, wait_seconds: float) -> None:
    """Begin an immediate transaction, asking again every millisecond while another writer is at work.

    SQLite's own waiting sleeps up to 100 ms between two tries: two writers in turn stand still most of the time.

    Raises:
        sqlite3.OperationalError: the other writer is still at work after ``wait_seconds``.
    """
    deadline = time.monotonic() + wait_seconds
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() >= deadline:
                    raise
            time.sleep(_BETWEEN_SECONDS)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(patience)}")
