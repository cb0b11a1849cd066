"""The one feature table: every feature's name, type, entity, window and fill value, and what is stored for it.

Stored features are columns of a Feast view (feature_repo generates the definitions from here); derived ones are pure
functions of the stored ones and an instant: :mod:`~tailorbird.features.vectors` of user, item and both, those of the request's ``context``,
and :mod:`tailorbird.segments.pinned` (segments).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

HISTORY_LENGTH = 128
"""Events that a profile keeps when nobody chooses otherwise."""

LIVE_WINDOW_S = 15 * 60.0
"""The rolling window of the live features, in seconds."""

COUNTED_TYPES: tuple[str, ...] = (
    "impression",
    "view",
    "click",
    "search",
    "add_to_cart",
    "purchase",
    "rating",
    "like",
    "hide",
    "other",
)
"""Event types with a counter of their own; every other type counts as ``other``."""

PASSIVE_TYPES = frozenset({"impression", "hover", "scroll"})
"""Counted, but not kept in the history: a page of them would push out what the person chose to do."""

_DAY = 86_400.0
USER_HALF_LIVES: Mapping[str, float] = {
    "hour": 3_600.0,
    "day": _DAY,
    "week": 7 * _DAY,
    "month": 30 * _DAY,
    "ever": math.inf,
}
"""Half-life in seconds of each horizon of a user's counters; ``ever`` does not decay."""

ITEM_HALF_LIVES: Mapping[str, float] = {"day": _DAY, "week": 7 * _DAY, "month": 30 * _DAY, "ever": math.inf}
"""Half-life in seconds of each horizon of an item's counters."""

AFFINITY_HALF_LIFE_S = USER_HALF_LIVES["month"]
"""Half-life of category, brand and price affinities."""

EntityName = Literal["user", "item", "context", "cross"]
Dtype = Literal["float32", "float64", "int64", "string", "bytes", "float64s", "int64s"]


@dataclass(frozen=True)
class Feature:
    """One feature: ``window`` in words, ``fill`` is what a missing value becomes."""

    name: str
    entity: EntityName
    description: str
    dtype: Dtype = "float32"
    stored: bool = False
    window: str = ""
    fill: float = 0.0


def _stored(name: str, entity: EntityName, dtype: Dtype, description: str) -> Feature:
    return Feature(name=name, entity=entity, dtype=dtype, description=description, stored=True)


def _derived(entity: EntityName, rows: Mapping[str, tuple[str, str]]) -> tuple[Feature, ...]:
    return tuple(
        Feature(name=name, entity=entity, window=window, description=description)
        for name, (window, description) in rows.items()
    )


STORED_USER = (
    _stored("history", "user", "bytes", "last events, packed (features.state.RECORD), oldest first"),
    _stored(
        "sums", "user", "float64s", "decayed sums at last_seen: counts by type and horizon, price, value"
    ),
    _stored(
        "affinity_keys", "user", "int64s", "buckets of categories and brands (features.facts), ascending"
    ),
    _stored("affinity", "user", "float64s", "decayed strength of each bucket at last_seen"),
    _stored("had", "user", "bytes", "items met, with the newest day of each, packed (features.keysets)"),
    _stored("hidden", "user", "bytes", "items hidden, likewise"),
    _stored("links", "user", "bytes", "the newest word on each anonymous id joined or parted, as JSON"),
    _stored("first_seen", "user", "int64", "earliest event, epoch microseconds"),
    _stored("last_seen", "user", "int64", "latest event, epoch microseconds"),
    _stored("total", "user", "int64", "events folded in: the profile's revision"),
    _stored("applied", "user", "string", "stream position up to which every event is folded in, as JSON"),
)
STORED_ITEM = (
    _stored("category", "item", "string", "most specific category"),
    _stored("brand", "item", "string", "brand"),
    _stored("price", "item", "float64", "price; NaN where unknown"),
    _stored("price_band", "item", "int64", "fifth of the catalogue's prices, 0 cheapest, -1 unknown"),
    _stored("launched_at", "item", "float64", "epoch seconds; NaN where unknown"),
    _stored("content_row", "item", "int64", "row of the item's text vector in the content index"),
    _stored(
        "item_sums",
        "item",
        "float64s",
        "decayed sums at item_seen: counts by type and horizon, strength, value",
    ),
    _stored("item_seen", "item", "int64", "latest event, epoch microseconds"),
    _stored("item_total", "item", "int64", "events folded in"),
)

