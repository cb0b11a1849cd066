"""What people do in the shop: sessions of looking, clicking, putting into the cart and buying, by taste and intent."""

from dataclasses import dataclass

import numpy as np

from tailorbird.simulator.conduct import Conduct, pick
from tailorbird.simulator.truth import COMPLEMENT_ROWS, Truth

LOOK, CLICK, CART, PURCHASE, SEARCH = range(5)
ACTION_TYPES = np.array(["view", "click", "add_to_cart", "purchase", "search"], dtype=object)
LONGEST = 12
"""Steps of the longest session."""
AT_ONCE = 2000
"""Users whose sessions run side by side: what they want of every item must fit into memory."""


@dataclass(frozen=True)
class Visits:
    """Everything people did and what they were after, as aligned arrays.

    Actions, sorted by (user, time): ``user``, ``item`` (-1 for a search), ``action``, ``at`` (µs since 1970), ``session``,
    ``shelf``. Steps, sorted by (user, end): the shelf that the user was after from ``step_from`` to ``step_until`` (µs).
    """

    user: np.ndarray
    item: np.ndarray
    action: np.ndarray
    at: np.ndarray
    session: np.ndarray
    shelf: np.ndarray
    mobile: np.ndarray
    referrer: np.ndarray
    step_user: np.ndarray
    step_from: np.ndarray
    step_until: np.ndarray
    step_shelf: np.ndarray
    step_mobile: np.ndarray


class _Recorder:
    """Collects the columns of one kind of row, batch by batch."""

    def __init__(self, *names: str) -> None:
        self._columns: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def add(self, **values: np.ndarray) -> None:
        for name, column in self._columns.items():
            column.append(np.asarray(values[name], np.int64))

    def columns(self) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate(column) if column else np.zeros(0, np.int64)
            for name, column in self._columns.items()
        }


def simulate_visits(truth: Truth, starts: list[np.ndarray], *, rng: np.random.Generator) -> Visits:
    """Let every user visit the shop at their ``starts``: the n-th sessions of all run side by side, for users do not meet."""
    actions = _Recorder("user", "item", "action", "at", "session", "shelf", "mobile", "referrer")
    steps = _Recorder("user", "since", "until", "shelf", "mobile")
    met = np.zeros((len(truth.people), len(truth.goods)), bool)
    wish = np.full(len(truth.people), -1)  # what the last session ended on
    first_session = np.cumsum([0, *(len(instants) for instants in starts)])
    for number in range(max((len(instants) for instants in starts), default=0)):
        everyone = np.array([row for row, instants in enumerate(starts) if len(instants) > number])
        for first in range(0, len(everyone), AT_ONCE):
            rows = everyone[first : first + AT_ONCE]
            instants = np.array([starts[row][number] for row in rows])
            sessions = first_session[rows] + number
            _sessions(
                truth, rows, instants, sessions, met=met, wish=wish, actions=actions, steps=steps, rng=rng
            )
    done, sought = actions.columns(), steps.columns()
    order = np.lexsort((done["at"], done["user"]))
    step_order = np.lexsort((sought["until"], sought["user"]))
    return Visits(
        **{name: column[order] for name, column in done.items()},
        step_user=sought["user"][step_order],
        step_from=sought["since"][step_order],
        step_until=sought["until"][step_order],
        step_shelf=sought["shelf"][step_order],
        step_mobile=sought["mobile"][step_order],
    )


