"""How much sessions speak for each behaviour, with what is a person's own integrated out."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import betaln, gammaln, logsumexp
from scipy.stats import beta, binom

from tailorbird.simulator.behaviours import (
    ACTIVITY_SHAPE,
    BEHAVIOURS,
    LIKE_MINDED,
    OWN_EAGERNESS,
    OWN_HOUR,
    SESSION_HOUR,
)
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.sessions import Sessions, observe
from tailorbird.simulator.shop import SPAN_DAYS, Shop
from tailorbird.simulator.visits import LONGEST

GRID = 5
"""Points of a person's own chance over which it is averaged, for the three that shape a session together."""
OWN_TASTE = 0.2
"""Spread (log) of the chance of a cart that comes from whether a shop has what a person wants."""
OWN_PRICE, PRICE_SPREAD = 0.35, 0.85
"""Spread of people's mean clicked price levels within a behaviour, and of the levels around a person's mean."""
RATES = ("search", "mobile", "weekend", "purchase", "cart", "revisit")


@dataclass(frozen=True)
class Totals:
    """Sums over sessions, (rows, columns): one matrix, so that sums and differences are sums and differences of it."""

    values: np.ndarray

    def of(self, rows: np.ndarray) -> "Totals":
        """Pick rows."""
        return Totals(self.values[rows])

    def sums(self, user: np.ndarray, count: int) -> "Totals":
        """One row a user, of ``count`` users; ``user`` is sorted."""
        padded = np.vstack([np.zeros((1, self.values.shape[1])), self.values.cumsum(axis=0)])
        stops = np.searchsorted(user, np.arange(count), side="right")
        starts = np.searchsorted(user, np.arange(count), side="left")
        return Totals(padded[stops] - padded[starts])

    def running(self, first: np.ndarray) -> "Totals":
        """Sums of each row's session and those before it from row ``first`` (rows,) on."""
        padded = np.vstack([np.zeros((1, self.values.shape[1])), self.values.cumsum(axis=0)])
        return Totals(padded[1:] - padded[first])

    def __sub__(self, other: "Totals") -> "Totals":
        return Totals(self.values - other.values)


@dataclass(frozen=True)
class Evidence:
    """What the oracle knows of each behaviour (n_behaviours,): the declared chances and what follows from them here.

    How often a click ends in the cart, an item is met again, and what prices are clicked depends on the goods too: these are
    measured once on the whole shop with its truth.
    """

    cart: np.ndarray
    revisit: np.ndarray
    price: np.ndarray

    @classmethod
    def of(cls, shop: Shop) -> "Evidence":
        """Measure what is not declared on ``shop``, drawn to the mean of all where few tell."""
        sessions = observe(shop, since=shop.truth.start, until=shop.end)
        label = shop.truth.conducts.behaviour_at(sessions.user, sessions.began)

        def rate(hits: np.ndarray, tries: np.ndarray) -> np.ndarray:
            some, all_ = (
                np.bincount(label, weights=column, minlength=len(BEHAVIOURS)) for column in (hits, tries)
            )
            overall = hits.sum() / max(tries.sum(), 1.0)
            measured: np.ndarray = (some + LIKE_MINDED * overall) / (all_ + LIKE_MINDED)
            return measured

        touches = sessions.looks + sessions.clicks
        return cls(
            cart=np.clip(rate(sessions.carts, sessions.clicks), 0.01, 0.99),
            revisit=np.clip(rate(sessions.revisits, touches), 0.01, 0.99),
            price=rate(sessions.price, sessions.clicks),
        )

    def totals(self, sessions: Sessions) -> Totals:
        """What each session adds; ``weigh`` reads sums of it."""
        referrers = np.arange(4) == sessions.referrer[:, None]
        hours = np.array([behaviour.hour for behaviour in BEHAVIOURS])
        apart = (sessions.hour[:, None] - hours + 12.0) % 24.0 - 12.0  # (s, n_behaviours)
        shapes = _shapes()[:, sessions.looks.astype(int), sessions.clicks.astype(int)].T
        columns = [
            np.ones(len(sessions)),
            *(sessions.search, sessions.mobile, sessions.weekend),
            *(sessions.clicks, sessions.carts, sessions.purchases),
            *(sessions.looks, sessions.revisits, sessions.price, sessions.price_squared),
        ]
        return Totals(np.column_stack([*columns, referrers, apart, apart**2, shapes]).astype(np.float64))

    def weigh(self, totals: Totals, *, duration: np.ndarray) -> np.ndarray:
        """(rows, n_behaviours) log likelihood of sessions that came within ``duration`` (rows,) seconds."""
        kinds = len(BEHAVIOURS)
        count, search, mobile, weekend, clicks, carts, purchases, looks, revisits, price, squared = (
            totals.values[:, column, None] for column in range(11)
        )
        referrers, apart, apart_squared, shapes = np.split(
            totals.values[:, 11:], np.cumsum([4, kinds, kinds]), axis=1
        )
        weighed = _binary(search, count, declared("search"))
        weighed += _binary(mobile, count, declared("mobile"))
        weighed += _binary(weekend, count, declared("weekend"))
        weighed += _binary(purchases, carts, declared("purchase"))
        spread = OWN_EAGERNESS**2 + OWN_TASTE**2
        weighed += _binary(carts, clicks, self.cart, like=np.maximum((1 / self.cart - 1) / spread - 1, 2.0))
        weighed += _binary(revisits, looks + clicks, self.revisit)
        weighed += _normal(count, apart, apart_squared, own=OWN_HOUR, spread=SESSION_HOUR)
        weighed += _normal(
            clicks,
            price - clicks * self.price,
            squared - 2 * self.price * price + clicks * self.price**2,
            own=OWN_PRICE,
            spread=PRICE_SPREAD,
        )
        alphas = LIKE_MINDED * declared("referrers")  # (n_behaviours, 4)
        weighed += (gammaln(referrers[:, None, :] + alphas) - gammaln(alphas)).sum(axis=2)
        weighed += gammaln(LIKE_MINDED) - gammaln(LIKE_MINDED + count)
        # Sessions come at a rate that is Gamma-distributed over people.
        rate = declared("sessions") / (SPAN_DAYS * DAY)
        weighed += gammaln(count + ACTIVITY_SHAPE) - gammaln(ACTIVITY_SHAPE) + count * np.log(rate)
        weighed += ACTIVITY_SHAPE * np.log(ACTIVITY_SHAPE)
        weighed -= (count + ACTIVITY_SHAPE) * np.log(ACTIVITY_SHAPE + rate * duration[:, None])
        weighed += logsumexp(shapes.reshape(len(shapes), kinds, GRID**3), axis=2) - 3 * np.log(GRID)
        result: np.ndarray = weighed
        return result


