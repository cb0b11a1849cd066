"""Builds recommenders from what a workspace holds: its catalogue, its bundle, its live item features."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from serving.recommend.arms.arrivals import Arrivals
from tailorbird.bundle import open_bundle
from tailorbird.bundle.manifest import BundleError, Manifest
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.files import ITEMS_FILE, read_stamp
from tailorbird.catalog.log.told import Told
from tailorbird.catalog.passing import PassingItems
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event, user_key
from tailorbird.features.demographics import NOBODY, Demographics, demographics_of, told_more
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.stages import HybridStages, recommender_of
from tailorbird.settings import Settings
from tailorbird.slate.fallback import FallbackChain
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf

log = logging.getLogger("ray.serve.tailorbird")
LiveItems = Callable[[ItemTable], ItemTable]
"""Gives the items of a table with what has happened to them by now."""


WARM_EVENTS = 64


class RecommenderBuilder:
    """What serving knows of one workspace besides the live profiles."""

    def __init__(
        self,
        settings: Settings,
        *,
        live_items: LiveItems | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._live_items, self._clock = settings, live_items, clock
        self.read_users()
        self._arrivals = Arrivals()
        self._stocked: dict[str, str] = {}

    def demographics(self, key: str) -> Demographics:
        """What we know of a person apart from what they did."""
        return self._demographics.get(key, NOBODY)

    def read_users(self) -> None:
        """Read again what is known of people apart from what they did."""
        self._demographics = demographics_of(Users.read(self._settings.catalog_folder))

    def with_bundle(self, folder: Path, *, version: str) -> Recommender:
        """Open a bundle, every checksum verified.

        Raises:
            BundleError: the bundle is missing or damaged.
        """
        bundle = open_bundle(folder)
        bundle.manifest.verify(
            folder
        )  # again: a file may have been damaged between its check and its reading
        catalog = bundle.model.catalog
        recommender = recommender_of(
            bundle.model,
            name=self._settings.model_name,
            version=version,
            shelf=Shelf.of(catalog),
            chain=FallbackChain.of(
                catalog,
                everyone=bundle.fallbacks.everyone,
                segments=bundle.fallbacks.segments,
                editorial=self._editorial(),
            ),
        )
        return self.refreshed(recommender, always=True)

    def size(self, folder: Path) -> int:
        """Bytes of a bundle's files, by its manifest: about what its model takes in memory. 0 where that is unreadable."""
        try:
            return sum(record.bytes for record in Manifest.read(folder).files.values())
        except BundleError:
            return 0

    def without_model(self, why: str) -> Recommender:
        """Answers from lists alone: what is popular by the live item features, then the editor's choice."""
        try:
            catalog = Catalog.read(self._settings.catalog_folder)
        except (OSError, ValueError, KeyError) as error:
            log.warning("no catalogue to fall back on: %s", error)
            catalog = Catalog.of_ids([])
        return Recommender(
            name=self._settings.model_name,
            version="",
            shelf=Shelf.of(catalog).restocked(catalog),
            chain=FallbackChain.of(catalog, everyone=self._popular(catalog), editorial=self._editorial()),
            trouble=why,
        )

    def refreshed(self, recommender: Recommender, *, always: bool = False) -> Recommender:
        """The same recommender with the newest stock and item features."""
        # A compaction changes the file and says nothing new: the shelf has heard it all.
        path = self._settings.catalog_folder / ITEMS_FILE
        generation, failed = read_stamp(path).generation, False
        if generation and (always or generation != self._stocked.get(recommender.version)):
            current = PassingItems(self._settings.catalog_folder)
            try:
                recommender = self._arrivals.read(recommender, current)
            except Exception as error:
                if always:
                    raise
                failed = True
                log.warning("version %r does not take new items in: %s", recommender.version, error)
            recommender = replace(recommender, shelf=recommender.shelf.restocked(current))
        if isinstance(recommender.stages, HybridStages):
            recommender = replace(recommender, stages=recommender.stages.settled())
        if self._live_items is not None and isinstance(recommender.stages, HybridStages):
            try:
                table = self._live_items(recommender.stages.model.item_table)
            except Exception as error:  # the bundle's own item features keep serving
                log.warning("live item features are away: %s", error)
            else:
                recommender = replace(
                    recommender, stages=recommender.stages.with_items(table, now=self._clock())
                )
        if not failed:
            self._stocked[recommender.version] = generation
        return recommender

    def tell_items(self, recommender: Recommender, items: Mapping[str, Told]) -> Recommender:
        """Take over what was told of items; a recommender that grows by new ones is another one, the shelf of both hears.

        Where that fails, the recommender stays, and its next refresh reads the tables. Never raises.
        """
        try:
            recommender.shelf.tell(
                items
            )  # first: what is sold out or deleted goes, whatever becomes of what is new
            return self._arrivals.tell(recommender, items)
        except Exception as error:
            log.warning(
                "version %r reads the catalogue at its next refresh: taking over what was told failed: %r",
                recommender.version,
                error,
            )
            self._stocked.pop(recommender.version, None)
            return recommender

    def read_again(self) -> None:
        """Have every recommender read the tables at its next refresh, also where no other tables took their place."""
        self._stocked.clear()

    def tell_users(self, users: Mapping[str, Told]) -> None:
        """Take over what was told of users."""
        for user_id, told in users.items():
            key = user_key(user_id=user_id, anonymous_id=None)
            self._demographics[key] = told_more(self.demographics(key), told)

    def sample_queries(self, recommender: Recommender) -> Sequence[Query]:
        """Queries to warm a model with before any real one came: nobody, and people with a few events."""
        few = np.arange(0, min(7 * WARM_EVENTS, len(recommender.catalog)), 7)
        some = Catalog(recommender.catalog.some(few))
        ids, facts, now = some.item_ids, ItemFacts.of(some), self._clock()
        queries = [Query(UserState.empty("warm-up"), now)]
        for length in (1, 8, WARM_EVENTS):
            events = [
                Event(
                    f"{length}-{n}",
                    "view",
                    now - n,
                    now - n,
                    user_id="warm-up",
                    item_id=str(ids[n % len(ids)]),
                )
                for n in range(length)
                if len(ids)
            ]
            queries.append(Query(fold(UserState.empty("warm-up"), events, facts), now))
        return queries

    def _popular(self, catalog: Catalog) -> Sequence[str]:
        if self._live_items is None or not len(catalog):
            return ()
        try:
            totals = self._live_items(ItemTable.of(catalog, ItemCounters.empty(len(catalog)))).totals
        except Exception as error:
            log.warning("no popularity to fall back on: %s", error)
            return ()
        return [str(catalog.item_ids[row]) for row in (-totals).argsort(kind="stable") if totals[row] > 0]

    def _editorial(self) -> Sequence[str]:
        path = self._settings.catalog_folder / "editorial.txt"
        try:
            return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise TailorbirdError(
                f"editorial list {path} cannot be read: {error}", remedy="write one item id a line, UTF-8"
            ) from error
