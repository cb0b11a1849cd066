"""Items that join a table: their rows follow, what compares them with the others is looked up in what these were."""

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ARRAYS, STATIC, ItemTable
from tailorbird.plumbing.appended import appended

_COUNTED = ("slots", "held", "seen", "totals")
_OF_ROWS = tuple(name for name in ARRAYS if name not in ("buckets", *_COUNTED))


def with_more_items(table: ItemTable, more: Catalog, *, since: float) -> ItemTable:
    """``table`` and after its rows the items of ``more``, to which nothing has happened.

    They were not there ``since`` then (epoch seconds): they are no older, or nothing would tell them from what nobody wanted.
    A category or brand that no item had is nobody's taste yet: the item has none. What the two tables have in common is
    shared or, where it is small, copied.
    """
    fresh = ItemTable.of(more, ItemCounters.empty(len(more)))
    code_of = table.code_of_bucket[fresh.buckets]  # (own codes,) ▸ the table's codes
    arrays = {name: getattr(fresh, name) for name in _OF_ROWS}
    width = table.codes.shape[1]
    codes = np.full((len(more), width), len(table.buckets) - 1, np.int32)
    taken = min(width, fresh.codes.shape[1])
    codes[:, :taken] = code_of[fresh.codes[:, :taken]]
    arrays["launched_at"] = np.fmax(fresh.launched_at, since)
    arrays.update(codes=codes, primary=code_of[fresh.primary], brands=code_of[fresh.brands])
    counters = table.counters.grown(len(table) + len(more))
    grown = ItemTable(
        buckets=table.buckets,
        **{name: getattr(counters, name) for name in _COUNTED},
        **{name: appended(getattr(table, name), array) for name, array in arrays.items()},
    )
    static = _static(table, arrays)
    keys, rows = table._by_key
    order = np.argsort(fresh.keys, kind="stable")
    places = np.searchsorted(keys, fresh.keys[order])
    grown.__dict__.update(
        static=appended(table.static, static),
        filled_prices=appended(table.filled_prices, fresh.filled_prices),
        code_of_bucket=table.code_of_bucket,
        prices_by_category=table.prices_by_category,
        origin=table.origin,
        _by_key=(
            np.insert(keys, places, fresh.keys[order]),
            np.insert(rows, places, len(table) + order),
        ),
    )
    return grown


def _static(table: ItemTable, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(m, len(STATIC)) float32: among the items that were there first."""
    prices, primary, brands = arrays["log_prices"], arrays["primary"], arrays["brands"]
    known = np.isfinite(prices)
    ordered, by_category, starts = table.prices_by_category
    in_category = [
        _rank(by_category[starts[code] : starts[code + 1]], price) if there else 0.5
        for price, code, there in zip(prices, primary, known, strict=True)
    ]
    columns: dict[str, np.ndarray | list[float]] = {
        "log_price": np.where(known, prices, 0.0),
        "has_price": known,
        "price_rank": [
            _rank(ordered, price) if there else 0.5 for price, there in zip(prices, known, strict=True)
        ],
        "price_rank_in_category": in_category,
        "in_stock": ~(arrays["stock"] <= 0),
        "category_size": np.log1p(table.sizes(table.primary)[primary]),
        "brand_size": np.log1p(table.sizes(table.brands)[brands]),
    }
    return np.stack([np.asarray(columns[name], np.float32) for name in STATIC], axis=1)


def _rank(ordered: np.ndarray, price: float) -> float:
    """The percentile in (0, 1] of one more among ``ordered`` (n,) ascending; ties share the middle."""
    below, upto = np.searchsorted(ordered, price), np.searchsorted(ordered, price, side="right")
    return float(below + upto + 2) / (2.0 * (len(ordered) + 1))
