"""The admin application's routes of consent: what a person allows and refuses, by purpose, and every word of before."""

import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from pydantic import Field, StrictBool

from serving.admin.guard import key_of
from serving.http.problems import ProblemError
from serving.http.schemas import Body, Identifier
from serving.privacy.consents import ConsentKeeper, ErasedError, Told
from tailorbird.audit.record import CONSENT, READ_PROFILE, caller, record
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.privacy.door import Door
from tailorbird.settings import Settings

Described = dict[int | str, dict[str, Any]]
Anonymous = Annotated[bool, Query(description="The id of the path is an anonymous one.")]
Text = Annotated[str, Field(max_length=256)]


class ConsentTold(Body):
    """What a person says now; purposes that are not named stay as they were."""

    purposes: dict[str, StrictBool] = Field(min_length=1, max_length=64)
    version: Text = Field(default="", description="Of the text that the person was shown.")
    source: Text = Field(default="", description="Where it was said: a banner, a page, a call.")
    proof: str = Field(default="", max_length=4_096, description="Kept sealed under the person's own key.")


class WordOut(Body):
    """One word of the history."""

    at: dt.datetime
    purposes: dict[str, bool]
    version: str
    source: str
    proof: str
    anonymous: bool = Field(description="Said under an anonymous id.")


class ConsentOut(Body):
    """What holds now, and every word, the oldest first."""

    user_id: str
    purposes: dict[str, bool]
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
            history=[
                WordOut(
                    at=row["at"],
                    purposes=row["purposes"],
                    version=row.get("version", ""),
                    source=row.get("source", ""),
                    proof=row.get("proof", ""),
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
        key = door.person(user_id, anonymous=anonymous)
        record(
            settings,
            who=caller(key_of(request)),
            what=CONSENT,
            person=key,
            detail={"purposes": body.purposes},
        )
        try:
            told = keeper.say(
                user_id,
                body.purposes,
                anonymous=anonymous,
                version=body.version,
                source=body.source,
                proof=body.proof,
            )
        except UsageError as error:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", error.what, remedy=error.remedy
            ) from error
        except ErasedError as error:
            raise ProblemError(HTTPStatus.CONFLICT, "erased", error.what, remedy=error.remedy) from error
        except TailorbirdError as error:
            raise _away(error) from error
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
            raise _away(error) from error


def _away(error: TailorbirdError) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-now",
        error.what,
        remedy=error.remedy,
        headers={"retry-after": "1"},
    )
