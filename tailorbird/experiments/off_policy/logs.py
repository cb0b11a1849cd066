"""Two logs of choices over the same actions and positions: one with propensities and rewards, the target's with its choices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.errors import UsageError
from tailorbird.experiments.reading.columns import numbers, read_columns

MOST_PAIRS = 20_000_000
"""Positions times actions: the policies are kept as tables."""


@dataclass(frozen=True)
class Columns:
    """What the columns of both logs are called."""

    action: str
    propensity: str
    reward: str
    position: str | None = None


@dataclass(frozen=True)
class Log:
    """Logged choices: ``actions`` and ``positions`` (n,) as codes, the ``propensity`` (n,) of each, the ``reward`` (n,) of each."""

    actions: np.ndarray
    positions: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray


@dataclass(frozen=True)
class Target:
    """What another policy chose: ``counts`` (positions, actions); its own ``reward`` (m,) where its log has it."""

    counts: np.ndarray
    reward: np.ndarray | None = None

    @property
    def policy(self) -> np.ndarray:
        """The chance of each action at each position (positions, actions), the frequencies of its log; 0 at positions it never had."""
        shown = self.counts.sum(axis=1, keepdims=True)
        return self.counts / np.maximum(shown, 1)

    @property
    def position_shares(self) -> np.ndarray:
        """How often its choices stand at each position (positions,)."""
        shares: np.ndarray = self.counts.sum(axis=1) / self.counts.sum()
        return shares


@dataclass(frozen=True)
class Logs:
    """Both logs with their codes' names; ``notes`` say what was left out."""

    log: Log
    target: Target
    action_names: list[str]
    position_names: list[str]
    notes: tuple[str, ...] = ()


def read_logs(log: Path, target: Path, columns: Columns) -> Logs:
    """Read both.

    Raises:
        UsageError: no such file or column, a propensity that is none, a log without rows, more pairs than ``MOST_PAIRS``.
    """
    keys = [name for name in (columns.action, columns.position) if name]
    logged = read_columns(log, [*keys, columns.propensity, columns.reward], texts=keys)
    chosen = _read_target(target, columns, keys)
    notes = []
    kept = _complete(logged, [*keys, columns.propensity, columns.reward], path=log)
    if len(kept) < len(logged):
        notes.append(f"{len(logged) - len(kept):,} rows of {log.name} lack a value and were left out")
    theirs = _complete(chosen, keys, path=target)
    if len(theirs) < len(chosen):
        notes.append(f"{len(chosen) - len(theirs):,} rows of {target.name} lack a value and were left out")
    actions, action_names = _codes(kept[columns.action], theirs[columns.action])
    if columns.position:
        positions, position_names = _codes(kept[columns.position], theirs[columns.position])
    else:
        positions, position_names = [np.zeros(len(kept), int), np.zeros(len(theirs), int)], [""]
    size = len(position_names) * len(action_names)
    if size > MOST_PAIRS:
        raise UsageError(
            f"{len(action_names):,} actions at {len(position_names):,} positions are too many to compare",
            remedy=f"{MOST_PAIRS:,} pairs at most: evaluate categories, or fewer positions",
        )
    counts = np.bincount(positions[1] * len(action_names) + actions[1], minlength=size)
    return Logs(
        Log(
            actions[0],
            positions[0],
            _propensities(numbers(kept[columns.propensity], name=columns.propensity), columns.propensity),
            numbers(kept[columns.reward], name=columns.reward),
        ),
        Target(
            counts.reshape(len(position_names), len(action_names)),
            _rewards(theirs, columns.reward),
        ),
        action_names,
        position_names,
        tuple(notes),
    )


def _read_target(path: Path, columns: Columns, keys: list[str]) -> pa.Table:
    """The target's choices, with its rewards where it has them: they are nothing but a check."""
    try:
        return read_columns(path, [*keys, columns.reward], texts=keys)
    except UsageError as error:
        if f"0 columns {columns.reward!r}" not in error.what:
            raise
        return read_columns(path, keys, texts=keys)


def _complete(rows: pa.Table, names: list[str], *, path: Path) -> pa.Table:
    there = pc.is_valid(rows[names[0]])
    for name in names[1:]:
        there = pc.and_(there, pc.is_valid(rows[name]))
        if pa.types.is_floating(rows[name].type):
            there = pc.and_(there, pc.invert(pc.is_nan(pc.fill_null(rows[name], float("nan")))))
    kept = rows.filter(there)
    if not len(kept):
        raise UsageError(f"{path} has no complete row", remedy=f"it needs values of {', '.join(names)}")
    return kept


def _codes(*columns: pa.ChunkedArray) -> tuple[list[np.ndarray], list[str]]:
    """Common codes of the values of several columns, in the order of their names."""
    texts = [pc.cast(each, pa.string()).to_numpy(zero_copy_only=False) for each in columns]
    names, codes = np.unique(np.concatenate(texts).astype(str), return_inverse=True)
    return np.split(codes, np.cumsum([len(each) for each in texts])[:-1]), names.tolist()


def _propensities(values: np.ndarray, name: str) -> np.ndarray:
    wrong = ~((values > 0) & (values <= 1))
    if wrong.any():
        raise UsageError(
            f"{name} holds {values[wrong][0]:g} and {int(wrong.sum()):,} such values",
            remedy="a propensity is the chance with which the log's policy made this choice: above 0, at most 1",
        )
    return values


def _rewards(rows: pa.Table, name: str) -> np.ndarray | None:
    if name not in rows.column_names:
        return None
    values = numbers(rows[name], name=name)
    known = values[np.isfinite(values)]
    return known if len(known) else None
