"""What the recommend application does with a request, from JSON to JSON; knows nothing of Ray or HTTP servers."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from serving import metrics
from serving.cache import RankingCache
from serving.champion import Champion
from serving.cursor import read_cursor, write_cursor
from serving.front import Answer, Request
from serving.hydrate import Hydrator
from serving.problems import ProblemError, invalid, shown
from serving.schemas import Asker, ItemFilter, RankRequest, RecommendationRequest
from serving.writer import ExposureWriter
from tailorbird.events.schema import user_key
from tailorbird.features.functions import NOBODY, Demographics
from tailorbird.features.state import UserState
from tailorbird.models.segments import segment_of
from tailorbird.slate.exposure import exposure_event, new_recommendation_id
from tailorbird.slate.query import NO_RULES, Query, Rules, Slate
from tailorbird.slate.recommender import Recommender

log = logging.getLogger("ray.serve.tailorbird")
Schema = TypeVar("Schema", bound=BaseModel)
_NO_FILTER = ItemFilter()
DEFAULT_RESULTS = 20


@dataclass(frozen=True)
class Visit:
    """One request on its way: who asks, which recommender answers, and when it began."""

    asker: Asker
    recommender: Recommender
    recommendation_id: str
    scenario: str
    started: float
    profile_read: bool


class RecommendService:
    """Turns requests into slates and hands every slate to the exposure log."""

    def __init__(
        self,
        champion: Champion,
        hydrator: Hydrator,
        exposures: ExposureWriter,
        *,
        workspace: str,
        demographics: Callable[[str], Demographics] = lambda user: NOBODY,
        cache: RankingCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._champion, self._hydrator, self._exposures = champion, hydrator, exposures
        self._workspace, self._demographics, self._cache, self._clock = workspace, demographics, cache, clock

    async def recommend(self, request: Request) -> Answer:
        """POST /v1/recommendations."""
        return self._recommendations(_parsed(RecommendationRequest, request.body), key=request.body)

    async def recommend_user(self, request: Request) -> Answer:
        """GET /v1/recommendations/{userId}?numResults=."""
        body: dict[str, Any] = {"userId": request.argument}
        for name, value in request.query.items():
            body[name] = _whole(name, value) if name == "numResults" else value
        raw = orjson.dumps(body)
        return self._recommendations(_parsed(RecommendationRequest, raw), key=raw)

    async def rank(self, request: Request) -> Answer:
        """POST /v1/rank."""
        body = _parsed(RankRequest, request.body)
        query, visit = self._begin(body, scenario="rank", k=len(body.item_ids), explain=body.explain)
        return self._answer(visit.recommender.rerank(query, body.item_ids), query, visit)

    async def similar(self, request: Request) -> Answer:
        """GET /v1/items/{id}/similar?numResults=."""
        started = time.perf_counter()
        unknown = set(request.query) - {"numResults"}
        if unknown:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid-request",
                f"unknown parameter {shown(min(unknown))}",
                remedy="the parameter is numResults",
            )
        k = _positive(_whole("numResults", request.query.get("numResults", str(DEFAULT_RESULTS))))
        recommender = self._champion.current
        if request.argument not in recommender.catalog.row_of:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-item",
                f"no item {shown(request.argument)}",
                remedy="ask for an item of the catalogue that the model was trained on",
            )
        now = self._clock()
        identity = new_recommendation_id(now)
        visitor = Asker(anonymous_id=identity)
        query = Query(UserState.empty(f"anon:{identity}"), now, k=k, item_id=request.argument)
        visit = Visit(visitor, recommender, identity, "similar", started, profile_read=True)
        return self._answer(recommender.similar(query), query, visit)

    def health(self) -> tuple[dict[str, Any], bool]:
        """How this replica is, and whether it may get traffic: it always can, if only with fallback answers."""
        problems = [text for text in (self._champion.trouble,) if text]
        if self._hydrator.away:
            problems.append("the feature store is away: answers are made without profiles")
        current = self._champion.current
        return {
            "status": "degraded" if problems else "ready",
            "workspace": self._workspace,
            "model": {"name": current.name, "version": current.version},
            "problems": problems,
        }, True

    def _recommendations(self, body: RecommendationRequest, *, key: bytes) -> Answer:
        wanted = body.filter
        rules = NO_RULES
        if wanted is not _NO_FILTER and wanted != _NO_FILTER:
            rules = Rules(tuple(wanted.categories), tuple(wanted.brands), wanted.min_price, wanted.max_price)
        query, visit = self._begin(
            body,
            scenario=body.scenario,
            k=body.num_results,
            rules=rules,
            exclude=frozenset(body.exclude_item_ids),
            shown=read_cursor(body.cursor),
            item_id=body.item_id,
            keep_seen=None if wanted.seen == "default" else wanted.seen == "keep",
            explain=body.explain,
        )
        return self._answer(self._slate(query, visit.recommender, key), query, visit)

    def _slate(self, query: Query, recommender: Recommender, key: bytes) -> Slate:
        cache = self._cache
        if cache is None or recommender.stages is None:
            return recommender.recommend(query)
        whole = (query.state.user_key, query.state.version, recommender.version, key)
        ranking = cache.get(whole, now=query.now)
        screen = recommender.screen(query)
        if ranking is not None:
            metrics.cache_hits.inc()
            return recommender.page(query, ranking, screen=screen, cached=True)
        ranking, failure = recommender.tried(lambda: recommender.rank(query, screen))
        if ranking is not None:
            cache.put(whole, ranking, now=query.now)
        return recommender.page(query, ranking, screen=screen, failure=failure)

    def _begin(self, asker: Asker, *, scenario: str, **wishes: Any) -> tuple[Query, Visit]:
        started, now = time.perf_counter(), self._clock()
        recommendation_id = new_recommendation_id(now)
        key = user_key(user_id=asker.user_id, anonymous_id=asker.anonymous_id or recommendation_id)
        state, profile_read = self._hydrator.fetch_profile(key)
        recommender = self._champion.current
        person = self._demographics(key)
        query = Query(
            state=state,
            now=now,
            context=asker.context,
            demographics=person,
            segment=segment_of(person),
            **wishes,
        )
        return query, Visit(asker, recommender, recommendation_id, scenario, started, profile_read)

    def _answer(self, slate: Slate, query: Query, visit: Visit) -> Answer:
        if slate.failure and visit.recommender.stages is not None:
            metrics.failures.labels("model").inc()
            log.error("version %r failed, a list answers instead: %s", slate.model_version, slate.failure)
        if slate.fallback:
            metrics.fallbacks.labels(slate.fallback).inc()
        self._champion.remember(query)
        asker, identity = visit.asker, visit.recommendation_id
        self._exposures.put(
            lambda: exposure_event(
                slate,
                query,
                recommendation_id=identity,
                user_id=asker.user_id,
                anonymous_id=asker.anonymous_id or (None if asker.user_id else identity),
                session_id=asker.session_id,
                scenario=visit.scenario,
            )
        )
        cursor = write_cursor([*query.shown, *(item.item_id for item in slate.items)]) if slate.more else None
        return Answer(
            self._json(slate, identity, visit.started, cursor=cursor, profile_read=visit.profile_read)
        )

    def _json(
        self,
        slate: Slate,
        recommendation_id: str,
        started: float,
        *,
        cursor: str | None = None,
        profile_read: bool = True,
    ) -> bytes:
        fallback = slate.fallback or None
        return orjson.dumps(
            {
                "recommendationId": recommendation_id,
                "items": [
                    {
                        "itemId": item.item_id,
                        "score": round(item.score, 6),
                        "sources": item.sources,
                        "reasons": item.reasons,
                    }
                    for item in slate.items
                ],
                "model": {"name": slate.model_name, "version": slate.model_version},
                "experiments": [],
                "fallback": fallback if profile_read else "no_profile",
                "partial": slate.partial or not profile_read,
                "cursor": cursor,
                "tookMs": round((time.perf_counter() - started) * 1000, 3),
            }
        )


def _parsed(schema: type[Schema], body: bytes) -> Schema:
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def _whole(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid-request",
            f"{name} is {shown(value)}",
            remedy="send a whole number, 1 or more",
        ) from None


def _positive(k: int) -> int:
    if k < 1:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid-request",
            f"numResults is {k}",
            remedy="send a whole number, 1 or more",
        )
    return k
