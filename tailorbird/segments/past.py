"""Which segment people were in when something happened: the label of each event's own instant, from a replay of the log."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tailorbird.events.interactions import Interactions
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.segments.assigning import assign
from tailorbird.segments.model import SegmentModel
from tailorbird.segments.told import told_of, told_signs


def with_groups(
    interactions: Interactions,
    model: SegmentModel,
    *,
    profiles: ReplayProfiles,
    people: Mapping[str, Demographics],
) -> Interactions:
    """The interactions with the segment of each one's user at its instant: by what had happened before it and was known."""
    groups = np.full(len(interactions), -1, np.int16)
    indptr, times = interactions.indptr, interactions.times
    for user, key in enumerate(interactions.user_ids.tolist()):
        rows = slice(indptr[user], indptr[user + 1])
        told = told_signs(told_of(people.get(str(key), NOBODY)))
        groups[rows] = [
            assign(history, told, model.weights)[0]
            for history in profiles.histories_at(str(key), times[rows])
        ]
    return replace(interactions, groups=groups)
