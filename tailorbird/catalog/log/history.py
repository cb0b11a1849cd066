"""What items were before: the values that a change replaced, each with the instant until which it held."""

import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tailorbird.catalog.log.log import Entry
from tailorbird.plumbing.disk import fsync

VERSIONED = ("categories", "brand", "price", "stock", "launched_at")
"""The columns of an item whose past values are kept: what features and filters are made of."""

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("valid_until", pa.int64()),  # epoch microseconds; from then on the next newer values hold
        ("categories", pa.list_(pa.string())),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("stock", pa.float64()),
        ("launched_at", pa.float64()),
    ]
)


def no_history() -> pd.DataFrame:
    """Nothing was ever changed: what is known now holds from the beginning."""
    return SCHEMA.empty_table().to_pandas()


def read_history(folder: Path) -> pd.DataFrame:
    """Every replaced version of the catalogue in ``folder``: columns of SCHEMA, by item and ``valid_until``."""
    parts = sorted((folder / "changes").glob("*.parquet"))
    if not parts:
        return no_history()
    frame = ds.dataset([str(part) for part in parts], schema=SCHEMA, format="parquet").to_table().to_pandas()
    frame["categories"] = [list(value) for value in frame["categories"]]
    return with_versions(no_history(), frame)


def with_versions(history: pd.DataFrame, added: pd.DataFrame) -> pd.DataFrame:
    """Both histories in order, each version once: a compaction that was killed and done again has written its own twice."""
    if history.empty or added.empty:
        frame = added if history.empty else history
    else:
        frame = pd.concat([history, added], ignore_index=True)
    frame = frame.drop_duplicates(["item_id", "valid_until"], keep="last")
    return frame.sort_values(["item_id", "valid_until"], kind="stable", ignore_index=True)


def append_history(folder: Path, replaced: pd.DataFrame) -> None:
    """Keep replaced versions (columns of SCHEMA) as one more file, whole and on the disk or not at all.

    Write them before the catalogue that replaces them: a crash in between leaves versions that end a little early and
    are followed by themselves, which says the same.
    """
    if replaced.empty:
        return
    target = folder / "changes"
    target.mkdir(parents=True, exist_ok=True)
    name = f"{int(replaced['valid_until'].max()):020d}-{uuid.uuid4().hex[:12]}.parquet"
    staged = target / f".{name}.{os.getpid()}.tmp"
    try:
        table = pa.Table.from_pandas(replaced[SCHEMA.names], schema=SCHEMA, preserve_index=False)
        pq.write_table(table, staged, compression="zstd")
        fsync(staged)
        staged.replace(target / name)
        fsync(target)
    finally:
        staged.unlink(missing_ok=True)


def replaced_by(old: pd.DataFrame, new: pd.DataFrame, *, now: float, history: pd.DataFrame) -> pd.DataFrame:
    """The versions that ``new`` items replace at ``now`` (epoch seconds); both have the catalogue's columns.

    Items that are new or equal replace nothing. A clock that was set back does not reorder versions: they end after every
    earlier one.
    """
    before, after = old.set_index("item_id"), new.set_index("item_id")
    both = before.index.intersection(after.index, sort=False)
    before, after = before.loc[both, list(VERSIONED)], after.loc[both, list(VERSIONED)]
    changed = np.zeros(len(both), bool)
    for name in VERSIONED:
        changed |= ~_equal(before[name], after[name])
    newest = int(history["valid_until"].max()) if len(history) else 0
    until = max(round(now * 1_000_000), newest + 1)
    return before[changed].reset_index().assign(valid_until=until)[SCHEMA.names]


def versions_of(items: pd.DataFrame, entries: Iterable[Entry]) -> pd.DataFrame:
    """The versions (columns of SCHEMA) that patches of the log replace, one after the other, in a table of items.

    The same items and patches give the same versions, so writing them twice says nothing new.
    """
    told = list(entries)
    known = items.loc[items["item_id"].isin({entry.patch.key for entry in told}), ["item_id", *VERSIONED]]
    held: dict[str, dict[Any, Any]] = {row["item_id"]: row for row in known.to_dict("records")}
    replaced = []
    for entry in told:
        before = held.get(entry.patch.key)
        said = {name: value for name, value in entry.patch.told.items() if name in VERSIONED}
        if before is None:  # new: from then on it is known, if only by its id
            held[entry.patch.key] = {"item_id": entry.patch.key, **dict.fromkeys(VERSIONED), **said}
        elif any(not _alike(before[name], value) for name, value in said.items()):
            replaced.append({**before, "valid_until": entry.instant})
            held[entry.patch.key] = {**before, **said}
    if not replaced:
        return no_history()
    frame = pd.DataFrame(replaced, columns=SCHEMA.names)
    frame["categories"] = [[] if value is None else list(value) for value in frame["categories"]]
    frame["brand"] = frame["brand"].fillna("")
    numbers = ["price", "stock", "launched_at"]
    return frame.astype(dict.fromkeys(numbers, float))


class Versions:
    """Finds which replaced version of a row held at an instant. Rows are positions in one catalogue.

    ``rows`` (m,) int64 and ``until`` (m,) int64 of the versions, ascending by (row, until).
    """

    def __init__(self, history: pd.DataFrame, rows: np.ndarray) -> None:
        known = np.flatnonzero(rows >= 0)
        until = history["valid_until"].to_numpy(np.int64)
        order = known[np.lexsort((until[known], rows[known]))]
        self.history = history.iloc[order].reset_index(drop=True)
        self.rows, self.until = rows[order].astype(np.int64), until[order]
        self._ends = np.unique(self.until)
        self._width = len(self._ends) + 1
        self._keys = self.rows * self._width + np.searchsorted(self._ends, self.until)

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, rows: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """(n,) int64 the version of each row at its instant (epoch microseconds); -1 where today's values held."""
        if not len(self):
            return np.full(len(rows), -1, np.int64)
        # The first version of the row that ended after the instant.
        place = np.searchsorted(
            self._keys, rows * self._width + np.searchsorted(self._ends, instants, side="right")
        )
        held = np.minimum(place, len(self) - 1)
        return np.where((place < len(self)) & (self.rows[held] == rows), held, -1)

    def numbers(self, name: str, current: np.ndarray, chosen: Sequence[int] | np.ndarray) -> np.ndarray:
        """``current`` (n,) values of a column with those of the versions ``chosen`` (n,) put in their place."""
        past = np.flatnonzero(np.asarray(chosen) >= 0)
        if not len(past):
            return current
        values = current.copy()
        values[past] = self.history[name].to_numpy()[np.asarray(chosen)[past]]
        return values


def _alike(one: Any, other: Any) -> bool:
    """Whether two values of one column say the same; None, NaN, "" and [] all say that nothing is known."""
    one, other = (
        list(value) if isinstance(value, list | tuple | np.ndarray) else value for value in (one, other)
    )
    nothing = [value is None or value in ("", []) or value != value for value in (one, other)]
    return all(nothing) or (not any(nothing) and bool(one == other))


def _equal(one: pd.Series, other: pd.Series) -> np.ndarray:
    if one.name == "categories":
        pairs = zip(one, other, strict=True)
        return np.fromiter((list(a) == list(b) for a, b in pairs), bool, len(one))
    same = (one == other) | (one.isna() & other.isna())
    return same.to_numpy(bool)
