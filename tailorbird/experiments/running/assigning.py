"""Assignment: which variants a unit gets, a pure function of its names, of what runs and of what is known of the request."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from tailorbird.experiments.arm import CHAMPION, DEFAULT_SLATE, Arm
from tailorbird.experiments.design.experiment import HELD, Experiment, Variant, arm_name
from tailorbird.experiments.running.buckets import BUCKETS, bucket, point
from tailorbird.experiments.running.ledger import Entry
from tailorbird.experiments.scenarios import NO_SCENARIO, Scenario


@dataclass(frozen=True)
class Asker:
    """Who asks, by the names that units may have ("" for none), and what audiences ask of a request."""

    person: str = ""
    anonymous: str = ""
    session: str = ""
    scenario: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    segments: Collection[str] = ()
    """Keys of the learned segment and of the written rules that hold."""


NOBODY = Asker()


@dataclass(frozen=True)
class Assigned:
    """What a request takes part in: the variant of each experiment, the arm that they make together, and what they wish."""

    variants: Mapping[str, str] = field(default_factory=dict)
    arm: str = CHAMPION
    wishes: Scenario = NO_SCENARIO
    shadows: tuple[str, ...] = ()
    """Experiments whose shadow sees the request."""


NOT_ASSIGNED = Assigned()


class Assignment:
    """Assigns units to the variants of what runs; equal in every process that knows the same entries."""

    def __init__(self, running: Sequence[Entry]) -> None:
        self.entries = tuple(running)
        self._holdouts = [_Taker(each) for each in running if each.experiment.kind == "holdout"]
        others = [each for each in running if each.experiment.kind != "holdout"]
        layers: dict[str, list[Entry]] = {}
        for entry in others:
            layers.setdefault(entry.experiment.layer, []).append(entry)
        self._layers = [_Layer(name, entries) for name, entries in layers.items()]

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms of single variants that answer otherwise than the champion; those of several are made of these."""
        return tuple(
            variant.arm(entry.key)
            for entry in self.entries
            if entry.experiment.kind != "shadow"
            for variant in entry.experiment.variants
            if variant.changes_answers
        )

    @property
    def asks_segments(self) -> bool:
        """Whether an audience asks for segments or rules."""
        return any(entry.experiment.audience.segments for entry in self.entries)

    def assign(self, asker: Asker) -> Assigned:
        """What a request takes part in. Experiments whose unit it does not name, or whose audience it is not of, have no part in it."""
        if not self.entries:
            return NOT_ASSIGNED
        variants: dict[str, str] = {}
        for taker in self._holdouts:
            unit = taker.unit(asker)
            if unit and taker.holds(bucket(taker.layer, unit)):
                variants[taker.key] = taker.variant(unit).name
        if HELD in variants.values():
            return Assigned({key: name for key, name in variants.items() if name == HELD})
        changing: list[tuple[str, Variant]] = []
        shadows: list[str] = []
        for layer in self._layers:
            found = layer.taker(asker)
            if found is None or not found.wants(asker):
                continue
            if found.shadow:
                shadows.append(found.key)
                continue
            chosen = found.variant(found.unit(asker))
            variants[found.key] = chosen.name
            if chosen.changes_answers:
                changing.append((found.key, chosen))
        if not variants and not shadows:
            return NOT_ASSIGNED
        if not changing:
            return Assigned(variants, shadows=tuple(shadows))
        wishes = NO_SCENARIO
        for _, variant in changing:
            wishes = variant.wishes.over(wishes)
        return Assigned(
            variants, arm_name({key: variant.name for key, variant in changing}), wishes, tuple(shadows)
        )


NOTHING_RUNS = Assignment(())


def composed(name: str, parts: Sequence[Arm]) -> Arm:
    """The arm that several arms of different layers make together: they change different things (:func:`overlaps`)."""
    slate, alias, version = DEFAULT_SLATE, CHAMPION, ""
    for part in parts:
        slate = part.slate.over(slate)
        if part.version or part.alias != CHAMPION:
            alias, version = part.alias, part.version
    return Arm(name, alias, slate, version)


def overlaps(experiment: Experiment, running: Sequence[Entry]) -> list[tuple[Entry, frozenset[str]]]:
    """Running experiments of other layers that change the same as ``experiment``, and what that is."""
    found = []
    for entry in running:
        other = entry.experiment
        both = experiment.changes & other.changes
        if other.key != experiment.key and other.layer != experiment.layer and both:
            found.append((entry, both))
    return found


class _Taker:
    """One running experiment, ready to take units."""

    def __init__(self, entry: Entry) -> None:
        experiment = entry.experiment
        self.key, self.layer, self._salt = entry.key, experiment.layer, experiment.salt
        self._name = experiment.unit
        self._buckets = entry.buckets
        self._variants = experiment.variants
        self._ends = list(accumulate(each.weight for each in experiment.variants))[:-1]
        audience = experiment.audience
        self._audience = audience if audience else None
        self._segments, self._scenarios = frozenset(audience.segments), frozenset(audience.scenarios)
        self.shadow = experiment.kind == "shadow"

    def unit(self, asker: Asker) -> str:
        """The asker's name of the kind that is assigned here; "" where there is none."""
        return getattr(asker, self._name)

    def holds(self, place: int) -> bool:
        """Whether a bucket of the layer is this experiment's."""
        return any(each.start <= place < each.end for each in self._buckets)

    def wants(self, asker: Asker) -> bool:
        """Whether the request is of the audience."""
        if self._audience is None:
            return True
        if self._scenarios and asker.scenario not in self._scenarios:
            return False
        if self._segments and self._segments.isdisjoint(asker.segments):
            return False
        return all(_said(asker.context.get(name), values) for name, values in self._audience.context.items())

    def variant(self, unit: str) -> Variant:
        """The unit's variant: the same as long as salt and weights are."""
        return self._variants[bisect_right(self._ends, point(self._salt, unit))]


class _Layer:
    """The experiments of one layer: of a unit's bucket at most one is in charge."""

    def __init__(self, name: str, entries: Sequence[Entry]) -> None:
        self._name, self._unit = name, entries[0].experiment.unit
        self._takers = [_Taker(entry) for entry in entries]
        self._held = bytearray(BUCKETS)  # 0 for nobody, else the place of the taker, from 1
        for place, entry in enumerate(entries, start=1):
            for each in entry.buckets:
                self._held[each.start : each.end] = bytes([place]) * (each.end - each.start)

    def taker(self, asker: Asker) -> _Taker | None:
        """The experiment that the asker's bucket belongs to."""
        unit = getattr(asker, self._unit)
        if not unit:
            return None
        place = self._held[bucket(self._name, unit)]
        return self._takers[place - 1] if place else None


def _said(value: object, values: Sequence[str | float | bool]) -> bool:
    """Whether a value is one of those asked for; true is not 1."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)
