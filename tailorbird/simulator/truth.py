"""The shop's truth: how much a person wants each item at an instant. People choose by it; the oracle reads it."""

from dataclasses import dataclass

import numpy as np

from tailorbird.simulator.conduct import Conducts
from tailorbird.simulator.goods import DAY, Goods
from tailorbird.simulator.people import People
from tailorbird.simulator.vocabulary import COMPLEMENTS, DEPARTMENTS, SHELVES

INTENT = 3.0
"""What an item of the shelf one is looking for gains."""
INTENT_DEPARTMENT = 0.8
TIRED_OF = 2.5
"""What an item loses once it was met: people mostly look for something new."""
PRICE = 0.55

SHELF_NAMES = [shelf for _, shelf in SHELVES]
SHELF_DEPARTMENT = np.array([list(DEPARTMENTS).index(department) for department, _ in SHELVES])
COMPLEMENT_ROWS = np.array(
    [[SHELF_NAMES.index(name) for name in COMPLEMENTS[shelf]] for shelf in SHELF_NAMES]
)


@dataclass(frozen=True)
class Truth:
    """Wants of ``people`` for ``goods`` over the span from ``start`` to ``end`` (epoch seconds)."""

    people: People
    conducts: Conducts
    goods: Goods
    start: float
    end: float
    hour_bias: np.ndarray  # (4, n_departments): morning, midday, evening, night

    def wants(self, rows: np.ndarray, instants: np.ndarray, *, mobile: np.ndarray) -> np.ndarray:
        """(b, n_items) what users ``rows`` want at ``instants`` apart from what a session is about; -inf: not on sale."""
        goods, people = self.goods, self.people
        part = (instants - self.start) / (self.end - self.start)
        wants = people.taste_at(rows, part) @ goods.vectors.T  # (b, n)
        wants += (people.shelf_bias[rows] + self.hour_bias[_daytime(instants)][:, SHELF_DEPARTMENT])[
            :, goods.shelf
        ]
        # On the phone people buy cheaper: the wished price level sinks.
        wish = people.price_wish[rows] - 0.5 * mobile
        wants -= PRICE * np.abs(goods.price_level - wish[:, None].astype(np.float32))
        wants += goods.appeal_at(instants)
        drawn_to_price = self.conducts.at(rows, instants).price.astype(np.float32)
        if drawn_to_price.any():
            wants += drawn_to_price[:, None] * goods.price_level
        return wants.astype(np.float32)

    def shelf_wants(self, rows: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """(b, n_shelves) how much users are drawn to each shelf: what a session will be about."""
        part = (instants - self.start) / (self.end - self.start)
        drawn = self.people.taste_at(rows, part) @ self.goods.shelf_vectors.T
        drawn += self.people.shelf_bias[rows] + self.hour_bias[_daytime(instants)][:, SHELF_DEPARTMENT]
        return drawn.astype(np.float32)

    def tired_of(self, rows: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """(b,) what an item loses once it was met: less for those who like to come back to it."""
        return TIRED_OF * (1.0 - self.conducts.at(rows, instants).revisit)

    def intent(self, shelves: np.ndarray) -> np.ndarray:
        """(b, n_items) what the intent of a session adds; ``shelves`` (b,), -1 for none."""
        hit = self.goods.shelf == shelves[:, None]
        near = self.goods.department == SHELF_DEPARTMENT[shelves][:, None]
        added = INTENT * hit + INTENT_DEPARTMENT * near
        return np.where(shelves[:, None] >= 0, added, 0.0).astype(np.float32)


def _daytime(instants: np.ndarray) -> np.ndarray:
    return np.digitize(instants % DAY / 3600.0, [6.0, 11.0, 17.0]).astype(np.int64)
