"""The online database in Redis, or in a Redis Cluster: rows in buckets, transactions that are made here and committed at once there.

A transaction takes the turn (a lock that lapses), reads, keeps its changes to itself and commits them if nobody has committed
since: the turn is courtesy, that check is what holds. On one Redis a commit is one MULTI. On a cluster, where no step spans
slots, the root's slot takes the whole commit first, with what is to be applied; then each bucket applies its part, once and in
order, and whoever comes next ends what a dead writer left (ADR 20).
"""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from feature_repo.away import FeatureStoreAwayError
from feature_repo.online.database import Changed, Packed
from feature_repo.online.redis_commit import Committer
from feature_repo.online.redis_scripts import FINISH, MARKER, RENEW
from feature_repo.online.redis_turn import Turn, Written
from feature_repo.online.redis_wire import NotWholeError, Wire
from feature_repo.online.tables import LIVE, WRITTEN
from tailorbird.plumbing.redis import RedisAddress

WORK_MS = 15_000
"""How long nobody else begins a long work whose worker is not heard of."""


class RedisDatabase:
    """Tables, marks and notes of one workspace. A writer waits ``wait_seconds`` for another one, a reader for nobody."""

    def __init__(
        self, address: RedisAddress, *, project: str, wait_seconds: float = 5.0, read_seconds: float = 1.0
    ) -> None:
        self.wait_seconds = wait_seconds
        self.wire = Wire(address, project=project, timeout_seconds=wait_seconds)
        # A request waits for a server that hangs no longer than it must; a commit of thousands of rows may take its time.
        self._reading = Wire(address, project=project, timeout_seconds=read_seconds)
        self._commits = Committer(self.wire)
        self._generations: dict[str, str] = {}
        self._local = threading.local()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread holds the transaction."""
        return self._turn is not None

    def prepare(self) -> None:
        """Refuse a server that would throw rows away when it is full."""
        if self._turn is None and (policy := self.wire.evicting()):
            raise FeatureStoreAwayError(
                f"{self.wire.address} throws keys away when it is full: its maxmemory-policy is {policy}",
                remedy="set `maxmemory-policy noeviction`, or a volatile- one: live profiles have no time to live",
            )

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the turn; joins the transaction that this thread already holds."""
        if self._turn is not None:
            yield
            return
        with self.wire.named_errors():
            turn = self._local.turn = self._commits.begin(wait_seconds=self.wait_seconds if wait else 0.0)
        try:
            yield
            with self.wire.named_errors():
                self._commits.commit(turn)
                self._generations = {n[2:]: rows for n, rows in turn.marks.items() if n.startswith("t:")}
        except BaseException:
            with suppress(Exception):  # a turn that is not given back lapses
                self._commits.release(turn)
            raise
        finally:
            self._local.turn = None

    def is_lost(self, tables: Sequence[str]) -> bool:
        """Whether Redis answers and does not hold all rows of these tables."""
        with self.wire.named_errors():
            generations = self.wire.client.hmget(self.wire.keys.marks, [LIVE_FIELD, *map(_table, tables)])
            if None in generations:
                return True
            places = [place for each in generations[1:] for place in self.wire.keys.rows(each.decode())]
            return not all(self.wire.pipelined([("HEXISTS", place, MARKER) for place in places]))

    def marks_lead(self) -> bool:
        """Whether a commit is between the root and its buckets: on a cluster."""
        if self._turn is not None or not self.wire.address.cluster:
            return False
        with self.wire.named_errors():
            return bool(self.wire.client.exists(self.wire.keys.redo))

    def unfinished(self) -> bool:
        """Whether a writer died between the commit and its buckets."""
        with self.wire.named_errors():
            return bool(self.wire.client.exists(self.wire.keys.redo)) and not self.wire.client.exists(
                self.wire.keys.lock
            )

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Hold the lease of a long work, and renew it until the block ends."""
        key, token, done = self.wire.keys.work(name), secrets.token_bytes(8), threading.Event()
        with self.wire.named_errors():
            mine = bool(self.wire.client.set(key, token, nx=True, px=WORK_MS))

        def renew() -> None:
            while not done.wait(WORK_MS / 3_000):
                with suppress(Exception):  # the next time may go well; else the lease lapses
                    self.wire.call(RENEW, [key], [token, str(WORK_MS).encode()])

        thread = threading.Thread(target=renew, name="online-work", daemon=True)
        if mine:
            thread.start()
        try:
            yield mine
        finally:
            done.set()
            if mine:
                thread.join()
                with suppress(Exception):
                    self.wire.call(FINISH, [key, key], [token, b""])

    def tables(self, prefix: str) -> list[str]:
        """The names of the tables that begin so."""
        marks = self.wire.all_marks() if self._turn is None else self._turn.marks
        return [name[2:] for name in marks if name.startswith(_table(prefix))]

    def create_table(self, table: str, *, followed: bool) -> None:
        """Make an empty table."""
        turn = self._held()
        turn.marks[_table(table)] = turn.make(followed=followed)

    def drop_table(self, table: str) -> None:
        """Drop a table with its rows, where it is there."""
        turn = self._held()
        if generation := turn.marks.pop(_table(table), None):
            turn.drop(generation)

    def rename_table(self, table: str, to: str) -> None:
        """Give a table another name: its rows stay where they are."""
        turn = self._held()
        turn.marks[_table(to)] = self._generation(table)
        del turn.marks[_table(table)]

    def read(self, table: str, keys: Sequence[bytes]) -> Mapping[bytes, Packed]:
        """The rows of these keys that are there, in one round trip."""
        return {key: written.row for key, written in self._read(table, keys).items()}

    def changed(self, table: str, *, since: int) -> list[Changed]:
        """The rows that were stored by a write of a greater number than ``since``; the table must be followed."""
        # Buckets are read one after the other, and on a cluster written so: what comes meanwhile is left to the next time.
        (through,) = self.marks(WRITTEN)
        if self.marks_lead():
            return []
        with self.wire.named_errors():
            generation = self._generation(table, fresh=True)
            asked: list[tuple[Any, ...]] = []
            for bucket, place in enumerate(self.wire.keys.rows(generation)):
                asked.append(("HEXISTS", place, MARKER))
                asked.append(
                    ("ZRANGEBYSCORE", self.wire.keys.written(generation, bucket), f"({since}", "+inf")
                )
            answers = self.wire.pipelined(asked)
            if not all(answers[::2]):
                raise self.wire.lost()
            rows = self.wire.fetched(generation, [key for keys in answers[1::2] for key in keys])
        last = int(through or 0)
        return [Changed(key, row.row.blob, row.number) for key, row in rows.items() if row.number <= last]

    def write(self, table: str, rows: Sequence[Packed], *, number: int) -> None:
        """Store rows as of write ``number``; one that is older than the stored one changes nothing."""
        self._held().put(self._generation(table), rows, number=number)

    def delete(self, table: str, keys: Sequence[bytes]) -> int:
        """Drop rows; how many were there."""
        there = len(self._read(table, keys))
        self._held().delete(self._generation(table), keys)
        return there

    def newest(self, table: str, keys: Sequence[bytes]) -> int:
        """The greatest number of the writes that stored the rows of these keys."""
        return max((written.number for written in self._read(table, keys).values()), default=0)

    def last_write(self, table: str) -> int:
        """Nothing: a store in Redis always has the mark of the last write."""
        return 0

    def marks(self, *names: str) -> list[str | None]:
        """The marks of these names, in that order."""
        if self._turn is not None:
            return [self._turn.marks.get(_mark(name)) for name in names]
        with self.wire.named_errors():
            found = self.wire.client.hmget(self.wire.keys.marks, [_mark(name) for name in names])
        return [None if each is None else each.decode() for each in found]

    def set_mark(self, name: str, value: str | None) -> None:
        """Set a mark, or drop it."""
        turn = self._held()
        if value is None:
            turn.marks.pop(_mark(name), None)
        else:
            turn.marks[_mark(name)] = value

    def notes(self, kind: str) -> set[tuple[str, bytes]]:
        """Table and key of every note of a kind."""
        if self._turn is not None:
            noted = self._turn.notes
        else:
            with self.wire.named_errors():
                noted = set(self.wire.client.smembers(self.wire.keys.notes))
        parts = [each.split(b"\0", 2) for each in noted if each.startswith(f"{kind}\0".encode())]
        return {(table.decode(), key) for _, table, key in parts}

    def note(self, kind: str, table: str, keys: Sequence[bytes]) -> None:
        """Note keys of a table."""
        self._held().notes.update(_note(kind, table, key) for key in keys)

    def erase(self, kind: str, table: str, keys: Sequence[bytes] | None = None) -> None:
        """Drop the notes of these keys, or of the whole table."""
        turn = self._held()
        if keys is None:
            turn.notes = {each for each in turn.notes if not each.startswith(_note(kind, table, b""))}
        else:
            turn.notes -= {_note(kind, table, key) for key in keys}

    def purge(self) -> None:
        """Nothing to do: what was deleted is in no memory of the server; its own files are rewritten as it is set to."""

    def disconnect(self) -> None:
        """Nothing: threads share the connections, which end with the client."""

    @property
    def _turn(self) -> Turn | None:
        return getattr(self._local, "turn", None)

    def _held(self) -> Turn:
        if self._turn is None:
            raise RuntimeError("changes of the online store are made in a transaction")
        return self._turn

    def _read(self, table: str, keys: Sequence[bytes]) -> Mapping[bytes, Written]:
        if not keys:
            return {}
        turn = self._turn
        wire = self._reading if turn is None else self.wire
        with wire.named_errors():
            generation = self._generation(table)
            if turn is not None and generation in turn.made:
                return turn.seen(generation, keys, {})
            try:
                stored = wire.fetched(generation, keys)
            except NotWholeError:
                if turn is not None:
                    raise
                # Others may have taken its place: look once where it is now.
                stored = wire.fetched(self._generation(table, fresh=True), keys)
            return stored if turn is None else turn.seen(generation, keys, stored)

    def _generation(self, table: str, *, fresh: bool = False) -> str:
        """Which rows a table is."""
        if self._turn is not None:
            found: str | None = self._turn.marks.get(_table(table))
        else:
            found = None if fresh else self._generations.get(table)
            if found is None:
                told = self._reading.client.hget(self.wire.keys.marks, _table(table))
                found = None if told is None else told.decode()
        if found is None:
            self._generations.pop(table, None)
            raise self.wire.lost()
        if self._turn is None:
            self._generations[table] = found
        return found


def _mark(name: str) -> str:
    return f"m:{name}"


LIVE_FIELD = _mark(LIVE)


def _table(name: str) -> str:
    return f"t:{name}"


def _note(kind: str, table: str, key: bytes) -> bytes:
    return f"{kind}\0{table}\0".encode() + key
