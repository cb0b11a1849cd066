"""What goes through the stages: the query, its candidates, what was removed and the slate that answers it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.state import UserState
from tailorbird.models.allowed import Blocked
from tailorbird.segments.belonging import Belonging
from tailorbird.segments.pinned import PinnedSegments, Placed
from tailorbird.segments.rules.rules import SegmentRule
from tailorbird.slate.filtering.terms import Among, Compare, Every, Term


@dataclass(frozen=True)
class Rules:
    """What the caller demands of every item; the default demands nothing."""

    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    min_price: float | None = None
    max_price: float | None = None

    def __bool__(self) -> bool:
        return self != NO_RULES

    @cached_property
    def term(self) -> Term:
        """The same as an expression: an unknown price fulfils no price rule."""
        terms: list[Term] = []
        for attribute, names in (("category", self.categories), ("brand", self.brands)):
            if names:
                terms.append(Among(attribute, names))
        for sign, price in ((">=", self.min_price), ("<=", self.max_price)):
            if price is not None:
                terms.append(Compare("price", sign, float(price)))
        return Every(tuple(terms))


NO_RULES = Rules()


@dataclass(frozen=True)
class Boost:
    """Items that fulfil ``term`` are moved ``by`` so many standard deviations of the candidates' scores; down where negative."""

    term: Term
    by: float


@dataclass(frozen=True)
class Pin:
    """An item that stands at ``place`` (from 1) of the answer, where it may be shown at all."""

    item_id: str
    place: int


@dataclass(frozen=True)
class SegmentWish:
    """What is wished of answers to people of some segments alone: ``segments`` are keys, learned or of rules (docs/segments.md)."""

    segments: frozenset[str]
    where: Term | None = None
    boost: Boost | None = None
    said: Mapping[str, object] = field(default_factory=dict, compare=False)
    """The same in the words of the request."""


Weights = tuple[tuple[str, float], ...]
"""Outcomes (``click``, ``purchase``, ``hide`` …) and what the log odds of each count in the order of an answer."""


@dataclass(frozen=True)
class Wishes:
    """What a caller or a scenario demands of an answer beside who it is for; the default demands nothing."""

    where: Term | None = None
    """What every item must fulfil."""
    include: frozenset[str] | None = None
    """The only items that may be shown; None: all."""
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    per_category: int | None = None
    """Items of one (most specific) category at most."""
    per_brand: int | None = None
    weights: Weights = ()
    """By what the model orders; (): by its own score."""
    of_segments: tuple[SegmentWish, ...] = ()
    """What holds for people of some segments; nothing of it does until :meth:`for_segments` has made it part of the rest."""
    said: Mapping[str, object] = field(default_factory=dict, compare=False)
    """The same in the words of the request, for the record."""

    @property
    def arranges(self) -> bool:
        """Whether places depend on more than the scores."""
        return bool(self.pins) or self.per_category is not None or self.per_brand is not None

    def for_segments(self, keys: Collection[str]) -> "Wishes":
        """What is wished of the answer to somebody who is in the segments and rules ``keys``."""
        if not self.of_segments:
            return self
        said = dict(self.said)
        wheres, boosts = [self.where] if self.where else [], list(self.boosts)
        for wish in self.of_segments:
            if wish.segments.isdisjoint(keys):
                continue
            if wish.where is not None:
                wheres.append(wish.where)
                said["segmentFilter"] = [*_listed(said, "segmentFilter"), wish.said]
            if wish.boost is not None:
                boosts.append(wish.boost)
                said["boost"] = [*_listed(said, "boost"), wish.said]
        where = Every(tuple(wheres)) if len(wheres) > 1 else wheres[0] if wheres else None
        return replace(self, where=where, boosts=tuple(boosts), of_segments=(), said=said)


NO_WISHES = Wishes()


def _listed(said: Mapping[str, object], name: str) -> list[object]:
    found = said.get(name)
    return found if isinstance(found, list) else []


