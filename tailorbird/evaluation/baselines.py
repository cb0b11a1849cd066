"""Baselines that every model is shown beside: what everybody takes, ever and lately."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from tailorbird.evaluation.answers import Answers
from tailorbird.evaluation.cases import Cases, QuestionBatch
from tailorbird.evaluation.metrics import ndcg
from tailorbird.evaluation.protocols import Split
from tailorbird.evaluation.ranks import DEPTH, best_items
from tailorbird.events.interactions import Interactions

HALF_LIVES: tuple[float, ...] = (1.0, 3.0, 7.0, 30.0, 90.0)
"""Half-lives that recent popularity may choose from: days, or events from the end of each sequence."""


@dataclass(frozen=True)
class Popularity:
    """One list for everybody: ``counts`` (n_items,) decide the order."""

    counts: np.ndarray

    @classmethod
    def ever(cls, interactions: Interactions) -> "Popularity":
        """Count the events of each item."""
        return cls(np.bincount(interactions.items, minlength=interactions.item_count).astype(float))

    @classmethod
    def recent(
        cls, interactions: Interactions, *, half_life: float, ordered_only: bool = False
    ) -> "Popularity":
        """Count events, each weighing half as much for every ``half_life`` days of age.

        Where data has an order but no times (``ordered_only``), age counts events from the end of the
        user's sequence.
        """
        if ordered_only:
            age = interactions.indptr[1:][interactions.users] - 1.0 - np.arange(len(interactions))
        else:
            age = (interactions.times.max(initial=0.0) - interactions.times) / 86_400
        weights = np.exp2(-age / half_life)
        return cls(np.bincount(interactions.items, weights, interactions.item_count))

    def answer(
        self, cases: Cases, *, k: int = DEPTH, advance: Callable[[int], object] = lambda questions: None
    ) -> Answers:
        """Rank the whole catalogue for every question, as ``answer_by_scores`` does, by sorting it once."""
        order = best_items(self.counts[None], len(self.counts))[0][0]
        places = rankdata(-self.counts)  # equal counts share the mean of their places
        rankings = np.full((cases.question_count, k), -1, np.int32)
        ranks = places[cases.targets]
        out = np.zeros(len(order), bool)  # of the question at hand: which items may not be answered
        for batch in cases.batches(4096):
            if not cases.exclude_seen:
                rankings[batch.start : batch.stop, : len(order)] = order[:k]
                advance(len(batch))
                continue
            histories = batch.histories()
            bounds = np.searchsorted(batch.question, np.arange(len(batch) + 1)) + batch.low
            for place in range(len(batch)):
                seen = np.unique(histories.seen(place))
                out[seen] = True
                listed = order[: k + len(seen)]
                listed = listed[~out[listed]][:k]
                rankings[batch.start + place, : len(listed)] = listed
                asked = slice(*bounds[place : place + 2])
                ranks[asked] = _without(
                    places, ranks[asked], targets=cases.targets[asked], seen=seen, out=out
                )
                out[seen] = False
            advance(len(batch))
        return Answers(rankings, ranks)


def _without(
    places: np.ndarray, ranks: np.ndarray, *, targets: np.ndarray, seen: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """Move targets up by the items that are left out before them, and half a place by those beside them."""
    gone = places[seen]
    before, beside = gone < ranks[:, None], gone == ranks[:, None]  # (cases, seen)
    return np.where(out[targets], np.inf, ranks - before.sum(axis=1) - beside.sum(axis=1) / 2)


@dataclass(frozen=True)
class Habit:
    """What the user took most and latest, then what everybody takes; for protocols where repeats count.

    Each event of the history weighs 0.9 to the number of events since: the personal frequency baseline of next-basket
    prediction (Hu et al. 2020) with recency. ``counts`` (n_items,) order the items that the user never had.
    """

    counts: np.ndarray

    def __call__(self, batch: QuestionBatch) -> np.ndarray:
        """Score the catalogue for each question of a batch: (b, n_items)."""
        histories = batch.histories()
        shape = len(batch), len(self.counts)
        own = np.repeat(np.arange(len(batch)), histories.lengths)
        lag = np.repeat(histories.indptr[1:], histories.lengths) - 1 - np.arange(len(own))
        weights = np.maximum(0.9**lag, 1e-6)  # what was had long ago still comes before what never was
        habit = np.bincount(own * shape[1] + histories.items, weights, shape[0] * shape[1]).reshape(shape)
        return habit + self.counts * (1e-7 / max(float(self.counts.max(initial=0.0)), 1.0))


def tuned_recency(
    validation: Split,
    *,
    half_lives: Sequence[float] = HALF_LIVES,
    ordered_only: bool = False,
    most: int = 5000,
) -> float:
    """Choose the half-life of recent popularity whose NDCG@10 on at most ``most`` validation cases is best."""
    cases = validation.cases
    if not len(cases):
        return 30.0  # nothing to choose on: the models' own default
    if len(cases) > most:
        mask = np.zeros(len(cases), bool)
        mask[np.random.default_rng(0).choice(len(cases), most, replace=False)] = True
        cases = cases.take(mask)

    def quality(half_life: float) -> float:
        model = Popularity.recent(validation.fit, half_life=half_life, ordered_only=ordered_only)
        return float(ndcg(model.answer(cases).ranks, 10).mean())

    return max(half_lives, key=quality)
