"""The mirror: what this machine knows of a topic, in SQLite. It is made of topic and archive, and made again when lost."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import orjson

from tailorbird.streams.codec import Codec, Row
from tailorbird.streams.database import Database

Record = TypeVar("Record")
_FORMAT = 1
_SHIFT = 48
"""Partition and offset in one integer, so that rows lie in their order."""
_ASKED = 1_024
_SLICE = 5_000


class Found(NamedTuple):
    """What stands at an offset: a ``row``, a person whom it ``forgets``, or neither, because of a ``fault``.

    A record that opens nowhere any more, as its person's key is destroyed, is the digest of a key that is ``taken``.
    """

    offset: int
    row: Row | None = None
    forgets: str = ""
    fault: str = ""
    taken: bytes = b""


class Mark(NamedTuple):
    """How far a partition is known; -1 is nowhere.

    ``followed``: everything up to there was taken from the topic; ``last``: the newest record; ``compacted``: up to there
    records count in the archive only.
    """

    followed: int
    last: int
    compacted: int


class Erasure(NamedTuple):
    """A person who was forgotten in the topic at an offset, and is to be forgotten in the archive."""

    partition: int
    offset: int
    person: str


class Mirror(Generic[Record]):
    """Keys of every record of a topic, and the records that are not archived yet.

    The first record of a key in a partition counts, later ones are holes: which one that is does not depend on who reads.
    """

    def __init__(self, path: Path, codec: Codec[Record], *, partitions: int) -> None:
        self.path, self.codec, self.partitions = path, codec, partitions
        names = ", ".join(f'"{name}"' for name in ("place", *codec.columns))
        self._insert = (
            f"INSERT OR IGNORE INTO records ({names}) VALUES ({', '.join('?' * (len(codec.columns) + 1))})"  # noqa: S608
        )
        self._select = f"SELECT {names} FROM records WHERE place > ? AND place < ? ORDER BY place LIMIT ?"  # noqa: S608
        self._person_at = list(codec.columns).index(codec.person)
        # Derived: a power cut may take its last moments, which the topic gives again.
        self._database = Database(path, name=codec.name, durable=False)
        self._database.create(_script(codec), version=_FORMAT)

    def identity(self) -> tuple[str, int]:
        """The topic's id ("" where none is known) and the number of partitions that it was made for; 0 before the first."""
        row: tuple[str, int] = self._database.ask(
            lambda c: c.execute("SELECT topic, partitions FROM state").fetchone()
        )
        return row

    def begin(self, topic: str, marks: Mapping[int, Mark]) -> None:
        """Note what it is the mirror of and where it begins; what others noted meanwhile stays."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE state SET topic = ?, partitions = ? WHERE partitions = 0", (topic, self.partitions)
            ).rowcount
            if changed:
                rows = [(partition, *mark) for partition, mark in marks.items()]
                connection.executemany("INSERT INTO parts VALUES (?, ?, ?, ?)", rows)

    def marks(self) -> dict[int, Mark]:
        """How far each partition is known."""
        return self._database.ask(_marks)

    def absorb(
        self, found: Mapping[int, Sequence[Found]], reached: Mapping[int, int], *, after: Mapping[int, int]
    ) -> set[int]:
        """Take in what stands past ``after``, up to ``reached``; the partitions where something before is missing.

        What is known already is left out, so that processes may take in the same.
        """
        with self._database.transaction() as connection:
            marks = _marks(connection)
            missing = {part for part in reached if marks[part].followed < after[part]}
            fresh = {
                part: [each for each in found.get(part, ()) if each.offset > marks[part].followed]
                for part in reached
                if part not in missing
            }
            last = self._store(connection, fresh, marks)
            for part, some in fresh.items():
                for each in some:
                    if each.forgets:
                        self._forget(connection, part, each)
                    elif each.fault:
                        values = (_place(part, each.offset), each.fault)
                        connection.execute("INSERT OR REPLACE INTO faults VALUES (?, ?)", values)
                connection.execute(
                    "UPDATE parts SET followed = max(followed, ?), last = max(last, ?) WHERE partition = ?",
                    (reached[part], last.get(part, -1), part),
                )
        return missing

    def places(self, digests: Iterable[bytes]) -> dict[bytes, dict[int, int]]:
        """Where the first records of keys stand: partition to offset."""
        return self._database.ask(lambda connection: _places(connection, list(digests)))

    def page(self, partition: int, after: int, limit: int) -> tuple[int, list[Row]]:
        """The offset up to which records count in the archive only; up to ``limit`` rows past ``after``, offsets first."""

        def look(connection: sqlite3.Connection) -> tuple[int, list[Row]]:
            bounds = (_place(partition, after), _place(partition + 1, -1))
            rows = connection.execute(self._select, (*bounds, limit)).fetchall()
            compacted = connection.execute(
                "SELECT compacted FROM parts WHERE partition = ?", (partition,)
            ).fetchone()
            return compacted[0] if compacted else -1, rows

        compacted, rows = self._database.ask(look)
        first = _place(partition, 0)
        return compacted, [(int(place) - first, *row) for place, *row in rows]  # type: ignore[call-overload]

    def live(self) -> int:
        """How many offsets at most hold records that are not archived."""
        return sum(max(0, mark.last - mark.compacted) for mark in self.marks().values())

    def count_of(self, people: Collection[str]) -> Counter[str]:
        """How many records of some people are not archived."""
        person = f'"{self.codec.person}"'
        query = f"SELECT {person}, count(*) FROM records WHERE {person} IN (SELECT value FROM json_each(?)) GROUP BY 1"  # noqa: S608
        asked = (orjson.dumps(list(people)).decode(),)
        return Counter(dict(self._database.ask(lambda c: c.execute(query, asked).fetchall())))

    def faults(self) -> int:
        """How many messages were set aside since they are no records."""
        return int(self._database.ask(lambda c: c.execute("SELECT count(*) FROM faults").fetchone())[0])

    def erasures(self) -> list[Erasure]:
        """People who are to be forgotten in the archive."""
        rows = self._database.ask(
            lambda c: c.execute("SELECT place, person FROM erasures ORDER BY place").fetchall()
        )
        return [Erasure(place >> _SHIFT, place & (1 << _SHIFT) - 1, person) for place, person in rows]

    def erased(self, erasures: Iterable[Erasure]) -> None:
        """They are forgotten in the archive too."""
        with self._database.transaction() as connection:
            places = [(_place(each.partition, each.offset),) for each in erasures]
            connection.executemany("DELETE FROM erasures WHERE place = ?", places)

    def take_keys(self, partition: int, keys: Iterator[Mapping[int, str]]) -> None:
        """Keys of archived records, by their offsets: they are taken."""
        for some in keys:
            rows = sorted((self.codec.digest(key), partition, offset) for offset, key in some.items())
            for start in range(0, len(rows), _SLICE):
                with self._database.transaction() as connection:
                    connection.executemany(
                        "INSERT INTO keys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
                        '"offset" = min("offset", excluded."offset")',
                        rows[start : start + _SLICE],
                    )

    def skip_to(self, partition: int, offset: int) -> None:
        """Everything up to ``offset`` is known from the archive."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE parts SET followed = max(followed, ?1), last = max(last, ?1) WHERE partition = ?2",
                (offset, partition),
            )

    def drop_through(self, partition: int, offset: int) -> None:
        """Note that records up to ``offset`` are in the archive and drop them here, some at a time."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE parts SET compacted = max(compacted, ?) WHERE partition = ?", (offset, partition)
            )
        first, end = _place(partition, 0), _place(partition, offset)
        oldest = "SELECT min(place) FROM records WHERE place BETWEEN ? AND ?"
        while (
            place := self._database.ask(lambda c: c.execute(oldest, (first, end)).fetchone())[0]
        ) is not None:
            with self._database.transaction() as connection:  # writers of new records pass in between
                through = min(end, place + _SLICE)
                connection.execute("DELETE FROM records WHERE place BETWEEN ? AND ?", (first, through))

    def shrink(self) -> None:
        """Give the disk back what was dropped."""
        self._database.shrink()

    def purge(self) -> None:
        """Let go of every older state of the file, in which forgotten people stand. Raises StreamAwayError."""
        self._database.purge()

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        self._database.close()

    def _store(
        self, connection: sqlite3.Connection, fresh: Mapping[int, Sequence[Found]], marks: Mapping[int, Mark]
    ) -> dict[int, int]:
        """Insert the first record of each new key; the newest offset of each partition that got one."""
        digest, key_at = self.codec.digest, self.codec.key_at
        rows = [
            (each.taken if each.row is None else digest(str(each.row[key_at])), part, each.offset, each.row)
            for part, some in fresh.items()
            for each in some
            if each.row is not None or each.taken
        ]
        taken = _places(connection, [row[0] for row in rows])
        keys, records = [], []
        last: dict[int, int] = {}
        for name, part, offset, row in rows:  # in the order of their offsets
            if taken.setdefault(name, {}).setdefault(part, offset) != offset:
                continue
            last[part] = offset
            keys.append((name, part, offset))
            if row is not None and offset > marks[part].compacted:
                records.append((_place(part, offset), *row))
        # Sorted keys touch the index page by page; in bulk that is several times faster.
        connection.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", sorted(keys))
        connection.executemany(self._insert, records)
        return last

    def _forget(self, connection: sqlite3.Connection, partition: int, found: Found) -> None:
        """Drop a person's records that stand before this; the archive follows."""
        statement = f'DELETE FROM records WHERE "{self.codec.person}" = ? AND place BETWEEN ? AND ?'  # noqa: S608
        place = _place(partition, found.offset)
        connection.execute(statement, (found.forgets, _place(partition, 0), place))
        connection.execute("INSERT OR REPLACE INTO erasures VALUES (?, ?)", (place, found.forgets))


