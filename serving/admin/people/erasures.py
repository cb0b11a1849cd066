"""The admin application's routes of erasure: a person is to go, how far it is, what would go."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from fastapi.responses import JSONResponse

from serving.admin.guard import key_of
from serving.admin.people.erasure_schemas import ErasureOut, ReceiptOut, ReceiptsOut, WouldGoOut
from serving.http.problems import ProblemError, not_now, shown
from serving.http.schemas import Identifier
from serving.privacy.erasures import with_models_now
from tailorbird.audit.record import ERASE, caller, record
from tailorbird.errors import TailorbirdError
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.erasing import Erasing
from tailorbird.settings import Settings

MOST_RECEIPTS = 1_000
Answer = TypeVar("Answer")
Described = dict[int | str, dict[str, Any]]
LinkedTo = Callable[[str], tuple[str, ...]]
"""The anonymous keys that a live profile is joined with; what cannot be read now is looked up by the job."""


def erasure_routes(
    app: FastAPI,
    erasing: Erasing,
    *,
    settings: Settings,
    door: Door,
    linked_to: LinkedTo,
    problems: Callable[..., Described],
) -> None:
    """Add the routes; who erases whom stands in the audit log of ``settings``."""
    described = problems(
        (422, "The request breaks the schema."), (503, "The workspace cannot be written now.")
    )
    unknown = problems((404, "No such receipt."))
    answers: Described = {
        200: {"model": WouldGoOut, "description": "With `dryRun`: what would go."},
        202: {"model": ErasureOut, "description": "The person is erased; poll the receipt."},
    }

    @app.delete(
        "/v1/users/{user_id:path}", tags=["privacy"], responses={**described, **answers}, status_code=202
    )
    def erase(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        anonymous: Annotated[bool, Query(description="The id of the path is an anonymous one.")] = False,
        dry_run: Annotated[
            bool, Query(alias="dryRun", description="Say what would go, and do nothing.")
        ] = False,
    ) -> JSONResponse:
        """Erase a person everywhere: their id and every anonymous one that is linked to it.

        From the 202 on nothing new of them is stored. A second call while one is under way answers with the same receipt.
        """
        person = door.person(user_id, anonymous=anonymous)
        if dry_run:
            return _answer(WouldGoOut.of(_done(lambda: erasing.would_go(person))), HTTPStatus.OK)
        record(settings, who=caller(key_of(request)), what=ERASE, person=person)
        receipt = _done(lambda: erasing.ask(person, also=_linked(linked_to, person)))
        found = ErasureOut(
            receipt_id=receipt.id, receipt_url=f"/v1/erasures/{receipt.id}", state=receipt.state
        )
        return _answer(found, HTTPStatus.ACCEPTED)

    @app.get("/v1/erasures/{receipt_id}", tags=["privacy"], responses={**described, **unknown})
    def receipt(receipt_id: Annotated[Identifier, Path()]) -> ReceiptOut:
        """How far an erasure is: each place with what was found there, and what has become of the models in use."""
        found = _done(lambda: erasing.ledger.find(receipt_id))
        if found is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-receipt",
                f"no receipt {shown(receipt_id)}",
                remedy="DELETE /v1/users/{userId} answers with the address of one",
            )
        return ReceiptOut.of(with_models_now(settings, found))

    @app.get("/v1/erasures", tags=["privacy"], responses=described)
    def receipts(limit: Annotated[int, Query(ge=1, le=MOST_RECEIPTS)] = 100) -> ReceiptsOut:
        """The newest erasures."""
        found = _done(lambda: erasing.ledger.newest(limit=limit))
        return ReceiptsOut(receipts=[ReceiptOut.of(each) for each in found])


def _linked(linked_to: LinkedTo, person: str) -> tuple[str, ...]:
    try:
        return linked_to(person)
    except TailorbirdError:
        return ()


def _answer(body: ErasureOut | WouldGoOut, status: HTTPStatus) -> JSONResponse:
    return JSONResponse(body.model_dump(mode="json"), status)


def _done(work: Callable[[], Answer]) -> Answer:
    """What ``work`` answers; where the workspace is away, 503."""
    try:
        return work()
    except TailorbirdError as error:
        raise not_now(error) from error
