"""What the shop knows of its items: titles, prices, categories, from the catalogue's tables."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.delta import CatalogFollower

LOOK_SECONDS = 1.0
SHELF = 60
"""Items of a category that are shown at most."""


class ShopGoods:
    """The items of one workspace, read again when they change."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._follower = CatalogFollower(folder)
        self._looked = clock()
        self._items = _described(Catalog.read(folder))

    def details(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Title, price, brand and category of each item that is known and not deleted."""
        items = self._current()
        return {item_id: items[item_id] for item_id in item_ids if item_id in items}

    def departments(self) -> list[str]:
        """The top categories, the largest first."""
        counts: dict[str, int] = {}
        for item in self._current().values():
            counts[item["department"]] = counts.get(item["department"], 0) + 1
        return [name for name in sorted(counts, key=lambda name: (-counts[name], name)) if name]

    def shelf(self, department: str, *, query: str = "") -> list[dict[str, Any]]:
        """Items of a department (all, where it is empty) whose title has every word of ``query``."""
        words = query.lower().split()
        found = (
            {"itemId": item_id, **item}
            for item_id, item in self._current().items()
            if (not department or item["department"] == department)
            and all(word in item["title"].lower() for word in words)
        )
        return [item for item, _ in zip(found, range(SHELF), strict=False)]

    def _current(self) -> dict[str, dict[str, Any]]:
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            if self._follower.changes() is not None:
                self._items = _described(Catalog.read(self._folder))
        return self._items


def _described(catalog: Catalog) -> dict[str, dict[str, Any]]:
    names = ["item_id", "title", "text", "categories", "brand", "price", "deleted_at"]
    rows = zip(*(catalog.items[name] for name in names), strict=True)
    return {
        item_id: {
            "title": title or item_id,
            "text": text,
            "department": categories[0] if len(categories) else "",
            "category": categories[-1].rpartition(">")[2].strip() if len(categories) else "",
            "brand": brand,
            "price": None if price != price else round(price, 2),
        }
        for item_id, title, text, categories, brand, price, deleted in rows
        if deleted != deleted
    }