@dataclass(frozen=True)
class Query:
    """Who asks for what, and when. ``now`` is epoch seconds.

    ``segment`` names the user's group by what they told, of which fallback lists are where the model pins no segments;
    ``belonging`` the learned segment that their behaviour puts them in, None where no segment model is followed;
    ``segment_rules`` the written rules that hold of them, where the answer needs to know.
    """

    state: UserState
    now: float
    k: int = 20
    context: Mapping[str, object] = field(default_factory=dict)
    demographics: Demographics = NOBODY
    rules: Rules = NO_RULES
    wishes: Wishes = NO_WISHES
    exclude: frozenset[str] = frozenset()
    """Items the caller does not want."""
    shown: tuple[str, ...] = ()
    """Items of the pages before this one."""
    item_id: str | None = None
    """The item the user is looking at: it counts as the newest event of the history."""
    keep_seen: bool | None = None
    """Whether items the user already had may return; None leaves it to the policy."""
    explain: bool = False
    draw_id: str = ""
    """What the chance behind an explored answer is made of: its recommendation id. Without it nothing is left to chance."""
    segment: str = ""
    belonging: Belonging | None = None
    segment_rules: tuple[SegmentRule, ...] = ()
    _placed: dict[PinnedSegments, Placed] = field(default_factory=dict, init=False, repr=False, compare=False)

    def placed_by(self, pinned: PinnedSegments | None) -> Placed | None:
        """Where the person belongs by the segments that a model pins; worked out once, several stages ask."""
        if pinned is None:
            return None
        if pinned not in self._placed:
            self._placed[pinned] = pinned.placed(self.state, self.demographics)
        return self._placed[pinned]


@dataclass(frozen=True)
class Candidates:
    """Items under consideration: ``rows`` (c,) int64 catalogue rows without repeats, and who proposed them.

    ``ranks`` (c, s) int32: the place in each source's list, 0 the best, -1 where the source did not propose it.
    ``signals`` (c, ...) float32 is what the ranker reads of the sources.
    """

    rows: np.ndarray
    source_names: tuple[str, ...]
    ranks: np.ndarray
    signals: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def with_more(self, others: "Candidates") -> "Candidates":
        """These, then ``others`` of the same sources."""
        signals = None
        if self.signals is not None and others.signals is not None:
            signals = np.concatenate([self.signals, others.signals])
        rows, ranks = np.concatenate([self.rows, others.rows]), np.concatenate([self.ranks, others.ranks])
        return Candidates(rows, self.source_names, ranks, signals)

    def where(self, keep: np.ndarray) -> "Candidates":
        """Keep the candidates of a boolean mask or an index array."""
        return Candidates(
            rows=self.rows[keep],
            source_names=self.source_names,
            ranks=self.ranks[keep],
            signals=None if self.signals is None else self.signals[keep],
        )


@dataclass(frozen=True)
class Removed:
    """Items that a filter took out, and why: ``count`` of them."""

    reason: str
    count: int
    where: "np.ndarray | tuple[Blocked, int, np.ndarray]" = field(repr=False, compare=False)
    """Their rows, or the code they have among those blocked for many, and the rows that an earlier reason has taken."""

    def rows(self, at_most: int | None = None) -> np.ndarray:
        """(≤ at_most,) int64 rows, ascending where they are blocked for many. Looks through the catalogue for those."""
        if isinstance(self.where, np.ndarray):
            return self.where[:at_most]
        blocked, code, taken = self.where
        found = np.flatnonzero(blocked.code == code)
        return found[~np.isin(found, taken)][:at_most]


@dataclass(frozen=True)
class Ranking:
    """Candidates in the order of their scores, best first: what the result cache keeps."""

    candidates: Candidates
    scores: np.ndarray  # (c,) float32, descending
    user_vector: np.ndarray  # (u,) float32, the features the ranker saw
    scored_at: float = 0.0
    """The instant (epoch seconds) the features are of: a kept ranking is older than the answer it serves."""


class SlateItem(NamedTuple):
    """One answer: ``sources`` proposed it, ``reasons`` say at which place."""

    item_id: str
    score: float
    sources: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slate:
    """The answer. ``fallback`` names the list that stood in for the model, "" when the model filled every place."""

    items: tuple[SlateItem, ...]
    model_name: str
    model_version: str
    fallback: str = ""
    partial: bool = False
    """Fewer items than asked for."""
    more: bool = False
    """Another page exists."""
    removed: tuple[Removed, ...] = ()
    user_vector: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    scored_at: float = 0.0
    """The instant ``user_vector`` is of; 0 where the model did not answer."""
    found: Candidates | None = None
    """The model's items as the ranker saw them: the first ``len(found)`` of ``items``, in their order."""
    failure: str = ""
    """Why the model did not answer, for the operator."""
    propensities: np.ndarray | None = None
    """(len(found),) the chance of each of the model's items at its place, given those above; None: nothing was left to chance."""
    teams: tuple[str | None, ...] = ()
    """Of a slate that two rankings made, (len(found),) the variant that picked each of the models' items; None for what both would have."""
