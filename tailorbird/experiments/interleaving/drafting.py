"""Team draft: two rankings become one by turns (Radlinski, Kurup, Joachims 2008, algorithm 2; validated by Chapelle et al. 2012).

In each round a coin says who picks first; each team picks its best item that is not taken yet. Where both teams would pick the same item at
the beginning of a round, it is nobody's: a click on it would say nothing of the two, and giving it to one by chance would be noise alone.
So is what one ranking has left when the other has ended.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from tailorbird.experiments.running.buckets import hashed, seed_of_salt

OURS, THEIRS = 0, 1
NOBODY = -1
CERTAIN, EVEN = 1.0, 0.5
Coin = Callable[[int], bool]
"""Whether the second team picks first in a round, by the number of the round."""


class Pick(NamedTuple):
    """An item, the team that picked it (NOBODY for what both would have), and its chance at its place given the items above it."""

    item: str
    team: int
    chance: float


class Room(Protocol):
    """What there is room for: what does not fit now fits no more on this slate."""

    def fits(self, item: str) -> bool:
        """Whether a team may pick it."""

    def take(self, item: str) -> object:
        """It was picked."""


class _Endless:
    def fits(self, item: str) -> bool:
        return True

    def take(self, item: str) -> None:
        pass


def coin_of(salt: str, recommendation_id: str) -> Coin:
    """The coin of one answer: the same in every process, another for every answer and experiment."""
    seed = seed_of_salt(f"{salt}/draft")
    return lambda round_: bool(hashed(f"{recommendation_id}/{round_}".encode(), seed) & 1)


def draft(
    ours: Sequence[str], theirs: Sequence[str], *, coin: Coin, room: Room | None = None
) -> Iterator[Pick]:
    """The items of both rankings, best first, each once; a team picks the best that is not taken and that there is ``room`` for.

    Every chance is exact: what stands above tells who picked it, but for what both would have picked, after which a new round begins.
    """
    rankings, at, taken, has = (ours, theirs), [0, 0], set[str](), room or _Endless()

    def best(team: int) -> str | None:
        ranking = rankings[team]
        while at[team] < len(ranking) and (ranking[at[team]] in taken or not has.fits(ranking[at[team]])):
            at[team] += 1
        return ranking[at[team]] if at[team] < len(ranking) else None

    def picked(item: str, team: int, chance: float) -> Pick:
        taken.add(item)
        has.take(item)
        return Pick(item, team, chance)

    round_ = 0
    while True:
        mine, other = best(OURS), best(THEIRS)
        if mine == other or mine is None or other is None:
            both_or_rest = other if mine is None else mine
            if both_or_rest is None:
                return
            yield picked(both_or_rest, NOBODY, CERTAIN)
            continue
        first, second = (THEIRS, OURS) if coin(round_) else (OURS, THEIRS)
        round_ += 1
        yield picked(other if first == THEIRS else mine, first, EVEN)
        if (answer := best(second)) is not None:  # what it would have picked may not fit any more
            yield picked(answer, second, CERTAIN)
