"""What a filter expression means, as a tree: comparisons of attributes with values, joined by and, or, not."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailorbird.errors import UsageError

Scalar = str | float | bool
"""What an attribute is compared with."""


def kind_of(value: Scalar) -> str:
    """What kind of value this is: values of different kinds are never equal."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


class FilterError(UsageError):
    """An expression that says nothing we can ask of items; ``place`` is the character it is about, from 1."""

    def __init__(self, what: str, *, place: int, remedy: str) -> None:
        super().__init__(f"filter, character {place}: {what}", remedy=remedy)
        self.place = place


@dataclass(frozen=True)
class Compare:
    """``attribute sign value``; ``sign`` is one of = < <= > >=."""

    attribute: str
    sign: str
    value: Scalar
    place: int = field(default=1, compare=False)
    kind: str = field(init=False, repr=False)
    """Of the value: to Python True is 1.0, to filters it is not."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", kind_of(self.value))


@dataclass(frozen=True)
class Among:
    """The attribute is one of ``values``."""

    attribute: str
    values: tuple[Scalar, ...]
    place: int = field(default=1, compare=False)
    kinds: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(map(kind_of, self.values)))


@dataclass(frozen=True)
class Has:
    """The attribute is known."""

    attribute: str
    place: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Not:
    """The contrary."""

    term: "Term"


@dataclass(frozen=True)
class Every:
    """Every one of ``terms``."""

    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Either:
    """At least one of ``terms``."""

    terms: tuple["Term", ...]


Leaf = Compare | Among | Has
Term = Leaf | Not | Every | Either


def leaves(term: Term) -> Iterator[Leaf]:
    """Everything in ``term`` that names an attribute, in the order it was written."""
    if isinstance(term, Not):
        yield from leaves(term.term)
    elif isinstance(term, Every | Either):
        for each in term.terms:
            yield from leaves(each)
    else:
        yield term
