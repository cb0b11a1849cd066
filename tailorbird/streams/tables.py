"""The tables of the embedded engine: keys, live records, and how far both go."""

import sqlite3
from collections.abc import Sequence

from tailorbird.streams.codec import Codec, Record

_PLACES = (1, 8, 64, 512, 4096)


def script(codec: Codec[Record]) -> str:
    """The statements that make the tables of a new stream of the codec's records."""
    columns = ", ".join(f'"{name}" {kind}' for name, kind in codec.columns.items())
    return f"""
    CREATE TABLE keys (digest BLOB PRIMARY KEY, "offset" INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE records ("offset" INTEGER PRIMARY KEY, {columns});
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1), last_offset INTEGER NOT NULL, compacted_offset INTEGER NOT NULL,
        source TEXT NOT NULL
    );
    INSERT INTO state VALUES (1, 0, 0, '{codec.name}s-' || lower(hex(randomblob(8))))"""  # noqa: S608


def known(connection: sqlite3.Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    """Which of the digests are taken, with the offsets of their records."""
    found: dict[bytes, int] = {}
    for start in range(0, len(digests), _PLACES[-1]):
        some = digests[start : start + _PLACES[-1]]
        # Few different statements, so that SQLite compiles each once: the last digest fills the places left over.
        places = next(size for size in _PLACES if size >= len(some))
        query = f'SELECT digest, "offset" FROM keys WHERE digest IN ({",".join("?" * places)})'  # noqa: S608
        asked = [*some, *[some[-1]] * (places - len(some))]
        found.update(connection.execute(query, asked))
    return found


def state(connection: sqlite3.Connection) -> tuple[int, int]:
    """The last offset ever given, and the one up to which records count in the archive only."""
    row: tuple[int, int] = connection.execute("SELECT last_offset, compacted_offset FROM state").fetchone()
    return row
