"""New items and new texts for a recommender that serves: it grows by them, and the next answer may hold them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.catalog.told import Told, with_told
from tailorbird.models.hybrid.stages import HybridStages
from tailorbird.slate.recommender import Recommender

WORDS = ("title", "text", "categories", "brand")
"""The columns that an item's place among texts comes from."""
NO_SPACE = "the model was made before texts told later had a place: new items are answered from lists only; train again"


class Arrivals:
    """What items that models do not know, or know by other words, are now. One thread tells, and grows recommenders."""

    def __init__(self) -> None:
        self._now: dict[str, Mapping[str, Any]] = {}  # whole rows of the table of items

    def read(self, recommender: Recommender, current: Catalog) -> Recommender:
        """The recommender with what ``current`` has and its catalogue has not, or has with other words."""
        return self._grown(recommender, self._kept(current, _news(recommender.catalog, current)))

    def tell(self, recommender: Recommender, items: Mapping[str, Told]) -> Recommender:
        """The recommender after ``items`` were told; the same where these are known and no words of theirs changed."""
        row_of = recommender.catalog.row_of
        told = {
            key: said for key, said in items.items() if key not in row_of or not said.keys().isdisjoint(WORDS)
        }
        if not told:
            return recommender
        after = self._after(recommender.catalog, told)
        # What once had other words than a model may get back those that the model was made with.
        moved = np.fromiter((key in self._now for key in after.item_ids), bool, len(after))
        return self._grown(recommender, self._kept(after, moved | _news(recommender.catalog, after)))

    def _after(self, catalog: Catalog, told: Mapping[str, Told]) -> Catalog:
        """The told items as they are now."""
        before = [self._now[key] for key in told if key in self._now]
        rows = catalog.rows(key for key in told if key not in self._now).astype(np.int64)
        table = pd.concat([_table(before), catalog.some(rows[rows >= 0])], ignore_index=True)
        return Catalog(with_told(table, told, key="item_id"))

    def _kept(self, items: Catalog, news: np.ndarray) -> Catalog:
        """Those of ``items`` that are ``news`` (n,), remembered."""
        table = items.some(np.flatnonzero(news))
        for row in table.to_dict("records"):
            self._now[row["item_id"]] = {str(name): value for name, value in row.items()}
        return Catalog(table)

    def _grown(self, recommender: Recommender, told: Catalog) -> Recommender:
        if not len(told):
            return recommender
        before = recommender.catalog
        new = np.flatnonzero(before.rows(told.item_ids) < 0)
        longer = GrownCatalog.of(before, Catalog(told.some(new))) if len(new) else None
        stages = recommender.stages
        if isinstance(stages, HybridStages):
            stages = stages.grown(told, before if longer is None else longer)
        shelf = recommender.shelf if longer is None else recommender.shelf.grown(longer)
        return replace(recommender, shelf=shelf, stages=stages)


def trouble_of(recommender: Recommender) -> str:
    """Why new items are no candidates of a recommender; "" where they are, or where there are none."""
    stages = recommender.stages
    if not isinstance(stages, HybridStages) or not isinstance(recommender.catalog, GrownCatalog):
        return ""
    return "" if stages.model.text_space is not None else NO_SPACE


def _table(rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    return Catalog.from_frame(pd.DataFrame(rows)).items if rows else Catalog.of_ids([]).items


def _news(known: Catalog, items: Catalog) -> np.ndarray:
    """(n,) whether ``known`` has an item not, or with other words."""
    rows = known.rows(items.item_ids)
    news = rows < 0
    there = np.flatnonzero(~news)
    news[there] = _differ(known.some(rows[there]), items.some(there))
    return news


def _differ(one: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """(n,) whether the words of the items of two tables differ, row by row."""
    differ = np.zeros(len(one), bool)
    for name in WORDS:
        if name == "categories":
            pairs = zip(one[name], other[name], strict=True)
            differ |= np.fromiter((list(a) != list(b) for a, b in pairs), bool, len(one))
        else:
            differ |= (one[name].to_numpy(object) != other[name].to_numpy(object)).astype(bool)
    return differ
