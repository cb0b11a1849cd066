"""What an experiment of kind bandit declares beside its variants: by which policy they get their parts, how often, from what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tailorbird.errors import UsageError

Policy = Literal["thompson", "linucb"]
DEFAULT_FLOOR = 0.05
SEGMENT, SCENARIO, HOUR = "segment", "scenario", "hour"
"""Attributes of a context that are not the request's own: where the person belongs, where the slate stands, bands of the UTC hour."""
MOST_PARTS = 1_024
"""Cells times variants of one table of allocations."""
_EQUAL = 1e-9

Said = str | bool | Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


@dataclass(frozen=True)
class Bandit:
    """How a bandit's allocation is renewed.

    ``every_hours``: between renewals. ``window_hours``: what a unit does so long after its first slate of a period is its reward,
    and counts once that time has passed. ``floor``: the least part of the units that any variant gets, in every context.
    ``width``: standard errors that LinUCB is hopeful by. ``context``: the values that LinUCB tells apart, by attribute.
    """

    policy: Policy = "thompson"
    every_hours: float = 24.0
    window_hours: float = 24.0
    floor: float = DEFAULT_FLOOR
    width: float = 1.0
    context: Mapping[str, tuple[Said, ...]] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """How many contexts have an allocation of their own: each attribute's values, and one for all others."""
        return prod(_levels(name, values) for name, values in self.context.items())


class BanditTable(BaseModel):
    """The table ``[bandit]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Policy = "thompson"
    every_hours: Annotated[float, Field(ge=1, le=720)] = 24.0
    window_hours: Annotated[float, Field(gt=0, le=2_160)] = 24.0
    floor: Annotated[float, Field(ge=0.01, le=0.5)] = DEFAULT_FLOOR
    width: Annotated[float, Field(ge=0, le=10)] = 1.0
    context: dict[Name, Annotated[list[Said], Field(min_length=1, max_length=32)]] = {}

    @property
    def bandit(self) -> Bandit:
        """The same, frozen."""
        context = {name: tuple(values) for name, values in self.context.items()}
        return Bandit(self.policy, self.every_hours, self.window_hours, self.floor, self.width, context)


def require_renewable(bandit: Bandit, *, unit: str, weights: Mapping[str, float]) -> None:
    """Raise UsageError where a bandit cannot be run as it is declared."""
    if bandit.floor * len(weights) > 1 + _EQUAL:
        raise UsageError(
            f"bandit.floor = {bandit.floor:g} of {len(weights)} variants is more than all units",
            remedy=f"at most {1 / len(weights):g}",
        )
    small = [name for name, weight in weights.items() if weight < bandit.floor - _EQUAL]
    if small:
        raise UsageError(
            f"{small[0]} begins with a weight of {weights[small[0]]:g}, below bandit.floor = {bandit.floor:g}",
            remedy="raise the weight, or lower the floor",
        )
    if (bandit.policy == "linucb") != bool(bandit.context):
        raise UsageError(
            f"bandit.policy = {bandit.policy!r} with {len(bandit.context)} attributes of a context",
            remedy="linucb tells contexts apart and wants [bandit.context]; thompson has none",
        )
    if bandit.context and unit != "request":
        raise UsageError(
            f"bandit.context by {unit}: who comes in two contexts would get two variants",
            remedy='unit = "request" draws anew for each; a bandit by person has no context',
        )
    if bandit.cells * len(weights) > MOST_PARTS:
        raise UsageError(
            f"bandit.context makes {bandit.cells} contexts of {len(weights)} variants",
            remedy=f"contexts times variants may be {MOST_PARTS:,}",
        )
    for name, values in bandit.context.items():
        if name == HOUR and not _are_hours(values):
            raise UsageError(
                f"bandit.context.hour = {list(values)!r}",
                remedy="name the UTC hours at which a band begins, rising, the first 0: [0, 8, 18]",
            )


def _are_hours(values: tuple[Said, ...]) -> bool:
    whole = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    hours = [each for each in whole if isfinite(each) and each == int(each) and 0 <= each < 24]
    return len(hours) == len(values) and hours == sorted(set(hours)) and hours[0] == 0


def _levels(name: str, values: tuple[Said, ...]) -> int:
    return len(values) + (name != HOUR)  # every hour is of a band
