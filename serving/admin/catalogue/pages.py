"""The admin application's routes of the catalogue: items, users and whole files of them."""

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from starlette.concurrency import run_in_threadpool

from serving.admin.catalogue.arriving import arriving
from serving.admin.catalogue.goods import Goods
from serving.admin.guard import FILES, media_type
from serving.admin.schemas import ItemOut, ItemsIn, ItemsTold, Told, Uploaded
from serving.http.schemas import Identifier
from tailorbird.catalog.log.schemas import ItemPatch, UserTold
from tailorbird.ingest.upload import What

Key = Annotated[Identifier, Path()]
MappingName = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
        description="A mapping of the program, or of the workspace's `mappings/`; without one, columns have our names.",
    ),
]
Described = dict[int | str, dict[str, Any]]
FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind.decode(): {"schema": {"type": "string", "format": "binary"}} for kind in FILES},
    }
}


def catalogue_routes(
    app: FastAPI, goods: Goods, *, folder: FilePath, problems: Callable[..., Described]
) -> None:
    """Add the routes; files on their way lie in ``folder``."""
    described = problems(
        (400, "Malformed JSON."),
        (411, "No content-length."),
        (413, "Body too large."),
        (415, "Not JSON."),
        (422, "The request breaks the schema, or a file cannot be read."),
        (503, "The catalogue cannot be written now; nothing was kept."),
    )
    unknown = problems((404, "No such item."))

    @app.put("/v1/items", tags=["catalogue"], responses=described)
    def put_items(body: ItemsIn) -> ItemsTold:
        """Tell of items: what a patch does not say stays; each is kept or refused by itself."""
        return goods.put_items(body)

    @app.get("/v1/items/{item_id:path}", tags=["catalogue"], responses={**described, **unknown})
    def item(item_id: Key) -> ItemOut:
        """What is known of an item now."""
        return goods.show_item(item_id)

    @app.delete("/v1/items/{item_id:path}", tags=["catalogue"], responses={**described, **unknown})
    def delete_item(item_id: Key) -> Told:
        """Show an item no more; told again, it is there again."""
        return goods.delete_item(item_id)

    erased = problems((409, "The user was erased, and has not consented anew."))

    @app.put("/v1/users/{user_id:path}", tags=["catalogue"], responses={**described, **erased})
    def put_user(user_id: Key, body: UserTold) -> Told:
        """Tell of a user."""
        return goods.put_user(user_id, body)

    @app.post("/v1/items:upload", tags=["catalogue"], responses=described, openapi_extra=FILE_BODY)
    async def upload_items(request: Request, mapping: MappingName = None) -> Uploaded:
        """Tell of the items of a file, through a mapping."""
        return await _uploaded(request, "items", mapping or "")

    @app.post("/v1/users:upload", tags=["catalogue"], responses=described, openapi_extra=FILE_BODY)
    async def upload_users(request: Request, mapping: MappingName = None) -> Uploaded:
        """Tell of the users of a file, through a mapping."""
        return await _uploaded(request, "users", mapping or "")

    async def _uploaded(request: Request, what: What, mapping: str) -> Uploaded:
        suffix = FILES[media_type(dict(request.scope["headers"]))]
        with arriving(folder, suffix=suffix) as file:
            async for part in request.stream():
                file.write(part)
            file.flush()
            return await run_in_threadpool(goods.upload, FilePath(file.name), what, mapping=mapping)

    _describe(app, ItemPatch)


def _describe(app: FastAPI, schema: type[ItemPatch]) -> None:
    """Add the patch of an item to the description: a batch holds patches as they come, each judged by itself."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        parts = document.setdefault("components", {}).setdefault("schemas", {})
        parts.setdefault("ItemPatch", schema.model_json_schema(ref_template="#/components/schemas/{model}"))
        return document

    app.openapi = described  # type: ignore[method-assign]
