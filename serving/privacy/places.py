"""Every place where a workspace keeps something of people, in the order in which they are erased; and what holds nobody."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property

from feature_repo.layout import online_file
from feature_repo.store import FeatureStoreRoom
from registry.versions.people import RunTables
from tailorbird.backup.keys import BackupsPlace
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.files import QuarantinePlace, ReportsPlace, SegmentsPlace
from tailorbird.privacy.erasure.places import DeliveriesPlace, People, Place, Row, StreamPlace, UsersPlace
from tailorbird.privacy.export.saying import events_in_words, exposures_in_words, instant_of
from tailorbird.privacy.export.shelf import ExportsPlace
from tailorbird.privacy.people.book import BookPlace
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures

HOLDS_NOBODY: Mapping[str, str] = {
    "catalog/items.parquet": "items",
    "catalog/changes/*": "what items were before",
    "catalog/.*": "locks",
    "catalog/shared.json": "which tables of a shared catalogue are here",
    "events.db*": "claimed by events; its digests of message ids stay, and say nothing of anybody",
    "exposures.db*": "claimed by exposures; its digests of recommendation ids stay",
    "features/layout": "what rows mean",
    "features/registry.pb": "Feast's definitions",
    "features/built.json": "when rows were made",
    "features/offline/item_profile/*": "items",
    "features/offline/*/mark.json": "how far rows follow the events",
    "features/*.lock": "locks",
    "features/.*": "locks",
    "features/offline/*/.lock": "locks",
    "archive/*.lock": "locks",
    "quarantine/.lock": "locks",
    "bundles/*": "copies of bundles: items and weights",
    "privacy/suppressed.db*": "person keys on purpose: who is not to be stored any more",
    "privacy/shared.json": "that machines share the people, and where",
    "privacy/erasures.db*": "person keys on purpose: receipts",
    "privacy/backups.json": "where backups lie",
    "privacy/retention.json": "when what is too old went last",
    "secrets/master.key": "the master key",
    "secrets/keyring.json": "keys, wrapped",
    "secrets/.lock": "locks",
    "privacy/.*": "locks",
    "privacy/exports/.*": "locks",
    "*.toml": "what an operator wrote: arms, scenarios, rules, triggers, gates",
    ".*.lock": "locks",
    ".upload-*": "a file that is being sent to admin; what a killed process left goes with the next one",
    "audit.db*": "who did what; people as keyed hashes",
    "audit.key": "the key of these hashes",
    "keys.json": "hashes, names and scopes of API keys",
    "key-counts.bin": "how often each API key was used",
    "serving.json": "where the platform that serves it is",
    "demo.json": "which steps of the demo are done",
    "studies/*": "recipes that were tried, and their figures",
    "mappings/*": "what an operator wrote",
    "experiments/*": "what an operator wrote: experiments",
    "readouts/*": "how many units each readout counted",
    "shadows.db*": "how answers of shadows compared, added up; of nobody",
    "experiments.db*": "which experiments run and who moved them; no units",
    "retraining.db*": "rounds of retraining: versions, figures, and which process was at it",
    "simulated/*": "the demo's invented people, as any file that is ingested: whoever brings files erases them there",
}
"""Files of a workspace, as globs, that hold nothing of people, and what they are."""


class OnlinePlace:
    """Live profiles, in every layout and in what is being made beside."""

    name = "profiles"
    words = "the live profile: history, counters, what was hidden or had"
    claims = ("features/online.db*",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _room(self) -> FeatureStoreRoom:
        return FeatureStoreRoom(self._settings)

    def count(self, people: People) -> Mapping[str, int]:
        """Rows of each."""
        return self._room.held(list(people)) if has_online(self._settings) else {}

    def erase(self, people: People) -> None:
        """Forget the rows, here and in what is being made to take their place."""
        if has_online(self._settings):
            self._room.delete_online(people)

    def read(self, people: People) -> Iterator[Row]:
        """How much each row holds; what it says, in words, is the section of the profile."""
        for state in self._room.online_parts(sorted(self.count(people))):
            yield {
                "key": state.user_key,
                "events": state.total,
                "last": instant_of(state.last_seen / 1e6),
                "words": f"kept under {state.user_key}: {state.total:,} events",
            }

    verify = count


class OfflinePlace:
    """Profiles at instants of the past, as training joined them."""

    name = "past profiles"
    words = "profiles at instants of the past, which training read"
    claims = ("features/offline/user_profile/*",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _room(self) -> FeatureStoreRoom:
        return FeatureStoreRoom(self._settings)

    def count(self, people: People) -> Mapping[str, int]:
        """Rows of each."""
        return self._room.rows.count_of(people) if self._room.rows.folder.is_dir() else {}

    def erase(self, people: People) -> None:
        """Write the files without them."""
        if self._room.rows.folder.is_dir():
            self._room.rows.forget_all(people)

    def read(self, people: People) -> Iterator[Row]:
        """As which instants; what was known then follows from the events."""
        if self._room.rows.folder.is_dir():
            for key, instant in self._room.rows.instants_of(people):
                yield {
                    "key": key,
                    "at": instant_of(instant),
                    "words": "your profile as it was then, for training",
                }

    verify = count


class RunTablesPlace:
    """Tables of runs in MLflow: the cases that models were asked."""

    name = "runs"
    words = "cases of evaluations in MLflow: what the person chose, and where a model had put it"
    claims = ()

    def __init__(self, settings: Settings) -> None:
        self._tables = RunTables(settings)

    def count(self, people: People) -> Mapping[str, int]:
        """Cases of each."""
        return self._tables.count(people)

    def erase(self, people: People) -> None:
        """Put the tables without them in the place of those with them."""
        self._tables.erase(people)

    def read(self, people: People) -> Iterator[Row]:
        """The cases."""
        yield from self._tables.read(people)

    verify = count


class RankingsPlace:
    """Kept rankings: replicas give none of somebody who is suppressed; those in Redis lapse."""

    name = "rankings"
    words = "rankings kept for the next equal request"
    claims = ()

    def __init__(self, settings: Settings, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._lapse_seconds = 0.0 if settings.result_cache == "memory" else settings.result_cache_seconds
        self._sleep = sleep

    def count(self, people: People) -> Mapping[str, int]:
        """Nobody can tell: in memory they are each replica's own, in Redis their keys name nobody."""
        return Counter()

    def erase(self, people: People) -> None:
        """In memory they went when the list of the suppressed changed; wait until the last in Redis has lapsed."""
        self._sleep(self._lapse_seconds)

    def read(self, people: People) -> Iterator[Row]:
        """They hold nothing that exposures do not tell."""
        return iter(())

    verify = count


