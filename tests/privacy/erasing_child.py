"""A process that erases whoever waits, for tests that kill it: ``python -m tests.privacy.erasing_child FOLDER``."""

import sys
from pathlib import Path
from typing import Any

from tailorbird.privacy.erasure.erasing import Erasing
from tailorbird.privacy.erasure.files import QuarantinePlace, SegmentsPlace
from tailorbird.privacy.erasure.places import DeliveriesPlace, StreamPlace, UsersPlace
from tailorbird.privacy.export.saying import events_in_words
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events


def open_small(settings: Settings, **more: Any) -> Erasing:
    """Erasures in the places that need no feature store and no registry, so that a process starts quickly."""
    return Erasing(
        settings.folder,
        (
            StreamPlace(
                "events",
                "what was done",
                open_stream=lambda: open_events(settings),
                said=events_in_words,
                claims=("events.db*",),
            ),
            UsersPlace(settings),
            SegmentsPlace(settings.folder),
            QuarantinePlace(
                settings.quarantine_folder,
                keyring=lambda: open_keyring(settings),
                keys_of_id=lambda identifier: [f"user:{identifier}"],
            ),
            DeliveriesPlace(settings.folder),
        ),
        open_events=lambda: open_events(settings),
        suppressions=Suppressions.of(settings),
        of_models=lambda people: {},
        signing_key=lambda: open_keyring(settings).receipts,
        **more,
    )


def main(home: str) -> None:
    """Say when it begins, erase, say when it has ended."""
    erasing = open_small(load_settings(home=home, mlruns=Path(home) / "mlruns", workspace="test"))
    _say("begins")
    erasing.run()
    _say("ended")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
