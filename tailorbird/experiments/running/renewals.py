"""Renewals of bandits in the ledger: which allocation holds since when, computed from which counts; lines are only ever added."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Allocations = tuple[tuple[float, ...], ...]
"""(cells, variants) the part of each variant in each context; every line adds up to 1."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS folded (key TEXT PRIMARY KEY, periods INTEGER NOT NULL, counted TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS renewals (
    key TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, allocations TEXT NOT NULL,
    counted TEXT NOT NULL, PRIMARY KEY (key, number));
"""
COUNTS_KEPT = 30
"""Of so many renewals, the last ones, the ledger has the counts; of those before how many units there were."""


@dataclass(frozen=True)
class Folded:
    """What was counted of the first ``periods`` of a bandit, which nothing is added to any more; the last renewal's alone is kept."""

    periods: int
    counted: Mapping[str, Any] = field(repr=False, hash=False)


@dataclass(frozen=True)
class Renewal:
    """One renewal, numbered from 1 on; number 0, the start, has the declared weights and stands in no line."""

    number: int
    at: float
    who: str
    allocations: Allocations
    counted: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """What the policy was told: the same gives the same allocations."""


def put_renewal(connection: sqlite3.Connection, key: str, renewal: Renewal) -> None:
    """Add a line. Raises sqlite3.IntegrityError where the number is there already."""
    connection.execute(
        "INSERT INTO renewals VALUES (?, ?, ?, ?, ?, ?)",
        (
            key,
            renewal.number,
            renewal.at,
            renewal.who,
            json.dumps(renewal.allocations),
            json.dumps(renewal.counted),
        ),
    )
    connection.execute(
        "UPDATE renewals SET counted = json_object('periods', json_extract(counted, '$.periods'), 'units',"
        " json_extract(counted, '$.units')) WHERE key = ? AND number = ?",
        (key, renewal.number - COUNTS_KEPT),
    )


def put_folded(connection: sqlite3.Connection, key: str, folded: Folded) -> None:
    """Keep it instead of what was kept before."""
    connection.execute(
        "INSERT OR REPLACE INTO folded VALUES (?, ?, ?)", (key, folded.periods, json.dumps(folded.counted))
    )


def folded_of(connection: sqlite3.Connection, key: str) -> Folded | None:
    """What is kept; None where no period is over yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'folded'").fetchone():
        return None  # a ledger of before
    row = connection.execute("SELECT periods, counted FROM folded WHERE key = ?", (key,)).fetchone()
    return None if row is None else Folded(row[0], json.loads(row[1]))


def renewals_of(connection: sqlite3.Connection, key: str, *, since: int = 0) -> list[Renewal]:
    """All of an experiment from number ``since`` on, the first one first."""
    rows = connection.execute(
        f"{_SELECT} WHERE key = ? AND number >= ? ORDER BY number", (key, since)
    ).fetchall()
    return [_read(row) for row in rows]


def last_renewal(connection: sqlite3.Connection, key: str) -> Renewal | None:
    """The one that holds now; None before the first."""
    row = connection.execute(f"{_SELECT} WHERE key = ? ORDER BY number DESC LIMIT 1", (key,)).fetchone()
    return None if row is None else _read(row)


_SELECT = "SELECT number, at, who, allocations, counted FROM renewals"


def _read(row: Sequence[Any]) -> Renewal:
    number, at, who, allocations, counted = row
    return Renewal(
        number, at, who, tuple(tuple(each) for each in json.loads(allocations)), json.loads(counted)
    )
