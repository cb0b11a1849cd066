"""Everything of a person: what lies in every place, and what follows from it, in words."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from feature_repo.portraits import Portraits
from serving.privacy.erasures import models_that_know
from serving.privacy.places import has_online, places_of
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.places import Row
from tailorbird.privacy.export.export import (
    Format,
    Section,
    consents_of,
    decisions_of,
    moves_of,
    sections_of_places,
    variants_of,
    write_export,
)
from tailorbird.privacy.export.saying import instant_of
from tailorbird.privacy.export.shelf import ExportShelf
from tailorbird.privacy.people.person import keys_of
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events


class Exports:
    """Exports of one workspace."""

    def __init__(
        self,
        settings: Settings,
        *,
        door: Door,
        portraits: Portraits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._door, self._portraits, self._clock = settings, door, portraits, clock
        self.shelf = ExportShelf(settings.folder, clock=clock)

    def make(self, person: str, *, form: Format) -> Path:
        """Write everything of a person (key) to a file that lies on the shelf for a while.

        Raises:
            TailorbirdError: a place cannot be read now.
        """
        return self.shelf.put(person, form=form, write=lambda path: self.write(person, path, form=form))

    def write(self, person: str, path: Path, *, form: Format) -> dict[str, int]:
        """Write everything of a person to ``path``; how many rows each section has."""
        with open_events(self._settings) as events:
            people = keys_of(events, [person])[person]
        head = {"person": person, "keys": list(people), "workspace": self._settings.workspace}
        sections = self.sections(people)
        return write_export(sections, path, form=form, head={**head, "at": instant_of(self._clock())})

    def sections(self, people: Sequence[str]) -> list[Section]:
        """All sections: first what is understood of somebody, then what lies where."""
        places = places_of(self._settings, door=self._door)
        events, exposures = places[0], places[1]
        return [
            Section("profile", "what the platform knows of you now", lambda: self._profiles(people)),
            Section("moves", "segments you moved between", lambda: moves_of(events, people)),
            Section("consents", "what you consented to", lambda: consents_of(events, people)),
            Section("experiments", "which variants answered you", lambda: variants_of(exposures, people)),
            Section("decisions", "what programs decided about you", lambda: decisions_of(exposures, people)),
            Section("models", "model versions that may have learned from you", lambda: self._models(people)),
            *sections_of_places(places, people),
        ]

    def _profiles(self, people: Sequence[str]) -> Iterator[Row]:
        if has_online(self._settings):
            portrait = self._portraits.live(people[0])
            if portrait.events:
                yield {**portrait.plain(), "words": f"{portrait.events:,} events are known of you"}

    def _models(self, people: Sequence[str]) -> Iterator[Row]:
        for each in models_that_know(self._settings, people):
            learned = {
                "yes": "learned from you",
                "no": "did not learn from you",
                "unknown": "may have learned from you",
            }
            yield {
                **asdict(each),
                "words": f"{each.name} {each.version} ({each.alias}) {learned[each.held]}: {each.why}",
            }
