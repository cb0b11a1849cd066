"""A profile as people read it, at an instant: what somebody did lately, what they like and avoid, how fresh all that is."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.history.facts import BUCKETS
from tailorbird.features.history.records import MICROSECONDS, microseconds
from tailorbird.features.portrait.names import CatalogNames
from tailorbird.features.portrait.windows import WINDOWS, spent_in, within
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import COUNTED_TYPES, USER_FEATURES
from tailorbird.features.vectors.user import user_vector
from tailorbird.segments.belonging import Belonging
from tailorbird.segments.rules.rules import SegmentRule

MOST_TASTES, MOST_EVENTS, MOST_HIDDEN = 10, 20, 100


@dataclass(frozen=True)
class Window:
    """What happened in the last ``seconds``: events by type, distinct items, what purchases were worth.

    Not ``complete`` where the profile has let go of older events of the window: it says at least so much. Impressions, hovers
    and scrolls are counted elsewhere, as they come by the page.
    """

    seconds: float
    events: int
    items: int
    types: Mapping[str, int]
    spent: float
    complete: bool


@dataclass(frozen=True)
class Taste:
    """A category or brand and its share of what somebody showed liking for; ``name`` None where today's catalogue lacks it."""

    name: str | None
    share: float


@dataclass(frozen=True)
class Past:
    """One event of the history: epoch seconds, and the item as today's catalogue names it."""

    at: float
    type: str
    item_id: str | None
    value: float | None


@dataclass(frozen=True)
class Portrait:
    """One person at the instant ``at``. Instants are epoch seconds, None where there is none.

    ``version`` changes with every event; ``price`` is the usual range (a standard deviation around the mean of log prices).
    ``hidden`` names items that are never shown again, ``had`` counts those already met. ``features`` are what models are given.
    ``belonging`` is the learned segment, None where no segment model was asked; ``segment_rules`` are the written ones that hold.
    ``consents`` are the newest words by purpose.
    """

    user_key: str
    linked: Sequence[str]
    at: float
    version: str
    events: int
    first_seen: float | None
    last_seen: float | None
    demographics: Demographics
    windows: Mapping[str, Window]
    categories: Sequence[Taste]
    brands: Sequence[Taste]
    price: tuple[float, float] | None
    last_events: Sequence[Past]
    had: int
    hidden: Sequence[str]
    features: Mapping[str, float]
    belonging: Belonging | None = None
    segment_rules: tuple[SegmentRule, ...] = ()
    consents: Mapping[str, bool] = field(default_factory=dict)
    restricted: bool = False
    """What is known is kept and used for nothing."""

    def plain(self) -> dict[str, Any]:
        """As plain values: instants in ISO 8601, UTC, and an age that is not known as None."""
        said = asdict(replace(self, belonging=None))  # which would copy the whole segment model
        del said["belonging"], said["segment_rules"]
        said["segment"] = None if self.belonging is None else self.belonging.plain()
        said["rules"] = [{"key": rule.key, "name": rule.name} for rule in self.segment_rules]
        for each in (said, *said["last_events"]):
            each.update(
                {name: _iso(each[name]) for name in ("at", "first_seen", "last_seen") if name in each}
            )
        if math.isnan(self.demographics.age):
            said["demographics"]["age"] = None
        return said


def _iso(instant: float | None) -> str | None:
    return None if instant is None else dt.datetime.fromtimestamp(instant, dt.UTC).isoformat()


def portrait_of(
    state: UserState,
    names: CatalogNames,
    *,
    now: float,
    demographics: Demographics = NOBODY,
    belonging: Belonging | None = None,
    segment_rules: tuple[SegmentRule, ...] = (),
) -> Portrait:
    """Draw a profile as it is at ``now`` (epoch seconds)."""
    vector = user_vector(state, now=now, demographics=demographics)
    features = dict(zip(USER_FEATURES, vector.tolist(), strict=True))
    brands = int(state.affinity_keys.searchsorted(BUCKETS))
    known = state.total > 0
    return Portrait(
        user_key=state.user_key,
        linked=state.links.keys,
        at=now,
        version=state.version,
        events=state.total,
        first_seen=state.first_seen / MICROSECONDS if known else None,
        last_seen=state.last_seen / MICROSECONDS if known else None,
        demographics=demographics,
        windows={name: _window(state, seconds, now) for name, seconds in WINDOWS.items()},
        categories=_tastes(state.affinity_keys[:brands], state.affinity[:brands], names),
        brands=_tastes(state.affinity_keys[brands:], state.affinity[brands:], names),
        price=_price(features),
        last_events=_last_events(state, names),
        had=len(state.had_set),
        hidden=[each for each in names.items(state.hidden[:MOST_HIDDEN]) if each is not None],
        features=features,
        belonging=belonging,
        segment_rules=segment_rules,
        consents=state.links.consents.now,
        restricted=state.links.consents.restricted,
    )


def _window(state: UserState, seconds: float, now: float) -> Window:
    history = state.history
    since = microseconds(now) - microseconds(seconds)
    inside = within(history, seconds=seconds, now=now)
    counted = Counter(COUNTED_TYPES[code] for code in inside["type"].tolist())
    # The history is ordered by time: what it has let go of is older than its first.
    whole = (
        not len(history) or int(history["time"][0]) <= since or state.first_seen >= int(history["time"][0])
    )
    return Window(
        seconds=seconds,
        events=len(inside),
        items=len(np.unique(inside["item"][inside["item"] != 0])),
        types=dict(counted.most_common()),
        spent=spent_in(inside),
        complete=whole,
    )


def _tastes(keys: np.ndarray, strengths: np.ndarray, names: CatalogNames) -> list[Taste]:
    strengths = np.maximum(0.0, strengths)
    total = float(strengths.sum())
    if total <= 1e-12:
        return []
    best = np.argsort(-strengths, kind="stable")[:MOST_TASTES]
    return [
        Taste(names.of_buckets.get(int(keys[place])), round(float(strengths[place]) / total, 4))
        for place in best.tolist()
        if strengths[place] > 1e-12
    ]


def _price(features: Mapping[str, float]) -> tuple[float, float] | None:
    if not features["has_price"]:
        return None
    mean, spread = features["price_mean"], features["price_spread"]
    low, high = (math.expm1(mean + way * spread) for way in (-1.0, 1.0))
    return round(max(0.0, low), 2), round(high, 2)


def _last_events(state: UserState, names: CatalogNames) -> list[Past]:
    newest = state.history[::-1][:MOST_EVENTS]
    return [
        Past(
            at=event["time"] / MICROSECONDS,
            type=COUNTED_TYPES[event["type"]],
            item_id=item_id,
            value=None if math.isnan(event["value"]) else float(event["value"]),
        )
        for event, item_id in zip(newest, names.items(newest["item"]), strict=True)
    ]
