"""Answers in the process of a measurement: what a replica answers with, and services over it that differ in what is compared."""

import time
from collections.abc import Callable

from feature_repo.store import FeatureStoreRoom
from registry.following.follower import Follower
from serving.http.schemas import Visitor
from serving.recommend.arms.arms import ServedArms
from serving.recommend.arms.builder import RecommenderBuilder
from serving.recommend.request.hydrate import Hydrator, Profiles
from serving.recommend.request.named import Named
from serving.recommend.request.visit import Drawn, Who
from serving.recommend.slate.draw import USUAL, SlateDrawer
from serving.recommend.slate.exposures import ExposureWriter
from serving.recommend.slate.service import RecommendService
from tailorbird.experiments.running.assigning import NOTHING_RUNS, Assignment
from tailorbird.privacy.policy.policy_file import PolicyFile
from tailorbird.privacy.policy.rules import Basis
from tailorbird.segments.belonging import Segments, no_segments
from tailorbird.segments.rules.rules import RulesNow, no_segment_rules
from tailorbird.settings import Settings


class Inside:
    """The models and profiles of one replica, which looks once at what its aliases point at."""

    def __init__(
        self, settings: Settings, *, running: Callable[[], Assignment] = lambda: NOTHING_RUNS
    ) -> None:
        self._settings, self._features = settings, FeatureStoreRoom(settings)
        self._builder = RecommenderBuilder(settings, live_items=self._features.live_items.over)
        self.arms = ServedArms(
            Follower(settings),
            self._builder,
            running=running,
            budget_bytes=10**10,
            poll_seconds=3_600.0,
            refresh_seconds=3_600.0,
        )
        self.arms.check()

    def service(
        self,
        writer: ExposureWriter,
        *,
        profiles: Profiles | None = None,
        segments: Segments = no_segments,
        segment_rules: RulesNow = no_segment_rules,
        covers: Callable[[], Basis] = lambda: USUAL,
        named: Callable[[Visitor], Who] | None = None,
        answered: Callable[[Drawn], object] = lambda drawn: None,
    ) -> RecommendService:
        """A service that hands its slates to ``writer``; profiles are the live ones and names those behind the door, where none are given."""
        settings = self._settings
        return RecommendService(
            self.arms,
            SlateDrawer(
                self.arms,
                Hydrator(self._features if profiles is None else profiles),
                demographics=self._builder.demographics,
                segments=segments,
                segment_rules=segment_rules,
                covers=covers,
            ),
            writer,
            workspace=settings.workspace,
            workspace_key=settings.workspace_key,
            named=Named.of(settings, policy=PolicyFile(settings, clock=time.monotonic))
            if named is None
            else named,
            answered=answered,
        )

    def close(self) -> None:
        """Stop following."""
        self.arms.close()
