"""Feature parity in production: the vectors that answers used, against those that the stream of events gives."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.events.schema import Event
from tailorbird.exposures.codec import unpack_inputs
from tailorbird.exposures.profiles import rebuild_profile
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.table import SEGMENT_FEATURES, USER_FEATURES
from tailorbird.features.vectors.user import user_vector
from tailorbird.segments.pinned import PinnedSegments, segment_vector

TOLERANCE = 1e-6
COLUMNS = ("recommendation_id", "user_key", "scored_at", "profile_version", "model_version", "inputs")


@dataclass(frozen=True)
class Sampled:
    """What the sample holds of one answer: whose profile, of which version, and the vector made of it."""

    recommendation_id: str
    user_key: str
    scored_at: float
    profile_version: str
    model_version: str
    vector: np.ndarray


@dataclass(frozen=True)
class Difference:
    """An answer whose vector is not what the events give: the feature that is farthest off, and by how much."""

    recommendation_id: str
    feature: str
    by: float


@dataclass(frozen=True)
class Parity:
    """What was compared. ``unfounded`` answers used a profile that no prefix of the person's events leads to."""

    checked: int
    worst: float
    differing: Sequence[Difference]
    unfounded: Sequence[str]

    @property
    def holds(self) -> bool:
        """Whether every answer used what the events give."""
        return not self.differing and not self.unfounded


def read_sample(exposures: Iterable[pa.RecordBatch], *, limit: int) -> list[Sampled]:
    """The newest ``limit`` answers of the sample, of batches with COLUMNS."""
    found: list[Sampled] = []
    for batch in exposures:
        table = pa.Table.from_batches([batch])
        found += _sampled(table.filter(pc.is_valid(table["inputs"])))
        found = found[-limit:]
    return found


def check_parity(
    sample: Iterable[Sampled],
    *,
    events_of: Callable[[str], Sequence[Event]],
    facts: ItemFacts,
    people: Mapping[str, Demographics],
    history_length: int,
    taken_back: int = ALWAYS[0],
    pinned_by: Callable[[str], PinnedSegments | None] = lambda version: None,
) -> Parity:
    """Compute every vector again from its person's events; ``events_of`` gives them in the order of arrival.

    No basis covers what was before ``taken_back`` (epoch microseconds). ``pinned_by`` gives the segments that a version of the model pins; of one that is gone only the other features are compared.
    """
    pins: dict[str, PinnedSegments | None] = {}
    by_person: dict[str, list[Sampled]] = {}
    for each in sample:
        by_person.setdefault(each.user_key, []).append(each)
    checked, worst = 0, 0.0
    differing: list[Difference] = []
    unfounded: list[str] = []
    for user_key, answers in by_person.items():
        events = events_of(user_key)
        for each in answers:
            checked += 1
            rebuilt = rebuild_profile(
                user_key,
                events,
                facts,
                instant=each.scored_at,
                version=each.profile_version,
                history_length=history_length,
                taken_back=taken_back,
            )
            if not rebuilt.exact:
                unfounded.append(each.recommendation_id)
                continue
            person = people.get(user_key, NOBODY)
            offline = user_vector(rebuilt.state, now=each.scored_at, demographics=person)
            if len(each.vector) > len(offline):
                if each.model_version not in pins:
                    pins[each.model_version] = pinned_by(each.model_version)
                pinned = pins[each.model_version]
                if pinned is not None:
                    placed = pinned.placed(rebuilt.state, person)
                    offline = np.concatenate([offline, segment_vector(placed)])
            off = np.abs(offline - each.vector[: len(offline)])
            worst = max(worst, float(off.max(initial=0.0)))
            if not off.max(initial=0.0) <= TOLERANCE:
                feature = (USER_FEATURES + SEGMENT_FEATURES)[int(off.argmax())]
                differing.append(Difference(each.recommendation_id, feature, float(off.max())))
    return Parity(checked, worst, differing, unfounded)


def _sampled(table: pa.Table) -> Iterator[Sampled]:
    instants = table["scored_at"].cast(pa.int64()).to_pylist()
    rows = zip(*(table[name].to_pylist() for name in COLUMNS), instants, strict=True)
    for recommendation_id, user_key, _, version, model_version, inputs, micros in rows:
        vector = unpack_inputs(inputs).user
        yield Sampled(recommendation_id, user_key, micros / 1e6, version, model_version, vector)
