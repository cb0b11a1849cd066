"""The sessions of a shop as an observer sees them: what events tell, and no truth."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from tailorbird.simulator.conduct import WEEKEND
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.shop import Shop
from tailorbird.simulator.visits import CART, CLICK, LOOK, PURCHASE, SEARCH, Visits


@dataclass(frozen=True)
class Sessions:
    """One row a session, sorted by (user, time): user's row, first event (epoch seconds), and counts of what was done.

    ``revisits`` are looks and clicks on items met before; ``price`` and ``price_squared`` sums of clicked price levels.
    """

    user: np.ndarray
    began: np.ndarray
    search: np.ndarray
    looks: np.ndarray
    clicks: np.ndarray
    carts: np.ndarray
    purchases: np.ndarray
    revisits: np.ndarray
    price: np.ndarray
    price_squared: np.ndarray
    mobile: np.ndarray
    referrer: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def hour(self) -> np.ndarray:
        """(s,) hour of the day, 0 to 24, UTC."""
        return self.began % DAY / 3600.0

    @property
    def weekend(self) -> np.ndarray:
        """(s,) whether the day is a Saturday or a Sunday."""
        return np.isin(self.began // DAY % 7, WEEKEND)

    def of(self, rows: np.ndarray) -> "Sessions":
        """Pick sessions by rows or by a mask."""
        return Sessions(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def observe(shop: Shop, *, since: float, until: float) -> Sessions:
    """The sessions of which an event happened from ``since`` until before ``until``, as far as it did then."""
    visits = shop.visits
    again = met_before(visits)
    seen = (visits.at >= since * 1e6) & (visits.at < until * 1e6)
    action, item = visits.action[seen], visits.item[seen]
    _, first, session = np.unique(visits.session[seen], return_index=True, return_inverse=True)

    def count(weights: np.ndarray) -> np.ndarray:
        return np.bincount(session, weights=weights, minlength=len(first))

    level = np.where(action == CLICK, shop.truth.goods.price_level[item], 0.0)
    return Sessions(
        user=visits.user[seen][first],
        began=visits.at[seen][first] / 1e6,
        search=count(action == SEARCH),
        looks=count(action == LOOK),
        clicks=count(action == CLICK),
        carts=count(action == CART),
        purchases=count(action == PURCHASE),
        revisits=count(again[seen]),
        price=count(level),
        price_squared=count(level**2),
        mobile=visits.mobile[seen][first],
        referrer=visits.referrer[seen][first],
    )


def met_before(visits: Visits) -> np.ndarray:
    """(n_events,) which looks and clicks are on items that the user had looked at or clicked before."""
    touched = (visits.action == LOOK) | (visits.action == CLICK)
    again = np.zeros(len(visits.at), bool)
    pairs = pd.DataFrame({"user": visits.user[touched], "item": visits.item[touched]})
    again[touched] = pairs.duplicated().to_numpy()
    return again
