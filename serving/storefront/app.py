"""The shop's server: its pages and items, the visitor's profile, and the way of its pages to the platform."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse

from serving.storefront.goods import ShopGoods
from tailorbird.access.certificate import known_by_its_certificate
from tailorbird.plumbing.served import read_served
from tailorbird.settings import Settings

PAGES = Path(__file__).parent / "pages"
FILES = {"/": "index.html", "/shop.css": "shop.css", "/shop.js": "shop.js", "/knows.js": "knows.js"}
PLATFORM_SECONDS = 10.0
PASSED_ON = frozenset({"content-type", "cache-control", "location", "retry-after", "etag"})
"""Headers of the platform's answers that its browser SDK is told."""
MOST_IDS = 100
HOSTS = frozenset({"127.0.0.1", "localhost"})


def build_storefront(settings: Settings, *, platform: str) -> FastAPI:
    """Make the shop; ``platform`` is where recommendations are asked for, without a slash at its end."""
    goods = ShopGoods(settings.catalog_folder)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        key = {"x-api-key": settings.api_key} if settings.api_key else {}
        verify = known_by_its_certificate(settings)
        async with httpx.AsyncClient(timeout=PLATFORM_SECONDS, headers=key, verify=verify) as line:
            app.state.line = line
            yield

    app = FastAPI(title="Tailorbird's shop", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.middleware("http")(_own_pages_only)
    for path, name in FILES.items():
        _page(app, path, PAGES / name)

    @app.get("/api/items")
    def items(ids: Annotated[str, Query(max_length=30_000)]) -> dict[str, Any]:
        """Details of items, by their ids."""
        return goods.details(ids.split(",")[:MOST_IDS])

    @app.get("/api/departments")
    def departments() -> list[str]:
        """The departments of the shop."""
        return goods.departments()

    @app.get("/api/shelf")
    def shelf(
        department: str = "", query: Annotated[str, Query(max_length=200)] = ""
    ) -> list[dict[str, Any]]:
        """Items of a department, or with the words of a search."""
        return goods.shelf(department, query=query)

    @app.get("/api/profile")
    async def profile(user: Annotated[str, Query(min_length=1, max_length=256)]) -> Any:
        """What the platform knows of a visitor: admin answers programs of this machine, and the shop is one."""
        served = read_served(settings)
        if served is None:
            raise HTTPException(503, "the platform does not serve this workspace on this machine")
        answer = await _asked(
            app.state.line, "GET", f"{served.admin}/v1/users/{quote(user, safe='')}/profile"
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"], include_in_schema=False)
    async def pass_on(path: str, request: Request) -> Response:
        """The platform's own routes, so that the page has one origin."""
        if not path.startswith(("v1/", "sdk")):
            raise HTTPException(404, f"nothing at /{path}")
        kind = {"content-type": request.headers.get("content-type", "application/json")}
        answer = await _asked(
            app.state.line,
            request.method,
            f"{platform}{request.url.path}{'?' + request.url.query if request.url.query else ''}",
            content=await request.body(),
            headers=kind,
        )
        kept = {name: value for name, value in answer.headers.items() if name in PASSED_ON}
        return Response(answer.content, answer.status_code, headers=kept)

    return app


async def _own_pages_only(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Profiles are shown here: no name that is led to this machine, and no page of another origin, may ask or tell."""
    host = request.headers.get("host", "")
    if (
        host.rpartition(":")[0] not in HOSTS
        or request.headers.get("origin", f"http://{host}") != f"http://{host}"
    ):
        return Response("this shop is for pages of its own, on this machine", 403)
    return await answer(request)


def _page(app: FastAPI, path: str, file: Path) -> None:
    @app.get(path, include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(file, headers={"cache-control": "no-cache"})


async def _asked(line: httpx.AsyncClient, method: str, address: str, **rest: Any) -> httpx.Response:
    try:
        return await line.request(method, address, **rest)
    except httpx.HTTPError as error:
        raise HTTPException(
            503, f"the platform does not answer: {type(error).__name__}", {"retry-after": "1"}
        ) from error
