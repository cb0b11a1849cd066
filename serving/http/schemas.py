"""The HTTP contract: every body that comes in or goes out, in camelCase. Unknown keys are errors, so typing slips show."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    Tag,
    model_validator,
)
from pydantic.alias_generators import to_camel

from tailorbird.experiments.scenarios import (
    LARGEST_BOOST,
    MOST_BOOSTS,
    MOST_PINS,
    MOST_SEGMENT_FILTERS,
    MOST_SEGMENTS,
)

Identifier = Annotated[str, Field(min_length=1, max_length=256)]
ItemIds = Annotated[list[Identifier], Field(max_length=10_000)]
MAX_RESULTS = 1_000


def whole(value: object) -> object:
    """A number without a fraction as an int: JSON knows one kind of number."""
    return int(value) if type(value) is float and value.is_integer() else value


Results = Annotated[
    StrictInt,
    Field(ge=1, le=MAX_RESULTS, description="How many items to answer; more than exist is fine."),
    BeforeValidator(whole),
]
Names = Annotated[list[Identifier], Field(max_length=100)]
"""Categories or brands of a filter."""
Price = Annotated[StrictFloat, Field(ge=0, le=1e300)]


Scalar = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
    | Annotated[StrictFloat, Field(ge=-1e300, le=1e300)]
    | Annotated[str, Field(max_length=256)]
    | None
)
Key = Annotated[str, Field(max_length=64)]
Context = Annotated[
    dict[
        Key,
        Scalar
        | Annotated[list[Scalar], Field(max_length=16)]
        | Annotated[dict[Key, Scalar], Field(max_length=16)],
    ],
    Field(max_length=32),
]
"""Plain values, and lists and objects of them: what may be sent is what the description says."""
JsonObject = dict[str, Any]


class Body(BaseModel):
    """A JSON object of the API."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, serialize_by_alias=True
    )


class ItemFilter(Body):
    """What every answered item must fulfil."""

    categories: Names = Field(default=[], description="Any of these.")
    brands: Names = Field(default=[], description="Any of these.")
    min_price: Price | None = None
    max_price: Price | None = None
    seen: Literal["exclude", "keep", "default"] = Field(
        default="default", description="What the user already had; by default the model's recipe decides."
    )


Expression = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4_096,
        description='A filter in words, such as `price < 50 and not brand = "x"` (docs/catalog.md).',
        json_schema_extra={"format": "filter-expression"},
    ),
]


OBJECT, TEXT = "<object>", "<text>"
"""How the kinds of a filter are told apart; problems leave them out of their pointers."""
Filter = Annotated[
    Annotated[ItemFilter, Tag(OBJECT)] | Annotated[Expression, Tag(TEXT)],
    Discriminator(lambda value: TEXT if isinstance(value, str) else OBJECT),
]


Segments = Annotated[list[Identifier], Field(min_length=1, max_length=MOST_SEGMENTS)]


class SegmentFilterIn(Body):
    """What every item must fulfil that is answered to people of some segments."""

    filter: Expression
    segments: Segments = Field(
        description="Keys of learned segments or of rules (docs/segments.md): any of these."
    )


class BoostIn(Body):
    """Items to move up, or down."""

    filter: Expression
    by: Annotated[StrictFloat, Field(ge=-LARGEST_BOOST, le=LARGEST_BOOST, allow_inf_nan=False)] = Field(
        description="In standard deviations of the candidates' scores; down where negative."
    )
    segments: Segments | None = Field(default=None, description="For people of these segments alone.")


class PinIn(Body):
    """An item that stands at a place of the answer, where it may be shown at all."""

    item_id: Identifier
    place: Annotated[StrictInt, Field(ge=1, le=MAX_RESULTS), BeforeValidator(whole)]


Most = Annotated[StrictInt, Field(ge=1, le=MAX_RESULTS), BeforeValidator(whole)]


class Visitor(Body):
    """Who asks. Without an id the answer is made for an unknown visitor."""

    user_id: Identifier | None = None
    anonymous_id: Identifier | None = None
    session_id: Identifier | None = None
    context: Context = Field(default={}, description="device, referrer, consent …")


class RecommendationRequest(Visitor):
    """Ask for items that fit this person now."""

    scenario: Identifier = "home"
    num_results: Results = 20
    item_id: Identifier | None = Field(default=None, description="The item the person is looking at.")
    filter: Filter | None = Field(
        default=None,
        description="What every item must fulfil: as an object, or as an expression over any attribute.",
    )
    segment_filter: Annotated[list[SegmentFilterIn], Field(max_length=MOST_SEGMENT_FILTERS)] = []
    include_item_ids: ItemIds | None = Field(default=None, description="The only items that may be shown.")
    exclude_item_ids: ItemIds = []
    boost: Annotated[list[BoostIn], Field(max_length=MOST_BOOSTS)] = []
    pin: Annotated[list[PinIn], Field(max_length=MOST_PINS)] = []
    max_per_category: Most | None = Field(default=None, description="Of one most specific category.")
    max_per_brand: Most | None = None
    explain: StrictBool = False
    cursor: str | None = Field(
        default=None, max_length=100_000, description="From the answer before, for the next page."
    )


