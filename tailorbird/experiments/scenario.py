"""A scenario: what requests wish where they do not say it themselves; for everybody, or for people of some segments."""

from dataclasses import dataclass

from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.filtering.terms import leaves
from tailorbird.slate.query import Boost, Pin, SegmentWish, Weights, Wishes


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

    @property
    def attributes(self) -> list[str]:
        """What its expressions name, each once. Raises FilterError."""
        wishes = self.wishes
        boosts = [*wishes.boosts, *(each.boost for each in wishes.of_segments if each.boost is not None)]
        wheres = [wishes.where, *(each.where for each in wishes.of_segments)]
        terms = [boost.term for boost in boosts] + [where for where in wheres if where is not None]
        return list(dict.fromkeys(leaf.attribute for term in terms for leaf in leaves(term)))

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
