"""What the recommend application does with a request, from JSON to JSON; knows nothing of Ray or HTTP servers."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson

from serving import metrics
from serving.http.bodies import parse_body
from serving.http.cursor import write_cursor
from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, shown
from serving.http.schemas import MAX_RESULTS, RankRequest, RecommendationRequest, Visitor
from serving.recommend.arms.arms import ServedArms
from serving.recommend.cache.results import request_digest
from serving.recommend.request.asked import asked_for, require_known
from serving.recommend.request.visit import Drawn, Visit, Who
from serving.recommend.slate.batch import Batcher
from serving.recommend.slate.draw import Ask, SlateDrawer
from serving.recommend.slate.exposures import ExposureWriter, described
from tailorbird.experiments.scenario import NO_SCENARIO, Scenario
from tailorbird.experiments.scenarios import UNDECLARED
from tailorbird.exposures.exposure import SAMPLE_SHARE, new_recommendation_id
from tailorbird.features.consent.consents import with_refused
from tailorbird.privacy.door.minimise import is_word
from tailorbird.privacy.policy.policy import PolicyNow, by_default
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender
from tailorbird.streams.stream import Stream, trouble_of

log = logging.getLogger("ray.serve.tailorbird")
DEFAULT_RESULTS = 20


class RecommendService:
    """Turns requests into slates and hands every slate to the stream of exposures."""

    def __init__(
        self,
        arms: ServedArms,
        drawer: SlateDrawer,
        exposures: ExposureWriter,
        *,
        workspace: str,
        workspace_key: str,
        scenarios: Callable[[str], Scenario] = lambda name: NO_SCENARIO,
        named: Callable[[Visitor], Who] = Who.of,
        trouble: Callable[[Callable[[str], bool]], str] = lambda leaves_out: "",
        sample_share: float = SAMPLE_SHARE,
        streams: Sequence[Stream[Any]] = (),
        watched: Sequence[Callable[[], str]] = (),
        policy: PolicyNow = by_default,
        answered: Callable[[Drawn], object] = lambda drawn: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._arms, self._drawer, self._exposures = arms, drawer, exposures
        self._workspace, self._workspace_key = workspace, workspace_key
        self._clock, self._answered = clock, answered
        self._scenarios, self._named, self._trouble = scenarios, named, trouble
        self._sample_share, self._streams, self._watched = sample_share, streams, watched
        self._batcher: Batcher[Visit, Answer] = Batcher(self._answers, rescue=self._rescued)

    async def recommend(self, request: Request) -> Answer:
        """POST /v1/recommendations."""
        return await self._recommendations(request.body, request)

    async def recommend_user(self, request: Request) -> Answer:
        """GET /v1/recommendations/{userId}?numResults=."""
        k = _asked_results(request.query)
        raw = orjson.dumps({"userId": request.argument, "numResults": k})
        return await self._recommendations(raw, request)

    async def rank(self, request: Request) -> Answer:
        """POST /v1/rank."""
        body = parse_body(RankRequest, request.body)
        body = body.model_copy(update=self._signals(request, body))
        visit = self._visit(
            body, scenario="rank", size=len(request.body), k=len(body.item_ids), explain=body.explain
        )
        return self._alone(visit, lambda model, query: model.rerank(query, body.item_ids))

    async def similar(self, request: Request) -> Answer:
        """GET /v1/items/{id}/similar?numResults=."""
        k = _asked_results(request.query)
        visit = self._visit(Visitor(), scenario="similar", k=k, item_id=request.argument)
        if request.argument not in self._arms.current(visit.arm).recommender.catalog.row_of:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-item",
                f"no item {shown(request.argument)}",
                remedy="ask for an item of the catalogue; a new one is known some seconds after it was told",
            )
        return self._alone(visit, lambda model, query: model.similar(query))

    def visit(self, request: Request, visitor: Visitor, scenario: str) -> Visit:
        """The visit of a request that asks for no items."""
        visitor = visitor.model_copy(update=self._signals(request, visitor))
        return self._visit(visitor, scenario=scenario, size=len(request.body))

    def health(self) -> tuple[dict[str, Any], bool]:
        """How this replica is, and whether it may get traffic: it always can, if only with fallback answers."""
        problems = self._arms.troubles()
        champion = self._arms.champion
        if trouble := self._trouble(champion.shelf.selections.columns.leaves_out):
            problems.append(trouble)
        if away := self._drawer.profiles_away:
            problems.append(f"the feature store is away, answers are made without profiles: {away}")
        if self._exposures.trouble:
            problems.append(self._exposures.trouble)
        problems += [trouble for trouble in map(trouble_of, self._streams) if trouble]
        problems += [trouble for each in self._watched if (trouble := each())]
        return {
            "status": "degraded" if problems else "ready",
            "workspace": self._workspace,
            "workspaceKey": self._workspace_key,
            "model": {"name": champion.name, "version": champion.version},
            "arms": [
                {"name": each.arm.name, "alias": each.arm.alias, "version": each.version}
                for each in self._arms.standings()
            ],
            "problems": problems,
        }, True

    async def _recommendations(self, raw: bytes, request: Request) -> Answer:
        body = parse_body(RecommendationRequest, raw)
        if signals := self._signals(request, body):
            body = body.model_copy(update=signals)
        scenario = self._scenarios(body.scenario)
        visit = self._visit(
            body,
            scenario=body.scenario,
            key=self._key(body, raw, scenario),
            size=len(raw),
            wish_over=lambda wishes: asked_for(body, wishes.over(scenario)),
            **asked_for(body, scenario),
        )
        require_known(body, self._arms.current(visit.arm).recommender)
        return await self._batcher.submit(visit)

    def _signals(self, request: Request, visitor: Visitor) -> dict[str, Any]:
        """What a browser's signals make of the visitor's context; empty where it sends none."""
        gpc, dnt = request.header(b"sec-gpc") == b"1", request.header(b"dnt") == b"1"
        refused = self._policy().turned_off(gpc=gpc, dnt=dnt) if gpc or dnt else ()
        return {"context": with_refused(visitor.context or {}, refused)} if refused else {}

    def _key(self, body: RecommendationRequest, raw: bytes, scenario: Scenario) -> bytes:
        """What names the request in the result cache; empty where a visitor without an id can never be known again."""
        if not self._drawer.caches or not (body.user_id or body.anonymous_id):
            return b""
        return request_digest(raw, b"" if scenario is NO_SCENARIO else repr(scenario).encode())

    def _answers(self, visits: Sequence[Visit]) -> list[Answer]:
        """Answer the requests that wait."""
        drawn = self._drawer.draw(visits)
        answers = [_answer(each) for each in drawn]
        for each, answer in zip(drawn, answers, strict=True):
            self._record(
                each, answer
            )  # once nothing can fail any more, or a second try would log a slate twice
            self._answered(each)
        return answers

    def _alone(self, visit: Visit, ask: Ask) -> Answer:
        """Answer a request that shares no work with others."""
        try:
            drawn = self._drawer.draw_alone(visit, ask)
            answer = _answer(drawn)
        except Exception as error:
            return self._rescued(visit, error, ask=ask)
        self._record(drawn, answer)
        return answer

    def _rescued(self, visit: Visit, error: Exception, *, ask: Ask = Recommender.recommend) -> Answer:
        """Answer from lists what fails by itself, and say so."""
        metrics.failures.labels("request").inc()
        log.error("a request of arm %s failed, a list answers instead", visit.arm, exc_info=error)
        drawn = self._drawer.draw_from_lists(visit, ask)
        answer = _answer(drawn)
        self._record(drawn, answer)
        return answer

    def _visit(
        self,
        visitor: Visitor,
        *,
        scenario: str,
        key: bytes = b"",
        size: int = 0,
        wish_over: Callable[[Scenario], Mapping[str, Any]] | None = None,
        **wishes: Any,
    ) -> Visit:
        identity = new_recommendation_id(self._clock())
        if not is_word(scenario) and self._scenarios(scenario) is NO_SCENARIO:
            scenario = UNDECLARED  # a name that no operator gave may be anybody's
        return Visit(
            self._named(visitor),
            scenario,
            wishes,
            key,
            time.perf_counter(),
            identity,
            size,
            wish_over=wish_over,
        )

    def _record(self, drawn: Drawn, answer: Answer) -> None:
        """Count an answer, keep its request for the warm-up of the next version and hand its slate to the stream."""
        arm = drawn.visit.arm
        metrics.answers.labels(arm).inc()
        if drawn.fallback:
            metrics.fallbacks.labels(drawn.fallback, arm).inc()
        if drawn.profile_read:
            self._arms.remember(drawn.query)
        self._exposures.put(
            partial(
                described,
                drawn,
                sample_share=self._sample_share,
                took_ms=_took_ms(drawn.visit),
                basis=self._drawer.basis_of(drawn.query),
            ),
            size=drawn.visit.size + len(answer.body),
        )


def _answer(drawn: Drawn) -> Answer:
    slate, visit = drawn.slate, drawn.visit
    cursor = None
    if slate.more:
        cursor = write_cursor([*drawn.query.shown, *(item.item_id for item in slate.items)])
    return Answer(
        orjson.dumps(
            {
                "recommendationId": visit.recommendation_id,
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
                "arm": visit.arm,
                "experiments": _told(visit.experiments),
                "fallback": drawn.fallback or None,
                "partial": slate.partial or not drawn.profile_read,
                "cursor": cursor,
                **_segment(drawn.query),
                "tookMs": _took_ms(visit),
            }
        )
    )


class _Pieces(dict[tuple[str, str], bytes]):
    """What an answer says of each variant, as JSON that is made once: twenty objects an answer cost more than the assignment."""

    def __missing__(self, told: tuple[str, str]) -> bytes:
        key, variant = told
        self[told] = piece = orjson.dumps({"key": key, "variant": variant})
        return piece


_PIECES = _Pieces()


def _told(variants: Mapping[str, str]) -> orjson.Fragment:
    return orjson.Fragment(b"[%b]" % b",".join(map(_PIECES.__getitem__, variants.items())))


def _took_ms(visit: Visit) -> float:
    return round((time.perf_counter() - visit.started) * 1000, 3)


def _segment(query: Query) -> Mapping[str, object]:
    """Where the person belongs and which rules hold, as an answer says it that was asked to explain."""
    if not query.explain:
        return {}
    found = query.belonging
    return {
        "segment": {"key": found.key, "name": found.name} if found else None,
        "rules": [{"key": rule.key, "name": rule.name} for rule in query.segment_rules],
    }


def _asked_results(query: Mapping[str, str]) -> int:
    """How many items the query string asks for; it may ask for nothing else."""
    unknown = set(query) - {"numResults"}
    if unknown:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid-request",
            f"unknown parameter {shown(min(unknown))}",
            remedy="the parameter is numResults",
        )
    value = query.get("numResults", str(DEFAULT_RESULTS))
    try:
        k = int(value)
    except ValueError:
        k = 0
    if not 1 <= k <= MAX_RESULTS:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid-request",
            f"numResults is {shown(value)}",
            remedy=f"send a whole number from 1 to {MAX_RESULTS:,}",
        )
    return k