def _sessions(
    truth: Truth,
    rows: np.ndarray,
    instants: np.ndarray,
    sessions: np.ndarray,
    *,
    met: np.ndarray,
    wish: np.ndarray,
    actions: _Recorder,
    steps: _Recorder,
    rng: np.random.Generator,
) -> None:
    """One session of each user in ``rows``, step by step; ``met`` and ``wish`` go on from session to session."""
    conduct, tired_of = truth.conducts.at(rows, instants), truth.tired_of(rows, instants)
    mobile = (rng.random(len(rows)) < conduct.mobile).astype(np.int64)
    referrer = pick(conduct.referrers, rng)
    wants = truth.wants(rows, instants, mobile=mobile)
    shelf = _pick(1.1 * truth.shelf_wants(rows, instants), rng)
    # More often than not people go on with what they were after last time.
    goes_on = (wish[rows] >= 0) & (rng.random(len(rows)) < 0.55)
    shelf = np.where(goes_on, wish[rows], shelf)
    length = np.minimum(1 + rng.geometric(conduct.ends), LONGEST)
    clock = (instants * 1e6).astype(np.int64)
    began = clock.copy()
    here = np.arange(len(rows))

    searches = here[rng.random(len(rows)) < conduct.search]
    same = {"session": sessions, "mobile": mobile, "referrer": referrer}
    actions.add(
        user=rows[searches],
        item=np.full(len(searches), -1),
        action=np.full(len(searches), SEARCH),
        at=clock[searches],
        shelf=shelf[searches],
        **{name: column[searches] for name, column in same.items()},
    )
    clock += _pause(len(rows), rng)
    for step in range(LONGEST):
        here = here[length[here] > step]
        if not len(here):
            break
        since = np.where(step == 0, began[here], clock[here])
        until, bought = _step(
            truth,
            here,
            rows,
            wants,
            shelf,
            clock,
            conduct=conduct,
            tired_of=tired_of,
            met=met,
            actions=actions,
            same=same,
            rng=rng,
        )
        steps.add(user=rows[here], since=since, until=until, shelf=shelf[here], mobile=mobile[here])
        clock[here] += _pause(len(here), rng)
        # After putting something into the cart people turn to what goes with it.
        turns = rng.random(len(here)) < np.where(bought, 0.55, 0.05)
        complement = COMPLEMENT_ROWS[shelf[here], (rng.random(len(here)) < 0.35).astype(int)]
        shelf[here] = np.where(turns, complement, shelf[here])
    wish[rows] = shelf


def _step(
    truth: Truth,
    here: np.ndarray,
    rows: np.ndarray,
    wants: np.ndarray,
    shelf: np.ndarray,
    clock: np.ndarray,
    *,
    conduct: Conduct,
    tired_of: np.ndarray,
    met: np.ndarray,
    actions: _Recorder,
    same: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Each user looks at up to two items and clicks the best; returns when that was and who put it into the cart."""
    users, conduct = rows[here], conduct.of(here)
    value = wants[here] + truth.intent(shelf[here]) - tired_of[here, None] * met[users]
    noisy = value + rng.gumbel(size=value.shape).astype(np.float32)  # argmax of it is a softmax choice
    best = np.argpartition(-noisy, 2, axis=1)[:, :3]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(noisy, best, 1), axis=1), 1)
    looks = pick(conduct.looks, rng)
    clicks = rng.random(len(here)) < conduct.click

    def record(who: np.ndarray, items: np.ndarray, action: int) -> None:
        actions.add(
            user=rows[who],
            item=items,
            action=np.full(len(who), action),
            at=clock[who],
            shelf=shelf[who],
            **{name: column[who] for name, column in same.items()},
        )
        met[rows[who], items] = True

    # What is clicked is not also looked at: a click says more, and each visit of an item is one event.
    for place in (2, 1):
        chosen = np.flatnonzero(looks >= place)
        record(here[chosen], best[chosen, place], LOOK)
        clock[here[chosen]] += _pause(len(chosen), rng)
    chosen = np.flatnonzero(clicks)
    record(here[chosen], best[chosen, 0], CLICK)
    until = clock[here].copy()
    carts = clicks & (rng.random(len(here)) < conduct.eagerness * _eagerness(value, best[:, 0]))
    buys = carts & (rng.random(len(here)) < conduct.purchase)
    for flags, action in ((carts, CART), (buys, PURCHASE)):
        chosen = np.flatnonzero(flags)
        clock[here[chosen]] += _pause(len(chosen), rng)
        record(here[chosen], best[chosen, 0], action)
    return until, carts


def _eagerness(value: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(b,) how likely the chosen item goes into the cart: the nearer to the best there is, the likelier."""
    gap = np.take_along_axis(value, chosen[:, None], axis=1)[:, 0] - value.max(axis=1)
    likely: np.ndarray = 0.4 * np.exp(0.35 * gap)
    return likely


def _pick(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(b,) one column a row, by softmax."""
    return np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)


def _pause(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) µs between two actions: half a minute, more or less."""
    return (np.clip(rng.lognormal(3.2, 0.7, count), 2.0, 240.0) * 1e6).astype(np.int64)
