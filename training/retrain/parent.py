"""Whether a new version may go on from the champion, and what stands against it."""

import datetime as dt

from registry.forgetting import reading_of
from registry.versions import Registered, Registry
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.sequence.retriever import Sequence as SequenceRetriever
from tailorbird.segments.pinned import PinnedSegments, pinned_version
from training.data.dataset import Dataset
from training.fit.train import WENT_ON, Parent
from training.forget.due import due
from training.publish.code import model_code
from training.retrain.order import Order

LEAST_NEWER = 200
"""Newer events that speak for an item below which nothing could be asked of what goes on: half of them are its test part."""


def parent_of(
    registry: Registry,
    champion: Registered,
    dataset: Dataset,
    *,
    order: Order,
    pinned: PinnedSegments | None,
) -> tuple[Parent | None, str]:
    """The champion as a parent; or None and why the new version begins from nothing."""
    if order.full:
        return None, "as was asked"
    if champion.tags.get("code") != model_code():
        return None, "other code made the champion, or it was counted anew"
    if champion.tags.get("segments", "none") != pinned_version(pinned):
        return None, "other segments are pinned"
    if int(champion.tags.get(WENT_ON, "0")) >= order.warm:
        return None, f"{order.warm} versions went on from each other"
    if any(
        each.learned for each in due(registry.settings, registry) if each.version.version == champion.version
    ):
        return None, "the champion has learned from people who were erased since"
    learned = dt.datetime.fromisoformat(champion.tags["data_last"]).timestamp()
    newer = int((dataset.interactions.times > learned).sum())
    if newer < LEAST_NEWER:
        return (
            None,
            f"{newer:,} events are newer, {LEAST_NEWER} are needed to tell whether what goes on is any good",
        )
    model = champion.open().model
    assert isinstance(model, HybridModel)
    if model.text_space is None and any(
        isinstance(each, SequenceRetriever) for each in model.retrievers.values()
    ):
        return None, "the champion's bundle does not hold where its texts lie"
    return Parent(champion, model, learned, reading_of(registry, champion).learned), ""
