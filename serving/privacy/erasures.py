"""Erasures of one workspace, with everything they need: for admin's replicas and for the command."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from registry.versions.forgetting import followed
from registry.versions.people import Span, models_of
from serving.privacy.places import places_of
from tailorbird.backup.keys import OthersErased
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import BESIDE_TYPES
from tailorbird.privacy.erasure.erasing import AT_ONCE, Erasing
from tailorbird.privacy.erasure.places import People
from tailorbird.privacy.erasure.receipt import ModelState, Receipt
from tailorbird.privacy.export.shelf import ExportShelf
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events

log = logging.getLogger("tailorbird.privacy")
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 3.0
"""How long a record may be on its way to a broker that was let in before its person was suppressed."""


def open_erasing(settings: Settings) -> Erasing:
    """The erasures of a workspace; nothing is opened until there is something to erase."""
    return Erasing(
        settings.folder,
        places_of(settings),
        open_events=lambda: open_events(settings),
        suppressions=Suppressions.of(settings),
        of_models=lambda people: _models(settings, people),
        signing_key=lambda: open_keyring(settings).receipts,
        # The embedded engine looks at the list within the transaction that stores: nothing is on its way there.
        settle_seconds=0.0 if settings.events == "sqlite" else SETTLE_SECONDS,
    )


def erase_while_serving(settings: Settings, *, stop: threading.Event) -> None:
    """Erase whoever is asked for, and exports whose time is over, until ``stop``; of all processes that do, one works at a time.

    Raises:
        TailorbirdError: something cannot be erased now. Call it again.
    """
    erasing, shelf = open_erasing(settings), ExportShelf(settings.folder)
    while not stop.wait(LOOK_SECONDS):
        shelf.sweep()
        erasing.run()


def follow_others_while_serving(settings: Settings, *, stop: threading.Event) -> None:
    """Where machines share people, take away the keys, beside this one's backups, of whoever was erased on another, until ``stop``.

    Beside the erasures of its own, which may take hours or wait for a place. What cannot be done now is tried with the next look:
    who was looked at is known as long as this runs.
    """
    if not settings.people:
        return
    erasing, others, trouble = open_erasing(settings), OthersErased(settings.folder), ""
    while not stop.wait(LOOK_SECONDS):
        try:
            follow_others(others, erasing)
            trouble = ""
        except TailorbirdError as error:
            if str(error) != trouble:
                trouble = str(error)
                log.warning("keys beside backups, of people whom other machines erased, wait: %s", trouble)


def follow_others(others: OthersErased, erasing: Erasing) -> None:
    """Take away the keys of whoever other machines erased; those of our own go with their receipt, which counts them."""
    listed = erasing.suppressions.everybody()  # the list first: who asks from here on is not in it
    waiting = erasing.ledger.unfinished(limit=AT_ONCE)
    # Until all are seen, and their keys known, nobody can tell whose are ours.
    if len(waiting) < AT_ONCE and all(each.people for each in waiting):
        others.follow(listed, but={key for each in waiting for key in (each.person, *each.people)})


def with_models_now(settings: Settings, receipt: Receipt) -> Receipt:
    """The receipt with what has become of its models until now; ``unknown`` where the registry cannot be asked."""
    try:
        return followed(settings, [receipt])[0]
    except TailorbirdError:
        lost = tuple(replace(each, state="unknown", now="") for each in receipt.models)
        return replace(receipt, models=lost)


def models_that_know(settings: Settings, people: Sequence[str]) -> Sequence[ModelState]:
    """Of each version in use, what it learned of a person with these keys."""
    return _models(settings, {"": people})[""]


def _models(settings: Settings, people: Mapping[str, People]) -> Mapping[str, Sequence[ModelState]]:
    keys = {key for some in people.values() for key in some}
    spans = _spans(settings, keys)
    of_people = {name: _joined([spans[key] for key in some if key in spans]) for name, some in people.items()}
    try:
        return models_of(settings, of_people)
    except TailorbirdError as error:
        why = f"the registry is away: {error.what}"
        unknown = ModelState("", settings.model_name, "", "unknown", why, "unknown")
        return {name: [unknown] for name in people}


def _joined(spans: Sequence[Span]) -> Span | None:
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None


def _spans(settings: Settings, people: People) -> Mapping[str, Span]:
    """First and last event of each person key that has some."""
    spans: dict[str, Span] = {}
    with open_events(settings) as events:
        where = [("user_key", "in", list(people))]
        for batch in events.scan(columns=["user_key", "type", "event_time"], where=where):
            times = batch["event_time"].cast(pa.int64()).to_pylist()
            rows = zip(batch["user_key"].to_pylist(), batch["type"].to_pylist(), times, strict=True)
            for key, kind, micros in rows:
                if kind not in BESIDE_TYPES:
                    first, last = spans.get(key, (micros / 1e6, micros / 1e6))
                    spans[key] = min(first, micros / 1e6), max(last, micros / 1e6)
    return spans
