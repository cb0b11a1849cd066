"""The routes of the admin application, by FastAPI; what they do blocks, so each runs in one of a few threads."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from starlette.exceptions import HTTPException

from feature_repo.portraits import Portraits
from registry.experiments.launching import launcher_of
from registry.versions.versions import Registry
from serving.admin.catalogue.goods import Goods
from serving.admin.catalogue.pages import catalogue_routes
from serving.admin.experiments.experiments import experiment_routes
from serving.admin.experiments.readouts import readout_routes
from serving.admin.experiments.turns import Turn
from serving.admin.guard import key_of
from serving.admin.models.models import list_decisions, list_models, show_model
from serving.admin.models.moves import Moves, problem_of
from serving.admin.models.segments import segment_routes
from serving.admin.people.consents import consent_routes
from serving.admin.people.erasures import erasure_routes
from serving.admin.people.exports import export_routes
from serving.admin.people.people import people_routes
from serving.admin.schemas import (
    Alias,
    ArmsOut,
    Decisions,
    ModelCard,
    Models,
    Moved,
    PromoteRequest,
    RollbackRequest,
    StreamsOut,
    TriggersOut,
)
from serving.admin.state import show_arms, show_streams, show_triggers
from serving.heartbeat import Beat
from serving.http.described import describe_keys
from serving.http.problems import MEDIA_TYPE, ProblemError, not_found, pointer, shown
from serving.http.schemas import Problem
from serving.privacy.consents import ConsentKeeper
from serving.privacy.exports import Exports
from serving.segments.live import LiveSegments
from tailorbird import __version__
from tailorbird.errors import TailorbirdError
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.erasing import Erasing
from tailorbird.segments.rules.file import RulesFile
from tailorbird.settings import Settings

log = logging.getLogger("ray.serve.tailorbird")
THREADS = 4
"""Requests at work at a time; others wait, as many as the port lets in."""
MOST_DECISIONS = 1_000
Described = dict[int | str, dict[str, Any]]
Which = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="A number, an alias or `latest`.")
]


@dataclass(frozen=True)
class Desk:
    """What the routes work with: the workspace, its registry and the moves of its aliases, heartbeats, goods, people, segments, erasures."""

    settings: Settings
    registry: Callable[[], Registry]
    moves: Moves
    beats: Callable[[], Sequence[Beat]]
    goods: Goods
    portraits: Portraits
    segments: LiveSegments
    rules: RulesFile
    erasing: Erasing
    door: Door


def build_admin(desk: Desk) -> FastAPI:
    """Make the FastAPI application."""
    app = FastAPI(
        title="Tailorbird admin",
        version=__version__,
        description="Models, aliases, decisions, arms, streams and the catalogue; for programs of this machine.",
        docs_url=None,
        redoc_url=None,
        lifespan=_few_threads,
        responses=_described((403, "Not from this machine, or from a web page.")),
    )
    app.add_exception_handler(HTTPException, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(TailorbirdError, _failed)  # type: ignore[arg-type]
    app.add_exception_handler(ProblemError, _problem)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, answer_when_broken)
    _reads(app, desk)
    _moves(app, desk)
    people_routes(app, desk.portraits, settings=desk.settings, door=desk.door, problems=_described)
    exports = Exports(desk.settings, door=desk.door, portraits=desk.portraits)
    export_routes(app, exports, settings=desk.settings, door=desk.door, problems=_described)
    keeper = ConsentKeeper(desk.settings, door=desk.door)
    consent_routes(app, keeper, settings=desk.settings, door=desk.door, problems=_described)
    # After those whose paths go on behind a user's id: its own takes whatever follows as part of the id.
    catalogue_routes(app, desk.goods, folder=desk.settings.folder, problems=_described)
    erasure_routes(
        app,
        desk.erasing,
        settings=desk.settings,
        door=desk.door,
        linked_to=desk.portraits.linked_to,
        problems=_described,
    )
    launcher = launcher_of(
        desk.settings,
        segments=lambda: [*desk.segments.keys, *desk.rules().keys],
        announce=desk.moves.announce,
    )
    turn = Turn("another readout or check")
    experiment_routes(app, launcher, turn=turn, problems=_described)
    readout_routes(app, desk.settings, desk.moves, turn=turn, problems=_described)
    segment_routes(app, desk.segments, desk.rules, name=desk.settings.segments_name)
    describe_keys(app)
    return app


def _reads(app: FastAPI, desk: Desk) -> None:
    missing = _described(
        (404, "No such version or alias."),
        (422, "The request breaks the schema."),
        (503, "The registry is away."),
    )

    @app.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live", "workspace": desk.settings.workspace}

    @app.get("/v1/models", tags=["registry"], responses=missing)
    def models() -> Models:
        """Every version with its figures and the aliases that point at it."""
        return list_models(desk.registry())

    @app.get("/v1/models/{version}", tags=["registry"], responses=missing)
    def model(version: Which) -> ModelCard:
        """One version: its card, its bundle's manifest and the decisions about it."""
        return show_model(desk.registry(), version)

    @app.get("/v1/decisions", tags=["registry"], responses=missing)
    def decisions(
        alias: Alias | None = None, limit: Annotated[int, Query(ge=1, le=MOST_DECISIONS)] = 100
    ) -> Decisions:
        """Who moved which alias, when and why; the newest first."""
        return list_decisions(desk.registry(), alias=alias or "", limit=limit)

    @app.get("/v1/arms", tags=["state"])
    def arms() -> ArmsOut:
        """Every arm, the version its alias points at, and what every live replica serves for it."""
        return show_arms(desk.settings, desk.beats())

    @app.get("/v1/streams", tags=["state"])
    def streams() -> StreamsOut:
        """Where events and exposures end, how far their readers are, and what waits."""
        return show_streams(desk.settings, desk.beats())

    @app.get("/v1/triggers", tags=["state"])
    def triggers() -> TriggersOut:
        """Whom moves of people call, what waits for them, and what was given up."""
        return show_triggers(desk.settings)


