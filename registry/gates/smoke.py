"""Smoke: made-up visitors ask the recommender, as a request does, and each must get a sound answer quickly."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from registry.answers import state_of
from registry.gates.finding import Finding
from registry.gates.gates import Smoke
from tailorbird.features.history.facts import ItemFacts
from tailorbird.slate.query import Query, Slate
from tailorbird.slate.recommender import Recommender

GATE = "smoke requests answer"


@dataclass(frozen=True)
class Visit:
    """One made-up request: who asks, what they had, and how many items they want."""

    who: str
    had: Sequence[str]
    k: int = 10


def smoke_finding(
    recommender: Recommender, *, smoke: Smoke, now: float, clock: Callable[[], float] = time.perf_counter
) -> Finding:
    """Ask once each: a newcomer, a visitor, for an unknown item, for more than there is, and people with random histories.

    ``now`` is the instant (epoch seconds) of asking.
    """
    facts = ItemFacts.of(recommender.catalog)
    seconds = []
    for number, visit in enumerate(_visits(recommender, smoke.requests)):
        query = Query(
            state_of(visit.had, facts, user=f"smoke-{number}", now=now), now, k=visit.k, keep_seen=False
        )
        recommender.recommend_many(
            [query]
        ) if number == 0 else None  # the first one pays for what is made once
        started = clock()
        (slate,) = recommender.recommend_many([query])
        seconds.append(clock() - started)
        trouble = _trouble(slate, visit, recommender)
        if trouble:
            return Finding(GATE, passed=False, found=f"{visit.who}: {trouble}", remedy="train again")
    median_ms = 1000 * statistics.median(seconds)
    figures = {"requests": float(len(seconds)), "median_ms": median_ms}
    if median_ms > smoke.slowest_ms:
        return Finding(
            GATE,
            passed=False,
            found=f"the median of {len(seconds)} requests took {median_ms:,.0f} ms, {smoke.slowest_ms:,.0f} are allowed",
            remedy="a smaller recipe is quicker; smoke.slowest_ms in the workspace's gates.toml allows more",
            figures=figures,
        )
    found = f"{len(seconds)} requests answered soundly, {median_ms:.1f} ms at the median"
    return Finding(GATE, passed=True, found=found, figures=figures)


def _visits(recommender: Recommender, count: int) -> list[Visit]:
    ids = [str(item) for item in recommender.catalog.item_ids]
    history = ids[: min(5, len(ids) - 1)]
    visits = [
        Visit("a newcomer", []),
        Visit("a visitor", history),
        Visit("a request for more than there is", history, k=len(ids) + 10),
        Visit("an unknown item", ["no such item"]),
    ]
    rng = np.random.default_rng(0)
    while len(visits) < count:
        size = int(rng.integers(1, max(2, min(20, len(ids) - 1))))
        had = [ids[row] for row in rng.integers(0, len(ids), size)]
        visits.append(Visit(f"a visitor of {', '.join(had)}", had))
    return visits[:count]


def _trouble(slate: Slate, visit: Visit, recommender: Recommender) -> str:
    """What is wrong with one answer; empty if nothing."""
    ids = [item.item_id for item in slate.items]
    if slate.failure:
        return slate.failure.strip().splitlines()[-1]
    if not ids:
        return "no item at all"
    if len(set(ids)) < len(ids):
        return "an item twice"
    if not np.isfinite([item.score for item in slate.items]).all():
        return "a score that is no number"
    if set(ids) & set(visit.had):
        return "an item the visitor has seen"
    if unknown := set(ids) - recommender.catalog.row_of.keys():
        return f"an item that the catalogue lacks: {min(unknown)}"
    return ""
