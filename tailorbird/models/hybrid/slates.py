"""Newer events as questions to the ranker: who asked, when, and what was taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.events.interactions import Interactions, basket_openings
from tailorbird.features.table import (
    CONTEXT_FEATURES,
    CROSS_FEATURES,
    ITEM_FEATURES,
    SEGMENT_FEATURES,
    USER_FEATURES,
)
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.shortlist import SIGNALS
from tailorbird.models.ranker.slates import Slates
from tailorbird.recipes.recipe import Recipe
from tailorbird.slate.query import Candidates, Query
from tailorbird.slate.recommender import Recommender

BATCH = 32
"""Queries that are retrieved for together, as requests are that wait together."""


@dataclass(frozen=True)
class RankerCases:
    """Newer events to learn the ranking from, oldest first: ``user_keys`` (m,), ``instants`` (m,), ``targets`` (m,) rows."""

    user_keys: np.ndarray
    instants: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def some(self, at_most: int) -> np.ndarray:
        """Places of at most so many, spread evenly over time."""
        return np.arange(0, len(self), max(1, -(-len(self) // max(at_most, 1))))


def ranker_cases(older: Interactions, newer: Interactions, *, recipe: Recipe, seed: int) -> RankerCases:
    """Up to ``recipe.ranker.cases`` of the newer events, oldest first.

    Of a run of events on one item (a view, a click, a purchase) the first is a case: before it the item was not on the
    person's mind. Where seen items are never answered, only first events on an item are cases. A case of a basket is
    asked when the basket begins. Users without older events are among them: the ranker must know what to do with little
    history.
    """
    both = older.joined(newer)
    fresh = np.ones(len(both), bool)
    fresh[1:] = (both.users[1:] != both.users[:-1]) | (both.items[1:] != both.items[:-1])
    asked = fresh & (both.times >= newer.times.min(initial=np.inf))
    if recipe.exclude_seen:
        pairs = both.users.astype(np.int64) * both.item_count + both.items
        first = np.zeros(len(both), bool)
        first[np.unique(pairs, return_index=True)[1]] = True
        asked &= first
    rows = np.flatnonzero(asked)
    if len(rows) > recipe.ranker.cases:
        rows = np.random.default_rng(seed).choice(rows, recipe.ranker.cases, replace=False)
    rows = rows[np.argsort(both.times[rows], kind="stable")]
    instants = both.times[basket_starts(both)[rows] if recipe.baskets else rows]
    return RankerCases(both.user_ids[both.users[rows]], instants, both.items[rows].astype(np.int64))


def basket_starts(interactions: Interactions) -> np.ndarray:
    """(n,) int64: where the basket of each row begins, the first row of its user in the same second."""
    opens = basket_openings(interactions.users, interactions.times)
    first: np.ndarray = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    return first


def candidates_of(recommender: Recommender, queries: Sequence[Query]) -> Iterator[tuple[int, Candidates]]:
    """The candidates of every query, as a request gets them: retrieved, and filtered by what could be shown then."""
    for start in range(0, len(queries), BATCH):
        batch = queries[start : start + BATCH]
        screens = [recommender.screen(query) for query in batch]
        yield from enumerate(recommender.candidates(batch, screens), start)


def slates_of(
    model: HybridModel,
    recommender: Recommender,
    queries: Sequence[Query],
    targets: np.ndarray,
    *,
    negatives: int,
    seed: int,
) -> Slates:
    """One slate a query whose target is among the candidates: the target first, then ``negatives`` drawn of the others."""
    rng = np.random.default_rng(seed)
    width, sizes = negatives + 1, input_sizes(len(model.source_names), segments=model.reads_segments)
    m = 0
    signals = np.zeros((len(queries), width, sizes["signals"]), np.float32)
    rows = np.zeros((len(queries), width), np.int64)
    cross = np.zeros((len(queries), width, sizes["cross"]), np.float32)
    users = np.zeros((len(queries), sizes["user"]), np.float32)
    contexts = np.zeros((len(queries), sizes["context"]), np.float32)
    real = np.zeros((len(queries), width), bool)
    for i, found in candidates_of(recommender, queries):
        place = np.flatnonzero(found.rows == targets[i])
        if not len(place) or len(found) < 2:
            continue
        query = queries[i]
        others = rng.permutation(np.delete(np.arange(len(found)), place[0]))[:negatives]
        chosen = found.where(np.concatenate([place, others]))
        count = len(chosen)
        rows[m, :count], signals[m, :count], real[m, :count] = chosen.rows, chosen.signals, True
        cross[m, :count], users[m], contexts[m] = model.features(
            chosen.rows,
            query.state,
            now=query.now,
            context=query.context,
            demographics=query.demographics,
            placed=query.placed_by(model.pinned),
        )
        m += 1
    items = model.item_features.rows(rows[:m].ravel()).reshape(m, width, -1)
    return Slates(signals[:m], items, cross[:m], users[:m], contexts[:m], real[:m])


def input_sizes(sources: int, *, segments: bool = False) -> dict[str, int]:
    """Width of each group of the ranker's inputs, of one that reads ``segments`` or not."""
    return {
        "signals": SIGNALS * sources,
        "item": len(ITEM_FEATURES),
        "cross": len(CROSS_FEATURES),
        "user": len(USER_FEATURES) + segments * len(SEGMENT_FEATURES),
        "context": len(CONTEXT_FEATURES),
    }
