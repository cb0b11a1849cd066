"""What a model counted, counted anew over the log as it is: who was erased since is in none of it, all else is as it was."""

from dataclasses import replace

import numpy as np

from tailorbird.catalog.catalog import Users
from tailorbird.events.valence import RatingScale
from tailorbird.features.demographics import segments_of
from tailorbird.features.items.items import ItemTable
from tailorbird.models.base import Retriever
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.retrievers.content import Content
from tailorbird.models.retrievers.cooccurrence import Cooccurrence
from tailorbird.models.retrievers.habit import Habit
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.settings import Settings
from training.data.dataset import Dataset, interactions_of
from training.data.groups import grouped


def seen_by(model: HybridModel, dataset: Dataset, *, until: float, settings: Settings) -> Dataset:
    """Of ``dataset`` what ``model`` may have learned from: its items, events up to ``until`` (epoch seconds)."""
    events = dataset.events.where(dataset.events.times <= round(until * 1e6))
    scale = RatingScale.parse(settings.rating_scale)
    known = interactions_of(events, model.catalog, taste=model.recipe.taste, scale=scale)
    own = replace(dataset, catalog=model.catalog, events=events, interactions=known)
    return own if model.pinned is None else grouped(own, model.pinned.model, settings=settings)


def counted_anew(model: HybridModel, dataset: Dataset) -> HybridModel:
    """The model with its counts made of ``dataset`` (of :func:`seen_by`), and what it learned as it is.

    Counts are co-occurrence with EASE, popularity of everybody and of each segment, habit, and what happened to the items.
    They are what :func:`~training.fit.going_on.extended` makes of the same data: a rebuild, not an approximation.
    """
    interactions, users = dataset.interactions, dataset.users
    retrievers = {
        name: source.fit(interactions, model.catalog)
        if (source := to_count(name, model, users, interactions.user_ids)) is not None
        else kept
        for name, kept in model.retrievers.items()
    }
    counters = ItemTable.counted(model.catalog, dataset.events, model.items_at)
    return HybridModel(
        catalog=model.catalog,
        retrievers=retrievers,
        ranker=model.ranker,
        item_table=model.item_table.with_counters(counters),
        items_at=model.items_at,
        recipe=model.recipe,
        shares=model.shares,
        text_space=model.text_space,
        pinned=model.pinned,
    )


def learned_parts(model: HybridModel) -> list[str]:
    """What of a model is weights that were learned from people: only learning anew takes somebody out of these."""
    counts = {Cooccurrence.name, Popularity.name, Habit.name, Content.name}  # Content reads what items say
    found = [name for name in model.retrievers if name not in counts]
    found += ["ranker"] if model.ranker.trained else []
    return found + (["segments"] if model.pinned is not None else [])


def to_count(name: str, model: HybridModel, users: Users, user_ids: np.ndarray) -> Retriever | None:
    """A source of this name and of the model's recipe that has counted nothing yet; None of one that learns or reads."""
    recipe = model.recipe.resolved
    if name == Cooccurrence.name:
        return Cooccurrence(recipe.cooccurrence)
    if name == Habit.name:
        return Habit(recipe.habit)
    if name != Popularity.name:
        return None
    if model.pinned is not None:
        return Popularity(recipe.popularity, learned=model.pinned.model.keys)
    return Popularity(recipe.popularity, user_segments=segments_of(users, user_ids))
