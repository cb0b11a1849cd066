"""Two arms' slates of one request become the one that is shown, or control's stands."""

from dataclasses import replace

from serving.recommend.request.visit import Drawn, Visit
from tailorbird.experiments.interleaving.pairing import Pair
from tailorbird.experiments.interleaving.slates import interleaved
from tailorbird.slate.query import Query, Ranking


def drafted(
    pair: Pair, visit: Visit, query: Query, ours: Drawn, theirs: Drawn, *, ranking: Ranking | None
) -> Drawn:
    """The drafted slate, which control's ``ranking`` describes; control's alone, as no part of the experiment, where another answered in an arm's place or nothing can be drafted."""
    alone = replace(ours, query=query)
    if ours.stands_in or theirs.stands_in or not ours.profile_read or ranking is None:
        return alone
    slate = interleaved(
        ours.recommender,
        query,
        ours.slate,
        theirs.slate,
        ranking=ranking,
        coin=pair.coin(visit.recommendation_id),
        teams=pair.teams,
    )
    return alone if slate is None else replace(alone, visit=visit, slate=slate)
