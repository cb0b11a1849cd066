"""A replica's parts without Ray: the real front, service, writers, streams, feature store and registry of the toy shop."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from registry.following.follower import Follower
from registry.versions.versions import Registry
from serving.collect.consents import ConsentService
from serving.collect.fold import ProfileFolder
from serving.collect.links import LinkService
from serving.collect.routes import collect_routes
from serving.collect.service import CollectService
from serving.http.access import Access, needs_of_pages
from serving.http.consents import Consented, ConsentTold
from serving.http.front import Front
from serving.http.schemas import Linked
from serving.http.sdk import sdk_routes
from serving.recommend.arms.arms import ServedArms
from serving.recommend.arms.builder import RecommenderBuilder
from serving.recommend.arms.served import Standing
from serving.recommend.cache.memory import RankingCache
from serving.recommend.cache.results import ResultCache
from serving.recommend.request.facts import LiveFacts
from serving.recommend.request.hydrate import Hydrator
from serving.recommend.request.named import Named
from serving.recommend.request.visit import Visit
from serving.recommend.routes.assignments import AssignmentService
from serving.recommend.routes.consent import ConsentRoute
from serving.recommend.routes.merge import MergeRoutes
from serving.recommend.routes.pages import PAGES, build_pages
from serving.recommend.routes.routes import recommend_routes
from serving.recommend.routes.trace import TraceService, note_reading, recommender_of
from serving.recommend.slate.draw import SlateDrawer, taken_part
from serving.recommend.slate.exposures import ExposureWriter
from serving.recommend.slate.service import RecommendService
from serving.recommend.slate.shadows import Shadows
from serving.segments.live import LiveSegments
from serving.segments.mover import Mover
from serving.segments.told import ToldPeople
from serving.writer import GroupWriter
from tailorbird.audit.record import record
from tailorbird.bundle import BUNDLE_PATH, Origin, open_bundle, write_bundle
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore
from tailorbird.experiments.arm import CHAMPION, Arm, SlateSettings
from tailorbird.experiments.running.assigning import Assigned, Assignment
from tailorbird.experiments.running.followed import FollowedLedger
from tailorbird.experiments.scenarios import SCENARIOS_FILE, ScenarioFile
from tailorbird.experiments.shadow.tallies import Tallies
from tailorbird.exposures.exposure import Exposure
from tailorbird.features.profile.state import UserState
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.segments.rules.file import RulesFile
from tailorbird.settings import Settings
from tailorbird.slate.recommender import Recommender
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.streams.position import BEGINNING
from tests.slate import toy

PLAIN = Arm(CHAMPION, CHAMPION, SlateSettings(max_category_share=1.0))
"""The champion's arm, whose pages are the model's order."""
WHOLE = 16_936
"""Bytes of the toy bundle, about."""


def flip_a_bit(path: Path) -> None:
    """Damage a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class WatchedBuilder(RecommenderBuilder):
    """The real builder; a test may look at what it opens, and change what comes out of it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.opened: list[str] = []
        self.on_open: Callable[[str], object] = lambda version: None
        self.change: Callable[[Recommender], Recommender] = lambda recommender: recommender

    def with_bundle(self, folder: Path, *, version: str) -> Recommender:
        self.opened.append(version)
        self.on_open(version)
        return self.change(super().with_bundle(folder, version=version))


class World:
    """Both applications over the toy shop's real streams, feature store and registry; ``client`` is what the proxy is."""

    def __init__(
        self,
        settings: Settings,
        *,
        cache_seconds: float = 0.0,
        body: int = 10_000,
        budget: int = 1_000_000,
        poll_seconds: float = 0.01,
        noticed: Callable[[], object] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = toy.NOW
        self.door = Door.of(settings, clock=lambda: self.clock)
        self.log, self.shown = open_events(settings), open_exposures(settings)
        self.before = self.log.end()
        self.features = FeatureStoreRoom(settings)
        self.registry = Registry(settings)
        self.point("1")
        self.notices = 0
        self.swaps: list[tuple[str, str]] = []
        self.catalogue = CatalogFollower(settings.catalog_folder)
        self.builder = WatchedBuilder(settings, live_items=self.features.live_items.over)
        self.declared: list[Arm] = [PLAIN]
        self.served = ServedArms(
            Follower(settings),
            self.builder,
            declared=lambda: self.declared,
            running=FollowedLedger(settings.folder),
            budget_bytes=budget,
            poll_seconds=poll_seconds,
            refresh_seconds=60,
            catalogue=self.catalogue,
            noticed=noticed or (lambda: self.notices),
            on_swap=lambda outcome, standing: self.swaps.append((outcome, standing.version)),
        )
        self.served.check()
        self.outcomes: list[tuple[str, int]] = []
        self.exposures = ExposureWriter(
            self.shown,
            pause_seconds=0.01,
            on_outcome=lambda outcome, count: self.outcomes.append((outcome, count)),
        )
        cache = ResultCache(RankingCache(), seconds=cache_seconds) if cache_seconds else None
        self.segments = LiveSegments(settings, clock=lambda: self.clock)
        self.rules = RulesFile(settings.folder, clock=lambda: self.clock)
        self.chosen: dict[str, str] = {}
        self.drawer = SlateDrawer(
            self.served,
            Hydrator(
                self.features, clock=lambda: self.clock, owner_of=lambda n: self.door.book.user_of_number(n)
            ),
            segments=self.segments,
            segment_rules=self.rules,
            cache=cache,
            assign=self._assigned,
            covers=lambda: self.door.policy.covers,
            clock=lambda: self.clock,
        )
        self.scenarios = ScenarioFile(settings.folder / SCENARIOS_FILE, clock=lambda: self.clock)
        self.shadowed: list[tuple[str, int]] = []
        self.shadows = Shadows(
            self.served,
            Tallies(settings.folder),
            rest=0.0,
            pause_seconds=0.01,
            flush_seconds=0.0,
            on_outcome=lambda outcome, count: self.shadowed.append((outcome, count)),
        )
        self.service = RecommendService(
            self.served,
            self.drawer,
            self.exposures,
            workspace="toy",
            workspace_key=settings.workspace_key,
            named=Named(self.door.names, lambda: self.door.policy),
            scenarios=self.scenarios.get,
            trouble=self.scenarios.trouble_with,
            answered=self.shadows.offer,
            sample_share=1.0,
            policy=lambda: self.door.policy,
            streams=(self.shown, self.log),
            watched=(
                lambda: self.segments.trouble,
                lambda: self.rules.trouble,
                lambda: self.rules().shared_with(self.segments.keys),
                lambda: self.scenarios.unknown_segments([*self.segments.keys, *self.rules().keys]),
                lambda: self.scenarios.unknown_outcomes(self.served.champion.outcomes),
            ),
            clock=lambda: self.clock,
        )
        self.mover = Mover(
            self.segments,
            events=self.log,
            read_parts=self.features.online_parts,
            history_length=settings.history_length,
            rules=self.rules,
            told=ToldPeople(settings.catalog_folder).of,
            clock=lambda: self.clock,
            retry_seconds=0.02,
        )
        updater = ProfileUpdater(settings, log=self.log, on_changes=self.mover.take)
        self.folder = ProfileFolder(updater, self.log, retry_seconds=0.02)
        self.writer = GroupWriter(
            self.log,
            fold=self.folder.fold,
            admit=self.door.events,
            refuses=Suppressions.of(settings).refused,
        )
        self.mover.start(partial(self.writer.write, yielding=True))
        collect = CollectService(
            self.writer,
            self.folder,
            workspace="toy",
            known_items=lambda: frozenset(toy.CATALOG.item_ids),
            policy=lambda: self.door.policy,
            clock=lambda: self.clock,
        )
        self.traces = TraceService(
            self.shown,
            self.log,
            noted=partial(note_reading, settings),
            recommender_of=partial(recommender_of, self.served),
            facts=LiveFacts(settings),
            history_length=settings.history_length,
            clock=lambda: self.clock,
        )
        links = LinkService(
            self.writer,
            links_of=updater.links_of,
            named=self.door.named,
            noted=partial(record, settings),
            clock=lambda: self.clock,
        )

        async def link(user_id: str, anonymous_id: str, joined: bool, key: str) -> Linked:
            return await links.link(user_id, anonymous_id, joined=joined, key=key)

        consents = ConsentService(
            self.writer,
            policy=lambda: self.door.policy,
            newest_of=updater.newest_of,
            person_of=lambda identifier, anonymous: self.door.person(identifier, anonymous=anonymous),
            noted=partial(record, settings),
            clock=lambda: self.clock,
        )

        async def say(identifier: str, told: ConsentTold, anonymous: bool, key: str) -> Consented:
            return await consents.say(identifier, told, anonymous=anonymous, key=key)

        service, merge, consent = self.service, MergeRoutes(link), ConsentRoute(say, lambda: self.door.policy)
        asked = AssignmentService(self.served, self.drawer, self.exposures, visit=service.visit)
        pages = build_pages(service, self.traces, merge=merge, assignments=asked, consent=consent, noop=True)
        self.access = Access.of(settings)
        self.front = Front(
            [
                *recommend_routes(service, self.traces, merge, asked, consent),
                *collect_routes(collect),
                *sdk_routes(),
            ],
            rest=pages,
            access=self.access,
            rest_needs=needs_of_pages(pages, by_path=PAGES, by_tag={}),
            max_body_bytes=body,
            body_seconds=0.2,
            origins=settings.allowed_origins,
        )

    def point(self, version: str, alias: str = "champion") -> None:
        """Move an alias, as an operator would; replicas look when the test lets them."""
        self.registry.client.set_registered_model_alias(self.registry.name, alias, version)

    def tell(self, *patches: Patch) -> None:
        """Tell the catalogue something, and let the replica hear of it."""
        with closing(CatalogStore(self.settings.catalog_folder)) as store:
            store.put(patches, now=self.clock)
        self.served.hear()

    def check(self) -> None:
        """Let the replica look at the registry."""
        self.served.check()

    def register(self, *, damaged: bool = False, padding: int = 0, learned_until: float = 0.0) -> str:
        """One more version: a copy of the bundle with a flipped bit, or one that has more in its metrics, or learned until an instant."""
        source = Follower(self.settings).fetch("champion", "1").folder
        folder = self.settings.home / f"registered-{len(self.builder.opened)}-{damaged}-{padding}"
        shutil.copytree(source, folder / BUNDLE_PATH)
        if damaged:
            flip_a_bit(next((folder / BUNDLE_PATH).rglob("*.safetensors")))
        if padding or learned_until:
            bundle = open_bundle(source)
            shutil.rmtree(folder / BUNDLE_PATH)
            write_bundle(
                bundle.model,
                folder / BUNDLE_PATH,
                origin=Origin(
                    name="toy",
                    recipe=bundle.recipe,
                    last_event=dt.datetime.fromtimestamp(learned_until, dt.UTC) if learned_until else None,
                ),
                metrics={"padding": "x" * padding},
                fallbacks=bundle.fallbacks,
                now=dt.datetime.fromtimestamp(toy.NOW, dt.UTC),
            )
        return str(self.registry.client.create_model_version(self.registry.name, source=str(folder)).version)

    def key(self, caller: str) -> str:
        """The person key of somebody whom callers know as ``user:ID`` or ``anon:ID``."""
        kind, identifier = caller.split(":", 1)
        return self.door.person(identifier, anonymous=kind == "anon")

    def profile(self, caller: str) -> UserState:
        """What the feature store holds of somebody whom callers know as ``user:ID`` or ``anon:ID``."""
        return self.features.online_read([self.key(caller)])[0]

    def _assigned(self, assignment: Assignment, visit: Visit, *known: Any) -> Assigned:
        """Who was chosen has that arm; everybody else what the experiments say."""
        for caller, arm in self.chosen.items():
            if self.key(caller) == visit.user_key:
                return Assigned(arm=arm)
        return taken_part(assignment, visit, *known)

    @contextmanager
    def away(self, path: Path) -> Iterator[None]:
        """While the block runs, a database is none."""
        # The index beside the log of writes is mapped by whoever has the database open: cut short, it would end the process.
        beside = [each for each in path.parent.glob(f"{path.name}*") if not each.name.endswith("-shm")]
        kept = {each: each.read_bytes() for each in beside if each.is_file()}
        for each in {path, *kept}:  # a log of writes beside it would answer in its place
            each.write_bytes(b"this is no database" * 1000)
        try:
            yield
        finally:
            for each, content in kept.items():
                each.write_bytes(content)

    def serve(self, recommender: Recommender, *, arm: Arm = PLAIN) -> None:
        """Put a recommender in an arm's place, past its alias: one that broke after it was loaded."""
        self.served._table = {**self.served._table, arm.name: Standing(arm, recommender)}

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.front), base_url="http://toy")

    def call(self, method: str, path: str, **arguments: object) -> httpx.Response:
        import asyncio

        async def once() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **arguments)  # type: ignore[arg-type]

        return asyncio.run(once())

    def post(self, path: str, body: object) -> httpx.Response:
        return self.call("POST", path, json=body)

    def stored(self) -> list[Exposure]:
        """The exposures in the stream, once everything that waits is stored."""
        self.exposures.close()
        return [entry.record for entry in self.shown.read(BEGINNING).entries]

    def close(self) -> None:
        self.shadows.close()
        self.served.close()
        self.traces.close()
        self.exposures.close()
        self.writer.close()
        self.folder.close()
        self.mover.close()
        self.log.close()
        self.shown.close()
        self.door.close()
