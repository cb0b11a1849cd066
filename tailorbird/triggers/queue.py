"""What is still to be delivered, what was given up, and how far the events were followed: one small database."""

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from tailorbird.streams.database import Database
from tailorbird.streams.position import Position
from tailorbird.triggers.delivery import Delivery

QUEUE_FILE = "triggers.db"
MOST_WAITING, MOST_DEAD = 50_000, 50_000
"""Of each target: what comes beyond goes to the dead letters; of these the oldest go, and are counted."""
WAIT_SECONDS = 5.0
_VERSION = 1
_SCRIPT = """
CREATE TABLE followed (one INTEGER PRIMARY KEY CHECK (one = 1), position TEXT NOT NULL);
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY, target TEXT NOT NULL, person TEXT NOT NULL, body BLOB NOT NULL, created REAL NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, next_at REAL NOT NULL, died REAL
) WITHOUT ROWID;
CREATE INDEX waiting ON deliveries (target, next_at, id) WHERE died IS NULL;
CREATE INDEX dead ON deliveries (target, died, id) WHERE died IS NOT NULL;
CREATE INDEX person ON deliveries (person);
CREATE TABLE dropped (target TEXT PRIMARY KEY, count INTEGER NOT NULL)
"""
_COLUMNS = "id, target, person, body, created, attempts, reason"
_THEIRS = "WHERE person IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Counts:
    """Of one target: deliveries that wait, dead letters, dead letters that were dropped, and when the next is due."""

    waiting: int = 0
    dead: int = 0
    dropped: int = 0
    next_at: float | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up at ``died`` (epoch seconds)."""

    delivery: Delivery
    died: float


class DeliveryQueue:
    """The database of one workspace. A process that is killed leaves it whole: what follows what is one transaction."""

    def __init__(self, folder: Path, *, most_waiting: int = MOST_WAITING, most_dead: int = MOST_DEAD) -> None:
        # Not durable: after a power cut the position is that of the deliveries, and what was delivered since is told twice.
        self._database = Database(
            folder / QUEUE_FILE, name="triggers", durable=False, wait_seconds=WAIT_SECONDS
        )
        self._database.create(_SCRIPT, version=_VERSION)
        self._most_waiting, self._most_dead = most_waiting, most_dead

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    @property
    def position(self) -> Position | None:
        """How far the events were followed; None where nobody has begun."""
        found = self._database.ask(lambda each: each.execute("SELECT position FROM followed").fetchone())
        return None if found is None else Position.from_text(found[0])

    def follow(self, position: Position, deliveries: Sequence[Delivery]) -> None:
        """Note how far the events were followed, and what they lead to, both or neither. A delivery that is known stays as it is."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO followed VALUES (1, ?)", (position.to_text(),))
            room: dict[str, int] = {}
            for each in deliveries:
                if each.target not in room:
                    room[each.target] = self._most_waiting - _waiting(connection, each.target)
                full = room[each.target] <= 0
                reason = f"{self._most_waiting} deliveries waited already" if full else ""
                died = each.created if full else None
                added = connection.execute(
                    "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                    (each.id, each.target, each.person, each.body, each.created, reason, each.created, died),
                ).rowcount
                room[each.target] -= added
            for target, left in room.items():
                if left < 0:
                    self._drop_oldest(connection, target)

    def forget_position(self) -> None:
        """Begin at the end of the events when somebody next follows them."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM followed")

    def due(self, target: str, *, now: float, limit: int) -> list[Delivery]:
        """What is to be tried now, the longest due first."""
        question = f"SELECT {_COLUMNS} FROM deliveries WHERE target = ? AND died IS NULL AND next_at <= ? ORDER BY next_at, id LIMIT ?"  # noqa: S608
        rows = self._database.ask(lambda each: each.execute(question, (target, now, limit)).fetchall())
        return [Delivery(*row) for row in rows]

    def next_at(self, target: str, *, after: float) -> float | None:
        """When the next delivery is due that is not due at ``after``; None where none is."""
        question = "SELECT min(next_at) FROM deliveries WHERE target = ? AND died IS NULL AND next_at > ?"
        (found,) = self._database.ask(lambda each: each.execute(question, (target, after)).fetchone())
        return found

    def delivered(self, delivery: Delivery) -> None:
        """It need not be tried again."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))

    def failed(self, delivery: Delivery, *, reason: str, next_at: float) -> None:
        """Try it again at ``next_at`` (epoch seconds)."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = ?, reason = ?, next_at = ? WHERE id = ?",
                (delivery.attempts + 1, reason, next_at, delivery.id),
            )

    def give_up(self, delivery: Delivery, *, reason: str, now: float) -> None:
        """Put it among the dead letters."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = ?, reason = ?, died = ? WHERE id = ?",
                (delivery.attempts + 1, reason, now, delivery.id),
            )
            self._drop_oldest(connection, delivery.target)

    def dead(self, *, target: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """What was given up, the newest first."""
        question = f"SELECT {_COLUMNS}, died FROM deliveries WHERE died IS NOT NULL AND (?1 IS NULL OR target = ?1) ORDER BY died DESC, id LIMIT ?2"  # noqa: S608
        rows = self._database.ask(lambda each: each.execute(question, (target, limit)).fetchall())
        return [DeadLetter(Delivery(*row[:-1]), row[-1]) for row in rows]

    def replay(self, *, now: float, target: str | None = None, identity: str | None = None) -> int:
        """Have dead letters tried once more from the first attempt on, under their ids; how many."""
        with self._database.transaction() as connection:
            return connection.execute(
                "UPDATE deliveries SET attempts = 0, died = NULL, next_at = ?1"
                " WHERE died IS NOT NULL AND (?2 IS NULL OR target = ?2) AND (?3 IS NULL OR id = ?3)",
                (now, target, identity),
            ).rowcount

    def counts(self) -> dict[str, Counts]:
        """Every target that has something, by name."""

        def asked(connection: sqlite3.Connection) -> dict[str, Counts]:
            # One question an index: neither reads a body.
            waiting = connection.execute(
                "SELECT target, count(*), min(next_at) FROM deliveries WHERE died IS NULL GROUP BY target"
            ).fetchall()
            dead = connection.execute(
                "SELECT target, count(*) FROM deliveries WHERE died IS NOT NULL GROUP BY target"
            ).fetchall()
            dropped = connection.execute("SELECT target, count FROM dropped").fetchall()
            found = {name: Counts(waiting=count, next_at=next_at) for name, count, next_at in waiting}
            for field, rows in (("dead", dead), ("dropped", dropped)):
                for name, count in rows:
                    found[name] = replace(found.get(name, Counts()), **{field: count})
            return found

        return self._database.ask(asked)

    def count_of(self, people: Collection[str]) -> dict[str, int]:
        """How many deliveries and dead letters there are of each of some people (keys)."""
        return self._database.ask(lambda connection: _of(connection, people))

    def of(self, people: Collection[str]) -> list[tuple[Delivery, float | None]]:
        """The deliveries about some people (keys), and when each was given up; None for one that waits."""
        question = f"SELECT {_COLUMNS}, died FROM deliveries {_THEIRS} ORDER BY created, id"  # noqa: S608
        asked = (orjson.dumps(list(people)).decode(),)
        rows = self._database.ask(lambda each: each.execute(question, asked).fetchall())
        return [(Delivery(*row[:-1]), row[-1]) for row in rows]

    def forget_all(self, people: Collection[str]) -> dict[str, int]:
        """Delete what would be told of people (keys), the bytes too; how much it was of each."""
        with self._database.transaction() as connection:
            gone = _of(connection, people)
            connection.execute(f"DELETE FROM deliveries {_THEIRS}", (orjson.dumps(list(people)).decode(),))  # noqa: S608
        self._database.purge()
        return gone

    def dead_before(self, instant: float) -> int:
        """How many dead letters were given up before ``instant`` (epoch seconds)."""
        question = "SELECT count(*) FROM deliveries WHERE died IS NOT NULL AND died < ?"
        (found,) = self._database.ask(lambda each: each.execute(question, (instant,)).fetchone())
        return int(found)

    def lapse(self, before: float) -> int:
        """Delete the dead letters that were given up before an instant (epoch seconds), the bytes too; how many."""
        with self._database.transaction() as connection:
            gone = connection.execute(
                "DELETE FROM deliveries WHERE died IS NOT NULL AND died < ?", (before,)
            ).rowcount
        self._database.purge()
        return gone

    def _drop_oldest(self, connection: sqlite3.Connection, target: str) -> None:
        (dead,) = connection.execute(
            "SELECT count(*) FROM deliveries WHERE target = ? AND died IS NOT NULL", (target,)
        ).fetchone()
        if dead <= self._most_dead:
            return
        dropped = connection.execute(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE target = ? AND died IS NOT NULL"
            " ORDER BY died, id LIMIT ?)",
            (target, dead - self._most_dead),
        ).rowcount
        connection.execute(
            "INSERT INTO dropped VALUES (?1, ?2) ON CONFLICT (target) DO UPDATE SET count = count + ?2",
            (target, dropped),
        )


def counts_in(folder: Path) -> dict[str, Counts]:
    """The counts of a workspace's queue; empty, and nothing is made, where there is none."""
    if not (folder / QUEUE_FILE).exists():
        return {}
    with closing(DeliveryQueue(folder)) as queue:
        return queue.counts()


def _of(connection: sqlite3.Connection, people: Collection[str]) -> dict[str, int]:
    question = f"SELECT person, count(*) FROM deliveries {_THEIRS} GROUP BY person"  # noqa: S608
    return dict(connection.execute(question, (orjson.dumps(list(people)).decode(),)).fetchall())


def _waiting(connection: sqlite3.Connection, target: str) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM deliveries WHERE target = ? AND died IS NULL", (target,)
    ).fetchone()
    return int(count)
