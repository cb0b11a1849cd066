"""Protocols: which events a model may learn from and which cases it must then answer.

Each protocol gives two splits of the same form: ``validation`` to tune on and ``test`` to report. A
validation split never sees a test event, neither in its training part nor in its histories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tailorbird.errors import UsageError
from tailorbird.evaluation.cases import Cases
from tailorbird.events.interactions import Interactions


@dataclass(frozen=True)
class Split:
    """What may be learned and what is asked afterwards.

    ``fit_mask`` bool over the rows of ``cases.known``: the training part; the other rows appear in
    histories only. ``visible`` bool over the rows of the protocol's interactions: those that exist in this
    split, ``cases.known``.
    """

    fit_mask: np.ndarray
    cases: Cases
    visible: np.ndarray

    @cached_property
    def fit(self) -> Interactions:
        """The interactions to learn from."""
        return self.cases.known.where(self.fit_mask)

    @property
    def until(self) -> float:
        """Last instant of the training part, epoch seconds."""
        return float(self.fit.times.max(initial=0.0))

    @cached_property
    def popularity(self) -> np.ndarray:
        """(n_items,) how many users had each item in the training part."""
        return np.asarray(self.fit.matrix().sum(axis=0)).ravel()


@dataclass(frozen=True)
class Protocol:
    """A named way to measure: tune on ``validation``, report ``test``."""

    name: str
    validation: Split
    test: Split


def leave_one_out(
    interactions: Interactions, *, part: np.ndarray | None = None, exclude_seen: bool = True
) -> Protocol:
    """Fit on all but the last two events of each user, tune on the last but one, test on the last.

    ``part`` (n,) gives the split of each row where it is published: 0 train, 1 validation, 2 test. Without
    it the last two rows of users with at least three are taken. The validation event is in the test
    histories but not in the training part.
    """
    if part is None:
        part = _last_two(interactions)
    early = part < 2
    known = interactions.where(early)
    asked, asked_early = np.flatnonzero(part == 2), np.flatnonzero(part[early] == 1)
    return Protocol(
        name="loo",
        validation=Split((part == 0)[early], ask(known, asked_early, exclude_seen=exclude_seen), early),
        test=Split(part == 0, ask(interactions, asked, exclude_seen=exclude_seen), np.ones(len(part), bool)),
    )


def global_time_split(
    interactions: Interactions,
    *,
    quantile: float = 0.9,
    cut: float | None = None,
    targets: str = "successive",
    cold: np.ndarray | None = None,
    only_cold: bool = True,
    asked: np.ndarray | None = None,
    exclude_seen: bool = True,
    baskets: bool = False,
) -> Protocol:
    """Train on what happened and was received up to one instant, test on what users with a training event did later.

    The instant is ``cut``, by default the ``quantile`` of event times (in whole seconds); validation cuts the training part
    once more in the same way. ``targets``: ``successive`` asks for every later event, the history growing
    as it goes and the model standing still; ``last`` asks for each user's last event only. ``cold``
    (n_items,) bool: nobody's training events of these items exist, and with ``only_cold`` only they are asked for. ``asked``
    (n,) bool: the events that make a case, all by default. ``baskets``: what a user took at one instant is asked
    together, see :meth:`Cases.of_baskets`.

    Raises:
        UsageError: ``targets`` or ``quantile`` has no meaning, or no case is left.
    """
    if targets not in ("successive", "last"):
        raise UsageError(f"unknown targets {targets!r}", remedy="choose successive or last")
    if not 0 < quantile < 1:
        raise UsageError(f"the quantile is {quantile}", remedy="give a number between 0 and 1")
    seconds, heard = np.floor(interactions.times), np.floor(interactions.heard)
    if cut is None:
        cut = np.floor(np.quantile(seconds, quantile)) if len(seconds) else 0.0
    inner = np.floor(np.quantile(seconds[seconds <= cut], quantile)) if len(seconds) else 0.0
    asked = np.ones(len(interactions), bool) if asked is None else asked

    def split(start: float, end: float) -> Split:
        """Train up to ``start``, ask until ``end``; nothing later is known."""
        visible = heard <= end
        fit_mask = heard <= start
        if cold is not None:
            visible &= ~(fit_mask & cold[interactions.items])
        known, fit_mask, may_ask = interactions.where(visible), fit_mask[visible], asked[visible]
        trained = np.bincount(known.users[fit_mask], minlength=known.user_count) > 0
        mask = (seconds[visible] > start) & trained[known.users] & may_ask
        if cold is not None and only_cold:
            mask &= cold[known.items]
        rows = np.flatnonzero(mask)
        if targets == "last" and len(rows):
            rows = rows[np.append(np.diff(known.users[rows]) != 0, True)]
        return Split(fit_mask, ask(known, rows, exclude_seen=exclude_seen, baskets=baskets), visible)

    test = split(cut, np.inf)
    if not len(test.cases):
        raise UsageError(
            f"no user has events both before and after {cut:.0f} (epoch seconds)",
            remedy="bring more events, or cut at another quantile",
        )
    name = "cold" if cold is not None else f"gts-{targets}"
    return Protocol(name, validation=split(inner, cut), test=test)


def retail(interactions: Interactions, *, validate_from: float, test_from: float) -> Protocol:
    """Train before ``validate_from``, validate before ``test_from``, test from then on (epoch seconds); repeats count.

    A case is a distinct item of a basket; its history is all that the customer bought before that basket.
    Both splits learn from the same training part. A customer's first basket is not asked: nothing tells
    newcomers apart.
    """
    fitted = interactions.times < validate_from

    def split(start: float, end: float) -> Split:
        visible = interactions.times < end
        known = interactions.where(visible)
        seconds = np.floor(known.times)
        opening = np.full(known.user_count, np.inf)
        np.minimum.at(opening, known.users, seconds)
        rows = np.flatnonzero((known.times >= start) & (seconds > opening[known.users]))
        return Split(fitted[visible], Cases.of_baskets(known, rows, exclude_seen=False), visible)

    test = split(test_from, np.inf)
    if not len(test.cases):
        raise UsageError(
            f"no customer of before comes back after {test_from:.0f} (epoch seconds)",
            remedy="choose dates inside the data",
        )
    return Protocol("retail", validation=split(validate_from, test_from), test=test)


def sessions(interactions: Interactions, *, part: np.ndarray, asked: np.ndarray | None = None) -> Protocol:
    """Predict the next item of a session from its beginning, in sessions that no model was fitted on; repeats count.

    Users are sessions. ``part`` (n_users,) 0 train, 1 validation, 2 test; ``asked`` (n,) bool: the rows
    that are targets (by default every row but the first of its session). The test model learns from the
    training and the validation sessions.
    """
    follows = np.ones(len(interactions), bool)
    follows[interactions.indptr[:-1][np.diff(interactions.indptr) > 0]] = False
    asked = follows if asked is None else asked & follows
    row_part = part[interactions.users]
    early = row_part <= 1
    known, all_rows = interactions.where(early), np.ones(len(interactions), bool)
    asked_early = np.flatnonzero((asked & (row_part == 1))[early])
    validation = Cases.of_rows(known, asked_early, exclude_seen=False)
    test = Cases.of_rows(interactions, np.flatnonzero(asked & (row_part == 2)), exclude_seen=False)
    return Protocol(
        name="sessions",
        validation=Split((row_part == 0)[early], validation, early),
        test=Split(early, test, all_rows),
    )


def newest_sessions(interactions: Interactions, *, shares: Sequence[float] = (0.8, 0.1, 0.1)) -> np.ndarray:
    """Divide sessions by the time of their last event into train, validation and test: (n_users,) int8."""
    last = np.full(interactions.user_count, -np.inf)
    np.maximum.at(last, interactions.users, interactions.times)
    place = np.empty(len(last))
    place[np.argsort(last, kind="stable")] = np.arange(len(last))
    edges = np.cumsum(shares)[:-1] * len(last)
    return np.searchsorted(edges, place, side="right").astype(np.int8)


def ask(known: Interactions, rows: np.ndarray, *, exclude_seen: bool, baskets: bool = False) -> Cases:
    """Ask for the items of ``rows``; where seen items are excluded, those that the user had before are not asked."""
    of = Cases.of_baskets if baskets else Cases.of_rows
    cases = of(known, rows, exclude_seen=exclude_seen)
    return cases.take(~cases.repeats) if exclude_seen else cases


def _last_two(interactions: Interactions) -> np.ndarray:
    ends, lengths = interactions.indptr[1:], np.diff(interactions.indptr)
    part = np.zeros(len(interactions), np.int8)
    part[ends[lengths >= 3] - 1] = 2
    part[ends[lengths >= 3] - 2] = 1
    return part
