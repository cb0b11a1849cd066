"""Items and users as tables: what the platform knows of them apart from what they did."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.catalog.history import VERSIONED, Versions, no_history, read_history

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
)
"""``categories`` is a list of strings, ``launched_at`` epoch seconds, ``attributes`` a JSON object of numbers."""

USER_COLUMNS = ("user_id", "age", "gender", "country", "attributes")
"""``attributes`` is a JSON object; age in years."""


@dataclass(frozen=True)
class Catalog:
    """All items, one row each, in a fixed order that every matrix of a model follows.

    ``history`` holds the values that later ones replaced (columns of ``history.SCHEMA``); empty unless it was read.
    """

    items: pd.DataFrame  # columns ITEM_COLUMNS, RangeIndex
    history: pd.DataFrame = field(default_factory=no_history)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "Catalog":
        """Take any frame with ``item_id``; missing columns get their empty value, ids become strings."""
        items = pd.DataFrame({"item_id": frame["item_id"].astype(str).to_numpy()})
        for column, empty in (("title", ""), ("text", ""), ("brand", "")):
            items[column] = _text(frame[column]) if column in frame else empty
        items["categories"] = (
            [_strings(value) for value in frame["categories"]]
            if "categories" in frame
            else [[] for _ in range(len(frame))]
        )
        for column in ("price", "stock", "launched_at"):
            items[column] = (
                pd.to_numeric(frame[column], errors="coerce").astype(float).to_numpy()
                if column in frame
                else np.nan
            )
        items["attributes"] = _text(frame["attributes"]) if "attributes" in frame else "{}"
        return cls(items[list(ITEM_COLUMNS)].drop_duplicates("item_id", keep="last").reset_index(drop=True))

    @classmethod
    def of_ids(cls, item_ids: Iterable[str]) -> "Catalog":
        """Make a catalogue of bare ids, for data that has no item table."""
        return cls.from_frame(pd.DataFrame({"item_id": list(item_ids)}, dtype=str))

    @classmethod
    def read(cls, folder: Path) -> "Catalog":
        """Read ``items.parquet`` of ``folder``: the items as they are now."""
        return cls.from_frame(pd.read_parquet(folder / "items.parquet"))

    @classmethod
    def read_with_history(cls, folder: Path) -> "Catalog":
        """Read the items of ``folder`` and what they were before: for whoever asks for an instant of the past."""
        current = cls.read(folder)  # first: a writer keeps what it replaces before it replaces it
        return replace(current, history=read_history(folder))

    def write(self, folder: Path) -> None:
        """Write ``items.parquet`` into ``folder``."""
        _write_whole(self.items, folder / "items.parquet")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def item_ids(self) -> np.ndarray:
        """(n_items,) ids as objects; an item's position here is its row everywhere."""
        return self.items["item_id"].to_numpy(dtype=object)

    def unlaunched(self, now: float) -> np.ndarray:
        """(m,) rows of the items that are known to be launched after ``now`` (epoch seconds)."""
        launches, latest = self._launches
        return np.flatnonzero(launches > now) if now < latest else np.zeros(0, np.int64)

    @cached_property
    def _launches(self) -> tuple[np.ndarray, float]:
        launches = self.items["launched_at"].to_numpy(float)
        return launches, float(np.nanmax(launches, initial=-np.inf))

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

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """(n,) int32 rows of ``item_ids``; -1 where an id is unknown."""
        return np.fromiter((self.row_of.get(item_id, -1) for item_id in item_ids), dtype=np.int32)


@dataclass(frozen=True)
class Users:
    """What people told us of themselves: demographics, one row a user."""

    users: pd.DataFrame  # columns USER_COLUMNS

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
            users[column] = _text(frame[column]) if column in frame else empty
        return cls(users[list(USER_COLUMNS)].drop_duplicates("user_id", keep="last").reset_index(drop=True))

    @classmethod
    def read(cls, folder: Path) -> "Users":
        """Read ``users.parquet`` of ``folder``; no file means no demographics."""
        path = folder / "users.parquet"
        return cls.from_frame(pd.read_parquet(path) if path.exists() else pd.DataFrame({"user_id": []}))

    def write(self, folder: Path) -> None:
        """Write ``users.parquet`` into ``folder``."""
        _write_whole(self.users, folder / "users.parquet")


def _write_whole(frame: pd.DataFrame, path: Path) -> None:
    """Readers see the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.to_parquet(staged, index=False)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def _text(column: pd.Series) -> np.ndarray:
    return column.fillna("").astype(str).to_numpy()


def _strings(value: object) -> list[str]:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return []
    if isinstance(value, str):
        if value.startswith("["):
            with suppress(json.JSONDecodeError):  # "[NEW] Shoes" is a name, not a list
                return [str(part) for part in json.loads(value)]
        return [part.strip() for part in value.split("|") if part.strip()]
    return [str(part) for part in value]  # type: ignore[attr-defined]