def _script(codec: Codec[Record]) -> str:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in codec.columns.items())
    return f"""
    CREATE TABLE keys (
        digest BLOB, partition INTEGER, "offset" INTEGER NOT NULL, PRIMARY KEY (digest, partition)
    ) WITHOUT ROWID;
    CREATE TABLE records (place INTEGER PRIMARY KEY, {columns});
    CREATE TABLE parts (
        partition INTEGER PRIMARY KEY, followed INTEGER NOT NULL, last INTEGER NOT NULL, compacted INTEGER NOT NULL
    );
    CREATE TABLE erasures (place INTEGER PRIMARY KEY, person TEXT NOT NULL);
    CREATE TABLE faults (place INTEGER PRIMARY KEY, fault TEXT NOT NULL);
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1), topic TEXT NOT NULL, partitions INTEGER NOT NULL
    );
    INSERT INTO state VALUES (1, '', 0)"""  # noqa: S608


def _place(partition: int, offset: int) -> int:
    return (partition << _SHIFT) + offset


def _marks(connection: sqlite3.Connection) -> dict[int, Mark]:
    rows = connection.execute("SELECT partition, followed, last, compacted FROM parts").fetchall()
    return {row[0]: Mark(*row[1:]) for row in rows}


def _places(connection: sqlite3.Connection, digests: Sequence[bytes]) -> dict[bytes, dict[int, int]]:
    found: dict[bytes, dict[int, int]] = {}
    for start in range(0, len(digests), _ASKED):
        some = digests[start : start + _ASKED]
        query = f'SELECT digest, partition, "offset" FROM keys WHERE digest IN ({",".join("?" * len(some))})'  # noqa: S608
        for digest, partition, offset in connection.execute(query, some):
            found.setdefault(digest, {})[partition] = offset
    return found
