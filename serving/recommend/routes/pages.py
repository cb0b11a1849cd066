"""The pages that need no speed, by FastAPI: health, metrics and the OpenAPI description of every route.

The hot routes are declared beside (hot.py), so that they are described, too.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Response
from fastapi.requests import Request as HttpRequest
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from serving import metrics
from serving.http.access import ANY_KEY, FOR_ADMIN, FOR_RECOMMEND, OPEN
from serving.http.described import describe_keys
from serving.http.problems import MEDIA_TYPE, ProblemError, not_found
from serving.http.schemas import Health
from serving.recommend.routes.assignments import AssignmentService
from serving.recommend.routes.consent import ConsentRoute
from serving.recommend.routes.hot import CONSENT_PATH, Described, declare_consent, declare_hot
from serving.recommend.routes.merge import MergeRoutes
from serving.recommend.routes.trace import TraceService
from serving.recommend.slate.service import RecommendService
from tailorbird import __version__
from tailorbird.access.gate import Needs

PAGES: Mapping[str, Needs | None] = {
    "/health/live": OPEN,
    "/health/ready": OPEN,
    "/metrics": FOR_ADMIN,
    "/openapi.json": ANY_KEY,
    "/noop": FOR_RECOMMEND,
}
"""What opens the pages that only FastAPI answers."""


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
    declare_hot(app, service, traces, merge=merge, assignments=assignments, consent=consent)
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
            declare_consent(app, consent)
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


async def _problem(request: HttpRequest, error: HTTPException) -> Response:
    problem = not_found(request.url.path)
    if error.status_code != problem.status:
        problem = ProblemError(error.status_code, "refused", str(error.detail), remedy="see /openapi.json")
    return Response(problem.body(), problem.status, headers=error.headers, media_type=MEDIA_TYPE.decode())
