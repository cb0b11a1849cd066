"""Optimised interleaving (Radlinski, Craswell 2013): of all slates that either ranking could have begun, drawn so that a random click prefers neither.

An item's credit is by how much one ranking has it higher. The chances of the slates solve a linear program: at no depth does a click on a
random place favour a ranking in expectation, and of all such chances those with the least variance of what random clicks say (Schuth, Sietsma,
Whiteson, Lefortier, de Rijke 2014). No answer is made so: it is compared with the team draft, which answers (docs/adr/0028-team-draft-stays.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

LEAST_CHANCE = 1e-9


@dataclass(frozen=True)
class Mixture:
    """Slates (n, k) that may be shown, places in ``items``, their ``chances`` (n,), and the ``credits`` (n, k) of a click on each place.

    Above 0 is for the second ranking.
    """

    items: tuple[str, ...]
    slates: np.ndarray
    chances: np.ndarray
    credits: np.ndarray


def mixture_of(ours: Sequence[str], theirs: Sequence[str], *, places: int) -> Mixture | None:
    """How to mix two rankings, best first, in so many ``places``; None where no chances are fair."""
    items = tuple(dict.fromkeys([*ours, *theirs]))
    at = {item: place for place, item in enumerate(items)}
    ranks = np.full((2, len(items)), max(len(ours), len(theirs)) + 1.0)
    for which, ranking in enumerate((ours, theirs)):
        ranks[which, [at[item] for item in ranking]] = np.arange(1, len(ranking) + 1)
    slates = np.array(_allowed([at[each] for each in ours], [at[each] for each in theirs], places), np.int64)
    if not slates.size:
        return None
    credit = (ranks[0] - ranks[1])[slates]  # (n, k)
    looks = 1.0 / np.arange(1, slates.shape[1] + 1)
    fair = np.concatenate([np.cumsum(credit, axis=1), np.ones((len(slates), 1))], axis=1).T
    wanted = np.zeros(len(fair))
    wanted[-1] = 1.0
    found = linprog((credit @ looks) ** 2, A_eq=fair, b_eq=wanted, bounds=(0, 1), method="highs")
    if not found.success:
        return None
    there = found.x > LEAST_CHANCE
    chances = found.x[there]
    return Mixture(items, slates[there], chances / chances.sum(), credit[there])


def _allowed(ours: Sequence[int], theirs: Sequence[int], places: int) -> list[tuple[int, ...]]:
    """All slates of which each beginning is of beginnings of both rankings: each place has the best that is left of either."""
    found: dict[tuple[int, ...], None] = {(): None}
    for _ in range(places):
        longer: dict[tuple[int, ...], None] = {}
        for slate in found:
            there = set(slate)
            best = (next((each for each in ranking if each not in there), None) for ranking in (ours, theirs))
            longer.update({(*slate, each): None for each in best if each is not None})
        if not longer:
            break
        found = longer
    return list(found)