_LIVE = "rolling 15 minutes"
DERIVED_USER = _derived(
    "user",
    {
        **{f"live_{t}": (_LIVE, f"log1p count of {t} events") for t in COUNTED_TYPES if t != "impression"},
        "live_events": (_LIVE, "log1p count of events"),
        "live_items": (_LIVE, "log1p count of distinct items"),
        "live_categories": (_LIVE, "log1p count of distinct categories"),
        "live_top_category": (_LIVE, "share of the most frequent category"),
        "live_category_entropy": (_LIVE, "entropy of the category mix, nats"),
        "live_repeat_share": (_LIVE, "share of item events on an item already touched in the window"),
        "live_price": (_LIVE, "mean log price of the items touched"),
        "session_events": ("session", "log1p count of events in the latest session"),
        "session_seconds": ("session", "log1p length of the latest session"),
        "since_last": ("", "log1p seconds since the latest event"),
        "since_first": ("", "log1p seconds since the first event"),
        "history_fill": ("", "share of the history that is in use"),
        **{
            f"{t}_{horizon}": (f"half-life {horizon}", f"log1p decayed count of {t} events")
            for t in COUNTED_TYPES
            for horizon in USER_HALF_LIVES
        },
        "price_mean": ("half-life month", "mean log price of what the user chose"),
        "price_spread": ("half-life month", "standard deviation of that log price"),
        "has_price": ("", "1 where a price is known"),
        "value_mean": ("ever", "mean rating"),
        "value_spread": ("ever", "standard deviation of the ratings"),
        "has_value": ("", "1 where a rating is known"),
        "category_count": ("half-life month", "log1p count of categories and brands with an affinity"),
        "category_top": ("half-life month", "share of the strongest category"),
        "category_entropy": ("half-life month", "entropy of the category affinities, nats"),
        "brand_top": ("half-life month", "share of the strongest brand"),
        "age": ("", "age in units of 50 years"),
        "has_age": ("", "1 where age is known"),
        "gender_f": ("", "1 if female"),
        "gender_m": ("", "1 if male"),
    },
)
SEGMENT_PLACES = 16
"""Segments of a model that have features of their own; of more, the first so many."""
DERIVED_SEGMENT = _derived(
    "user",
    {
        "segment_known": ("", "1 where enough was seen to say a segment"),
        "segment_moved": ("", "1 where the latest visit overrules what is usual"),
        "segment_margin": ("", "arsinh of the segment's lead over the second, nats"),
        **{f"segment_in_{n}": ("", f"1 in segment {n} of the model") for n in range(1, SEGMENT_PLACES + 1)},
        **{
            f"segment_share_{n}": ("", f"membership in segment {n} of the model")
            for n in range(1, SEGMENT_PLACES + 1)
        },
    },
)
DERIVED_ITEM = _derived(
    "item",
    {
        "log_price": ("", "log1p price"),
        "has_price": ("", "1 where the price is known"),
        "price_rank": ("", "percentile of the price in the catalogue"),
        "price_rank_in_category": ("", "percentile of the price in the item's category"),
        "in_stock": ("", "0 where stock is known to be 0"),
        "age": ("", "log1p days since launch, or since the first event"),
        "is_new": ("", "1 in the first 14 days after launch"),
        "category_size": ("", "log1p items in the category"),
        "brand_size": ("", "log1p items of the brand"),
        **{
            f"popularity_{h}": (f"half-life {h}", "log1p decayed strength of events") for h in ITEM_HALF_LIVES
        },
        **{
            f"popularity_{h}_rank": (f"half-life {h}", "percentile of that strength in the catalogue")
            for h in ("week", "ever")
        },
        "trend_day": ("day against week", "log ratio of the daily rates, smoothed"),
        "trend_week": ("week against month", "log ratio of the daily rates, smoothed"),
        "click_rate": ("half-life month", "clicks per impression, smoothed to the catalogue's"),
        "cart_rate": ("half-life month", "carts per view or click, smoothed"),
        "purchase_rate": ("half-life month", "purchases per view or click, smoothed"),
        "hide_rate": ("ever", "hides per event, smoothed"),
        "value_mean": ("ever", "mean rating less the catalogue's, smoothed"),
        "since_last": ("", "log1p seconds since the latest event"),
    },
)
DERIVED_CROSS = _derived(
    "cross",
    {
        "category_affinity": (
            "half-life month",
            "share of the user's affinity held by the item's categories",
        ),
        "category_affinity_best": ("half-life month", "the strongest of those shares"),
        "category_unknown": ("half-life month", "1 where the user never touched the item's categories"),
        "brand_affinity": ("half-life month", "share of the user's affinity held by the brand"),
        "live_category_share": (_LIVE, "share of events in the item's categories"),
        "live_brand_share": (_LIVE, "share of events of the brand"),
        "recent_category_share": ("last 10 events", "share of events in the item's categories"),
        "last_category": ("last event", "1 if the latest item has this category"),
        "last_brand": ("last event", "1 if the latest item has this brand"),
        "price_distance": ("half-life month", "distance to the user's mean log price, in spreads"),
        "price_above": ("half-life month", "log price less the user's mean"),
        "price_step": ("last event", "log price less the latest item's"),
        "times_seen": ("history", "log1p events on this item"),
        "seen_recency": ("history", "exp(-hours since the latest of them), 0 if never"),
        "seen_live": (_LIVE, "1 if touched in the window"),
        "carted": ("history", "1 if in the cart and not bought since"),
        "purchased": ("history", "1 if bought"),
        "hidden": ("history", "1 if hidden"),
    },
)
DEVICES = ("desktop", "mobile", "tablet")
REFERRERS = ("search", "social", "email", "direct")
DERIVED_CONTEXT = _derived(
    "context",
    {
        "hour_sin": ("", "hour of the day, UTC, on the circle"),
        "hour_cos": ("", "hour of the day, UTC, on the circle"),
        "weekday_sin": ("", "day of the week on the circle"),
        "weekday_cos": ("", "day of the week on the circle"),
        "weekend": ("", "1 on Saturday and Sunday"),
        **{f"device_{device}": ("", f"1 on a {device}") for device in DEVICES},
        **{f"referrer_{referrer}": ("", f"1 if sent by {referrer}") for referrer in REFERRERS},
    },
)

FEATURES: tuple[Feature, ...] = (
    STORED_USER
    + STORED_ITEM
    + DERIVED_USER
    + DERIVED_SEGMENT
    + DERIVED_ITEM
    + DERIVED_CROSS
    + DERIVED_CONTEXT
)
"""Every feature of the platform."""

USER_FEATURES: tuple[str, ...] = tuple(feature.name for feature in DERIVED_USER)
SEGMENT_FEATURES: tuple[str, ...] = tuple(feature.name for feature in DERIVED_SEGMENT)
"""Of where somebody belongs by the segment model that a bundle pins; they follow the user's where its ranker reads them."""
ITEM_FEATURES: tuple[str, ...] = tuple(feature.name for feature in DERIVED_ITEM)
CROSS_FEATURES: tuple[str, ...] = tuple(feature.name for feature in DERIVED_CROSS)
CONTEXT_FEATURES: tuple[str, ...] = tuple(feature.name for feature in DERIVED_CONTEXT)
