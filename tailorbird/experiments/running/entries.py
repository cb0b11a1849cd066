"""Entries of the ledger: an experiment that was started, how it stands, what was done to it; and the rows that hold them."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tailorbird.errors import UsageError
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.running.buckets import Range
from tailorbird.experiments.running.renewals import Renewal, last_renewal
from tailorbird.experiments.running.slots import share_of

State = Literal["running", "stopped", "decided"]
STATES: tuple[str, ...] = get_args(State)
DRAFT = "draft"
"""The state of what is declared and was never started."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS experiments (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, revision INTEGER NOT NULL, layer TEXT NOT NULL, declared TEXT NOT NULL,
    digest TEXT NOT NULL, buckets TEXT NOT NULL, started REAL NOT NULL, stopped REAL, decided REAL, verdict TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, did TEXT NOT NULL, share REAL NOT NULL,
    reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS steps_of ON steps (key, number);
"""


class StateError(UsageError):
    """The experiment is not in the state that was believed: somebody was first, or it never could."""


@dataclass(frozen=True)
class Step:
    """One thing that was done: ``did`` is start, ramp, stop or decide; ``share`` is what the experiment had afterwards."""

    number: int
    at: float
    who: str
    did: str
    share: float
    reason: str


@dataclass(frozen=True)
class Entry:
    """One experiment that was started: what was declared then, and how it stands. Instants are epoch seconds."""

    experiment: Experiment
    state: State
    revision: int
    buckets: tuple[Range, ...]
    started: float
    stopped: float | None
    decided: float | None
    verdict: str
    declared: Mapping[str, Any] = field(repr=False, hash=False)
    """The declaration as it was parsed."""
    steps: tuple[Step, ...] = ()
    renewal: Renewal | None = None
    """Of a bandit the allocation that holds; None before the first renewal."""

    @property
    def key(self) -> str:
        """Names the experiment."""
        return self.experiment.key

    @property
    def share(self) -> float:
        """The part of its layer that it holds."""
        return share_of(self.buckets)


_COLUMNS = "key, state, revision, declared, buckets, started, stopped, decided, verdict"


def entries_of(connection: sqlite3.Connection, *, state: State | None) -> list[Entry]:
    """Everything that was ever started, or what is in one state, in the order it was started."""
    where, given = ("WHERE state = ?", (state,)) if state else ("", ())
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM experiments {where} ORDER BY started, key",  # noqa: S608
        given,
    ).fetchall()
    return [_read(connection, row) for row in rows]


def entry_of(connection: sqlite3.Connection, key: str) -> Entry | None:
    """One experiment; None where it was never started."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM experiments WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else _read(connection, row)


def _read(connection: sqlite3.Connection, row: Sequence[Any]) -> Entry:
    key, state, revision, declared, buckets, started, stopped, decided, verdict = row
    values = json.loads(declared)
    steps = connection.execute(
        "SELECT number, at, who, did, share, reason FROM steps WHERE key = ? ORDER BY number", (key,)
    ).fetchall()
    experiment = experiment_of(key, values, where=f"experiments.db, {key}")
    return Entry(
        experiment,
        state,
        revision,
        tuple(Range(*each) for each in json.loads(buckets)),
        started,
        stopped,
        decided,
        verdict,
        declared=values,
        steps=tuple(Step(*each) for each in steps),
        # A ledger from before there were bandits has no such table, and no bandit.
        renewal=last_renewal(connection, key) if experiment.bandit is not None else None,
    )


def entry_in(
    connection: sqlite3.Connection, key: str, *, states: Sequence[str], revision: int | None
) -> Entry:
    """The experiment, where it is in one of ``states`` and as it was seen. Raises StateError."""
    entry = entry_of(connection, key)
    if entry is None:
        raise StateError(
            f"experiment {key!r} was never started", remedy=f"`tailorbird experiment start {key}` does"
        )
    if entry.state not in states:
        last = entry.steps[-1]
        raise StateError(
            f"experiment {key!r} is {entry.state}, not {' or '.join(states)}: {last.who} did {last.did} last",
            remedy="`tailorbird experiment list` says how each stands",
        )
    require_seen(entry, revision)
    return entry


def stepped(connection: sqlite3.Connection, key: str, *, at: float, who: str, did: str, reason: str) -> Entry:
    """Write down what was done; the experiment afterwards."""
    entry = entry_of(connection, key)
    assert entry is not None
    connection.execute(
        "INSERT INTO steps (key, at, who, did, share, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (key, at, who, did, entry.share if entry.state == "running" else 0.0, reason),
    )
    found = entry_of(connection, key)
    assert found is not None
    return found


def require_seen(entry: Entry, revision: int | None) -> None:
    """Raise StateError where an experiment was moved since it was at ``revision``."""
    if revision is not None and revision != entry.revision:
        last = entry.steps[-1]
        raise StateError(
            f"experiment {entry.key!r} was changed since: {last.who} did {last.did} (revision {entry.revision}, not {revision})",
            remedy="look at it again, then say what is still wanted",
        )
