"""Newer events as questions to the ranker: who asked, with which history, and what was taken."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tailorbird.events.interactions import Histories, Interactions, basket_openings
from tailorbird.features.context import context_vector
from tailorbird.features.cross import cross_matrix
from tailorbird.features.functions import NOBODY, user_vector
from tailorbird.features.items import item_matrix
from tailorbird.features.profiles import ProfileSource
from tailorbird.features.table import CONTEXT_FEATURES, CROSS_FEATURES, ITEM_FEATURES, USER_FEATURES
from tailorbird.models.hybrid.model import HybridModel, with_segments
from tailorbird.models.hybrid.shortlist import SIGNALS, Shortlist
from tailorbird.models.ranker.training import Slates
from tailorbird.models.retrievers.recency import interactions_without_runs
from tailorbird.recipes.recipe import Recipe

BATCH = 256


@dataclass(frozen=True)
class RankerCases:
    """Newer events to learn the ranking from: history, profile owner and instant of each, and the item taken."""

    histories: Histories
    user_ids: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def some(self, at_most: int) -> "RankerCases":
        """At most so many, spread evenly over time."""
        rows = np.arange(0, len(self), max(1, -(-len(self) // at_most)))
        return RankerCases(self.histories.take(rows), self.user_ids[rows], self.targets[rows])


def newer_cases(older: Interactions, newer: Interactions, *, recipe: Recipe, seed: int) -> RankerCases:
    """Up to ``recipe.ranker.cases`` of the newer events, oldest first, each with its user's history until then.

    Where seen items are never answered, only events on an item that is new to the user are cases. Where events come as
    baskets, the history ends before the basket. Users without older events are among them: the ranker must know what to
    do with little history.
    """
    both = interactions_without_runs(
        Interactions.of(
            users=np.concatenate([older.users, newer.users]),
            items=np.concatenate([older.items, newer.items]),
            times=np.concatenate([older.times, newer.times]),
            weights=np.concatenate([older.weights, newer.weights]),
            user_ids=older.user_ids,
            item_count=older.item_count,
        )
    )
    asked = both.times >= newer.times.min(initial=np.inf)
    if recipe.exclude_seen:
        pairs = both.users.astype(np.int64) * both.item_count + both.items
        first = np.zeros(len(both), bool)
        first[np.unique(pairs, return_index=True)[1]] = True
        asked &= first
    rows = np.flatnonzero(asked)
    if len(rows) > recipe.ranker.cases:
        rows = np.random.default_rng(seed).choice(rows, recipe.ranker.cases, replace=False)
    rows = rows[np.argsort(both.times[rows], kind="stable")]
    ends = basket_starts(both)[rows] if recipe.baskets else rows
    histories = both.slices(both.indptr[both.users[rows]], ends, now=both.times[rows])
    return RankerCases(histories, both.user_ids[both.users[rows]], both.items[rows].astype(np.int64))


def basket_starts(interactions: Interactions) -> np.ndarray:
    """(n,) int64: where the basket of each row begins, the first row of its user in the same second."""
    opens = basket_openings(interactions.users, interactions.times)
    first: np.ndarray = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    return first


def shortlists(model: HybridModel, cases: RankerCases) -> Iterator[tuple[int, Shortlist]]:
    """The candidates of every case, in its user's segment."""
    people = [model.people.get(str(user), NOBODY) for user in cases.user_ids]
    for start in range(0, len(cases), BATCH):
        stop = min(start + BATCH, len(cases))
        histories = with_segments(cases.histories[start:stop], people[start:stop])
        exclude = [histories.seen(i) for i in range(len(histories))] if model.recipe.exclude_seen else None
        found = model.candidates(histories, model.recipe.candidates, exclude=exclude)
        yield from zip(range(start, stop), found, strict=True)


def slates_of(
    model: HybridModel, cases: RankerCases, profiles: ProfileSource, *, negatives: int, seed: int
) -> Slates:
    """One slate a case whose target is among the candidates: the target first, then ``negatives`` drawn of the others."""
    rng = np.random.default_rng(seed)
    states = profiles.states_at([str(user) for user in cases.user_ids], cases.histories.now)
    items = item_matrix(model.item_table, now=model.items_at)
    width, sizes = negatives + 1, input_sizes(len(model.source_names))
    m = 0
    signals = np.zeros((len(cases), width, sizes["signals"]), np.float32)
    rows = np.zeros((len(cases), width), np.int64)
    cross = np.zeros((len(cases), width, sizes["cross"]), np.float32)
    users = np.zeros((len(cases), sizes["user"]), np.float32)
    contexts = np.zeros((len(cases), sizes["context"]), np.float32)
    real = np.zeros((len(cases), width), bool)
    for i, found in shortlists(model, cases):
        place = np.flatnonzero(found.rows == cases.targets[i])
        if not len(place) or len(found) < 2:
            continue
        state, now = states[i], float(cases.histories.now[i])
        others = rng.permutation(np.delete(np.arange(len(found)), place[0]))[:negatives]
        chosen = found.where(np.concatenate([place, others]))
        count = len(chosen)
        rows[m, :count], signals[m, :count], real[m, :count] = chosen.rows, chosen.signals, True
        cross[m, :count] = cross_matrix(state, model.item_table, chosen.rows, now=now)
        users[m] = user_vector(state, now=now, demographics=model.people.get(state.user_key, NOBODY))
        contexts[m] = context_vector(None, now=now)
        m += 1
    return Slates(signals[:m], items[rows[:m]], cross[:m], users[:m], contexts[:m], real[:m])


def input_sizes(sources: int) -> dict[str, int]:
    """Width of each group of the ranker's inputs."""
    return {
        "signals": SIGNALS * sources,
        "item": len(ITEM_FEATURES),
        "cross": len(CROSS_FEATURES),
        "user": len(USER_FEATURES),
        "context": len(CONTEXT_FEATURES),
    }
