"""Segments by what people told us: gender and age band, for popularity that fits them."""

from collections.abc import Sequence

import numpy as np

from tailorbird.catalog.catalog import Users
from tailorbird.features.functions import NOBODY, Demographics, demographics_of

AGE_BANDS = ((0, 18), (18, 25), (25, 35), (35, 45), (45, 55), (55, 200))


def segment_of(person: Demographics) -> str:
    """Name the segment of one person, such as ``f 25-34``; the empty name where nothing is known."""
    parts = []
    if person.gender:
        parts.append(person.gender[:1].lower())
    if person.age == person.age:  # not NaN
        parts += [f"{low}-{high - 1}" for low, high in AGE_BANDS if low <= person.age < high]
    return " ".join(parts)


def segments_of(users: Users, user_ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """(n,) segment names of ``user_ids`` as objects."""
    people = demographics_of(users)
    return np.array([segment_of(people.get(str(user_id), NOBODY)) for user_id in user_ids], dtype=object)
