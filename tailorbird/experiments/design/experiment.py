"""The nouns of an experiment: who takes part, what its variants change, and by which metrics it is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from tailorbird.experiments.arm import CHAMPION, DEFAULT_SLATE, Arm, SlateSettings
from tailorbird.experiments.design.bandit import Bandit
from tailorbird.experiments.scenario import NO_SCENARIO, Scenario

Unit = Literal["person", "anonymous", "session", "request"]
Kind = Literal["ab", "multivariate", "canary", "shadow", "interleaving", "holdout", "bandit"]
UNITS: tuple[str, ...] = get_args(Unit)
KINDS: tuple[str, ...] = get_args(Kind)
HELD = "held"
"""The variant of a holdout whose units are in no other experiment."""
JOINED = "+"
"""Between the names of variants whose changes one arm has together."""
DEFAULT_DAYS = 14


@dataclass(frozen=True)
class Variant:
    """One variant: its part of the experiment's units, and what it changes; what is absent stays the champion's."""

    name: str
    weight: float
    """Its part of the experiment's units; the weights of all variants add up to 1."""
    alias: str = ""
    """The registry alias that answers instead of the champion's; it may move while the experiment runs."""
    version: str = ""
    """The registered version that answers instead of the champion's."""
    slate: SlateSettings = DEFAULT_SLATE
    wishes: Scenario = NO_SCENARIO
    """What requests wish where they do not say it, before the scenario's own."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """What the page is told: a headline, a layout."""
    levels: Mapping[str, str] = field(default_factory=dict)
    """Of a multivariate experiment the level of each factor."""

    @property
    def changes(self) -> frozenset[str]:
        """What it changes, each part by a name of its own."""
        parts = {"model"} if self.alias or self.version else set()
        for name, one, usual in (
            ("slate", self.slate, DEFAULT_SLATE),
            ("scenario", self.wishes, NO_SCENARIO),
        ):
            parts |= {
                f"{name}.{each.name}"
                for each in fields(one)
                if getattr(one, each.name) != getattr(usual, each.name)
            }
        return frozenset(parts | {f"payload.{name}" for name in self.payload})

    @property
    def changes_answers(self) -> bool:
        """Whether recommendations are another for it: its arm is one of its own then."""
        return bool(self.alias or self.version) or self.slate != DEFAULT_SLATE or self.wishes != NO_SCENARIO

    def arm(self, experiment: str) -> Arm:
        """The arm that answers its units."""
        alias = self.alias or ("" if self.version else CHAMPION)
        return Arm(arm_name({experiment: self.name}), alias=alias, version=self.version, slate=self.slate)


@dataclass(frozen=True)
class Audience:
    """Who may take part; an empty part asks for nothing. All parts that ask must be met."""

    segments: tuple[str, ...] = ()
    """Keys of learned segments or of written rules: any of these."""
    scenarios: tuple[str, ...] = ()
    """Where the slate stands: any of these."""
    context: Mapping[str, tuple[str | float | bool, ...]] = field(default_factory=dict)
    """Values of the request's context, any of these, by name."""

    def __bool__(self) -> bool:
        return bool(self.segments or self.scenarios or self.context)


EVERYBODY = Audience()


@dataclass(frozen=True)
class Guardrail:
    """A metric that must not become worse by more than ``margin``, a part of what control has."""

    metric: str
    margin: float = 0.0


@dataclass(frozen=True)
class Metrics:
    """By what it is decided: one metric, those that may object, and those that are only looked at."""

    primary: str
    minimum_effect: float
    """The smallest lift worth finding, a part of what control has: 0.05 is five per cent."""
    guardrails: tuple[Guardrail, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once, the primary first."""
        names = [self.primary, *(each.metric for each in self.guardrails), *self.others]
        return tuple(dict.fromkeys(name for name in names if name))


NO_METRICS = Metrics("", 0.0)
"""Of a shadow: nobody sees it, so nobody does anything for it."""


@dataclass(frozen=True)
class Step:
    """One step of a ramp: after ``hours`` the experiment has ``share`` of its layer."""

    hours: float
    share: float


@dataclass(frozen=True)
class Tolerance:
    """What a canary may be worse by before it goes back."""

    errors: float = 0.01
    """Failed answers, in points: 0.01 is one of a hundred answers more."""
    latency: float = 0.2
    """Mean time of an answer, a part of control's."""
    clicks: float = 0.1
    """Clicks per slate, a part of control's."""


@dataclass(frozen=True)
class Experiment:
    """An experiment as it is declared; a pure value, frozen under its ``digest`` when it starts."""

    key: str
    hypothesis: str
    variants: tuple[Variant, ...]
    control: str
    metrics: Metrics
    kind: Kind = "ab"
    unit: Unit = "person"
    salt: str = ""
    """What its hashing begins with; the same salt gives a unit the same variant."""
    layer: str = ""
    """Experiments of one layer exclude each other; of different layers they are independent."""
    share: float = 1.0
    """The part of its layer's units that it begins with."""
    audience: Audience = EVERYBODY
    days: int = DEFAULT_DAYS
    """Planned length."""
    confidence: float = 0.95
    ramp: tuple[Step, ...] = ()
    tolerance: Tolerance = Tolerance()
    bandit: Bandit | None = None
    """How a bandit's allocation is renewed; None for any other kind."""
    digest: str = ""
    """Names the declaration: another text that says the same has the same."""

    @property
    def treatments(self) -> tuple[Variant, ...]:
        """All variants but control."""
        return tuple(each for each in self.variants if each.name != self.control)

    @property
    def factors(self) -> Mapping[str, tuple[str, ...]]:
        """Of a multivariate experiment the levels of each factor, the first as usual."""
        names = {name: None for variant in self.variants for name in variant.levels}
        return {
            name: tuple(dict.fromkeys(variant.levels[name] for variant in self.variants)) for name in names
        }

    @property
    def changes(self) -> frozenset[str]:
        """What its variants change."""
        return frozenset(part for variant in self.variants for part in variant.changes)

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises KeyError."""
        for each in self.variants:
            if each.name == name:
                return each
        raise KeyError(name)


def arm_name(variants: Mapping[str, str]) -> str:
    """What the arm is called that the variants (by experiment) make together; "champion" where there are none."""
    return JOINED.join(f"{key}:{name}" for key, name in sorted(variants.items())) or CHAMPION
