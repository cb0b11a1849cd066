"""The learned segment of every case: where its person was at the instant of asking, by the version that the model pins."""

from collections.abc import Mapping

import numpy as np

from tailorbird.evaluation.cases import Cases
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.source import ProfileSource
from tailorbird.segments.pinned import PinnedSegments

LEARNED = "segment"
"""Slices of learned segments are named ``segment:`` and the key."""
NOT_YET = "not-known-yet"


def segments_of_cases(
    pinned: PinnedSegments, cases: Cases, *, profiles: ProfileSource, people: Mapping[str, Demographics]
) -> np.ndarray:
    """(q,) keys of the segments of the questions' users, each at its instant; NOT_YET where too little was seen."""
    keys = [str(key) for key in cases.known.user_ids[cases.users]]
    states = profiles.states_at(keys, cases.now)
    return np.array(
        [
            pinned.key_of(pinned.placed(state, people.get(key, NOBODY))) or NOT_YET
            for key, state in zip(keys, states, strict=True)
        ],
        dtype=str,
    )
