"""What tables say of items and users: rows made by a mapping, and cleaned of values that say nothing."""

from collections.abc import Iterable

import numpy as np
import orjson
import pandas as pd

from tailorbird.catalog.catalog import ITEM_COLUMNS, USER_COLUMNS
from tailorbird.errors import UsageError
from tailorbird.ingest.expressions import Expression
from tailorbird.ingest.files import Source, remedy_of_absent
from tailorbird.ingest.mapping import TableMapping
from tailorbird.ingest.records import with_paths
from tailorbird.ingest.values import json_texts, texts, times

COLUMNS = {"items": ITEM_COLUMNS, "users": USER_COLUMNS}
KEYS = {"items": "item_id", "users": "user_id"}
TIMES = ("launched_at", "deleted_at")
NUMBERS = {"items": ("price", "stock", *TIMES), "users": ("age",)}


def described_rows(what: str, table: TableMapping | None, source: Source) -> pd.DataFrame:
    """The rows of an item or user file, ids as text; ids may still be missing or come twice."""
    if table is None or table.from_events:
        table = TableMapping(same_names=True)
    rows = pd.DataFrame(evaluated(source.frame, table, allowed=COLUMNS[what]), index=source.frame.index)
    key = KEYS[what]
    if key not in rows:
        name = source.path.name if source.path else what
        raise UsageError(
            f"{name} has no column {key!r}",
            remedy=remedy_of_absent(
                source.frame.columns, otherwise=f'map it: [{what}.columns] {key} = "<your column>"'
            ),
        )
    rows[key] = texts(rows[key])
    return rows


def derived_rows(what: str, table: TableMapping, *, raw: pd.DataFrame, types: pd.Series) -> pd.DataFrame:
    """One row for each id that the events' own rows name, its values aggregated as the mapping says."""
    key = KEYS[what]
    if table.types:
        raw = raw[types.isin(table.types)]
    rows = pd.DataFrame(evaluated(raw, table, allowed=COLUMNS[what]), index=raw.index)
    if key not in rows:
        raise UsageError(f"[{what}] from events makes no {key!r}", remedy="map it in the mapping file")
    rows[key] = texts(rows[key])
    how = {name: _aggregate(table.columns.get(name)) for name in rows.columns if name != key}
    for name, aggregate in how.items():
        if aggregate in ("median", "mean"):
            rows[name] = pd.to_numeric(rows[name], errors="coerce")
    groups = rows.dropna(subset=[key]).groupby(key, sort=False)
    if not how:
        return pd.DataFrame({key: list(groups.groups)}, dtype=object)
    return groups.agg(how).reset_index()


def cleaned(rows: pd.DataFrame, *, what: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Numbers, instants as epoch seconds and JSON objects; and how many values of each column were none of it.

    A price that is no number does not make an item unknown: the item stays, without a price.
    """
    lost: dict[str, int] = {}
    rows = rows.copy()
    for column in NUMBERS[what]:
        if column in rows:
            found = _numbers(rows[column]) if column not in TIMES else _seconds(rows[column])
            lost[column] = int((found.isna() & rows[column].notna()).sum())
            rows[column] = found
    if "attributes" in rows:
        attributes = json_texts(rows["attributes"])
        good = attributes.map(_is_object)
        lost["attributes"] = int((~good & attributes.notna()).sum())
        rows["attributes"] = attributes.where(good, "{}")
    return rows, {column: count for column, count in lost.items() if count}


def evaluated(raw: pd.DataFrame, table: TableMapping, *, allowed: Iterable[str]) -> dict[str, pd.Series]:
    """The columns that a mapping makes of raw rows."""
    columns = {name: raw[name] for name in allowed if name in raw} if table.same_names else {}
    if table.records:
        raw = with_paths(raw, (name for expression in table.columns.values() for name in expression.sources))
    columns.update({name: expression.evaluate(raw) for name, expression in table.columns.items()})
    return columns


def _aggregate(expression: Expression | None) -> str:
    return "first" if expression is None else str(expression.options.get("aggregate", "first"))


def _numbers(values: pd.Series) -> pd.Series:
    found = pd.to_numeric(values, errors="coerce").astype(float)
    return found.where(np.isfinite(found))


def _seconds(values: pd.Series) -> pd.Series:
    """Epoch seconds of epoch seconds or of dates."""
    found = _numbers(values)
    if found.notna().any() or not values.notna().any():
        return found
    instants = pd.to_datetime(times(values), format="ISO8601", utc=True, errors="coerce")
    micro = instants.dt.tz_localize(None).astype("datetime64[us]").astype(np.int64)
    return (micro / 1e6).where(instants.notna())


def _is_object(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
