"""The shop's people: what they tell of themselves, and the hidden tastes that drift."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Users
from tailorbird.simulator.goods import DAY, DIMENSIONS, Goods
from tailorbird.simulator.vocabulary import COUNTRIES, DEPARTMENTS, SHELVES, STYLES

ARCHETYPES = 16
TASTE = 3.4
"""How strongly taste speaks against chance (the spread of the choice noise is 1)."""


@dataclass(frozen=True)
class People:
    """Users by row. Taste turns from ``taste_from`` towards ``taste_to`` (n, DIMENSIONS) by ``turn`` radians over the span.

    ``shelf_bias`` (n, n_shelves) is what age and gender add; ``price_wish`` the price level they like; ``activity`` the
    expected sessions; ``peak_hour`` the hour they mostly come; ``mobile`` how often by phone.
    """

    users: Users
    taste_from: np.ndarray
    taste_to: np.ndarray
    turn: np.ndarray
    shelf_bias: np.ndarray
    price_wish: np.ndarray
    activity: np.ndarray
    joined_at: np.ndarray
    peak_hour: np.ndarray
    mobile: np.ndarray

    def __len__(self) -> int:
        return len(self.turn)

    def taste_at(self, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
        """(b, DIMENSIONS) taste of users ``rows`` after ``part`` (0 to 1) of the span; it rests outside the span."""
        angle = (self.turn[rows] * np.clip(part, 0.0, 1.0))[:, None]
        taste: np.ndarray = np.cos(angle) * self.taste_from[rows] + np.sin(angle) * self.taste_to[rows]
        return taste.astype(np.float32)


def make_people(count: int, *, goods: Goods, start: float, end: float, rng: np.random.Generator) -> People:
    """Make ``count`` users whose tastes share a few archetypes and differ within them."""
    gender = rng.choice(3, size=count, p=[0.48, 0.48, 0.04])
    age = np.clip(rng.gamma(9.0, 4.3, count), 16, 85).round()
    band = np.digitize(age, [26, 38, 55])
    archetypes = np.stack([_taste(goods, rng) for _ in range(ARCHETYPES)])
    kind = rng.integers(ARCHETYPES, size=count)
    own = np.stack([_taste(goods, rng) for _ in range(count)]) if count else np.zeros((0, DIMENSIONS))
    later = np.stack([_taste(goods, rng) for _ in range(count)]) if count else np.zeros((0, DIMENSIONS))
    demographic = 0.55 * rng.standard_normal((3, 4, len(DEPARTMENTS)))
    department_of = np.array([list(DEPARTMENTS).index(department) for department, _ in SHELVES])
    joined = np.where(rng.random(count) < 0.25, rng.uniform(start, end, count), start)
    mobile = rng.beta(2.0, 1.6, count)
    users = pd.DataFrame(
        {
            "user_id": [f"user-{number:05d}" for number in range(count)],
            "age": age,
            "gender": np.array(["female", "male", "other"])[gender],
            "country": rng.choice(COUNTRIES, size=count, p=[0.3, 0.2, 0.18, 0.14, 0.1, 0.08]),
            "attributes": [json.dumps({"joined": float(np.floor(instant))}) for instant in joined],
        }
    )
    return People(
        users=Users.from_frame(users),
        taste_from=_scaled(0.75 * archetypes[kind] + 0.65 * own),
        taste_to=_scaled(0.5 * archetypes[rng.integers(ARCHETYPES, size=count)] + 0.8 * later),
        turn=rng.uniform(0.0, 1.1, count),
        shelf_bias=demographic[gender, band][:, department_of].astype(np.float32),
        price_wish=(0.9 * rng.standard_normal(count)).astype(np.float32),
        activity=rng.gamma(1.1, 6.0, count),
        joined_at=joined,
        peak_hour=rng.choice([8.0, 13.0, 20.0], size=count, p=[0.2, 0.25, 0.55]) + rng.normal(0, 1.5, count),
        mobile=mobile,
    )


def _taste(goods: Goods, rng: np.random.Generator) -> np.ndarray:
    """A few favourite shelves, one or two styles, a few brands."""
    shelves = rng.choice(len(SHELVES), size=4, replace=False)
    styles = rng.choice(len(STYLES), size=2, replace=False)
    brands = rng.choice(len(goods.brand_vectors), size=3, replace=False)
    taste: np.ndarray = (
        np.array([1.0, 0.8, 0.6, 0.5]) @ goods.shelf_vectors[shelves]
        + np.array([1.0, 0.6]) @ goods.style_vectors[styles]
        + np.array([0.6, 0.4, 0.3]) @ goods.brand_vectors[brands]
    )
    return taste


def _scaled(tastes: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(tastes, axis=1, keepdims=True)
    return (TASTE * tastes / np.maximum(lengths, 1e-9)).astype(np.float32)


def session_starts(people: People, *, start: float, end: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Each user's session starts (epoch seconds), sorted, at least two hours apart, by their hours and their days."""
    starts = []
    for row in range(len(people)):
        span = end - people.joined_at[row]
        count = rng.poisson(people.activity[row] * span / (end - start))
        days = np.floor(rng.uniform(people.joined_at[row], end, count) / DAY)
        hours = np.mod(people.peak_hour[row] + rng.normal(0.0, 2.2, count), 24.0)
        instants = np.unique(np.floor(days * DAY + hours * 3600.0))
        instants = instants[(instants >= people.joined_at[row]) & (instants < end - 7200.0)]
        starts.append(apart(instants))
    return starts


def apart(instants: np.ndarray) -> np.ndarray:
    """Those of sorted ``instants`` that come at least two hours after the one before."""
    return instants[np.diff(instants, prepend=-np.inf) >= 7200.0]
