"""The pages that need no speed, by FastAPI: health, metrics and the OpenAPI description of every route.

The hot routes are declared here too, so that they are described; the front (serving/http/front.py) answers them before
FastAPI sees them, with the same handlers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Query, Response
from fastapi.requests import Request as HttpRequest
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serving import metrics
from serving.http.access import ANY_KEY, FOR_ADMIN, FOR_RECOMMEND, OPEN
from serving.http.consents import Consented, told_in
from serving.http.described import describe_keys
from serving.http.front import Answer, Request
from serving.http.problems import MEDIA_TYPE, ProblemError, not_found
from serving.http.schemas import (
    MAX_RESULTS,
    AssignmentRequest,
    Assignments,
    Collected,
    CollectHealth,
    EventBatch,
    Health,
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
from tailorbird import __version__
from tailorbird.access.gate import Needs

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
PAGES: Mapping[str, Needs | None] = {
    "/health/live": OPEN,
    "/health/ready": OPEN,
    "/metrics": FOR_ADMIN,
    "/openapi.json": ANY_KEY,
    "/noop": FOR_RECOMMEND,
}
"""What opens the pages that only FastAPI answers."""
CONSENT_PATH = "/v1/users/{user_id}/consent"
AnonymousId = Annotated[str, Query(alias="anonymousId", min_length=1, max_length=256)]
NumResults = Annotated[int, Query(alias="numResults", ge=1, le=MAX_RESULTS)]
Name = Annotated[str, Path(min_length=1, max_length=256)]


def build_pages(
    service: RecommendService,
    traces: TraceService,
    *,
    merge: MergeRoutes,
    assignments: AssignmentService,
    consent: ConsentRoute,
    noop: bool = False,
) -> FastAPI:
    """Make the FastAPI application; ``noop`` adds the route that the benchmark compares with."""
    app = FastAPI(
        title="Tailorbird",
        version=__version__,
        description="Events in, recommendations that fit this person now.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, _problem)  # type: ignore[arg-type]
    _operations(app, service)
    _recommendations(app, service)
    _assignments(app, assignments)
    _traces(app, traces)
    _people(app, merge)
    _consent(app, consent)
    _sdk(app)
    if noop:

        @app.get("/noop", include_in_schema=False)
        async def nothing() -> dict[str, bool]:
            return {"ok": True}

    _describe_problems(app)
    _follow_policy(app, consent)
    describe_keys(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Say of every problem that it is application/problem+json: FastAPI describes all models as application/json.

    Said when somebody asks: a description takes longer to make than the application.
    """
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            for methods in plain()["paths"].values():
                for operation in methods.values():
                    for answer in operation["responses"].values():
                        content = answer.get("content", {})
                        schema = content.get("application/json", {}).get("schema", {})
                        if schema.get("$ref", "").endswith("/Problem"):
                            answer["content"] = {MEDIA_TYPE.decode(): content["application/json"]}
        return plain()

    app.openapi = described  # type: ignore[method-assign]


def _follow_policy(app: FastAPI, consent: ConsentRoute) -> None:
    """Have the description list the purposes of now: its route of consents is made anew where the policy is another."""
    plain, held = app.openapi, consent.policy()

    def described() -> dict[str, Any]:
        nonlocal held
        if (policy := consent.policy()) is not held:
            held = policy
            routes = app.router.routes
            routes[:] = [each for each in routes if getattr(each, "path", "") != CONSENT_PATH]
            _consent(app, consent)
            app.openapi_schema = None
        return plain()

    app.openapi = described  # type: ignore[method-assign]


def _operations(app: FastAPI, service: RecommendService) -> None:
    @app.get("/health/live", tags=["operations"], response_model=None)
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["operations"], responses={200: {"model": Health}}, response_model=None)
    async def ready() -> Response:
        """Requests can come; `problems` names what is degraded."""
        # In a thread: engines on other machines take a while to be away.
        health, good = await asyncio.to_thread(service.health)
        return Response(orjson.dumps(health), 200 if good else 503, media_type="application/json")

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse, response_model=None)
    async def prometheus() -> Response:
        """Metrics of all replicas, in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


def _sdk(app: FastAPI) -> None:
    """Described here, answered by the front (serving/http/sdk.py)."""
    content = {"text/javascript": {"schema": {"type": "string"}}}
    leads: Described = {302: {"description": "To the script of this version.", "content": content}}
    script: Described = {200: {"description": "The script.", "content": content}, **leads}

    @app.get(
        "/sdk.js",
        tags=["sdk"],
        status_code=302,
        responses=leads,
        response_class=Response,
        response_model=None,
    )
    async def lead() -> Response:
        """The browser SDK: leads to the script under its content's hash, for five minutes."""
        return _not_here("/sdk.js")

    @app.get(
        "/sdk/{content_hash}.js",
        tags=["sdk"],
        responses=script,
        response_class=Response,
        response_model=None,
    )
    async def kept(content_hash: str) -> Response:
        """The browser SDK, which may be kept for good; the hash of another version leads to this one."""
        return _not_here("/sdk/")


def _not_here(path: str) -> Response:
    problem = not_found(path)
    return Response(problem.body(), problem.status, media_type=MEDIA_TYPE.decode())


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


def _consent(app: FastAPI, consent: ConsentRoute) -> None:
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


async def _problem(request: HttpRequest, error: HTTPException) -> Response:
    problem = not_found(request.url.path)
    if error.status_code != problem.status:
        problem = ProblemError(error.status_code, "refused", str(error.detail), remedy="see /openapi.json")
    return Response(problem.body(), problem.status, headers=error.headers, media_type=MEDIA_TYPE.decode())
