"""Entries of the ledger: an experiment that was started, how it stands, what was done to it; and the rows that hold them."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tailorbird.errors import TailorbirdError, UsageError
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


@dataclass(frozen=True)
class Unread:
    """What was started, and is declared in words that are not understood any more: it answers nobody, and keeps its buckets."""

    key: str
    state: State
    revision: int
    trouble: str
    remedy: str
    is_holdout: bool = False
    """Then nobody knows any more whom it holds."""

    def __str__(self) -> str:
        return f"{self.trouble}; {self.remedy}"


_COLUMNS = "key, state, revision, declared, buckets, started, stopped, decided, verdict"


def all_of(connection: sqlite3.Connection, *, state: State | None) -> list[Entry | Unread]:
    """Everything that was ever started, or what is in one state, in the order it was started."""
    where, given = ("WHERE state = ?", (state,)) if state else ("", ())
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM experiments {where} ORDER BY started, key",  # noqa: S608
        given,
    ).fetchall()
    return [_tried(connection, row) for row in rows]


def entries_of(connection: sqlite3.Connection, *, state: State | None) -> list[Entry]:
    """Of all that can be read."""
    return [each for each in all_of(connection, state=state) if isinstance(each, Entry)]


def found_of(connection: sqlite3.Connection, key: str) -> Entry | Unread | None:
    """One experiment; None where it was never started."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM experiments WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else _tried(connection, row)


def entry_of(connection: sqlite3.Connection, key: str) -> Entry | None:
    """One experiment; None where it was never started. Raises UsageError where it cannot be read."""
    found = found_of(connection, key)
    if isinstance(found, Unread):
        raise UsageError(found.trouble, remedy=found.remedy)
    return found


def held_in(connection: sqlite3.Connection, layer: str, *, but: str = "") -> list[Range]:
    """The buckets that what runs in a layer holds, also what cannot be read; without those of the experiment ``but``.

    Raises UsageError where it cannot be read which they are.
    """
    rows = connection.execute(
        "SELECT key, buckets FROM experiments WHERE state = 'running' AND layer = ? AND key <> ?",
        (layer, but),
    )
    found: list[Range] = []
    for key, held in rows:
        try:
            found += _ranges(held)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"which part of layer {layer!r} experiment {key!r} holds is not understood any more: {error}",
                remedy=f"`tailorbird experiment stop {key}` ends it; or use the version of tailorbird that it was started with",
            ) from error
    return found


def _ranges(held: str) -> tuple[Range, ...]:
    return tuple(Range(int(start), int(end)) for start, end in json.loads(held))


def _tried(connection: sqlite3.Connection, row: Sequence[Any]) -> Entry | Unread:
    try:
        return _read(connection, row)
    except (TailorbirdError, ValueError, TypeError) as error:
        key, state, revision, declared = row[:4]
        said = error.what if isinstance(error, TailorbirdError) else str(error)
        stop = f"`tailorbird experiment stop {key}` ends it; or " if state == "running" else ""
        return Unread(
            key,
            state,
            revision,
            f"experiment {key!r} was started, and what it declares is not understood any more: {said}",
            f"{stop}use the version of tailorbird that it was started with",
            is_holdout=_is_holdout(declared),
        )


def _is_holdout(declared: str) -> bool:
    try:
        values = json.loads(declared)
    except ValueError:
        return False
    return isinstance(values, dict) and values.get("kind") == "holdout"


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
        _ranges(buckets),
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
    require_in(connection, key, states=states, revision=revision)
    entry = entry_of(connection, key)
    assert entry is not None
    return entry


def require_in(
    connection: sqlite3.Connection, key: str, *, states: Sequence[str], revision: int | None
) -> None:
    """Raise StateError where an experiment, readable or not, is in none of ``states`` or was moved since it was seen."""
    row = connection.execute("SELECT state, revision FROM experiments WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise StateError(
            f"experiment {key!r} was never started", remedy=f"`tailorbird experiment start {key}` does"
        )
    state, now = row
    who, did = connection.execute(
        "SELECT who, did FROM steps WHERE key = ? ORDER BY number DESC LIMIT 1", (key,)
    ).fetchone()
    if state not in states:
        raise StateError(
            f"experiment {key!r} is {state}, not {' or '.join(states)}: {who} did {did} last",
            remedy="`tailorbird experiment list` says how each stands",
        )
    if revision is not None and revision != now:
        raise StateError(
            f"experiment {key!r} was changed since: {who} did {did} (revision {now}, not {revision})",
            remedy="look at it again, then say what is still wanted",
        )


def step(connection: sqlite3.Connection, key: str, *, at: float, who: str, did: str, reason: str) -> None:
    """Write down what was done to an experiment, readable or not."""
    state, held = connection.execute(
        "SELECT state, buckets FROM experiments WHERE key = ?", (key,)
    ).fetchone()
    share = share_of(_ranges(held)) if state == "running" else 0.0
    connection.execute(
        "INSERT INTO steps (key, at, who, did, share, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (key, at, who, did, share, reason),
    )


def stepped(connection: sqlite3.Connection, key: str, *, at: float, who: str, did: str, reason: str) -> Entry:
    """Write down what was done; the experiment afterwards."""
    step(connection, key, at=at, who=who, did=did, reason=reason)
    found = entry_of(connection, key)
    assert found is not None
    return found
