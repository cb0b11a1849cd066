"""Rules a person writes, in ``rules.toml``: segments by an expression over facts, beside those that are learned."""

import operator
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tailorbird.errors import UsageError
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.state import UserState
from tailorbird.segments.rules.facts import FACTS, facts_of
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.filtering.terms import (
    Among,
    Compare,
    Either,
    Every,
    FilterError,
    Has,
    Leaf,
    Not,
    Scalar,
    Term,
    kind_of,
    leaves,
)

RULES_FILE = "rules.toml"
MOST_RULES = 100
_REMEDY = "see docs/segments.md for the keys and the facts; the rules of before hold until it is right"
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class _RuleTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(min_length=1, max_length=200)]
    when: Annotated[str, Field(min_length=1)]


_FILE = TypeAdapter(Annotated[dict[Key, _RuleTable], Field(max_length=MOST_RULES)])


@dataclass(frozen=True)
class SegmentRule:
    """One rule: ``key`` names it for programs, ``name`` for people; ``when`` is the expression, ``term`` what it means."""

    key: str
    name: str
    when: str
    term: Term


@dataclass(frozen=True)
class SegmentRules:
    """The rules of a workspace, in the order they were written."""

    rules: tuple[SegmentRule, ...] = ()

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Of the rules."""
        return tuple(rule.key for rule in self.rules)

    def holding(
        self, state: UserState, *, now: float, demographics: Demographics = NOBODY, segment: str = ""
    ) -> tuple[SegmentRule, ...]:
        """The rules that hold of a person at ``now`` (epoch seconds): a pure function of the live state, and of time.

        None holds of somebody of whom nothing is known: "no purchase" would say something of everybody who is new.
        """
        if not self.rules or not state.total:
            return ()
        known = facts_of(state, now=now, demographics=demographics, segment=segment, names=self._asked)
        return tuple(rule for rule in self.rules if holds(rule.term, known))

    def matching(
        self, state: UserState, *, now: float, demographics: Demographics = NOBODY, segment: str = ""
    ) -> frozenset[str]:
        """The keys of the rules that hold of a person at ``now`` (epoch seconds)."""
        held = self.holding(state, now=now, demographics=demographics, segment=segment)
        return frozenset(rule.key for rule in held)

    def shared_with(self, learned: Collection[str]) -> str:
        """What is wrong where learned segments have keys of rules: wishes that name one mean both; "" for nothing."""
        both = [key for key in self.keys if key in learned]
        return (
            f"{RULES_FILE}: learned segments are called {', '.join(both)}, too: either counts" if both else ""
        )

    @property
    def asks_told(self) -> bool:
        """Whether a rule asks for what people told of themselves."""
        return not self._asked.isdisjoint(("age", "gender", "country"))

    @cached_property
    def _asked(self) -> frozenset[str]:
        return frozenset(leaf.attribute for rule in self.rules for leaf in leaves(rule.term))


NO_SEGMENT_RULES = SegmentRules()
RulesNow = Callable[[], SegmentRules]
"""Gives the rules that hold now."""


def no_segment_rules() -> SegmentRules:
    """Where nobody has written any."""
    return NO_SEGMENT_RULES


def holds(term: Term, known: Mapping[str, str | float | None]) -> bool:
    """Whether a term holds of facts; what is not known is neither equal, less nor greater."""
    if isinstance(term, Not):
        return not holds(term.term, known)
    if isinstance(term, Every):
        return all(holds(each, known) for each in term.terms)
    if isinstance(term, Either):
        return any(holds(each, known) for each in term.terms)
    value = known[term.attribute]
    if value is None or isinstance(term, Has):
        return value is not None
    return value in term.values if isinstance(term, Among) else _SIGNS[term.sign](value, term.value)


def read_rules(path: Path) -> SegmentRules:
    """The rules of a file; none without the file.

    Raises:
        UsageError: it cannot be read, is no TOML, holds an unknown key, or a rule that is no expression over FACTS.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return NO_SEGMENT_RULES
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    return rules_of(values, where=str(path))


def rules_of(values: Mapping[str, Any], *, where: str) -> SegmentRules:
    """The rules of a parsed ``rules.toml``; ``where`` names it in errors. Raises UsageError."""
    try:
        tables = _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise UsageError(f"{where}: {key} = {first['input']!r}: {first['msg']}", remedy=_REMEDY) from error
    rules = []
    for key, table in tables.items():
        try:
            term = parse_filter(table.when)
            for leaf in leaves(term):
                _require_sound(leaf)
        except FilterError as error:
            raise UsageError(f"{where}: {key}.when: {error.what}", remedy=error.remedy) from error
        rules.append(SegmentRule(key, table.name, table.when, term))
    return SegmentRules(tuple(rules))


def _require_sound(leaf: Leaf) -> None:
    """Raises FilterError where a comparison asks for no fact, for another kind of value, or for a text there never is."""
    fact = FACTS.get(leaf.attribute)
    if fact is None:
        near = get_close_matches(leaf.attribute, FACTS, n=3, cutoff=0.6)
        raise FilterError(
            f"there is no fact {leaf.attribute[:60]}",
            place=leaf.place,
            remedy=f"did you mean {' or '.join(near)}?" if near else "docs/segments.md lists the facts",
        )
    for value in _values(leaf):
        if kind_of(value) != fact.kind:
            shown = f'"{value[:40]}"' if isinstance(value, str) else str(value).lower()
            raise FilterError(
                f"{leaf.attribute} is a {fact.kind}, {shown} is a {kind_of(value)}",
                place=leaf.place,
                remedy="texts stand in quotes, numbers do not",
            )
        if fact.values and value not in fact.values:
            near = get_close_matches(str(value), fact.values, n=1)
            raise FilterError(
                f'{leaf.attribute} is never "{str(value)[:40]}"',
                place=leaf.place,
                remedy=f"did you mean {near[0]}?" if near else f"it is one of {', '.join(fact.values)}",
            )
    if isinstance(leaf, Compare) and leaf.sign != "=" and fact.kind == "text":
        raise FilterError(
            f"{leaf.attribute} is a text, and {leaf.sign} compares numbers",
            place=leaf.place,
            remedy="compare with = or !=",
        )


def _values(leaf: Leaf) -> tuple[Scalar, ...]:
    if isinstance(leaf, Among):
        return leaf.values
    return (leaf.value,) if isinstance(leaf, Compare) else ()
