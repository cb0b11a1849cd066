"""The HTTP contract of traces: why each item of an answer is there, and what was dropped."""

import datetime as dt

from pydantic import Field

from serving.http.schemas import Body, ModelName


class TracedSource(Body):
    """A source, or a fallback list, that had the item, and at which place (1 the first)."""

    name: str
    place: int
    words: str


class TracedEvent(Body):
    """Something this person did."""

    message_id: str
    type: str
    item_id: str | None
    timestamp: dt.datetime


class TracedPush(Body):
    """What pushed the item: without it, it would stand at ``placeWithout``."""

    events: list[TracedEvent] = Field(description="What would have to be undone; empty: see lookedAt.")
    looked_at: str | None = Field(description="The item that was being looked at, if that pushed.")
    place: int = Field(description="Among all candidates, 1 the first.")
    place_without: int | None = Field(description="Absent: not even among the candidates.")
    words: str


class TracedItem(Body):
    """One item of the answer."""

    item_id: str
    position: int
    score: float
    propensity: float
    sources: list[TracedSource]
    because: list[TracedPush]
    words: str


class TracedRule(Body):
    """What one rule took out of the whole catalogue."""

    rule: str
    count: int
    words: str
    item_ids: list[str] = Field(description="Some of them, where the request asked to explain.")


class TracedProfile(Body):
    """The profile that answered; ``rebuilt`` where it could be made again exactly as it was."""

    version: str
    events: int
    rebuilt: bool


class TracedSegment(Body):
    """Where the person belonged when the answer was made, and by which version of the segment model."""

    key: str
    name: str
    model: str


class Trace(Body):
    """Why an answer was what it was."""

    recommendation_id: str
    at: dt.datetime
    scenario: str
    arm: str
    model: ModelName
    fallback: str | None
    partial: bool
    segment: TracedSegment | None = Field(description="Null without a segment model.")
    profile: TracedProfile
    items: list[TracedItem]
    removed: list[TracedRule]
    notes: list[str] = Field(description="What could not be found out, and why.")
    took_ms: float
