"""Assignment: which variants a unit gets, a pure function of its names, of what runs and of what is known of the request."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from tailorbird.experiments.arm import CHAMPION, DEFAULT_SLATE, Arm
from tailorbird.experiments.design.bandit import SEGMENT
from tailorbird.experiments.design.experiment import HELD, arm_name
from tailorbird.experiments.interleaving.pairing import Pair, pair_of
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.plans import NOTHING_TAKEN, Draw, Plan, Taken, Told
from tailorbird.experiments.scenario import NO_SCENARIO, Scenario

MOST_KEPT = 256
"""Combinations of variants whose arm is kept at hand."""
_NONE: Mapping[str, Any] = MappingProxyType({})


class Asker(NamedTuple):
    """Who asks, by the names that units may have ("" for none), and what audiences ask of a request."""

    person: str = ""
    anonymous: str = ""
    session: str = ""
    scenario: str = ""
    context: Mapping[str, Any] = _NONE
    segments: Collection[str] = ()
    """Keys of the learned segment and of the written rules that hold."""
    request: str = ""
    """The answer's own name: the unit of a bandit that draws each request anew."""
    at: float = 0.0
    """When it came, epoch seconds: bandits tell hours apart."""


class Shadow(NamedTuple):
    """A running shadow: its experiment, and the arm that answers."""

    key: str
    arm: str


class Assigned(NamedTuple):
    """What a request takes part in: the variant of each experiment, the arm that they make together, and what they wish."""

    variants: Mapping[str, str] = _NONE
    arm: str = CHAMPION
    wishes: Scenario = NO_SCENARIO
    """NO_SCENARIO itself where they wish nothing."""
    pair: Pair | None = None
    """The two arms that share the slate, where an interleaving takes part."""
    draws: Mapping[str, Draw] = _NONE
    """Of the bandits among the experiments."""
    shadows: tuple[Shadow, ...] = ()
    """What answers too, and is not shown."""


NOT_ASSIGNED = Assigned()


class Assignment:
    """Assigns units to the variants of what runs; equal in every process that knows the same entries."""

    def __init__(self, running: Sequence[Entry]) -> None:
        self.entries = tuple(running)
        holdouts = [each for each in running if each.experiment.kind == "holdout"]
        shadows = [each for each in running if each.experiment.kind == "shadow"]
        others = [each for each in running if each.experiment.kind not in ("holdout", "shadow")]
        self._holdouts, self._others, self._shadows = map(_by_unit, (holdouts, others, shadows))
        self._variants = {
            (entry.key, each.name): each for entry in running for each in entry.experiment.variants
        }
        self._together = lru_cache(maxsize=MOST_KEPT)(self._made_together)
        self._shadow_of = {
            each.key: Shadow(each.key, arm_name({each.key: each.experiment.treatments[0].name}))
            for each in shadows
        }
        self.arms: tuple[Arm, ...] = tuple(
            variant.arm(entry.key)
            for entry in running
            for variant in entry.experiment.variants
            if variant.changes_answers
        )
        """The arms of single variants that answer otherwise than the champion; those of several are made of these."""
        self._interleavings = {
            entry.key: entry.experiment for entry in running if entry.experiment.kind == "interleaving"
        }
        self.asks_segments = any(
            entry.experiment.audience.segments
            or (entry.experiment.bandit is not None and SEGMENT in entry.experiment.bandit.context)
            for entry in running
        )
        """Whether an audience, or the context of a bandit, asks for segments or rules."""

    def __bool__(self) -> bool:
        return bool(self.entries)

    def assign(self, asker: Asker) -> Assigned:
        """What a request takes part in. Experiments whose unit it does not name, or whose audience it is not of, have no part in it."""
        draws: dict[str, Draw] = {}
        holding: Mapping[str, str] = _take(self._holdouts, asker, draws).variants if self._holdouts else _NONE
        if HELD in holding.values():
            return Assigned({key: name for key, name in holding.items() if name == HELD})
        variants, changing = _take(self._others, asker, draws)
        if holding:
            variants = {**holding, **variants}
        shadows = self._shadowed(asker) if self._shadows else ()
        if not changing:
            told = variants or shadows
            return Assigned(variants, draws=draws, shadows=shadows) if told else NOT_ASSIGNED
        arm, wishes, pair = self._together(changing)
        return Assigned(variants, arm, wishes, pair, draws, shadows)

    def _shadowed(self, asker: Asker) -> tuple[Shadow, ...]:
        """The shadows that answer, too: a request takes no part in them."""
        return tuple(self._shadow_of[key] for key in _take(self._shadows, asker, {}).variants)

    def _made_together(self, changing: Told) -> tuple[str, Scenario, Pair | None]:
        """The arm that variants make together, what they wish, and the pair of an interleaving among them."""
        names = dict(changing)
        wishes, pair = NO_SCENARIO, None
        for key, name in changing:
            if key in self._interleavings:
                others = {each: names[each] for each in names if each != key}
                pair = pair_of(self._interleavings[key], others)
                continue
            own = self._variants[key, name].wishes
            if own != NO_SCENARIO:
                wishes = own.over(wishes)
        return arm_name(names), wishes, pair


def composed(name: str, parts: Sequence[Arm]) -> Arm:
    """The arm that several arms of different layers make together: they change different things (checking.overlaps)."""
    slate, alias, version = DEFAULT_SLATE, CHAMPION, ""
    for part in parts:
        slate = part.slate.over(slate)
        if part.version or part.alias != CHAMPION:
            alias, version = part.alias, part.version
    return Arm(name, alias, slate, version)


Plans = Sequence[tuple[str, Plan]]
"""By kind of unit."""


def _by_unit(entries: Sequence[Entry]) -> Plans:
    layers: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        experiment = entry.experiment
        layers.setdefault(experiment.unit, {}).setdefault(experiment.layer, []).append(entry)
    return [(unit, Plan(found, returning=unit != "request")) for unit, found in layers.items()]


def _take(plans: Plans, asker: Asker, draws: dict[str, Draw]) -> Taken:
    """What a request gets by each of its names."""
    found = NOTHING_TAKEN
    for kind, plan in plans:
        unit: str = getattr(asker, kind)
        if unit:
            own = plan.take(unit, asker, draws)
            found = found.joined(own) if found.variants else own
    return found


NOTHING_RUNS = Assignment(())
