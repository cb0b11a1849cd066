"""The ledger of retraining: every round, how far it came, what each of its steps found, and how it ended."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tailorbird.streams.database import Database

LEDGER_FILE = "retraining.db"
STEPS = ("features", "train", "evaluate", "challenger", "canary", "decision")
"""In their order."""
WAIT_SECONDS = 10.0
_FORMAT = 1
_SCRIPT = """
CREATE TABLE rounds (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, began REAL NOT NULL, why TEXT NOT NULL, step TEXT NOT NULL,
    facts TEXT NOT NULL, holder TEXT NOT NULL, trouble TEXT NOT NULL, ended REAL, outcome TEXT NOT NULL, words TEXT NOT NULL
);
CREATE TABLE steps (
    number INTEGER PRIMARY KEY, round INTEGER NOT NULL, step TEXT NOT NULL, at REAL NOT NULL, seconds REAL NOT NULL,
    words TEXT NOT NULL
);
CREATE INDEX steps_of ON steps (round, number);
CREATE UNIQUE INDEX one_open ON rounds (ended IS NULL) WHERE ended IS NULL
"""


@dataclass(frozen=True)
class Taken:
    """A step that is done: when it was, how long it took at the last try, and what it found."""

    step: str
    at: float
    seconds: float
    words: str


@dataclass(frozen=True)
class Round:
    """One round; instants are epoch seconds.

    ``key`` marks the version that it registers; ``step`` is what comes next, "" once it is over, and ``facts`` what the
    steps before tell those after. ``holder`` is who worked on it last, ``trouble`` what stopped them.
    """

    number: int
    key: str
    began: float
    why: str
    step: str
    facts: Mapping[str, Any] = field(hash=False)
    holder: str
    trouble: str
    ended: float | None
    outcome: str
    words: str
    taken: Sequence[Taken] = ()


class Ledger:
    """The rounds of a workspace; any number of processes read, the one that holds the lock writes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_FILE
        self._opened: Database | None = None

    def rounds(self, *, last: int) -> list[Round]:
        """The newest rounds, the newest first."""
        if not self.path.exists():
            return []
        question = f"SELECT {_COLUMNS} FROM rounds ORDER BY number DESC LIMIT ?"  # noqa: S608
        return self._database().ask(
            lambda connection: [
                _read(connection, row) for row in connection.execute(question, (last,)).fetchall()
            ]
        )

    def unfinished(self) -> Round | None:
        """The round that is not over; there is one at most."""
        return next((each for each in self.rounds(last=1) if each.ended is None), None)

    def begin(self, *, why: str, at: float) -> Round:
        """A new round, or the one that is not over."""
        found = self.unfinished()
        if found is None:
            with self._database().transaction() as connection:
                connection.execute(
                    "INSERT INTO rounds (key, began, why, step, facts, holder, trouble, outcome, words)"
                    " VALUES (?, ?, ?, ?, '{}', '', '', '', '')",
                    (secrets.token_hex(8), at, why, STEPS[0]),
                )
            found = self.unfinished()
        assert found is not None
        return found

    def hold(self, number: int, *, holder: str) -> None:
        """Somebody works on a round from now on."""
        self._change(number, "holder = ?, trouble = ''", holder)

    def stopped(self, number: int, *, trouble: str) -> None:
        """Whoever worked on a round stopped in its midst."""
        self._change(number, "trouble = ?", trouble)

    def done(self, number: int, taken: Taken, *, facts: Mapping[str, Any], outcome: str = "") -> Round:
        """A step is done; what it found and the next step, or with ``outcome`` the end of the round, in one write."""
        step = "" if outcome else STEPS[STEPS.index(taken.step) + 1]
        with self._database().transaction() as connection:
            connection.execute(
                "INSERT INTO steps (round, step, at, seconds, words) VALUES (?, ?, ?, ?, ?)",
                (number, taken.step, taken.at, taken.seconds, taken.words),
            )
            connection.execute(
                "UPDATE rounds SET step = ?, facts = json_patch(facts, ?) WHERE number = ?",
                (step, json.dumps(dict(facts)), number),
            )
            if outcome:
                connection.execute(
                    "UPDATE rounds SET ended = ?, outcome = ?, words = ? WHERE number = ?",
                    (taken.at, outcome, taken.words, number),
                )
        return self._round(number)

    def close(self) -> None:
        """Release the file."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _round(self, number: int) -> Round:
        question = f"SELECT {_COLUMNS} FROM rounds WHERE number = ?"  # noqa: S608
        return self._database().ask(
            lambda connection: _read(connection, connection.execute(question, (number,)).fetchone())
        )

    def _change(self, number: int, what: str, value: str) -> None:
        with self._database().transaction() as connection:
            connection.execute(f"UPDATE rounds SET {what} WHERE number = ?", (value, number))  # noqa: S608

    def _database(self) -> Database:
        if self._opened is None:
            opened = Database(self.path, name="retraining", durable=True, wait_seconds=WAIT_SECONDS)
            opened.create(_SCRIPT, version=_FORMAT)
            self._opened = opened
        return self._opened


_COLUMNS = "number, key, began, why, step, facts, holder, trouble, ended, outcome, words"


def _read(connection: Any, row: Sequence[Any]) -> Round:
    number, key, began, why, step, facts, holder, trouble, ended, outcome, words = row
    taken = connection.execute(
        "SELECT step, at, seconds, words FROM steps WHERE round = ? ORDER BY number", (number,)
    ).fetchall()
    return Round(
        number,
        key,
        began,
        why,
        step,
        json.loads(facts),
        holder,
        trouble,
        ended,
        outcome,
        words,
        taken=tuple(Taken(*each) for each in taken),
    )
