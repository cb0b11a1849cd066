"""What may be told of an item or a user, at the edge: names in camelCase, bounds, and a reason for what is refused."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from tailorbird.catalog.log.told import Patch

MOST_CATEGORIES = 32
MOST_ATTRIBUTES = 64
MOST_PATCHES = 5_000
"""Patches of one batch."""


def _utf8(text: str) -> str:
    if not text.isprintable() and "\x00" in text:
        raise ValueError("holds a zero character")
    text.encode()  # half a character is a ValueError
    return text


def _number(value: object) -> object:
    return float(value) if type(value) is int else value


Identifier = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_utf8)]
Name = Annotated[str, Field(max_length=256), AfterValidator(_utf8)]
Amount = Annotated[StrictFloat, Field(ge=0, le=1e15, allow_inf_nan=False), BeforeValidator(_number)]
Instant = (
    Annotated[StrictFloat, Field(ge=-1e11, le=1e11, allow_inf_nan=False), BeforeValidator(_number)]
    | AwareDatetime
)
Scalar = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
    | Annotated[StrictFloat, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
    | Annotated[str, Field(max_length=1_024), AfterValidator(_utf8)]
)
Attributes = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_utf8)],
        Scalar | Annotated[list[Scalar], Field(max_length=64)] | None,
    ],
    Field(max_length=MOST_ATTRIBUTES),
]


class _Told(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def told(self) -> dict[str, Any]:
        """What was said, by the names of the columns; instants as epoch seconds."""
        said = self.model_dump(exclude_unset=True)
        return {
            name: value.timestamp() if isinstance(value, dt.datetime) else value
            for name, value in said.items()
        }


class ItemTold(_Told):
    """What is told of an item: what is absent stays as it is, null is not known any more."""

    title: Annotated[str, Field(max_length=1_000), AfterValidator(_utf8)] | None = None
    text: Annotated[str, Field(max_length=20_000), AfterValidator(_utf8)] | None = None
    categories: Annotated[list[Identifier], Field(max_length=MOST_CATEGORIES)] | None = Field(
        default=None, description="From general to specific."
    )
    brand: Name | None = None
    price: Amount | None = None
    stock: Amount | None = Field(default=None, description="0: not answered; null: no limit.")
    launched_at: Instant | None = Field(
        default=None, description="Epoch seconds or an instant with its zone: not answered before."
    )
    attributes: Attributes = Field(
        default={},
        description="Each is told by itself; null takes one away. Filters know them by their names.",
    )


class ItemPatch(ItemTold):
    """What is told of the item ``itemId``."""

    item_id: Identifier


class UserTold(_Told):
    """What is told of a user: what is absent stays as it is, null is not known any more."""

    age: Annotated[StrictFloat, Field(ge=0, le=150, allow_inf_nan=False), BeforeValidator(_number)] | None = (
        Field(default=None, description="In years.")
    )
    gender: Annotated[str, Field(max_length=64), AfterValidator(_utf8)] | None = None
    country: Annotated[str, Field(max_length=64), AfterValidator(_utf8)] | None = None
    attributes: Attributes = {}


class UserPatch(UserTold):
    """What is told of the user ``userId``."""

    user_id: Identifier


@dataclass(frozen=True)
class Refused:
    """A patch that says nothing we can keep: its place in the batch, and why."""

    index: int
    reason: str


_ITEM, _USER = TypeAdapter(ItemPatch), TypeAdapter(UserPatch)


def item_patch(raw: object) -> Patch:
    """The patch that an object of the API is. Raises ValueError with the reason."""
    try:
        found = _ITEM.validate_python(raw)
    except ValidationError as error:
        raise ValueError(_reason(error)) from None
    told = found.told()
    return Patch.of_item(told.pop("item_id"), told)


def user_patch(raw: object) -> Patch:
    """The patch that an object of the API is. Raises ValueError with the reason."""
    try:
        found = _USER.validate_python(raw)
    except ValidationError as error:
        raise ValueError(_reason(error)) from None
    told = found.told()
    return Patch.of_user(told.pop("user_id"), told)


def parted(
    raw: list[Any], *, of: "type[ItemPatch | UserPatch]" = ItemPatch
) -> tuple[list[Patch], list[Refused]]:
    """The patches of a batch, and those refused; each is judged by itself."""
    read = item_patch if of is ItemPatch else user_patch
    kept, refused = [], []
    for index, each in enumerate(raw):
        try:
            kept.append(read(each))
        except ValueError as error:
            refused.append(Refused(index, str(error)))
    return kept, refused


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    value = first["input"]
    shown = "" if isinstance(value, Mapping | list) else f", got {_short(value)}"
    return f"{place or 'the patch'}: {first['msg'].removeprefix('Value error, ')}{shown}"


def _short(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = ascii(value)
    return text if len(text) <= 80 else text[:80] + "…"
