"""The calls, without a network: what is sent for each, and how its answer is read."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from tailorbird_client.answers import Collected, Consented, Linked, Recommendations
from tailorbird_client.events import Event
from tailorbird_client.profiles import Profile

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request that may be repeated; ``body`` is made anew for each attempt."""

    method: str
    path: str
    read: Callable[[Mapping[str, Any]], Answer]
    body: Callable[[], Mapping[str, Any] | None] = field(default=lambda: None)
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What was asked, for a fallback."""
    of_admin: bool = False
    """Whether the admin application answers it."""


def recommend(
    *,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    session_id: str | None = None,
    scenario: str | None = None,
    num_results: int | None = None,
    item_id: str | None = None,
    context: Mapping[str, Any] | None = None,
    filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - as the API names it
    segment_filter: Sequence[Mapping[str, Any]] | None = None,
    include_item_ids: Sequence[str] | None = None,
    exclude_item_ids: Sequence[str] | None = None,
    boost: Sequence[Mapping[str, Any]] | None = None,
    pin: Sequence[Mapping[str, Any]] | None = None,
    max_per_category: int | None = None,
    max_per_brand: int | None = None,
    explain: bool | None = None,
    cursor: str | None = None,
) -> Call[Recommendations]:
    """Items that fit this person now."""
    body = _told(
        userId=user_id,
        anonymousId=anonymous_id,
        sessionId=session_id,
        scenario=scenario,
        numResults=num_results,
        itemId=item_id,
        context=context,
        filter=filter,
        segmentFilter=segment_filter,
        includeItemIds=include_item_ids,
        excludeItemIds=exclude_item_ids,
        boost=boost,
        pin=pin,
        maxPerCategory=max_per_category,
        maxPerBrand=max_per_brand,
        explain=explain,
        cursor=cursor,
    )
    return Call("POST", "/v1/recommendations", Recommendations.of, lambda: body, body)


def rank(
    item_ids: Sequence[str],
    *,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    session_id: str | None = None,
    context: Mapping[str, Any] | None = None,
    explain: bool | None = None,
) -> Call[Recommendations]:
    """The best order of given items for this person."""
    body = _told(
        itemIds=list(item_ids),
        userId=user_id,
        anonymousId=anonymous_id,
        sessionId=session_id,
        context=context,
        explain=explain,
    )
    return Call("POST", "/v1/rank", Recommendations.of, lambda: body, body)


def similar(item_id: str, *, num_results: int | None = None) -> Call[Recommendations]:
    """Neighbours of an item."""
    many = "" if num_results is None else f"?numResults={num_results}"
    asked = _told(itemId=item_id, numResults=num_results)
    return Call("GET", f"/v1/items/{quote(item_id, safe='')}/similar{many}", Recommendations.of, asked=asked)


def collect(events: Sequence[Event]) -> Call[Collected]:
    """Tell what people did; all of ``events`` are one batch."""
    batch = [event.to_json() for event in events]

    def body() -> Mapping[str, Any]:
        return {"batch": batch, "sentAt": dt.datetime.now(dt.UTC).isoformat()}

    return Call("POST", "/v1/events", Collected.of, body)


def login(user_id: str, *, anonymous_id: str) -> Call[Linked]:
    """What was done under an anonymous id belongs to the user from now on."""
    body = {"anonymousId": anonymous_id}
    return Call("POST", f"/v1/users/{quote(user_id, safe='')}/merge", Linked.of, lambda: body)


def part(user_id: str, *, anonymous_id: str) -> Call[Linked]:
    """The two ids are strangers again, as if they had never been joined."""
    path = f"/v1/users/{quote(user_id, safe='')}/merge?anonymousId={quote(anonymous_id, safe='')}"
    return Call("DELETE", path, Linked.of)


def consent(
    user_id: str, purposes: Mapping[str, bool], *, anonymous: bool, version: str, source: str, proof: str
) -> Call[Consented]:
    """A person's word on purposes; those that are not named stay as they were."""
    told = {"version": version, "source": source, "proof": proof}
    body = {"purposes": dict(purposes), **{name: text for name, text in told.items() if text}}
    path = f"/v1/users/{quote(user_id, safe='')}/consent{'?anonymous=true' if anonymous else ''}"
    return Call("PUT", path, Consented.of, lambda: body)


def profile(user_id: str, *, anonymous: bool = False, at: dt.datetime | None = None) -> Call[Profile]:
    """What the platform knows of a person, now or as it was known at an instant of the past."""
    if at is not None and at.tzinfo is None:
        raise ValueError(f"at {at} has no time zone: give it one, such as datetime.UTC")
    chosen = _told(at=None if at is None else at.isoformat(), anonymous="true" if anonymous else None)
    path = f"/v1/users/{quote(user_id, safe='')}/profile"
    return Call("GET", f"{path}?{urlencode(chosen)}" if chosen else path, Profile.of, of_admin=True)


def _told(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
