"""The admin application's routes of consent, objection and restriction: what holds of a person, and every word of before."""

import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from pydantic import Field

from serving.admin.guard import key_of
from serving.http.consents import ConsentTold, ObjectionTold, RestrictionTold
from serving.http.problems import ProblemError, not_now
from serving.http.schemas import Body, Identifier
from serving.privacy.consents import ConsentKeeper, Told
from tailorbird.audit.record import CONSENT, OBJECT, READ_PROFILE, RESTRICT, caller, record
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.policy.words import ErasedError, Said
from tailorbird.settings import Settings

Described = dict[int | str, dict[str, Any]]
Anonymous = Annotated[bool, Query(description="The id of the path is an anonymous one.")]


class WordOut(Body):
    """One word of the history."""

    at: dt.datetime
    purposes: dict[str, bool]
    version: str
    source: str
    proof: str
    right: str = Field(description="`objection` or `restriction`, where it is no consent.")
    reason: str
    anonymous: bool = Field(description="Said under an anonymous id.")


class ConsentOut(Body):
    """What holds now, and every word, the oldest first."""

    user_id: str
    purposes: dict[str, bool]
    restricted: bool = Field(description="What is known is kept and used for nothing.")
    history: list[WordOut]
    profile_delayed: bool = Field(
        default=False, description="Stored; the live profile follows when the feature store is back."
    )

    @classmethod
    def of(cls, told: Told, *, user_id: str) -> "ConsentOut":
        """As JSON has it."""
        return cls(
            user_id=user_id,
            purposes=dict(told.purposes),
            restricted=told.restricted,
            history=[
                WordOut(
                    at=row["at"],
                    purposes=row["purposes"],
                    version=row.get("version", ""),
                    source=row.get("source", ""),
                    proof=row.get("proof", ""),
                    right=row.get("right", ""),
                    reason=row.get("reason", ""),
                    anonymous="anonymousId" in row,
                )
                for row in told.history
            ],
            profile_delayed=told.delayed,
        )


def consent_routes(
    app: FastAPI, keeper: ConsentKeeper, *, settings: Settings, door: Door, problems: Callable[..., Described]
) -> None:
    """Add the routes; who changes whose consent stands in the audit log of ``settings``."""
    away = (503, "Events are away.")
    invalid = (422, "No such purpose, or the request breaks the schema.")

    @app.put(
        "/v1/users/{user_id:path}/consent",
        tags=["privacy"],
        responses=problems((409, "The person was erased."), invalid, away),
    )
    def say(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        body: ConsentTold,
        anonymous: Anonymous = False,
    ) -> ConsentOut:
        """Keep what a person allows and refuses: the next answer holds to it. An erased person who consents is let back."""
        try:
            said = body.said_by(door.policy.tcf)
        except UsageError as error:
            raise _invalid(error) from error
        return stored(request, user_id, said, anonymous=anonymous, what=CONSENT)

    @app.put(
        "/v1/users/{user_id:path}/objection",
        tags=["privacy"],
        responses=problems((409, "The person was erased."), invalid, away),
    )
    def object_to(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        body: ObjectionTold,
        anonymous: Anonymous = False,
    ) -> ConsentOut:
        """End the use of what is known of a person for some purposes, whatever the legal basis, until they consent to them."""
        return stored(request, user_id, body.said, anonymous=anonymous, what=OBJECT)

    @app.put(
        "/v1/users/{user_id:path}/restriction",
        tags=["privacy"],
        responses=problems((409, "The person was erased."), invalid, away),
    )
    def restrict(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        body: RestrictionTold,
        anonymous: Anonymous = False,
    ) -> ConsentOut:
        """Keep what is known of a person and what comes, and use it for nothing; or lift that: then all of it serves again."""
        return stored(request, user_id, body.said, anonymous=anonymous, what=RESTRICT)

    def stored(request: Request, user_id: str, said: Said, *, anonymous: bool, what: str) -> ConsentOut:
        try:
            said.require(door.policy.purposes)  # what is written down stays for good
            record(
                settings,
                who=caller(key_of(request)),
                what=what,
                person=door.person(user_id, anonymous=anonymous),
                detail={"purposes": dict(said.purposes)},
            )
            told = keeper.say(user_id, said, anonymous=anonymous)
        except UsageError as error:
            raise _invalid(error) from error
        except ErasedError as error:
            raise ProblemError(HTTPStatus.CONFLICT, "erased", error.what, remedy=error.remedy) from error
        except TailorbirdError as error:
            raise not_now(error) from error
        return ConsentOut.of(told, user_id=user_id)

    @app.get("/v1/users/{user_id:path}/consent", tags=["privacy"], responses=problems(invalid, away))
    def told(
        request: Request, user_id: Annotated[Identifier, Path()], anonymous: Anonymous = False
    ) -> ConsentOut:
        """What holds now and every word, with its text's version, source and proof."""
        key = door.person(user_id, anonymous=anonymous)
        record(settings, who=caller(key_of(request)), what=READ_PROFILE, person=key)
        try:
            return ConsentOut.of(keeper.told(key), user_id=user_id)
        except TailorbirdError as error:
            raise not_now(error) from error


def _invalid(error: UsageError) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", error.what, remedy=error.remedy)
