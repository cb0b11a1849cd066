"""What the recommend application does with a request, from JSON to JSON; knows nothing of Ray or HTTP servers."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from serving import metrics
from serving.http.cursor import read_cursor, write_cursor
from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, invalid, shown
from serving.http.schemas import ItemFilter, RankRequest, RecommendationRequest, Visitor
from serving.recommend.batch import Batcher
from serving.recommend.cache import RankingCache
from serving.recommend.champion import Champion
from serving.recommend.hydrate import Hydrator
from serving.writer import ExposureWriter
from tailorbird.events.schema import Event, user_key
from tailorbird.features.functions import NOBODY, Demographics
from tailorbird.features.state import UserState
from tailorbird.models.segments import segment_of
from tailorbird.slate.exposure import exposure_event, new_recommendation_id
from tailorbird.slate.query import NO_RULES, Query, Rules, Slate

log = logging.getLogger("ray.serve.tailorbird")
Schema = TypeVar("Schema", bound=BaseModel)
_NO_FILTER = ItemFilter()
DEFAULT_RESULTS = 20


@dataclass(frozen=True)
class Visit:
    """One request on its way: who asks, what for, and when it came."""

    visitor: Visitor
    scenario: str
    wishes: Mapping[str, Any]
    """What the query gets besides the person and the clock."""
    key: bytes
    """Names the request in the result cache; empty: not kept."""
    started: float
    recommendation_id: str

    @property
    def user_key(self) -> str:
        """The profile to answer for; a visitor without any id gets one that nobody has."""
        anonymous_id = self.visitor.anonymous_id or self.recommendation_id
        return user_key(user_id=self.visitor.user_id, anonymous_id=anonymous_id)


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
        self._batcher: Batcher[Visit, Answer] = Batcher(self._answers)

    async def recommend(self, request: Request) -> Answer:
        """POST /v1/recommendations."""
        return await self._recommendations(request.body)

    async def recommend_user(self, request: Request) -> Answer:
        """GET /v1/recommendations/{userId}?numResults=."""
        body: dict[str, Any] = {"userId": request.argument}
        for name, value in request.query.items():
            body[name] = _whole(name, value) if name == "numResults" else value
        return await self._recommendations(orjson.dumps(body))

    async def rank(self, request: Request) -> Answer:
        """POST /v1/rank."""
        body = _parsed(RankRequest, request.body)
        visit = self._visit(body, scenario="rank", k=len(body.item_ids), explain=body.explain)
        (query,), profile_read = self._queries([visit])
        slate = self._champion.current.rerank(query, body.item_ids)
        return self._answer(slate, query, visit, profile_read=profile_read)

    async def similar(self, request: Request) -> Answer:
        """GET /v1/items/{id}/similar?numResults=."""
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
        visit = self._visit(Visitor(), scenario="similar", k=k, item_id=request.argument)
        query = self._query(visit, UserState.empty(visit.user_key), now=self._clock())
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

    async def _recommendations(self, raw: bytes) -> Answer:
        body = _parsed(RecommendationRequest, raw)
        wanted = body.filter or _NO_FILTER
        rules = NO_RULES
        if wanted is not _NO_FILTER:
            rules = Rules(tuple(wanted.categories), tuple(wanted.brands), wanted.min_price, wanted.max_price)
        visit = self._visit(
            body,
            scenario=body.scenario,
            key=raw,
            k=body.num_results,
            rules=rules,
            exclude=frozenset(body.exclude_item_ids),
            shown=read_cursor(body.cursor),
            item_id=body.item_id,
            keep_seen=None if wanted.seen == "default" else wanted.seen == "keep",
            explain=body.explain,
        )
        return await self._batcher.submit(visit)

    def _answers(self, visits: Sequence[Visit]) -> list[Answer]:
        """Answer the requests that wait; all of them see one version of the model."""
        queries, profile_read = self._queries(visits)
        slates = self._slates(queries, [visit.key for visit in visits])
        return [
            self._answer(slate, query, visit, profile_read=profile_read)
            for slate, query, visit in zip(slates, queries, visits, strict=True)
        ]

    def _slates(self, queries: Sequence[Query], requests: Sequence[bytes]) -> list[Slate]:
        recommender, cache = self._champion.current, self._cache
        if cache is None or recommender.stages is None:
            return recommender.recommend_many(queries)
        keys = [
            (query.state.user_key, query.state.version, recommender.version, request)
            for query, request in zip(queries, requests, strict=True)
        ]
        known = [cache.get(key, now=query.now) for key, query in zip(keys, queries, strict=True)]
        metrics.cache_hits.inc(sum(ranking is not None for ranking in known))
        answered = recommender.recommend_and_rank(queries, known=known)
        for key, query, before, (_, ranking) in zip(keys, queries, known, answered, strict=True):
            if before is None and ranking is not None:
                cache.put(key, ranking, now=query.now)
        return [slate for slate, _ in answered]

    def _visit(self, visitor: Visitor, *, scenario: str, key: bytes = b"", **wishes: Any) -> Visit:
        identity = new_recommendation_id(self._clock())
        return Visit(visitor, scenario, wishes, key, time.perf_counter(), identity)

    def _queries(self, visits: Sequence[Visit]) -> tuple[list[Query], bool]:
        states, profile_read = self._hydrator.fetch_profiles([visit.user_key for visit in visits])
        now = self._clock()
        queries = [self._query(visit, state, now=now) for visit, state in zip(visits, states, strict=True)]
        return queries, profile_read

    def _query(self, visit: Visit, state: UserState, *, now: float) -> Query:
        person = self._demographics(state.user_key)
        return Query(
            state=state,
            now=now,
            context=visit.visitor.context,
            demographics=person,
            segment=segment_of(person),
            **visit.wishes,
        )

    def _answer(self, slate: Slate, query: Query, visit: Visit, *, profile_read: bool = True) -> Answer:
        if slate.failure and slate.model_version:
            metrics.failures.labels("model").inc()
            log.error("version %r failed, a list answers instead: %s", slate.model_version, slate.failure)
        if slate.fallback:
            metrics.fallbacks.labels(slate.fallback).inc()
        self._champion.remember(query)
        self._exposures.put(partial(_exposure, slate, query, visit))
        cursor = write_cursor([*query.shown, *(item.item_id for item in slate.items)]) if slate.more else None
        return Answer(
            self._json(
                slate, visit.recommendation_id, visit.started, cursor=cursor, profile_read=profile_read
            )
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


def _exposure(slate: Slate, query: Query, visit: Visit) -> Event:
    visitor = visit.visitor
    nobody = None if visitor.user_id else visit.recommendation_id
    return exposure_event(
        slate,
        query,
        recommendation_id=visit.recommendation_id,
        user_id=visitor.user_id,
        anonymous_id=visitor.anonymous_id or nobody,
        session_id=visitor.session_id,
        scenario=visit.scenario,
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
