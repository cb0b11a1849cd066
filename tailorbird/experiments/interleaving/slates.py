"""One slate of two: drafted item by item, described as control's model sees it, pins and caps kept."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from tailorbird.experiments.interleaving.drafting import NOBODY, Coin, Pick, draft
from tailorbird.slate.query import Candidates, Query, Ranking, Slate, SlateItem
from tailorbird.slate.recommender import PAGE_LIMIT, Recommender
from tailorbird.slate.wishes import Caps, arranged, boosted


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

    None where one has nothing of its model, or caps leave places empty.

    Items that control's catalogue does not know cannot be told of and are left out. Lists fill what both models leave, as control's did.
    """
    if control.stages is None or any(each.failure or each.found is None for each in (ours, theirs)):
        return None
    mine, other = _by_model(ours), _by_model(theirs)
    other = {item_id: item for item_id, item in other.items() if item_id in control.catalog.row_of}
    if not mine or not other:
        return None
    k = min(query.k, PAGE_LIMIT)
    picks = _arranged(control, query, draft(list(mine), list(other), coin=coin), k=k)
    if len(picks) < min(k, len(mine)):
        return None
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


def _arranged(control: Recommender, query: Query, drafted: Iterator[Pick], *, k: int) -> list[Pick]:
    wishes = query.wishes
    if not wishes.arranges:
        return list(islice(drafted, k))
    picks = list(drafted)
    rows = control.catalog.rows([pick.item for pick in picks]).astype(np.int64)
    caps = Caps(control.shelf, wishes)
    places = arranged(rows, wishes.pins, control.shelf, caps, first=len(query.shown), k=k)
    return [picks[place] for place in places.tolist()]


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
