"""Items and users as tables: what the platform knows of them apart from what they did."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tailorbird.catalog.files import ITEMS_FILE, ROWS_AT_ONCE, USERS_FILE, Stamp, read_table, write_table
from tailorbird.catalog.keys import by_key, stable_keys
from tailorbird.catalog.log.history import (
    VERSIONED,
    Versions,
    no_history,
    read_history,
    versions_of,
    with_versions,
)
from tailorbird.catalog.log.log import LOG_FILE, Entry, PatchLog, stamp_over
from tailorbird.catalog.log.told import DELETED, Kind, latest, with_told
from tailorbird.catalog.values import names_of, strings_of, texts_of

ITEM_COLUMNS = (
    "item_id",
    "title",
    "text",
    "categories",
    "brand",
    "price",
    "stock",
    "launched_at",
    "attributes",
    "deleted_at",
)
"""``categories`` is a list of strings, ``launched_at`` and ``deleted_at`` epoch seconds, ``attributes`` a JSON object.

An item that was deleted keeps its row and what is known of it, so that what people did with it keeps its meaning.
"""

WORDS = ("title", "text", "brand", "categories")
"""The columns that an item's place among texts comes from."""

USER_COLUMNS = ("user_id", "age", "gender", "country", "attributes")
"""``attributes`` is a JSON object; age in years."""


@dataclass(frozen=True)
class Catalog:
    """All items, one row each, in a fixed order that every matrix of a model follows.

    ``history`` holds the values that later ones replaced (columns of ``history.SCHEMA``); empty unless it was read.
    """

    items: pd.DataFrame  # columns ITEM_COLUMNS, RangeIndex
    history: pd.DataFrame = field(default_factory=no_history)
    stamp: Stamp | None = field(default=None, compare=False)
    """The table it was read from, with the last patch it holds; None where it was not read."""

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "Catalog":
        """Take any frame with ``item_id``; missing columns get their empty value, ids become strings."""
        items = pd.DataFrame({"item_id": names_of(frame["item_id"])})
        for column, empty in (("title", ""), ("text", ""), ("brand", "")):
            items[column] = texts_of(frame[column]) if column in frame else empty
        items["categories"] = (
            [strings_of(value) for value in frame["categories"]]
            if "categories" in frame
            else [[] for _ in range(len(frame))]
        )
        for column in ("price", "stock", "launched_at", DELETED):
            items[column] = (
                pd.to_numeric(frame[column], errors="coerce").astype(float).to_numpy()
                if column in frame
                else np.nan
            )
        items["attributes"] = texts_of(frame["attributes"]) if "attributes" in frame else "{}"
        items = items[list(ITEM_COLUMNS)]
        if len({item_id for item_id in items["item_id"]}) < len(items):  # noqa: C416 - lets other threads run
            items = items.drop_duplicates("item_id", keep="last").reset_index(drop=True)
        return cls(items)

    @classmethod
    def of_ids(cls, item_ids: Iterable[str]) -> "Catalog":
        """Make a catalogue of bare ids, for data that has no item table."""
        return cls.from_frame(pd.DataFrame({"item_id": list(item_ids)}, dtype=str))

    @classmethod
    def read(cls, folder: Path) -> "Catalog":
        """Read the items of ``folder`` as they are now: ``items.parquet`` and the patches told since."""
        stored = cls.read_stored(folder)
        entries = told_since(folder, stored.stamp, "item")
        return stored.after(entries) if entries else stored

    @classmethod
    def read_stored(cls, folder: Path) -> "Catalog":
        """Read ``items.parquet`` of ``folder`` alone, without the patches told since: for whoever replaces it."""
        frame, stamp = read_table(folder / ITEMS_FILE)
        return replace(cls.from_frame(frame), stamp=stamp)

    @classmethod
    def read_with_history(cls, folder: Path) -> "Catalog":
        """Read the items of ``folder`` and what they were before: for whoever asks for an instant of the past."""
        stored = cls.read_stored(folder)  # first: a writer keeps what it replaces before it replaces it
        entries = told_since(folder, stored.stamp, "item")
        stored = replace(stored, history=read_history(folder))
        return stored.after(entries) if entries else stored

    def after(self, entries: Sequence[Entry]) -> "Catalog":
        """The items after ``entries`` of the log, in their order, and what these replaced in the history."""
        told = latest((entry.patch.key, entry.patch.told) for entry in entries)
        history = with_versions(self.history, versions_of(self.items, entries))
        return Catalog(with_told(self.items, told, key="item_id"), history, self.stamp)

    def write(self, folder: Path) -> None:
        """Write ``items.parquet`` into ``folder``: these items as a whole take the place of those that were there."""
        write_table(self.items, folder / ITEMS_FILE, stamp=stamp_over(folder))

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def item_ids(self) -> np.ndarray:
        """(n_items,) ids as objects; an item's position here is its row everywhere."""
        return self.items["item_id"].to_numpy(dtype=object)

    def deleted(self, now: float) -> np.ndarray:
        """(m,) rows of the items that were deleted by ``now`` (epoch seconds)."""
        rows, instants = self._deletions
        return rows if not len(rows) else rows[instants <= now]

    @cached_property
    def _deletions(self) -> tuple[np.ndarray, np.ndarray]:
        instants = self.numbers(DELETED)
        rows = np.flatnonzero(np.isfinite(instants))
        return rows, instants[rows]

    @cached_property
    def launches(self) -> np.ndarray:
        """(n_items,) float64 epoch seconds from which on an item may be shown, NaN where that is not known."""
        return self.numbers("launched_at")

    def as_of(self, instant: float) -> "Catalog":
        """The same rows with the values that held at ``instant`` (epoch seconds); self where nothing has changed since.

        An item's oldest known values hold from the beginning.
        """
        chosen = self.versions_at(instant)
        if not (chosen >= 0).any():
            return self
        items = self.items.assign(
            **{name: self.versions.numbers(name, self.items[name].to_numpy(), chosen) for name in VERSIONED}
        )
        past = replace(self, items=items)
        past.__dict__["item_ids"] = self.item_ids
        past.__dict__["row_of"] = self.row_of
        return past

    def versions_at(self, instant: float) -> np.ndarray:
        """(n_items,) int64 which of ``versions`` held at ``instant`` (epoch seconds); -1 where today's values did."""
        micros = np.full(len(self), round(instant * 1_000_000), np.int64)
        return self.versions.at(np.arange(len(self)), micros)

    @cached_property
    def versions(self) -> Versions:
        """The history by rows of this catalogue."""
        return Versions(self.history, self.rows(self.history["item_id"]))

    def with_history_of(self, other: "Catalog") -> "Catalog":
        """These items with the past that ``other`` knows: a bundle's catalogue has none of its own."""
        return replace(self, history=other.history)

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Map an item id to its row."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def texts(self) -> list[str]:
        """One text per item: title, text, categories and brand, ready for TF-IDF."""
        return [
            " ".join(part for part in (title, text, " ".join(categories), brand) if part)
            for title, text, categories, brand in zip(
                self.items["title"],
                self.items["text"],
                self.items["categories"],
                self.items["brand"],
                strict=True,
            )
        ]

    def some(self, rows: np.ndarray) -> pd.DataFrame:
        """The table of the items ``rows`` (c,) alone, in that order."""
        return self.items.iloc[rows].reset_index(drop=True)

    def parts(self, columns: Sequence[str] = ITEM_COLUMNS) -> Iterator["Catalog"]:
        """The items piece by piece, in their order; of other ``columns`` the pieces may know nothing."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield Catalog(self.items[[*columns]].iloc[start : start + ROWS_AT_ONCE].reset_index(drop=True))

    def numbers(self, name: str) -> np.ndarray:
        """(n_items,) float64 a column of numbers."""
        return self.items[name].to_numpy(float)

    def value(self, name: str, row: int) -> Any:
        """What one item has in a column."""
        return self.items[name].iat[row]

    def word_keys(self, rows: np.ndarray) -> np.ndarray:
        """(c,) int64 keys of what ``rows`` (c,) say of themselves: equal where no word differs."""
        columns = [self.items[name].to_numpy(object)[rows] for name in WORDS]
        return stable_keys(
            "\x1f".join((title, text, brand, *categories))
            for title, text, brand, categories in zip(*columns, strict=True)
        )

    @cached_property
    def by_key(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_items,) int64 keys of the ids, ascending, and (n_items,) int64 the rows that they belong to."""
        return by_key(stable_keys(self.item_ids))

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """(n,) int32 rows of ``item_ids``; -1 where an id is unknown."""
        return np.fromiter((self.row_of.get(item_id, -1) for item_id in item_ids), dtype=np.int32)


