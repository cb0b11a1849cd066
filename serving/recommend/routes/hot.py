"""The hot routes as FastAPI describes them; the front (serving/http/front.py) answers them first, with the same handlers."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Response
from pydantic import BaseModel

from serving.http.consents import Consented, told_in
from serving.http.front import Answer, Request
from serving.http.problems import MEDIA_TYPE, ProblemError, not_found
from serving.http.schemas import (
    MAX_RESULTS,
    AssignmentRequest,
    Assignments,
    Collected,
    CollectHealth,
    EventBatch,
    Linked,
    MergeRequest,
    Problem,
    RankRequest,
    RecommendationRequest,
    Recommendations,
)
from serving.http.traces import Trace
from serving.recommend.routes.assignments import AssignmentService
from serving.recommend.routes.consent import ConsentRoute
from serving.recommend.routes.merge import MergeRoutes
from serving.recommend.routes.trace import TraceService
from serving.recommend.slate.service import RecommendService

Described = dict[int | str, dict[str, Any]]
PROBLEMS: Described = {
    status: {"description": text, "model": Problem}
    for status, text in (
        (400, "Malformed JSON."),
        (404, "No such item or cursor."),
        (413, "Body too large."),
        (422, "The request breaks the schema."),
    )
}
CONSENT_PATH = "/v1/users/{user_id}/consent"
AnonymousId = Annotated[str, Query(alias="anonymousId", min_length=1, max_length=256)]
NumResults = Annotated[int, Query(alias="numResults", ge=1, le=MAX_RESULTS)]
Name = Annotated[str, Path(min_length=1, max_length=256)]


def declare_hot(
    app: FastAPI,
    service: RecommendService,
    traces: TraceService,
    *,
    merge: MergeRoutes,
    assignments: AssignmentService,
    consent: ConsentRoute,
) -> None:
    """Declare every hot route, so that it is described."""
    _recommendations(app, service)
    _assignments(app, assignments)
    _traces(app, traces)
    _people(app, merge)
    declare_consent(app, consent)


def _recommendations(app: FastAPI, service: RecommendService) -> None:
    answered: Described = {200: {"model": Recommendations}, **PROBLEMS}

    @app.post("/v1/recommendations", tags=["recommend"], responses=answered, response_model=None)
    async def recommend(body: RecommendationRequest) -> Response:
        """Items that fit this person now."""
        return await _delegate(service.recommend, Request(_json(body)))

    @app.get("/v1/recommendations/{user_id}", tags=["recommend"], responses=answered, response_model=None)
    async def recommend_user(user_id: Name, num_results: NumResults = 20) -> Response:
        """The shortcut for a known user."""
        return await _delegate(
            service.recommend_user, Request(b"", user_id, {"numResults": str(num_results)})
        )

    @app.post("/v1/rank", tags=["recommend"], responses=answered, response_model=None)
    async def rank(body: RankRequest) -> Response:
        """The best order of given items for this person."""
        return await _delegate(service.rank, Request(_json(body)))

    @app.get(
        "/v1/items/{item_id}/similar",
        tags=["recommend"],
        responses=answered,
        response_model=None,
    )
    async def similar(item_id: Name, num_results: NumResults = 20) -> Response:
        """An item's neighbours."""
        return await _delegate(service.similar, Request(b"", item_id, {"numResults": str(num_results)}))

    @app.post(
        "/v1/events",
        tags=["collect"],
        status_code=202,
        responses={
            202: {"model": Collected},
            **PROBLEMS,
            503: {"description": "Nothing stored.", "model": Problem},
        },
        response_model=None,
    )
    async def events(body: EventBatch) -> Response:
        """Things that happened. Answered by the collect application, once they are on disk and in the profiles."""
        problem = not_found("/v1/events")
        return Response(problem.body(), problem.status, media_type=MEDIA_TYPE.decode())

    @app.get(
        "/v1/events/health",
        tags=["collect"],
        responses={
            200: {"model": CollectHealth},
            503: {"description": "Lost a thread; about to be replaced.", "model": CollectHealth},
        },
        response_model=None,
    )
    async def events_health() -> Response:
        """How the collect replica that answers is. Answered by the collect application."""
        problem = not_found("/v1/events/health")
        return Response(problem.body(), problem.status, media_type=MEDIA_TYPE.decode())


def _assignments(app: FastAPI, assignments: AssignmentService) -> None:
    @app.post(
        "/v1/assignments",
        tags=["experiments"],
        responses={200: {"model": Assignments}, **PROBLEMS},
        response_model=None,
    )
    async def assigned(body: AssignmentRequest) -> Response:
        """Which variants of experiments somebody gets, with what each tells the page."""
        return await _delegate(assignments.assignments, Request(_json(body)))


def _traces(app: FastAPI, traces: TraceService) -> None:
    problems: Described = {
        404: {**PROBLEMS[422], "description": "No such answer."},
        503: {**PROBLEMS[422], "description": "Too many traces at a time, or the streams are away."},
    }

    @app.get(
        "/v1/recommendations/{recommendation_id}/trace",
        tags=["recommend"],
        responses={200: {"model": Trace}, **problems},
        response_model=None,
    )
    async def trace(recommendation_id: str) -> Response:
        """Why each item of an answer is there, and what was dropped and why."""
        return await _delegate(traces.trace, Request(b"", recommendation_id))


def _people(app: FastAPI, merge: MergeRoutes) -> None:
    linked: Described = {
        202: {"model": Linked},
        **PROBLEMS,
        503: {"description": "Not stored.", "model": Problem},
    }
    path = "/v1/users/{user_id}/merge"

    @app.post(path, tags=["people"], status_code=202, responses=linked, response_model=None)
    async def join(user_id: Name, body: MergeRequest) -> Response:
        """Join an anonymous id's profile to the user's: the next answer reflects it. Twice is once."""
        return await _delegate(merge.merge, Request(_json(body), user_id))

    @app.delete(path, tags=["people"], status_code=202, responses=linked, response_model=None)
    async def part(user_id: Name, anonymous_id: AnonymousId) -> Response:
        """Part them again, as if they had never been joined."""
        return await _delegate(merge.part, Request(b"", user_id, {"anonymousId": anonymous_id}))


def declare_consent(app: FastAPI, consent: ConsentRoute) -> None:
    """Declare the route of consents, with the purposes of the policy of now."""
    told: Any = told_in(consent.policy())

    @app.put(
        CONSENT_PATH,
        tags=["people"],
        responses={
            200: {"model": Consented},
            **PROBLEMS,
            409: {"description": "The person was erased.", "model": Problem},
            503: {"description": "Not stored.", "model": Problem},
        },
        response_model=None,
    )
    async def say(
        user_id: Name,
        body: told,
        anonymous: Annotated[bool, Query(description="The id of the path is an anonymous one.")] = False,
    ) -> Response:
        """Keep what a person allows and refuses, by purpose: the next answer holds to it."""
        asked = Request(_json(body), user_id, {"anonymous": "true" if anonymous else "false"})
        return await _delegate(consent.put, asked)


async def _delegate(handler: Callable[[Request], Awaitable[Answer]], request: Request) -> Response:
    try:
        answer = await handler(request)
    except ProblemError as problem:
        return Response(problem.body(), problem.status, media_type=MEDIA_TYPE.decode())
    return Response(answer.body, answer.status, media_type="application/json")


def _json(body: BaseModel) -> bytes:
    return body.model_dump_json(by_alias=True, exclude_unset=True).encode()
