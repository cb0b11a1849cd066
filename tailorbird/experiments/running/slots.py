"""Room in a layer: experiments of one layer hold different buckets; growing only adds, shrinking gives back what came last."""

from collections.abc import Iterable, Sequence

from tailorbird.errors import UsageError
from tailorbird.experiments.running.buckets import BUCKETS, Range


def size(held: Iterable[Range]) -> int:
    """How many buckets these are."""
    return sum(each.end - each.start for each in held)


def share_of(held: Iterable[Range]) -> float:
    """Their part of the layer."""
    return size(held) / BUCKETS


def resized(held: Sequence[Range], share: float, *, others: Iterable[Range], layer: str) -> tuple[Range, ...]:
    """What an experiment holds once it has ``share`` of the layer: nobody moves who is in before and after.

    Raises:
        UsageError: what ``others`` hold leaves too little room.
    """
    wanted = max(round(share * BUCKETS), 1)
    more = wanted - size(held)
    if more <= 0:
        return _first(held, wanted)
    free = _free([*held, *others])
    if size(free) < more:
        room = size(free) + size(held)
        raise UsageError(
            f"layer {layer!r} has room for {room / BUCKETS:g}, not for {share:g}: others hold the rest",
            remedy=f"ask for {room / BUCKETS:g} at most, or stop an experiment of the layer",
        )
    return _joined([*held, *_first(free, more)])


def _first(ranges: Sequence[Range], count: int) -> tuple[Range, ...]:
    kept = []
    for each in ranges:
        if count <= 0:
            break
        kept.append(Range(each.start, min(each.end, each.start + count)))
        count -= each.end - each.start
    return tuple(kept)


def _free(taken: Iterable[Range]) -> list[Range]:
    free, at = [], 0
    for each in sorted(taken):
        if each.start > at:
            free.append(Range(at, each.start))
        at = max(at, each.end)
    return [*free, Range(at, BUCKETS)] if at < BUCKETS else free


def _joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """In the order they were taken; one that goes on where the one before ends is one with it."""
    joined: list[Range] = []
    for each in ranges:
        if joined and joined[-1].end == each.start:
            joined[-1] = Range(joined[-1].start, each.end)
        else:
            joined.append(each)
    return tuple(joined)