@dataclass(frozen=True)
class Users:
    """What people told us of themselves: demographics, one row a user."""

    users: pd.DataFrame  # columns USER_COLUMNS
    stamp: Stamp | None = field(default=None, compare=False)
    """The table they were read from; None where they were not read."""

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "Users":
        """Take any frame with ``user_id``; missing columns get their empty value."""
        users = pd.DataFrame({"user_id": frame["user_id"].astype(str).to_numpy()})
        users["age"] = (
            pd.to_numeric(frame["age"], errors="coerce").astype(float).to_numpy()
            if "age" in frame
            else np.nan
        )
        for column, empty in (("gender", ""), ("country", ""), ("attributes", "{}")):
            users[column] = texts_of(frame[column]) if column in frame else empty
        return cls(users[list(USER_COLUMNS)].drop_duplicates("user_id", keep="last").reset_index(drop=True))

    @classmethod
    def read(cls, folder: Path) -> "Users":
        """Read the users of ``folder`` as they are now; no file and no patch mean no demographics."""
        stored = cls.read_stored(folder)
        told = latest(
            (entry.patch.key, entry.patch.told) for entry in told_since(folder, stored.stamp, "user")
        )
        return Users(with_told(stored.users, told, key="user_id"), stored.stamp) if told else stored

    @classmethod
    def read_stored(cls, folder: Path) -> "Users":
        """Read ``users.parquet`` of ``folder`` alone, without the patches told since."""
        try:
            frame, stamp = read_table(folder / USERS_FILE)
        except FileNotFoundError:
            frame, stamp = pd.DataFrame({"user_id": []}), Stamp()
        return replace(cls.from_frame(frame), stamp=stamp)

    def write(self, folder: Path) -> None:
        """Write ``users.parquet`` into ``folder``."""
        write_table(self.users, folder / USERS_FILE, stamp=stamp_over(folder))


def told_since(folder: Path, stamp: Stamp | None, kind: Kind) -> list[Entry]:
    """The patches of one kind that the log holds and a table does not; none where there is no log."""
    path = folder / LOG_FILE
    if stamp is None or not path.exists():
        return []
    with closing(PatchLog(path)) as log:
        return [entry for entry in log.all_after(stamp.held(log.name)) if entry.patch.kind == kind]
