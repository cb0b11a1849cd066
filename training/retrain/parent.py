"""Whether a new version may go on from the champion, and what stands against it."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from registry.versions.forgetting import reading_of
from registry.versions.versions import Registered, Registry
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.purposes import scan_for
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.sequence.retriever import Sequence as SequenceRetriever
from tailorbird.segments.pinned import PinnedSegments, pinned_version
from tailorbird.settings import Settings
from tailorbird.streams.position import Position
from training.data.dataset import Dataset
from training.fit.train import TAKEN_BACK, WENT_ON, Parent
from training.forget.due import due
from training.publish.code import model_code
from training.publish.publish import ARRIVED, THROUGH
from training.retrain.order import Order
from training.retrain.withdrawn import withdrawn

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
    reading = reading_of(registry, champion)
    # Each version of a line was asked so before it went on: words that it heard are behind it.
    lost = withdrawn(
        registry.settings,
        reading.counted,
        through=through_of(champion),
        taken_back=int(champion.tags.get(TAKEN_BACK, ALWAYS[0])),
    )
    if lost:
        return None, f"{lost:,} events and slates that it learned from may not be learned from any more"
    learned = arrived_of(champion).timestamp()
    if (late := late_since(registry.settings, champion)) >= LEAST_NEWER:
        return None, f"{late:,} events of before were brought in since"
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
    return Parent(champion, model, learned, reading.learned), ""


def arrived_of(version: Registered) -> dt.datetime:
    """When the last of the events had arrived that a version learned from; of versions that do not say when it happened."""
    return dt.datetime.fromisoformat(version.tags.get(ARRIVED) or version.tags["data_last"])


def through_of(version: Registered) -> Position | None:
    """Up to where the stream was read for a version; None of one that does not say."""
    said = version.tags.get(THROUGH)
    return None if said is None else Position.from_text(said)


def late_since(settings: Settings, version: Registered) -> int:
    """Events on items that were stored after a version's data was read, as if they had arrived before: imported history is.

    A network that goes on never learns them, as it takes up what arrived later.
    """
    through = through_of(version)
    if through is None:
        return 0
    arrived, late = arrived_of(version), 0
    later = scan_for(
        settings,
        PERSONALIZATION,
        columns=["item_id", "received_time"],
        after=through,
    )
    for batch in later:
        before = pc.less_equal(batch["received_time"], pa.scalar(arrived, batch["received_time"].type))
        late += pc.sum(pc.and_(before, pc.is_valid(batch["item_id"]))).as_py() or 0
    return late
