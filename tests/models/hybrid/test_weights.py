"""Weights of outcomes order an answer; nothing else of it changes, and without heads nothing does."""

from copy import copy
from dataclasses import replace

import pytest

from serving.recommend.cache.results import Looked, _key
from tailorbird.models.hybrid.model import MOST_WEIGHED, HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.ranker.ranker import Head
from tailorbird.slate.query import Query, Weights, Wishes
from tests.models.hybrid.asking import NOW, profile_of


@pytest.fixture
def headed(model: HybridModel) -> HybridModel:
    """The model, whose people hide what they click."""
    found = copy(model)
    own = Head(model.ranker.blend, model.ranker.out)
    found.ranker = model.ranker.with_heads({"click": own, "hide": own})
    found._weighed = {(): found.ranker}
    return found


def asked(weights: Weights = (), k: int = 8) -> Query:
    return Query(profile_of(0, 1), NOW, k=k, wishes=Wishes(weights=weights))


def ids(model: HybridModel, query: Query) -> list[str]:
    recommender = recommender_of(model)
    policy = replace(recommender.policy, max_category_share=1.0)
    return [item.item_id for item in replace(recommender, policy=policy).recommend(query).items]


def test_an_answer_is_ordered_by_signed_weights(model: HybridModel, headed: HybridModel) -> None:
    plain = ids(model, asked())
    assert ids(headed, asked()) == plain
    assert ids(headed, asked((("click", 3.0),))) == plain
    assert ids(headed, asked((("click", 1.0), ("hide", -3.0)), k=10)) == ids(model, asked(k=10))[::-1]
    assert ids(headed, asked((("purchase", 1.0),))) == plain  # it knows nothing of that
    assert recommender_of(headed).outcomes == ("click", "hide")
    assert recommender_of(model).outcomes == ()


def test_rankers_of_other_weights_are_kept_and_bounded(headed: HybridModel) -> None:
    for step in range(2 * MOST_WEIGHED):
        ids(headed, asked((("click", 1.0 + step),), k=1))
    assert len(headed._weighed) <= MOST_WEIGHED + 1
    first = headed._weighed_by((("click", 1.0),))
    assert headed._weighed[(("click", 1.0),)] is first


def test_a_kept_ranking_is_that_of_its_weights(model: HybridModel) -> None:
    recommender = recommender_of(model)
    keys = {
        _key(Looked("champion", recommender, asked(weights), b"r"))
        for weights in ((), (("click", 1.0),), (("click", 2.0),))
    }
    assert len(keys) == 3
