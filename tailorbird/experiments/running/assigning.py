"""Assignment: which variants a unit gets, a pure function of its names, of what runs and of what is known of the request."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

from tailorbird.experiments.arm import CHAMPION, DEFAULT_SLATE, Arm
from tailorbird.experiments.bandits.cells import Cells, is_same
from tailorbird.experiments.design.bandit import SEGMENT
from tailorbird.experiments.design.experiment import HELD, Audience, Variant, arm_name
from tailorbird.experiments.interleaving.pairing import INTERLEAVED, Pair, pair_of
from tailorbird.experiments.running.buckets import BUCKETS, PARTS, hashed, seed_of_layer, seed_of_salt
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.renewals import Allocations
from tailorbird.experiments.scenarios import NO_SCENARIO, Scenario

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


class Draw(NamedTuple):
    """By what chance a bandit drew its variant: under which renewal, in which cell."""

    renewal: int
    cell: int
    chance: float


class Shadow(NamedTuple):
    """A running shadow: its experiment, and the arm that answers."""

    key: str
    arm: str


class Assigned(NamedTuple):
    """What a request takes part in: the variant of each experiment, the arm that they make together, and what they wish."""

    variants: Mapping[str, str] = _NONE
    arm: str = CHAMPION
    wishes: Scenario = NO_SCENARIO
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
        variants: dict[str, str] = {}
        changing: dict[str, Variant] = {}
        draws: dict[str, Draw] = {}
        if self._holdouts:
            _take(self._holdouts, asker, variants, changing, draws)
            if HELD in variants.values():
                return Assigned({key: name for key, name in variants.items() if name == HELD})
        _take(self._others, asker, variants, changing, draws)
        shadows = self._shadowed(asker) if self._shadows else ()
        if not changing:
            told = variants or shadows
            return Assigned(variants, draws=draws, shadows=shadows) if told else NOT_ASSIGNED
        wishes = NO_SCENARIO
        for variant in changing.values():
            wishes = variant.wishes.over(wishes)
        names = {key: variant.name for key, variant in changing.items()}
        pair = None
        for key in self._interleavings.keys() & names.keys():
            pair = pair_of(self._interleavings[key], {name: names[name] for name in names if name != key})
        return Assigned(variants, arm_name(names), wishes, pair, draws, shadows)

    def _shadowed(self, asker: Asker) -> tuple[Shadow, ...]:
        """The shadows that answer, too: a request takes no part in them."""
        taken: dict[str, str] = {}
        _take(self._shadows, asker, taken, {}, {})
        return tuple(self._shadow_of[key] for key in taken)


def composed(name: str, parts: Sequence[Arm]) -> Arm:
    """The arm that several arms of different layers make together: they change different things (checking.overlaps)."""
    slate, alias, version = DEFAULT_SLATE, CHAMPION, ""
    for part in parts:
        slate = part.slate.over(slate)
        if part.version or part.alias != CHAMPION:
            alias, version = part.alias, part.version
    return Arm(name, alias, slate, version)


_BOTH = Variant(INTERLEAVED, 1.0)
"""What every unit of an interleaving gets."""


class _Taker(NamedTuple):
    """One running experiment, ready to take units."""

    key: str
    seed: int
    ends: Sequence[float]
    """Where the parts of all variants but the last end, among PARTS."""
    variants: Sequence[Variant]
    names: Sequence[str]
    changing: Sequence[bool]
    audience: Audience | None
    parts: "_Parts | None" = None
    """Of a bandit."""

    @classmethod
    def of(cls, entry: Entry) -> "_Taker":
        experiment = entry.experiment
        both = experiment.kind == "interleaving"
        variants = (_BOTH,) if both else experiment.variants
        parts = _Parts.of(entry) if experiment.bandit is not None else None
        return cls(
            entry.key,
            seed_of_salt(salt_of(entry)),
            _ends([each.weight for each in variants]),
            variants,
            [each.name for each in variants],
            [both or each.changes_answers for each in variants],
            experiment.audience if experiment.audience else None,
            parts,
        )


class _Parts(NamedTuple):
    """What a bandit allots in each cell."""

    renewal: int
    cells: Cells
    ends: Sequence[Sequence[float]]
    chances: Sequence[Sequence[float]]

    @classmethod
    def of(cls, entry: Entry) -> "_Parts":
        assert entry.experiment.bandit is not None
        chances = allocations_now(entry)
        number = entry.renewal.number if entry.renewal else 0
        return cls(number, Cells(entry.experiment.bandit), [_ends(each) for each in chances], chances)


def allocations_now(entry: Entry) -> Allocations:
    """The part (cells, variants) of each variant that holds: of the last renewal, or the declared weights."""
    if entry.renewal is not None:
        return entry.renewal.allocations
    bandit = entry.experiment.bandit
    return (tuple(each.weight for each in entry.experiment.variants),) * (bandit.cells if bandit else 1)


def salt_of(entry: Entry) -> str:
    """What the hashing of units begins with; each renewal of a bandit draws them anew, so that no period leans on the one before."""
    return f"{entry.experiment.salt}/{entry.renewal.number}" if entry.renewal else entry.experiment.salt


def _ends(weights: Sequence[float]) -> list[float]:
    return list(accumulate(each * PARTS for each in weights))[:-1]


class _Layer(NamedTuple):
    """The experiments of one layer: of a bucket at most one is in charge, by its place in ``takers`` from 1 on."""

    seed: int
    held: bytes
    takers: Sequence[_Taker]

    @classmethod
    def of(cls, name: str, entries: Sequence[Entry]) -> "_Layer":
        held = bytearray(BUCKETS)
        for place, entry in enumerate(entries, start=1):
            for each in entry.buckets:
                held[each.start : each.end] = bytes([place]) * (each.end - each.start)
        return cls(seed_of_layer(name), bytes(held), [_Taker.of(entry) for entry in entries])


Layers = Sequence[tuple[str, Sequence[_Layer]]]
"""By kind of unit."""


def _by_unit(entries: Sequence[Entry]) -> Layers:
    layers: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        experiment = entry.experiment
        layers.setdefault(experiment.unit, {}).setdefault(experiment.layer, []).append(entry)
    return [(unit, [_Layer.of(name, held) for name, held in found.items()]) for unit, found in layers.items()]


def _take(
    layers: Layers,
    asker: Asker,
    variants: dict[str, str],
    changing: dict[str, Variant],
    draws: dict[str, Draw],
) -> None:
    """Add the variants that a request gets; runs in every request, so nothing is called that need not be."""
    for kind, own in layers:
        unit: str = getattr(asker, kind)
        if not unit:
            continue
        name = unit.encode()
        for seed, held, takers in own:
            place = held[hashed(name, seed) * BUCKETS // PARTS]
            if not place:
                continue
            key, salted, ends, known, names, changes, audience, parts = takers[place - 1]
            if audience is not None and not _of(audience, asker):
                continue
            if parts is not None:
                cell = parts.cells.cell(asker)
                ends = parts.ends[cell]
            which = bisect_right(ends, hashed(name, salted))
            variants[key] = names[which]
            if parts is not None:
                draws[key] = Draw(parts.renewal, cell, parts.chances[cell][which])
            if changes[which]:
                changing[key] = known[which]


def _of(audience: Audience, asker: Asker) -> bool:
    """Whether a request is of an audience."""
    if audience.scenarios and asker.scenario not in audience.scenarios:
        return False
    if audience.segments and not any(key in asker.segments for key in audience.segments):
        return False
    return all(is_one_of(asker.context.get(name), values) for name, values in audience.context.items())


def is_one_of(said: object, values: Sequence[str | float | bool]) -> bool:
    """Whether a value is one of those asked for; true is not 1."""
    return any(is_same(said, each) for each in values)


NOTHING_RUNS = Assignment(())
