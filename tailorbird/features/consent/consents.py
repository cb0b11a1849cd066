"""Consents: what a person allows and refuses, by purpose, and from when on events may serve a purpose."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from tailorbird.errors import TailorbirdError
from tailorbird.features.consent.handovers import ALWAYS, Turn

PERSONALIZATION, ANALYTICS, ADVERTISING = "personalization", "analytics", "advertising"
PURPOSES = (PERSONALIZATION, ANALYTICS, ADVERTISING)
"""Purposes that every workspace knows; an operator may declare more."""
RESTRICTION: Final = "restriction"
"""Said like a purpose, and none: True while what is known of a person is kept and used for nothing."""
SAID = "purposes"
"""Where an event's context has truth values by purpose."""
MOST_WORDS = 64
"""Words on one purpose that are remembered, the newest by (time, message), besides those from which on events may serve."""


class Word(NamedTuple):
    """One word on a purpose: when (epoch microseconds), which message's key, and allowed or refused."""

    time: int
    message: int
    given: bool


@dataclass(frozen=True)
class Consents:
    """The words on each purpose, ascending; a union, so that order, batches and repetition do not matter.

    A refusal ends the use of everything that happened before it, for good: what is done after the next consent counts.
    """

    words: Mapping[str, tuple[Word, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", MappingProxyType(dict(sorted(self.words.items()))))

    def __bool__(self) -> bool:
        return bool(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Consents) and dict(self.words) == dict(other.words)

    def __hash__(self) -> int:
        return hash(tuple(self.words.items()))

    @property
    def now(self) -> dict[str, bool]:
        """The newest word on each purpose."""
        return {purpose: said[-1].given for purpose, said in self.words.items() if purpose != RESTRICTION}

    @property
    def count(self) -> int:
        """How many words are known."""
        return sum(map(len, self.words.values()))

    @property
    def newest(self) -> int:
        """When the newest word was said, epoch microseconds; 0 where there is none."""
        return max((said[-1].time for said in self.words.values()), default=0)

    @property
    def restricted(self) -> bool:
        """Whether what is known is kept and used for nothing, until that is lifted."""
        said = self.words.get(RESTRICTION)
        return said is not None and said[-1].given

    def refuses(self, purpose: str) -> bool:
        """Whether the newest word on a purpose is a refusal, or nothing may be used."""
        said = self.words.get(purpose)
        return self.restricted or (said is not None and not said[-1].given)

    def since(self, purpose: str, *, covered: bool = True) -> int:
        """From when on (epoch microseconds) events may serve a purpose: always, never, or since the consent after the last refusal.

        What no basis ``covered`` when it came may from the first consent on, if it was never refused. A restriction, which
        ends, is not asked.
        """
        since = ALWAYS[1]
        for word in reversed(self.words.get(purpose, ())):
            if not word.given:
                return since
            since = word.time
        return ALWAYS[0] if covered else since

    def serves(self, purpose: str, *, covered: bool) -> bool:
        """Whether what is done now may serve a purpose: by the newest word, without one by the basis."""
        if not self.words:
            return covered
        said = self.words.get(purpose)
        return not self.restricted and (said[-1].given if said else covered)

    def joined(self, other: "Consents") -> "Consents":
        """The words of both."""
        if not other or other is self:
            return self
        words = dict(self.words)
        for purpose, said in other.words.items():
            words[purpose] = _remembered(sorted({*words.get(purpose, ()), *said}))
        return Consents(words)

    def within(self, turns: Sequence[Turn]) -> "Consents":
        """The words that were said in some stretches of time."""
        kept = {
            purpose: tuple(word for word in said if any(turn.covers(word.time, word.time) for turn in turns))
            for purpose, said in self.words.items()
        }
        return Consents({purpose: said for purpose, said in kept.items() if said})

    @classmethod
    def of_context(cls, time: int, message: int, context: object) -> "Consents":
        """What a ``consent`` says in its context, an object or its text. Raises TailorbirdError where it says nothing."""
        try:
            told = orjson.loads(context) if isinstance(context, str) else context
            said: Mapping[str, object] = told[SAID]  # type: ignore[index]
            return cls({str(name): (Word(time, message, bool(given)),) for name, given in said.items()})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TailorbirdError(
                f"a consent says {context!r}, and not which purposes",
                remedy="only the platform may write one",
            ) from error

    def to_json(self) -> dict[str, object]:
        """For the stored row."""
        return {purpose: [list(word) for word in said] for purpose, said in self.words.items()}

    @classmethod
    def from_json(cls, stored: object) -> "Consents":
        """Read what :meth:`to_json` wrote. Raises ValueError where it is damaged."""
        if not isinstance(stored, dict):
            raise ValueError(f"{stored!r} are no consents")
        return cls({name: tuple(map(Word._make, said)) for name, said in stored.items()})


NO_CONSENTS = Consents()


def _remembered(said: Sequence[Word]) -> tuple[Word, ...]:
    """The newest of ascending words, and whatever came before them that still decides: the last refusal, the first yes after it."""
    early = said[:-MOST_WORDS]
    refusals = [place for place, word in enumerate(said) if not word.given]
    last = refusals[-1] if refusals else -1
    deciding = [said[place] for place in (last, last + 1) if 0 <= place < len(early)]
    return (*deciding, *said[len(early) :])


def with_refused(context: Mapping[str, object], refused: Collection[str]) -> dict[str, object]:
    """A context that says of some purposes that what it came with may not serve them."""
    said = context.get(SAID)
    purposes = {**(said if isinstance(said, Mapping) else {}), **dict.fromkeys(refused, False)}
    return {**context, SAID: purposes}
