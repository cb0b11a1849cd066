"""Records an answer: from the slate and the query that it answers to the exposure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from tailorbird.exposures.exposure import LIST, TEAMS, Exposure
from tailorbird.models.ranker.ranker import Inputs
from tailorbird.slate.query import NO_RULES, Query, Slate

CERTAIN = 1.0
"""The propensity of what is not left to chance: pins, lists, and every place of an answer that does not explore."""
_MOST = np.iinfo(np.int16).max
BANDITS = "bandits"
"""Where an exposure's request has the draws of bandits."""
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
    experiments: Mapping[str, str] = MappingProxyType({}),
    draws: Mapping[str, Sequence[float]] = MappingProxyType({}),
    took_ms: float | None = None,
) -> Exposure:
    """Record who was shown what by ``arm``; ``item_ids`` are the catalogue's, ``inputs`` what the sample keeps.

    ``draws`` say by what chance bandits drew their variants. ``fallback`` and ``partial`` override the slate's own where the answer said otherwise.
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
        items=tuple([item.item_id for item in slate.items]),
        first_position=len(query.shown),
        scores=np.array([item.score for item in slate.items], np.float32),
        propensities=_propensities(slate),
        source_names=source_names,
        ranks=ranks,
        z_scores=z_scores,
        user_vector=slate.user_vector,
        profile_version=query.state.version,
        fallback=slate.fallback if fallback is None else fallback,
        partial=slate.partial if partial is None else partial,
        removed={part.reason: part.count for part in slate.removed},
        removed_items={
            part.reason: tuple(str(item_ids[row]) for row in part.rows(NAMED_ITEMS).tolist())
            for part in (slate.removed if query.explain and len(item_ids) else ())
        },
        request=with_draws(_request(query) | ({TEAMS: list(slate.teams)} if slate.teams else {}), draws),
        context=query.context,
        experiments=dict(experiments),
        took_ms=took_ms,
        inputs=inputs,
    )


def with_draws(request: Mapping[str, object], draws: Mapping[str, Sequence[float]]) -> Mapping[str, object]:
    """The request with the draws of bandits, by experiment: renewal, cell and chance of each."""
    return {**request, BANDITS: {key: list(draw) for key, draw in draws.items()}} if draws else request


def _sources(slate: Slate) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names (s,), ranks (n, s) int16 and z-scores (n, s) float16: the retrievers, then the lists that filled what they left."""
    found, n = slate.found, len(slate.items)
    names: tuple[str, ...]
    if found is None:
        names = ()
        ranks, z_scores = np.zeros((0, 0), np.int16), np.zeros((0, 0), np.float16)
    else:
        names, signals = found.source_names, found.signals
        ranks = np.minimum(found.ranks, _MOST).astype(np.int16)
        z_scores = (
            np.zeros(ranks.shape, np.float16)
            if signals is None
            else signals[:, : len(names)].astype(np.float16)
        )
    if len(ranks) == n:
        return names, ranks, z_scores
    return _filled(slate, names, ranks, z_scores)


def _filled(
    slate: Slate, names: tuple[str, ...], ranks: np.ndarray, z_scores: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The same with the items that lists filled in, each list a column of its own."""
    by_model = len(ranks)
    filled = [item.sources[0] if item.sources else "" for item in slate.items[by_model:]]
    lists = tuple(dict.fromkeys(name for name in filled if name))
    wider = ((0, len(filled)), (0, len(lists)))
    ranks, z_scores = np.pad(ranks, wider, constant_values=-1), np.pad(z_scores, wider)
    for column, name in enumerate(lists, start=len(names)):
        places = [by_model + place for place, each in enumerate(filled) if each == name]
        ranks[places, column] = np.arange(len(places))
    return (*names, *(LIST + name for name in lists)), ranks, z_scores


def _propensities(slate: Slate) -> np.ndarray:
    """(n,) float32: those that were drawn by, then what lists filled in, which was certain."""
    if slate.propensities is None:
        return _certain(len(slate.items))
    filled = _certain(len(slate.items) - len(slate.propensities))
    return np.concatenate([slate.propensities, filled]).astype(np.float32)


@lru_cache(maxsize=1024)
def _certain(count: int) -> np.ndarray:
    propensities = np.full(count, CERTAIN, np.float32)
    propensities.flags.writeable = False  # many exposures share it
    return propensities


def _request(query: Query) -> dict[str, object]:
    """What else the ranking depended on; what is as usual is left out."""
    wishes: dict[str, object] = {"k": query.k}
    if query.item_id is not None:
        wishes["itemId"] = query.item_id
    if query.keep_seen is not None:
        wishes["keepSeen"] = query.keep_seen
    wishes |= query.wishes.said
    if query.belonging is not None:
        found = query.belonging
        wishes["segment"] = {"key": found.key, "name": found.name, "model": found.by.version}
    if query.rules is not NO_RULES:
        rules = query.rules
        asked = {
            "categories": list(rules.categories) or None,
            "brands": list(rules.brands) or None,
            "minPrice": rules.min_price,
            "maxPrice": rules.max_price,
        }
        wishes |= {name: value for name, value in asked.items() if value is not None}
    return wishes
