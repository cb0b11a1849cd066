"""What was added up of shadows: one small database of a workspace, to which every replica adds; numbers of nobody."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tailorbird.errors import TailorbirdError
from tailorbird.experiments.shadow.comparing import Sums
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.turns import take_turn

TALLIES_FILE = "shadows.db"
GROUPS = 20
"""People fall into so many groups, by hash: answers to one person are alike, so that groups say how sure a figure is."""
DROPPED = "dropped"
"""Under which name the questions are counted that a shadow was too busy for."""
WAIT_SECONDS = 20.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tallies (
    experiment TEXT NOT NULL, part INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (experiment, part, name)
) WITHOUT ROWID"""


class Tally(NamedTuple):
    """What an experiment's shadow did so far: ``sums`` (groups, len(Sums)) in the order of Sums, and the questions that were ``dropped``."""

    sums: np.ndarray
    dropped: int


class Tallies:
    """Adds to what is there; what cannot be added is told to whoever adds."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / TALLIES_FILE

    def add(self, sums: Mapping[tuple[str, int], Sums], dropped: Mapping[str, int]) -> None:
        """Add sums by experiment and group, and dropped questions by experiment. Raises TailorbirdError; then nothing was added."""
        rows = [
            (experiment, group, name, value)
            for (experiment, group), added in sums.items()
            for name, value in zip(Sums._fields, added, strict=True)
            if value
        ]
        rows += [(experiment, 0, DROPPED, float(count)) for experiment, count in dropped.items() if count]
        if not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite waits for nobody where two make a database, or turn to its log of writes, at once.
        with alone(self.path.with_name(f".{self.path.name}.lock")), self._opened() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_SCHEMA)
            take_turn(connection, wait_seconds=WAIT_SECONDS)
            try:
                connection.executemany(
                    "INSERT INTO tallies VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                    rows,
                )
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def of(self, experiment: str) -> Tally:
        """Everything of one experiment so far; zeros where nothing is. Raises TailorbirdError."""
        sums, dropped = np.zeros((GROUPS, len(Sums._fields))), 0
        if not self.path.exists():  # reading makes nothing
            return Tally(sums, dropped)
        with self._opened() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tallies'").fetchone():
                return Tally(sums, dropped)  # somebody is about to make it
            rows = connection.execute(
                "SELECT part, name, value FROM tallies WHERE experiment = ?", (experiment,)
            ).fetchall()
        for part, name, value in rows:
            if name == DROPPED:
                dropped += int(value)
            else:
                sums[part, Sums._fields.index(name)] += value
        return Tally(sums, dropped)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            ) as connection:
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise TailorbirdError(
                f"{self.path} cannot be used: {error}",
                remedy="free the disk, or end the program that holds the file",
            ) from error
