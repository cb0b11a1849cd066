"""Records an answer: from the slate and the query that it answers to the exposure."""

from collections.abc import Mapping, Sequence

import numpy as np

from tailorbird.exposures.exposure import LIST, Z_STEPS, Exposure, half
from tailorbird.models.ranker.ranker import Inputs
from tailorbird.slate.query import Query, Slate

GREEDY_PROPENSITY = 1.0
"""Slates are deterministic: what was shown was certain to be shown."""
NAMED_ITEMS = 200
"""Removed items of one rule that an explained answer names; the count says how many there were."""


def exposure_of(
    slate: Slate,
    query: Query,
    *,
    recommendation_id: str,
    user_id: str | None,
    anonymous_id: str | None,
    session_id: str | None,
    scenario: str,
    arm: str,
    fallback: str | None = None,
    partial: bool | None = None,
    item_ids: Sequence[str] | np.ndarray = (),
    inputs: Inputs | None = None,
) -> Exposure:
    """Record who was shown what by ``arm``; ``item_ids`` are the catalogue's, ``inputs`` what the sample keeps.

    ``fallback`` and ``partial`` override the slate's own where the answer said otherwise.
    """
    source_names, ranks, z_scores = _sources(slate)
    return Exposure(
        recommendation_id=recommendation_id,
        instant=round(query.now, 6),
        scored_at=round(slate.scored_at or query.now, 6),
        user_id=user_id,
        anonymous_id=anonymous_id,
        session_id=session_id,
        scenario=scenario,
        arm=arm,
        model_name=slate.model_name,
        model_version=slate.model_version,
        items=tuple(item.item_id for item in slate.items),
        first_position=len(query.shown),
        scores=half(np.array([item.score for item in slate.items], np.float32)),
        propensities=np.full(len(slate.items), GREEDY_PROPENSITY, np.float32),
        source_names=source_names,
        ranks=ranks,
        z_scores=z_scores,
        user_vector=half(slate.user_vector),
        profile_version=query.state.version,
        fallback=slate.fallback if fallback is None else fallback,
        partial=slate.partial if partial is None else partial,
        removed={part.reason: len(part.rows) for part in slate.removed},
        removed_items={
            part.reason: tuple(str(item_ids[row]) for row in part.rows[:NAMED_ITEMS].tolist())
            for part in (slate.removed if query.explain and len(item_ids) else ())
        },
        request=_request(query),
        context=query.context,
        inputs=inputs,
    )


def _sources(slate: Slate) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names (s,), ranks (n, s) int16 and z-scores (n, s): the retrievers, then the lists that filled what they left."""
    found, n = slate.found, len(slate.items)
    names: tuple[str, ...] = () if found is None else found.source_names
    by_model = 0 if found is None else len(found)
    filled = [item.sources[0] if item.sources else "" for item in slate.items[by_model:]]
    lists = tuple(dict.fromkeys(name for name in filled if name))
    ranks = np.full((n, len(names) + len(lists)), -1, np.int16)
    z_scores = np.zeros(ranks.shape, np.float32)
    if found is not None:
        ranks[:by_model, : len(names)] = np.minimum(found.ranks, np.iinfo(np.int16).max)
        if found.signals is not None:
            z = np.clip(found.signals[:, : len(names)], -1_000, 1_000)
            z_scores[:by_model, : len(names)] = np.rint(z * Z_STEPS) / Z_STEPS
    for column, name in enumerate(lists, start=len(names)):
        places = [by_model + place for place, each in enumerate(filled) if each == name]
        ranks[places, column] = np.arange(len(places))
    return (*names, *(LIST + name for name in lists)), ranks, z_scores


def _request(query: Query) -> Mapping[str, object]:
    """What else the ranking depended on; what is as usual is left out."""
    rules = query.rules
    wishes: dict[str, object] = {
        "itemId": query.item_id,
        "categories": list(rules.categories),
        "brands": list(rules.brands),
        "minPrice": rules.min_price,
        "maxPrice": rules.max_price,
        "keepSeen": query.keep_seen,
    }
    return {
        "k": query.k,
        **{name: value for name, value in wishes.items() if value is not None and value != []},
    }