def has_online(settings: Settings) -> bool:
    """Whether there are live profiles, as far as one can tell without asking another machine."""
    return settings.online != "sqlite" or online_file(settings.feature_folder).exists()


def places_of(settings: Settings, *, door: Door | None = None) -> Sequence[Place]:
    """All of a workspace, in the order in which they are erased: what is made anew from another comes after it."""
    opened = cache(lambda: door or Door.of(settings))
    return (
        StreamPlace(
            "events",
            "what the person did: the log and its archive",
            open_stream=lambda: open_events(settings),
            said=lambda table: events_in_words(table, personal=opened().personal),
            claims=("events.db*", "events.kafka.db*", "archive/events/*", "archive/events/*/*"),
        ),
        StreamPlace(
            "exposures",
            "what the person was shown, with the features it was ranked by: the log and its archive",
            open_stream=lambda: open_exposures(settings),
            said=exposures_in_words,
            claims=("exposures.db*", "exposures.kafka.db*", "archive/exposures/*", "archive/exposures/*/*"),
        ),
        OnlinePlace(settings),
        OfflinePlace(settings),
        UsersPlace(settings),
        SegmentsPlace(settings.folder),
        QuarantinePlace(
            settings.quarantine_folder,
            keyring=lambda: opened().keyring,
            keys_of_id=lambda identifier: opened().keys_of_id(identifier),
        ),
        ReportsPlace(settings.folder),
        DeliveriesPlace(settings.folder),
        RunTablesPlace(settings),
        ExportsPlace(settings.folder),
        RankingsPlace(settings),
        BookPlace(lambda: opened().book),
        BackupsPlace(settings.folder, shared=bool(settings.people)),
    )
