"""Rank: what may be shown is retrieved and scored, for several queries of one model together."""

import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tailorbird.slate.filters import Screen
from tailorbird.slate.query import Candidates, Query, Ranking
from tailorbird.slate.stages import Stages


class Wanted(NamedTuple):
    """A query to rank for: what may be shown, and how many candidates are looked at."""

    query: Query
    screen: Screen
    depth: int


def candidates_of(stages: Stages, wanted: Sequence[Wanted]) -> list[Candidates]:
    """Retrieve what may be shown."""
    return stages.retrieve(
        [each.query for each in wanted],
        depths=[each.depth for each in wanted],
        allowed=[each.screen.allowed for each in wanted],
    )


def ranked_together(stages: Stages, wanted: Sequence[Wanted]) -> list[Ranking]:
    """Retrieve and score; raises what the model raises."""
    kept = candidates_of(stages, wanted)
    scored = stages.score([each.query for each in wanted], kept)
    return [
        ranked(candidates, *each, at=asked.query.now)
        for asked, candidates, each in zip(wanted, kept, scored, strict=True)
    ]


def tried_together(
    stages: Callable[[], Stages], wanted: Sequence[Wanted]
) -> list[tuple[Ranking | None, str]]:
    """The rankings, or None and why; when ranking together fails one by one, so that one query's trouble is not another's."""
    if len(wanted) > 1:
        try:
            return [(ranking, "") for ranking in ranked_together(stages(), wanted)]
        except Exception as error:
            del error  # each query meets it again, by itself
    return [tried(lambda each=each: ranked_together(stages(), [each])[0]) for each in wanted]  # type: ignore[misc]


def tried(work: Callable[[], Ranking]) -> tuple[Ranking | None, str]:
    """Run the model; what it raises becomes a reason, because an answer is due in any case."""
    try:
        return work(), ""
    except LookupError as error:
        return None, str(error)
    except Exception:
        return None, traceback.format_exc()


def ranked(candidates: Candidates, scores: np.ndarray, user_vector: np.ndarray, *, at: float) -> Ranking:
    """Candidates in the order of their scores (c,), best first; equal scores keep the order of the sources' turns."""
    order = np.argsort(-scores, kind="stable")
    return Ranking(candidates.where(order), scores[order], user_vector, scored_at=at)
