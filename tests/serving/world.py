"""A replica's parts without Ray: the real front, service, writers and event log around the toy shop's model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from registry.follower import Release
from serving.collect.fold import ProfileFolder
from serving.collect.service import CollectService
from serving.http.front import Front, Route
from serving.recommend.arms import ServedArms, Standing
from serving.recommend.cache import RankingCache
from serving.recommend.draw import SlateDrawer
from serving.recommend.hydrate import Hydrator
from serving.recommend.pages import build_pages
from serving.recommend.service import RecommendService
from serving.writer import ExposureWriter, GroupWriter
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.arm import CHAMPION_ARM, Arm
from tailorbird.features.state import UserState
from tailorbird.settings import load_settings
from tailorbird.slate.recommender import Recommender
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING
from tests.slate import toy


@dataclass
class Shelves:
    """Profiles kept in a dictionary: the online store of the toy world."""

    states: dict[str, UserState] = field(default_factory=dict)
    away: bool = False

    def online_read(self, user_keys):
        if self.away:
            raise OSError("online store is away")
        return [self.states.get(key, UserState.empty(key)) for key in user_keys]

    def apply(self, stored):
        if self.away:
            raise OSError("online store is away")
        for partition, offset, event in stored:
            before = self.states.get(event.user_key, UserState.empty(event.user_key))
            self.states[event.user_key] = before.fold([event], toy.FACTS, places=[(partition, offset)])

    def catch_up(self, event_log):
        self.apply(event_log.read(BEGINNING).entries)


@dataclass
class ToyWorkspace:
    """Makes toy recommenders; a folder named `broken` holds a damaged bundle."""

    stages: object = field(default_factory=toy.RowStages)
    sizes: dict[str, int] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    on_open: Callable[[str], object] = lambda version: None

    def with_bundle(self, folder: Path, *, version: str) -> Recommender:
        self.opened.append(version)
        self.on_open(version)
        if folder.name == "broken":
            raise TailorbirdError("bundle is damaged", remedy="publish it again")
        return toy.recommender(self.stages, version=version)

    def size(self, folder: Path) -> int:
        return self.sizes.get(folder.name, 10)

    def without_model(self, why: str) -> Recommender:
        return toy.recommender(None)

    def refreshed(self, recommender: Recommender) -> Recommender:
        return recommender

    def sample_queries(self, recommender: Recommender):
        return [toy.query()]


@dataclass
class Aliases:
    """Aliases that the test moves."""

    releases: dict[str, Release] = field(default_factory=dict)
    away: bool = False

    def look(self, aliases):
        if self.away:
            raise OSError("registry is away")
        return {alias: self.releases[alias].version if alias in self.releases else None for alias in aliases}

    def fetch(self, alias, version):
        return self.releases[alias]

    def point_at(self, version: str, folder: str = "", alias: str = "champion") -> None:
        self.releases[alias] = Release(version, Path(folder or version), alias)


class World:
    """Both applications over one event log; ``client`` talks to both like the proxy does."""

    def __init__(
        self,
        folder: Path,
        *,
        stages: object = None,
        cache_seconds: float = 0.0,
        body: int = 10_000,
        budget: int = 1_000,
        poll_seconds: float = 0.01,
    ) -> None:
        self.log = open_events(load_settings(home=folder, workspace="toy"))
        self.shelves = Shelves()
        self.alias = Aliases()
        self.alias.point_at("1")
        self.notices = 0
        self.swaps: list[tuple[str, str]] = []
        self.workspace = ToyWorkspace(stages or toy.RowStages())
        self.declared: list[Arm] = [CHAMPION_ARM]
        self.served = ServedArms(
            self.alias,
            self.workspace,  # type: ignore[arg-type]
            declared=lambda: self.declared,
            budget_bytes=budget,
            poll_seconds=poll_seconds,
            refresh_seconds=60,
            noticed=lambda: self.notices,
            on_swap=lambda outcome, standing: self.swaps.append((outcome, standing.version)),
        )
        self.served.check()
        self.outcomes: list[tuple[str, int]] = []
        self.exposures = ExposureWriter(
            self.log,
            pause_seconds=0.01,
            on_outcome=lambda outcome, count: self.outcomes.append((outcome, count)),
        )
        cache = RankingCache(seconds=cache_seconds) if cache_seconds else None
        self.clock = toy.NOW
        self.chosen: dict[str, str] = {}
        self.drawer = SlateDrawer(
            self.served,
            Hydrator(self.shelves, clock=lambda: self.clock),
            cache=cache,
            clock=lambda: self.clock,
        )
        self.service = RecommendService(
            self.served,
            self.drawer,
            self.exposures,
            workspace="toy",
            assign=lambda unit, arms: self.chosen.get(unit.user_key, "champion"),
            clock=lambda: self.clock,
        )
        self.folder = ProfileFolder(self.shelves, self.log, retry_seconds=0.02)
        self.writer = GroupWriter(self.log, fold=self.folder.fold)
        collect = CollectService(
            self.writer,
            self.folder,
            workspace="toy",
            known_items=lambda: frozenset(toy.CATALOG.item_ids),
            clock=lambda: self.clock,
        )
        service = self.service
        self.front = Front(
            [
                Route("recommend", "POST", "/v1/recommendations", service.recommend),
                Route("recommend", "GET", "/v1/recommendations/", service.recommend_user, suffix=""),
                Route("rank", "POST", "/v1/rank", service.rank),
                Route("similar", "GET", "/v1/items/", service.similar, suffix="/similar"),
                Route("events", "POST", "/v1/events", collect.collect),
                Route("events_health", "GET", "/v1/events/health", collect.health),
            ],
            rest=build_pages(service, noop=True),
            max_body_bytes=body,
            body_seconds=0.2,
        )

    def serve(self, recommender: Recommender, *, arm: Arm = CHAMPION_ARM) -> None:
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

    def slates(self) -> list:
        """The exposures in the log, once everything that waits is stored."""
        self.exposures.close()
        return [entry.record for entry in self.log.read(BEGINNING).entries if entry.record.type == "slate"]

    def close(self) -> None:
        self.served.close()
        self.exposures.close()
        self.writer.close()
        self.folder.close()
        self.log.close()
