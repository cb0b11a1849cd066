"""The job that erases people: all who wait, place by place in one go, each step noted so that a kill costs nothing."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.privacy.erasure.ledger import Ledger
from tailorbird.privacy.erasure.places import People, Place
from tailorbird.privacy.erasure.receipt import ModelState, PlaceState, Receipt, signed
from tailorbird.privacy.people.person import keys_of
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER, Suppressions
from tailorbird.streams.stream import Stream

log = logging.getLogger("tailorbird.privacy")
AT_ONCE = 5_000
"""People of one pass at most; more come in the next."""
ROUNDS = 5
"""How often what was written meanwhile is erased again before a person is told of it."""
ROUND_SECONDS = 0.5
KEY_PLACES = frozenset({"book of people", "backups"})
"""Where people's keys are: without them nobody sees what another machine let in a moment before."""

OfModels = Callable[[Mapping[str, People]], Mapping[str, Sequence[ModelState]]]
"""Of people, by any name, with all keys of each: what each version in use learned of them, by that name."""
OpenEvents = Callable[[], AbstractContextManager[Stream[Event]]]


class Erasing:
    """Erasures of one workspace. Any process may run it: one at a time works, and finishes what another left.

    The order of ``places`` matters: whatever is made anew from a place comes after it, so the events are first. KEY_PLACES are
    erased once nothing is left in the others, nor on its way to them.
    """

    def __init__(
        self,
        folder: Path,
        places: Sequence[Place],
        *,
        open_events: OpenEvents,
        of_models: OfModels,
        suppressions: Suppressions,
        signing_key: Callable[[], bytes],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        settle_seconds: float = 0.0,
    ) -> None:
        """``signing_key`` gives what receipts are signed with; ``settle_seconds`` is how long a record may be under way that was let in before its person was suppressed."""
        self.folder, self.places, self.ledger = folder, places, Ledger(folder)
        self.suppressions = suppressions
        self._open_events, self._of_models, self.signing_key = open_events, of_models, signing_key
        self._clock, self._sleep, self._settle_seconds = clock, sleep, settle_seconds

    def ask(self, person: str, *, also: People = ()) -> Receipt:
        """Have a person (key) erased; from now on nothing new of them, nor of ``also``, is stored. Twice is once."""
        now = self._clock()
        receipt = self.ledger.ask(person, now=now)
        self.suppressions.suppress({person, *also}, now=now)
        return receipt

    def would_go(self, person: str) -> Receipt:
        """What an erasure would find now; nothing is changed, and nothing kept of the question."""
        with self._open_events() as events:
            people = keys_of(events, [person])[person]
        found = [
            PlaceState(place.name, place.words, sum(place.count(people).values())) for place in self.places
        ]
        models = tuple(self._of_models({person: people}).get(person, ()))
        return Receipt("", person, self._clock(), people=people, places=tuple(found), models=models)

    def run(self) -> int:
        """Finish what waits, one pass for all of them; how many are done. 0 where another process is at it.

        Raises:
            TailorbirdError: a place cannot be erased now; the others are, and the next run goes on.
        """
        if not self.ledger.path.exists():
            return 0
        with alone_if_free(self.folder / PRIVACY_FOLDER / ".erasing.lock") as mine:
            waiting = self.ledger.unfinished(limit=AT_ONCE) if mine else []
            return self._finish(waiting) if waiting else 0

    def _finish(self, receipts: Sequence[Receipt]) -> int:
        receipts = self._begun(receipts)
        troubles: list[str] = []
        for places in self._parted():
            for place in places:
                try:
                    receipts = self._erased(place, receipts)
                except TailorbirdError as error:
                    troubles.append(f"{place.name}: {error}")
                    log.warning("erasing in %s waits: %s", place.name, error)
            troubles += self._verified(receipts, places) if not troubles else []
        if troubles:
            problem = "; ".join(troubles)
            self.ledger.keep([replace(each, problem=problem) for each in receipts])
            raise TailorbirdError(f"erasure is not finished: {problem}", remedy="it is tried again")
        key, now = self.signing_key(), self._clock()
        self.ledger.keep(
            [signed(replace(each, state="done", done_at=now, problem=""), key) for each in receipts]
        )
        log.info("%d people erased", len(receipts))
        return len(receipts)

    def _parted(self) -> tuple[list[Place], list[Place]]:
        keys = [place for place in self.places if place.name in KEY_PLACES]
        return [place for place in self.places if place not in keys], keys

    def _begun(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Each with all keys of its person, none of which is stored any more, and with what the models know."""
        new = [each for each in receipts if not each.people]
        if new:
            self.suppressions.suppress({each.person for each in new}, now=self._clock())
            with self._open_events() as events:
                found = keys_of(events, [each.person for each in new])
            self.suppressions.suppress({key for keys in found.values() for key in keys}, now=self._clock())
            named = {each.id: replace(each, people=found[each.person], state="running") for each in new}
            receipts = [named.get(each.id, each) for each in receipts]
            self.ledger.keep(list(named.values()))
        unlooked = [each for each in receipts if not each.looked_for_models]
        if unlooked:
            models = self._of_models({each.id: each.people for each in unlooked})
            told = {
                each.id: replace(each, models=tuple(models.get(each.id, ())), looked_for_models=True)
                for each in unlooked
            }
            receipts = [told.get(each.id, each) for each in receipts]
            self.ledger.keep(list(told.values()))
        return list(receipts)

    def _erased(self, place: Place, receipts: Sequence[Receipt]) -> list[Receipt]:
        todo = [
            each for each in receipts if (known := each.place(place.name)) is None or known.state != "done"
        ]
        if not todo:
            return list(receipts)
        people = {key for each in todo for key in each.people}
        found = place.count(people)
        begun = [each.with_place(_counted(place, each, found, state="running")) for each in todo]
        self.ledger.keep(begun)  # before anything goes: whoever goes on after a kill would count what is left
        place.erase(people)
        ended = {each.id: each.with_place(_counted(place, each, {}, state="done")) for each in begun}
        self.ledger.keep(list(ended.values()))
        return [ended.get(each.id, each) for each in receipts]

    def _verified(self, receipts: Sequence[Receipt], places: Sequence[Place]) -> list[str]:
        """Look into places again until nothing is left; what is, in words."""
        people = {key for each in receipts for key in each.people}
        since = self.suppressions.since(people)
        # Who was let in a moment before may still be on the way to the stream.
        settled = max(since.values(), default=0.0) + self._settle_seconds
        left: dict[str, int] = {}
        for _ in range(ROUNDS):
            if (wait := settled - self._clock()) > 0:
                self._sleep(wait)
            left = {}
            for place in places:
                count = sum(place.verify(people).values())
                if count:
                    left[place.name] = count
                    place.erase(people)
            if not left:
                return []
            self._sleep(ROUND_SECONDS)
        return [f"{name}: {count} are left" for name, count in left.items()]


def left_of(places: Sequence[Place], people: People) -> dict[str, int]:
    """What every place holds of people now, as it finds by itself. Raises TailorbirdError where one cannot be looked into."""
    return {place.name: sum(place.verify(people).values()) for place in places}


def looked_into(places: Sequence[Place], people: People) -> tuple[dict[str, int], dict[str, str]]:
    """As :func:`left_of` of those places that can be looked into; and why the others cannot."""
    left: dict[str, int] = {}
    unseen: dict[str, str] = {}
    for place in places:
        try:
            left |= left_of([place], people)
        except TailorbirdError as error:
            unseen[place.name] = str(error)
    return left, unseen


def _counted(place: Place, receipt: Receipt, found: Mapping[str, int], *, state: str) -> PlaceState:
    before = receipt.place(place.name) or PlaceState(place.name, place.words)
    count = max(before.found, sum(found.get(key, 0) for key in receipt.people))
    return replace(before, found=count, state=state)  # type: ignore[arg-type]
