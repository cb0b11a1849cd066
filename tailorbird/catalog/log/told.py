"""What a patch tells of an item or a user: some of its columns. Later words replace earlier ones, column by column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
import pandas as pd

Told = Mapping[str, Any]
"""Values by column: texts, numbers, a list of categories; ``attributes`` by name; None for what is not known any more."""
Kind = Literal["item", "user"]
EMPTY: Mapping[str, object] = {
    "title": "",
    "text": "",
    "brand": "",
    "gender": "",
    "country": "",
    "attributes": "{}",
}
NUMBERS = ("price", "stock", "launched_at", "deleted_at", "age")
DELETED = "deleted_at"


@dataclass(frozen=True)
class Patch:
    """What is told of one item or user; a column that is absent stays as it is."""

    kind: Kind
    key: str
    told: Told

    @classmethod
    def of_item(cls, item_id: str, told: Told) -> "Patch":
        """An item is told: where it was deleted it is there again."""
        return cls("item", item_id, {DELETED: None, **told})

    @classmethod
    def deletion(cls, item_id: str, *, now: float) -> "Patch":
        """An item is there no more from ``now`` (epoch seconds) on; what is known of it is kept."""
        return cls("item", item_id, {DELETED: now})

    @classmethod
    def of_user(cls, user_id: str, told: Told) -> "Patch":
        """A user is told."""
        return cls("user", user_id, told)


def joined(before: Told, later: Told) -> dict[str, Any]:
    """Both patches in one; of attributes each counts by itself."""
    both = {**before, **later}
    if "attributes" in before and "attributes" in later:
        both["attributes"] = {**before["attributes"], **later["attributes"]}
    return both


def with_told(table: pd.DataFrame, told: Mapping[str, Told], *, key: str) -> pd.DataFrame:
    """A table of items or users after patches by ``key``: known rows keep their place, new ones follow in the order told."""
    if not told:
        return table
    row_of = {name: row for row, name in enumerate(table[key])}
    fresh = [name for name in told if name not in row_of]
    row_of.update((name, len(table) + place) for place, name in enumerate(fresh))
    columns: dict[str, np.ndarray] = {}
    for name in table.columns:
        old = table[name].to_numpy()
        added = fresh if name == key else [_empty(name) for _ in fresh]
        values = np.empty(len(old) + len(fresh), float if name in NUMBERS else object)
        values[: len(old)] = old
        for place, value in enumerate(added, start=len(old)):
            values[place] = value
        columns[name] = values
    for item, said in told.items():
        row = row_of[item]
        for name, value in said.items():
            if name in columns and name != key:
                columns[name][row] = _stored(name, value, columns[name][row])
    return pd.DataFrame(columns)


def _stored(name: str, value: Any, before: Any) -> Any:
    """A told value as its column holds it."""
    if name == "attributes":
        return with_attributes(before, value)
    return _empty(name) if value is None else list(value) if name == "categories" else value


def with_attributes(text: str, told: Told) -> str:
    """A JSON object with the told attributes in it; those told as None are gone."""
    try:
        held = orjson.loads(text)
    except orjson.JSONDecodeError:
        held = {}
    merged = {**(held if isinstance(held, dict) else {}), **told}
    kept = {name: value for name, value in merged.items() if value is not None}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def _empty(name: str) -> Any:
    if name == "categories":
        return []
    return np.nan if name in NUMBERS else EMPTY.get(name, "")


def latest(patches: Iterable[tuple[str, Told]]) -> dict[str, dict[str, Any]]:
    """Patches in their order as one for each key."""
    found: dict[str, dict[str, Any]] = {}
    for key, told in patches:
        found[key] = joined(found[key], told) if key in found else dict(told)
    return found
