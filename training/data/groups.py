"""Which learned segment everybody was in when something happened: the training set's interactions, each with that of its instant."""

from dataclasses import replace

from tailorbird.events.valence import RatingScale
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import scan_for
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import EVENT_COLUMNS
from tailorbird.features.profile.replay import ReplayProfiles, Timelines
from tailorbird.segments.model import SegmentModel
from tailorbird.segments.past import with_groups
from tailorbird.settings import Settings
from training.data.dataset import Dataset


def grouped(dataset: Dataset, model: SegmentModel, *, settings: Settings) -> Dataset:
    """The data set whose interactions say who was in which segment of ``model``: one pass over the log."""
    facts = ItemFacts.of(dataset.catalog, scale=RatingScale.parse(settings.rating_scale))
    batches = scan_for(settings, PERSONALIZATION, columns=EVENT_COLUMNS)
    timelines = Timelines.of((batch.to_pandas() for batch in batches), facts)
    interactions = with_groups(
        dataset.interactions,
        model,
        profiles=ReplayProfiles(timelines, facts, length=settings.history_length),
        people=demographics_of(dataset.users),
    )
    return replace(dataset, interactions=interactions)
