"""The ledger: which experiments run, since when, with which buckets, and who did what; SQLite, one writer after the other.

A declaration is a draft until it is started; from then on the ledger holds what was declared, under its digest. Whoever moves
an experiment says which state of it they saw (its ``revision``): of two people only one is first.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.running.buckets import Range
from tailorbird.experiments.running.entries import (
    SCHEMA,
    Entry,
    State,
    StateError,
    Unread,
    all_of,
    entries_of,
    entry_in,
    entry_of,
    found_of,
    held_in,
    require_in,
    step,
    stepped,
)
from tailorbird.experiments.running.renewals import SCHEMA as _RENEWALS
from tailorbird.experiments.running.renewals import (
    Folded,
    Renewal,
    folded_of,
    put_folded,
    put_renewal,
    renewals_of,
)
from tailorbird.experiments.running.slots import resized
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.turns import take_turn

LEDGER_FILE = "experiments.db"
WAIT_SECONDS = 20.0


class LedgerAwayError(TailorbirdError):
    """The ledger cannot be read or written at present."""


class Ledger:
    """The ledger of a workspace, opened for each use."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_FILE

    def all(self, *, state: State | None = None) -> list[Entry | Unread]:
        """Everything that was ever started, or what is in one state, in the order it was started."""
        with self._reading() as connection:
            return [] if connection is None else all_of(connection, state=state)

    def entries(self, *, state: State | None = None) -> list[Entry]:
        """Of all that can be read."""
        return [each for each in self.all(state=state) if isinstance(each, Entry)]

    def find(self, key: str) -> Entry | Unread | None:
        """One experiment; None where it was never started."""
        with self._reading() as connection:
            return None if connection is None else found_of(connection, key)

    def get(self, key: str) -> Entry | None:
        """One experiment; None where it was never started. Raises UsageError where it cannot be read any more."""
        with self._reading() as connection:
            return None if connection is None else entry_of(connection, key)

    def start(
        self,
        experiment: Experiment,
        declared: Mapping[str, Any],
        *,
        at: float,
        who: str,
        reason: str = "",
        agree: Callable[[Sequence[Entry]], UsageError | None] = lambda running: None,
    ) -> Entry:
        """Let a draft run with its declared share of its layer; ``agree`` looks at what runs, while nobody else can start.

        Raises:
            StateError: it was started before.
            UsageError: there is no room in its layer, or ``agree`` refuses.
        """
        with self._writing() as connection:
            before = entry_of(connection, experiment.key)
            if before is not None:
                first = before.steps[0]
                raise StateError(
                    f"experiment {experiment.key!r} was started before, by {first.who}: it is {before.state}",
                    remedy="an experiment runs once: give a new one a key of its own",
                )
            running = entries_of(connection, state="running")
            if refused := agree(running):
                raise refused
            others = held_in(connection, experiment.layer)
            held = resized((), experiment.share, others=others, layer=experiment.layer)
            connection.execute(
                "INSERT INTO experiments VALUES (?, 'running', 1, ?, ?, ?, ?, ?, NULL, NULL, '')",
                (
                    experiment.key,
                    experiment.layer,
                    json.dumps(declared, default=str),
                    experiment.digest,
                    json.dumps(held),
                    at,
                ),
            )
            return stepped(connection, experiment.key, at=at, who=who, did="start", reason=reason)

    def ramp(
        self, key: str, share: float, *, at: float, who: str, revision: int | None = None, reason: str = ""
    ) -> Entry:
        """Give a running experiment another share of its layer. Raises StateError, UsageError without room."""
        with self._writing() as connection:
            entry = entry_in(connection, key, states=("running",), revision=revision)
            held = _with_share(connection, entry, share)
            connection.execute(
                "UPDATE experiments SET buckets = ?, revision = revision + 1 WHERE key = ?",
                (json.dumps(held), key),
            )
            return stepped(connection, key, at=at, who=who, did="ramp", reason=reason)

    def held(self, layer: str, *, but: str) -> list[Range]:
        """The buckets that what runs in a layer besides ``but`` holds, readable or not. Raises UsageError where these cannot be read."""
        with self._reading() as connection:
            return [] if connection is None else held_in(connection, layer, but=but)

    def require_room(self, entry: Entry, share: float) -> None:
        """Raise UsageError where a running experiment cannot have so much of its layer."""
        with self._reading() as connection:
            if connection is not None:
                _with_share(connection, entry, share)

    def require_running(self, key: str, *, revision: int | None) -> None:
        """Raise StateError where an experiment, readable or not, does not run or was moved since it was seen."""
        with self._reading() as connection:
            if connection is not None:
                require_in(connection, key, states=("running",), revision=revision)

    def stop(
        self, key: str, *, at: float, who: str, revision: int | None = None, reason: str = ""
    ) -> Entry | Unread:
        """End a running experiment, readable or not: the champion answers everybody, its buckets are free. Raises StateError."""
        with self._writing() as connection:
            require_in(connection, key, states=("running",), revision=revision)
            connection.execute(
                "UPDATE experiments SET state = 'stopped', stopped = ?, revision = revision + 1 WHERE key = ?",
                (at, key),
            )
            step(connection, key, at=at, who=who, did="stop", reason=reason)
            found = found_of(connection, key)
            assert found is not None
            return found

    def decide(
        self, key: str, verdict: str, *, at: float, who: str, revision: int | None = None, reason: str = ""
    ) -> Entry:
        """Write down what a stopped experiment says. Raises StateError."""
        with self._writing() as connection:
            entry_in(connection, key, states=("stopped",), revision=revision)
            connection.execute(
                "UPDATE experiments SET state = 'decided', decided = ?, verdict = ?, revision = revision + 1 WHERE key = ?",
                (at, verdict, key),
            )
            return stepped(connection, key, at=at, who=who, did="decide", reason=reason)

    def renew(self, key: str, renewal: Renewal, folded: Folded | None = None) -> Entry:
        """Give a running bandit its next allocation, and keep what is ``folded``. Raises StateError: it does not run, or somebody was first."""
        with self._writing() as connection:
            entry = entry_in(connection, key, states=("running",), revision=None)
            last = entry.renewal.number if entry.renewal else 0
            if entry.experiment.bandit is None or renewal.number != last + 1:
                raise StateError(
                    f"renewal {renewal.number} of {key!r} follows {last}: somebody renewed it meanwhile",
                    remedy="look at it again: its next renewal is due later",
                )
            put_renewal(connection, key, renewal)
            if folded is not None:
                put_folded(connection, key, folded)
            found = entry_of(connection, key)
            assert found is not None
            return found

    def folded(self, key: str) -> Folded | None:
        """What is counted for good of a bandit; None where nothing is."""
        with self._reading() as connection:
            return None if connection is None else folded_of(connection, key)

    def renewals(self, key: str, *, since: int = 0) -> list[Renewal]:
        """All renewals of a bandit from number ``since`` on, in their order; none of what is no bandit."""
        with self._reading() as connection:
            entry = None if connection is None else entry_of(connection, key)
            if connection is None or entry is None or entry.experiment.bandit is None:
                return []
            return renewals_of(connection, key, since=since)

    def stamp(self) -> object:
        """Changes with every write."""
        stamps: list[tuple[int, int, int] | None] = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            try:
                status = path.stat()
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if not self.path.exists():
            yield None
            return
        with self._opened(remedy="restore it from a copy, or look whether the disk is there") as connection:
            # Whoever was killed while making it left a file without tables: nothing was started in it.
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'steps_of'").fetchone()
            yield connection if made else None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite waits for nobody where two make a database, or turn to its log of writes, at once.
        turn = alone(self.path.with_name(f".{self.path.name}.lock"))
        with turn, self._opened(remedy="free the disk, or end the program that holds the file") as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA + _RENEWALS)
            take_turn(connection, wait_seconds=WAIT_SECONDS)
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _opened(self, *, remedy: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise LedgerAwayError(f"{self.path} cannot be used: {error}", remedy=remedy) from error


def _with_share(connection: sqlite3.Connection, entry: Entry, share: float) -> tuple[Range, ...]:
    """The buckets that an experiment holds with another share. Raises UsageError without room."""
    layer = entry.experiment.layer
    return resized(entry.buckets, share, others=held_in(connection, layer, but=entry.key), layer=layer)
