"""Items and users as tables: what the platform knows of them apart from what they did."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

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
    """All items, one row each, in a fixed order that every matrix of a model follows."""

    items: pd.DataFrame  # columns ITEM_COLUMNS, RangeIndex

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
        """Read ``items.parquet`` of ``folder``."""
        return cls.from_frame(pd.read_parquet(folder / "items.parquet"))

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
