"""Plans: what runs for one kind of unit, ready to take requests; audiences are looked at, and bandits drawn, where there are some."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from tailorbird.experiments.bandits.cells import Asks, Cells, is_same
from tailorbird.experiments.design.experiment import Audience, Variant
from tailorbird.experiments.interleaving.pairing import INTERLEAVED
from tailorbird.experiments.running.buckets import hashed, seed_of_salt
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.placing import Placed, Places, ends_of
from tailorbird.experiments.running.renewals import Allocations

MOST_UNITS = 4_096
"""Units whose variants are kept at hand: whoever asks once asks again. A kilobyte or two each."""
_BOTH = Variant(INTERLEAVED, 1.0)
"""What every unit of an interleaving gets."""

Told = tuple[tuple[str, str], ...]
"""Experiments, and the variant of each."""


class Draw(NamedTuple):
    """By what chance a bandit drew its variant: under which renewal, in which cell."""

    renewal: int
    cell: int
    chance: float


class Taken(NamedTuple):
    """What a unit gets: the variant of each experiment, and those of them that change recommendations. Shared, so never changed."""

    variants: Mapping[str, str]
    changing: Told

    def joined(self, other: "Taken") -> "Taken":
        """Both together."""
        return Taken({**self.variants, **other.variants}, self.changing + other.changing)


NOTHING_TAKEN = Taken({}, ())


class Plan:
    """The experiments of one kind of unit: in each layer a unit is of at most one. ``returning``: whether a unit asks more than once."""

    def __init__(self, layers: Mapping[str, Sequence[Entry]], *, returning: bool = True) -> None:
        places = Places([(name, [_placed(each) for each in own]) for name, own in layers.items()])
        self._width = places.width
        most = MOST_UNITS if returning else 0
        self._options, self._taken = lru_cache(most)(places.options), lru_cache(most)(self._made_of)
        entries = [entry for own in layers.values() for entry in own]
        self._told = [("", "")] * (len(entries) * places.width)  # by option
        self._changing: set[int] = set()
        for place, entry in enumerate(entries):
            for which, variant in enumerate(_variants_of(entry), start=place * places.width):
                self._told[which] = (entry.key, variant.name)
                if variant is _BOTH or variant.changes_answers:
                    self._changing.add(which)
        asked = [entry.experiment.audience for entry in entries if entry.experiment.audience]
        distinct = [each for at, each in enumerate(asked) if each not in asked[:at]]
        self._audiences = [_Terms.of(each) for each in distinct]
        self._conditions = {
            place: _Condition(
                distinct.index(entry.experiment.audience) if entry.experiment.audience else None,
                _Parts.of(entry) if entry.experiment.bandit is not None else None,
            )
            for place, entry in enumerate(entries)
            if entry.experiment.audience or entry.experiment.bandit is not None
        }

    def take(self, unit: str, asker: Asks, draws: dict[str, Draw]) -> Taken:
        """What a unit gets; the chances of bandits are added to ``draws``.

        Runs in every request, so nothing is made that is at hand.
        """
        options = self._options(unit)
        return self._taken(self._met(options, unit, asker, draws) if self._conditions else options)

    def _made_of(self, options: Sequence[int]) -> Taken:
        told = self._told
        changing = tuple(told[option] for option in options if option in self._changing)
        return Taken(dict(map(told.__getitem__, options)), changing)

    def _met(self, options: Sequence[int], unit: str, asker: Asks, draws: dict[str, Draw]) -> tuple[int, ...]:
        """The options whose audience the request is of, those of bandits as its cell has them."""
        found: list[int] = []
        seen: dict[int, bool] = {}
        for option in options:
            condition = self._conditions.get(option // self._width)
            if condition is not None:
                audience, parts = condition
                if audience is not None:
                    if audience not in seen:
                        seen[audience] = self._audiences[audience].met(asker)
                    if not seen[audience]:
                        continue
                if parts is not None:
                    first = option - option % self._width
                    which, draws[self._told[first][0]] = parts.draw(unit, asker)
                    option = first + which
            found.append(option)
        return tuple(found)


class _Condition(NamedTuple):
    """What options of an experiment depend on: the place of its audience, what a bandit allots."""

    audience: int | None
    parts: "_Parts | None"


class _Terms(NamedTuple):
    """An audience, ready to be asked."""

    segments: frozenset[str]
    scenarios: Collection[str]
    context: Sequence[tuple[str, Sequence[str | float | bool]]]

    @classmethod
    def of(cls, audience: Audience) -> "_Terms":
        return cls(frozenset(audience.segments), audience.scenarios, list(audience.context.items()))

    def met(self, asker: Asks) -> bool:
        """Whether a request is of the audience."""
        if self.scenarios and asker.scenario not in self.scenarios:
            return False
        if self.segments and self.segments.isdisjoint(asker.segments):
            return False
        return all(is_one_of(asker.context.get(name), values) for name, values in self.context)


class _Parts(NamedTuple):
    """What a bandit allots in each cell."""

    seed: int
    renewal: int
    cells: Cells
    ends: Sequence[Sequence[float]]
    chances: Sequence[Sequence[float]]

    @classmethod
    def of(cls, entry: Entry) -> "_Parts":
        assert entry.experiment.bandit is not None
        chances = allocations_now(entry)
        number = entry.renewal.number if entry.renewal else 0
        ends = [ends_of(each).tolist() for each in chances]
        return cls(seed_of_salt(salt_of(entry)), number, Cells(entry.experiment.bandit), ends, chances)

    def draw(self, unit: str, asker: Asks) -> tuple[int, Draw]:
        """The place of the unit's variant in the request's cell, and by what chance."""
        cell = self.cells.cell(asker)
        which = bisect_right(self.ends[cell], hashed(unit.encode(), self.seed))
        return which, Draw(self.renewal, cell, self.chances[cell][which])


def allocations_now(entry: Entry) -> Allocations:
    """The part (cells, variants) of each variant that holds: of the last renewal, or the declared weights."""
    if entry.renewal is not None:
        return entry.renewal.allocations
    bandit = entry.experiment.bandit
    return (tuple(each.weight for each in entry.experiment.variants),) * (bandit.cells if bandit else 1)


def salt_of(entry: Entry) -> str:
    """What the hashing of units begins with; each renewal of a bandit draws them anew, so that no period leans on the one before."""
    return f"{entry.experiment.salt}/{entry.renewal.number}" if entry.renewal else entry.experiment.salt


def is_one_of(said: object, values: Sequence[str | float | bool]) -> bool:
    """Whether a value is one of those asked for; true is not 1."""
    return any(is_same(said, each) for each in values)


def _placed(entry: Entry) -> Placed:
    return Placed(entry.buckets, salt_of(entry), [each.weight for each in _variants_of(entry)])


def _variants_of(entry: Entry) -> Sequence[Variant]:
    return (_BOTH,) if entry.experiment.kind == "interleaving" else entry.experiment.variants
