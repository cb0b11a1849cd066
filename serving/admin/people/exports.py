"""The admin application's route of exports: a file of everything of a person, which may be fetched on where it broke off."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from fastapi.responses import FileResponse

from serving.admin.guard import key_of
from serving.http.problems import not_now
from serving.http.schemas import Identifier
from serving.privacy.exports import Exports
from tailorbird.audit.record import EXPORT, caller, record
from tailorbird.errors import TailorbirdError
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.export.export import MEDIA_TYPES, Format
from tailorbird.settings import Settings

Described = dict[int | str, dict[str, Any]]


def export_routes(
    app: FastAPI, exports: Exports, *, settings: Settings, door: Door, problems: Callable[..., Described]
) -> None:
    """Add the route; who exports whom stands in the audit log of ``settings``."""
    described = problems((422, "The request breaks the schema."), (503, "A place cannot be read now."))
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}
    answers: Described = {
        200: {"content": content, "description": "All of it."},
        206: {"content": content, "description": "The bytes of `Range`, of the export that was made last."},
        416: {"content": {"text/plain": {}}, "description": "The export ends before `Range`."},
    }

    @app.get(
        "/v1/users/{user_id:path}/export",
        tags=["people"],
        responses={**described, **answers},
        response_class=FileResponse,
    )
    def export(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        anonymous: Annotated[bool, Query(description="The id of the path is an anonymous one.")] = False,
        form: Annotated[Format, Query(alias="format", description="One file in either form.")] = "json",
    ) -> FileResponse:
        """Everything of a person, in words: what is known, what follows, and what lies in every place.

        A download that broke off is gone on with by `Range`, with the `etag` of the first answer in `If-Range`.
        """
        person = door.person(user_id, anonymous=anonymous)
        record(settings, who=caller(key_of(request)), what=EXPORT, person=person)
        made = exports.shelf.newest(person, form=form) if "range" in request.headers else None
        try:
            path = made or exports.make(person, form=form)
        except TailorbirdError as error:
            raise not_now(error) from error
        return FileResponse(path, media_type=MEDIA_TYPES[form], filename=f"export.{form}")
