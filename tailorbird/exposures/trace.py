"""The trace of an answer: who brought each item, what in the profile pushed it, and what was dropped by which rule."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tailorbird.events.schema import Event
from tailorbird.exposures.exposure import LIST, TEAMS, Exposure, half
from tailorbird.exposures.profiles import Rebuilt, rebuild_profile
from tailorbird.exposures.pushes import Push, find_pushes
from tailorbird.exposures.words import act_in_words, fall_in_words
from tailorbird.features.demographics import NOBODY, Demographics, segment_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.filtering.terms import Every
from tailorbird.slate.query import NO_WISHES, Query, Rules, Wishes
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.words import filled_in, number_of, rule_in_words

MOST_EVENTS = 20_000
"""Events of one person that are folded again at most."""


def trace_of(
    exposure: Exposure,
    *,
    events: Sequence[Event],
    facts: ItemFacts,
    recommender: Recommender | None,
    demographics: Demographics = NOBODY,
    history_length: int,
    breathe: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """The trace as JSON values.

    ``events`` are the person's, in the order of the stream; ``recommender`` answers with the exposure's version of the
    model, None where it is not at hand: what pushed an item is left out then, and ``notes`` say so.
    """
    notes: list[str] = []
    pushes: Mapping[str, Sequence[Push]] = {}
    rebuilt = _rebuilt(exposure, events, facts, history_length, notes)
    if rebuilt is not None and _explicable(exposure, recommender, notes):
        assert recommender is not None
        query = query_of(exposure, rebuilt, demographics)
        pushes = find_pushes(
            recommender,
            query,
            exposure.items,
            events=rebuilt.events,
            facts=facts,
            history_length=history_length,
            breathe=breathe,
        )
    titles = _titles(recommender)
    return {
        "recommendationId": exposure.recommendation_id,
        "at": dt.datetime.fromtimestamp(exposure.instant, dt.UTC).isoformat(),
        "scenario": exposure.scenario,
        "arm": exposure.arm,
        "model": {"name": exposure.model_name, "version": exposure.model_version},
        "fallback": exposure.fallback or None,
        "partial": exposure.partial,
        "segment": exposure.request.get("segment"),
        "profile": {
            "version": exposure.profile_version,
            "events": 0 if rebuilt is None else rebuilt.state.total,
            "rebuilt": rebuilt is not None and rebuilt.exact,
        },
        "items": [
            _item(exposure, place, pushes.get(item, ()), titles) for place, item in enumerate(exposure.items)
        ],
        "removed": [
            {
                "rule": rule,
                "count": count,
                "words": rule_in_words(rule, count),
                "itemIds": list(exposure.removed_items.get(rule, ())),
            }
            for rule, count in exposure.removed.items()
        ],
        "notes": notes,
    }


def _rebuilt(
    exposure: Exposure, events: Sequence[Event], facts: ItemFacts, history_length: int, notes: list[str]
) -> Rebuilt | None:
    if len(events) > MOST_EVENTS:
        notes.append(f"this person has {len(events):,} events: more than are folded again for a trace")
        return None
    rebuilt = rebuild_profile(
        exposure.user_key,
        events,
        facts,
        instant=exposure.scored_at,
        version=exposure.profile_version,
        history_length=history_length,
    )
    if not rebuilt.exact:
        notes.append(
            "the profile cannot be rebuilt exactly as it was (events forgotten, merged or not folded in yet):"
            " what pushed an item is told from the nearest there is"
        )
    return rebuilt


def _explicable(exposure: Exposure, recommender: Recommender | None, notes: list[str]) -> bool:
    """Whether what pushed the items can be found out; where not, ``notes`` get the reason."""
    if not exposure.user_vector.size:
        notes.append("no profile was asked: the answer is the same for everybody")
    elif recommender is None:
        notes.append(
            f"version {exposure.model_version} of the model is not loaded: what pushed an item is not found out"
        )
    else:
        return True
    return False


def query_of(exposure: Exposure, rebuilt: Rebuilt, demographics: Demographics) -> Query:
    """The question that an answer answered, as far as its exposure tells; boosts, pins and caps are not among it."""
    asked: dict[str, Any] = dict(exposure.request)
    return Query(
        state=rebuilt.state,
        now=exposure.scored_at,
        k=int(asked.get("k", len(exposure.items))),
        context=exposure.context,
        demographics=demographics,
        rules=Rules(
            tuple(asked.get("categories", ())),
            tuple(asked.get("brands", ())),
            asked.get("minPrice"),
            asked.get("maxPrice"),
        ),
        wishes=_wishes(asked),
        item_id=asked.get("itemId"),
        keep_seen=asked.get("keepSeen"),
        segment=segment_of(demographics),
    )


def _wishes(asked: Mapping[str, Any]) -> Wishes:
    """The filters that held, those of the person's segment among them."""
    texts = [asked["filter"]] if "filter" in asked else []
    texts += [each["filter"] for each in asked.get("segmentFilter", ())]
    return Wishes(where=Every(tuple(parse_filter(str(text)) for text in texts))) if texts else NO_WISHES


def _item(
    exposure: Exposure, place: int, pushes: Sequence[Push], titles: Callable[[str], str]
) -> dict[str, Any]:
    sources = [
        {"name": name.removeprefix(LIST), "place": rank + 1, "words": _brought(rank, name)}
        for name, rank in zip(exposure.source_names, exposure.ranks[place].tolist(), strict=True)
        if rank >= 0
    ]
    because = [_because(push, str(exposure.request.get("itemId", "")), titles) for push in pushes]
    item_id = exposure.items[place]
    title = titles(item_id)
    brought = "; ".join(str(source["words"]) for source in sources) or "put in order, proposed by nobody"
    teams: Sequence[str | None] = exposure.request.get(TEAMS, ())  # type: ignore[assignment]
    if place < len(teams) and teams[place]:
        brought = f"{brought}; picked by the variant {teams[place]}"
    return {
        "itemId": item_id,
        "position": exposure.positions[place],
        "score": round(float(half(exposure.scores)[place]), 6),  # as exact as the archive keeps it
        "propensity": round(float(exposure.propensities[place]), 6),
        "sources": sources,
        "because": because,
        "words": ". ".join([f"{title or item_id}: {brought}", *(str(each["words"]) for each in because)]),
    }


def _brought(rank: int, source: str) -> str:
    if source.startswith(LIST):
        return filled_in(rank, source.removeprefix(LIST))
    return number_of(rank, source)


def _because(push: Push, looked_at: str, titles: Callable[[str], str]) -> dict[str, Any]:
    if push.events:
        words = act_in_words(push.events, title=titles(str(push.events[0].item_id)))
    else:
        words = f"{titles(looked_at) or looked_at} was being looked at"
    return {
        "events": [
            {
                "messageId": event.message_id,
                "type": event.type,
                "itemId": event.item_id,
                "timestamp": dt.datetime.fromtimestamp(event.event_time, dt.UTC).isoformat(),
            }
            for event in push.events
        ],
        "lookedAt": looked_at if not push.events else None,
        "place": push.place,
        "placeWithout": push.place_without,
        "words": f"{words}: {fall_in_words(push.place, push.place_without)}",
    }


def _titles(recommender: Recommender | None) -> Callable[[str], str]:
    if recommender is None:
        return lambda item_id: ""
    catalog = recommender.catalog

    def title(item_id: str) -> str:
        row = catalog.row_of.get(item_id)
        return "" if row is None else str(catalog.value("title", row))

    return title
