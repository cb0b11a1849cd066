"""The admin application's routes of consent and rights over a world, as callers reach them."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from serving.admin.pages import _described, _invalid, _problem
from serving.admin.people.consents import consent_routes
from serving.http.problems import ProblemError
from serving.privacy.consents import ConsentKeeper
from tests.serving.world import World

Call = Callable[..., httpx.Response]


@pytest.fixture
def call(world: World) -> Call:
    """Calls it; the world's clock goes on before and after."""
    app = FastAPI()
    app.add_exception_handler(ProblemError, _problem)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]

    def tick() -> float:
        world.clock += 1.0
        return world.clock

    keeper = ConsentKeeper(world.settings, door=world.door, clock=tick)
    consent_routes(app, keeper, settings=world.settings, door=world.door, problems=_described)

    def called(method: str, path: str, **more: object) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as caller:
                return await caller.request(method, path, **more)  # type: ignore[arg-type]

        found = asyncio.run(once())
        world.clock += 1.0
        return found

    return called
