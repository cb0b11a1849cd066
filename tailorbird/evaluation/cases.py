"""Evaluation cases: what is asked, what may be known when it is asked, and which item is the right answer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tailorbird.events.interactions import Histories, Interactions, basket_openings


@dataclass(frozen=True)
class Cases:
    """Questions and their targets.

    A question is a user at an instant with everything the user had done before; a case is one right answer
    to it. Most protocols ask one case a question; a basket asks several.

    ``known`` holds whatever histories may reveal, rows sorted by (user, time). ``users`` (q,) int rows of
    ``known.user_ids``; ``starts``, ``ends`` (q,) int64 rows of ``known``: the history of the question;
    ``now`` (q,) epoch seconds; ``question`` (n,) int64, not decreasing: the question of each case;
    ``targets`` (n,) int32 catalogue rows. ``exclude_seen`` says whether items of the history may be
    answered again.
    """

    known: Interactions
    users: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    now: np.ndarray
    question: np.ndarray
    targets: np.ndarray
    exclude_seen: bool

    @classmethod
    def of_rows(cls, known: Interactions, rows: np.ndarray, *, exclude_seen: bool) -> "Cases":
        """Ask for the item of each row of ``known``, all earlier rows of its user being the history."""
        rows = np.asarray(rows, np.int64)
        return cls(
            known=known,
            users=known.users[rows],
            starts=known.indptr[known.users[rows]],
            ends=rows,
            now=known.times[rows],
            question=np.arange(len(rows)),
            targets=known.items[rows],
            exclude_seen=exclude_seen,
        )

    @classmethod
    def of_baskets(cls, known: Interactions, rows: np.ndarray, *, exclude_seen: bool) -> "Cases":
        """Ask for the distinct items that each user took at once, knowing what came before that.

        ``rows`` are those of ``known`` that belong to the baskets, in order; rows of one basket share the
        user and the second.
        """
        rows = np.asarray(rows, np.int64)
        opens = basket_openings(known.users[rows], known.times[rows])
        basket = np.cumsum(opens) - 1
        first = rows[opens]
        _, once = np.unique(basket * known.item_count + known.items[rows], return_index=True)
        once.sort()
        return cls(
            known=known,
            users=known.users[first],
            starts=known.indptr[known.users[first]],
            ends=first,
            now=known.times[first],
            question=basket[once],
            targets=known.items[rows[once]],
            exclude_seen=exclude_seen,
        )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def question_count(self) -> int:
        """Number of questions."""
        return len(self.users)

    @property
    def case_users(self) -> np.ndarray:
        """(n,) int rows of the users, one a case."""
        return self.users[self.question]

    @property
    def user_ids(self) -> np.ndarray:
        """(n,) ids of the users, one a case."""
        return self.known.user_ids[self.case_users]

    @cached_property
    def repeats(self) -> np.ndarray:
        """(n,) bool: the user had this item before."""
        known = self.known
        pairs = known.users.astype(np.int64) * known.item_count + known.items
        distinct, first = np.unique(pairs, return_index=True)
        asked = self.case_users.astype(np.int64) * known.item_count + self.targets
        where = np.minimum(np.searchsorted(distinct, asked), max(len(distinct) - 1, 0))
        if not len(distinct):
            return np.zeros(len(self), bool)
        return (distinct[where] == asked) & (first[where] < self.ends[self.question])

    def histories(self, start: int = 0, stop: int | None = None, *, length: int | None = None) -> Histories:
        """Histories of the questions ``start:stop``, of what had been received by then; the last ``length`` events, or all."""
        starts, ends = self.starts[start:stop], self.ends[start:stop]
        return self.known.known_slices(starts, ends, now=self.now[start:stop], length=length)

    def batches(self, size: int) -> Iterator["QuestionBatch"]:
        """Cut the questions into batches of at most ``size``, each with its cases."""
        for start in range(0, self.question_count, size):
            stop = min(start + size, self.question_count)
            low, high = np.searchsorted(self.question, [start, stop])
            yield QuestionBatch(cases=self, start=start, stop=stop, low=int(low), high=int(high))

    def take(self, mask: np.ndarray) -> "Cases":
        """Keep the cases of a boolean mask, and the questions that still have one."""
        kept, question = np.unique(self.question[mask], return_inverse=True)
        return replace(
            self,
            users=self.users[kept],
            starts=self.starts[kept],
            ends=self.ends[kept],
            now=self.now[kept],
            question=question,
            targets=self.targets[mask],
        )


@dataclass(frozen=True)
class QuestionBatch:
    """The questions ``start:stop`` of some cases, and their cases ``low:high``."""

    cases: Cases
    start: int
    stop: int
    low: int
    high: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def question(self) -> np.ndarray:
        """(n,) which of this batch's questions each case belongs to, from 0."""
        return self.cases.question[self.low : self.high] - self.start

    @property
    def targets(self) -> np.ndarray:
        """(n,) catalogue rows of the right answers."""
        return self.cases.targets[self.low : self.high]

    @property
    def user_ids(self) -> np.ndarray:
        """(b,) ids of the users who ask."""
        return self.cases.known.user_ids[self.cases.users[self.start : self.stop]]

    @property
    def now(self) -> np.ndarray:
        """(b,) epoch seconds of asking."""
        return self.cases.now[self.start : self.stop]

    def histories(self, *, length: int | None = None) -> Histories:
        """Histories of this batch's questions."""
        return self.cases.histories(self.start, self.stop, length=length)

    def excluded(self) -> tuple[np.ndarray, np.ndarray]:
        """Which items may not be answered: (question, item) index arrays; empty where repeats count."""
        if not self.cases.exclude_seen:
            nothing = np.zeros(0, np.int64)
            return nothing, nothing
        histories = self.histories()
        return np.repeat(np.arange(len(self)), histories.lengths), histories.items.astype(np.int64)