def _moves(app: FastAPI, desk: Desk) -> None:
    described = _described(
        (400, "Malformed JSON."),
        (404, "No such version or alias."),
        (409, "Somebody else moved the alias first."),
        (411, "No content-length."),
        (413, "Body too large."),
        (415, "Not JSON."),
        (422, "The request breaks the schema, or a gate refuses."),
        (503, "Another move is under way, or the registry is away."),
    )

    @app.post("/v1/models/{version}:promote", tags=["registry"], responses=described)
    def promote(version: Which, body: PromoteRequest, request: Request) -> Moved:
        """Move an alias to a version that passes its gates; replicas follow at once."""
        return desk.moves.promote(version, body, key=key_of(request))

    @app.post("/v1/models:rollback", tags=["registry"], responses=described)
    def rollback(body: RollbackRequest, request: Request) -> Moved:
        """Return an alias to the version it had before; replicas follow at once."""
        return desk.moves.roll_back(body, key=key_of(request))


def _described(*problems: tuple[int, str]) -> Described:
    return {
        status: {"description": text, "content": {MEDIA_TYPE.decode(): {}}, "model": Problem}
        for status, text in problems
    }


@asynccontextmanager
async def _few_threads(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


async def _problem(request: Request, problem: ProblemError) -> Response:
    return Response(problem.body(), problem.status, media_type=MEDIA_TYPE.decode())


async def _failed(request: Request, error: TailorbirdError) -> Response:
    return await _problem(request, problem_of(error))


async def answer_when_broken(request: Request, error: Exception) -> Response:
    """What nobody foresaw, as a problem; its cause goes to the log."""
    # The path as it is declared: in its place may stand a person's id.
    place = getattr(request.scope.get("route"), "path", "a page")
    log.error("%s %s failed", request.method, place, exc_info=error)
    return await _problem(
        request,
        ProblemError(
            500,
            "internal-error",
            f"{request.method} {request.url.path} failed on our side: {type(error).__name__}",
            remedy="the cause stands in the replica's log; `tailorbird decisions` says whether an alias moved",
        ),
    )


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    findings = error.errors()
    where, *path = findings[0]["loc"]
    malformed = findings[0]["type"] == "json_invalid"
    detail = f"the body is not JSON: {findings[0]['msg']}"
    if not malformed:
        place = pointer(path) if where == "body" else ".".join(str(part) for part in path)
        detail = f"{place or 'the body'}: {findings[0]['msg']}, got {shown(findings[0].get('input'))}"
    return await _problem(
        request,
        ProblemError(
            400 if malformed else 422,
            "malformed-json" if malformed else "invalid-request",
            detail,
            remedy="see /openapi.json for the schema",
        ),
    )


async def _refused(request: Request, error: HTTPException) -> Response:
    problem = not_found(request.url.path)
    if error.status_code != problem.status:
        problem = ProblemError(error.status_code, "refused", str(error.detail), remedy="see /openapi.json")
    return Response(
        problem.body(), problem.status, media_type=MEDIA_TYPE.decode(), headers=dict(error.headers or {})
    )
