"""Interactions: the events of a training set as aligned arrays, and histories: what a model may see of a user."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Interactions:
    """Who touched what, when and how strongly; rows are sorted by (user, time), ties in the order given.

    ``users`` (n,) int32 rows of ``user_ids``; ``items`` (n,) int32 rows of the catalogue; ``times`` (n,) float64
    epoch seconds; ``weights`` (n,) float32 strength; ``received`` (n,) float64 epoch seconds, None where each was heard of
    when it happened; ``groups`` (n,) int16 the learned segment of the user at that instant, -1 for none, None where nobody asked.
    Build with :meth:`of`, which sorts.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    weights: np.ndarray
    user_ids: np.ndarray  # (n_users,) objects
    item_count: int
    received: np.ndarray | None = None
    groups: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        *,
        users: np.ndarray,
        items: np.ndarray,
        times: np.ndarray,
        weights: np.ndarray | None = None,
        user_ids: np.ndarray,
        item_count: int,
        received: np.ndarray | None = None,
    ) -> "Interactions":
        """Sort by (user, time), stably, and fix the dtypes."""
        order = np.lexsort((times, users))
        late = received is not None and bool((np.asarray(received) > np.asarray(times)).any())
        strength = np.ones(len(users), np.float32) if weights is None else np.asarray(weights, np.float32)
        return cls(
            users=np.asarray(users, np.int32)[order],
            items=np.asarray(items, np.int32)[order],
            times=np.asarray(times, np.float64)[order],
            weights=strength[order],
            user_ids=np.asarray(user_ids, dtype=object),
            item_count=int(item_count),
            received=np.asarray(received, np.float64)[order] if late else None,
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def user_count(self) -> int:
        """Number of users, those without events included."""
        return len(self.user_ids)

    @cached_property
    def indptr(self) -> np.ndarray:
        """(n_users + 1,) where each user's events start."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.users, minlength=self.user_count))]).astype(
            np.int64
        )

    def where(self, mask: np.ndarray) -> "Interactions":
        """Keep the rows of a boolean mask; users and items keep their numbering."""
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            times=self.times[mask],
            weights=self.weights[mask],
            received=None if self.received is None else self.received[mask],
            groups=None if self.groups is None else self.groups[mask],
        )

    @property
    def heard(self) -> np.ndarray:
        """(n,) float64 epoch seconds: from when on each event was known."""
        return self.times if self.received is None else np.maximum(self.times, self.received)

    @property
    def arrived(self) -> np.ndarray:
        """(n,) float64 epoch seconds: when we heard of each, whatever the clock said by which it happened."""
        return self.times if self.received is None else self.received

    def joined(self, other: "Interactions") -> "Interactions":
        """These rows and those of ``other``, which has the same users and items."""
        return Interactions.of(
            users=np.concatenate([self.users, other.users]),
            items=np.concatenate([self.items, other.items]),
            times=np.concatenate([self.times, other.times]),
            weights=np.concatenate([self.weights, other.weights]),
            user_ids=self.user_ids,
            item_count=self.item_count,
            received=np.concatenate([self.heard, other.heard]),
        )

    def before(self, instant: float) -> "Interactions":
        """Keep what happened strictly before ``instant`` (epoch seconds) and had been received by it."""
        return self.where((self.times < instant) & (self.heard <= instant))

    def matrix(self) -> sp.csr_matrix:
        """(n_users, n_items) binary matrix of who touched what."""
        ones = np.ones(len(self), np.float32)
        shape = (self.user_count, self.item_count)
        matrix = sp.csr_matrix((ones, (self.users, self.items)), shape=shape)
        matrix.data[:] = 1.0
        return matrix

    def histories(self, users: np.ndarray, now: np.ndarray, *, length: int) -> "Histories":
        """What each of ``users`` had done strictly before its ``now``, as far as it had been received: the last ``length`` events.

        ``users`` (b,) int rows, ``now`` (b,) epoch seconds. A user may come several times, at several instants.
        """
        starts = self.indptr[users]
        ends = np.array(
            [
                start + np.searchsorted(self.times[start:end], instant, side="left")
                for start, end, instant in zip(starts, self.indptr[np.asarray(users) + 1], now, strict=True)
            ],
            dtype=np.int64,
        ).reshape(-1)
        return self.known_slices(starts, ends, now=now, length=length)

    def slices(self, starts: np.ndarray, ends: np.ndarray, *, now: np.ndarray) -> "Histories":
        """Histories made of the rows ``starts[i]:ends[i]``."""
        lengths = ends - starts
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        take = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Histories(
            indptr=indptr,
            items=self.items[take],
            times=self.times[take],
            weights=self.weights[take],
            now=np.asarray(now, np.float64),
        )

    def known_slices(
        self, starts: np.ndarray, ends: np.ndarray, *, now: np.ndarray, length: int | None = None
    ) -> "Histories":
        """Histories of what the rows ``starts[i]:ends[i]`` say that had been received by ``now[i]``: the last ``length``."""
        if self.received is None:
            return self.slices(starts if length is None else np.maximum(starts, ends - length), ends, now=now)
        lengths = ends - starts
        owners = np.repeat(np.arange(len(starts)), lengths)
        rows = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(len(owners))
        known = self.received[rows] <= np.asarray(now)[owners]
        rows, owners = rows[known], owners[known]
        if length is not None:
            counts = np.bincount(owners, minlength=len(starts))
            recent = np.cumsum(counts)[owners] - np.arange(len(owners)) <= length
            rows, owners = rows[recent], owners[recent]
        counts = np.bincount(owners, minlength=len(starts))
        return Histories(
            indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            items=self.items[rows],
            times=self.times[rows],
            weights=self.weights[rows],
            now=np.asarray(now, np.float64),
        )


def basket_openings(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(n,) bool: where a basket begins among events sorted by (user, time): another user, or another second.

    Ties of event times are told apart by microseconds, which do not make a new basket.
    """
    seconds = np.floor(times)
    opens = np.ones(len(users), bool)
    opens[1:] = (users[1:] != users[:-1]) | (seconds[1:] != seconds[:-1])
    return opens


@dataclass(frozen=True)
class Histories:
    """A batch of what models may see: each user's latest events, oldest first, and the instant of asking.

    ``indptr`` (b + 1,) int64; ``items`` (n,) int32 catalogue rows; ``times`` (n,) float64 epoch seconds; ``weights``
    (n,) float32; ``now`` (b,) float64; ``segments`` (b,) strings or None. An online request is a batch of one.
    """

    indptr: np.ndarray
    items: np.ndarray
    times: np.ndarray
    weights: np.ndarray
    now: np.ndarray
    segments: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.now)

    @classmethod
    def of(
        cls, sequences: Sequence[Sequence[int]], *, now: float = 0.0, segments: Sequence[str] | None = None
    ) -> "Histories":
        """Make histories of plain item rows, one second apart and ending before ``now``; for tests and order-only data."""
        lengths = [len(sequence) for sequence in sequences]
        return cls(
            indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            items=np.concatenate(
                [np.asarray(s, np.int32) for s in sequences] or [np.zeros(0, np.int32)]
            ).astype(np.int32),
            times=np.concatenate([now - np.arange(n, 0, -1.0) for n in lengths] or [np.zeros(0)]),
            weights=np.ones(sum(lengths), np.float32),
            now=np.full(len(lengths), now, np.float64),
            segments=None if segments is None else np.asarray(segments, dtype=object),
        )

    @property
    def lengths(self) -> np.ndarray:
        """(b,) number of events of each history."""
        return np.diff(self.indptr)

    def __getitem__(self, which: slice) -> "Histories":
        """Take consecutive histories (a slice with step 1)."""
        start, stop, _ = which.indices(len(self))
        low, high = self.indptr[start], self.indptr[stop]
        return Histories(
            indptr=self.indptr[start : stop + 1] - low,
            items=self.items[low:high],
            times=self.times[low:high],
            weights=self.weights[low:high],
            now=self.now[start:stop],
            segments=None if self.segments is None else self.segments[start:stop],
        )

    def take(self, rows: np.ndarray) -> "Histories":
        """Take the histories ``rows``, in that order."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        events = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Histories(
            indptr=indptr,
            items=self.items[events],
            times=self.times[events],
            weights=self.weights[events],
            now=self.now[rows],
            segments=None if self.segments is None else self.segments[rows],
        )

    def seen(self, row: int) -> np.ndarray:
        """The items of one history."""
        return self.items[self.indptr[row] : self.indptr[row + 1]]

    def padded(self, length: int, *, fill: int) -> np.ndarray:
        """(b, length) int64: the last ``length`` items of each history, right-aligned, ``fill`` on the left."""
        table = np.full((len(self), length), fill, np.int64)
        for row, (start, end) in enumerate(zip(self.indptr[:-1], self.indptr[1:], strict=True)):
            recent = self.items[max(start, end - length) : end]
            if len(recent):
                table[row, length - len(recent) :] = recent
        return table
