"""Rules of a policy: where people live and how old they are narrows what the workspace's basis covers; an unknown country is every country."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tailorbird.features.demographics import NOBODY, Demographics

COUNTRY = "country"
"""Where a context may say one, in two letters."""
CODE = 2
"""Letters of a country's code."""


@dataclass(frozen=True)
class Rule:
    """Of people in some countries (of all, if empty) and below an age (of any, if None) a basis covers ``purposes`` at most."""

    countries: frozenset[str]
    age_below: float | None
    purposes: frozenset[str]

    def concerns(self, country: str, age: float) -> bool:
        """Whether it holds of somebody; an unknown country is any, an unknown age (NaN) is of age.

        A name ("Germany") and a code ("DE") cannot be compared: where a rule has no country in the same form, it is unknown.
        """
        comparable = country and any((len(each) == CODE) == (len(country) == CODE) for each in self.countries)
        there = not self.countries or not comparable or country.casefold() in self.countries
        return there and (self.age_below is None or age < self.age_below)


@dataclass(frozen=True)
class Basis:
    """The purposes that a workspace's legal basis covers: ``purposes``, less what a rule of theirs takes away."""

    purposes: frozenset[str] = frozenset()
    rules: Sequence[Rule] = ()

    def of(self, context: Mapping[str, object], person: Demographics = NOBODY) -> Collection[str]:
        """Those that it covers of somebody who told of themselves, and of what came with a context.

        Of two countries the rules of both hold: whoever writes a context cannot leave the person's own.
        """
        if not self.rules:
            return self.purposes
        said = context.get(COUNTRY)
        countries = {said if isinstance(said, str) else "", person.country} - {""} or {""}
        covered = set(self.purposes)
        for rule in self.rules:
            if any(rule.concerns(country, person.age) for country in countries):
                covered &= rule.purposes
        return covered
