"""The arms of a workspace as an operator declares them: ``arms.toml``, one table an arm; an unknown key is an error."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from tailorbird.errors import UsageError
from tailorbird.experiments.arm import CHAMPION, CHAMPION_ARM, Arm, SlateSettings
from tailorbird.slate.exploration import Exploration
from tailorbird.slate.query import Rules

ARMS_FILE = "arms.toml"
MOST_ARMS = 32
NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_REMEDY = "see docs/arms.md for the keys; the arms of before keep serving until it is right"

Name = Annotated[str, Field(pattern=NAME)]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RulesTable(_Table):
    categories: Names = []
    brands: Names = []
    min_price: Price | None = None
    max_price: Price | None = None


class _ExplorationTable(_Table):
    uniform: Share = 0.0
    softmax: Share = 0.0
    newcomers: Share = 0.0
    temperature: Annotated[float, Field(gt=0, le=100)] = 0.5
    depth: Annotated[StrictInt, Field(ge=2, le=10_000)] = 100
    first_place: Annotated[StrictInt, Field(ge=1, le=1_000)] = 1
    first_impressions: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 50
    new_days: Annotated[float, Field(gt=0, le=3_650)] = 14.0

    @model_validator(mode="after")
    def _adds_up(self) -> "_ExplorationTable":
        if (total := self.uniform + self.softmax + self.newcomers) > 1:
            raise ValueError(f"the shares add up to {total:g}, at most 1 can be drawn")
        return self


class SlateTable(_Table):
    """How slates are made, as arms and variants write it."""

    depth: Annotated[StrictInt, Field(ge=1, le=10_000)] | None = None
    max_category_share: Annotated[float, Field(gt=0, le=1)] | None = None
    keep_seen: StrictBool | None = None
    exploration: _ExplorationTable = _ExplorationTable()
    rules: _RulesTable = _RulesTable()

    @property
    def settings(self) -> SlateSettings:
        """The same as an arm has it."""
        rules = self.rules
        return SlateSettings(
            depth=self.depth,
            max_category_share=self.max_category_share,
            keep_seen=self.keep_seen,
            exploration=Exploration(**self.exploration.model_dump()),
            rules=Rules(tuple(rules.categories), tuple(rules.brands), rules.min_price, rules.max_price),
        )


class _ArmTable(SlateTable):
    alias: Name | None = None


_FILE = TypeAdapter(dict[Name, _ArmTable])


def read_arms(path: Path) -> tuple[Arm, ...]:
    """The declared arms, the champion first; without the file the champion alone.

    Raises:
        UsageError: the file cannot be read, is no TOML, or holds an unknown key or a value out of range.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return (CHAMPION_ARM,)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    return arms_of(values, where=str(path))


def arms_of(values: dict[str, Any], *, where: str) -> tuple[Arm, ...]:
    """The arms of a parsed ``arms.toml``; ``where`` names it in errors.

    Raises:
        UsageError: an unknown key, or a value out of range.
    """
    try:
        tables = _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise UsageError(f"{where}: {key} = {first['input']!r}: {first['msg']}", remedy=_REMEDY) from error
    if len(tables) > MOST_ARMS:
        raise UsageError(f"{where} declares {len(tables)} arms, {MOST_ARMS} may be", remedy=_REMEDY)
    arms = {CHAMPION: CHAMPION_ARM} | {name: _arm(name, table) for name, table in tables.items()}
    return tuple(arms.values())


def _arm(name: str, table: _ArmTable) -> Arm:
    return Arm(name, alias=table.alias or name, slate=table.settings)
