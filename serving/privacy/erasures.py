"""Erasures of one workspace, with everything they need: for admin's replicas and for the command."""

import threading
from collections.abc import Mapping, Sequence

import pyarrow as pa

from registry.people import Span, models_of
from serving.privacy.places import places_of
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import BESIDE_TYPES
from tailorbird.privacy.erasing import Erasing, of_person
from tailorbird.privacy.keyring import open_keyring
from tailorbird.privacy.places import People
from tailorbird.privacy.receipt import ModelState
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events

LOOK_SECONDS = 0.5
SETTLE_SECONDS = 3.0
"""How long a record may be on its way to a broker that was let in before its person was suppressed."""


def open_erasing(settings: Settings) -> Erasing:
    """The erasures of a workspace; nothing is opened until there is something to erase."""
    return Erasing(
        settings.folder,
        places_of(settings),
        open_events=lambda: open_events(settings),
        of_models=lambda people: _models(settings, people),
        signing_key=lambda: open_keyring(settings).receipts,
        # The embedded engine looks at the list within the transaction that stores: nothing is on its way there.
        settle_seconds=0.0 if settings.events == "sqlite" else SETTLE_SECONDS,
    )


def erase_while_serving(settings: Settings, *, stop: threading.Event) -> None:
    """Erase whoever is asked for, until ``stop``; of all processes that do, one works at a time.

    Raises:
        TailorbirdError: something cannot be erased now. Call it again.
    """
    erasing = open_erasing(settings)
    while not stop.wait(LOOK_SECONDS):
        erasing.run()


def models_that_know(settings: Settings, people: Sequence[str]) -> Sequence[ModelState]:
    """Of each version in use, what it learned of a person, by whichever of their keys it knows best."""
    return of_person(_models(settings, people), people)


def _models(settings: Settings, people: People) -> Mapping[str, Sequence[ModelState]]:
    spans: dict[str, Span | None] = dict.fromkeys(people)
    with open_events(settings) as events:
        where = [("user_key", "in", list(people))]
        for batch in events.scan(columns=["user_key", "type", "event_time"], where=where):
            times = batch["event_time"].cast(pa.int64()).to_pylist()
            for key, kind, micros in zip(
                batch["user_key"].to_pylist(), batch["type"].to_pylist(), times, strict=True
            ):
                if kind not in BESIDE_TYPES:
                    at, known = micros / 1e6, spans[key]
                    spans[key] = (at, at) if known is None else (min(known[0], at), max(known[1], at))
    try:
        return models_of(settings, spans)
    except TailorbirdError as error:
        unknown = ModelState(
            "", settings.model_name, "", "unknown", f"the registry is away: {error.what}", "unknown"
        )
        return {key: [unknown] for key in people}
