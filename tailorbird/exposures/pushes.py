"""What in a profile pushed an item: found by ranking again without it, never by telling a likely story."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tailorbird.events.schema import Event
from tailorbird.exposures.profiles import fold_parts, joined_parts
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.table import PASSIVE_TYPES
from tailorbird.slate.query import Query, Ranking
from tailorbird.slate.recommender import Recommender

MOST_ITEMS = 24
"""Items of the profile that are tried, those touched last: what a trace may cost is bounded."""
REASONS = 3
AT_ONCE = 4


@dataclass(frozen=True)
class Push:
    """Without ``events`` the item would stand at ``place_without`` (None: not even among the candidates), not at ``place``.

    No events: it is the item being looked at that pushed. Places count from 1, over all candidates.
    """

    events: tuple[Event, ...]
    place: int
    place_without: int | None
    fall: int


@dataclass(frozen=True)
class _Case:
    """A profile without some events, or the request without its item."""

    events: tuple[Event, ...]
    query: Query


def find_pushes(
    recommender: Recommender,
    query: Query,
    items: Sequence[str],
    *,
    events: Sequence[Event],
    facts: ItemFacts,
    history_length: int,
    breathe: Callable[[], object] = lambda: None,
) -> Mapping[str, tuple[Push, ...]]:
    """For each of ``items`` what pushed it most, up to REASONS, the strongest first; ``events`` made ``query.state``.

    Each item of the profile is left out once, with its newest event and with all of them; what may be shown stays as it
    was, so that nothing falls only because an item already had came back. ``breathe`` is called between rankings.
    """
    screen = recommender.screen(query)
    (ranking,) = recommender.rank([query], [screen])
    before = _places(ranking)
    rows = {item: recommender.catalog.row_of[item] for item in items if item in recommender.catalog.row_of}
    found: dict[str, list[Push]] = {item: [] for item in rows}
    cases = _cases(query, events, facts, history_length)
    for start in range(0, len(cases), AT_ONCE):
        some = cases[start : start + AT_ONCE]
        rankings = recommender.rank([case.query for case in some], [screen] * len(some))
        for case, without in zip(some, map(_places, rankings), strict=True):
            for item, row in rows.items():
                if (place := before.get(row)) is not None:
                    later = without.get(row)
                    fall = (len(before) + 1 if later is None else later) - place
                    if fall > 0:
                        found[item].append(Push(case.events, place, later, fall))
        breathe()
    return {item: _strongest(pushes) for item, pushes in found.items()}


def _places(ranking: Ranking) -> dict[int, int]:
    return {row: place for place, row in enumerate(ranking.candidates.rows.tolist(), start=1)}


def _strongest(pushes: Sequence[Push]) -> tuple[Push, ...]:
    """One a touched item: its newest event alone where that is enough, else all of them together."""
    by_item: dict[str, Push] = {}
    for push in sorted(pushes, key=lambda push: (len(push.events), -push.fall)):
        by_item.setdefault(str(push.events[0].item_id) if push.events else "", push)
    return tuple(sorted(by_item.values(), key=lambda push: -push.fall)[:REASONS])


def _cases(query: Query, events: Sequence[Event], facts: ItemFacts, history_length: int) -> list[_Case]:
    by_item: dict[str, list[int]] = {}
    for place in np.argsort([-event.event_time for event in events], kind="stable").tolist():
        event = events[place]
        if event.item_id and event.type not in PASSIVE_TYPES and event.type != "hide":
            by_item.setdefault(event.item_id, []).append(place)
    groups: list[list[int]] = []
    for places in list(by_item.values())[:MOST_ITEMS]:
        groups.append(places[:1])
        if len(places) > 1:
            groups.append(places)
    first = min((place for group in groups for place in group), default=len(events))
    base = fold_parts({}, events[:first], facts, history_length=history_length)  # made once for all cases
    cases = []
    for group in groups:
        out = set(group)
        rest = [event for place, event in enumerate(events[first:], start=first) if place not in out]
        parts = fold_parts(base, rest, facts, history_length=history_length)
        state = joined_parts(parts, query.state.user_key, history_length=history_length)
        cases.append(_Case(tuple(events[place] for place in group), replace(query, state=state)))
    if query.item_id:
        cases.append(_Case((), replace(query, item_id=None)))
    return cases
