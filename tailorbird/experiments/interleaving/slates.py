"""One slate of two: drafted item by item, described as control's model sees it, pins and caps kept."""

from dataclasses import replace
from itertools import islice

import numpy as np

from tailorbird.experiments.interleaving.drafting import CERTAIN, NOBODY, Coin, Pick, draft
from tailorbird.slate.query import Candidates, Query, Ranking, Slate, SlateItem
from tailorbird.slate.recommender import PAGE_LIMIT, Recommender
from tailorbird.slate.wishes import Caps, boosted, pinned_places, with_pinned


def interleaved(
    control: Recommender,
    query: Query,
    ours: Slate,
    theirs: Slate,
    *,
    ranking: Ranking,
    coin: Coin,
    teams: tuple[str, str],
) -> Slate | None:
    """The slate that both make, described by ``control``'s model, whose ``ranking`` was selected from.

    None where one has nothing of its model. What is pinned is nobody's, for it stands there whatever the draft says; caps hold pick by pick.

    Items that control's catalogue does not know cannot be told of and are left out. Lists fill what both models leave, as control's did.
    """
    if control.stages is None or any(each.failure or each.found is None for each in (ours, theirs)):
        return None
    mine, other = _by_model(ours), _by_model(theirs)
    other = {item_id: item for item_id, item in other.items() if item_id in control.catalog.row_of}
    if not mine or not other:
        return None
    k = min(query.k, PAGE_LIMIT)
    picks = _drafted(control, query, list(mine), list(other), coin=coin, k=k)
    found, scores = _found(control, query, ours, ranking, [pick.item for pick in picks])
    items = [
        (mine.get(pick.item) or other[pick.item])._replace(score=score)
        for pick, score in zip(picks, scores, strict=True)
    ]
    there = {pick.item for pick in picks}
    filled = [each for each in ours.items[len(mine) :] if each.item_id not in there]
    items += filled[: k - len(items)]
    return replace(
        ours,
        items=tuple(items),
        partial=len(items) < query.k,
        more=ours.more or theirs.more,
        found=found,
        propensities=np.array([pick.chance for pick in picks], np.float32),
        teams=tuple(None if pick.team == NOBODY else teams[pick.team] for pick in picks),
    )


def _by_model(slate: Slate) -> dict[str, SlateItem]:
    """What the model ranked, in its order."""
    assert slate.found is not None
    return {item.item_id: item for item in slate.items[: len(slate.found)]}


class _Capped:
    """The room that caps leave, counted from the pinned items on."""

    def __init__(self, control: Recommender, query: Query) -> None:
        self._caps, self._row_of = Caps(control.shelf, query.wishes), control.catalog.row_of

    def fits(self, item: str) -> bool:
        return self._caps.fits(self._row_of[item])

    def take(self, item: str) -> bool:
        return self._caps.take(self._row_of[item])


def _drafted(
    control: Recommender, query: Query, mine: list[str], other: list[str], *, coin: Coin, k: int
) -> list[Pick]:
    if not query.wishes.arranges:
        return list(islice(draft(mine, other, coin=coin), k))
    room = _Capped(control, query)
    there = {*mine, *other}
    places = pinned_places(
        query.wishes.pins, lambda item: item if item in there else None, first=len(query.shown)
    )
    here = {item: place for item, place in places.items() if place < k}
    for item in here:
        room.take(item)
    free = (
        [each for each in mine if each not in places],
        [each for each in other if each not in places],
    )
    picks = list(islice(draft(*free, coin=coin, room=room), max(0, k - len(here))))
    return with_pinned(picks, {Pick(item, NOBODY, CERTAIN): place for item, place in here.items()})[:k]


def _found(
    control: Recommender, query: Query, ours: Slate, ranking: Ranking, item_ids: list[str]
) -> tuple[Candidates, list[float]]:
    """The items as control's model sees them, with its scores, whoever picked them."""
    assert control.stages is not None
    assert ours.found is not None
    if query.wishes.boosts:
        ranking = boosted(ranking, query.wishes.boosts, control.shelf, now=query.now)
    others = ~np.isin(ranking.candidates.rows, ours.found.rows)
    known = ours.found.with_more(ranking.candidates.where(others))
    scores = [*(item.score for item in ours.items[: len(ours.found)]), *ranking.scores[others].tolist()]
    rows = control.catalog.rows(item_ids).astype(np.int64)
    more = rows[~np.isin(rows, known.rows)]
    if len(more):
        # Signals are relative to the other candidates: among themselves alone these would be told as the best and the worst.
        among = control.stages.admit(query, np.concatenate([known.rows, more]))
        admitted = among.where(np.arange(len(known), len(among)))
        ((added, _),) = control.stages.score([query], [admitted])
        known, scores = known.with_more(admitted), [*scores, *added.tolist()]
    at = {row: place for place, row in enumerate(known.rows.tolist())}
    order = [at[row] for row in rows.tolist()]
    return known.where(np.array(order, np.int64)), [float(scores[place]) for place in order]