class RankRequest(Visitor):
    """Ask for the best order of given items."""

    item_ids: list[Identifier] = Field(min_length=1, max_length=MAX_RESULTS)
    explain: StrictBool = False


class AssignmentRequest(Visitor):
    """Ask which variants of experiments somebody gets."""

    scenario: Identifier = "page"
    experiments: Annotated[list[Identifier], Field(max_length=100)] | None = Field(
        default=None,
        description="Keys of those that the page will show; all without it. What is told counts as shown.",
    )


class RecommendedItem(Body):
    """One answered item, best first."""

    item_id: str
    score: float
    sources: list[str] = Field(description="Who proposed it.")
    reasons: list[str] = []


class ModelName(Body):
    """The model that answered; version "" when none is there."""

    name: str
    version: str


class Experiment(Body):
    """An experiment this answer takes part in."""

    key: str
    variant: str


class Assignment(Experiment):
    """A variant, and what it tells the page."""

    payload: JsonObject | None


class Assignments(Body):
    """The variants that somebody gets; none of somebody who may not be measured."""

    assignment_id: str
    assignments: list[Assignment]
    took_ms: float


class RuleName(Body):
    """A rule that somebody wrote, and that holds of the person."""

    key: str
    name: str


class SegmentName(Body):
    """A learned segment; `key` "" where too little was seen of the person."""

    key: str
    name: str


class Recommendations(Body):
    """The answer to a recommendation request."""

    recommendation_id: str
    items: list[RecommendedItem]
    model: ModelName
    arm: str = Field(description="The arm that this person is in; `champion` outside of experiments.")
    experiments: list[Experiment] = []
    fallback: str | None = Field(
        default=None,
        description="What stood in for the model: a list, `no_profile`, or `champion` in the place of another arm.",
    )
    partial: bool = Field(description="Fewer items than asked for, or part of the profile was away.")
    cursor: str | None = Field(default=None, description="Send it back to get the next page.")
    segment: SegmentName | None = Field(
        default=None,
        description="Where the person belongs, in an answer that was asked to explain; null without a segment model.",
    )
    rules: list[RuleName] = Field(
        default=[], description="The written rules that hold, in an answer that was asked to explain."
    )
    took_ms: float


class EventIn(Body):
    """One thing that happened."""

    message_id: Identifier
    type: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    user_id: Identifier | None = None
    anonymous_id: Identifier | None = None
    session_id: Identifier | None = None
    item_id: Identifier | None = None
    recommendation_id: Identifier | None = None
    position: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] | None = None
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    timestamp: dt.datetime | None = Field(
        default=None, description="When it happened, UTC; absent means now."
    )
    context: JsonObject = {}
    properties: JsonObject = {}

    @model_validator(mode="after")
    def _someone(self) -> "EventIn":
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("needs userId or anonymousId")
        return self


class EventBatch(Body):
    """Things that happened, in any order."""

    batch: list[Any] = Field(min_length=1, max_length=5_000, description="Objects of EventIn.")
    sent_at: AwareDatetime | None = Field(
        default=None,
        strict=True,  # else a number would do, which the description does not allow
        description="The sender's clock at the moment of sending: sets right every `timestamp` of the batch.",
    )


class MergeRequest(Body):
    """Which anonymous id belongs to the user of the path."""

    anonymous_id: Identifier


class Linked(Body):
    """What holds from now on for a user and an anonymous id; it is on disk."""

    user_id: str
    anonymous_id: str
    merged: bool
    profile_delayed: bool = Field(
        default=False, description="Stored; the live profile follows when the feature store is back."
    )


class Note(Body):
    """A remark on one event of a batch: ``index`` is its place there."""

    index: int
    reason: str


class Collected(Body):
    """What became of a batch: everything counted in ``accepted`` is on disk."""

    accepted: int
    duplicates: int
    rejected: list[Note]
    warnings: list[Note] = Field(default=[], description="Stored, but worth a look.")
    profile_delayed: bool = Field(
        default=False, description="Stored; the live profile follows when the feature store is back."
    )
    took_ms: float


class ServedArm(Body):
    """An arm and the version that answers for it here; "" where the champion does so in its place."""

    name: str
    alias: str
    version: str


class Health(Body):
    """How a replica is."""

    status: str
    workspace: str
    workspace_key: str = Field(description="Tells workspaces of one name apart.")
    model: ModelName
    arms: list[ServedArm] = []
    problems: list[str] = []


class CollectHealth(Body):
    """How a replica of the collect application is."""

    status: Literal["ready", "degraded", "failed"]
    workspace: str
    problems: list[str] = []


class Problem(Body):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""
    errors: list[dict[str, Any]] = []
