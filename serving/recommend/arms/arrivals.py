"""New items and new texts for a recommender that serves: it grows by them, and the next answer may hold them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import WORDS, Catalog
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.catalog.log.told import Told, with_told
from tailorbird.catalog.passing import ItemSource
from tailorbird.models.hybrid.stages import HybridStages
from tailorbird.slate.recommender import Recommender

NO_SPACE = "the model was made before texts told later had a place: new items are answered from lists only; train again"


class Arrivals:
    """What items that models do not know, or know by other words, are now. One thread tells, and grows recommenders."""

    def __init__(self) -> None:
        self._now: dict[str, Mapping[str, Any]] = {}  # whole rows of the table of items

    def read(self, recommender: Recommender, current: ItemSource) -> Recommender:
        """The recommender with what ``current`` has and its catalogue has not, or has with other words."""
        known = recommender.catalog
        found = [part.some(np.flatnonzero(_news(known, part))) for part in current.parts()]
        told = [each for each in found if len(each)]
        if not told:
            return recommender
        news = pd.concat(told, ignore_index=True).drop_duplicates("item_id", keep="last")
        return self._grown(recommender, self._kept(Catalog(news.reset_index(drop=True))))

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
        news = after.some(np.flatnonzero(moved | _news(recommender.catalog, after)))
        return self._grown(recommender, self._kept(Catalog(news)))

    def _after(self, catalog: Catalog, told: Mapping[str, Told]) -> Catalog:
        """The told items as they are now."""
        before = [self._now[key] for key in told if key in self._now]
        rows = catalog.rows(key for key in told if key not in self._now).astype(np.int64)
        table = pd.concat([_table(before), catalog.some(rows[rows >= 0])], ignore_index=True)
        return Catalog(with_told(table, told, key="item_id"))

    def _kept(self, news: Catalog) -> Catalog:
        """The ``news``, remembered."""
        for row in news.items.to_dict("records"):
            self._now[row["item_id"]] = {str(name): value for name, value in row.items()}
        return news

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
    news[there] = known.word_keys(rows[there]) != items.word_keys(there)
    return news
