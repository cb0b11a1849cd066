"""Exposures of a toy shop, whole or drawn by hypothesis."""

import numpy as np
from hypothesis import strategies as st

from tailorbird.exposures.exposure import Exposure, half, new_recommendation_id
from tailorbird.models.ranker.ranker import Inputs

NOW = 1_700_000_000.0


def exposure(n: int = 0, *, count: int = 3, sampled: bool = False, **changes: object) -> Exposure:
    """The ``n``-th exposure of a stream: one a second."""
    rng = np.random.default_rng(n)
    parts: dict[str, object] = {
        "recommendation_id": new_recommendation_id(NOW + n),
        "instant": NOW + n,
        "scored_at": NOW + n,
        "user_id": f"u{n % 3}",
        "anonymous_id": None,
        "session_id": "s",
        "scenario": "home",
        "arm": "champion",
        "model_name": "toy",
        "model_version": "1",
        "items": tuple(f"i{rng.integers(12)}" for _ in range(count)),
        "first_position": 0,
        "scores": half(rng.normal(size=count)),
        "propensities": np.ones(count, np.float32),
        "source_names": ("first", "second"),
        "ranks": rng.integers(-1, 200, (count, 2)).astype(np.int16),
        "z_scores": (np.round(rng.normal(size=(count, 2)) * 32) / 32).astype(np.float16),
        "user_vector": half(rng.normal(size=5)),
        "profile_version": f"{n}-0-0",
        "fallback": "",
        "partial": False,
        "removed": {"seen": n % 4},
        "inputs": inputs(count) if sampled else None,
        **changes,
    }
    return Exposure(**parts)  # type: ignore[arg-type]


def inputs(items: int) -> Inputs:
    rng = np.random.default_rng(items)
    shapes = ((items, 6), (items, 4), (items, 3), (5,), (2,))
    return Inputs(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.dictionaries(TEXT, st.none() | st.booleans() | TEXT | st.integers(-9, 9), max_size=3)


@st.composite
def exposures(draw: st.DrawFn) -> Exposure:
    """Whatever an answer may look like, none too large."""
    n, s, u = draw(st.integers(0, 4)), draw(st.integers(0, 3)), draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    micros = draw(st.integers(0, 4_000_000_000_000_000))
    return exposure(
        recommendation_id=draw(TEXT.filter(bool)),
        instant=micros / 1e6,
        scored_at=draw(st.integers(0, 4_000_000_000_000_000)) / 1e6,
        user_id=draw(st.none() | TEXT),
        anonymous_id=draw(st.none() | TEXT),
        session_id=draw(st.none() | TEXT),
        items=tuple(draw(st.lists(TEXT, min_size=n, max_size=n))),
        first_position=draw(st.integers(0, 10_000)),
        scores=half(rng.normal(scale=draw(st.sampled_from([1e-6, 1.0, 1e9])), size=n)),
        propensities=rng.random(n).astype(np.float32),
        source_names=tuple(f"source{i}" for i in range(s)),
        ranks=rng.integers(-1, 32_767, (n, s)).astype(np.int16),
        z_scores=(rng.integers(-900, 900, (n, s)) / 32).astype(np.float16),
        user_vector=half(rng.normal(scale=9.0, size=u)),
        fallback=draw(TEXT),
        partial=draw(st.booleans()),
        removed=draw(st.dictionaries(TEXT, st.integers(0, 10**9), max_size=3)),
        removed_items=draw(st.dictionaries(TEXT, st.lists(TEXT, max_size=3).map(tuple), max_size=2)),
        experiments=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        took_ms=draw(st.none() | st.integers(0, 800).map(lambda quarters: quarters / 4)),
        request=draw(JSON),
        context=draw(JSON),
        inputs=draw(st.none() | st.just(inputs(n))),
    )