def declared(name: str) -> np.ndarray:
    """(n_behaviours, …) what each behaviour declares under ``name``."""
    return np.array([getattr(behaviour, name) for behaviour in BEHAVIOURS])


def _binary(
    hits: np.ndarray, tries: np.ndarray, mean: np.ndarray, *, like: np.ndarray | float = LIKE_MINDED
) -> np.ndarray:
    """Log of the beta-binomial, without the binomial coefficient, which is the same for all behaviours."""
    yes, no = like * mean, like * (1.0 - mean)
    return np.asarray(betaln(hits + yes, tries - hits + no) - betaln(yes, no))


def _normal(
    count: np.ndarray, apart: np.ndarray, squared: np.ndarray, *, own: float, spread: float
) -> np.ndarray:
    """Log density of values whose mean is a person's own: sums of the distances and their squares to the behaviour's mean."""
    shared = own**2 / (spread**2 + count * own**2)
    return np.asarray(
        -0.5 * (squared - shared * apart**2) / spread**2
        - 0.5 * np.log1p(count * own**2 / spread**2)
        - count * np.log(spread)
    )


@cache
def _shapes() -> np.ndarray:
    """(n_behaviours * GRID**3, 2 LONGEST + 1, LONGEST + 1) log chance of a session's looks and clicks.

    A step may leave no event, so the number of steps is summed out; the person's own chances of ending, looking and clicking
    stand on a grid of equally likely points.
    """
    steps = np.arange(2, LONGEST + 1)
    quantiles = (np.arange(GRID) + 0.5) / GRID
    tables = []
    for behaviour in BEHAVIOURS:
        ends, look, click = (
            beta.ppf(quantiles, LIKE_MINDED * mean, LIKE_MINDED * (1.0 - mean))
            for mean in (behaviour.ends, behaviour.look, behaviour.click)
        )
        length = ends[:, None] * (1 - ends[:, None]) ** (steps - 2)  # (GRID, steps)
        length[:, -1] = (1 - ends) ** (LONGEST - 2)
        looks = binom.pmf(np.arange(2 * LONGEST + 1)[:, None], 2 * steps, look[:, None, None])
        clicks = binom.pmf(np.arange(LONGEST + 1)[:, None], steps, click[:, None, None])
        chance = np.einsum("en,lvn,ckn->elcvk", length, looks, clicks)
        tables.append(np.log(np.maximum(chance, 1e-12)).reshape(-1, *chance.shape[3:]))
    return np.concatenate(tables)
