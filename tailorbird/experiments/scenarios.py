"""Scenarios as an operator declares them: ``scenarios.toml``, a table each, with what its requests wish where they do not say."""

import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from tailorbird.errors import UsageError
from tailorbird.experiments.scenario import NO_SCENARIO, BoostSaid, Scenario, SegmentFilter
from tailorbird.slate.filtering.terms import FilterError

SCENARIOS_FILE = "scenarios.toml"
UNDECLARED = "undeclared"
"""What is noted of a scenario that is neither declared nor a word of a program."""
MOST_SCENARIOS = 256
MOST_BOOSTS, MOST_PINS, MOST_IDS = 16, 32, 10_000
MOST_SEGMENT_FILTERS, MOST_SEGMENTS = 16, 64
LARGEST_BOOST = 10.0
LARGEST_WEIGHT = 100.0
LOOK_SECONDS = 1.0
_REMEDY = "see docs/catalog.md for the keys; the scenarios of before hold until it is right"

Name = Annotated[str, Field(min_length=1, max_length=256)]
Ids = Annotated[list[Name], Field(max_length=MOST_IDS)]
Most = Annotated[StrictInt, Field(ge=1, le=1_000)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Keys = Annotated[list[Name], Field(min_length=1, max_length=MOST_SEGMENTS)]


class _BoostTable(_Table):
    filter: str
    by: Annotated[float, Field(ge=-LARGEST_BOOST, le=LARGEST_BOOST, allow_inf_nan=False)]
    segments: Keys | None = None


class _SegmentFilterTable(_Table):
    filter: str
    segments: Keys


class _PinTable(_Table):
    item_id: Name
    place: Most


Weight = Annotated[float, Field(ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT, allow_inf_nan=False)]
Outcome = Literal["click", "add_to_cart", "purchase", "hide"]


class ScenarioTable(_Table):
    """What requests wish, as scenarios and variants write it."""

    num_results: Most | None = None
    filter: str | None = None
    include: Ids | None = None
    exclude: Ids | None = None
    segment_filter: Annotated[list[_SegmentFilterTable], Field(max_length=MOST_SEGMENT_FILTERS)] | None = None
    boost: Annotated[list[_BoostTable], Field(max_length=MOST_BOOSTS)] | None = None
    pin: Annotated[list[_PinTable], Field(max_length=MOST_PINS)] | None = None
    max_per_category: Most | None = None
    max_per_brand: Most | None = None
    keep_seen: StrictBool | None = None
    weights: dict[Outcome, Weight] | None = None

    @field_validator("weights")
    @classmethod
    def _orders(cls, value: dict[Outcome, float] | None) -> dict[Outcome, float] | None:
        if value is not None and not any(value.values()):
            raise ValueError("every weight is 0, which orders nothing")
        return value

    @property
    def scenario(self) -> Scenario:
        """The same as it is known elsewhere."""
        return Scenario(
            num_results=self.num_results,
            filter=self.filter,
            include=None if self.include is None else tuple(self.include),
            exclude=None if self.exclude is None else tuple(self.exclude),
            segment_filter=None
            if self.segment_filter is None
            else tuple(SegmentFilter(each.filter, tuple(each.segments)) for each in self.segment_filter),
            boost=None
            if self.boost is None
            else tuple(BoostSaid(each.filter, each.by, tuple(each.segments or ())) for each in self.boost),
            pin=None if self.pin is None else tuple((each.item_id, each.place) for each in self.pin),
            max_per_category=self.max_per_category,
            max_per_brand=self.max_per_brand,
            keep_seen=self.keep_seen,
            weights=None if self.weights is None else tuple(sorted(self.weights.items())),
        )


_FILE = TypeAdapter(dict[Annotated[str, Field(min_length=1, max_length=256)], ScenarioTable])


def read_scenarios(path: Path) -> Mapping[str, Scenario]:
    """The declared scenarios by name; without the file none.

    Raises:
        UsageError: the file cannot be read, is no TOML, or holds an unknown key, a value out of range or a filter that says nothing.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    return scenarios_of(values, where=str(path))


def scenarios_of(values: dict[str, Any], *, where: str) -> Mapping[str, Scenario]:
    """The scenarios of a parsed ``scenarios.toml``; ``where`` names it in errors. Raises UsageError."""
    try:
        tables = _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise UsageError(f"{where}: {key} = {first['input']!r}: {first['msg']}", remedy=_REMEDY) from error
    if len(tables) > MOST_SCENARIOS:
        raise UsageError(f"{where} declares {len(tables)} scenarios, {MOST_SCENARIOS} may be", remedy=_REMEDY)
    scenarios = {name: table.scenario for name, table in tables.items()}
    for name, scenario in scenarios.items():
        try:
            _ = scenario.wishes
        except FilterError as error:
            raise UsageError(f"{where}: {name}: {error.what}", remedy=error.remedy) from error
    return scenarios


class ScenarioFile:
    """The scenarios of a workspace, read again when their file changes; a wrong file leaves those of before."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._scenarios: Mapping[str, Scenario] = {}
        self._asked: list[tuple[str, str]] = []  # a scenario and an attribute that it names
        self._mark: tuple[int, int, int] | None = None
        self._looked = float("-inf")
        self.trouble = ""
        """What is wrong with the file; "" for nothing."""

    def get(self, name: str) -> Scenario:
        """The wishes of a scenario; of one that is not declared, none. Looks at the file at most once a second."""
        now = self._clock()
        if not 0 <= now - self._looked < LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._scenarios.get(name, NO_SCENARIO)

    def trouble_with(self, leaves_out: Callable[[str], bool]) -> str:
        """What is wrong with the file for a shop of whose attributes filters do not know all; "" for nothing.

        A filter that names such a one stops nothing by it: its ``not x`` would let everything through in silence.
        """
        if self.trouble:
            return self.trouble
        for name, attribute in self._asked:
            if leaves_out(attribute):
                return (
                    f"{self._path}: {name}: items have the attribute {attribute}, and filters do not know it; "
                    "tell fewer attributes: those that came first are known"
                )
        return ""

    def unknown_segments(self, known: Collection[str]) -> str:
        """What is wrong with the file where the segments are ``known``: a wish for one that is not is nobody's; "" for nothing."""
        for name, scenario in self._scenarios.items():
            for key in scenario.segments:
                if key not in known:
                    return (
                        f"{self._path}: {name}: nobody is in a segment {key!r}: there "
                        f"{'are ' + ', '.join(sorted(known)) if known else 'is none'}; admin's /v1/segments lists them"
                    )
        return ""

    def unknown_outcomes(self, known: Collection[str]) -> str:
        """What is wrong where the champion foretells the outcomes ``known``: weights of others count nothing; "" for nothing."""
        for name, scenario in self._scenarios.items():
            for outcome, _ in scenario.weights or ():
                if outcome not in known:
                    return (
                        f"{self._path}: {name}: the model foretells no {outcome!r}: its weight counts nothing until one does that "
                        "learned from enough shown slates (docs/training.md)"
                    )
        return ""

    def _look(self) -> None:
        try:
            status = self._path.stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            mark = None
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._scenarios, self.trouble = read_scenarios(self._path), ""
        except UsageError as error:
            self.trouble = str(error)
        self._asked = [
            (name, attribute) for name, each in self._scenarios.items() for attribute in each.attributes
        ]
