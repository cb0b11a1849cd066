"""What tells people apart: ratios of decayed sums over a profile's history, each with the words for its low and high end.

Every sum weighs an event by ``2^-(age / half-life)``, its age counted from the person's newest event. All weights shrink
alike as time passes, so a ratio changes with events alone, and never with the order in which they arrive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.table import DEVICES, REFERRERS
from tailorbird.plumbing.compiled import compiled, positions


@dataclass(frozen=True)
class Trait:
    """One ratio: ``low`` and ``high`` are what a person is said to do who has little or much of it."""

    name: str
    description: str
    low: str
    high: str


TRAITS: tuple[Trait, ...] = (
    Trait("searching", "searches a kept event", "rarely searches", "searches a lot"),
    Trait("clicking", "clicks a look (view or click)", "looks without clicking", "clicks readily"),
    Trait("carting", "carts a look", "rarely fills a cart", "fills carts"),
    Trait("buying", "purchases a look", "rarely buys", "buys often"),
    Trait("finishing", "purchases a cart", "abandons carts", "buys what is in the cart"),
    Trait("price", "mean log price of looks", "looks at cheap things", "looks at expensive things"),
    Trait("chosen_price", "mean log price of carts and purchases", "chooses bargains", "chooses luxury"),
    Trait("night", "events from 0 to 6, UTC", "never at night", "at night"),
    Trait("morning", "events from 6 to 12, UTC", "not in the morning", "in the morning"),
    Trait("afternoon", "events from 12 to 18, UTC", "not in the afternoon", "in the afternoon"),
    Trait("evening", "events from 18 to 24, UTC", "not in the evening", "in the evening"),
    Trait("weekend", "events on Saturday and Sunday, UTC", "on working days", "at weekends"),
    Trait("desktop", "events by desktop where the device is known", "not by desktop", "by desktop"),
    Trait("mobile", "events by phone where the device is known", "not by phone", "by phone"),
    Trait("tablet", "events by tablet where the device is known", "not by tablet", "by tablet"),
    Trait(
        "from_search", "events by way of a search engine", "not from search engines", "comes by search engine"
    ),
    Trait("from_social", "events by way of social media", "not from social media", "comes by social media"),
    Trait("from_email", "events by way of an e-mail", "not from e-mails", "comes by e-mail"),
    Trait("brevity", "visits an event", "stays long", "stays briefly"),
    Trait("absence", "mean log hours between visits", "comes back soon", "stays away long"),
    Trait("pace", "mean log seconds between events of a visit", "acts fast", "takes time"),
    Trait(
        "returning", "looks at items looked at before", "looks for new things", "returns to the same things"
    ),
    Trait(
        "wandering", "looks in another category than the last", "keeps to a shelf", "wanders between shelves"
    ),
    Trait("loyalty", "looks at the brand of the last look", "changes brands", "keeps to brands"),
    Trait("liking", "likes and ratings a kept event", "rarely rates", "likes and rates"),
    Trait("hiding", "hides a kept event", "hides nothing", "hides things"),
)
"""Every trait; the rows of evidence stand in this order."""
NAMES: tuple[str, ...] = tuple(trait.name for trait in TRAITS)
MEANS = frozenset({"price", "chosen_price", "absence", "pace"})
"""Traits that are means of logs; all others are shares."""

_COLUMNS = positions(NAMES)
_CODES = positions([f"a_{name}" for name in TYPE_CODE])
_PLACES = len(DEVICES) + 1
_ORIGINS = np.array([REFERRERS.index(name) + 1 for name in ("search", "social", "email")])
_KINDS = np.array([DEVICES.index(name) + 1 for name in ("desktop", "mobile", "tablet")])
_CONSTANTS = _COLUMNS, _CODES, _ORIGINS, _KINDS, _PLACES, len(NAMES)


def evidence(history: np.ndarray, half_lives: Sequence[float] | np.ndarray) -> np.ndarray:
    """(h, traits, 2) weighted numerators and denominators of each trait, for each of (h,) half-lives in seconds.

    ``history`` (n,) RECORD, oldest first.
    """
    return _evidence(history, np.asarray(half_lives, np.float64), _CONSTANTS)


def evidence_of_many(histories: Sequence[np.ndarray], half_lives: Sequence[float]) -> np.ndarray:
    """(n, h, traits, 2) of many people."""
    lives = np.asarray(half_lives, np.float64)
    found = np.zeros((len(histories), len(lives), len(TRAITS), 2))
    for place, history in enumerate(histories):
        found[place] = _evidence(history, lives, _CONSTANTS)
    return found


@compiled
def _evidence(history, half_lives, constants):  # type: ignore[no-untyped-def]  # noqa: C901 - one pass
    """See :func:`evidence`: one pass over the history, whatever the number of half-lives."""
    at, code, origins, kinds, places, count = (
        constants[0][0],
        constants[1][0],
        constants[2],
        constants[3],
        constants[4],
        constants[5],
    )
    found = np.zeros((len(half_lives), count, 2))
    if not len(history):
        return found
    newest = history[len(history) - 1].time
    room = 1
    while room < 2 * len(history):
        room *= 2
    met = np.zeros(room, np.int64)
    seen_look = False
    category, brand = 0, 0
    for i in range(len(history)):
        event = history[i]
        day = (event.time // 86_400_000_000 + 3) % 7
        hour = (event.time // 3_600_000_000) % 24
        begins = i == 0 or event.session == 0 or event.session != history[i - 1].session
        look = event.type == code.a_view or event.type == code.a_click
        carted, bought = event.type == code.a_add_to_cart, event.type == code.a_purchase
        device, origin = event.setting % places, event.setting // places
        again = False
        if look and event.item != 0:
            slot = event.item & (room - 1)
            while met[slot] != 0 and met[slot] != event.item:
                slot = (slot + 1) & (room - 1)
            again = met[slot] == event.item
            met[slot] = event.item
        for h in range(len(half_lives)):
            w = 2.0 ** (-((newest - event.time) / 1e6) / half_lives[h])
            sums = found[h]
            sums[at.searching, 0] += w * (event.type == code.a_search)
            sums[at.searching, 1] += w
            sums[at.liking, 0] += w * (event.type == code.a_like or event.type == code.a_rating)
            sums[at.liking, 1] += w
            sums[at.hiding, 0] += w * (event.type == code.a_hide)
            sums[at.hiding, 1] += w
            quarter = hour // 6
            sums[at.night, 0] += w * (quarter == 0)
            sums[at.morning, 0] += w * (quarter == 1)
            sums[at.afternoon, 0] += w * (quarter == 2)
            sums[at.evening, 0] += w * (quarter == 3)
            sums[at.weekend, 0] += w * (day >= 5)
            for column in (at.night, at.morning, at.afternoon, at.evening, at.weekend, at.brevity):
                sums[column, 1] += w
            sums[at.brevity, 0] += w * begins
            if device:
                sums[at.desktop, 0] += w * (device == kinds[0])
                sums[at.mobile, 0] += w * (device == kinds[1])
                sums[at.tablet, 0] += w * (device == kinds[2])
                for column in (at.desktop, at.mobile, at.tablet):
                    sums[column, 1] += w
            if origin:
                sums[at.from_search, 0] += w * (origin == origins[0])
                sums[at.from_social, 0] += w * (origin == origins[1])
                sums[at.from_email, 0] += w * (origin == origins[2])
                for column in (at.from_search, at.from_social, at.from_email):
                    sums[column, 1] += w
            if i > 0:
                passed = (event.time - history[i - 1].time) / 1e6
                if begins:
                    sums[at.absence, 0] += w * np.log1p(passed / 3600.0)
                    sums[at.absence, 1] += w
                else:
                    sums[at.pace, 0] += w * np.log1p(passed)
                    sums[at.pace, 1] += w
            if look:
                sums[at.clicking, 0] += w * (event.type == code.a_click)
                for column in (at.clicking, at.carting, at.buying, at.returning):
                    sums[column, 1] += w
                sums[at.returning, 0] += w * again
                if event.log_price == event.log_price:
                    sums[at.price, 0] += w * event.log_price
                    sums[at.price, 1] += w
                if seen_look and category and event.category:
                    sums[at.wandering, 0] += w * (event.category != category)
                    sums[at.wandering, 1] += w
                if seen_look and brand and event.brand:
                    sums[at.loyalty, 0] += w * (event.brand == brand)
                    sums[at.loyalty, 1] += w
            sums[at.carting, 0] += w * carted
            sums[at.buying, 0] += w * bought
            sums[at.finishing, 0] += w * bought
            sums[at.finishing, 1] += w * carted
            if (carted or bought) and event.log_price == event.log_price:
                sums[at.chosen_price, 0] += w * event.log_price
                sums[at.chosen_price, 1] += w
        if look:
            seen_look, category, brand = True, event.category, event.brand
    return found
