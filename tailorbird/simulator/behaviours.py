"""The behaviours that a shop can plant: how each goes about a visit, and who tends to it."""

from dataclasses import dataclass

import numpy as np

DRIFTS = 0.15
"""Share of the people who change their behaviour, once, at a random instant of their time in the shop."""
LIKE_MINDED = 25.0
"""How alike people of one behaviour are: each has chances of their own, from a Beta of these many pseudo-trials."""
ACTIVITY_SHAPE = 2.5
"""Shape of the Gamma that a person's expected sessions come from; its mean is the behaviour's."""
OWN_HOUR = 1.5
"""Spread (hours) of people's own favourite hours around their behaviour's."""
SESSION_HOUR = 2.2
"""Spread (hours) of the sessions around a person's own favourite hour."""
OWN_EAGERNESS = 0.25
"""Spread (log) of people's own factor on the chance to put something into the cart."""


@dataclass(frozen=True)
class Behaviour:
    """What a session of people of this behaviour is like on average; all but the counted ones are chances, 0 to 1.

    ``ends`` is the chance that a session ends after a step (one step is the two that every session has); ``look`` to look
    at each of two further items in a step; ``click`` to click the best; ``purchase`` to buy what is in the cart;
    ``revisit`` the part of the weariness of known items that is lost. ``eagerness`` multiplies the chance of a cart, ``price``
    is what a price level one higher adds to what is wanted, ``sessions`` are expected in 60 days, around ``hour`` (UTC).
    ``by_age`` (under 26, 38, 55, older) and ``by_gender`` (female, male, other) are weights by which people fall to it.
    """

    name: str
    search: float
    ends: float
    look: float
    click: float
    eagerness: float
    purchase: float
    price: float
    revisit: float
    sessions: float
    hour: float
    weekend: float
    mobile: float
    referrers: tuple[float, float, float, float]  # direct, search, email, social
    by_age: tuple[float, float, float, float]
    by_gender: tuple[float, float, float]


BEHAVIOURS = (
    Behaviour(
        "browses and abandons carts",
        search=0.3,
        ends=0.24,
        look=0.45,
        click=0.85,
        eagerness=2.2,
        purchase=0.15,
        price=0.0,
        revisit=0.5,
        sessions=6.0,
        hour=20.0,
        weekend=0.3,
        mobile=0.6,
        referrers=(0.4, 0.25, 0.1, 0.25),
        by_age=(1.6, 1.4, 0.8, 0.4),
        by_gender=(1.4, 0.8, 1.0),
    ),
    Behaviour(
        "converts quickly",
        search=0.6,
        ends=0.5,
        look=0.2,
        click=0.9,
        eagerness=2.2,
        purchase=0.75,
        price=0.0,
        revisit=0.0,
        sessions=8.0,
        hour=12.5,
        weekend=0.15,
        mobile=0.35,
        referrers=(0.45, 0.38, 0.1, 0.07),
        by_age=(0.6, 1.2, 1.4, 0.8),
        by_gender=(0.8, 1.4, 1.0),
    ),
    Behaviour(
        "hunts bargains",
        search=0.6,
        ends=0.17,
        look=0.65,
        click=0.6,
        eagerness=0.9,
        purchase=0.5,
        price=-0.9,
        revisit=0.3,
        sessions=6.0,
        hour=18.5,
        weekend=0.35,
        mobile=0.6,
        referrers=(0.25, 0.5, 0.1, 0.15),
        by_age=(1.5, 1.0, 0.8, 1.0),
        by_gender=(1.0, 1.0, 1.0),
    ),
    Behaviour(
        "buys luxury",
        search=0.15,
        ends=0.18,
        look=0.35,
        click=0.85,
        eagerness=1.2,
        purchase=0.65,
        price=0.9,
        revisit=0.0,
        sessions=6.0,
        hour=17.0,
        weekend=0.4,
        mobile=0.25,
        referrers=(0.65, 0.15, 0.12, 0.08),
        by_age=(0.3, 0.8, 1.4, 1.5),
        by_gender=(1.1, 1.0, 0.6),
    ),
    Behaviour(
        "returns nightly",
        search=0.2,
        ends=0.42,
        look=0.4,
        click=0.7,
        eagerness=0.9,
        purchase=0.5,
        price=0.0,
        revisit=0.4,
        sessions=12.0,
        hour=0.5,
        weekend=0.3,
        mobile=0.85,
        referrers=(0.55, 0.15, 0.08, 0.22),
        by_age=(1.8, 1.2, 0.7, 0.4),
        by_gender=(0.9, 1.1, 1.4),
    ),
    Behaviour(
        "looks and leaves",
        search=0.1,
        ends=0.15,
        look=0.7,
        click=0.45,
        eagerness=0.35,
        purchase=0.3,
        price=0.2,
        revisit=0.0,
        sessions=6.0,
        hour=14.5,
        weekend=0.3,
        mobile=0.5,
        referrers=(0.35, 0.2, 0.05, 0.4),
        by_age=(1.5, 0.9, 0.9, 1.0),
        by_gender=(1.2, 0.8, 1.0),
    ),
    Behaviour(
        "comes by newsletter at weekends",
        search=0.12,
        ends=0.28,
        look=0.45,
        click=0.75,
        eagerness=1.1,
        purchase=0.6,
        price=0.0,
        revisit=0.0,
        sessions=6.0,
        hour=10.0,
        weekend=0.7,
        mobile=0.2,
        referrers=(0.2, 0.15, 0.55, 0.1),
        by_age=(0.3, 0.8, 1.3, 1.6),
        by_gender=(1.2, 0.9, 0.8),
    ),
)
"""What people do over and over. The demo and the tests plant all of them."""
NAMES = tuple(behaviour.name for behaviour in BEHAVIOURS)


def chances(ages: np.ndarray, genders: np.ndarray) -> np.ndarray:
    """(n, n_behaviours) how likely each behaviour is for people of these ages and genders (words of the catalogue)."""
    band = np.digitize(ages, [26, 38, 55])
    gender = np.select([genders == "female", genders == "male"], [0, 1], default=2)
    by_age = np.array([behaviour.by_age for behaviour in BEHAVIOURS]).T  # (4, n_behaviours)
    by_gender = np.array([behaviour.by_gender for behaviour in BEHAVIOURS]).T  # (3, n_behaviours)
    weights = by_age[band] * by_gender[gender]
    shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return shares
