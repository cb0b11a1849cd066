"""Scenarios as an operator declares them: ``scenarios.toml``, a table each, with what its requests wish where they do not say."""

import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
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
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.filtering.terms import FilterError, leaves
from tailorbird.slate.query import Boost, Pin, SegmentWish, Weights, Wishes

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
    def scenario(self) -> "Scenario":
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


@dataclass(frozen=True)
class BoostSaid:
    """A boost in the words of a request: an expression, and by how much; for people of ``segments`` alone, () for everybody."""

    filter: str
    by: float
    segments: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentFilter:
    """An expression that every item must fulfil that people of ``segments`` are shown."""

    filter: str
    segments: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """What requests of a scenario wish where they do not say it themselves; None where it has no wish either."""

    num_results: int | None = None
    filter: str | None = None
    segment_filter: tuple[SegmentFilter, ...] | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    boost: tuple[BoostSaid, ...] | None = None
    pin: tuple[tuple[str, int], ...] | None = None
    max_per_category: int | None = None
    max_per_brand: int | None = None
    keep_seen: bool | None = None
    weights: Weights | None = None

    def over(self, defaults: "Scenario") -> "Scenario":
        """These wishes, and those of ``defaults`` where there are none."""
        chosen = {
            name: value if (value := getattr(self, name)) is not None else getattr(defaults, name)
            for name in self.__dataclass_fields__
        }
        return Scenario(**chosen)

    @property
    def wishes(self) -> Wishes:
        """The same as a query has it. Raises FilterError."""
        said: dict[str, object] = {"filter": self.filter} if self.filter else {}
        everybodys = [boost for boost in self.boost or () if not boost.segments]
        if everybodys:
            said["boost"] = [{"filter": boost.filter, "by": boost.by} for boost in everybodys]
        if self.pin:
            said["pin"] = [{"itemId": item_id, "place": place} for item_id, place in self.pin]
        for name, value in (("maxPerCategory", self.max_per_category), ("maxPerBrand", self.max_per_brand)):
            said |= {} if value is None else {name: value}
        if self.include is not None:
            said["included"] = len(self.include)
        if self.weights:
            said["weights"] = dict(self.weights)
        return Wishes(
            where=parse_filter(self.filter) if self.filter else None,
            include=frozenset(self.include) if self.include is not None else None,
            boosts=tuple(Boost(parse_filter(boost.filter), boost.by) for boost in everybodys),
            pins=tuple(Pin(item_id, place) for item_id, place in self.pin or ()),
            per_category=self.max_per_category,
            per_brand=self.max_per_brand,
            weights=self.weights or (),
            of_segments=self._of_segments(),
            said=said,
        )

    @property
    def segments(self) -> list[str]:
        """Keys of the segments that are named, each once."""
        named = [wish.segments for wish in self.boost or ()]
        named += [wish.segments for wish in self.segment_filter or ()]
        return list(dict.fromkeys(key for keys in named for key in keys))

    def _of_segments(self) -> tuple[SegmentWish, ...]:
        filters = [
            SegmentWish(
                frozenset(each.segments),
                where=parse_filter(each.filter),
                said={"filter": each.filter, "segments": list(each.segments)},
            )
            for each in self.segment_filter or ()
        ]
        boosts = [
            SegmentWish(
                frozenset(each.segments),
                boost=Boost(parse_filter(each.filter), each.by),
                said={"filter": each.filter, "by": each.by, "segments": list(each.segments)},
            )
            for each in self.boost or ()
            if each.segments
        ]
        return (*filters, *boosts)


NO_SCENARIO = Scenario()
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
            (name, attribute) for name, each in self._scenarios.items() for attribute in _attributes(each)
        ]


def _attributes(scenario: Scenario) -> list[str]:
    """What the expressions of a scenario name, each once."""
    wishes = scenario.wishes
    boosts = [*wishes.boosts, *(each.boost for each in wishes.of_segments if each.boost is not None)]
    wheres = [wishes.where, *(each.where for each in wishes.of_segments)]
    terms = [boost.term for boost in boosts] + [where for where in wheres if where is not None]
    return list(dict.fromkeys(leaf.attribute for term in terms for leaf in leaves(term)))
