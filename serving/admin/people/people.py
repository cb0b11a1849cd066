"""The admin application's routes of people: profiles as one reads them, now or as they were."""

import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from pydantic import AwareDatetime, Field

from feature_repo.away import FeatureStoreAwayError
from feature_repo.portraits import Portraits
from serving.admin.guard import key_of
from serving.http.problems import ProblemError
from serving.http.schemas import Body, Identifier
from tailorbird.audit.record import READ_PROFILE, caller, record
from tailorbird.features.portrait.portrait import Portrait
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.door.told import told_to_caller
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError

Described = dict[int | str, dict[str, Any]]


class WindowOut(Body):
    """What happened in the last `seconds`; not `complete`: at least so much."""

    seconds: float
    events: int
    items: int
    types: dict[str, int]
    spent: float
    complete: bool


class TasteOut(Body):
    """A category or brand and its share of what a person showed liking for."""

    name: str | None
    share: float


class PastOut(Body):
    """One event of the history."""

    at: dt.datetime
    type: str
    item_id: str | None
    value: float | None


class DemographicsOut(Body):
    """What a person told, or was told of them."""

    age: float | None
    gender: str
    country: str


class PriceOut(Body):
    """The range in which a person usually chooses."""

    low: float
    high: float


class MembershipOut(Body):
    """How much of a segment a person is."""

    key: str
    name: str
    share: float


class BelongingOut(Body):
    """The learned segment of a person at the instant `at`; `key` "" where too little was seen."""

    key: str
    name: str
    evidence: float = Field(description="Its lead over the second, in nats.")
    incumbent: str = Field(description="What is usual for the person; another key than `key` after a move.")
    memberships: list[MembershipOut] = Field(description="The largest first, five at most.")
    model_version: str


class RuleOut(Body):
    """A rule that holds of a person."""

    key: str
    name: str


class ProfileOut(Body):
    """A person as the platform knows them at the instant `at`."""

    user_key: str = Field(description="`user:` or `anon:` and the id, as the caller knows it.")
    linked: list[str] = Field(description="Anonymous keys whose profiles are joined to this one, likewise.")
    at: dt.datetime
    version: str = Field(description="Changes with every event.")
    events: int
    first_seen: dt.datetime | None
    last_seen: dt.datetime | None
    demographics: DemographicsOut
    segment: BelongingOut | None = Field(description="Null while no segment model is promoted.")
    consents: dict[str, bool] = Field(
        description="The newest word by purpose; without `personalization` nothing else is known of a person."
    )
    restricted: bool = Field(description="What is known is kept and used for nothing, nor shown here.")
    rules: list[RuleOut] = Field(description="The rules of `rules.toml` that hold at the instant `at`.")
    windows: dict[str, WindowOut]
    categories: list[TasteOut]
    brands: list[TasteOut]
    price: PriceOut | None
    last_events: list[PastOut]
    had: int = Field(description="Items that the person has met.")
    hidden: list[str]
    features: dict[str, float] = Field(description="What models are given.")

    @classmethod
    def of(cls, portrait: Portrait) -> "ProfileOut":
        """A portrait as JSON has it."""
        said = portrait.plain()
        said["price"] = dict(zip(("low", "high"), portrait.price, strict=True)) if portrait.price else None
        return cls.model_validate(said, by_name=True)


def people_routes(
    app: FastAPI,
    portraits: Portraits,
    *,
    settings: Settings,
    door: Door,
    problems: Callable[..., Described],
) -> None:
    """Add the routes; who reads whom stands in the audit log of ``settings``."""
    described = problems((422, "No instant, or one that is not over."), (503, "Profiles or events are away."))

    @app.get("/v1/users/{user_id:path}/profile", tags=["people"], responses=described)
    def profile(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        at: Annotated[
            AwareDatetime | None,
            Query(description="As known then; without it, as the next answer will see them."),
        ] = None,
        anonymous: Annotated[bool, Query(description="The id of the path is an anonymous one.")] = False,
    ) -> ProfileOut:
        """What the platform knows of a person. Somebody who never did anything has the empty profile."""
        key = door.person(user_id, anonymous=anonymous)
        record(settings, who=caller(key_of(request)), what=READ_PROFILE, person=key)
        try:
            found = portraits.live(key) if at is None else portraits.at(key, at.timestamp())
        except (FeatureStoreAwayError, StreamAwayError) as error:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "profile-away",
                error.what,
                remedy=error.remedy,
                headers={"retry-after": "1"},
            ) from error
        return ProfileOut.of(told_to_caller(found, door, asked=user_id))
