"""The exposure: one answer as it was given, with what learning from it, explaining it and proving it need later."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import user_key
from tailorbird.models.ranker.ranker import Inputs

TIME_DIGITS = 14
"""Hexadecimal digits of the microseconds that a recommendation id begins with."""
LIST = "list:"
"""What marks a column of ``source_names`` as one of the fallback chain's lists, whose names retrievers have too."""
TEAMS = "teams"
"""Under which ``request`` has, of an interleaved slate, the variant that picked each of the models' items; None for what both would have."""
HALF = float(np.finfo(np.float16).max)
Z_STEPS = 32.0
"""Steps of one standard deviation in which the sources' z-scores are kept."""
SAMPLE_SHARE = 0.01
"""Of all answers, those that store every ranker input, so that feature parity is proven in production."""
_SAMPLE_PARTS = 1_000_000


def new_recommendation_id(now: float) -> str:
    """An id that sorts by time, so that indexes grow at their end and an old one says which day to look in."""
    return f"{int(now * 1_000_000):0{TIME_DIGITS}x}{secrets.token_hex(6)}"


def instant_of(recommendation_id: str) -> float | None:
    """The instant (epoch seconds) at which a recommendation id was made; None where it is none of ours."""
    try:
        return int(recommendation_id[:TIME_DIGITS], 16) / 1_000_000
    except ValueError:
        return None


def in_sample(recommendation_id: str, share: float) -> bool:
    """Whether an answer belongs to the ``share`` (0 to 1) of all that store every ranker input, the same in every process."""
    return stable_key(recommendation_id) % _SAMPLE_PARTS < share * _SAMPLE_PARTS


@dataclass(frozen=True, eq=False)
class Exposure:
    """Who was shown what, where, by which arm, proposed by whom and seen through which features.

    Arrays are in the order of ``items`` (n,): ``scores`` and ``propensities`` (n,) float32, ``ranks`` (n, s) int16 (the
    place in each source's list, 0 the best, -1 where it did not propose the item), ``z_scores`` (n, s) float16.
    ``user_vector`` (u,) float32 is of ``scored_at``: earlier than ``instant`` where a ranking came from the result cache.
    The archive rounds scores, z-scores and the vector (:func:`half`, Z_STEPS); ``inputs`` stays whole, for a sample of all.
    """

    recommendation_id: str
    instant: float
    scored_at: float
    user_id: str | None
    anonymous_id: str | None
    session_id: str | None
    scenario: str
    arm: str
    model_name: str
    model_version: str
    items: tuple[str, ...]
    first_position: int
    scores: np.ndarray
    propensities: np.ndarray
    source_names: tuple[str, ...]
    ranks: np.ndarray
    z_scores: np.ndarray
    user_vector: np.ndarray
    profile_version: str
    fallback: str
    partial: bool
    removed: Mapping[str, int]
    """How many items each rule took out."""
    removed_items: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which they were, where the request asked for explanations."""
    request: Mapping[str, object] = field(default_factory=dict)
    """What else the ranking depended on: item looked at, rules, results asked for."""
    context: Mapping[str, object] = field(default_factory=dict)
    experiments: Mapping[str, str] = field(default_factory=dict)
    """Which variant it was, by experiment."""
    took_ms: float | None = None
    """How long the answer took; None where that was not measured."""
    inputs: Inputs | None = None
    """Every ranker input of the shown items in float32."""

    @property
    def user_key(self) -> str:
        """The profile it was made for; an answer for nobody in particular is its own person."""
        return user_key(user_id=self.user_id, anonymous_id=self.anonymous_id or self.recommendation_id)

    @property
    def positions(self) -> range:
        """The place of each item, over all pages."""
        return range(self.first_position, self.first_position + len(self.items))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exposure) and all(
            _equal(getattr(self, part.name), getattr(other, part.name)) for part in fields(self)
        )

    def __hash__(self) -> int:
        return hash(self.recommendation_id)


def half(values: np.ndarray) -> np.ndarray:
    """Float32 numbers rounded to what a half has room for: 11 bits of mantissa, relative error at most 2^-11."""
    held = np.clip(np.asarray(values, np.float32), -HALF, HALF)
    return held.astype(np.float16).astype(np.float32)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, Inputs) and isinstance(other, Inputs):
        return all(
            np.array_equal(getattr(one, part.name), getattr(other, part.name)) for part in fields(Inputs)
        )
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=True))
    return bool(one == other)
