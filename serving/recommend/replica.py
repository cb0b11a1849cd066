"""One replica of the recommend application: its parts, made where it runs, and its routes."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve

from serving.http.access import Access
from serving.http.front import Front
from serving.lasting import dead, give_way_often, keep_for_good, refuse_dead
from serving.loopback import keep_on_this_machine
from tailorbird.plumbing.redis import RedisAddress
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from serving.http.consents import Consented, ConsentTold
    from serving.http.schemas import Linked
    from serving.recommend.arms.served import Standing
    from serving.recommend.cache.results import ResultCache


class Recommend:
    """One replica of the recommend application."""

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        folder: str,
        noop: bool = False,
        store_exposures: bool = True,
        result_cache_seconds: float = 0.0,
    ) -> None:
        import faiss
        import torch

        from feature_repo.store import FeatureStoreRoom
        from registry.following.follower import Follower
        from serving import metrics
        from serving.heartbeat import Heartbeat, beats_folder
        from serving.notice import Notice
        from serving.recommend.arms.arms import ServedArms
        from serving.recommend.arms.builder import RecommenderBuilder
        from serving.recommend.arms.served import beats_of
        from serving.recommend.request.facts import LiveFacts
        from serving.recommend.request.forgotten import Forgotten
        from serving.recommend.request.hydrate import Hydrator
        from serving.recommend.request.named import Named
        from serving.recommend.routes.trace import TraceService, note_reading, recommender_of
        from serving.recommend.slate.draw import SlateDrawer
        from serving.recommend.slate.exposures import ExposureWriter, NoExposures
        from serving.recommend.slate.service import RecommendService
        from serving.recommend.slate.shadows import Shadows
        from serving.segments.live import LiveSegments
        from tailorbird.catalog.log.delta import CatalogFollower
        from tailorbird.experiments.declared import ARMS_FILE, read_arms
        from tailorbird.experiments.running.followed import FollowedLedger
        from tailorbird.experiments.scenarios import SCENARIOS_FILE, ScenarioFile
        from tailorbird.experiments.shadow.tallies import Tallies
        from tailorbird.plumbing.clock import clock_at
        from tailorbird.privacy.keys.keyring import open_keyring
        from tailorbird.privacy.people.book import Book
        from tailorbird.privacy.people.suppression import Suppressions
        from tailorbird.privacy.policy.policy_file import PolicyFile
        from tailorbird.segments.rules.file import RulesFile
        from tailorbird.streams.factory import open_events, open_exposures
        from tailorbird.triggers.declared import TriggersFile

        keep_on_this_machine()
        give_way_often()
        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)
        chosen = Settings(**settings)
        policy = self._policy = PolicyFile(chosen, clock=time.monotonic)
        self._book = Book.of(chosen, open_keyring(chosen))
        erased = Suppressions.of(chosen).everybody
        self._forgotten = Forgotten(erased) if chosen.people else None
        features, clock = FeatureStoreRoom(chosen), clock_at(chosen.clock_at)
        features.online.on_damage = lambda rows: metrics.failures.labels("damaged_row").inc(rows)
        catalogue = CatalogFollower(chosen.catalog_folder)  # before anything of it is read
        builder = RecommenderBuilder(chosen, live_items=features.live_items.over, clock=clock)
        running = FollowedLedger(chosen.folder)
        self._arms = ServedArms(
            Follower(chosen),
            builder,
            declared=lambda: read_arms(chosen.folder / ARMS_FILE),
            running=running,
            budget_bytes=chosen.arms_memory_mb * 1_000_000,
            poll_seconds=chosen.alias_poll_seconds,
            refresh_seconds=chosen.item_refresh_seconds,
            catalogue=catalogue,
            noticed=Notice(Path(folder)).stamp,
            on_swap=_count_swap,
            on_change=lambda standings: self._heartbeat.now(),
        )
        self._shown, self._happened = open_exposures(chosen), open_events(chosen)
        self._exposures = (ExposureWriter if store_exposures else NoExposures)(
            self._shown, on_outcome=lambda outcome, count: metrics.exposures.labels(outcome).inc(count)
        )
        self._heartbeat = Heartbeat(
            beats_folder(Path(folder)),
            arms=lambda: beats_of(self._arms.standings()),
            exposures=lambda: {"waiting": self._exposures.waiting},
        )
        scenarios = ScenarioFile(chosen.folder / SCENARIOS_FILE, clock=time.monotonic)
        triggers = TriggersFile(chosen.folder, clock=time.monotonic)
        rules = RulesFile(chosen.folder, clock=time.monotonic)
        segments = self._segments = LiveSegments(chosen, noticed=Notice(Path(folder)).stamp)
        self._drawer = SlateDrawer(
            self._arms,
            Hydrator(
                features,
                on_failure=lambda: metrics.failures.labels("feature_store").inc(),
                owner_of=self._book.user_of_number,
            ),
            demographics=builder.demographics,
            segments=segments,
            segment_rules=rules,
            cache=_result_cache(chosen, seconds=result_cache_seconds, forgotten=self._forgotten or erased),
            covers=lambda: policy().covers,
            clock=clock,
        )
        self._shadows = Shadows(
            self._arms,
            Tallies(chosen.folder),
            on_outcome=lambda outcome, count: metrics.shadow_answers.labels(outcome).inc(count),
        )
        self._service = RecommendService(
            self._arms,
            self._drawer,
            self._exposures,
            workspace=chosen.workspace,
            workspace_key=chosen.workspace_key,
            clock=clock,
            scenarios=scenarios.get,
            named=Named.of(chosen, policy=policy),
            policy=policy,
            trouble=scenarios.trouble_with,
            answered=self._shadows.offer,
            sample_share=chosen.exposure_sample,
            streams=(self._shown, self._happened),
            watched=(
                lambda: self._access.trouble,
                lambda: running.trouble,
                lambda: triggers.trouble,
                lambda: segments.trouble,
                lambda: rules.trouble,
                lambda: policy.trouble,
                lambda: rules().shared_with(segments.keys),
                lambda: scenarios.unknown_segments([*segments.keys, *rules().keys]),
                lambda: scenarios.unknown_outcomes(self._arms.champion.outcomes),
            ),
        )
        self._traces = TraceService(
            self._shown,
            self._happened,
            noted=partial(note_reading, chosen),
            recommender_of=partial(recommender_of, self._arms),
            facts=LiveFacts(chosen),
            demographics=builder.demographics,
            history_length=chosen.history_length,
        )
        self._access = Access.of(chosen)
        self._noop, self._max_body_bytes, self._origins = noop, chosen.max_body_bytes, chosen.allowed_origins
        self._arms.start()
        self._segments.start()
        self._heartbeat.start()
        keep_for_good()

    def __serve_build_asgi_app__(self) -> Front:
        """The HTTP edge, made in the replica once the parts above stand."""
        from serving.http.access import needs_of_pages
        from serving.http.sdk import sdk_routes
        from serving.recommend.routes.assignments import AssignmentService
        from serving.recommend.routes.consent import ConsentRoute
        from serving.recommend.routes.merge import MergeRoutes
        from serving.recommend.routes.pages import PAGES, build_pages
        from serving.recommend.routes.routes import recommend_routes

        service, merge, consent = (
            self._service,
            MergeRoutes(_link_by_collect),
            ConsentRoute(_say_by_collect, self._policy),
        )
        asked = AssignmentService(self._arms, self._drawer, self._exposures, visit=service.visit)
        pages = build_pages(
            service, self._traces, merge=merge, assignments=asked, consent=consent, noop=self._noop
        )
        return Front(
            [*recommend_routes(service, self._traces, merge, asked, consent), *sdk_routes()],
            rest=pages,
            access=self._access,
            rest_needs=needs_of_pages(pages, by_path=PAGES, by_tag={}),
            max_body_bytes=self._max_body_bytes,
            origins=self._origins,
            on_shutdown=self.close,
        )

    def check_health(self) -> None:
        """Ray Serve asks; an error here has the replica replaced."""
        threads = (
            self._arms.thread,
            self._segments.thread,
            self._exposures.thread,
            self._heartbeat.thread,
            self._shadows.thread,
            self._forgotten.thread if self._forgotten else None,
        )
        refuse_dead(dead(each for each in threads if each))

    def close(self) -> None:
        """Store the exposures that wait and stop the threads."""
        self._heartbeat.close()
        self._segments.close()
        self._exposures.close()
        self._shadows.close()
        self._arms.close()
        self._traces.close()
        self._shown.close()
        self._happened.close()
        self._book.close()
        if self._forgotten is not None:
            self._forgotten.close()


def _result_cache(
    settings: Settings, *, seconds: float, forgotten: Callable[[], frozenset[str]]
) -> "ResultCache | None":
    """The result cache that the settings name."""
    from serving import metrics
    from serving.recommend.cache.memory import RankingCache
    from serving.recommend.cache.results import ResultCache
    from serving.recommend.cache.shared import SharedRankingCache

    if seconds <= 0:
        return None
    if settings.result_cache == "memory":
        return ResultCache(RankingCache(forgotten=forgotten), seconds=seconds)
    shared = SharedRankingCache(
        RedisAddress.parse(settings.result_cache, setting="result_cache"),
        workspace=settings.workspace,
        on_failure=lambda: metrics.failures.labels("result_cache").inc(),
    )
    return ResultCache(shared, seconds=seconds)


async def _link_by_collect(user_id: str, anonymous_id: str, joined: bool, key: str) -> "Linked":
    from serving.http.problems import unpacked
    from serving.http.schemas import Linked

    answer = serve.get_app_handle("collect").link.remote(user_id, anonymous_id, joined, key)
    return await unpacked(answer, Linked)


async def _say_by_collect(identifier: str, told: "ConsentTold", anonymous: bool, key: str) -> "Consented":
    from serving.http.consents import Consented
    from serving.http.problems import unpacked

    answer = serve.get_app_handle("collect").say.remote(identifier, told.model_dump(), anonymous, key)
    return await unpacked(answer, Consented)


def _count_swap(outcome: str, standing: "Standing") -> None:
    from serving import metrics

    metrics.bundle_swaps.labels(outcome, standing.arm.name).inc()
    if standing.version.isdigit():
        metrics.bundle_version.labels(standing.arm.name).set(int(standing.version))
